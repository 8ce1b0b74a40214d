/** Reads a whole log once, from its beginning, for what needs that: a search in what is not here, and the numbers of lines. */
import { LEVELS, type Level } from "./levels";
import { lineEnds, parseLine, plain, type LogLine } from "./lines";
import { PAGE, type ReadBytes } from "./pages";

export interface Query {
  text: string;
  isRegex: boolean;
  isCaseSensitive: boolean;
  /** Those to show; all of them when it is empty. */
  levels: readonly Level[];
}

export const isEmpty = (query: Query) => query.text === "" && query.levels.length === 0;

export interface Match {
  line: LogLine;
  /** From 0. */
  number: number;
}

export interface Progress {
  /** Bytes that were read. */
  upTo: number;
  total: number;
  /** Lines that were counted. */
  lines: number;
  /** The counts of pages, from the page `firstPage` on. */
  firstPage: number;
  counts: number[];
  matches: Match[];
  /** There were more matches than are kept. */
  isCut: boolean;
}

const PIECE = 32 * PAGE;
export const MOST = 20_000;

const escape = (text: string) => text.replaceAll(/[.*+?^${}()|[\]\\/-]/g, "\\$&");

/** What to mark in a line, and to test it with; null when there is no text. A pattern that is none is taken by the letter. */
export function finder({ text, isRegex, isCaseSensitive }: Query): RegExp | null {
  if (text === "") return null;
  const flags = isCaseSensitive ? "g" : "gi";
  if (isRegex) {
    try {
      return new RegExp(text, flags);
    } catch {
      // Not finished yet.
    }
  }
  return new RegExp(escape(text), flags);
}

export function matcher(query: Query): (line: LogLine) => boolean {
  const find = finder(query);
  const test = find === null ? null : new RegExp(find.source, find.flags.replace("g", ""));
  const levels = new Set<Level>(query.levels.length === 0 ? LEVELS : query.levels);
  return (line) => levels.has(line.level) && (test === null || test.test(plain(line)));
}

/** Whether a line, as it was sent, may match: cheaper than to read it. */
function candidate(query: Query): (json: string) => boolean {
  const tests: ((json: string) => boolean)[] = [];
  if (query.text !== "" && !query.isRegex) {
    const asSent = new RegExp(escape(JSON.stringify(query.text).slice(1, -1)), query.isCaseSensitive ? "" : "i");
    // Colours may stand within the words.
    tests.push((json) => asSent.test(json) || json.includes("\\u001b"));
  }
  if (query.levels.length > 0 && !query.levels.includes("info")) {
    tests.push((json) => /"level":"(?!info")|CRITICAL|FATAL|ERROR|WARN|DEBUG|TRACE|\[\w+\s*\]|level/.test(json));
  }
  return (json) => tests.every((test) => test(json));
}

/** Ends behind the line `untilLine` (from 0) when one is given. */
export async function* scan(
  read: ReadBytes,
  query: Query | null,
  untilLine: number | null,
  signal?: AbortSignal,
): AsyncGenerator<Progress, void, undefined> {
  const [matches, mayMatch] = query === null ? [null, null] : [matcher(query), candidate(query)];
  const decoder = new TextDecoder();
  let [at, total, lines, kept] = [0, Number.MAX_SAFE_INTEGER, 0, 0];
  let rest = new Uint8Array();
  while (at < total) {
    const got = await read(at, at + PIECE, signal);
    total = got.total;
    if (got.bytes.length === 0) return;
    const bytes = new Uint8Array(rest.length + got.bytes.length);
    bytes.set(rest);
    bytes.set(got.bytes, rest.length);
    const begins = at - rest.length;
    const firstPage = Math.floor(at / PAGE);
    at += got.bytes.length;
    const counts = Array.from({ length: Math.ceil(at / PAGE) - firstPage }, () => 0);
    const found: Match[] = [];
    let from = 0;
    const ends = lineEnds(bytes);
    if (at >= total && (ends.at(-1) ?? -1) + 1 < bytes.length) ends.push(bytes.length);
    for (const end of ends) {
      const page = Math.min(Math.floor((begins + end) / PAGE) - firstPage, counts.length - 1);
      counts[page] = (counts[page] ?? 0) + 1;
      if (matches !== null && mayMatch !== null && kept < MOST) {
        const json = decoder.decode(bytes.subarray(from, end));
        if (mayMatch(json)) {
          const line = parseLine(json, begins + from);
          if (matches(line)) {
            found.push({ line, number: lines });
            kept++;
          }
        }
      }
      lines++;
      from = end + 1;
    }
    rest = bytes.slice(from);
    yield { upTo: at, total, lines, firstPage, counts, matches: found, isCut: kept >= MOST };
    if (untilLine !== null && lines > untilLine) return;
  }
}
