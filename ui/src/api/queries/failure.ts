import { queryOptions } from "@tanstack/react-query";

import { parseLines } from "../../lib/log/lines";
import { findFailure, place, sentenceOf } from "../../lib/log/traceback";
import { logAddress, readLog } from "../logBytes";
import type { TaskKey } from "./run";

/** Of the end of a log: enough for a traceback. */
const TAIL = 24_000;

export interface LastError {
  /** Null: no exception, only the last error line. */
  kind: string | null;
  /** `ConnectionError: POST … → 503` */
  sentence: string;
  /** `payments.py:22` and the function, of the frame to look at first. */
  place: string | null;
  /** Where it stands in the log. */
  offset: number;
}

/** What a failed try said last, read from the end of its log; null when nothing there looks like an error. */
export const lastErrorQuery = (task: TaskKey, tryNumber: number) =>
  queryOptions({
    queryKey: ["run", task.dagId, task.runId, "lastError", task.taskId, task.mapIndex, tryNumber],
    queryFn: async ({ signal }): Promise<LastError | null> => {
      const { bytes, from } = await readLog(logAddress(task, tryNumber))(null, TAIL, signal);
      const start = from === 0 ? 0 : bytes.indexOf(10) + 1;
      const lines = parseLines(bytes.subarray(start), from + start, true);
      const failure = findFailure(lines);
      if (failure === null) return null;
      const { culprit } = failure;
      return {
        kind: failure.kind,
        sentence: sentenceOf(failure),
        place: culprit === null ? null : [place(culprit), culprit.name].filter(Boolean).join(" "),
        offset: lines[failure.index]?.offset ?? 0,
      };
    },
    // A try that has failed says nothing more.
    staleTime: Infinity,
  });
