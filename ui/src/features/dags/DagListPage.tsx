/** All DAGs in one dense table: what fails is on top, and says why. Rows come from the server in windows as they come into sight. */
import { Button, CloseButton, Group, NativeSelect, Text, TextInput } from "@mantine/core";
import { useDebouncedCallback } from "@mantine/hooks";
import { useQueries, useQuery } from "@tanstack/react-query";
import { useMemo, useRef, useState } from "react";
import { useSearchParams } from "react-router";

import { messageOf } from "../../api/errors";
import { useDeleteDag, useForDags } from "../../api/mutations/dags";
import {
  DAG_ORDERS,
  DAG_WINDOW,
  dagListQuery,
  type DagList,
  type DagListFilter,
  type ListedDag,
} from "../../api/queries/dagList";
import { strings } from "../../lib/strings";
import { number } from "../../lib/strings/plural";
import { CanButton } from "../../parts/Can";
import { Confirm } from "../../ui/Confirm";
import { EmptyState } from "../../ui/EmptyState";
import { Icon } from "../../ui/icons";
import { NARROW, useMedia } from "../../ui/media";
import { Fill, PageHead } from "../../ui/Page";
import { PanelError } from "../../ui/PanelError";
import { toast } from "../../ui/toasts";
import { useHotkeys } from "../../ui/useHotkeys";
import { VirtualTable } from "../../ui/VirtualTable";
import { useActs } from "./acts";
import { cardColumns, tableColumns } from "./columns";
import classes from "./dags.module.css";
import { filterOf, isFiltered, parseTyped, searchOf, typedOf } from "./filter";

const CARD = 92;
/** Rows of the skeleton. */
const GUESS = 12;

export function DagListPage() {
  const [search, setSearch] = useSearchParams();
  const filter = filterOf(search);
  const change = (part: Partial<DagListFilter>) => setSearch(searchOf({ ...filter, ...part }), { replace: true });
  const narrow = useMedia(NARROW);
  const { acts, deleting, endDelete } = useActs();
  // The same until something is filtered, so that rows are not drawn anew while one scrolls.
  const columns = useMemo(() => {
    const filterBy = (part: Partial<DagListFilter>) =>
      setSearch(searchOf({ ...filterOf(search), ...part }), { replace: true });
    return narrow ? cardColumns(acts) : tableColumns(filterBy, acts);
  }, [narrow, search, setSearch, acts]);
  const [selected, setSelected] = useState<Set<string>>(new Set());
  const list = useList(filter);
  const words = strings.dags;
  return (
    <Fill>
      <PageHead
        title={words.title}
        after={
          list.total !== null && (
            <Text c="dimmed" size="sm" role="status">
              {isFiltered(filter) ? words.shownOf(list.total, list.counts?.all ?? list.total) : number(list.total)}
            </Text>
          )
        }
      />
      <div className={classes.bar} role="search" aria-label={words.search}>
        <Search key={typedOf(filter)} filter={filter} onChange={change} />
        <Chips filter={filter} counts={list.counts} onChange={change} />
        <NativeSelect
          size="xs"
          aria-label={words.order}
          value={filter.order}
          data={DAG_ORDERS.map((value) => ({ value, label: words.orders[value] }))}
          onChange={({ currentTarget: { value } }) =>
            change({ order: DAG_ORDERS.find((order) => order === value) ?? "failing" })
          }
        />
      </div>
      {selected.size > 0 && <Bulk selected={selected} onDone={() => setSelected(new Set())} />}
      {list.error !== null ? (
        <PanelError message={messageOf(list.error)} onRetry={list.retry} />
      ) : (
        <VirtualTable<ListedDag>
          label={words.title}
          columns={columns}
          headless={narrow}
          {...(narrow ? { rowHeight: CARD } : {})}
          count={list.total ?? GUESS}
          row={list.row}
          rowKey={(dag) => dag.dag_id}
          onRange={list.onRange}
          sort={{
            by: filter.order,
            onSort: (by) => change({ order: DAG_ORDERS.find((order) => order === by) ?? "failing" }),
          }}
          {...(narrow ? {} : { selection: { selected, onChange: setSelected, name: (dag) => dag.dag_id } })}
          empty={<Nothing filter={filter} onClear={() => setSearch({}, { replace: true })} />}
        />
      )}
      {deleting !== null && <Delete dagId={deleting} onClose={endDelete} />}
    </Fill>
  );
}

/** The windows that are in sight; the first is always read, for the totals. */
function useList(filter: DagListFilter) {
  const [windows, setWindows] = useState<number[]>([]);
  const head = useQuery(dagListQuery(filter, 0));
  const rest = useQueries({ queries: windows.map((window) => dagListQuery(filter, window)) });
  const loaded = new Map<number, DagList>();
  if (head.data !== undefined) loaded.set(0, head.data);
  for (const [index, { data }] of rest.entries()) {
    const window = windows[index];
    if (data !== undefined && window !== undefined) loaded.set(window, data);
  }
  return {
    total: head.data?.total_entries ?? null,
    counts: head.data?.counts ?? null,
    error: head.data === undefined ? head.error : null,
    retry: () => void head.refetch(),
    row: (index: number) => loaded.get(Math.floor(index / DAG_WINDOW))?.dags[index % DAG_WINDOW],
    onRange: (first: number, last: number) => {
      const [from, to] = [Math.floor(first / DAG_WINDOW), Math.floor(last / DAG_WINDOW)];
      const wanted = Array.from({ length: to - from + 1 }, (_, index) => from + index).filter((window) => window > 0);
      setWindows((before) => (before.join() === wanted.join() ? before : wanted));
    },
  };
}

type Change = (part: Partial<DagListFilter>) => void;

/** What is typed goes into the address a moment later. */
function Search({ filter, onChange }: { filter: DagListFilter; onChange: Change }) {
  const field = useRef<HTMLInputElement>(null);
  const [text, setText] = useState(typedOf(filter));
  const apply = useDebouncedCallback((typed: string) => onChange(parseTyped(typed)), 200);
  const words = strings.dags;
  useHotkeys(words.title, [{ keys: "/", label: words.search, run: () => field.current?.select() }]);
  return (
    <TextInput
      ref={field}
      type="search"
      size="xs"
      className={classes.search ?? ""}
      leftSection={<Icon name="search" size={14} />}
      aria-label={words.search}
      placeholder={words.searchHint}
      value={text}
      onChange={({ currentTarget: { value } }) => {
        setText(value);
        apply(value);
      }}
    />
  );
}

interface ChipsProps {
  filter: DagListFilter;
  counts: DagList["counts"] | null;
  onChange: Change;
}

/** The lists one looks for most, each with its number. */
function Chips({ filter, counts, onChange }: ChipsProps) {
  const words = strings.dags;
  const none = { state: null, paused: null, favorite: false };
  const chips = [
    {
      key: "all",
      label: words.all,
      n: counts?.all,
      is: filter.state === null && filter.paused === null && !filter.favorite,
      to: none,
    },
    {
      key: "failing",
      label: words.failing,
      n: counts?.failing,
      is: filter.state === "failed",
      to: { ...none, state: "failed" as const },
    },
    {
      key: "waiting",
      label: words.waiting,
      n: counts?.waiting,
      is: filter.state === "waiting",
      to: { ...none, state: "waiting" as const },
    },
    {
      key: "running",
      label: words.running,
      n: counts?.running,
      is: filter.state === "running",
      to: { ...none, state: "running" as const },
    },
    {
      key: "paused",
      label: words.pausedChip,
      n: counts?.paused,
      is: filter.paused === true,
      to: { ...none, paused: true },
    },
    { key: "favorite", label: words.favorites, n: undefined, is: filter.favorite, to: { ...none, favorite: true } },
  ];
  return (
    <div className={classes.chips} role="group" aria-label={words.show}>
      {chips.map(({ key, label, n, is, to }) => (
        <button
          key={key}
          type="button"
          className={classes.chip}
          aria-pressed={is}
          data-bad={(key === "failing" && (n ?? 0) > 0) || undefined}
          onClick={() => onChange(is ? none : to)}
        >
          {label}
          {n !== undefined && <b>{number(n)}</b>}
        </button>
      ))}
    </div>
  );
}

function Bulk({ selected, onDone }: { selected: ReadonlySet<string>; onDone: () => void }) {
  const act = useForDags();
  const words = strings.dags;
  const n = selected.size;
  const start = (what: "pause" | "unpause" | "trigger") =>
    act.mutate(
      { dagIds: [...selected], what },
      {
        onSuccess: ({ done, failed, error }) => {
          if (failed > 0) toast({ text: words.bulkFailed(failed, messageOf(error)), error: true });
          if (done > 0) toast({ text: words.bulkDone[what](done) });
          onDone();
        },
      },
    );
  return (
    <Group gap={8} mb={8} role="group" aria-label={words.selected(n)}>
      <Text size="sm" role="status">
        {words.selected(n)}
      </Text>
      <CanButton needs="Write:Dag" size="compact-sm" variant="default" onClick={() => start("pause")}>
        {words.bulk.pause(n)}
      </CanButton>
      <CanButton needs="Write:Dag" size="compact-sm" variant="default" onClick={() => start("unpause")}>
        {words.bulk.unpause(n)}
      </CanButton>
      <CanButton needs="Write:DagRun" size="compact-sm" variant="default" onClick={() => start("trigger")}>
        {words.bulk.trigger(n)}
      </CanButton>
      <CloseButton size="sm" aria-label={words.deselect} onClick={onDone} />
    </Group>
  );
}

function Delete({ dagId, onClose }: { dagId: string; onClose: () => void }) {
  const remove = useDeleteDag(dagId);
  const words = strings.dags;
  return (
    <Confirm
      opened
      onClose={onClose}
      title={words.deleteTitle(dagId)}
      verb={words.deleteVerb(dagId)}
      busy={remove.isPending}
      error={remove.error === null ? null : messageOf(remove.error)}
      onConfirm={() =>
        remove.mutate(undefined, {
          onSuccess: () => {
            onClose();
            toast({ text: words.deleted(dagId) });
          },
        })
      }
    >
      <Text>{words.deleteHint}</Text>
    </Confirm>
  );
}

function Nothing({ filter, onClear }: { filter: DagListFilter; onClear: () => void }) {
  const words = strings.dags;
  if (!isFiltered(filter)) return <EmptyState text={words.empty} />;
  return (
    <EmptyState text={words.noMatch}>
      <Button size="compact-sm" variant="default" onClick={onClear}>
        {words.clearFilters}
      </Button>
    </EmptyState>
  );
}
