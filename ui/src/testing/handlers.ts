/** A server of fixtures, and the requests that changed something, for tests to look at. */
import { http, HttpResponse, type JsonBodyType } from "msw";

import type { Dag, DagDetails, DagRun, ImportError, LogPage, Schemas, TaskInstance } from "../api/client";
import type { Reason } from "../lib/reasons";
import type { ListedDag } from "../api/queries/dagList";
import type { Home } from "../api/queries/home";
import { RESOURCES, type Me } from "../api/queries/me";
import type { Found } from "../api/queries/search";
import { dagDetails, dagList, home } from "./fixtures";

export interface World {
  me: Me;
  /** Of `/ui/dags`. */
  listed: ListedDag[];
  home: Home;
  found: Found;
  dags: Dag[];
  details: DagDetails[];
  runs: DagRun[];
  tasks: TaskInstance[];
  importErrors: ImportError[];
  reasons: Record<string, Reason[]>;
  tries: Schemas["TryResponse"][];
  /** Answers to questions for a log, in this order; the last one is repeated. */
  logs: LogPage[];
  /** What is told as it happens; null: this server tells nothing. */
  events: ReadableStream<Uint8Array> | null;
  /** Whether requests carry a cookie that the server accepts. */
  isLoggedIn: boolean;
  /** Whether people may log in by a provider. */
  hasProvider: boolean;
}

export interface Sent {
  method: string;
  path: string;
  body: unknown;
}

export const world: World = emptyWorld();
export const sent: Sent[] = [];
/** Continuation tokens of the questions for a log. */
export const logTokens: (string | null)[] = [];

function emptyWorld(): World {
  return {
    me: { username: "admin", role: "admin", permissions: RESOURCES.flatMap((of) => [`Read:${of}`, `Write:${of}`]) },
    listed: [],
    home: home(),
    found: { dags: [], tasks: [], runs: [], assets: [] },
    dags: [],
    details: [],
    runs: [],
    tasks: [],
    importErrors: [],
    reasons: {},
    tries: [],
    logs: [],
    events: null,
    isLoggedIn: true,
    hasProvider: false,
  };
}

export function resetWorld() {
  Object.assign(world, emptyWorld());
  sent.length = 0;
  logTokens.length = 0;
}

const API = "*/api/v2";
const RUN = `${API}/dags/:dagId/dagRuns/:runId`;

function answer(body: JsonBodyType, status = 200) {
  if (!world.isLoggedIn) {
    return HttpResponse.json({ detail: "Not authenticated" }, { status: 401 });
  }
  return HttpResponse.json(body, { status });
}

const found = (thing: JsonBodyType | undefined, what: string) =>
  thing === undefined ? answer({ detail: `${what} was not found` }, 404) : answer(thing);

async function note(request: Request) {
  const body: unknown = await request.clone().json();
  sent.push({ method: request.method, path: decodeURIComponent(new URL(request.url).pathname), body });
}

export const handlers = [
  http.get(`${API}/version`, () => answer({ version: "3.3.2", git_version: "updraft 0.1.0" })),
  http.get(`${API}/monitor/health`, () => answer({ ...world.home.health })),
  http.get("*/ui/me", () => answer({ ...world.me })),
  http.get("*/ui/home", () => answer({ ...world.home })),
  http.get("*/ui/search", () => answer({ ...world.found })),
  http.get("*/ui/dags", ({ request }) => {
    const search = new URL(request.url).searchParams;
    const q = search.get("q") ?? "";
    const dags = world.listed
      .filter((dag) => dag.dag_id.includes(q))
      .filter((dag) => search.getAll("tag").every((tag) => dag.tags.includes(tag)))
      .filter((dag) => search.get("paused") === null || String(dag.is_paused) === search.get("paused"));
    const offset = Number(search.get("offset"));
    const page = dags.slice(offset, offset + Number(search.get("limit")));
    const counts = { ...dagList(world.listed).counts, paused: world.listed.filter((dag) => dag.is_paused).length };
    return answer({ ...dagList(page, { total_entries: dags.length, counts }) });
  }),
  http.get(`${API}/auth/logout`, ({ request }) => {
    sent.push({ method: "GET", path: new URL(request.url).pathname, body: null });
    return new HttpResponse(null, { status: 307, headers: { Location: "/login" } });
  }),
  http.get("*/ui/login", () => HttpResponse.json({ oidc: world.hasProvider })),
  http.post("*/ui/login", async ({ request }) => {
    const { password } = (await request.json()) as { password: string };
    if (password !== "right") return HttpResponse.json({ detail: "Invalid credentials" }, { status: 401 });
    world.isLoggedIn = true;
    return new HttpResponse(null, { status: 204 });
  }),
  http.get(`${API}/dags`, ({ request }) => {
    const q = new URL(request.url).searchParams.get("dag_id_pattern") ?? "";
    const dags = world.dags.filter((dag) => dag.dag_id.includes(q));
    return answer({ dags, total_entries: dags.length });
  }),
  http.get(`${API}/importErrors`, () =>
    answer({ import_errors: world.importErrors, total_entries: world.importErrors.length }),
  ),
  http.get(`${API}/dags/:dagId/details`, ({ params }) => {
    const known = world.details.find((dag) => dag.dag_id === params["dagId"]);
    const listed = world.dags.find((dag) => dag.dag_id === params["dagId"]);
    return found(known ?? (listed && dagDetails(listed.dag_id, listed)), "The DAG");
  }),
  http.patch(`${API}/dags/:dagId`, async ({ request, params }) => {
    await note(request);
    const { is_paused } = (await request.json()) as { is_paused: boolean };
    const change = <T extends { dag_id: string }>(dag: T) =>
      dag.dag_id === params["dagId"] ? { ...dag, is_paused } : dag;
    world.dags = world.dags.map(change);
    world.listed = world.listed.map(change);
    return answer(world.dags.find((dag) => dag.dag_id === params["dagId"]));
  }),
  http.get(`${API}/dags/:dagId/dagRuns`, ({ request, params }) => {
    const search = new URL(request.url).searchParams;
    const states = search.getAll("state");
    const runs = world.runs
      .filter((run) => params["dagId"] === "~" || run.dag_id === params["dagId"])
      .filter((run) => states.length === 0 || states.includes(run.state));
    const offset = Number(search.get("offset"));
    const page = runs.slice(offset, offset + Number(search.get("limit")));
    return answer({ dag_runs: page, total_entries: runs.length });
  }),
  http.post(`${API}/dags/:dagId/dagRuns`, async ({ request, params }) => {
    await note(request);
    const last = world.runs.find((run) => run.dag_id === params["dagId"]);
    return found(last && { ...last, dag_run_id: "manual__new", state: "queued" }, "The DAG");
  }),
  http.get(RUN, ({ params }) =>
    found(
      world.runs.find((run) => run.dag_run_id === params["runId"]),
      "The DagRun",
    ),
  ),
  http.get(`${RUN}/taskInstances`, ({ request }) => {
    const wanted = new URL(request.url).searchParams.get("task_id");
    const tasks = world.tasks.filter((task) => wanted === null || task.task_id === wanted);
    return answer({ task_instances: tasks, total_entries: tasks.length });
  }),
  http.get(`${RUN}/taskInstances/:taskId/tries`, ({ params }) => {
    const tries = world.tasks.filter((task) => task.task_id === params["taskId"]);
    return answer({ task_instances: tries, total_entries: tries.length });
  }),
  http.get(`${RUN}/taskInstances/:taskId/logs/:tryNumber`, ({ request }) => {
    logTokens.push(new URL(request.url).searchParams.get("token"));
    const page = world.logs.length > 1 ? world.logs.shift() : world.logs[0];
    return answer({ ...(page ?? { content: [], continuation_token: null }) });
  }),
  http.get(`${RUN}/taskInstances/:taskId`, ({ params }) =>
    found(
      world.tasks.find((task) => task.task_id === params["taskId"]),
      "The task instance",
    ),
  ),
  http.get(`${RUN}/taskInstances/:taskId/:mapIndex`, ({ params }) =>
    found(
      world.tasks.find((task) => task.task_id === params["taskId"] && task.map_index === Number(params["mapIndex"])),
      "The task instance",
    ),
  ),
  http.post(`${API}/dags/:dagId/clearTaskInstances`, async ({ request }) => {
    await note(request);
    const body = (await request.json()) as { only_failed: boolean; task_ids?: string[]; include_downstream: boolean };
    const first = world.tasks.findIndex((task) => task.task_id === body.task_ids?.[0]);
    const chosen = body.only_failed
      ? world.tasks.filter((task) => task.state === "failed" || task.state === "upstream_failed")
      : world.tasks.slice(first, body.include_downstream ? undefined : first + 1);
    return answer({ task_instances: chosen, total_entries: chosen.length });
  }),
  http.get("*/ui/events", () =>
    world.events === null
      ? new HttpResponse(null, { status: 204 })
      : new HttpResponse(world.events, { headers: { "Content-Type": "text/event-stream" } }),
  ),
  http.get("*/ui/tries/:dagId/:runId/:taskId", () => answer({ tries: world.tries })),
  http.get("*/ui/why/:dagId/:runId/:taskId", ({ params }) =>
    answer({
      task_id: String(params["taskId"]),
      state: null,
      reasons: world.reasons[String(params["taskId"])] ?? [],
    }),
  ),
];
