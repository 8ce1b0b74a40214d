/** The site map. Loaders only start the requests of a page: the page itself reads them, so navigation waits for nothing. */
import type { QueryClient } from "@tanstack/react-query";
import { Navigate, type LoaderFunctionArgs, type RouteObject } from "react-router";

import {
  dagQuery,
  dagsQuery,
  importErrorsQuery,
  runQuery,
  runsQuery,
  taskInstanceQuery,
  taskInstancesQuery,
} from "./api/queries";
import { session } from "./api/session";
import { DagListPage, recentRuns } from "./features/dags/DagListPage";
import { DagPage } from "./features/dags/DagPage";
import { RunPage } from "./features/dag-run/RunPage";
import { RunsPage } from "./features/dag-run/RunsPage";
import { BareErrorPage, ErrorPage } from "./features/frame/ErrorPage";
import { Frame } from "./features/frame/Frame";
import { LoginPage } from "./features/login/LoginPage";
import { LogPage, mapIndexOf } from "./features/logs/LogPage";
import { runStateFilter } from "./parts/RunsTable";
import { paths, patterns } from "./paths";
import { pageOf } from "./ui/Pager";

export function routes(queries: QueryClient): RouteObject[] {
  type Options = Parameters<QueryClient["prefetchQuery"]>[0];
  type Params = Record<string, string | undefined>;
  const prefetch =
    (wanted: (params: Params, search: URLSearchParams) => unknown[]) =>
    ({ params, request }: LoaderFunctionArgs) => {
      if (!session.hasEnded()) {
        for (const query of wanted(params, new URL(request.url).searchParams))
          void queries.prefetchQuery(query as Options);
      }
      return null;
    };

  return [
    { path: patterns.login, element: <LoginPage />, errorElement: <BareErrorPage /> },
    {
      element: <Frame />,
      errorElement: <BareErrorPage />,
      HydrateFallback: () => null,
      children: [
        {
          errorElement: <ErrorPage />,
          children: [
            {
              path: patterns.dags,
              element: <DagListPage />,
              loader: prefetch((_, search) => [
                dagsQuery({ q: search.get("q") ?? "", page: pageOf(search) }),
                runsQuery(recentRuns),
                importErrorsQuery(),
              ]),
            },
            { path: "/dags", element: <Navigate to={paths.dags()} replace /> },
            {
              path: patterns.dag,
              element: <DagPage />,
              loader: prefetch(({ dagId = "" }, search) => [
                dagQuery(dagId),
                runsQuery({ dagId, state: runStateFilter(search), page: pageOf(search) }),
              ]),
            },
            {
              path: patterns.runs,
              element: <RunsPage />,
              loader: prefetch((_, search) => [
                runsQuery({ dagId: "~", state: runStateFilter(search), page: pageOf(search) }),
              ]),
            },
            {
              path: patterns.run,
              element: <RunPage />,
              loader: prefetch(({ dagId = "", runId = "" }, search) => [
                runQuery(dagId, runId),
                taskInstancesQuery(dagId, runId, pageOf(search)),
              ]),
            },
            {
              path: patterns.log,
              element: <LogPage />,
              loader: prefetch(({ dagId = "", runId = "", taskId = "" }, search) => [
                taskInstanceQuery({ dagId, runId, taskId, mapIndex: mapIndexOf(search) }),
              ]),
            },
            {
              path: "*",
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
