import createClient, { type Middleware } from "openapi-fetch";

import { strings } from "../lib/strings";
import { ApiError, detailText } from "./errors";
import type { components, paths } from "./schema";
import { session } from "./session";

/** The shapes of the document, by the names it gives them. */
export type Schemas = components["schemas"];
export type Dag = Schemas["DAGResponse"];
export type DagDetails = Schemas["DAGDetailsResponse"];
export type DagRun = Schemas["DAGRunResponse"];
export type DagRunState = Schemas["DagRunState"];
export type ImportError = Schemas["ImportErrorResponse"];
export type Task = Schemas["TaskResponse"];
export type TaskInstance = Schemas["TaskInstanceResponse"];
/** Airflow answers bare lines too, hence the strings. */
export type LogPage = Omit<Schemas["TaskInstancesLogResponse"], "content"> & {
  content: Schemas["TaskInstancesLogResponse"]["content"] | string[];
};

const authorization: Middleware = {
  onResponse({ response, schemaPath }) {
    if (response.status === 401 && schemaPath !== "/ui/login") session.end();
  },
};

export const client = createClient<paths>({
  baseUrl: window.location.origin,
  // Read at each call, so that tests may replace it.
  fetch: (request) => globalThis.fetch(request),
});
client.use(authorization);

/** The data of an answer; anything but a success is thrown as an [`ApiError`]. */
export async function ok<T>(call: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  let answer;
  try {
    answer = await call;
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === "AbortError") throw cause;
    throw new ApiError(0, strings.errors.network);
  }
  if (answer.response.ok) return answer.data as T;
  const { status } = answer.response;
  throw new ApiError(status, detailText(answer.error) ?? strings.errors.status(status));
}
