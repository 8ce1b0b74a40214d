/** What the dashboard changes, one file per area, and which queries each change makes stale. */
export * from "./dags";
export * from "./graph";
export * from "./run";
export * from "./runs";
export * from "./session";
