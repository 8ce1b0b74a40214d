import { Button, Menu } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";

import type { TaskInstance } from "../../api/client";
import { tryFactsQuery, type TaskKey } from "../../api/queries";
import { taskHistoryQuery } from "../../api/queries/task";
import { useTaskNote, type MarkState } from "../../api/mutations/tasks";
import { bytes } from "../../lib/bytes";
import { isFinished } from "../../lib/states";
import { strings } from "../../lib/strings";
import { clock } from "../../lib/time";
import { CanButton } from "../../parts/Can";
import { NoteSheet } from "../../parts/task/NoteSheet";
import { taskName } from "../../parts/task/names";
import { paths } from "../../paths";
import { CopyButton } from "../../ui/CopyButton";
import { Facts } from "../../ui/Facts";
import { Icon } from "../../ui/icons";
import { NeighbourButtons } from "../../ui/NeighbourButtons";
import { LongId } from "../../ui/LongId";
import { MoreMenu } from "../../ui/MoreMenu";
import { PageHead } from "../../ui/Page";
import { StateChip } from "../../ui/StateMark";
import { Elapsed, Time } from "../../ui/Time";
import { useNow } from "../../ui/now";
import classes from "./task-instance.module.css";

interface ActionProps {
  task: TaskInstance;
  name: string;
  onClear: () => void;
  onMark: (state: MarkState) => void;
}

const crumbsOf = (task: TaskInstance, when: string) => [
  { label: strings.dags.title, to: paths.dags() },
  { label: task.dag_display_name, to: paths.dag(task.dag_id) },
  { label: when, to: paths.run(task.dag_id, task.dag_run_id) },
];

function Actions({ task, name, onClear, onMark }: ActionProps) {
  const words = strings.tasks;
  const isFailed = task.state === "failed" || task.state === "upstream_failed";
  return (
    <>
      <CanButton
        needs="Write:TaskInstance"
        size="compact-sm"
        variant={isFailed ? "filled" : "default"}
        aria-label={isFailed ? words.retryOf(name) : words.clearOf(name)}
        leftSection={<Icon name="again" size={14} />}
        onClick={onClear}
      >
        {isFailed ? words.retry : words.clear}
      </CanButton>
      <Menu position="bottom-end" transitionProps={{ duration: 0 }}>
        <Menu.Target>
          <Button size="compact-sm" variant="default" rightSection={<Icon name="down" size={12} />}>
            {words.mark}
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          {(["success", "failed", "skipped"] as const).map((state) => (
            <Menu.Item key={state} onClick={() => onMark(state)}>
              {words.markAs[state]}
            </Menu.Item>
          ))}
        </Menu.Dropdown>
      </Menu>
    </>
  );
}

interface HeaderProps {
  task: TaskInstance;
  taskKey: TaskKey;
  tryNumber: number;
  onClear: () => void;
  onMark: (state: MarkState) => void;
}

export function Header({ task, taskKey, tryNumber, onClear, onMark }: HeaderProps) {
  const words = strings.tasks;
  const name = taskName(task);
  const when = useNow((now) => clock(task.logical_date ?? task.run_after, now));
  const [isNoting, setNoting] = useState(false);
  const note = useTaskNote(taskKey.dagId, taskKey.runId, taskKey);
  return (
    <>
      <PageHead title={name} crumbs={crumbsOf(task, when)}>
        <Neighbours task={task} taskKey={taskKey} />
        <Actions task={task} name={name} onClear={onClear} onMark={onMark} />
        <MoreMenu
          label={words.moreOf(name)}
          items={[
            { label: words.editNote, icon: "edit", onClick: () => setNoting(true) },
            { label: words.openDag, icon: "dags", to: paths.dag(task.dag_id, "grid", { task: task.task_id }) },
            ...(task.map_index < 0
              ? []
              : [
                  {
                    label: words.tab.mapped,
                    icon: "menu" as const,
                    to: paths.task({ ...taskKey, mapIndex: -1 }),
                  },
                ]),
          ]}
        />
      </PageHead>
      <TryFacts task={task} taskKey={taskKey} tryNumber={tryNumber} />
      {task.note !== null && <p className={classes.note}>{task.note}</p>}
      {isNoting && (
        <NoteSheet
          note={task.note}
          needs="Write:TaskInstance"
          isPending={note.isPending}
          error={note.error}
          onSave={(text) => note.mutate(text, { onSuccess: () => setNoting(false) })}
          onClose={() => setNoting(false)}
        />
      )}
    </>
  );
}

/** The same task in the runs before and after. */
function Neighbours({ task, taskKey }: { task: TaskInstance; taskKey: TaskKey }) {
  const { data } = useQuery(taskHistoryQuery(taskKey.dagId, taskKey.taskId, taskKey.mapIndex));
  const at = data?.findIndex((one) => one.dag_run_id === task.dag_run_id) ?? -1;
  if (data === undefined || at < 0) return null;
  const to = (other: TaskInstance | undefined, label: string) =>
    other && { to: paths.task({ ...taskKey, runId: other.dag_run_id }), label };
  return (
    <NeighbourButtons
      previous={to(data[at + 1], strings.tasks.previousRun)}
      next={to(data[at - 1], strings.tasks.nextRun)}
    />
  );
}

/** How the shown try was carried out. The most telling first; the rest unfolds. */
function TryFacts({ task, taskKey, tryNumber }: { task: TaskInstance; taskKey: TaskKey; tryNumber: number }) {
  const words = strings.tasks;
  const [isOpen, setOpen] = useState(false);
  const { data } = useQuery({ ...tryFactsQuery(taskKey, task.state), enabled: task.try_number > 0 });
  const facts = data?.tries.find((one) => one.try_number === tryNumber);
  const isNewest = tryNumber === task.try_number;
  const node = facts?.hostname ?? task.hostname;
  const state = isNewest ? task.state : (facts?.state ?? task.state);
  const command = facts?.command ?? [];
  return (
    <>
      <Facts
        facts={{
          [words.state]: <StateChip state={state} />,
          [words.duration]: task.start_date === null || !isNewest ? null : <Elapsed {...task} />,
          [words.host]: node === "" ? null : <Link to={paths.nodes({ node })}>{node}</Link>,
          [words.exitCode]: facts?.exit_code ?? null,
          [words.failureClass]: facts?.failure_class == null ? null : <code>{facts.failure_class}</code>,
          [words.container]: facts?.container_id == null ? null : <code>{facts.container_id.slice(0, 12)}</code>,
          [words.image]:
            facts?.image == null && facts?.image_digest == null ? null : (
              <LongId id={facts.image_digest ?? facts.image ?? ""} />
            ),
          [words.peakMemory]: facts?.peak_memory == null ? null : bytes(facts.peak_memory),
          [words.started]: task.start_date === null ? null : <Time at={task.start_date} />,
          ...(isOpen
            ? {
                [words.ended]: isFinished(task.state) ? <Time at={task.end_date} /> : null,
                [words.queued]: task.queued_when === null ? null : <Time at={task.queued_when} />,
                [words.operator]: task.operator_name,
                [words.pool]: (
                  <Link to={`${paths.pools()}?pool=${encodeURIComponent(task.pool)}`}>
                    {task.pool_slots === 1 ? task.pool : words.poolSlots(task.pool, task.pool_slots)}
                  </Link>
                ),
                [words.queue]: task.queue,
                [words.priority]: task.priority_weight,
                [words.pid]: facts?.pid ?? task.pid,
                [words.version]: task.dag_version?.version_number ?? null,
              }
            : {}),
          [words.facts]: (
            <button type="button" className={classes.link} aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
              {isOpen ? words.hideFacts : words.showFacts}
            </button>
          ),
        }}
      />
      {isOpen && command.length > 0 && (
        <div className={classes.command}>
          <span className={classes.commandHead}>
            {words.command}{" "}
            <CopyButton text={command.map(quoted).join(" ")} label={words.copyValue(words.command)} size="xs" />
          </span>
          <pre>{command.map(quoted).join(" ")}</pre>
        </div>
      )}
    </>
  );
}

/** As a shell takes it. */
const quoted = (word: string) => (/^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);

interface MappedHeaderProps {
  task: TaskInstance;
  taskKey: TaskKey;
  total: number;
  onClear: () => void;
  onMark: (state: MarkState) => void;
}

export function MappedHeader({ task, taskKey, total, onClear, onMark }: MappedHeaderProps) {
  const when = useNow((now) => clock(task.logical_date ?? task.run_after, now));
  return (
    <>
      <PageHead title={task.task_display_name} crumbs={crumbsOf(task, when)}>
        <Actions task={{ ...task, state: null }} name={task.task_display_name} onClear={onClear} onMark={onMark} />
      </PageHead>
      <Facts
        facts={{
          [strings.tasks.tab.mapped]: strings.tasks.instances(total),
          [strings.tasks.operator]: task.operator_name,
          [strings.tasks.pool]: <Link to={`${paths.pools()}?pool=${encodeURIComponent(task.pool)}`}>{task.pool}</Link>,
          [strings.tasks.openDag]: <Link to={paths.dag(taskKey.dagId)}>{task.dag_display_name}</Link>,
        }}
      />
    </>
  );
}
