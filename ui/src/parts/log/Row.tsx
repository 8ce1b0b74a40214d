import { memo, type ReactNode } from "react";

import { marked, spans } from "../../lib/log/ansi";
import type { LogLine } from "../../lib/log/lines";
import { strings } from "../../lib/strings";
import { isoInZone } from "../../lib/time";
import classes from "./log.module.css";
import type { TimeMode } from "./settings";

const MARKS = { error: "ERROR", warning: "WARN", info: "", debug: "DEBUG" } as const;

/** `14:03:07.123` in a zone, or seconds since the start of the try. */
export function timeText(at: string | null, mode: TimeMode, startedAt: number | null): string {
  if (at === null || mode === "none") return "";
  if (mode === "delta") {
    const seconds = (Date.parse(at) - (startedAt ?? Date.parse(at))) / 1000;
    return `${seconds < 0 ? "−" : "+"}${Math.abs(seconds).toFixed(3)}`;
  }
  const zoned = mode === "utc" ? new Date(at).toISOString() : isoInZone(new Date(at).toISOString());
  const [, time = "", fraction = ""] = /T(\d\d:\d\d:\d\d)(\.\d+)?/.exec(zoned) ?? [];
  return time + (fraction || ".").padEnd(4, "0").slice(0, 4);
}

interface Props {
  line: LogLine;
  /** From 0; null while it is not known. */
  number: number | null;
  find: RegExp | null;
  isTarget: boolean;
  isHit: boolean;
  mode: TimeMode;
  startedAt: number | null;
  source: boolean;
  onLink: (line: LogLine, number: number | null) => void;
}

export const Row = memo(function Row({ line, number, find, isTarget, isHit, mode, startedAt, source, onLink }: Props) {
  const hash = number === null ? `#B${line.offset}` : `#L${number + 1}`;
  return (
    <div
      className={classes.row}
      data-level={line.level}
      data-target={isTarget || undefined}
      data-hit={isHit || undefined}
      data-node={line.logger !== null && !line.logger.startsWith("task") ? true : undefined}
    >
      <a
        className={classes.number}
        href={hash}
        tabIndex={-1}
        aria-label={number === null ? strings.logs.lineByOffset : strings.logs.line(number + 1)}
        onClick={(event) => {
          event.preventDefault();
          onLink(line, number);
        }}
      >
        {number === null ? "·" : number + 1}
      </a>
      <span className={classes.time} title={line.at ?? undefined}>
        {timeText(line.at, mode, startedAt)}
      </span>
      <span className={classes.level}>{MARKS[line.level]}</span>
      <span className={classes.event}>
        {source && line.logger !== null && <span className={classes.source}>{line.logger} </span>}
        {pieces(line.event, find)}
      </span>
    </div>
  );
});

const URL_IN_TEXT = /https?:\/\/[^\s"'<>`]+[^\s"'<>`.,;:!?)\]}]/g;

function pieces(event: string, find: RegExp | null): ReactNode[] {
  return marked(spans(event), find).map(({ text, className, color, hit }, index) => {
    const inside = hit ? <mark>{text}</mark> : linked(text);
    return className === "" && color === null ? (
      <span key={index}>{inside}</span>
    ) : (
      <span key={index} className={className} style={color === null ? undefined : { color: `rgb(${color})` }}>
        {inside}
      </span>
    );
  });
}

/** Addresses in the text of a log are links. */
function linked(text: string): ReactNode {
  if (!text.includes("://")) return text;
  const parts: ReactNode[] = [];
  let at = 0;
  for (const found of text.matchAll(URL_IN_TEXT)) {
    parts.push(text.slice(at, found.index));
    parts.push(
      <a key={found.index} href={found[0]} target="_blank" rel="noreferrer noopener" tabIndex={-1}>
        {found[0]}
      </a>,
    );
    at = found.index + found[0].length;
  }
  parts.push(text.slice(at));
  return parts;
}
