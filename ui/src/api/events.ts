/** What the server tells as it happens (`GET /ui/events`): what is shown of it is asked for again. */
import { useQueryClient, type QueryClient, type QueryKey } from "@tanstack/react-query";
import { useEffect } from "react";

import { live } from "../lib/live";
import { readEvents, type ServerEvent } from "../lib/sse";
import { session } from "./session";

/** What is shown is asked for again at most this often. */
const REFRESH_MS = 1_000;
/** The server says something at least every 25 s, if only that it is there. */
const SILENCE_MS = 60_000;
/** How long to wait before the stream is opened again: not all browsers in the same moment. */
const retryMs = () => 1_000 + Math.random() * 4_000;

type Stale = QueryKey[] | "everything";

/** The keys of the queries that an event makes stale. */
export function stale({ name, data }: Pick<ServerEvent, "name" | "data">): Stale {
  const { dag_id, dag_run_id } = JSON.parse(data) as { dag_id?: string; dag_run_id?: string };
  switch (name) {
    case "dag":
      return [["dags", "list"], ["dags", "details", dag_id], ["home"]];
    case "dag_run":
      return [["runs", dag_id], ["runs", "~"], ["run", dag_id, dag_run_id], ["dags", "list"], ["home"]];
    case "task_instance":
    case "task_instances":
      return [["run", dag_id, dag_run_id], ["home"], ["pools"], ["executors"]];
    case "import_error":
      return [["importErrors"], ["dags", "list"], ["home"]];
    case "executor":
      return [["executors"], ["home"]];
    case "reset":
      return "everything";
    default:
      return [];
  }
}

/** Asks again for what became stale: the first at once, the next when those answers are there and a while has passed. */
class Refresher {
  private keys = new Map<string, QueryKey>();
  private everything = false;
  private busy = false;

  constructor(private readonly queries: QueryClient) {}

  note(what: Stale) {
    if (what === "everything") this.everything = true;
    else for (const key of what) this.keys.set(JSON.stringify(key), key);
    void this.work();
  }

  private async work() {
    if (this.busy) return;
    this.busy = true;
    while (this.everything || this.keys.size > 0) {
      const filters = this.everything ? [{}] : [...this.keys.values()].map((queryKey) => ({ queryKey }));
      this.everything = false;
      this.keys.clear();
      await Promise.all(filters.map((filter) => this.queries.invalidateQueries(filter)));
      await sleep(REFRESH_MS);
    }
    this.busy = false;
  }
}

type Listener = (event: Pick<ServerEvent, "name" | "data">) => void;
const listeners = new Set<Listener>();

/** What is told as it happens, for a page that patches what it shows instead of asking for it again. */
export function subscribeToEvents(listener: Listener) {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/** Keeps what is shown true while the caller is shown. A hidden tab holds no connection: browsers have few for one server. */
export function useLiveUpdates() {
  const queries = useQueryClient();
  useEffect(() => {
    const refresher = new Refresher(queries);
    const seen = { id: null as string | null };
    let connection: AbortController | null = null;
    const look = () => {
      if (document.hidden) {
        connection?.abort();
        connection = null;
      } else if (connection === null) {
        connection = new AbortController();
        void follow(refresher, seen, connection.signal);
      }
    };
    look();
    document.addEventListener("visibilitychange", look);
    return () => {
      document.removeEventListener("visibilitychange", look);
      connection?.abort();
    };
  }, [queries]);
}

/** Reads the stream, again and again, until it is aborted or the server says that it has none. */
async function follow(refresher: Refresher, seen: { id: string | null }, signal: AbortSignal) {
  const begun = Date.now();
  while (!signal.aborted) {
    const silence = new Silence();
    const attempt = AbortSignal.any([signal, silence.signal]);
    try {
      const body = await connect(seen.id, attempt);
      if (body === null) {
        live.set("polled");
        return;
      }
      // What was fetched long before may be out of date. With an id the server goes on from there, or says "reset".
      if (seen.id === null && Date.now() - begun > REFRESH_MS) refresher.note("everything");
      live.set("told");
      for await (const event of readEvents(body, () => silence.heard())) {
        seen.id = event.id;
        for (const listener of listeners) listener(event);
        refresher.note(stale(event));
      }
    } catch {
      // The server is away, or we are: what is shown is polled for, and says so.
      if (!signal.aborted && live.connection() !== "away") {
        live.set("away");
        refresher.note("everything");
      }
    } finally {
      silence.stop();
    }
    await sleep(retryMs(), signal);
  }
}

/** Aborts a stream of which nothing was heard for long: a connection may be gone without anybody being told. */
class Silence {
  private readonly controller = new AbortController();
  private timer: ReturnType<typeof setTimeout> | undefined;
  readonly signal = this.controller.signal;

  constructor() {
    this.heard();
  }

  heard() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.controller.abort(), SILENCE_MS);
  }

  stop() {
    clearTimeout(this.timer);
  }
}

async function connect(id: string | null, signal: AbortSignal): Promise<ReadableStream<Uint8Array> | null> {
  const headers: Record<string, string> = id === null ? {} : { "Last-Event-ID": id };
  const answer = await globalThis.fetch(`${window.location.origin}/ui/events`, { headers, signal });
  if (answer.status === 401) session.end();
  if (answer.status >= 500) throw new Error(`no events: ${answer.status}`);
  const isStream = answer.headers.get("Content-Type")?.startsWith("text/event-stream") ?? false;
  return answer.ok && isStream ? answer.body : null;
}

/** Resolves early when aborted. */
function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
