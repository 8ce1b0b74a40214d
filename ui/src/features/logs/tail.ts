import { useEffect, useReducer, useRef } from "react";

import type { LogPage } from "../../api/client";
import { messageOf } from "../../api/errors";
import { fetchLog, type TaskKey } from "../../api/queries";
import { stripAnsi } from "../../lib/ansi";

export interface Line {
  timestamp: string | null;
  level: string | null;
  logger: string | null;
  event: string;
}

export interface Tail {
  lines: Line[];
  /** Nothing more will come. */
  ended: boolean;
  /** Why the last question failed; it is asked again. */
  error: string | null;
}

const POLL_MS = 1_000;
const RETRY_MS = 3_000;

const optional = (value: unknown) => (typeof value === "string" ? value : null);

export function linesOf(content: LogPage["content"]): Line[] {
  return content.map((item) =>
    typeof item === "string"
      ? { timestamp: null, level: null, logger: null, event: stripAnsi(item) }
      : {
          timestamp: optional(item.timestamp),
          level: optional(item["level"]),
          logger: optional(item["logger"]),
          event: stripAnsi(item.event),
        },
  );
}

type Change =
  | { type: "reset" }
  | { type: "page"; lines: Line[]; append: boolean; ended: boolean }
  | { type: "failed"; error: string };

const EMPTY: Tail = { lines: [], ended: false, error: null };

export function reduce(tail: Tail, change: Change): Tail {
  switch (change.type) {
    case "reset":
      return EMPTY;
    case "page": {
      // The same array when nothing came, so that nothing is drawn again.
      const appended = change.lines.length === 0 ? tail.lines : [...tail.lines, ...change.lines];
      return { lines: change.append ? appended : change.lines, ended: change.ended, error: null };
    }
    case "failed":
      return { ...tail, error: change.error };
  }
}

/**
 * The log of one try, from its start, and what is written while the page is open. `live`: the try can still write.
 *
 * A continuation token asks for what came after the last answer; a server that gave none is asked for the whole log again
 * while the try lives. It ends when the try does, after one more answer that brought nothing.
 */
export function useLogTail(task: TaskKey, tryNumber: number, live: boolean): Tail {
  const [tail, change] = useReducer(reduce, EMPTY);
  const alive = useRef(live);
  useEffect(() => {
    alive.current = live;
  }, [live]);
  const { dagId, runId, taskId, mapIndex } = task;

  useEffect(() => {
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let token: string | null = null;
    change({ type: "reset" });

    const step = async () => {
      if (document.hidden) {
        timer = setTimeout(step, POLL_MS);
        return;
      }
      // Read before the question: what was written while it was alive is in an answer to a question asked afterwards.
      const wasAlive = alive.current;
      const append = token !== null;
      try {
        const page = await fetchLog({ dagId, runId, taskId, mapIndex }, tryNumber, token, abort.signal);
        if (abort.signal.aborted) return;
        const lines = linesOf(page.content);
        token = page.continuation_token;
        const ended = !wasAlive && (token === null || (append && lines.length === 0));
        change({ type: "page", lines, append, ended });
        // A long log comes in several answers: the next one is asked for at once.
        if (!ended) timer = setTimeout(step, append && lines.length > 0 ? POLL_MS / 4 : POLL_MS);
      } catch (thrown) {
        if (abort.signal.aborted) return;
        change({ type: "failed", error: messageOf(thrown) });
        timer = setTimeout(step, RETRY_MS);
      }
    };
    void step();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [dagId, runId, taskId, mapIndex, tryNumber]);

  return tail;
}
