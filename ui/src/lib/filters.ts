/** What the address says a list is to show. */
export const RUN_STATES = ["queued", "running", "success", "failed"] as const;
export type RunStateFilter = (typeof RUN_STATES)[number];

export const runStateFilter = (search: URLSearchParams): RunStateFilter | null =>
  RUN_STATES.find((state) => state === search.get("state")) ?? null;

/** -1 unless the address names a mapped instance. */
export function mapIndexOf(search: URLSearchParams): number {
  const index = Number(search.get("map_index") ?? "-1");
  return Number.isSafeInteger(index) && index >= 0 ? index : -1;
}
