import type { RouteObject } from "react-router";

import type { Prefetch } from "../../api/prefetch";
import {
  configQuery,
  connectionsQuery,
  executorsQuery,
  fileErrorsQuery,
  poolsQuery,
  tokensQuery,
  usersQuery,
  variablesQuery,
} from "../../api/queries/admin";
import { patterns } from "../../paths";
import { pageOf } from "../../ui/Pager";

/** Nodes, pools, variables, connections, import errors, users, tokens, config. */
export const adminRoutes = (prefetch: Prefetch): RouteObject[] => [
  {
    path: patterns.nodes,
    loader: prefetch(() => [executorsQuery()]),
    lazy: { Component: async () => (await import("./NodesPage")).NodesPage },
  },
  {
    path: patterns.pools,
    loader: prefetch(() => [poolsQuery()]),
    lazy: { Component: async () => (await import("./PoolsPage")).PoolsPage },
  },
  {
    path: patterns.variables,
    loader: prefetch((_, search) => [variablesQuery(search.get("q") ?? "", pageOf(search))]),
    lazy: { Component: async () => (await import("./VariablesPage")).VariablesPage },
  },
  {
    path: patterns.connections,
    loader: prefetch((_, search) => [connectionsQuery(search.get("q") ?? "", pageOf(search))]),
    lazy: { Component: async () => (await import("./ConnectionsPage")).ConnectionsPage },
  },
  {
    path: patterns.importErrors,
    loader: prefetch(() => [fileErrorsQuery()]),
    lazy: { Component: async () => (await import("./ImportErrorsPage")).ImportErrorsPage },
  },
  {
    path: patterns.users,
    loader: prefetch((_, search) => [usersQuery(pageOf(search))]),
    lazy: { Component: async () => (await import("./UsersPage")).UsersPage },
  },
  {
    path: patterns.tokens,
    loader: prefetch((_, search) => [tokensQuery(pageOf(search))]),
    lazy: { Component: async () => (await import("./TokensPage")).TokensPage },
  },
  {
    path: patterns.config,
    loader: prefetch(() => [configQuery()]),
    lazy: { Component: async () => (await import("./ConfigPage")).ConfigPage },
  },
];
