import { queryOptions } from "@tanstack/react-query";

import { pollInterval } from "../../lib/live";
import { client, ok, type Schemas } from "../client";

export type Home = Schemas["HomeResponse"];
export type NeedsYou = Schemas["NeedsItem"];
type NeedsOf<Kind extends NeedsYou["kind"]> = Extract<NeedsYou, { kind: Kind }>;
export type FailureItem = NeedsOf<"failure">;
export type ImportErrorItem = NeedsOf<"import_error">;
export type ApprovalItem = NeedsOf<"approval">;
export type Hour = Schemas["HourResponse"];
export type PressedPool = Schemas["BusyPool"];
export type TaskRefSince = Schemas["WaitingExample"];

export const homeQuery = () =>
  queryOptions({
    queryKey: ["home"],
    queryFn: ({ signal }) => ok(client.GET("/ui/home", { signal })),
    refetchInterval: () => pollInterval(true),
  });
