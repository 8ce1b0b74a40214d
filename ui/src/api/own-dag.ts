/** What the pages of a DAG ask of `/ui/*`. */
import type { CalendarCell } from "../lib/calendar/calendar";
import type { GridAnswer } from "../lib/grid/types";

type Json<T> = { headers: { [name: string]: unknown }; content: { "application/json": T } };
type Failure = Json<{ detail: unknown }>;

interface Get<Path, Query, Answer> {
  parameters: { query?: never; header?: never; path?: never; cookie?: never };
  get: {
    parameters: { query?: Query; header?: never; path: Path; cookie?: never };
    requestBody?: never;
    responses: { 200: Json<Answer>; 401: Failure; 404: Failure; 422: Failure };
  };
}

interface OfDag {
  dag_id: string;
}

export interface GridQuery {
  /** How many runs, the newest first. */
  limit?: number;
  /** Only runs due before this time. */
  before?: string;
  run_type?: string;
  state?: string;
}

export interface StructureEdge {
  source: string;
  target: string;
}

/** One time at which a DAG fires. */
export interface FireTime {
  run_after: string;
  data_interval_start: string | null;
  data_interval_end: string | null;
  utc_offset_seconds: number;
  dst_change: boolean;
}

export interface OwnDagPaths {
  "/ui/grid/{dag_id}": Get<OfDag, GridQuery, GridAnswer>;
  "/ui/calendar/{dag_id}": Get<
    OfDag,
    { from: string; to: string; granularity: "day" | "hour"; timezone: string },
    { cells: CalendarCell[] }
  >;
}
