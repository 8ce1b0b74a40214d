import type { RouteObject } from "react-router";

import { patterns } from "../../paths";

export const loginRoutes = (): RouteObject[] => [
  { path: patterns.login, lazy: { Component: async () => (await import("./LoginPage")).LoginPage } },
];
