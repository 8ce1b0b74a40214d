import { expect, it } from "vitest";

import { estimate, instants } from "./backfill";

it("days are days of the DAG's zone, the last one included", () => {
  expect(instants({ from: "2026-03-29", to: "2026-03-29" }, "Europe/Berlin")).toEqual({
    from_date: "2026-03-28T23:00:00.000Z",
    to_date: "2026-03-29T21:59:59.000Z",
  });
  expect(instants({ from: "2026-03-29", to: "2026-03-28" }, "UTC")).toBe(null);
  expect(instants({ from: "", to: "2026-03-28" }, "UTC")).toBe(null);
});

it("the estimate is rounds of the usual run", () => {
  expect(estimate(10, 4, [60, 10, 1_000])).toBe(180);
  expect(estimate(10, 4, [])).toBe(null);
  expect(estimate(0, 4, [60])).toBe(0);
});
