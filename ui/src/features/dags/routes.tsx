import type { RouteObject } from "react-router";

import type { Prefetch } from "../../api/prefetch";
import { dagListQuery } from "../../api/queries/dagList";
import { patterns } from "../../paths";
import { DagListPage } from "./DagListPage";
import { filterOf } from "./filter";

export const dagsRoutes = (prefetch: Prefetch): RouteObject[] => [
  {
    path: patterns.dags,
    loader: prefetch((_, search) => [dagListQuery(filterOf(search), 0)]),
    // With the shell: the other page most begin with.
    element: <DagListPage />,
  },
];
