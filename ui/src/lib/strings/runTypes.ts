export const en = {
  scheduled: "scheduled",
  manual: "manual",
  backfill: "backfill",
  operator_triggered: "triggered by a task",
  asset_triggered: "triggered by an asset",
  asset_materialization: "asset materialization",
};

export const zh: typeof en = {
  scheduled: "定时",
  manual: "手动",
  backfill: "回填",
  operator_triggered: "由任务触发",
  asset_triggered: "由资产触发",
  asset_materialization: "资产物化",
};
