import { clock } from "./time";

/**
 * Every English sentence of the dashboard, in one catalogue, so that another language is another object of the same shape.
 * Identifiers (DAG ids, run ids, state words in URLs), logs and error texts of the server are never translated.
 */
const plural = new Intl.PluralRules("en");
const count = (n: number, one: string, many: string) => `${n} ${plural.select(n) === "one" ? one : many}`;
const text = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));

const list = (value: unknown) => (Array.isArray(value) ? value.map(text).join(", ") : text(value));

/** Nodes that could take a task and are away, with their states. */
const awayNodes = (value: unknown) =>
  Array.isArray(value)
    ? value.map((node: Record<string, unknown>) => `${text(node.name)} is ${text(node.state)}`).join(", ")
    : text(value);

/** The labels a node must have, each with the values that will do. */
const labelList = (value: unknown) =>
  Object.entries((value ?? {}) as Record<string, unknown>)
    .map(([label, values]) => `${label}: ${Array.isArray(values) ? values.map(text).join(" or ") : text(values)}`)
    .join(", ");

const time = (value: unknown) => (typeof value === "string" ? clock(value, Date.now()) : text(value));

export type Params = Record<string, unknown>;

export const strings = {
  app: {
    name: "Updraft",
    title: (page: string) => `${page} · Updraft`,
    skip: "Skip to the content",
    nav: "Main",
    breadcrumbs: "You are here",
    loading: "Loading…",
    notFound: "There is no page here",
    notFoundHint: "The address may be mistyped, or the DAG or run was deleted.",
    home: "Go to the list of DAGs",
    wrong: "This page could not be shown",
    retry: "Try again",
    disconnected: (ago: string) => `Cannot reach the server. What you see is from ${ago}; trying again.`,
    signOut: "Sign out",
    dark: "Dark theme",
    none: "—",
    of: (from: number, to: number, total: number) => `${from}–${to} of ${total}`,
    pages: "Pages",
    previous: "Previous page",
    next: "Next page",
  },
  login: {
    title: "Sign in",
    username: "User name",
    password: "Password",
    submit: "Sign in",
    provider: "Sign in with your organization",
    hint: "“updraft standalone” prints the password of the user “admin” when it starts.",
    wrong: "User name or password is wrong.",
    expired: "Your session has ended. Please sign in again.",
  },
  dags: {
    title: "DAGs",
    search: "Search DAGs by name",
    name: "DAG",
    active: "Active",
    activeSwitch: (dag: string) => `${dag} is active`,
    schedule: "Schedule",
    noSchedule: "only when triggered",
    nextRun: "Next run",
    paused: "paused",
    lastRuns: "Last runs",
    neverRan: "never ran",
    actions: "Actions",
    trigger: "Trigger",
    triggerOf: (dag: string) => `Trigger ${dag}`,
    triggered: "Started run",
    triggeredPaused: "The DAG is paused: the run waits until it is made active.",
    empty: "No DAGs yet. Put a YAML file into the DAGs folder; it appears here within a second.",
    noMatch: (q: string) => `No DAG has “${q}” in its name.`,
    importErrors: (n: number) => count(n, "DAG file has an error", "DAG files have errors"),
    importErrorHint: "The last good version of each DAG keeps running.",
    seen: (ago: string) => `seen ${ago}`,
    owner: "Owner",
    file: "File",
    tags: "Tags",
    runs: "Runs",
    importErrorOfDag: "The file of this DAG has an error; its last good version keeps running.",
  },
  runs: {
    title: "Runs",
    run: "Run",
    dag: "DAG",
    state: "State",
    type: "Type",
    runAfter: "Due",
    started: "Started",
    ended: "Ended",
    duration: "Duration",
    logicalDate: "Logical date",
    triggeredBy: "Triggered by",
    conf: "Configuration",
    filter: "State",
    all: "All",
    empty: "No runs here.",
    note: "Note",
  },
  tasks: {
    title: "Tasks",
    task: "Task",
    try: "Try",
    tryOf: (n: number, max: number) => `${n} of ${max}`,
    host: "Node",
    why: "Why is it waiting?",
    askWhy: (task: string) => `Why is ${task} waiting?`,
    whyShort: "Why?",
    notWaiting: "It is not waiting for anything.",
    log: "Log",
    logOf: (task: string) => `Log of ${task}`,
    failureClass: "Failure",
    exitCode: "Exit code",
    image: "Image",
    command: "Command",
    peakMemory: "Peak memory",
    mib: (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`,
    clear: "Clear / retry",
    clearOf: (task: string) => `Clear or retry ${task}`,
    retryFailed: (n: number) => `Retry ${count(n, "failed task", "failed tasks")}`,
    empty: "This run has no tasks.",
    mapped: (task: string, index: number) => `${task} [${index}]`,
  },
  clear: {
    title: (what: string) => `Clear ${what}`,
    titleFailed: "Retry what failed",
    explain: "Cleared tasks run again; a running one is stopped first.",
    downstream: "Also everything downstream",
    preview: "What will run again",
    nothing: "Nothing would be cleared.",
    submit: (n: number) => `Clear ${count(n, "task", "tasks")}`,
    cancel: "Cancel",
  },
  logs: {
    title: (task: string) => `Log of ${task}`,
    tries: "Tries",
    try: (n: number) => `Try ${n}`,
    tryIs: (n: number, state: string) => `Try ${n}: ${state}`,
    region: "Log lines",
    empty: "This try has written nothing yet.",
    emptyDone: "This try wrote nothing.",
    following: "Following: new lines appear by themselves.",
    ended: "End of the log.",
    follow: "Scroll to new lines",
    never: "This task has not run yet.",
    cut: (n: number) => `${n} earlier lines are not shown.`,
    showAll: "Show them",
    failed: (why: string) => `The log could not be read: ${why}`,
  },
  states: {
    none: "no status",
    scheduled: "scheduled",
    queued: "queued",
    running: "running",
    restarting: "restarting",
    up_for_retry: "up for retry",
    up_for_reschedule: "up for reschedule",
    deferred: "deferred",
    awaiting_input: "awaiting input",
    success: "success",
    skipped: "skipped",
    failed: "failed",
    upstream_failed: "upstream failed",
    removed: "removed",
  },
  runTypes: {
    scheduled: "scheduled",
    manual: "manual",
    backfill: "backfill",
    operator_triggered: "triggered by a task",
    asset_triggered: "triggered by an asset",
    asset_materialization: "asset materialization",
  },
  /** Why a task does not run: one sentence per code of `updraft_core::explain`. */
  reasons: {
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
      (Array.isArray(away) ? `; ${awayNodes(away)}.` : "."),
    nodes_away: ({ nodes }) => `Every node that could run it is away: ${awayNodes(nodes)}.`,
    no_node_for_queue: ({ queue, live_nodes }) =>
      live_nodes === 0
        ? "No executor node is connected."
        : `None of the ${text(live_nodes)} connected nodes serves the queue ${text(queue)}.`,
    no_node_with_labels: ({ queue, labels }) =>
      `No node of the queue ${text(queue)} has the label ${labelList(labels)}.`,
    parallelism: ({ limit }) => `The whole deployment already runs its limit of ${text(limit)} tasks.`,
    max_active_tasks: ({ limit }) => `The run already has its limit of ${text(limit)} active tasks.`,
    max_active_tis_per_dag: ({ limit }) => `The task already runs ${text(limit)} times, which is its limit.`,
  } as Record<string, (params: Params) => string>,
  unknownReason: (code: string, params: Params) => {
    const details = Object.entries(params).map(([key, value]) => `${key.replaceAll("_", " ")}: ${text(value)}`);
    const sentence = code.replaceAll("_", " ");
    return details.length > 0 ? `${sentence} (${details.join(", ")})` : sentence;
  },
  errors: {
    network: "The server does not answer.",
    status: (status: number) => `The server answered ${status}.`,
  },
} as const;

export type StateWord = keyof typeof strings.states;
