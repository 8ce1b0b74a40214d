/** What the graph and the schedule of a DAG ask of `/ui/*`. */
import type { Structure } from "../lib/graph/model";

type Json<T> = { headers: { [name: string]: unknown }; content: { "application/json": T } };
type Failure = Json<{ detail: unknown }>;

interface OfDag<Query, Answer> {
  parameters: { query?: never; header?: never; path?: never; cookie?: never };
  get: {
    parameters: { query?: Query; header?: never; path: { dag_id: string }; cookie?: never };
    requestBody?: never;
    responses: { 200: Json<Answer>; 401: Failure; 404: Failure };
  };
}

/** One of the times at which a DAG will fire. */
export interface NextRun {
  run_after: string;
  data_interval_start: string | null;
  data_interval_end: string | null;
  /** Of the DAG's zone, at that time. */
  utc_offset_seconds: number;
  /** The clocks of the DAG's zone changed since the time before it. */
  dst_change: boolean;
}

export interface Schedule {
  timezone: string;
  summary: string | null;
  description: string | null;
  next: NextRun[];
}

export interface OwnGraphPaths {
  "/ui/structure/{dag_id}": OfDag<{ version_number?: number }, Structure>;
  "/ui/schedule/{dag_id}": OfDag<{ count?: number }, Schedule>;
}
