/**
 * A table of any number of rows of which only those in sight exist, for lists that the server gives in windows.
 *
 * `row(index)` gives a row or undefined (not there yet: a skeleton row); `onRange` says which rows are in sight, so that the caller
 * asks for their window. It fills the height that its parent leaves it. `j` / `k` go down and up and focus the row's first link,
 * so Enter opens it. `selection` adds check boxes; `sort` makes headings with a `sortKey` buttons.
 *
 * A row is drawn once, while it is the same object and `columns` are the same, so both should be. Rows should be of plain elements:
 * an `<a href>` in them goes to pages as a `Link` does, `data-reason` on what is disabled is shown as a tooltip.
 */
import { UnstyledButton } from "@mantine/core";
import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useCallback, useEffect, useMemo, useRef, type ReactNode } from "react";

import { strings } from "../lib/strings";
import { Icon } from "./icons";
import { COARSE, useMedia } from "./media";
import { SkeletonText } from "./Skeletons";
import { Tick } from "./Toggle";
import { useHotkeys } from "./useHotkeys";
import { useLinkClicks } from "./useLinkClicks";
import { useReasons } from "./useReasons";
import classes from "./virtual.module.css";

export interface Column<Row> {
  key: string;
  head: ReactNode;
  /** For screen readers and the sort button, when `head` is no text. */
  name?: string;
  /** A CSS grid track: `minmax(160px, 2fr)`, `96px`. */
  width: string;
  align?: "end" | "center";
  sortKey?: string;
  /** Left out on windows narrower than so many pixels. */
  from?: 600 | 900 | 1200;
  cell: (row: Row, index: number) => ReactNode;
}

export interface Sort {
  /** A column's `sortKey`, with `-` in front for downwards. */
  by: string;
  onSort: (by: string) => void;
}

export interface Selection<Row> {
  selected: ReadonlySet<string>;
  onChange: (selected: Set<string>) => void;
  /** Of a row, for its check box. */
  name: (row: Row) => string;
}

interface Props<Row> {
  label: string;
  columns: Column<Row>[];
  count: number;
  row: (index: number) => Row | undefined;
  rowKey: (row: Row) => string;
  /** Pixels; taller on touch screens by itself when left out. */
  rowHeight?: number;
  onRange?: (first: number, last: number) => void;
  sort?: Sort;
  selection?: Selection<Row>;
  /** What is shown instead of rows when there are none. */
  empty?: ReactNode;
  /** The list is as high as its rows up to here, instead of filling its parent. */
  maxHeight?: number | string;
  /** No headings, for a list of cards on a phone; they stay for screen readers. */
  headless?: boolean;
}

export function VirtualTable<Row>(props: Props<Row>) {
  const { label, count, row, rowKey, onRange, sort, selection, empty, maxHeight } = props;
  const coarse = useMedia(COARSE);
  const rowHeight = props.rowHeight ?? (coarse ? 44 : 32);
  const medium = useMedia("(min-width: 600px)");
  const wide = useMedia("(min-width: 900px)");
  const widest = useMedia("(min-width: 1200px)");
  const all = props.columns;
  // The same while one scrolls, so that only rows that come into sight are drawn.
  const columns = useMemo(() => {
    const room = { 600: medium, 900: wide, 1200: widest };
    return all.filter(({ from }) => from === undefined || room[from]);
  }, [all, medium, wide, widest]);
  const box = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count,
    getScrollElement: () => box.current,
    estimateSize: () => rowHeight,
    overscan: 4,
    initialRect: { width: 1000, height: 700 },
  });
  const items = virtual.getVirtualItems();
  const first = items[0]?.index ?? 0;
  const last = items.at(-1)?.index ?? 0;
  const tell = useRef(onRange);
  useEffect(() => {
    tell.current = onRange;
  });
  useEffect(() => tell.current?.(first, last), [first, last, count]);

  const onClick = useLinkClicks();
  const [reasons, tip] = useReasons();
  // The newest, for rows that are not drawn anew when it changes.
  const chosen = useRef(selection);
  useEffect(() => {
    chosen.current = selection;
  });
  const toggle = useCallback((key: string) => {
    if (chosen.current === undefined) return;
    const next = new Set(chosen.current.selected);
    if (!next.delete(key)) next.add(key);
    chosen.current.onChange(next);
  }, []);

  const active = useRef(-1);
  const setActive = useCallback((index: number) => {
    active.current = index;
  }, []);
  const focusRow = (index: number) => {
    if (index < 0 || index >= count) return;
    active.current = index;
    virtual.scrollToIndex(index, { align: "auto" });
    // The row may only exist after the scroll.
    requestAnimationFrame(() => {
      const found = box.current?.querySelector<HTMLElement>(`[data-index="${index}"] :is(a, button, [tabindex="0"])`);
      found?.focus({ preventScroll: true });
    });
  };
  useHotkeys(strings.app.keysOfLists, [
    { keys: "j", label: strings.app.keyDown, run: () => focusRow(active.current + 1) },
    { keys: "k", label: strings.app.keyUp, run: () => focusRow(active.current - 1) },
  ]);

  const tracks = [...(selection === undefined ? [] : ["36px"]), ...columns.map(({ width }) => width)].join(" ");
  const style = { "--tracks": tracks } as React.CSSProperties;
  const known = selection === undefined ? [] : items.flatMap(({ index }) => row(index) ?? []).map(rowKey);
  const allSelected = known.length > 0 && known.every((key) => selection?.selected.has(key));
  return (
    // oxlint-disable-next-line jsx-a11y/click-events-have-key-events, jsx-a11y/no-noninteractive-element-interactions -- listens for its links
    <div
      ref={box}
      onClick={onClick}
      {...reasons}
      className={classes.scroll}
      style={{ maxHeight, ...(maxHeight === undefined ? {} : { flex: "none" }) }}
      role="region"
      aria-label={label}
      tabIndex={0}
    >
      <div role="table" aria-label={label} aria-rowcount={count + 1} className={classes.table} style={style}>
        <div role="rowgroup" className={props.headless === true ? "sr-only" : classes.head}>
          <div role="row" aria-rowindex={1} className={classes.row}>
            {selection !== undefined && (
              <div role="columnheader" className={classes.cell}>
                <Tick
                  label={strings.app.selectAll}
                  checked={allSelected}
                  some={!allSelected && selection.selected.size > 0}
                  onChange={() => selection.onChange(new Set(allSelected ? [] : [...selection.selected, ...known]))}
                />
              </div>
            )}
            {columns.map((column) => (
              <Head key={column.key} column={column} sort={sort} />
            ))}
          </div>
        </div>
        <div role="rowgroup" style={{ height: virtual.getTotalSize(), position: "relative" }}>
          {items.map(({ index, start }) => {
            const data = row(index);
            const key = data === undefined ? null : rowKey(data);
            return (
              <RowView
                key={index}
                index={index}
                start={start}
                height={rowHeight}
                data={data}
                rowKey={key}
                columns={columns}
                name={data === undefined || selection === undefined ? undefined : selection.name(data)}
                isSelected={selection === undefined ? undefined : key !== null && selection.selected.has(key)}
                onToggle={toggle}
                onActive={setActive}
              />
            );
          })}
        </div>
      </div>
      {count === 0 && empty}
      {tip}
    </div>
  );
}

interface RowProps<Row> {
  index: number;
  start: number;
  height: number;
  data: Row | undefined;
  rowKey: string | null;
  columns: Column<Row>[];
  /** For its check box. */
  name: string | undefined;
  /** Undefined: there is nothing to be selected. */
  isSelected: boolean | undefined;
  onToggle: (rowKey: string) => void;
  onActive: (index: number) => void;
}

function PlainRow<Row>(props: RowProps<Row>) {
  const { index, start, height, data, rowKey, columns, name, isSelected, onToggle, onActive } = props;
  return (
    <div
      role="row"
      aria-rowindex={index + 2}
      aria-selected={rowKey === null ? undefined : isSelected}
      data-index={index}
      className={classes.row}
      style={{ top: start, height }}
      onFocus={() => onActive(index)}
    >
      {isSelected !== undefined && (
        <div role="cell" className={classes.cell}>
          {name !== undefined && rowKey !== null && (
            <Tick label={strings.app.selectRow(name)} checked={isSelected} onChange={() => onToggle(rowKey)} />
          )}
        </div>
      )}
      {columns.map((column) => (
        <div key={column.key} role="cell" className={classes.cell} data-align={column.align}>
          {data === undefined ? <SkeletonText width={60} /> : column.cell(data, index)}
        </div>
      ))}
    </div>
  );
}

const RowView = memo(PlainRow) as typeof PlainRow;

function Head<Row>({ column, sort }: { column: Column<Row>; sort: Sort | undefined }) {
  const { sortKey } = column;
  const shared = {
    role: "columnheader",
    className: classes.cell,
    "data-align": column.align,
  };
  if (sort === undefined || sortKey === undefined) return <div {...shared}>{column.head}</div>;
  const down = sort.by === `-${sortKey}`;
  const up = sort.by === sortKey;
  const name = column.name ?? (typeof column.head === "string" ? column.head : column.key);
  return (
    <div {...shared} aria-sort={up ? "ascending" : down ? "descending" : "none"}>
      <UnstyledButton
        className={classes.sort}
        aria-label={strings.app.sortBy(name)}
        onClick={() => sort.onSort(up ? `-${sortKey}` : sortKey)}
      >
        {column.head}
        {(up || down) && <Icon name={up ? "up" : "down"} size={12} />}
      </UnstyledButton>
    </div>
  );
}
