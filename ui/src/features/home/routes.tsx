import type { RouteObject } from "react-router";

import type { Prefetch } from "../../api/prefetch";
import { homeQuery } from "../../api/queries/home";
import { patterns } from "../../paths";
import { HomePage } from "./HomePage";

export const homeRoutes = (prefetch: Prefetch): RouteObject[] => [
  {
    path: patterns.home,
    loader: prefetch(() => [homeQuery()]),
    // With the shell: it is the page most begin with.
    element: <HomePage />,
  },
];
