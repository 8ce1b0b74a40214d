/**
 * A log of any size, of which only the pages that somebody looks at are here.
 *
 * The bytes are cut into pages of the same size, and a line belongs to the page in which it ends. So any range of bytes gives whole
 * pages, whatever was read before; a page that was not read is as long as the others are on average; and what is written while one
 * looks only makes the last page longer, or new ones. The number of a line is known once all pages before it are counted.
 */
import { lineEnds, parseLine, type LogLine } from "./lines";

export const PAGE = 32_768;
/** Read before a page, to find where its first line begins. */
const BACK = 2_048;
/** The first question: two whole pages at least, so that a screen and the error in it come at once. */
const FIRST = 2 * PAGE + BACK + PAGE / 2;
/** Pages that are kept; the farthest from where one looks go first. */
const KEPT = 240;
/** Lines of a page of which nothing is known. */
const USUAL = 220;

export interface Bytes {
  bytes: Uint8Array;
  from: number;
  /** Bytes of the whole log by now. */
  total: number;
}

/** Reads `[from, to)`; without a `from`, the last `to` bytes. */
export type ReadBytes = (from: number | null, to: number, signal?: AbortSignal) => Promise<Bytes>;

/** A log as it was at a moment: another object when something of it changed. */
export interface LogNow {
  pages: LogPages;
}

export class LogPages {
  total = 0;
  /** Nothing more will be written. */
  ended = false;
  /** Something was read. */
  opened = false;
  /** Why the last question failed. */
  error: unknown = null;

  private readonly pages = new Map<number, LogLine[]>();
  /** Lines of the pages that are counted; the last page's are not for good. */
  private readonly counts: (number | undefined)[] = [];
  private readonly asked = new Set<number>();
  private readonly listeners = new Set<() => void>();
  /** How many pages from the first on are counted, and the number of the first line of each of them (from 0), and behind them. */
  private firsts: number[] = [0];
  private known = { pages: 0, lines: 0 };
  /** The line at the end of which the line break was not written yet. */
  private rest: { from: number; bytes: Uint8Array } | null = null;
  private looked = 0;
  private now: LogNow = { pages: this };

  constructor(private readonly read: ReadBytes) {}

  subscribe = (listener: () => void) => {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  };
  snapshot = () => this.now;

  get count() {
    return Math.ceil(this.total / PAGE);
  }

  page(index: number): LogLine[] | undefined {
    return this.pages.get(index);
  }

  isCounted(index: number) {
    return this.counts[index] !== undefined;
  }

  /** How many lines a page has, or likely has. */
  linesOf(index: number): number {
    const counted = this.counts[index];
    if (counted !== undefined) return counted;
    const usual = this.known.pages === 0 ? USUAL : this.known.lines / this.known.pages;
    const share = Math.min(PAGE, this.total - index * PAGE) / PAGE;
    return Math.max(1, Math.round(usual * share));
  }

  /** The number of the first line of a page, from 0; null while a page before it is not counted. */
  firstOf(index: number): number | null {
    return this.firsts[index] ?? null;
  }

  /** How many lines there are, when that is known. */
  get lines(): number | null {
    return this.firsts[this.count] ?? null;
  }

  get isWhole() {
    for (let index = 0; index < this.count; index++) if (!this.pages.has(index)) return false;
    return this.opened;
  }

  /** The page of the line with a number, from 0; null while that is not known. */
  pageOfLine(number: number): number | null {
    let low = 0;
    let high = this.firsts.length - 1;
    if (number < 0 || number >= (this.firsts[high] ?? 0)) return null;
    while (low < high - 1) {
      const middle = (low + high) >> 1;
      if ((this.firsts[middle] ?? 0) <= number) low = middle;
      else high = middle;
    }
    return low;
  }

  /** Where a line stands that begins at an offset (or has it within). */
  find(offset: number): { page: number; index: number } | null {
    for (const page of [Math.floor(offset / PAGE), Math.floor(offset / PAGE) + 1]) {
      const index = this.pages.get(page)?.findLastIndex((line) => line.offset <= offset) ?? -1;
      const next = this.pages.get(page)?.[index + 1] ?? this.pages.get(page + 1)?.[0];
      if (index >= 0 && (next === undefined || next.offset > offset)) return { page, index };
    }
    return null;
  }

  /** The lines at the end that are here without a gap, and the page in which they begin. */
  tail(): { page: number; lines: LogLine[] } {
    let page = this.count;
    while (page > 0 && this.pages.has(page - 1)) page--;
    const lines: LogLine[] = [];
    for (let index = page; index < this.count; index++) lines.push(...(this.pages.get(index) ?? []));
    return { page, lines };
  }

  /** All lines that are here, in order. */
  *here(): Generator<LogLine> {
    for (let index = 0; index < this.count; index++) yield* this.pages.get(index) ?? [];
  }

  async open(at: "start" | "end" | { offset: number }, signal?: AbortSignal) {
    try {
      if (at === "end") this.take(await this.read(null, FIRST, signal));
      else if (at === "start") this.take(await this.read(0, FIRST, signal));
      else {
        const from = Math.max(0, Math.floor(at.offset / PAGE) * PAGE - BACK);
        this.take(await this.read(from, from + FIRST, signal));
      }
      this.error = null;
    } catch (thrown) {
      if (signal?.aborted) return;
      this.error = thrown;
    }
    this.tell();
  }

  /** Reads the pages from `first` to `last` that are not here. */
  async need(first: number, last: number, signal?: AbortSignal) {
    this.looked = (first + last) >> 1;
    const missing: number[] = [];
    for (let index = Math.max(0, first); index <= Math.min(last, this.count - 1); index++) {
      if (!this.pages.has(index) && !this.asked.has(index)) missing.push(index);
    }
    const [from, to] = [missing[0], missing.at(-1)];
    if (from === undefined || to === undefined) return;
    for (const index of missing) this.asked.add(index);
    try {
      let back = BACK;
      do {
        const start = Math.max(0, from * PAGE - back);
        this.take(await this.read(start, Math.min((to + 1) * PAGE, this.total), signal));
        back *= 16;
        // A line that is longer than what was read before the page.
      } while (!this.pages.has(from) && from * PAGE - back / 16 > 0);
      this.error = null;
    } catch (thrown) {
      if (!signal?.aborted) this.error = thrown;
    } finally {
      for (const index of missing) this.asked.delete(index);
      this.tell();
    }
  }

  /** Asks for what was written since; whether there was something. */
  async more(signal?: AbortSignal): Promise<boolean> {
    // From the last byte that is known: a range behind the end would be an error.
    const from = Math.max(0, this.total - 1);
    const before = this.total;
    try {
      const got = await this.read(from, Number.MAX_SAFE_INTEGER, signal);
      this.error = null;
      if (got.total <= before) return false;
      const isHere = before === 0 || (this.pages.has(this.count - 1) && this.rest !== null);
      if (before === 0 || !isHere) {
        this.forgetLast();
        this.total = got.total;
        if (before === 0) this.take(got);
      } else this.append(got.bytes.subarray(before - got.from), got.total);
      return true;
    } catch (thrown) {
      if (!signal?.aborted) this.error = thrown;
      return false;
    } finally {
      this.tell();
    }
  }

  /** The try is over: an unfinished line is one. */
  end() {
    if (this.ended) return;
    this.ended = true;
    if (this.rest !== null && this.rest.bytes.length > 0 && this.pages.has(this.count - 1)) {
      const index = this.count - 1;
      const line = parseLine(new TextDecoder().decode(this.rest.bytes), this.rest.from);
      this.put(index, [...(this.pages.get(index) ?? []), line]);
      this.rest = null;
    }
    this.recount();
    this.tell();
  }

  /** What somebody who read the whole log counted. */
  setCounts(from: number, counts: readonly number[]) {
    for (const [index, count] of counts.entries()) {
      if (!this.pages.has(from + index)) this.counts[from + index] = count;
    }
    this.recount();
    this.tell();
  }

  private forgetLast() {
    const last = this.count - 1;
    this.pages.delete(last);
    delete this.counts[last];
    this.rest = null;
  }

  private take({ bytes, from, total }: Bytes) {
    if (total > this.total) {
      // The page that was the last one has more lines now.
      if (this.total > 0) this.forgetLast();
      this.total = total;
    }
    this.opened = true;
    const ends = lineEnds(bytes);
    const to = from + bytes.length;
    const first = from === 0 ? 0 : (ends[0] ?? -1) + 1;
    if (from > 0 && ends.length === 0) return;
    const decoder = new TextDecoder();
    const found = new Map<number, LogLine[]>();
    let at = first;
    for (const end of from === 0 ? ends : ends.slice(1)) {
      const page = Math.floor((from + end) / PAGE);
      const lines = found.get(page) ?? [];
      lines.push(parseLine(decoder.decode(bytes.subarray(at, end)), from + at));
      found.set(page, lines);
      at = end + 1;
    }
    const begins = from === 0 ? 0 : from + first - 1;
    for (let page = Math.floor(from / PAGE); page * PAGE < to; page++) {
      const isCovered =
        (page === 0 ? from === 0 : begins < page * PAGE) && to >= Math.min((page + 1) * PAGE, this.total);
      if (isCovered && !this.pages.has(page)) this.put(page, found.get(page) ?? []);
    }
    if (to === this.total && this.pages.has(this.count - 1)) {
      const bytesLeft = bytes.slice(at);
      if (this.ended && bytesLeft.length > 0) {
        const last = this.count - 1;
        const line = parseLine(decoder.decode(bytesLeft), from + at);
        const lines = this.pages.get(last) ?? [];
        if (lines.at(-1)?.offset !== line.offset) this.put(last, [...lines, line]);
      } else this.rest = { from: from + at, bytes: bytesLeft };
    }
    this.recount();
    this.evict();
  }

  private append(bytes: Uint8Array, total: number) {
    const { from, bytes: before } = this.rest ?? { from: this.total, bytes: new Uint8Array() };
    const all = new Uint8Array(before.length + bytes.length);
    all.set(before);
    all.set(bytes, before.length);
    const last = this.count - 1;
    this.total = total;
    const decoder = new TextDecoder();
    const found = new Map<number, LogLine[]>([[last, [...(this.pages.get(last) ?? [])]]]);
    for (let page = last + 1; page < this.count; page++) found.set(page, []);
    let at = 0;
    for (const end of lineEnds(all)) {
      found.get(Math.floor((from + end) / PAGE))?.push(parseLine(decoder.decode(all.subarray(at, end)), from + at));
      at = end + 1;
    }
    for (const [page, lines] of found) this.put(page, lines);
    this.rest = { from: from + at, bytes: all.slice(at) };
    this.recount();
    this.evict();
  }

  private put(page: number, lines: LogLine[]) {
    this.pages.set(page, lines);
    this.counts[page] = lines.length;
  }

  private recount() {
    let lines = 0;
    const firsts = [0];
    let index = 0;
    for (; index < this.count; index++) {
      const count = this.counts[index];
      if (count === undefined) break;
      lines += count;
      firsts.push(lines);
    }
    this.firsts = firsts;
    let [pages, all] = [0, 0];
    for (let page = 0; page < this.count - 1; page++) {
      const count = this.counts[page];
      if (count === undefined) continue;
      pages++;
      all += count;
    }
    this.known = { pages, lines: all };
  }

  private evict() {
    if (this.pages.size <= KEPT) return;
    const last = this.count - 1;
    const far = [...this.pages.keys()].filter((page) => page !== last);
    far.sort((a, b) => Math.abs(b - this.looked) - Math.abs(a - this.looked));
    for (const page of far.slice(0, this.pages.size - KEPT)) this.pages.delete(page);
  }

  private tell() {
    this.now = { pages: this };
    for (const listener of this.listeners) listener();
  }
}
