import { queryOptions } from "@tanstack/react-query";

import { getOwn } from "../client";

/** What is asked of what, as the server's table of permissions has it (`webserver/src/permission.rs`). */
export type Action = "Read" | "Write";
export type Resource =
  | "Dag"
  | "DagRun"
  | "Backfill"
  | "TaskInstance"
  | "Log"
  | "Source"
  | "ImportError"
  | "Asset"
  | "AuditLog"
  | "Executor"
  | "Job"
  | "Variable"
  | "Connection"
  | "Pool"
  | "XCom"
  | "Config"
  | "Plugin"
  | "Provider"
  | "User"
  | "Own";
export type Permission = `${Action}:${Resource}`;

export interface Me {
  username: string;
  role: "viewer" | "user" | "op" | "admin";
  /** What the role may do. */
  permissions?: string[];
}

/** Who is signed in. It does not change while they are. */
export const meQuery = () =>
  queryOptions({
    queryKey: ["me"],
    queryFn: ({ signal }) => getOwn<Me>("/ui/me", {}, signal),
    staleTime: Infinity,
  });
