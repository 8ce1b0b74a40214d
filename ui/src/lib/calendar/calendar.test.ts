import { describe, expect, it } from "vitest";

import {
  addMonths,
  byDay,
  byHour,
  dayIn,
  daysOf,
  faceOf,
  hourKey,
  NOTHING,
  totalOf,
  weekday,
  weeksOf,
  type CalendarCell,
} from "./calendar";

const cell = (start: string, over: Partial<CalendarCell> = {}): CalendarCell => ({ ...NOTHING, start, ...over });

describe("buckets", () => {
  it("belong to the day of the reader's zone", () => {
    const cells = [
      cell("2026-11-21T15:59:00Z", { success: 1 }),
      cell("2026-11-21T16:00:00Z", { failed: 1 }),
      cell("2026-11-22T01:00:00Z", { success: 2 }),
    ];
    const days = byDay(cells, "Asia/Shanghai");
    expect([...days.keys()]).toEqual(["2026-11-21", "2026-11-22"]);
    expect(days.get("2026-11-22")).toEqual({ ...NOTHING, failed: 1, success: 2 });
    expect(dayIn("America/New_York", "2026-11-21T03:00:00Z")).toBe("2026-11-20");
  });

  it("add up in the hour that a zone has twice", () => {
    const cells = [cell("2026-10-25T00:00:00Z", { success: 1 }), cell("2026-10-25T01:00:00Z", { failed: 1 })];
    const hours = byHour(cells, "Europe/Berlin");
    expect(hours.get(hourKey("2026-10-25", 2))).toEqual({ ...NOTHING, success: 1, failed: 1 });
  });
});

describe("the year", () => {
  it("has every day once, in weeks that begin on Monday", () => {
    for (const [year, days] of [
      [2024, 366],
      [2026, 365],
      [2018, 365],
    ] as const) {
      const weeks = weeksOf(year);
      const all = weeks.flat().filter((day) => day !== null);
      expect(all).toHaveLength(days);
      expect(new Set(all).size).toBe(days);
      for (const week of weeks) week.forEach((day, index) => day !== null && expect(weekday(day)).toBe(index));
    }
    expect(weeksOf(2018)[0]?.[0]).toBe("2018-01-01");
  });
  it("goes from month to month over new year", () => {
    expect(daysOf("2024-02")).toHaveLength(29);
    expect([addMonths("2026-12", 1), addMonths("2026-01", -1), addMonths("2026-05", 0)]).toEqual([
      "2027-01",
      "2025-12",
      "2026-05",
    ]);
  });
});

describe("the face of a cell", () => {
  it("shows the worst, and which part of the rest failed", () => {
    expect(faceOf(NOTHING)).toEqual({ outcome: null, failedPart: 0 });
    expect(faceOf({ ...NOTHING, planned: 3 })).toEqual({ outcome: "planned", failedPart: 0 });
    expect(faceOf({ ...NOTHING, success: 3, planned: 1 })).toEqual({ outcome: "success", failedPart: 0 });
    expect(faceOf({ ...NOTHING, failed: 3 })).toEqual({ outcome: "failed", failedPart: 0 });
    expect(faceOf({ ...NOTHING, failed: 1, success: 3 })).toEqual({ outcome: "failed", failedPart: 0.25 });
    expect(totalOf({ ...NOTHING, failed: 1, success: 3 })).toBe(4);
  });
});
