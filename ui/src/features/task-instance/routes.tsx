import type { RouteObject } from "react-router";

import type { Prefetch } from "../../api/prefetch";
import { taskInstanceQuery } from "../../api/queries";
import { mappedTasksQuery } from "../../api/queries/task";
import { mapIndexOf } from "../../lib/filters";
import { patterns } from "../../paths";

/** A task instance: its log and everything about it. */
export const taskRoutes = (prefetch: Prefetch): RouteObject[] =>
  [patterns.log, `${patterns.task}/:tab?`].map((path) => ({
    path,
    loader: prefetch(({ dagId = "", runId = "", taskId = "" }, search) => {
      const mapIndex = mapIndexOf(search);
      return mapIndex < 0
        ? [mappedTasksQuery(dagId, runId, taskId)]
        : [taskInstanceQuery({ dagId, runId, taskId, mapIndex })];
    }),
    lazy: { Component: async () => (await import("./TaskPage")).TaskPage },
  }));
