import { Navigate, type RouteObject } from "react-router";

import { paths, patterns } from "../../paths";

export const homeRoutes = (): RouteObject[] => [
  { path: patterns.home, element: <Navigate to={paths.dags()} replace /> },
];
