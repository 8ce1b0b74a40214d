import { useRef, type CSSProperties } from "react";
import { Link } from "react-router";

import type { Bar } from "../../lib/gantt/bars";
import { ticksOf } from "../../lib/gantt/scale";
import type { Row } from "../../lib/grid/rows";
import { stateWord } from "../../lib/states";
import { strings } from "../../lib/strings";
import { clock, duration } from "../../lib/time";
import { Looks } from "../../parts/grid/Looks";
import { measuresOf, nameWidth } from "../../parts/grid/measures";
import { RowName } from "../../parts/grid/RowName";
import type { Rows } from "../../parts/grid/useRows";
import { rangeOf, useRest, useView } from "../../parts/grid/useWindow";
import { paths } from "../../paths";
import { now as clockNow } from "../../ui/now";
import type { ChartModel, Drawn } from "./chartOf";
import classes from "./gantt.module.css";

const HEAD = 32;
const STEP = 128;
/** Room at the right for how long the last bar took. */
const RIGHT = 72;
/** Pixels of the axis for one tick. */
const TICK = 96;
/** Narrower, and the bars cannot be told apart: the chart scrolls sideways instead. */
const LEAST = 360;

interface Props {
  dagId: string;
  runId: string;
  rows: Rows;
  chart: ChartModel;
}

export function Chart({ dagId, runId, rows, chart }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const { view, onScroll } = useView(box, STEP);
  const height = useRest(box, 320, 16);
  const { shown, isFolded, toggle } = rows;
  const { rowHeight, mark } = measuresOf(rows.all.length);
  const names = nameWidth(rows.all, view.width);
  const axis = Math.max(LEAST, view.width - names - RIGHT);
  const range = rangeOf(view.top, view.height + STEP, rowHeight, shown.length, 4);
  const { scale, origin, now } = chart;
  const ticks = ticksOf(scale, origin, Math.floor(axis / TICK));
  const style: CSSProperties & Record<`--${string}`, string> = {
    "--row": `${rowHeight}px`,
    "--names": `${names}px`,
    "--bar": `${mark}px`,
    maxHeight: height,
  };
  return (
    <div className={classes.frame}>
      <Looks />
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls can be scrolled by keyboard */}
      <div
        ref={box}
        className={classes.box}
        style={style}
        onScroll={onScroll}
        role="region"
        aria-label={strings.dag.ganttLabel}
        tabIndex={0}
      >
        <div
          className={classes.canvas}
          style={{ width: names + axis + RIGHT, height: HEAD + shown.length * rowHeight }}
          role="table"
          aria-label={strings.dag.ganttLabel}
          aria-rowcount={shown.length + 1}
        >
          <div className={classes.head} role="row" aria-rowindex={1}>
            <div className={classes.corner} role="columnheader">
              {strings.dag.task}
            </div>
            <div className={classes.axis} role="columnheader" style={{ width: axis }}>
              {ticks.map(({ time, x }) => (
                <span
                  key={time}
                  style={{ left: x * axis }}
                  title={clock(new Date(time).toISOString(), clockNow())}
                  data-first={time === origin ? "" : undefined}
                >
                  {time === origin
                    ? clock(new Date(time).toISOString(), clockNow()).slice(-8)
                    : `+${duration((time - origin) / 1000)}`}
                </span>
              ))}
            </div>
          </div>
          <div className={classes.lines} style={{ left: names, width: axis, top: HEAD }} aria-hidden="true">
            {ticks.map(({ time, x }) => (
              <i key={time} style={{ left: x * axis }} />
            ))}
            {scale.segments.map(({ isGap, from, to, x0, x1 }) =>
              isGap ? (
                <b
                  key={from}
                  style={{ left: x0 * axis, width: (x1 - x0) * axis }}
                  title={strings.dag.idle(duration((to - from) / 1000))}
                />
              ) : null,
            )}
            {now !== null && <u style={{ left: scale.at(now) * axis }} title={strings.dag.now} />}
          </div>
          {shown.slice(range.from, range.to).map((row, index) => {
            const at = range.from + index;
            const drawn = chart.drawn.get(row.id);
            return (
              <div
                key={row.id}
                className={classes.row}
                role="row"
                aria-rowindex={at + 2}
                style={{ top: HEAD + at * rowHeight }}
              >
                <RowName
                  row={row}
                  at={at}
                  isOpen={row.kind === "group" && !isFolded(row)}
                  href={paths.task({ dagId, runId, taskId: row.id, mapIndex: -1 })}
                  isTabStop
                  onToggle={toggle}
                />
                <div role="cell" className={classes.track} style={{ width: axis + RIGHT }}>
                  {drawn !== undefined && (
                    <Track dagId={dagId} runId={runId} row={row} drawn={drawn} x={(time) => scale.at(time) * axis} />
                  )}
                </div>
              </div>
            );
          })}
        </div>
      </div>
      <p className={classes.legend}>
        <span>
          <i className={classes.keyQueued} /> {strings.states.queued}
        </span>
        <span>
          <i className={classes.keyRun} data-s="success" /> {strings.states.success}
        </span>
        <span>
          <i className={classes.keyRun} data-s="failed" /> {strings.states.failed}
        </span>
        <span>
          <i className={classes.keyCritical} /> {strings.dag.critical}
        </span>
        {now !== null && (
          <span>
            <i className={classes.keyNow} /> {strings.dag.now}
          </span>
        )}
      </p>
    </div>
  );
}

interface TrackProps {
  dagId: string;
  runId: string;
  row: Row;
  drawn: Drawn;
  x: (time: number) => number;
}

function Track({ dagId, runId, row, drawn, x }: TrackProps) {
  const { whole, bars, isCritical } = drawn;
  if (whole !== null) {
    const said = `${strings.states[stateWord(whole.state)]}, ${duration((whole.to - whole.from) / 1000)}`;
    const left = x(whole.from);
    const width = Math.max(3, x(whole.to) - left);
    const shared = {
      className: row.kind === "group" ? classes.whole : classes.mapped,
      style: { left, width },
      "data-s": stateWord(whole.state),
      "data-critical": isCritical ? "" : undefined,
      title: said,
    };
    return (
      <>
        {row.kind === "group" ? (
          <span {...shared} role="img" aria-label={`${row.label}: ${said}`} />
        ) : (
          <Link
            {...shared}
            to={paths.task({ dagId, runId, taskId: row.id, mapIndex: -1 }, "mapped")}
            aria-label={`${row.label}: ${said}`}
          >
            {width > 24 ? whole.count : null}
          </Link>
        )}
        <span className={classes.took} style={{ left: left + width + 5 }} aria-hidden="true">
          {duration((whole.to - whole.from) / 1000)}
        </span>
      </>
    );
  }
  const last = bars.at(-1);
  const end = last?.run?.to ?? last?.queued?.to;
  return (
    <>
      {bars.map((bar) => (
        <OneTry key={bar.tryNumber} dagId={dagId} runId={runId} row={row} bar={bar} x={x} isCritical={isCritical} />
      ))}
      {last?.run != null && end !== undefined && (
        <span className={classes.took} style={{ left: Math.max(x(end), x(last.run.from) + 3) + 5 }} aria-hidden="true">
          {duration((last.run.to - last.run.from) / 1000)}
        </span>
      )}
    </>
  );
}

function OneTry({
  dagId,
  runId,
  row,
  bar,
  x,
  isCritical,
}: Omit<TrackProps, "drawn"> & { bar: Bar; isCritical: boolean }) {
  const { queued, run, state, tryNumber, mapIndex } = bar;
  const from = x(queued?.from ?? run?.from ?? 0);
  const to = Math.max(x(run?.to ?? queued?.to ?? 0), from + 3);
  const start = run === null ? to : x(run.from);
  const said = [
    strings.dag.tryNumber(tryNumber),
    strings.states[stateWord(state)],
    ...(queued === null ? [] : [strings.dag.queuedFor(duration((queued.to - queued.from) / 1000))]),
    ...(run === null ? [] : [strings.dag.ranFor(duration((run.to - run.from) / 1000))]),
  ].join(", ");
  const width = Math.max(3, to - start);
  return (
    <Link
      to={paths.log({ dagId, runId, taskId: row.id, mapIndex }, tryNumber)}
      className={classes.try}
      style={{ left: from, width: Math.max(to - from, start - from + width) }}
      data-s={stateWord(state)}
      data-critical={isCritical ? "" : undefined}
      aria-label={`${row.label}: ${said}`}
      title={said}
    >
      {queued !== null && start - from >= 1 && <i style={{ width: start - from }} />}
      {run !== null && <b style={{ width }} data-wide={width >= 16 ? "" : undefined} />}
    </Link>
  );
}
