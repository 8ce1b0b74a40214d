import { Anchor, Text } from "@mantine/core";
import { memo, useEffect, useRef, useState } from "react";

import { strings } from "../../lib/strings";
import { clock } from "../../lib/time";
import classes from "./logs.module.css";
import type { Line } from "./tail";

/** Lines are drawn in blocks, which the browser skips while they are out of sight (`content-visibility`). */
const BLOCK = 200;
/** The end of a log is what one came for; the rest is shown on demand. */
const SHOWN = 5_000;

interface Props {
  lines: Line[];
  /** Keep the end in sight. */
  follow: boolean;
  /** The reader scrolled up while following. */
  onLeaveEnd: () => void;
}

export function LogLines({ lines, follow, onLeaveEnd }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const lastTop = useRef(0);
  const count = lines.length;
  const [all, setAll] = useState(false);
  const cut = all ? 0 : Math.floor(Math.max(0, lines.length - SHOWN) / BLOCK) * BLOCK;

  useEffect(() => {
    if (follow && count > 0 && box.current !== null) box.current.scrollTop = box.current.scrollHeight;
  }, [follow, count]);

  const scrolled = () => {
    const top = box.current?.scrollTop ?? 0;
    if (follow && top < lastTop.current) onLeaveEnd();
    lastTop.current = top;
  };

  const starts = Array.from({ length: Math.ceil((lines.length - cut) / BLOCK) }, (_, block) => cut + block * BLOCK);
  return (
    <>
      {cut > 0 && (
        <Text size="sm" mb="xs">
          {strings.logs.cut(cut)}{" "}
          <Anchor component="button" type="button" onClick={() => setAll(true)}>
            {strings.logs.showAll}
          </Anchor>
        </Text>
      )}
      <div
        ref={box}
        className={classes.log}
        role="region"
        aria-label={strings.logs.region}
        tabIndex={0}
        onScroll={scrolled}
      >
        {starts.map((start) => (
          <Block key={start} lines={lines} start={start} end={Math.min(start + BLOCK, lines.length)} />
        ))}
      </div>
    </>
  );
}

interface BlockProps {
  lines: Line[];
  start: number;
  end: number;
}

/** Lines are only ever added, so a block is the same as before when it has as many and begins with the same one. */
const sameBlock = (a: BlockProps, b: BlockProps) => a.end === b.end && a.lines[a.start] === b.lines[b.start];

const Block = memo(function Block({ lines, start, end }: BlockProps) {
  return (
    <div className={classes.block} style={{ containIntrinsicSize: `auto ${(end - start) * 18}px` }}>
      {lines.slice(start, end).map((line, index) => (
        <div key={start + index} className={classes.line} data-level={line.level?.toLowerCase()}>
          <span className={classes.at} title={line.timestamp ?? undefined}>
            {line.timestamp === null ? "" : clock(line.timestamp, Date.parse(line.timestamp))}
          </span>
          <span className={classes.level}>{line.level?.toUpperCase()}</span>
          <span className={classes.event} title={line.logger ?? undefined}>
            {line.event}
          </span>
        </div>
      ))}
    </div>
  );
}, sameBlock);
