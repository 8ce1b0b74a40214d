/** Bytes of a log as lines: NDJSON, one `{timestamp, level, event, logger}` a line, as nodes send it. */
import { stripAnsi } from "../ansi";
import { levelOf, type Level } from "./levels";

export interface LogLine {
  /** Bytes of the log before it: the line's name while its number is not known. */
  offset: number;
  /** RFC 3339, by the node's clock. */
  at: string | null;
  level: Level;
  logger: string | null;
  /** May contain escape sequences of terminals. */
  event: string;
}

const NEWLINE = 10;
const decoder = new TextDecoder();

/** Where each line of `bytes` ends (the place of its line break). */
export function lineEnds(bytes: Uint8Array): number[] {
  const ends: number[] = [];
  for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, at + 1)) ends.push(at);
  return ends;
}

/** The lines of `bytes`, which begin with a line at `offset`; an unfinished last line only counts when nothing follows. */
export function parseLines(bytes: Uint8Array, offset: number, ended: boolean): LogLine[] {
  const ends = lineEnds(bytes);
  const last = ends.at(-1) ?? -1;
  if (ended && last + 1 < bytes.length) ends.push(bytes.length);
  const lines: LogLine[] = [];
  let from = 0;
  for (const end of ends) {
    lines.push(parseLine(decoder.decode(bytes.subarray(from, end)), offset + from));
    from = end + 1;
  }
  return lines;
}

const text = (value: unknown) => (typeof value === "string" && value !== "" ? value : null);

export function parseLine(json: string, offset: number): LogLine {
  if (json.startsWith("{")) {
    try {
      const { timestamp, level, event, logger } = JSON.parse(json) as Record<string, unknown>;
      if (typeof event === "string") {
        return { offset, at: text(timestamp), level: levelOf(text(level), event), logger: text(logger), event };
      }
    } catch {
      // A line that was cut off is shown as it is.
    }
  }
  return { offset, at: null, level: levelOf(null, json), logger: null, event: json };
}

/** What a reader sees of a line. */
export const plain = (line: LogLine) => stripAnsi(line.event);
