import type { DagRun, TaskInstance } from "../../api/client";
import { isFinished } from "../../lib/states";
import { strings } from "../../lib/strings";
import { duration, elapsed } from "../../lib/time";

/** How a run stands, in a sentence. */
export function sentenceOf(run: DagRun, tasks: TaskInstance[], now: number): string {
  const words = strings.run.sentence;
  const seconds = elapsed(run, now);
  const took = seconds === null ? null : duration(seconds);
  const failed = tasks.filter((task) => task.state === "failed").length;
  switch (run.state) {
    case "queued":
      return words.queued;
    case "running":
      return words.running(tasks.filter((task) => isFinished(task.state)).length, tasks.length);
    case "success":
      return failed > 0 ? words.successWithFailures(took ?? "", failed) : words.success(took ?? "");
    case "failed":
      return took === null ? words.failedAtOnce : words.failed(took);
  }
}

/** How long it took beside what is usual: `slower` only when that is worth a word. */
export function comparison(seconds: number | null, usual: number | null): string | null {
  if (seconds === null || usual === null || usual <= 0) return null;
  const times = seconds / usual;
  const words = strings.run.sentence;
  return times >= 2 && seconds - usual > 5
    ? words.slower(times < 10 ? times.toFixed(1) : String(Math.round(times)))
    : words.usual(duration(usual));
}
