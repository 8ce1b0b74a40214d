import type { RouteObject } from "react-router";

import type { Prefetch } from "../../api/prefetch";

/** Tabs of a DAG; their paths are relative to it (`DAG_TABS`). */
export const graphTabs = (_prefetch: Prefetch): RouteObject[] => [];

/** Assets, the form that triggers a DAG. */
export const graphRoutes = (_prefetch: Prefetch): RouteObject[] => [];
