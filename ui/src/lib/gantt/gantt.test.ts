import { describe, expect, it } from "vitest";

import { barOf, criticalPath, envelope, type Bar, type Try } from "./bars";
import { scaleOf, ticksOf, union } from "./scale";

const span = (from: number, to: number) => ({ from, to });

describe("the axis", () => {
  it("is linear without gaps", () => {
    const { at, segments } = scaleOf([span(0, 100), span(50, 200)], true);
    expect(segments).toHaveLength(1);
    expect([at(-5), at(0), at(100), at(200), at(300)]).toEqual([0, 0, 0.5, 1, 1]);
  });

  it("shortens a long idle stretch and keeps the busy ones in proportion", () => {
    const hour = 3_600_000;
    const { at, segments } = scaleOf([span(0, 10_000), span(hour, hour + 30_000)], true);
    expect(segments.map(({ isGap }) => isGap)).toEqual([false, true, false]);
    expect(at(10_000)).toBeCloseTo(0.97 / 4);
    expect(at(hour) - at(10_000)).toBeCloseTo(0.03);
    expect(at(hour + 30_000)).toBeCloseTo(1);
    expect(at(hour / 2)).toBeGreaterThan(at(10_000));
  });

  it("leaves gaps alone when asked to, and short ones always", () => {
    expect(scaleOf([span(0, 1_000), span(900_000, 901_000)], false).segments).toHaveLength(1);
    expect(scaleOf([span(0, 1_000), span(4_000, 5_000)], true).segments).toHaveLength(1);
  });

  it("keeps room for what happens between many gaps", () => {
    const { segments } = scaleOf(
      Array.from({ length: 60 }, (_, n) => span(n * 1e7, n * 1e7 + 1_000)),
      true,
    );
    const gaps = segments.filter(({ isGap }) => isGap).reduce((sum, { x0, x1 }) => sum + x1 - x0, 0);
    expect(gaps).toBeLessThanOrEqual(0.41);
  });

  it("has nothing to show without spans, and a point when all happens at once", () => {
    expect(scaleOf([], true).at(5)).toBe(0);
    expect(Number.isFinite(scaleOf([span(5, 5)], true).at(5))).toBe(true);
    expect(ticksOf(scaleOf([span(5, 5)], true), 0, 5)).toEqual([]);
  });

  it("joins spans that overlap or touch", () => {
    expect(union([span(5, 8), span(0, 3), span(2, 5), span(10, 9)])).toEqual([span(0, 8)]);
  });
});

describe("ticks", () => {
  it("are at round times since the start, and not too many", () => {
    const scale = scaleOf([span(1_000, 61_000)], true);
    expect(ticksOf(scale, 1_000, 6).map(({ time }) => time - 1_000)).toEqual([
      0, 10_000, 20_000, 30_000, 40_000, 50_000, 60_000,
    ]);
    expect(ticksOf(scale, 1_000, 3).map(({ time }) => time - 1_000)).toEqual([0, 30_000, 60_000]);
  });
  it("leave out shortened gaps", () => {
    const scale = scaleOf([span(0, 60_000), span(7_200_000, 7_260_000)], true);
    for (const { time } of ticksOf(scale, 0, 8)) expect(time <= 60_000 || time >= 7_200_000).toBe(true);
  });
});

const one = (over: Partial<Try> = {}): Try => ({
  task_id: "a",
  map_index: -1,
  try_number: 1,
  state: "success",
  scheduled_when: null,
  queued_when: "1970-01-01T00:00:10Z",
  start_date: "1970-01-01T00:00:15Z",
  end_date: "1970-01-01T00:00:20Z",
  ...over,
});

describe("bars", () => {
  it("tell the wait from the work", () => {
    expect(barOf(one(), 0)).toMatchObject({ queued: span(10_000, 15_000), run: span(15_000, 20_000) });
  });
  it("grow until now while something runs or waits", () => {
    expect(barOf(one({ state: "running", end_date: null }), 30_000)?.run).toEqual(span(15_000, 30_000));
    const waiting = barOf(one({ state: "queued", start_date: null, end_date: null }), 30_000);
    expect(waiting).toMatchObject({ queued: span(10_000, 30_000), run: null });
  });
  it("are left out of what never ran", () => {
    const never = { start_date: null, end_date: null, queued_when: null };
    expect(barOf(one({ ...never, state: "upstream_failed" }), 30_000)).toBe(null);
    expect(barOf(one({ ...never, state: null }), 30_000)).toBe(null);
  });
  it("are left out of what was decided without running", () => {
    const decided = { start_date: "1970-01-01T00:00:15Z", end_date: "1970-01-01T00:00:15Z", queued_when: null };
    expect(barOf(one({ ...decided, state: "upstream_failed" }), 0)).toBe(null);
    expect(barOf(one({ ...decided, state: "success" }), 0)?.run).toEqual(span(15_000, 15_000));
  });
  it("know nothing of a queue after the start", () => {
    expect(barOf(one({ queued_when: "1970-01-01T00:00:18Z" }), 0)?.queued).toBe(null);
  });
});

const bar = (taskId: string, from: number, to: number, tryNumber = 1): Bar => ({
  taskId,
  mapIndex: -1,
  tryNumber,
  state: "success",
  queued: null,
  run: span(from, to),
});

describe("the critical path", () => {
  const edges = [
    { source: "a", target: "c" },
    { source: "b", target: "c" },
    { source: "c", target: "d" },
  ];
  it("follows what ended last, upstream", () => {
    const bars = [bar("a", 0, 5), bar("b", 0, 9), bar("c", 9, 12), bar("d", 12, 13)];
    expect([...criticalPath(bars, edges)]).toEqual(["d", "c", "b"]);
  });
  it("goes through what did not run", () => {
    const chain = [...edges, { source: "d", target: "e" }];
    expect([...criticalPath([bar("a", 0, 5), bar("b", 0, 9), bar("e", 12, 13)], chain)]).toEqual(["e", "b"]);
  });
  it("counts the last try, and ends at what has not run", () => {
    const bars = [bar("a", 0, 5), bar("a", 8, 11, 2), bar("b", 0, 9), bar("c", 11, 12)];
    expect([...criticalPath(bars, edges)]).toEqual(["c", "a"]);
    expect([...criticalPath([], edges)]).toEqual([]);
  });
});

describe("the envelope of a folded group", () => {
  it("reaches from the first wait to the last end", () => {
    expect(envelope([{ ...bar("a", 5, 9), queued: span(2, 5) }, bar("b", 7, 12)])).toEqual(span(2, 12));
    expect(envelope([])).toBe(null);
  });
});
