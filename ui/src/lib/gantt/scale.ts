/** The time axis of a Gantt chart: linear while something happens, idle stretches shortened. Times in milliseconds. */

export interface Span {
  from: number;
  to: number;
}

export interface Segment extends Span {
  /** Where it begins and ends on the axis, 0 … 1. */
  x0: number;
  x1: number;
  isGap: boolean;
}

export interface Scale {
  segments: Segment[];
  /** 0 … 1; what lies outside is at an end. */
  at: (time: number) => number;
}

/** The union of spans, in order; spans that touch or are closer than `slack` are one. */
export function union(spans: readonly Span[], slack = 0): Span[] {
  const sortedSpans = spans.filter(({ from, to }) => to >= from).toSorted((a, b) => a.from - b.from);
  const out: Span[] = [];
  for (const span of sortedSpans) {
    const last = out.at(-1);
    if (last !== undefined && span.from <= last.to + slack) last.to = Math.max(last.to, span.to);
    else out.push({ ...span });
  }
  return out;
}

/** A gap is shortened when it is longer than this part of all the time in which something happens. */
const LONG = 0.15;
/** What a shortened gap takes of the axis. */
const GAP_WIDTH = 0.03;
/** Shorter gaps are left alone: they are how long a scheduler takes, not idleness. */
const LEAST_GAP_MS = 5_000;

export function scaleOf(spans: readonly Span[], collapse: boolean): Scale {
  const busy = union(spans);
  const first = busy[0];
  const last = busy.at(-1);
  if (first === undefined || last === undefined) return { segments: [], at: () => 0 };
  const total = busy.reduce((sum, { from, to }) => sum + to - from, 0);
  const long = collapse ? Math.max(LEAST_GAP_MS, total * LONG) : Infinity;
  const blocks = union(busy, long);
  const gaps = blocks.length - 1;
  const gapWidth = gaps === 0 ? 0 : Math.min(GAP_WIDTH, 0.4 / gaps);
  const length = blocks.reduce((sum, { from, to }) => sum + to - from, 0) || 1;
  const room = 1 - gaps * gapWidth;
  const segments: Segment[] = [];
  let x = 0;
  blocks.forEach((block, index) => {
    const before = blocks[index - 1];
    if (before !== undefined) {
      segments.push({ from: before.to, to: block.from, x0: x, x1: x + gapWidth, isGap: true });
      x += gapWidth;
    }
    const width = ((block.to - block.from) / length) * room;
    segments.push({ ...block, x0: x, x1: x + width, isGap: false });
    x += width;
  });
  const at = (time: number) => {
    if (time <= first.from) return 0;
    for (const { from, to, x0, x1 } of segments) {
      if (time <= to) return to === from ? x1 : x0 + ((time - from) / (to - from)) * (x1 - x0);
    }
    return 1;
  };
  return { segments, at };
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const STEPS = [
  1,
  2,
  5,
  10,
  20,
  50,
  100,
  200,
  500,
  ...[1, 2, 5, 10, 15, 30].map((n) => n * SECOND),
  ...[1, 2, 5, 10, 15, 30].map((n) => n * MINUTE),
  ...[1, 2, 3, 6, 12].map((n) => n * HOUR),
  ...[1, 2, 7, 14, 28].map((n) => n * DAY),
];

export interface Tick {
  time: number;
  x: number;
}

/** Ticks at round times since `origin`, about `wanted` of them on the whole axis, never closer than that allows. */
export function ticksOf(scale: Scale, origin: number, wanted: number): Tick[] {
  const shown = scale.segments.filter((segment) => !segment.isGap);
  const total = shown.reduce((sum, { from, to }) => sum + to - from, 0);
  const width = shown.reduce((sum, { x0, x1 }) => sum + x1 - x0, 0);
  if (total <= 0 || wanted < 1) return [];
  const least = (total / width) * (1 / wanted);
  const step = STEPS.find((each) => each >= least) ?? Math.ceil(least / (28 * DAY)) * 28 * DAY;
  const ticks: Tick[] = [];
  for (const { from, to } of shown) {
    for (let time = origin + Math.ceil((from - origin) / step) * step; time <= to; time += step) {
      const x = scale.at(time);
      const last = ticks.at(-1);
      if (last === undefined || x - last.x > 0.6 / wanted) ticks.push({ time, x });
    }
  }
  return ticks;
}
