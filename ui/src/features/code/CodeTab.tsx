import { Anchor, SegmentedControl, Select, Text } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import { useQuery, useSuspenseQuery } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { Link, useParams, useSearchParams } from "react-router";

import { messageOf } from "../../api/errors";
import { dagQuery, runQuery, runsOfVersionQuery, sourceQuery, versionsQuery } from "../../api/queries";
import { strings } from "../../lib/strings";
import { clock } from "../../lib/time";
import { CodeView } from "../../parts/code/CodeView";
import { DiffView, type DiffHandle } from "../../parts/code/DiffView";
import { paths } from "../../paths";
import { CopyButton } from "../../ui/CopyButton";
import { EmptyState } from "../../ui/EmptyState";
import { Facts } from "../../ui/Facts";
import { useNow } from "../../ui/now";
import { PanelError } from "../../ui/PanelError";
import { IconButton } from "../../ui/Reason";
import { SkeletonBox } from "../../ui/Skeletons";
import { Time } from "../../ui/Time";
import { useHotkeys } from "../../ui/useHotkeys";
import classes from "./code.module.css";

const numberOf = (text: string | null) => (text !== null && /^\d{1,9}$/.test(text) ? Number(text) : null);

/** The file of a DAG: `?version=3`, `?compare=2` beside it, `?run=` for the version that a run used. */
export function CodeTab() {
  const { dagId = "" } = useParams();
  const words = strings.code;
  const [search, setSearch] = useSearchParams();
  const { data: dag } = useSuspenseQuery(dagQuery(dagId));
  const latest = dag.latest_dag_version?.version_number ?? null;
  const { data: versions } = useSuspenseQuery(versionsQuery(dagId, latest));
  const runId = search.get("run");
  const run = useQuery({ ...runQuery(dagId, runId ?? ""), enabled: runId !== null });
  const list = versions.dag_versions;
  const ofRun = run.data?.dag_versions.at(-1)?.version_number ?? null;
  const version = numberOf(search.get("version")) ?? ofRun ?? list[0]?.version_number ?? null;
  const compare = numberOf(search.get("compare"));
  const wide = useMediaQuery("(min-width: 900px)") ?? true;
  const sideBySide = search.get("diff") === null ? wide : search.get("diff") === "side";
  const now = useNow((ms) => Math.floor(ms / 3_600_000) * 3_600_000);

  if (version === null) return <EmptyState text={words.none} />;
  const set = (changes: Record<string, string | null>) =>
    setSearch(
      (before) => {
        for (const [key, value] of Object.entries(changes)) {
          if (value === null) before.delete(key);
          else before.set(key, value);
        }
        return before;
      },
      { replace: true },
    );
  const options = list.map(({ version_number, created_at }) => ({
    value: String(version_number),
    label: words.versionOf(version_number, clock(created_at, now)),
  }));
  const shown = list.find(({ version_number }) => version_number === version);
  return (
    <>
      <div className={classes.tools}>
        <Select
          size="xs"
          w={210}
          label={words.version}
          classNames={{ root: classes.pick ?? "" }}
          data={options}
          value={String(version)}
          allowDeselect={false}
          onChange={(value) =>
            set({ version: value, compare: value === String(compare) ? null : String(compare ?? "") || null })
          }
        />
        <Select
          size="xs"
          w={210}
          label={words.compareWith}
          classNames={{ root: classes.pick ?? "" }}
          placeholder={words.nothing}
          data={options.filter(({ value }) => value !== String(version))}
          value={compare === null ? null : String(compare)}
          clearable
          disabled={options.length < 2}
          onChange={(value) => set({ compare: value })}
        />
        {compare !== null && (
          <SegmentedControl
            size="xs"
            aria-label={words.layout}
            value={sideBySide ? "side" : "one"}
            onChange={(value) => set({ diff: value })}
            data={[
              { value: "side", label: words.sideBySide },
              { value: "one", label: words.unified },
            ]}
          />
        )}
      </div>
      <Facts
        facts={{
          [words.file]: dag.relative_fileloc ?? dag.fileloc,
          [words.made]: shown === undefined ? null : <Time at={shown.created_at} />,
          [words.commit]:
            shown?.bundle_version == null ? null : shown.bundle_url === null ? (
              shown.bundle_version.slice(0, 10)
            ) : (
              <Anchor href={shown.bundle_url} rel="noreferrer">
                {shown.bundle_version.slice(0, 10)}
              </Anchor>
            ),
          [strings.runs.title]: <UsedBy dagId={dagId} version={version} />,
        }}
      />
      {compare === null ? (
        <File dagId={dagId} version={version} />
      ) : (
        <Diff dagId={dagId} from={Math.min(compare, version)} to={Math.max(compare, version)} sideBySide={sideBySide} />
      )}
    </>
  );
}

/** A link to the runs that used a version, with their number. */
function UsedBy({ dagId, version }: { dagId: string; version: number }) {
  const { data } = useQuery(runsOfVersionQuery(dagId, version));
  if (data === undefined) return strings.app.none;
  const total = data.total_entries ?? 0;
  if (total === 0) return strings.code.usedByNone;
  return (
    <Anchor component={Link} to={paths.dag(dagId, "runs", { version })}>
      {strings.code.usedBy(total)}
    </Anchor>
  );
}

function File({ dagId, version }: { dagId: string; version: number }) {
  const source = useQuery(sourceQuery(dagId, version));
  if (source.error !== null)
    return <PanelError message={messageOf(source.error)} onRetry={() => void source.refetch()} />;
  if (source.data === undefined) return <SkeletonBox height={420} />;
  const { content } = source.data;
  if (content === null) return <EmptyState text={strings.code.gone} />;
  return (
    <div className={classes.file}>
      <div className={classes.copy}>
        <CopyButton text={content} label={strings.code.copy} />
      </div>
      <CodeView text={content} label={strings.code.region(version)} />
    </div>
  );
}

interface DiffProps {
  dagId: string;
  from: number;
  to: number;
  sideBySide: boolean;
}

function Diff({ dagId, from, to, sideBySide }: DiffProps) {
  const words = strings.code;
  const before = useQuery(sourceQuery(dagId, from));
  const after = useQuery(sourceQuery(dagId, to));
  const [changes, setChanges] = useState<number | null>(null);
  const handle = useRef<DiffHandle>(null);
  useHotkeys(words.keys, [
    { keys: "n", label: words.nextChange, run: () => handle.current?.next() },
    { keys: "N", label: words.changeBefore, run: () => handle.current?.before() },
  ]);
  const error = before.error ?? after.error;
  if (error !== null)
    return (
      <PanelError message={messageOf(error)} onRetry={() => void Promise.all([before.refetch(), after.refetch()])} />
    );
  if (before.data === undefined || after.data === undefined) return <SkeletonBox height={420} />;
  if (before.data.content === null || after.data.content === null) return <EmptyState text={words.gone} />;
  if (before.data.content === after.data.content) return <EmptyState text={words.same} />;
  return (
    <>
      <div className={classes.changes}>
        <Text size="sm" role="status">
          {changes === null ? "" : words.changes(changes)}
        </Text>
        <IconButton icon="up" label={words.changeBefore} onClick={() => handle.current?.before()} />
        <IconButton icon="down" label={words.nextChange} onClick={() => handle.current?.next()} />
      </div>
      <DiffView
        ref={handle}
        before={before.data.content}
        after={after.data.content}
        sideBySide={sideBySide}
        label={words.diff(from, to)}
        onChanges={setChanges}
      />
    </>
  );
}
