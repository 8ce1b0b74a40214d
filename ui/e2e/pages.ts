/** Every page of the dashboard, for the pictures and for axe, with real things on them. */
import type { BrowserContext } from "playwright-core";

import { paths } from "../src/paths";
import { api, until, type Server } from "./support";

export interface PageOf {
  name: string;
  path: string;
}

interface RunAnswer {
  dag_run_id: string;
  state: string;
}

export async function trigger(context: BrowserContext, server: Server, dagId: string, conf: object = {}) {
  const path = `/api/v2/dags/${dagId}/dagRuns`;
  const run = await api<RunAnswer>(context, server, path, "POST", { logical_date: new Date().toISOString(), conf });
  return run.dag_run_id;
}

export const stateOf = async (context: BrowserContext, server: Server, dagId: string, runId: string) =>
  (await api<RunAnswer>(context, server, `/api/v2/dags/${dagId}/dagRuns/${encodeURIComponent(runId)}`)).state;

export async function finished(context: BrowserContext, server: Server, dagId: string, runId: string) {
  await until(
    async () => ["success", "failed"].includes(await stateOf(context, server, dagId, runId)),
    60_000,
    `the end of ${dagId} ${runId}`,
  );
}

/** Waits for the files to be read. */
export const dagsAreThere = (context: BrowserContext, server: Server, dagId: string) =>
  until(async () => (await context.request.get(`${server.url}/api/v2/dags/${dagId}`)).ok(), 60_000, `the DAG ${dagId}`);

/** Makes some history on a server of ours, and names the pages that show it. */
export async function pagesOf(context: BrowserContext, server: Server): Promise<PageOf[]> {
  let dagId = "e2e_flaky";
  let runId = "";
  let taskId = "flaky";
  if (server.dags === null) {
    // Somebody's server: the latest failed run that there is.
    const { dag_runs: runs } = await api<{ dag_runs: { dag_id: string; dag_run_id: string }[] }>(
      context,
      server,
      "/api/v2/dags/~/dagRuns?state=failed&order_by=-run_after&limit=1",
    );
    dagId = runs[0]?.dag_id ?? dagId;
    runId = runs[0]?.dag_run_id ?? runId;
    const { task_instances: tasks } = await api<{ task_instances: { task_id: string }[] }>(
      context,
      server,
      `/api/v2/dags/${dagId}/dagRuns/${encodeURIComponent(runId)}/taskInstances?state=failed`,
    );
    taskId = tasks[0]?.task_id ?? taskId;
  } else {
    for (const dag of ["e2e_form", "e2e_flaky", "fan_out", "hello_world"]) {
      await dagsAreThere(context, server, dag);
      const run = await trigger(context, server, dag);
      await finished(context, server, dag, run);
      if (dag === dagId) runId = run;
    }
    await api(context, server, "/api/v2/pools", "POST", { name: "e2e_narrow", slots: 1 }).catch(() => null);
    await trigger(context, server, "e2e_pool");
    await api(context, server, "/api/v2/variables", "POST", { key: "region", value: "eu-central" }).catch(() => null);
    const connection = { connection_id: "ledger", conn_type: "http", host: "ledger.internal", password: "secret" };
    await api(context, server, "/api/v2/connections", "POST", connection).catch(() => null);
  }
  const task = { dagId, runId, taskId, mapIndex: -1 };
  const dagTabs = ["graph", "gantt", "calendar", "runs", "tasks", "code", "details", "backfills", "audit"] as const;
  return [
    { name: "home", path: paths.home() },
    { name: "dags", path: paths.dags() },
    { name: "dag-grid", path: paths.dag(dagId) },
    ...dagTabs.map((tab) => ({ name: `dag-${tab}`, path: paths.dag(dagId, tab) })),
    { name: "trigger", path: paths.trigger(server.dags === null ? dagId : "e2e_form") },
    { name: "runs", path: paths.runs() },
    { name: "run", path: paths.run(dagId, runId) },
    ...(["timeline", "conf", "outputs", "events"] as const).map((tab) => ({
      name: `run-${tab}`,
      path: paths.run(dagId, runId, tab),
    })),
    { name: "task-log", path: paths.task(task) },
    ...(["inputs", "xcoms", "events", "history"] as const).map((tab) => ({
      name: `task-${tab}`,
      path: paths.task(task, tab),
    })),
    { name: "nodes", path: paths.nodes() },
    { name: "assets", path: paths.assets() },
    { name: "import-errors", path: paths.importErrors() },
    { name: "pools", path: paths.pools() },
    { name: "variables", path: paths.variables() },
    { name: "connections", path: paths.connections() },
    { name: "users", path: paths.users() },
    { name: "tokens", path: paths.tokens() },
    { name: "audit", path: paths.audit() },
    { name: "config", path: paths.config() },
    { name: "about", path: paths.about() },
  ];
}

/** Until nothing is asked for any more, and nothing says that it is loading. */
export async function settled(page: import("playwright-core").Page) {
  await page.locator("h1").first().waitFor({ timeout: 30_000 });
  await page
    .waitForFunction(() => document.querySelectorAll('[role="status"][aria-label]').length === 0, undefined, {
      timeout: 15_000,
    })
    .catch(() => undefined);
  await page.waitForTimeout(400);
}
