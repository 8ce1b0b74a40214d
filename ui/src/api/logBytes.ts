import { session } from "./session";
import { ApiError } from "./errors";
import type { TaskKey } from "./queries/run";
import type { ReadBytes } from "../lib/log/pages";
import { strings } from "../lib/strings";

/** Where the bytes of a try's log are, to read ranges of, and to download whole. */
export function logAddress({ dagId, runId, taskId, mapIndex }: TaskKey, tryNumber: number): string {
  const path = [dagId, runId, taskId, tryNumber].map(encodeURIComponent).join("/");
  return `${window.location.origin}/ui/logs/${path}${mapIndex < 0 ? "" : `?map_index=${mapIndex}`}`;
}

/** Ranges of the log behind an address. */
export function readLog(address: string): ReadBytes {
  let isKnown = false;
  return async (from, to, signal) => {
    // No range of an empty log can be asked for: first whether there is something.
    if (!isKnown) {
      const { headers } = await ask(address, { method: "HEAD", signal });
      if (Number(headers.get("Content-Length")) === 0) return { bytes: new Uint8Array(), from: 0, total: 0 };
      isKnown = true;
    }
    const end = to === Number.MAX_SAFE_INTEGER ? "" : to - 1;
    const headers = { Range: from === null ? `bytes=-${to}` : `bytes=${from}-${end}` };
    const answer = await ask(address, { headers, signal });
    const bytes = new Uint8Array(await answer.arrayBuffer());
    const [, first, total] = /^bytes (\d+)-\d+\/(\d+)$/.exec(answer.headers.get("Content-Range") ?? "") ?? [];
    return { bytes, from: Number(first ?? 0), total: Number(total ?? bytes.length) };
  };
}

async function ask(address: string, how: { method?: string; headers?: Record<string, string>; signal?: AbortSignal }) {
  let answer;
  try {
    answer = await globalThis.fetch(address, { ...how, cache: "no-store" });
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === "AbortError") throw cause;
    throw new ApiError(0, strings.errors.network);
  }
  if (answer.status === 401) session.end();
  if (!answer.ok) throw new ApiError(answer.status, strings.errors.status(answer.status));
  return answer;
}
