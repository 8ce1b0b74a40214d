/** Every address of the dashboard. `webserver/src/ui_assets.rs` lists their first segments (`paths.test.ts` compares). */

const at = encodeURIComponent;

export interface TaskAddress {
  dagId: string;
  runId: string;
  taskId: string;
  /** -1 for a task that is not mapped. */
  mapIndex: number;
}

/** What a search part may hold; null, undefined and "" are left out. */
export type Search = Record<string, string | number | boolean | null | undefined>;

/** The search part of an address, with its question mark; nothing for nothing. */
export function withSearch(path: string, search: Search = {}): string {
  const given = Object.entries(search).filter(([, value]) => value !== null && value !== undefined && value !== "");
  if (given.length === 0) return path;
  return `${path}?${new URLSearchParams(given.map(([key, value]) => [key, String(value)])).toString()}`;
}

export const DAG_TABS = [
  "grid",
  "graph",
  "gantt",
  "calendar",
  "runs",
  "tasks",
  "code",
  "details",
  "backfills",
  "audit",
] as const;
export type DagTab = (typeof DAG_TABS)[number];

export const RUN_TABS = ["tasks", "timeline", "graph", "conf", "outputs", "events"] as const;
export type RunTab = (typeof RUN_TABS)[number];

export const TASK_TABS = ["log", "inputs", "xcoms", "mapped", "events", "history"] as const;
export type TaskTab = (typeof TASK_TABS)[number];

const dag = (dagId: string) => `/dags/${at(dagId)}`;
const run = (dagId: string, runId: string) => `${dag(dagId)}/runs/${at(runId)}`;
const task = ({ dagId, runId, taskId }: TaskAddress) => `${run(dagId, runId)}/tasks/${at(taskId)}`;
const mapped = ({ mapIndex }: TaskAddress): Search => (mapIndex < 0 ? {} : { map_index: mapIndex });

export const paths = {
  home: () => "/",
  dags: (search?: Search) => withSearch("/dags", search),
  /** The first tab, the grid, has the address of the DAG itself. */
  dag: (dagId: string, tab: DagTab = "grid", search?: Search) =>
    withSearch(tab === "grid" ? dag(dagId) : `${dag(dagId)}/${tab}`, search),
  /** The form that triggers a DAG; `like` fills it with the conf of that run. */
  trigger: (dagId: string, like?: string) => withSearch(`${dag(dagId)}/trigger`, { like }),
  runs: (search?: Search) => withSearch("/runs", search),
  run: (dagId: string, runId: string, tab: RunTab = "tasks", search?: Search) =>
    withSearch(tab === "tasks" ? run(dagId, runId) : `${run(dagId, runId)}/${tab}`, search),
  /** A task instance, at its log of the newest try. */
  task: (address: TaskAddress, tab: TaskTab = "log", search?: Search) =>
    withSearch(tab === "log" ? task(address) : `${task(address)}/${tab}`, { ...mapped(address), ...search }),
  /** The log of one try; a line is `#L120`. */
  log: (address: TaskAddress, tryNumber: number) => withSearch(`${task(address)}/logs/${tryNumber}`, mapped(address)),
  nodes: (search?: Search) => withSearch("/nodes", search),
  assets: (search?: Search) => withSearch("/assets", search),
  asset: (assetId: number) => `/assets/${assetId}`,
  importErrors: () => "/import-errors",
  pools: () => "/pools",
  variables: (search?: Search) => withSearch("/variables", search),
  connections: (search?: Search) => withSearch("/connections", search),
  users: () => "/users",
  tokens: () => "/tokens",
  audit: (search?: Search) => withSearch("/audit", search),
  config: (search?: Search) => withSearch("/config", search),
  about: () => "/about",
  /** The server's: it sends the browser to the provider. */
  providerLogin: (next: string) => `/auth/oidc/login?next=${at(next)}`,
  login: (next?: string) => (next === undefined || next === "/" ? "/login" : `/login?next=${at(next)}`),
};

/** The same addresses as patterns for the router. */
export const patterns = {
  home: "/",
  dags: "/dags",
  /** Its tabs, `DAG_TABS`, are routes below it. */
  dag: "/dags/:dagId",
  trigger: "/dags/:dagId/trigger",
  runs: "/runs",
  /** Its tabs, `RUN_TABS`, are routes below it. */
  run: "/dags/:dagId/runs/:runId",
  /** Its tabs, `TASK_TABS`, are routes below it. */
  task: "/dags/:dagId/runs/:runId/tasks/:taskId",
  log: "/dags/:dagId/runs/:runId/tasks/:taskId/logs/:tryNumber",
  nodes: "/nodes",
  assets: "/assets",
  asset: "/assets/:assetId",
  importErrors: "/import-errors",
  pools: "/pools",
  variables: "/variables",
  connections: "/connections",
  users: "/users",
  tokens: "/tokens",
  audit: "/audit",
  config: "/config",
  about: "/about",
  login: "/login",
};

/** Where to go after signing in: only an address of this site, never another one's. */
export function safeNext(next: string | null): string {
  return next !== null && /^\/(?![/\\])/.test(next) ? next : paths.home();
}
