import { keepPreviousData, queryOptions } from "@tanstack/react-query";

import { pollInterval } from "../../lib/live";
import { client, ok, type Schemas } from "../client";

export type ListedDag = Schemas["DagListItem"];
export type ListedRun = Schemas["DagListRun"];
export type DagList = Schemas["DagListResponse"];

export const DAG_STATES = ["failed", "running", "waiting"] as const;
export const DAG_ORDERS = ["failing", "name", "-name", "next_run", "-next_run", "last_run", "-last_run"] as const;

export interface DagListFilter {
  q: string;
  tags: string[];
  owners: string[];
  state: (typeof DAG_STATES)[number] | null;
  paused: boolean | null;
  favorite: boolean;
  order: (typeof DAG_ORDERS)[number];
}

/** So many DAGs are asked for at once, when they come into sight. */
export const DAG_WINDOW = 60;

export const dagListQuery = (filter: DagListFilter, window: number) =>
  queryOptions({
    queryKey: ["dags", "list", "window", filter, window],
    queryFn: ({ signal }) => {
      const { q, tags, owners, state, paused, favorite, order } = filter;
      const query = {
        limit: DAG_WINDOW,
        offset: window * DAG_WINDOW,
        tag: tags,
        owner: owners,
        favorite,
        order_by: [order],
        ...(q === "" ? {} : { q }),
        ...(state === null ? {} : { state }),
        ...(paused === null ? {} : { paused }),
      };
      return ok(client.GET("/ui/dags", { params: { query }, signal }));
    },
    refetchInterval: () => pollInterval(false),
    ...(window === 0 ? { placeholderData: keepPreviousData } : {}),
  });
