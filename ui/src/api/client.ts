import createClient, { type Middleware } from "openapi-fetch";

import { strings } from "../lib/strings";
import { ApiError, detailText } from "./errors";
import type { OwnPaths } from "./own";
import type { components, paths } from "./schema";
import { session } from "./session";

type Schemas = components["schemas"];
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

export const client = createClient<paths & OwnPaths>({
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

type QueryValue = string | number | boolean | null | undefined | readonly (string | number)[];

/**
 * GET of an endpoint of our own, `/ui/…`, for which the document has no type; the caller names it. Null, undefined and "" are left
 * out of the query; a list is repeated.
 */
export async function getOwn<T>(
  path: string,
  query: Record<string, QueryValue> = {},
  signal?: AbortSignal,
): Promise<T> {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") search.append(key, String(one));
    }
  }
  const url = new URL(path, window.location.origin);
  url.search = search.toString();
  return sendOwn<T>(new Request(url, { headers: { Accept: "application/json" }, ...(signal ? { signal } : {}) }));
}

/** The same for a request that changes something. */
export const postOwn = <T>(path: string, body: unknown, method: "POST" | "PUT" | "PATCH" | "DELETE" = "POST") =>
  sendOwn<T>(
    new Request(new URL(path, window.location.origin), {
      method,
      headers: { Accept: "application/json", "Content-Type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    }),
  );

async function sendOwn<T>(request: Request): Promise<T> {
  const answer = globalThis.fetch(request).then(async (response) => {
    if (response.status === 401) session.end();
    const text = await response.text();
    let data: unknown;
    try {
      data = text === "" ? undefined : JSON.parse(text);
    } catch {
      data = text;
    }
    return response.ok ? { data: data as T, response } : { error: data, response };
  });
  return ok<T>(answer);
}
