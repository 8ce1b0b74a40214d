/** Nodes, pools, variables, connections, import errors, users, tokens, the configuration. */
import { keepPreviousData, queryOptions } from "@tanstack/react-query";

import { pollInterval } from "../../lib/live";
import { client, ok, type Schemas } from "../client";

export type Executor = Schemas["ExecutorResponse"];
export type ExecutorAttempt = Schemas["ExecutorAttemptResponse"];

export const executorsQuery = () =>
  queryOptions({
    queryKey: ["executors", "list"],
    queryFn: ({ signal }) => ok(client.GET("/ui/executors", { signal })),
    refetchInterval: () => pollInterval(true),
  });

export const executorQuery = (name: string) =>
  queryOptions({
    queryKey: ["executors", "one", name],
    queryFn: ({ signal }) => ok(client.GET("/ui/executors/{name}", { params: { path: { name } }, signal })),
    refetchInterval: () => pollInterval(true),
  });

export type Pool = Schemas["PoolUseResponse"];
export type PoolTask = Schemas["PoolTaskResponse"];

export const poolsQuery = () =>
  queryOptions({
    queryKey: ["pools"],
    queryFn: ({ signal }) => ok(client.GET("/ui/pools", { signal })),
    refetchInterval: () => pollInterval(true),
  });

export const poolQuery = (name: string) =>
  queryOptions({ ...poolsQuery(), select: ({ pools }) => pools.find((pool) => pool.name === name) });

export const ADMIN_PER_PAGE = 50;
const page = (n: number) => ({ limit: ADMIN_PER_PAGE, offset: (n - 1) * ADMIN_PER_PAGE });

export const variablesQuery = (q: string, n: number) =>
  queryOptions({
    queryKey: ["variables", q, n],
    queryFn: ({ signal }) => {
      const query = { ...page(n), order_by: ["key"], ...(q === "" ? {} : { variable_key_pattern: `%${q}%` }) };
      return ok(client.GET("/api/v2/variables", { params: { query }, signal }));
    },
    placeholderData: keepPreviousData,
  });

export const connectionsQuery = (q: string, n: number) =>
  queryOptions({
    queryKey: ["connections", q, n],
    queryFn: ({ signal }) => {
      const query = {
        ...page(n),
        order_by: ["connection_id"],
        ...(q === "" ? {} : { connection_id_pattern: `%${q}%` }),
      };
      return ok(client.GET("/api/v2/connections", { params: { query }, signal }));
    },
    placeholderData: keepPreviousData,
  });

export type FileError = Schemas["FileFindingResponse"];
export type FileErrors = Schemas["FileErrorsResponse"];

export const fileErrorsQuery = () =>
  queryOptions({
    queryKey: ["importErrors", "files"],
    queryFn: ({ signal }) => ok(client.GET("/ui/import_errors", { signal })),
    refetchInterval: () => pollInterval(false),
  });

export type User = Schemas["UserResponse"];
export type Role = User["role"];
export const ROLES = ["viewer", "user", "op", "admin"] as const satisfies Role[];

export const usersQuery = (n: number) =>
  queryOptions({
    queryKey: ["users", n],
    queryFn: ({ signal }) => ok(client.GET("/ui/users", { params: { query: page(n) }, signal })),
    placeholderData: keepPreviousData,
  });

export type Token = Schemas["TokenResponse"];

export const tokensQuery = (n: number) =>
  queryOptions({
    queryKey: ["tokens", n],
    queryFn: ({ signal }) => ok(client.GET("/ui/tokens", { params: { query: page(n) }, signal })),
    placeholderData: keepPreviousData,
  });

export interface ConfigSection {
  name: string;
  /** `source` and `default`: when the server says them. */
  options: { key: string; value: string; source?: string | null; default?: string | null }[];
}

export const configQuery = () =>
  queryOptions({
    queryKey: ["config"],
    queryFn: async ({ signal }) => {
      const answer = await ok(
        client.GET("/api/v2/config", { params: {}, headers: { accept: "application/json" }, signal }),
      );
      return (answer as { sections: ConfigSection[] }).sections;
    },
    staleTime: 60_000,
  });
