/** Nodes, pools, variables, connections, import errors, users, tokens, the configuration. */
import { keepPreviousData, queryOptions } from "@tanstack/react-query";

import { pollInterval } from "../../lib/live";
import { client, getOwn, ok } from "../client";

export interface Executor {
  id: number;
  name: string;
  hostname: string;
  state: "active" | "draining" | "lost" | "offline";
  is_drained: boolean;
  version: string;
  slots: number;
  used: number;
  weight: number;
  labels: Record<string, string>;
  queues: string[];
  runners: { name: string; available: boolean; reason?: string }[];
  /** What it said last of itself: bytes, cores, counts. */
  stats: Record<string, number>;
  registered_at: string;
  last_poll: string;
}

export interface ExecutorAttempt {
  attempt_id: string;
  dag_id: string;
  dag_run_id: string;
  task_id: string;
  map_index: number;
  try_number: number;
  kind: "task" | "callback";
  state: "placed" | "handed_out" | "running";
  since: string | null;
}

export const executorsQuery = () =>
  queryOptions({
    queryKey: ["executors", "list"],
    queryFn: ({ signal }) => getOwn<{ executors: Executor[]; total_entries: number }>("/ui/executors", {}, signal),
    refetchInterval: () => pollInterval(true),
  });

export const executorQuery = (name: string) =>
  queryOptions({
    queryKey: ["executors", "one", name],
    queryFn: ({ signal }) =>
      getOwn<Executor & { attempts: ExecutorAttempt[] }>(`/ui/executors/${encodeURIComponent(name)}`, {}, signal),
    refetchInterval: () => pollInterval(true),
  });

export interface PoolTask {
  dag_id: string;
  dag_run_id: string;
  task_id: string;
  map_index: number;
  since: string | null;
  priority_weight?: number;
}

export interface Pool {
  name: string;
  slots: number;
  description: string | null;
  include_deferred: boolean;
  occupied: number;
  running: number;
  queued: number;
  scheduled: number;
  deferred: number;
  open: number;
  holders: PoolTask[];
  waiting: PoolTask[];
}

export const poolsQuery = () =>
  queryOptions({
    queryKey: ["pools"],
    queryFn: ({ signal }) => getOwn<{ pools: Pool[] }>("/ui/pools", {}, signal),
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

export interface FileError {
  code: string;
  line: number | null;
  column: number | null;
  end_line?: number | null;
  /** Behind the last letter. */
  end_column?: number | null;
  message: string;
  help: string | null;
  excerpt: { line: number; text: string }[];
}

export interface FileErrors {
  import_error_id: number;
  filename: string;
  bundle_name: string | null;
  timestamp: string;
  last_good_version: number | null;
  dag_ids: string[];
  errors: FileError[];
}

export const fileErrorsQuery = () =>
  queryOptions({
    queryKey: ["importErrors", "files"],
    queryFn: ({ signal }) => getOwn<{ total_entries: number; items: FileErrors[] }>("/ui/import_errors", {}, signal),
    refetchInterval: () => pollInterval(false),
  });

export const ROLES = ["viewer", "user", "op", "admin"] as const;
export type Role = (typeof ROLES)[number];

export interface User {
  username: string;
  role: Role;
  created_at: string;
}

export const usersQuery = (n: number) =>
  queryOptions({
    queryKey: ["users", n],
    queryFn: ({ signal }) => getOwn<{ users: User[]; total_entries: number }>("/ui/users", page(n), signal),
    placeholderData: keepPreviousData,
  });

export interface Token {
  id: number;
  name: string;
  username: string;
  created_at: string;
  expires_at: string | null;
  last_used_at: string | null;
}

export const tokensQuery = (n: number) =>
  queryOptions({
    queryKey: ["tokens", n],
    queryFn: ({ signal }) => getOwn<{ tokens: Token[]; total_entries: number }>("/ui/tokens", page(n), signal),
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
