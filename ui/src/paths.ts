/** Every address of the dashboard. `webserver/src/ui_assets.rs` lists their first segments. */

const at = encodeURIComponent;

export interface TaskAddress {
  dagId: string;
  runId: string;
  taskId: string;
  /** -1 for a task that is not mapped. */
  mapIndex: number;
}

export const paths = {
  dags: () => "/",
  dag: (dagId: string) => `/dags/${at(dagId)}`,
  runs: () => "/runs",
  run: (dagId: string, runId: string) => `/dags/${at(dagId)}/runs/${at(runId)}`,
  log: ({ dagId, runId, taskId, mapIndex }: TaskAddress, tryNumber: number) =>
    `/dags/${at(dagId)}/runs/${at(runId)}/tasks/${at(taskId)}/logs/${tryNumber}${mapIndex < 0 ? "" : `?map_index=${mapIndex}`}`,
  /** The server's: it sends the browser to the provider. */
  providerLogin: (next: string) => `/auth/oidc/login?next=${at(next)}`,
  login: (next?: string) => (next === undefined || next === "/" ? "/login" : `/login?next=${at(next)}`),
};

/** The same addresses as patterns for the router. */
export const patterns = {
  dags: "/",
  dag: "/dags/:dagId",
  runs: "/runs",
  run: "/dags/:dagId/runs/:runId",
  log: "/dags/:dagId/runs/:runId/tasks/:taskId/logs/:tryNumber",
  login: "/login",
};

/** Where to go after signing in: only an address of this site, never another one's. */
export function safeNext(next: string | null): string {
  return next !== null && /^\/(?![/\\])/.test(next) ? next : paths.dags();
}
