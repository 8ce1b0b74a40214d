/** The answer of `GET /ui/grid/{dag_id}`: the runs of a DAG times its tasks. */

export interface GridNode {
  id: string;
  label: string;
  kind: "task" | "group";
  parent: string | null;
  depth: number;
  operator: string | null;
  is_mapped: boolean;
  trigger_rule: string | null;
}

export interface GridRun {
  dag_run_id: string;
  run_type: string;
  state: string;
  run_after: string;
  logical_date: string | null;
  queued_at: string | null;
  start_date: string | null;
  end_date: string | null;
  /** Seconds. */
  duration: number | null;
  dag_version_number: number | null;
  note: boolean;
  failed_tasks: number;
}

/** State (an index into `states`), try, start and end in milliseconds since the epoch. */
export type OneCell = [number, number, number | null, number | null];
/** How many instances of a mapped task are in which state. */
export interface ManyCell {
  counts: Record<string, number>;
  start?: number | null;
  end?: number | null;
}
/** Null: the task has no instance in that run. */
export type Cell = OneCell | ManyCell | null;

export interface GridAnswer {
  dag_version_number: number | null;
  /** In the order in which they are shown; groups stand before what is in them. */
  nodes: GridNode[];
  /** Oldest first. */
  runs: GridRun[];
  states: (string | null)[];
  /** By run; aligned with the nodes that are tasks. */
  cells: Record<string, Cell[]>;
}
