import {
  useCallback,
  useEffect,
  useImperativeHandle,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
  type Ref,
} from "react";

import { Layout, Scale, type Source, type Spot } from "../../lib/log/layout";
import type { LogLine } from "../../lib/log/lines";
import { strings } from "../../lib/strings";
import classes from "./log.module.css";
import { Row } from "./Row";
import type { LogSettings } from "./settings";

/** Height of a row; `log.module.css` has the same. */
const ROW = 18;
/** Rows drawn above and below what is seen. */
const OVER = 12;
/** Letters of the level, and of a time. */
const LEVEL = 6;
const TIME = 13;
/** Pages that somebody scrolls past are not read. */
const PASSING_MS = 70;

export interface LinesHandle {
  /** Brings a line to the middle of the view. */
  show(spot: Spot): void;
  toStart(): void;
  toEnd(): void;
  focus(): void;
}

interface Props {
  handle: Ref<LinesHandle>;
  source: Source;
  /** The number of a line, from 0; null while that is not known. */
  numberOf: (spot: Spot) => number | null;
  /** Digits of the largest number. */
  digits: number;
  find: RegExp | null;
  target: number | null;
  hit: number | null;
  startedAt: number | null;
  settings: LogSettings;
  isNarrow: boolean;
  /** Where along the log something serious is, from 0 to 1. */
  marks: { at: number; level: string }[];
  /** New lines at the end are followed while the end is seen. */
  sticky: boolean;
  onEnd: (isAtEnd: boolean) => void;
  need: (first: number, last: number) => void;
  onLink: (line: LogLine, number: number | null) => void;
}

/** The lines that are seen, of a log of any length. */
export function Lines(props: Props) {
  const { handle, source, numberOf, digits, settings, isNarrow, sticky, onEnd, need } = props;
  const box = useRef<HTMLDivElement>(null);
  const ruler = useRef<HTMLSpanElement>(null);
  const [view, setView] = useState({ width: 0, height: 0, letter: 7.5 });
  const [scrollTop, setScrollTop] = useState(0);
  /** What was at the top of the view, to stay there when heights above it change. */
  const anchor = useRef<{ spot: Spot; rest: number }>({ spot: { block: 0, index: 0 }, rest: 0 });
  const isAtEnd = useRef(false);
  /** A line to bring to the middle, until its block is here. */
  const wanted = useRef<Spot | null>(null);

  useLayoutEffect(() => {
    const element = box.current;
    if (element === null) return;
    const measure = () => {
      const letter = (ruler.current?.getBoundingClientRect().width ?? 0) / 100;
      setView({ width: element.clientWidth, height: element.clientHeight, letter: letter > 0 ? letter : 7.5 });
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  const gutter = {
    number: Math.max(3, digits) + 1.5,
    time: isNarrow || settings.time === "none" ? 0 : TIME,
    level: isNarrow ? 0 : LEVEL,
  };
  const margin = (gutter.number + gutter.time + gutter.level) * view.letter + (isNarrow ? 22 : 30);
  const columns =
    settings.wrap && view.width > 0 ? Math.max(12, Math.floor((view.width - margin) / view.letter)) : null;

  const layout = useMemo(() => new Layout(source, columns), [source, columns]);
  const whole = layout.rows * ROW + 12;
  const scale = useMemo(() => new Scale(whole, view.height), [whole, view.height]);

  const scrollTo = useCallback(
    (top: number) => {
      const element = box.current;
      if (element === null) return;
      element.scrollTop = scale.toScroll(Math.max(0, top));
      setScrollTop(element.scrollTop);
    },
    [scale],
  );

  /** Keeps what was seen in its place: the end, a line that was asked for, or the line at the top. */
  useLayoutEffect(() => {
    const element = box.current;
    if (element === null || view.height === 0) return;
    const { current: spot } = wanted;
    if (spot !== null) {
      scrollTo(layout.top(spot) * ROW - view.height / 2 + ROW);
      if (source.block(spot.block) !== undefined) {
        wanted.current = null;
        anchor.current = { spot, rest: layout.top(spot) * ROW - scale.toTop(element.scrollTop) };
      }
    } else if (isAtEnd.current && sticky) {
      scrollTo(whole);
    } else {
      const top = layout.top(anchor.current.spot) * ROW - anchor.current.rest;
      if (Math.abs(top - scale.toTop(element.scrollTop)) > 1) scrollTo(top);
    }
  }, [layout, scale, view.height, whole, sticky, source, scrollTo]);

  const scrolled = () => {
    const element = box.current;
    if (element === null) return;
    setScrollTop(element.scrollTop);
    const top = scale.toTop(element.scrollTop);
    const spot = layout.at(Math.floor(top / ROW));
    anchor.current = { spot, rest: layout.top(spot) * ROW - top };
    const end = element.scrollHeight - element.scrollTop - element.clientHeight < 4;
    if (end !== isAtEnd.current) {
      isAtEnd.current = end;
      onEnd(end);
    }
  };

  const show = (spot: Spot) => {
    wanted.current = spot;
    isAtEnd.current = false;
    onEnd(false);
    need(spot.block, spot.block);
    scrollTo(layout.top(spot) * ROW - view.height / 2 + ROW);
    if (source.block(spot.block) !== undefined && view.height > 0) {
      wanted.current = null;
      anchor.current = { spot, rest: layout.top(spot) * ROW - scale.toTop(box.current?.scrollTop ?? 0) };
    }
  };
  useImperativeHandle(handle, () => ({
    show,
    toStart: () => scrollTo(0),
    toEnd: () => {
      isAtEnd.current = true;
      onEnd(true);
      scrollTo(whole);
    },
    focus: () => box.current?.focus(),
  }));

  const top = scale.toTop(scrollTop);
  const firstRow = Math.max(0, Math.floor(top / ROW) - OVER);
  const lastRow = Math.min(layout.rows - 1, Math.ceil((top + view.height) / ROW) + OVER);
  const [firstBlock, lastBlock] = [layout.blockAt(firstRow), layout.blockAt(Math.max(0, lastRow))];
  useEffect(() => {
    if (source.blocks === 0 || view.height === 0) return;
    const timer = setTimeout(() => need(firstBlock, lastBlock), PASSING_MS);
    return () => clearTimeout(timer);
  }, [need, firstBlock, lastBlock, source, view.height]);

  const drawn = [];
  const start = layout.at(firstRow);
  let row = layout.top(start);
  for (let { block, index } = start; row <= lastRow && block < source.blocks;) {
    const lines = source.block(block);
    const line = lines?.[index];
    if (lines === undefined) {
      // Not here yet: as high as it likely is.
      const until = Math.min(layout.topOfBlock(block + 1), lastRow + 1);
      const height = (until - row) * ROW;
      drawn.push(<div key={`gap ${block}`} className={classes.gap} style={{ height }} aria-hidden="true" />);
      row = until;
    } else if (line !== undefined) {
      const spot = { block, index };
      drawn.push(
        <Row
          key={line.offset}
          line={line}
          number={numberOf(spot)}
          find={props.find}
          isTarget={line.offset === props.target}
          isHit={line.offset === props.hit}
          mode={gutter.time === 0 ? "none" : settings.time}
          startedAt={props.startedAt}
          source={settings.source}
          onLink={props.onLink}
        />,
      );
      row += layout.height(spot);
    }
    index++;
    if (lines === undefined || index >= lines.length) {
      block++;
      index = 0;
    }
  }
  const drawnTop = scrollTop + layout.top(layout.at(firstRow)) * ROW - top;
  return (
    <div className={classes.frame} style={{ height: Math.min(whole + 14, 20_000) }}>
      <div
        ref={box}
        className={classes.box}
        role="region"
        aria-label={strings.logs.region}
        // A scrolling region has to be reachable by keyboard.
        tabIndex={0}
        onScroll={scrolled}
        data-wrap={settings.wrap || undefined}
        style={{
          ["--number" as string]: `${gutter.number}ch`,
          ["--time" as string]: `${gutter.time}ch`,
          ["--level" as string]: `${gutter.level}ch`,
        }}
      >
        <span ref={ruler} className={classes.ruler} aria-hidden="true">
          {"0".repeat(100)}
        </span>
        <div style={{ height: scale.height, position: "relative" }}>
          <div className={classes.rows} style={{ transform: `translateY(${Math.max(0, drawnTop)}px)` }}>
            {drawn}
          </div>
        </div>
      </div>
      <div className={classes.marks} aria-hidden="true">
        {props.marks.map(({ at, level }) => (
          <i key={`${level} ${at}`} data-level={level} style={{ top: `${at * 100}%` }} />
        ))}
      </div>
    </div>
  );
}
