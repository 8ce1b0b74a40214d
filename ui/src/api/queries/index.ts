/**
 * What the dashboard asks: one file per area, one `queryOptions` per endpoint with its key, how it is fetched, how often it is
 * asked again. Keys begin with what an event is about (`api/events.ts`): ["dags", …], ["runs", dagId, …], ["run", dagId, runId, …].
 */
export * from "./client";
export * from "./assets";
export * from "./audit";
export * from "./backfills";
export * from "./dags";
export * from "./graph";
export * from "./grid";
export * from "./importErrors";
export * from "./login";
export * from "./me";
export * from "./run";
export * from "./runList";
export * from "./runs";
export * from "./admin";
export * from "./failure";
export * from "./task";
