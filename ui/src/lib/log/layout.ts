/**
 * Where lines are on the screen: rows of one height each, several for a line that is wrapped. Letters have one width and break
 * anywhere, so that the height of a line is known without drawing it.
 */
import { plain, type LogLine } from "./lines";

/** What is shown: lines in blocks, of which some may not be here yet. */
export interface Source {
  blocks: number;
  /** Undefined while they are not here. */
  block(index: number): readonly LogLine[] | undefined;
  /** Lines of a block, likely ones when it is not here. */
  size(index: number): number;
}

export interface Spot {
  block: number;
  index: number;
}

const TAB = 8;

/** Whether a letter takes two columns: Chinese, Japanese, Korean, emoji. */
const isWide = (code: number) =>
  code >= 0x1100 &&
  (code <= 0x115f ||
    (code >= 0x2e80 && code <= 0xa4cf) ||
    (code >= 0xac00 && code <= 0xd7a3) ||
    (code >= 0xf900 && code <= 0xfaff) ||
    (code >= 0xfe30 && code <= 0xfe6f) ||
    (code >= 0xff00 && code <= 0xff60) ||
    (code >= 0xffe0 && code <= 0xffe6) ||
    (code >= 0x1f300 && code <= 0x1faff));

const PLAIN = /^[\u0020-\u007e]*$/;

/** Columns that a text takes. */
export function width(text: string): number {
  if (PLAIN.test(text)) return text.length;
  let columns = 0;
  for (const letter of text) {
    const code = letter.codePointAt(0) ?? 0;
    columns += letter === "\t" ? TAB - (columns % TAB) : isWide(code) ? 2 : 1;
  }
  return columns;
}

export const rowsOf = (line: LogLine, columns: number | null) =>
  columns === null ? 1 : Math.max(1, Math.ceil(width(plain(line)) / columns));

const measured = new WeakMap<readonly LogLine[], { columns: number; tops: Uint32Array }>();

/** The first row of each line of a block, and behind its last. */
function topsOf(lines: readonly LogLine[], columns: number): Uint32Array {
  const known = measured.get(lines);
  if (known?.columns === columns) return known.tops;
  const tops = new Uint32Array(lines.length + 1);
  for (const [index, line] of lines.entries()) tops[index + 1] = (tops[index] ?? 0) + rowsOf(line, columns);
  measured.set(lines, { columns, tops });
  return tops;
}

export class Layout {
  /** The first row of each block, and behind the last. */
  private readonly tops: Float64Array;

  /** `columns`: null when lines are not wrapped. */
  constructor(
    private readonly source: Source,
    private readonly columns: number | null,
  ) {
    this.tops = new Float64Array(source.blocks + 1);
    let [here, rows] = [0, 0];
    for (let block = 0; block < source.blocks; block++) {
      const lines = source.block(block);
      if (lines === undefined || columns === null) continue;
      here += lines.length;
      rows += topsOf(lines, columns).at(-1) ?? 0;
    }
    // A block that is not here is wrapped as much as the others are.
    const factor = here === 0 ? 1 : rows / here;
    for (let block = 0; block < source.blocks; block++) {
      const lines = source.block(block);
      const height =
        lines === undefined
          ? Math.max(1, Math.round(source.size(block) * factor))
          : columns === null
            ? lines.length
            : (topsOf(lines, columns).at(-1) ?? 0);
      this.tops[block + 1] = (this.tops[block] ?? 0) + height;
    }
  }

  get rows(): number {
    return this.tops[this.source.blocks] ?? 0;
  }

  topOfBlock(block: number): number {
    return this.tops[Math.min(block, this.source.blocks)] ?? 0;
  }

  /** The row in which a line begins. In a block that is not here, about where it will. */
  top({ block, index }: Spot): number {
    const lines = this.source.block(block);
    const start = this.topOfBlock(block);
    if (lines !== undefined) return start + (this.columns === null ? index : (topsOf(lines, this.columns)[index] ?? 0));
    const height = this.topOfBlock(block + 1) - start;
    return start + Math.round((index / Math.max(1, this.source.size(block))) * height);
  }

  height(spot: Spot): number {
    const line = this.source.block(spot.block)?.[spot.index];
    return line === undefined ? 1 : rowsOf(line, this.columns);
  }

  /** The block that covers a row. */
  blockAt(row: number): number {
    let low = 0;
    let high = this.source.blocks;
    while (low < high - 1) {
      const middle = (low + high) >> 1;
      if ((this.tops[middle] ?? 0) <= row) low = middle;
      else high = middle;
    }
    return low;
  }

  /** The line that covers a row. */
  at(row: number): Spot {
    const block = this.blockAt(row);
    const lines = this.source.block(block);
    const inside = Math.max(0, row - this.topOfBlock(block));
    if (lines === undefined || this.columns === null) return { block, index: Math.floor(inside) };
    const tops = topsOf(lines, this.columns);
    let low = 0;
    let high = lines.length;
    while (low < high - 1) {
      const middle = (low + high) >> 1;
      if ((tops[middle] ?? 0) <= inside) low = middle;
      else high = middle;
    }
    return { block, index: low };
  }
}

/** Browsers do not make boxes higher than this many pixels; a log that is, is scrolled in larger steps. */
export const HIGHEST = 12_000_000;

/** How the place of the scroll bar and the rows go together. */
export class Scale {
  readonly height: number;
  private readonly ratio: number;

  constructor(
    readonly whole: number,
    view: number,
  ) {
    this.height = Math.min(whole, HIGHEST);
    this.ratio = whole <= HIGHEST ? 1 : (whole - view) / (HIGHEST - view);
  }

  /** The pixel of the whole that is at the top. */
  toTop = (scrollTop: number) => scrollTop * this.ratio;
  toScroll = (top: number) => top / this.ratio;
}
