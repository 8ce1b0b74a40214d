import {
  useEffect,
  useId,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
  type CSSProperties,
  type KeyboardEvent,
  type MouseEvent,
} from "react";
import { useNavigate } from "react-router";

import type { Grid } from "../../api/queries";
import { move, nextFailure, type Place } from "../../lib/grid/move";
import { strings } from "../../lib/strings";
import { duration } from "../../lib/time";
import { Looks } from "../../parts/grid/Looks";
import { measuresOf, nameWidth } from "../../parts/grid/measures";
import { Tip, type TipTarget } from "../../parts/grid/Tip";
import { rangeOf, useRest, useView } from "../../parts/grid/useWindow";
import type { Rows } from "../../parts/grid/useRows";
import { useHotkeys } from "../../ui/useHotkeys";
import classes from "./grid.module.css";
import { GridRow, RunHead } from "./GridRow";
import { labelsOf } from "./labels";

/** Room right of the newest run, for the label that begins at it. */
const RIGHT = 64;
const BARS = 56;
const HEAD = BARS + 44;
/** What is drawn beyond what is seen. */
const STEP = 128;
/** Older runs are loaded when less than this is left of them. */
const NEAR = 80;
const ARROWS = ["ArrowLeft", "ArrowUp", "ArrowRight", "ArrowDown"];

interface Props {
  dagId: string;
  grid: Grid;
  rows: Rows;
  olderState: "idle" | "loading" | "failed";
  onOlder: () => void;
}

export function GridTable({ dagId, grid, rows, olderState, onOlder }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const hint = useId();
  const navigate = useNavigate();
  const { view, onScroll } = useView(box, STEP);
  const height = useRest(box, 320, 16);
  const { shown, isFolded, toggle } = rows;
  const { runs, cells, states } = grid;

  const { rowHeight, columnWidth, mark } = measuresOf(rows.all.length);
  const names = nameWidth(rows.all, view.width);
  const size: CSSProperties & Record<`--${string}`, string> = {
    "--row": `${rowHeight}px`,
    "--column": `${columnWidth}px`,
    "--mark": `${mark}px`,
    "--names": `${names}px`,
    "--head": `${HEAD}px`,
    "--bars": `${BARS}px`,
  };

  const rowRange = rangeOf(view.top, view.height + STEP, rowHeight, shown.length, 4);
  const columns = rangeOf(view.left, view.width - names + STEP, columnWidth, runs.length, 2);

  // Time runs to the right: open at the newest run, and stay where one looks when older runs come in on the left.
  const before = useRef<{ oldest: string | undefined; newest: string | undefined; count: number }>(null);
  const [unseen, setUnseen] = useState(0);
  useLayoutEffect(() => {
    const element = box.current;
    const now = { oldest: runs[0]?.dag_run_id, newest: runs.at(-1)?.dag_run_id, count: runs.length };
    const was = before.current;
    before.current = now;
    if (element === null) return;
    if (was === null || was.newest === undefined) {
      element.scrollLeft = element.scrollWidth;
      return;
    }
    const place = runs.findIndex((run) => run.dag_run_id === was.oldest);
    if (place > 0) element.scrollLeft += place * columnWidth;
    const last = runs.findIndex((run) => run.dag_run_id === was.newest);
    const added = last < 0 ? 0 : runs.length - 1 - last;
    const isHidden = element.scrollLeft + element.clientWidth < element.scrollWidth - RIGHT;
    if (added > 0 && isHidden) setUnseen((n) => n + added);
  }, [runs, columnWidth]);
  const scrollToNewest = () => {
    setUnseen(0);
    box.current?.scrollTo({ left: box.current.scrollWidth, behavior: "auto" });
  };

  const wasScrolled = useRef(false);
  const isNearStart = view.left < NEAR;
  // Only by scrolling: a grid that fits has a button, and would otherwise load until it does not fit.
  const overflows = runs.length * columnWidth + names > view.width;
  useEffect(() => {
    if (isNearStart && overflows && view.width > 0 && grid.hasOlder && olderState === "idle" && wasScrolled.current) {
      onOlder();
    }
  }, [isNearStart, overflows, view.width, grid.hasOlder, olderState, onOlder]);

  // One link of the grid is in the tab order; the arrows move it.
  const [active, setActive] = useState<{ row: string | null; run: string | null } | null>(null);
  const place = useMemo<Place | null>(() => {
    if (active === null) return null;
    const row = active.row === null ? -1 : shown.findIndex(({ id }) => id === active.row);
    const column = active.run === null ? -1 : runs.findIndex((run) => run.dag_run_id === active.run);
    if ((active.row !== null && row < 0) || (active.run !== null && column < 0)) return null;
    return { row, column };
  }, [active, shown, runs]);
  const tabStop = place ?? { row: -1, column: runs.length - 1 };
  const wantsFocus = useRef(false);

  const go = (to: Place) => {
    wantsFocus.current = true;
    setActive({ row: shown[to.row]?.id ?? null, run: runs[to.column]?.dag_run_id ?? null });
    const element = box.current;
    if (element === null) return;
    const room = columnWidth * 2;
    if (to.column >= 0) {
      const x = to.column * columnWidth;
      const width = element.clientWidth - names;
      if (x - room < element.scrollLeft) element.scrollLeft = Math.max(0, x - room);
      else if (x + columnWidth + room > element.scrollLeft + width) element.scrollLeft = x + columnWidth + room - width;
    }
    if (to.row >= 0) {
      const y = to.row * rowHeight;
      const tall = element.clientHeight - HEAD;
      if (y < element.scrollTop) element.scrollTop = Math.max(0, y - rowHeight);
      else if (y + 2 * rowHeight > element.scrollTop + tall) element.scrollTop = y + 2 * rowHeight - tall;
    }
  };
  // The link may only be drawn once the box has scrolled to it.
  useEffect(() => {
    if (!wantsFocus.current || place === null) return;
    const link = box.current?.querySelector<HTMLElement>(`[data-at="${place.row},${place.column}"]`);
    if (link == null) return;
    wantsFocus.current = false;
    link.focus({ preventScroll: true });
  });

  const leap = (back: boolean) => {
    const next = nextFailure(place, back, shown, grid, isFolded);
    if (next !== null) go(next);
  };
  const page = Math.max(1, Math.floor((view.height - HEAD) / rowHeight) - 1);
  const step = (key: string) => {
    // The first key shows where one is.
    const next = place === null ? tabStop : move(place, key, { rows: shown.length, columns: runs.length }, page);
    if (next !== null) go(next);
  };
  // From anywhere on the page; inside of the grid the arrows do without Shift.
  useHotkeys(strings.dag.gridLabel, [
    { keys: "n", label: strings.dag.keyNext, run: () => leap(false) },
    { keys: "Shift+N", label: strings.dag.keyPrevious, run: () => leap(true) },
    ...ARROWS.map((key, index) => ({
      keys: `Shift+${key}`,
      label: index === 0 ? strings.dag.keyMove : null,
      run: () => step(key),
    })),
  ]);
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || place === null) return;
    if (event.key === " ") {
      const row = shown[place.row];
      if (row?.kind !== "group") return;
      wantsFocus.current = true;
      toggle(row.id);
    } else {
      if (move(place, event.key, { rows: shown.length, columns: runs.length }, page) === null) return;
      step(event.key);
    }
    event.preventDefault();
  };

  const [tip, setTip] = useState<TipTarget | null>(null);
  const tipTimer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const show = (element: HTMLElement | null, wait: number) => {
    clearTimeout(tipTimer.current);
    const link = element?.closest<HTMLElement>("[data-at]") ?? null;
    if (link === null) {
      tipTimer.current = setTimeout(() => setTip(null), 60);
      return;
    }
    tipTimer.current = setTimeout(() => {
      const [row = -1, column = -1] = (link.dataset["at"] ?? "").split(",").map(Number);
      const run = runs[column];
      setTip(run === undefined ? null : { row: shown[row] ?? null, run, box: link.getBoundingClientRect() });
    }, wait);
  };
  useEffect(() => () => clearTimeout(tipTimer.current), []);
  const cross = useRef<HTMLDivElement>(null);
  const hover = (element: HTMLElement | null) => {
    const column = Number(element?.closest<HTMLElement>("[data-at]")?.dataset["at"]?.split(",")[1] ?? -1);
    if (cross.current === null) return;
    cross.current.style.display = column < 0 ? "none" : "block";
    cross.current.style.transform = `translateX(${names + column * columnWidth}px)`;
  };

  const onClick = (event: MouseEvent<HTMLElement>) => {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as HTMLElement).closest("a");
    const to = link?.getAttribute("href");
    if (to == null) return;
    event.preventDefault();
    void navigate(to);
  };

  const labels = labelsOf(runs, columnWidth);
  const longest = Math.max(1, ...runs.map((run) => run.duration ?? 0));
  const width = names + runs.length * columnWidth + RIGHT;

  return (
    <div className={classes.frame}>
      <Looks />
      <p id={hint} className={classes.hint}>
        {strings.dag.gridKeys}
      </p>
      {/* oxlint-disable-next-line jsx-a11y/interactive-supports-focus -- one of its links is in the tab order */}
      <div
        ref={box}
        className={classes.box}
        style={{ ...size, maxHeight: height }}
        role="grid"
        aria-label={strings.dag.gridLabel}
        aria-describedby={hint}
        aria-rowcount={shown.length + 1}
        aria-colcount={runs.length + 1}
        onScroll={() => {
          wasScrolled.current = true;
          if (tip !== null) setTip(null);
          onScroll();
        }}
        onKeyDown={onKeyDown}
        onClick={onClick}
        onPointerOver={(event) => {
          if (event.pointerType === "touch") return;
          hover(event.target as HTMLElement);
          show(event.target as HTMLElement, 150);
        }}
        onPointerLeave={() => {
          hover(null);
          show(null, 0);
        }}
        onFocus={(event) => {
          const at = event.target.dataset["at"]?.split(",").map(Number);
          if (at === undefined) return;
          const [row = -1, column = -1] = at;
          setActive({ row: shown[row]?.id ?? null, run: runs[column]?.dag_run_id ?? null });
          if (event.target.matches(":focus-visible")) show(event.target, 250);
        }}
        onBlur={() => show(null, 0)}
      >
        <div className={classes.canvas} style={{ width, height: HEAD + shown.length * rowHeight }}>
          <div className={classes.head} role="row" aria-rowindex={1}>
            <div className={classes.corner} role="columnheader">
              <span className={classes.axis} aria-hidden="true">
                <span>{duration(longest)}</span>
                <span>{duration(longest / 2)}</span>
              </span>
              <span className={classes.cornerLabel}>{strings.dag.task}</span>
            </div>
            <span className={classes.skip} style={{ width: columns.from * columnWidth }} />
            {runs.slice(columns.from, columns.to).map((run, index) => {
              const column = columns.from + index;
              return (
                <RunHead
                  key={run.dag_run_id}
                  dagId={dagId}
                  run={run}
                  column={column}
                  label={labels[column] ?? null}
                  part={(run.duration ?? 0) / longest}
                  tall={BARS}
                  version={
                    column > 0 && runs[column - 1]?.dag_version_number !== run.dag_version_number
                      ? run.dag_version_number
                      : null
                  }
                  isTabStop={tabStop.row === -1 && tabStop.column === column}
                />
              );
            })}
          </div>
          {shown.slice(rowRange.from, rowRange.to).map((row, index) => {
            const at = rowRange.from + index;
            return (
              <GridRow
                key={row.id}
                dagId={dagId}
                row={row}
                at={at}
                top={HEAD + at * rowHeight}
                runs={runs}
                cells={cells}
                states={states}
                from={columns.from}
                to={columns.to}
                isFolded={isFolded(row)}
                tabStop={tabStop.row === at ? tabStop.column : null}
                onToggle={toggle}
              />
            );
          })}
          <div ref={cross} className={classes.cross} aria-hidden="true" />
          {runs.map((run, column) =>
            column > 0 &&
            column >= columns.from &&
            column < columns.to &&
            runs[column - 1]?.dag_version_number !== run.dag_version_number ? (
              <div
                key={run.dag_run_id}
                className={classes.version}
                style={{ left: names + column * columnWidth }}
                aria-hidden="true"
              />
            ) : null,
          )}
        </div>
      </div>
      {unseen > 0 && (
        <button type="button" className={classes.pill} onClick={scrollToNewest}>
          {strings.dag.newRuns(unseen)}
        </button>
      )}
      {tip !== null && <Tip dagId={dagId} target={tip} grid={grid} />}
    </div>
  );
}
