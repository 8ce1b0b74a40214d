/** How serious a line is: by the word it begins with, else by the stream it was written to. */
import { stripAnsi } from "../ansi";

export const LEVELS = ["error", "warning", "info", "debug"] as const;
export type Level = (typeof LEVELS)[number];

const WORDS: Record<string, Level> = {
  critical: "error",
  fatal: "error",
  error: "error",
  err: "error",
  warning: "warning",
  warn: "warning",
  notice: "info",
  info: "info",
  debug: "debug",
  trace: "debug",
};

/** What stands before the level: times, `{file.py:12}`, `[pid]`, `name:12`, `module -`. */
const BEFORE =
  /^(?:\s+|[-|:,;]+\s*|\d{4}-\d\d-\d\d(?:[T ][\d:.,]+)?(?:Z|[+-]\d\d:?\d\d)?|\d\d:\d\d:\d\d(?:[.,]\d+)?|\[[^\]]{0,60}\]|\{[^}]{0,80}\}|[\w./-]+:\d+(?=\s)|(?!(?:CRITICAL|FATAL|ERROR|WARN|NOTICE|INFO|DEBUG|TRACE))[\w.]+ - )+/;
const WORD = /^(CRITICAL|FATAL|ERROR|WARNING|WARN|NOTICE|INFO|DEBUG|TRACE)(?![A-Za-z0-9_])/;
const BRACKETED = /^[^[]{0,40}\[(critical|fatal|error|err|warning|warn|notice|info|debug|trace)\s*\]/i;
const KEYED = /(?:^|\s)level=(\w+)|"level":\s*"(\w+)"/;

/** `given` is the server's word. */
export function levelOf(given: string | null, event: string): Level {
  return levelSaid(event) ?? WORDS[given?.toLowerCase() ?? ""] ?? "info";
}

/** The level that a text says of itself. */
export function levelSaid(event: string): Level | null {
  const head = stripAnsi(event.slice(0, 240));
  const bare = WORD.exec(head) ?? WORD.exec(head.replace(BEFORE, ""));
  const word = bare?.[1] ?? BRACKETED.exec(head)?.[1];
  if (word !== undefined) return WORDS[word.toLowerCase()] ?? null;
  const keyed = KEYED.exec(head);
  return keyed === null ? null : (WORDS[(keyed[1] ?? keyed[2] ?? "").toLowerCase()] ?? null);
}
