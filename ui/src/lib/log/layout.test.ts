import { expect, it } from "vitest";

import { HIGHEST, Layout, Scale, width, type Source } from "./layout";
import type { LogLine } from "./lines";

const line = (event: string): LogLine => ({ offset: 0, at: null, level: "info", logger: null, event });

it("counts columns as a terminal does", () => {
  expect(width("abc")).toBe(3);
  expect(width("\tab\t")).toBe(16);
  expect(width("失败 x")).toBe(6);
});

it("finds lines by rows and rows by lines, wrapped and not, also where nothing is known", () => {
  const blocks = [[line("a"), line("x".repeat(25)), line("b")], undefined, [line("c"), line("d")]];
  const source: Source = { blocks: 3, block: (index) => blocks[index], size: (index) => blocks[index]?.length ?? 10 };
  const flat = new Layout(source, null);
  expect(flat.rows).toBe(15);
  expect(flat.at(2)).toEqual({ block: 0, index: 2 });
  expect(flat.top({ block: 2, index: 1 })).toBe(14);
  const wrapped = new Layout(source, 10);
  // 1 + 3 + 1 rows; ten lines that are not here, wrapped like the five that are (7 rows for 5); 2.
  expect(wrapped.rows).toBe(5 + 14 + 2);
  expect([0, 1, 3, 4].map((row) => wrapped.at(row).index)).toEqual([0, 1, 1, 2]);
  expect(wrapped.top({ block: 2, index: 0 })).toBe(19);
  expect(wrapped.height({ block: 0, index: 1 })).toBe(3);
});

it("reaches both ends of what is higher than a browser allows", () => {
  const scale = new Scale(50_000_000, 600);
  expect(scale.height).toBe(HIGHEST);
  expect(scale.toTop(0)).toBe(0);
  expect(scale.toTop(HIGHEST - 600)).toBeCloseTo(50_000_000 - 600);
  expect(new Scale(900, 600).toTop(300)).toBe(300);
});
