import type { RouteObject } from "react-router";

import type { Prefetch } from "../../api/prefetch";
import { calendarQuery } from "../../api/queries";
import { periodOf } from "./period";

export const calendarTabs = (prefetch: Prefetch): RouteObject[] => [
  {
    path: "calendar",
    loader: prefetch(({ dagId = "" }, search) => [calendarQuery({ dagId, ...periodOf(search, Date.now()).asked })]),
    lazy: { Component: async () => (await import("./CalendarPage")).CalendarPage },
  },
];
