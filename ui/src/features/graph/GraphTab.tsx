import { Select, Text, TextInput } from "@mantine/core";
import { useQuery, useSuspenseQuery } from "@tanstack/react-query";
import { useMemo, useRef, useState, useDeferredValue } from "react";
import { useParams, useSearchParams } from "react-router";

import type { DagRun } from "../../api/client";
import { messageOf } from "../../api/errors";
import { dagQuery, recentRunsQuery, runCellsQuery, runQuery, structureQuery } from "../../api/queries";
import { draw, foldedGroups, groupsOf, toggled, type DrawnNode, type Structure } from "../../lib/graph/model";
import { countsOf, failures, focusOf, sharesOf, statesOf, worthAsking, type TaskStates } from "../../lib/graph/states";
import { toSvg } from "../../lib/graph/svg";
import { LOOKS, stateWord } from "../../lib/states";
import { strings } from "../../lib/strings";
import { clock } from "../../lib/time";
import { useColours } from "../../parts/graph/colours";
import { savePng, saveSvg } from "../../parts/graph/export";
import classes from "../../parts/graph/graph.module.css";
import { edgeText, GraphView, type GraphHandle } from "../../parts/graph/GraphView";
import { layoutQuery } from "../../parts/graph/layout";
import { ZoomButtons } from "../../parts/graph/ZoomButtons";
import { EmptyState } from "../../ui/EmptyState";
import { MoreMenu } from "../../ui/MoreMenu";
import { PanelError } from "../../ui/PanelError";
import { IconButton } from "../../ui/Reason";
import { SkeletonBox } from "../../ui/Skeletons";
import { StateMark } from "../../ui/StateMark";
import { toast } from "../../ui/toasts";
import { useNow } from "../../ui/now";
import { useHotkeys } from "../../ui/useHotkeys";
import { Box } from "./Box";

/** The tab: a run to look at, and the structure that it had. */
export function GraphTab() {
  const { dagId = "" } = useParams();
  const [search, setSearch] = useSearchParams();
  const { data: dag } = useSuspenseQuery(dagQuery(dagId));
  const { data: recent } = useQuery(recentRunsQuery(dagId));
  const wanted = search.get("run");
  const listed = recent?.dag_runs.find((run) => run.dag_run_id === wanted);
  // A run that is named and older than the list.
  const named = useQuery({
    ...runQuery(dagId, wanted ?? ""),
    enabled: wanted !== null && wanted !== "none" && recent !== undefined && listed === undefined,
  });
  const run =
    wanted === "none" ? null : wanted === null ? (recent?.dag_runs[0] ?? null) : (listed ?? named.data ?? null);
  const latest = dag.latest_dag_version?.version_number ?? null;
  const version = run?.dag_versions.at(-1)?.version_number ?? latest;
  const structure = useQuery(structureQuery(dagId, version));

  const choose = (id: string | null) =>
    setSearch(
      (before) => {
        if (id === null) before.delete("run");
        else before.set("run", id);
        return before;
      },
      { replace: true },
    );
  if (structure.data === undefined || recent === undefined) {
    return structure.error === null ? (
      <div className={classes.frame}>
        <SkeletonBox height="100%" />
      </div>
    ) : (
      <PanelError message={messageOf(structure.error)} onRetry={() => void structure.refetch()} />
    );
  }
  if (structure.data.nodes.length === 0) return <EmptyState text={strings.graph.empty} />;
  return (
    <Graph
      dagId={dagId}
      run={run}
      structure={structure.data}
      note={version !== null && version !== latest ? strings.graph.oldVersion(version) : null}
      picker={<RunPicker runs={recent.dag_runs} run={run} onChoose={choose} />}
    />
  );
}

function RunPicker({ runs, run, onChoose }: { runs: DagRun[]; run: DagRun | null; onChoose: (id: string) => void }) {
  const all = run === null || runs.some(({ dag_run_id }) => dag_run_id === run.dag_run_id) ? runs : [run, ...runs];
  const stateOf = new Map(all.map(({ dag_run_id, state }) => [dag_run_id, state]));
  // The clock of today's runs shows seconds; a day that begins is early enough known within the hour.
  const now = useNow((ms) => Math.floor(ms / 3_600_000) * 3_600_000);
  const options = all.map(({ dag_run_id, run_after, run_type }) => ({
    value: dag_run_id,
    label: `${clock(run_after, now)} · ${strings.runTypes[run_type] ?? run_type}`,
  }));
  return (
    <Select
      aria-label={strings.graph.run}
      size="xs"
      w={240}
      maxDropdownHeight={320}
      allowDeselect={false}
      data={[...options, { value: "none", label: strings.graph.noRun }]}
      value={run?.dag_run_id ?? "none"}
      onChange={(id) => id !== null && onChoose(id)}
      leftSection={run !== null && <StateMark state={run.state} size={14} />}
      renderOption={({ option }) => (
        <>
          <StateMark state={stateOf.get(option.value) ?? null} size={14} />
          <span>{option.label}</span>
          <span className="sr-only">{strings.states[stateWord(stateOf.get(option.value) ?? null)]}</span>
        </>
      )}
    />
  );
}

const NO_STATES: TaskStates = new Map();

interface GraphProps {
  dagId: string;
  run: DagRun | null;
  structure: Structure;
  note: string | null;
  picker: React.ReactNode;
}

function Graph({ dagId, run, structure, note, picker }: GraphProps) {
  const [search, setSearch] = useSearchParams();
  const cells = useQuery({ ...runCellsQuery(run ?? NOTHING), enabled: run !== null });
  const runId = run?.dag_run_id ?? null;
  const states = useMemo(() => (runId === null ? NO_STATES : statesOf(cells.data, runId)), [cells.data, runId]);
  const handle = useRef<GraphHandle>(null);
  const colours = useColours();

  // What it opens at is decided once for a run: a failure that comes later moves nothing.
  const isKnown = run === null || cells.data !== undefined || cells.error !== null;
  const opened = useRef<{ key: string; focus: string | null } | null>(null);
  const key = `${dagId} ${runId ?? ""}`;
  if (isKnown && opened.current?.key !== key) opened.current = { key, focus: focusOf(structure, states) };
  const focus = opened.current?.key === key ? opened.current.focus : null;

  const wish = search.get("groups");
  const folded = useMemo(() => foldedGroups(structure, wish, focus === null ? [] : [focus]), [structure, wish, focus]);
  const drawn = useMemo(() => draw(structure, folded), [structure, folded]);
  const layout = useQuery({ ...layoutQuery(drawn), enabled: isKnown });

  const setGroups = (value: string) =>
    setSearch(
      (before) => {
        before.set("groups", value);
        return before;
      },
      { replace: true },
    );

  const [text, setText] = useState(search.get("find") ?? "");
  const sought = useDeferredValue(text.trim().toLowerCase());
  const matches = useMemo(() => {
    if (sought === "") return null;
    return drawn.nodes.filter(
      ({ kind, id, label, tasks }) =>
        kind !== "group" &&
        (id.toLowerCase().includes(sought) ||
          label.toLowerCase().includes(sought) ||
          (kind === "folded" && tasks.some((task) => task.toLowerCase().includes(sought)))),
    );
  }, [drawn, sought]);
  const shown = useMemo(() => (matches === null ? null : new Set(matches.map(({ id }) => id))), [matches]);
  const turn = useRef(0);
  const nextMatch = () => {
    const next = matches?.[turn.current % Math.max(matches.length, 1)];
    turn.current += 1;
    if (next !== undefined) handle.current?.show(next.id);
  };

  const failed = useMemo(() => failures(structure, states), [structure, states]);
  const [failure, setFailure] = useState(0);
  const nextFailure = () => {
    const at = failure % Math.max(failed.length, 1);
    const id = failed[at];
    setFailure(at + 1);
    if (id === undefined) return;
    // In a folded group, the group is what can be shown.
    const box = drawn.nodes.find((node) => node.kind !== "group" && node.tasks.includes(id));
    if (box !== undefined) handle.current?.show(box.id);
  };

  useHotkeys(strings.graph.keys, [
    { keys: "n", label: strings.graph.nextFailure(1, failed.length), run: nextFailure },
    { keys: "+", label: strings.graph.zoomIn, run: () => handle.current?.zoom(1.25) },
    { keys: "-", label: strings.graph.zoomOut, run: () => handle.current?.zoom(0.8) },
    { keys: "0", label: strings.graph.fit, run: () => handle.current?.fit() },
  ]);

  const paint = useMemo(() => (node: DrawnNode) => sharesOf(node, states), [states]);
  const asked = useMemo(() => worthAsking(structure, states), [structure, states]);
  const render = useMemo(
    () => (node: DrawnNode) => (
      <Box
        node={node}
        states={states}
        dagId={dagId}
        runId={runId}
        asked={asked}
        onToggle={() => setGroups(toggled(structure, folded, node.id))}
      />
    ),
    // eslint-disable-next-line react/exhaustive-deps -- `setGroups` only sets the address
    [states, dagId, runId, asked, structure, folded],
  );

  const picture = () =>
    layout.data === undefined
      ? ""
      : toSvg(drawn, layout.data, dagId, {
          ...colours,
          colour: (node) => {
            const [worst] = countsOf(node.tasks, states);
            return worst === undefined ? null : colours[LOOKS[stateWord(worst[0])].family];
          },
          detail: (node) =>
            [
              ...(node.kind === "task" ? [node.node.operator ?? ""] : [strings.graph.tasks(node.tasks.length)]),
              ...countsOf(node.tasks, states).map(([state, n]) =>
                node.kind === "task" ? strings.states[stateWord(state)] : `${n} ${strings.states[stateWord(state)]}`,
              ),
            ]
              .filter((part) => part !== "")
              .join(" · "),
          edge: edgeText,
        });
  const name = [dagId, ...(runId === null ? [] : [runId])].join("-").replaceAll(/[^\w.-]+/g, "_");
  const hasGroups = groupsOf(structure).length > 0;

  return (
    <>
      <div className={classes.tools} role="toolbar" aria-label={strings.graph.keys}>
        {picker}
        <TextInput
          size="xs"
          w={200}
          type="search"
          aria-label={strings.graph.search}
          placeholder={strings.graph.search}
          value={text}
          onChange={({ currentTarget: { value } }) => {
            setText(value);
            turn.current = 0;
          }}
          onKeyDown={(event) => {
            if (event.key === "Enter") nextMatch();
          }}
        />
        <Text size="xs" c="dimmed" role="status">
          {matches === null ? "" : strings.graph.found(matches.length)}
        </Text>
        {failed.length > 0 && (
          <button type="button" className={classes.failures} onClick={nextFailure}>
            <StateMark state="failed" size={14} />
            {failure === 0 ? strings.graph.failures(failed.length) : strings.graph.nextFailure(failure, failed.length)}
          </button>
        )}
        <span className={classes.space} />
        {hasGroups && (
          <>
            <IconButton icon="up" label={strings.graph.foldAll} onClick={() => setGroups("all")} />
            <IconButton icon="down" label={strings.graph.openAll} onClick={() => setGroups("none")} />
          </>
        )}
        <MoreMenu
          label={strings.graph.export}
          items={[
            {
              label: strings.graph.exportPng,
              icon: "download",
              onClick: () =>
                void savePng(picture(), name).catch(() => toast({ text: strings.graph.exportFailed, error: true })),
            },
            { label: strings.graph.exportSvg, icon: "download", onClick: () => saveSvg(picture(), name) },
          ]}
        />
      </div>
      {cells.error !== null && cells.data === undefined && (
        <PanelError message={messageOf(cells.error)} onRetry={() => void cells.refetch()} />
      )}
      <div className={classes.frame} aria-busy={layout.isFetching}>
        {layout.data === undefined ? (
          layout.error === null ? (
            <SkeletonBox height="100%" />
          ) : (
            <PanelError message={messageOf(layout.error)} onRetry={() => void layout.refetch()} />
          )
        ) : (
          <GraphView
            key={key}
            ref={handle}
            label={strings.graph.title(dagId)}
            drawn={drawn}
            layout={layout.data}
            focus={focus}
            matches={shown}
            paint={paint}
            render={render}
          >
            <ZoomButtons of={handle} />
            {(note !== null || layout.data.by === "layers" || layout.isPlaceholderData) && (
              <div className={classes.note} role="status">
                {layout.isPlaceholderData ? strings.graph.laying : (note ?? strings.graph.quick)}
              </div>
            )}
          </GraphView>
        )}
      </div>
    </>
  );
}

/** Stands in for a run that is not chosen; never asked about. */
const NOTHING = { dag_id: "", dag_run_id: "", run_after: "1970-01-01T00:00:00Z", state: "success" } as const;
