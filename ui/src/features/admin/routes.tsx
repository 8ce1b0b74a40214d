import type { RouteObject } from "react-router";

import type { Prefetch } from "../../api/prefetch";

/** Nodes, pools, variables, connections, import errors, users, tokens, audit, config. */
export const adminRoutes = (_prefetch: Prefetch): RouteObject[] => [];
