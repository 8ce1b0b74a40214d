import { count, number } from "./plural";

export const en = {
  title: (what: string) => `Clear ${what}`,
  titleFailed: "Retry what failed",
  explain: "Cleared tasks run again; a running one is stopped first.",
  downstream: "Also everything downstream",
  preview: "What will run again",
  nothing: "Nothing would be cleared.",
  submit: (n: number) => `Clear ${count(n, "task", "tasks")}`,
  cancel: "Cancel",
};

export const zh: typeof en = {
  title: (what) => `清除 ${what}`,
  titleFailed: "重试失败的任务",
  explain: "被清除的任务会重新运行；正在运行的会先被停止。",
  downstream: "同时清除所有下游",
  preview: "将重新运行",
  nothing: "没有可清除的任务。",
  submit: (n) => `清除 ${number(n)} 个任务`,
  cancel: "取消",
};
