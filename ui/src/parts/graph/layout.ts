/** Layouts, made beside the page: by ELK while it is quick enough, by our own layers otherwise. */
import { keepPreviousData, queryOptions } from "@tanstack/react-query";

import { ELK_MS, fromElk, suitsElk, toElk, type ElkNode } from "../../lib/graph/elk";
import { layers } from "../../lib/graph/layers";
import { layoutKey, type Drawn, type Layout } from "../../lib/graph/model";

/** Never older than its structure, which is in the key; a change of a state does not come here. */
export const layoutQuery = (drawn: Drawn) =>
  queryOptions({
    queryKey: ["graphLayout", layoutKey(drawn)],
    queryFn: ({ signal }) => layOut(drawn, signal),
    staleTime: Infinity,
    // A layout is taken as it is: comparing thousands of positions with those before takes longer than making them.
    structuralSharing: false,
    gcTime: 10 * 60_000,
    placeholderData: keepPreviousData,
  });

export async function layOut(drawn: Drawn, signal: AbortSignal): Promise<Layout> {
  // Where there are no workers (tests) it is done here.
  if (typeof Worker === "undefined") return layers(drawn);
  if (suitsElk(drawn)) {
    const found = await byElk(drawn, signal);
    if (found !== null) return found;
  }
  return ask(new Worker(new URL("./layers.worker.ts", import.meta.url), { type: "module" }), signal, (worker) =>
    worker.postMessage(slim(drawn), []),
  ) as Promise<Layout>;
}

/** What a layout depends on; the rest would only be copied. */
function slim({ nodes, edges }: Drawn): Drawn {
  return {
    nodes: nodes.map((node) => ({ ...node, label: "", tasks: [], node: EMPTY })),
    edges: edges.map(({ id, source, target }) => ({ id, source, target, label: null, rule: null })),
  };
}

const EMPTY = {
  id: "",
  label: "",
  kind: "task",
  parent: null,
  operator: null,
  trigger_rule: null,
  is_mapped: false,
} as const;

/** ELK's own worker script as it is shipped, speaking its protocol: register the algorithms, then lay out. Null: it took too long. */
async function byElk(drawn: Drawn, signal: AbortSignal): Promise<Layout | null> {
  const { default: url } = await import("elkjs/lib/elk-worker.min.js?url");
  const patience = new AbortController();
  const timer = setTimeout(() => patience.abort(), ELK_MS);
  try {
    const answer = await ask(new Worker(url), AbortSignal.any([signal, patience.signal]), (worker) => {
      worker.postMessage({ id: 0, cmd: "register", algorithms: ["layered"] }, []);
      worker.postMessage({ id: 1, cmd: "layout", graph: toElk(drawn), layoutOptions: {}, options: {} }, []);
    });
    return fromElk(answer as ElkNode);
  } catch (error) {
    if (signal.aborted) throw error;
    return null;
  } finally {
    clearTimeout(timer);
  }
}

/** What a worker answers, the registration of ELK left aside; the worker ends with it. */
function ask(worker: Worker, signal: AbortSignal, say: (worker: Worker) => void): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const end = () => {
      signal.removeEventListener("abort", abort);
      worker.terminate();
    };
    const abort = () => {
      end();
      reject(new DOMException("", "AbortError"));
    };
    if (signal.aborted) {
      abort();
      return;
    }
    signal.addEventListener("abort", abort);
    worker.addEventListener("error", (event) => {
      end();
      reject(new Error(event.message));
    });
    worker.addEventListener(
      "message",
      ({ data }: MessageEvent<{ id?: number; data?: unknown; error?: unknown } & object>) => {
        if (!("id" in data)) {
          end();
          resolve(data);
        } else if (data.error !== undefined) {
          end();
          reject(new Error(JSON.stringify(data.error)));
        } else if (data.id === 1) {
          end();
          resolve(data.data);
        }
      },
    );
    say(worker);
  });
}
