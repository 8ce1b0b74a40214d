/** Endpoints that are Updraft's own, not in Airflow's document; written by hand until our openapi.json has them. */
import type { Reason } from "../lib/reasons";
import type { OwnDagPaths } from "./own-dag";
import type { OwnGraphPaths } from "./own-graph";

type Json<T> = { headers: { [name: string]: unknown }; content: { "application/json": T } };
type Failure = Json<{ detail: unknown }>;

/** How a try was carried out, and why it failed; null is what is not known. */
export interface TryFacts {
  try_number: number;
  state: string | null;
  /** The node. */
  hostname: string;
  pid: number | null;
  exit_code: number | null;
  failure_class: string | null;
  failure_reason: string | null;
  image: string | null;
  image_digest: string | null;
  container_id: string | null;
  command: string[];
  /** Bytes. */
  peak_memory: number | null;
}

/** The parameters of what is asked of one task instance. */
interface OfTask {
  query?: { map_index?: number };
  header?: never;
  path: { dag_id: string; dag_run_id: string; task_id: string };
  cookie?: never;
}

export interface OwnPaths extends OwnDagPaths, OwnGraphPaths {
  "/ui/login": {
    parameters: { query?: never; header?: never; path?: never; cookie?: never };
    get: {
      parameters: { query?: never; header?: never; path?: never; cookie?: never };
      requestBody?: never;
      responses: { 200: Json<{ oidc: boolean }> };
    };
    post: {
      parameters: { query?: never; header?: never; path?: never; cookie?: never };
      requestBody: { content: { "application/json": { username: string; password: string } } };
      responses: { 204: { headers: { [name: string]: unknown }; content?: never }; 401: Failure; 429: Failure };
    };
  };
  "/ui/tries/{dag_id}/{dag_run_id}/{task_id}": {
    parameters: { query?: never; header?: never; path?: never; cookie?: never };
    get: {
      parameters: OfTask;
      requestBody?: never;
      responses: { 200: Json<{ tries: TryFacts[] }>; 401: Failure; 404: Failure };
    };
  };
  "/ui/why/{dag_id}/{dag_run_id}/{task_id}": {
    parameters: { query?: never; header?: never; path?: never; cookie?: never };
    get: {
      parameters: OfTask;
      requestBody?: never;
      responses: {
        200: Json<{ task_id: string; state: string | null; reasons: Reason[] }>;
        401: Failure;
        404: Failure;
      };
    };
  };
}
