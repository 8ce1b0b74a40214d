import { queryOptions } from "@tanstack/react-query";

import { client, ok, type Schemas } from "../client";

/** What is asked of what, as the server's table of permissions has it (`webserver/src/permission.rs`). */
export type Action = "Read" | "Write";
export const RESOURCES = [
  "Dag",
  "DagRun",
  "Backfill",
  "TaskInstance",
  "Log",
  "Source",
  "ImportError",
  "Asset",
  "AuditLog",
  "Executor",
  "Job",
  "Variable",
  "Connection",
  "Pool",
  "XCom",
  "Config",
  "Plugin",
  "Provider",
  "User",
  "Own",
] as const;
export type Resource = (typeof RESOURCES)[number];
export type Permission = `${Action}:${Resource}`;

export type Me = Schemas["MeResponse"];

/** Who is signed in. It does not change while they are. */
export const meQuery = () =>
  queryOptions({
    queryKey: ["me"],
    queryFn: ({ signal }) => ok(client.GET("/ui/me", { signal })),
    staleTime: Infinity,
  });
