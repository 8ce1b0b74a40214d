/** Which runs the address asks for. */
import { RUN_STATES } from "../../lib/filters";
import { preferences } from "../../lib/preferences";
import { instantAt } from "../../lib/time";

export const RUN_TYPES = [
  "scheduled",
  "manual",
  "backfill",
  "operator_triggered",
  "asset_triggered",
  "asset_materialization",
] as const;

export interface RunsWish {
  state: string | null;
  type: string | null;
  /** As they stand in the address: a day or a minute of the reader's zone. */
  from: string;
  to: string;
  /** A part of a run id. */
  q: string;
  user: string;
  version: string;
  onlyNoted: boolean;
  order: string;
}

const one = <T extends string>(values: readonly T[], value: string | null): T | null =>
  values.find((each) => each === value) ?? null;

const WHEN = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2})?$/;
const when = (value: string | null) => (value !== null && WHEN.test(value) ? value : "");

const ORDERS = ["run_after", "state", "run_type", "duration", "dag_run_id", "dag_id"] as const;

export function wishOf(search: URLSearchParams): RunsWish {
  const order = search.get("order_by") ?? "";
  const version = search.get("version") ?? "";
  return {
    state: one(RUN_STATES, search.get("state")),
    type: one(RUN_TYPES, search.get("type")),
    from: when(search.get("from")),
    to: when(search.get("to")),
    q: search.get("q") ?? "",
    user: search.get("user") ?? "",
    version: /^\d+$/.test(version) ? version : "",
    onlyNoted: search.get("note") !== null,
    order: one(ORDERS, order.replace(/^-/, "")) === null ? "-run_after" : order,
  };
}

/** How many filters are behind the button for more of them. */
export const moreCount = ({ user, version, onlyNoted }: RunsWish) =>
  [user !== "", version !== "", onlyNoted].filter(Boolean).length;

export const isFiltered = (wish: RunsWish) =>
  wish.state !== null ||
  wish.type !== null ||
  wish.from !== "" ||
  wish.to !== "" ||
  wish.q !== "" ||
  moreCount(wish) > 0;

const MINUTE_MS = 60_000;
const next = (day: string) => new Date(Date.parse(`${day}T00:00:00Z`) + 86_400_000).toISOString().slice(0, 10);

/** The parameters of the API; nothing that is not asked for. `to` includes its day, or its minute. */
export function parametersOf(wish: RunsWish, zone: string = preferences.zone()) {
  const from = wish.from === "" ? null : instantAt(wish.from.includes("T") ? wish.from : `${wish.from}T00:00`, zone);
  const to =
    wish.to === ""
      ? null
      : wish.to.includes("T")
        ? plusMinute(instantAt(wish.to, zone))
        : instantAt(`${next(wish.to)}T00:00`, zone);
  return {
    order_by: [wish.order],
    ...(wish.state === null ? {} : { state: [wish.state as (typeof RUN_STATES)[number]] }),
    ...(wish.type === null ? {} : { run_type: [wish.type as (typeof RUN_TYPES)[number]] }),
    ...(from === null ? {} : { run_after_gte: from }),
    ...(to === null ? {} : { run_after_lt: to }),
    ...(wish.q === "" ? {} : { run_id_pattern: wish.q }),
    ...(wish.user === "" ? {} : { triggering_user_name_pattern: wish.user }),
    ...(wish.version === "" ? {} : { dag_version: [Number(wish.version)] }),
  };
}

const plusMinute = (iso: string | null) => (iso === null ? null : new Date(Date.parse(iso) + MINUTE_MS).toISOString());
