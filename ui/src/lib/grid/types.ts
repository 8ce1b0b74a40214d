/** The answer of `GET /ui/grid/{dag_id}`: the runs of a DAG times its tasks. */
import type { components } from "../../api/schema";

type Schemas = components["schemas"];

/** Runs oldest first; nodes in the order in which they are shown, groups before what is in them; cells by run, aligned with the nodes that are tasks. */
export type GridAnswer = Schemas["GridResponse"];
export type GridNode = Schemas["StructureNode"];
export type GridRun = Schemas["GridRunResponse"];
/** Null: the task has no instance in that run. */
export type Cell = Schemas["GridCell"];
/** State (an index into `states`), try, start and end in milliseconds since the epoch. */
export type OneCell = Extract<Cell, unknown[]>;
/** How many instances of a mapped task are in which state. */
export type ManyCell = Schemas["GridMappedCell"];
