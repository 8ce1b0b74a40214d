/** Why a task does not run: one sentence per code of `updraft_core::explain`. */
import { clock } from "../time";
import { text } from "./plural";

export type Params = Record<string, unknown>;

const time = (value: unknown) => (typeof value === "string" ? clock(value, Date.now()) : text(value));
const list = (value: unknown, comma = ", ") => (Array.isArray(value) ? value.map(text).join(comma) : text(value));

/** Nodes that could take a task and are away, with their states. */
const awayNodes = (value: unknown, is: (name: string, state: string) => string, comma = ", ") =>
  Array.isArray(value)
    ? value.map((node: Params) => is(text(node["name"]), text(node["state"]))).join(comma)
    : text(value);

/** The labels a node must have, each with the values that will do. */
const labelList = (value: unknown, or: string, comma = ", ") =>
  Object.entries((value ?? {}) as Params)
    .map(([label, values]) => `${label}: ${Array.isArray(values) ? values.map(text).join(or) : text(values)}`)
    .join(comma);

type Say = (params: Params) => string;
const sentences = <Code extends string>(of: Record<Code, Say>) => of;

const isAway = (name: string, state: string) => `${name} is ${state}`;
const isAwayZh = (name: string, state: string) => `${name} 处于 ${state}`;

export const en = sentences({
  finished: () => "It is finished.",
  running: ({ executor }) => (typeof executor === "string" ? `It runs on ${executor}.` : "It is running."),
  no_instance: () => "It takes no part in this run: its dates exclude the run.",
  dag_paused: () => "The DAG is paused.",
  dag_stale: () => "The DAG is gone from its file; the run goes on when it is back.",
  run_not_due: ({ run_after }) => `The run is due at ${time(run_after)}.`,
  max_active_runs: ({ limit, running }) =>
    `The run waits: ${text(running)} of at most ${text(limit)} runs of the DAG are active.`,
  run_starting: () => "The run is about to start.",
  run_finished: ({ state }) => `The run has ended (${text(state)}).`,
  run_quarantined: ({ reason }) => `The scheduler gave up planning the run: ${text(reason)}`,
  upstream_not_done: ({ trigger_rule, waiting_for }) =>
    `Waits for ${list(waiting_for)}` +
    (trigger_rule === "all_success" ? "." : ` (trigger rule ${text(trigger_rule)}).`),
  retry_delay: ({ until, try_number, max_tries }) => {
    const tries = `try ${text(try_number)} of ${Number(max_tries) + 1} failed`;
    return until === null ? `Will be retried: ${tries}.` : `Will be retried at ${time(until)}: ${tries}.`;
  },
  sensor_waits: ({ until, asked }) =>
    `Its condition does not hold yet (asked ${text(asked)} times)` +
    (until === null ? "." : `; it is asked again at ${time(until)}.`),
  earlier_run_not_done: ({ wait_for_downstream }) =>
    wait_for_downstream === true
      ? "In the run before, the task or what follows it has not ended well (wait_for_downstream)."
      : "The task has not ended well in the run before (depends_on_past).",
  task_full_in_run: ({ limit, running }) =>
    `${text(running)} instances of the task are active in this run; its limit is ${text(limit)}.`,
  logical_date_to_come: ({ logical_date }) => `The run's logical date, ${time(logical_date)}, is to come.`,
  rule_not_met: ({ trigger_rule }) =>
    `Everything before it is over, and its trigger rule ${text(trigger_rule)} is not met by how it ended.`,
  not_yet_decided: () => "Nothing holds it; it is about to be decided.",
  stopping: () => "It was cleared while running; its old attempt is being stopped.",
  waiting_for_dispatch: () => "Nothing holds it; it is about to be given to a node.",
  waiting_for_triggerer: () => "Nothing holds it; the triggerer is about to take it up.",
  waiting_until: ({ until }) => `Waits, without a slot, until ${time(until)}.`,
  waiting_for_dag_run: ({ dag_id, run_id }) =>
    `Waits, without a slot, for the end of run ${text(run_id)} of DAG ${text(dag_id)}.`,
  waiting_for_external_task: ({ dag_id, logical_date, task_ids, task_group_id }) => {
    const what = Array.isArray(task_ids)
      ? `${list(task_ids)} of DAG ${text(dag_id)}`
      : task_group_id === undefined
        ? `a run of DAG ${text(dag_id)}`
        : `the group ${text(task_group_id)} of DAG ${text(dag_id)}`;
    return `Waits, without a slot, for ${what} at ${time(logical_date)}.`;
  },
  waiting_for_person: ({ subject, deadline }) =>
    `Waits for an answer: ${text(subject)}` + (deadline === undefined ? "" : ` (until ${time(deadline)})`),
  waiting_for_node: ({ executor }) => `Waits for node ${text(executor)} to fetch it.`,
  handed_out: ({ executor }) => `Node ${text(executor)} is preparing it.`,
  pool_missing: ({ pool }) => `The pool ${text(pool)} does not exist; it runs once somebody creates it.`,
  pool_full: ({ pool, used, slots, needs }) =>
    `The pool ${text(pool)} is full: ${text(used)} of ${text(slots)} slots are taken and it needs ${text(needs)}.`,
  pool_too_small: ({ pool, slots, needs }) =>
    `It needs ${text(needs)} slots of the pool ${text(pool)}, which has only ${text(slots)}.`,
  nodes_full: ({ nodes, slots, away }) =>
    `Every node that could run it is full: ${list(nodes)} (${text(slots)} slots)` +
    (Array.isArray(away) ? `; ${awayNodes(away, isAway)}.` : "."),
  nodes_away: ({ nodes }) => `Every node that could run it is away: ${awayNodes(nodes, isAway)}.`,
  no_node_for_queue: ({ queue, live_nodes }) =>
    live_nodes === 0
      ? "No executor node is connected."
      : `None of the ${text(live_nodes)} connected nodes serves the queue ${text(queue)}.`,
  no_node_with_labels: ({ queue, labels }) =>
    `No node of the queue ${text(queue)} has the label ${labelList(labels, " or ")}.`,
  parallelism: ({ limit }) => `The whole deployment already runs its limit of ${text(limit)} tasks.`,
  max_active_tasks: ({ limit }) => `The run already has its limit of ${text(limit)} active tasks.`,
  max_active_tis_per_dag: ({ limit }) => `The task already runs ${text(limit)} times, which is its limit.`,
});

export const zh: typeof en = {
  finished: () => "已结束。",
  running: ({ executor }) => (typeof executor === "string" ? `正在 ${executor} 上运行。` : "正在运行。"),
  no_instance: () => "它不参与此次运行：其日期范围不包含此次运行。",
  dag_paused: () => "该 DAG 已暂停。",
  dag_stale: () => "该 DAG 已从文件中消失；恢复后运行会继续。",
  run_not_due: ({ run_after }) => `此运行应在 ${time(run_after)} 开始。`,
  max_active_runs: ({ limit, running }) =>
    `运行在等待：该 DAG 已有 ${text(running)} 个活动运行，上限为 ${text(limit)}。`,
  run_starting: () => "运行即将开始。",
  run_finished: ({ state }) => `运行已结束（${text(state)}）。`,
  run_quarantined: ({ reason }) => `调度器已放弃规划此运行：${text(reason)}`,
  upstream_not_done: ({ trigger_rule, waiting_for }) =>
    `等待 ${list(waiting_for, "、")}` +
    (trigger_rule === "all_success" ? "。" : `（触发规则 ${text(trigger_rule)}）。`),
  retry_delay: ({ until, try_number, max_tries }) => {
    const tries = `第 ${text(try_number)} 次尝试失败，共 ${Number(max_tries) + 1} 次`;
    return until === null ? `将重试：${tries}。` : `将在 ${time(until)} 重试：${tries}。`;
  },
  sensor_waits: ({ until, asked }) =>
    `条件尚未满足（已检查 ${text(asked)} 次）` + (until === null ? "。" : `；下次检查在 ${time(until)}。`),
  earlier_run_not_done: ({ wait_for_downstream }) =>
    wait_for_downstream === true
      ? "在上一次运行中，该任务或其后续任务没有成功结束（wait_for_downstream）。"
      : "该任务在上一次运行中没有成功结束（depends_on_past）。",
  task_full_in_run: ({ limit, running }) => `此运行中该任务已有 ${text(running)} 个活动实例，上限为 ${text(limit)}。`,
  logical_date_to_come: ({ logical_date }) => `运行的逻辑日期 ${time(logical_date)} 还没有到。`,
  rule_not_met: ({ trigger_rule }) => `其前面的任务都已结束，但不满足触发规则 ${text(trigger_rule)}。`,
  not_yet_decided: () => "没有什么阻止它；即将作出决定。",
  stopping: () => "它在运行中被清除；正在停止旧的尝试。",
  waiting_for_dispatch: () => "没有什么阻止它；即将分配给节点。",
  waiting_for_triggerer: () => "没有什么阻止它；triggerer 即将接手。",
  waiting_until: ({ until }) => `不占槽位地等待到 ${time(until)}。`,
  waiting_for_dag_run: ({ dag_id, run_id }) => `不占槽位地等待 DAG ${text(dag_id)} 的运行 ${text(run_id)} 结束。`,
  waiting_for_external_task: ({ dag_id, logical_date, task_ids, task_group_id }) => {
    const what = Array.isArray(task_ids)
      ? `DAG ${text(dag_id)} 的 ${list(task_ids, "、")}`
      : task_group_id === undefined
        ? `DAG ${text(dag_id)} 的运行`
        : `DAG ${text(dag_id)} 的任务组 ${text(task_group_id)}`;
    return `不占槽位地等待 ${what}（${time(logical_date)}）。`;
  },
  waiting_for_person: ({ subject, deadline }) =>
    `等待答复：${text(subject)}` + (deadline === undefined ? "" : `（截止 ${time(deadline)}）`),
  waiting_for_node: ({ executor }) => `等待节点 ${text(executor)} 领取。`,
  handed_out: ({ executor }) => `节点 ${text(executor)} 正在准备。`,
  pool_missing: ({ pool }) => `资源池 ${text(pool)} 不存在；有人创建后才会运行。`,
  pool_full: ({ pool, used, slots, needs }) =>
    `资源池 ${text(pool)} 已满：${text(slots)} 个槽位已用 ${text(used)} 个，它需要 ${text(needs)} 个。`,
  pool_too_small: ({ pool, slots, needs }) =>
    `它需要资源池 ${text(pool)} 的 ${text(needs)} 个槽位，而该池只有 ${text(slots)} 个。`,
  nodes_full: ({ nodes, slots, away }) =>
    `能运行它的节点都满了：${list(nodes, "、")}（${text(slots)} 个槽位）` +
    (Array.isArray(away) ? `；${awayNodes(away, isAwayZh, "，")}。` : "。"),
  nodes_away: ({ nodes }) => `能运行它的节点都不在：${awayNodes(nodes, isAwayZh, "，")}。`,
  no_node_for_queue: ({ queue, live_nodes }) =>
    live_nodes === 0 ? "没有已连接的执行节点。" : `已连接的 ${text(live_nodes)} 个节点都不服务队列 ${text(queue)}。`,
  no_node_with_labels: ({ queue, labels }) =>
    `队列 ${text(queue)} 中没有带标签 ${labelList(labels, " 或 ", "，")} 的节点。`,
  parallelism: ({ limit }) => `整个部署已达到 ${text(limit)} 个任务的上限。`,
  max_active_tasks: ({ limit }) => `此运行已达到 ${text(limit)} 个活动任务的上限。`,
  max_active_tis_per_dag: ({ limit }) => `该任务已同时运行 ${text(limit)} 次，达到上限。`,
};

/** A code that this build does not know. */
export function spelledOut(code: string, params: Params): string {
  const details = Object.entries(params).map(([key, value]) => `${key.replaceAll("_", " ")}: ${text(value)}`);
  const sentence = code.replaceAll("_", " ");
  return details.length > 0 ? `${sentence} (${details.join(", ")})` : sentence;
}
