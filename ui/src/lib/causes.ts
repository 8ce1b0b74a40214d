/** Of a run: what broke by itself, and what only did not run because of it. */
export interface TaskState {
  task_id: string;
  map_index: number;
  state: string | null;
}

export interface Cause<T extends TaskState> {
  taskId: string;
  failed: T[];
  /** Instances of the task, failed or not. */
  instances: number;
}

export interface Causes<T extends TaskState> {
  /** Tasks that failed, those with the most failures first. */
  roots: Cause<T>[];
  /** Tasks that did not run because of them. */
  consequences: string[];
  /** Tasks that failed and will be tried again. */
  retrying: Cause<T>[];
}

function groupBy<T>(things: readonly T[], key: (thing: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const thing of things) {
    const group = groups.get(key(thing));
    if (group === undefined) groups.set(key(thing), [thing]);
    else group.push(thing);
  }
  return groups;
}

export function causes<T extends TaskState>(tasks: readonly T[]): Causes<T> {
  const byTask = groupBy(tasks, (task) => task.task_id);
  const of = (state: string) =>
    [...byTask].flatMap(([taskId, all]) => {
      const failed = all.filter((task) => task.state === state);
      return failed.length === 0 ? [] : [{ taskId, failed, instances: all.length }];
    });
  const roots = of("failed");
  const failed = new Set(roots.map((cause) => cause.taskId));
  return {
    roots: roots.toSorted((a, b) => b.failed.length - a.failed.length),
    consequences: of("upstream_failed")
      .map((cause) => cause.taskId)
      .filter((taskId) => !failed.has(taskId)),
    retrying: of("up_for_retry"),
  };
}

/** Errors that differ only in numbers, ids and what is quoted are one kind of error. */
export const kindOf = (sentence: string) =>
  sentence
    .replaceAll(/(["'`])(?:(?!\1).){1,200}\1/g, "…")
    .replaceAll(/\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\b0x[0-9a-f]+\b|\b[0-9a-f]{12,}\b/gi, "…")
    .replaceAll(/\d+/g, "#")
    .slice(0, 300);

/** Things by their kind of error, the most frequent first. */
export function byKind<T>(
  things: readonly T[],
  sentence: (thing: T) => string | null,
): { kind: string; things: T[] }[] {
  const groups = groupBy(things, (thing) => kindOf(sentence(thing) ?? ""));
  return [...groups]
    .map(([kind, all]) => ({ kind, things: all }))
    .toSorted((a, b) => b.things.length - a.things.length);
}
