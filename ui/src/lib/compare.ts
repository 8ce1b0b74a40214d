/** A run beside an earlier one that went well: what is not the same. */

interface RunLike {
  conf: Record<string, unknown> | null;
  dag_versions: readonly { version_number: number }[];
}

interface TaskLike {
  task_id: string;
  map_index: number;
  hostname: string | null;
  duration: number | null;
}

export interface Change<T> {
  before: T;
  after: T;
}

export interface TaskChange<Task, T> extends Change<T> {
  task: Task;
}

export interface Comparison<Task> {
  /** Null: the same version. */
  version: Change<number | null> | null;
  /** Keys of the conf whose value is another one; undefined where there is none. */
  conf: (Change<unknown> & { key: string })[];
  /** Tasks that broke, and ran elsewhere. */
  nodes: TaskChange<Task, string>[];
  /** Tasks that took much longer or shorter, the largest difference first. */
  durations: TaskChange<Task, number>[];
}

/** Less than this many seconds or times is not worth a word. */
const SECONDS = 5;
const TIMES = 1.5;

const versionOf = (run: RunLike) => run.dag_versions.at(-1)?.version_number ?? null;
const same = (a: unknown, b: unknown) => canonical(a) === canonical(b);

/** JSON in which the order of keys does not matter. */
function canonical(value: unknown): string {
  return (
    JSON.stringify(value, (_, inner: unknown) =>
      inner !== null && typeof inner === "object" && !Array.isArray(inner)
        ? Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : 1)))
        : inner,
    ) ?? ""
  );
}

const keyOf = (task: TaskLike) => `${task.task_id} ${task.map_index}`;

/** `broken`: the ids of the tasks whose node is of interest; where the others ran is chance. */
export function compare<Task extends TaskLike>(
  run: RunLike & { tasks: readonly Task[] },
  good: RunLike & { tasks: readonly TaskLike[] },
  broken: ReadonlySet<string>,
): Comparison<Task> {
  const [before, after] = [versionOf(good), versionOf(run)];
  const [was, is] = [good.conf ?? {}, run.conf ?? {}];
  const keys = [...new Set([...Object.keys(was), ...Object.keys(is)])].filter((key) => !same(was[key], is[key]));
  const then = new Map(good.tasks.map((task) => [keyOf(task), task]));
  const pairs = run.tasks.flatMap((task) => {
    const other = then.get(keyOf(task));
    return other === undefined ? [] : [{ task, other }];
  });
  return {
    version: before === after ? null : { before, after },
    conf: keys.map((key) => ({ key, before: was[key], after: is[key] })),
    nodes: pairs.flatMap(({ task, other }) =>
      broken.has(task.task_id) && task.hostname && other.hostname && task.hostname !== other.hostname
        ? [{ task, before: other.hostname, after: task.hostname }]
        : [],
    ),
    durations: pairs
      .flatMap(({ task, other }) =>
        task.duration !== null && other.duration !== null && differ(task.duration, other.duration)
          ? [{ task, before: other.duration, after: task.duration }]
          : [],
      )
      .toSorted((a, b) => Math.abs(b.after - b.before) - Math.abs(a.after - a.before)),
  };
}

const differ = (a: number, b: number) =>
  Math.abs(a - b) >= SECONDS && Math.max(a, b) >= TIMES * Math.max(Math.min(a, b), 0.001);
