import type { RouteObject } from "react-router";

export const aboutRoutes = (): RouteObject[] => [];
