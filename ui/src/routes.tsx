/** The site map: what each feature shows, in the frame. A feature's `routes.tsx` names its pages; each page is a script of its own. */
import type { QueryClient } from "@tanstack/react-query";
import type { RouteObject } from "react-router";

import { prefetcher } from "./api/prefetch";
import { aboutRoutes } from "./features/about/routes";
import { adminRoutes } from "./features/admin/routes";
import { assetRoutes } from "./features/assets/routes";
import { auditRoutes, auditTabs } from "./features/audit/routes";
import { backfillTabs } from "./features/backfills/routes";
import { codeTabs } from "./features/code/routes";
import { calendarTabs } from "./features/calendar/routes";
import { dagRoutes } from "./features/dag/routes";
import { dagsRoutes } from "./features/dags/routes";
import { detailsTabs } from "./features/details/routes";
import { BareErrorPage, ErrorPage } from "./features/frame/ErrorPage";
import { Frame } from "./features/frame/Frame";
import { ganttTabs } from "./features/gantt/routes";
import { graphTabs } from "./features/graph/routes";
import { gridTabs } from "./features/grid/routes";
import { homeRoutes } from "./features/home/routes";
import { loginRoutes } from "./features/login/routes";
import { runRoutes } from "./features/dag-run/routes";
import { runsRoutes, runsTabs } from "./features/runs/routes";
import { taskRoutes } from "./features/task-instance/routes";
import { triggerRoutes } from "./features/trigger/routes";

export function routes(queries: QueryClient): RouteObject[] {
  const prefetch = prefetcher(queries);
  return [
    { errorElement: <BareErrorPage />, HydrateFallback: () => null, children: loginRoutes() },
    {
      element: <Frame />,
      errorElement: <BareErrorPage />,
      children: [
        {
          errorElement: <ErrorPage />,
          // While the script of the first page is on its way, its frame is there.
          HydrateFallback: () => null,
          children: [
            ...homeRoutes(prefetch),
            ...dagsRoutes(prefetch),
            ...dagRoutes(prefetch, [
              ...gridTabs(prefetch),
              ...ganttTabs(prefetch),
              ...calendarTabs(prefetch),
              ...runsTabs(prefetch),
              ...graphTabs(prefetch),
              ...codeTabs(prefetch),
              ...detailsTabs(prefetch),
              ...backfillTabs(prefetch),
              ...auditTabs(prefetch),
              ...triggerRoutes(prefetch),
            ]),
            ...runsRoutes(prefetch),
            ...runRoutes(prefetch),
            ...taskRoutes(prefetch),
            ...assetRoutes(prefetch),
            ...auditRoutes(),
            ...adminRoutes(prefetch),
            ...aboutRoutes(prefetch),
            {
              path: "*",
              element: null,
              loader: () => {
                throw new Response(null, { status: 404 });
              },
            },
          ],
        },
      ],
    },
  ];
}
