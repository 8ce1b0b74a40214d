import { Text } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate, useParams, useSearchParams } from "react-router";

import type { TaskInstance } from "../../api/client";
import { taskInstanceQuery, type TaskKey } from "../../api/queries";
import { mappedTasksQuery } from "../../api/queries/task";
import { ApiError } from "../../api/errors";
import { mapIndexOf } from "../../lib/filters";
import { isFinished, isWaiting } from "../../lib/states";
import { strings } from "../../lib/strings";
import { Boundary, Panel } from "../../parts/Panel";
import { ClearSheet, type ClearTarget } from "../../parts/task/ClearSheet";
import { MarkSheet, type MarkTarget } from "../../parts/task/MarkSheet";
import { taskName } from "../../parts/task/names";
import { WhyCard } from "../../parts/task/WhyCard";
import { paths, TASK_TABS, type TaskTab } from "../../paths";
import { LinkTabs } from "../../ui/LinkTabs";
import { useHotkeys } from "../../ui/useHotkeys";
import { Approval } from "./Approval";
import { EventsTab } from "../../parts/task/EventsTab";
import { Header, MappedHeader } from "./Header";
import { HistoryTab } from "./HistoryTab";
import { InputsTab } from "./InputsTab";
import { LogTab } from "./LogTab";
import { MappedTab } from "./MappedTab";
import { Tries } from "./Tries";
import { XComsTab } from "./XComsTab";

/** The task of the address: one instance, or all of a mapped task. */
export function TaskPage() {
  const { dagId = "", runId = "", taskId = "" } = useParams();
  const [search] = useSearchParams();
  const key = { dagId, runId, taskId, mapIndex: mapIndexOf(search) };
  return key.mapIndex < 0 ? <Whole taskKey={key} /> : <Mapped taskKey={key} />;
}

function Mapped({ taskKey }: { taskKey: TaskKey }) {
  const { data: task } = useSuspenseQuery(taskInstanceQuery(taskKey));
  return <Instance key={`${taskKey.taskId} ${taskKey.mapIndex} ${taskKey.runId}`} task={task} taskKey={taskKey} />;
}

function Whole({ taskKey }: { taskKey: TaskKey }) {
  const { data } = useSuspenseQuery(mappedTasksQuery(taskKey.dagId, taskKey.runId, taskKey.taskId));
  const [first] = data.tasks;
  // The page of errors says what is not there.
  if (first === undefined) throw new ApiError(404, strings.app.notFound);
  const one = data.tasks.length === 1 && first.map_index < 0 ? first : null;
  return one === null ? (
    <AllInstances taskKey={taskKey} tasks={data.tasks} total={data.total} />
  ) : (
    <Instance key={`${taskKey.taskId} ${taskKey.runId}`} task={one} taskKey={taskKey} />
  );
}

function useSheets(taskKey: TaskKey, task: TaskInstance) {
  const [clearing, setClearing] = useState<ClearTarget | null>(null);
  const [marking, setMarking] = useState<MarkTarget | null>(null);
  const { dagId, runId, taskId, mapIndex } = taskKey;
  const shared = { dagId, runId, hasLogicalDate: task.logical_date !== null };
  const name = mapIndex < 0 ? task.task_display_name : taskName(task);
  return {
    clear: (over: Partial<ClearTarget> = {}) =>
      setClearing({ ...shared, tasks: [{ taskId, mapIndex }], name, onlyFailed: false, ...over }),
    mark: (state: MarkTarget["state"]) => setMarking({ ...shared, task: { taskId, mapIndex }, name, state }),
    sheets: (
      <>
        <ClearSheet target={clearing} onClose={() => setClearing(null)} />
        <MarkSheet target={marking} onClose={() => setMarking(null)} />
      </>
    ),
  };
}

function Instance({ task, taskKey }: { task: TaskInstance; taskKey: TaskKey }) {
  const { tab, tryNumber } = useParams();
  const navigate = useNavigate();
  const shownTab: TaskTab = TASK_TABS.find((one) => one === tab) ?? "log";
  const shownTry = tryNumber === undefined ? task.try_number : Number(tryNumber) || task.try_number;
  const { clear, mark, sheets } = useSheets(taskKey, task);
  const toTry = (n: number) => {
    if (n >= 1 && n <= task.try_number) void navigate(paths.log(taskKey, n));
  };
  const words = strings.tasks;
  useHotkeys(words.task, [
    { keys: "[", label: words.previousTry, run: () => toTry(shownTry - 1) },
    { keys: "]", label: words.nextTry, run: () => toTry(shownTry + 1) },
    { keys: "r", label: words.retry, run: () => clear() },
    { keys: "Shift+C", label: words.clear, run: () => clear() },
    { keys: "Shift+S", label: words.markAs.success, run: () => mark("success") },
    { keys: "Shift+F", label: words.markAs.failed, run: () => mark("failed") },
  ]);
  const logPath = tryNumber === undefined ? paths.task(taskKey) : paths.log(taskKey, shownTry);
  return (
    <>
      <Header task={task} taskKey={taskKey} tryNumber={shownTry} onClear={() => clear()} onMark={mark} />
      <Tries task={task} taskKey={taskKey} shown={shownTry} />
      {isWaiting(task.state) && task.state !== "awaiting_input" && (
        <Boundary>
          <WhyCard task={taskKey} state={task.state} />
        </Boundary>
      )}
      {task.state === "awaiting_input" && <Approval task={taskKey} />}
      <LinkTabs
        label={words.tabs}
        tabs={[
          { to: logPath, label: words.tab.log },
          ...(["inputs", "xcoms", "events", "history"] as const).map((one) => ({
            to: paths.task(taskKey, one),
            label: words.tab[one],
          })),
          ...(task.map_index < 0
            ? []
            : [{ to: paths.task({ ...taskKey, mapIndex: -1 }, "mapped"), label: words.tab.mapped }]),
        ]}
      />
      {shownTab === "log" &&
        (shownTry === task.try_number && !isFinished(task.state) && task.start_date === null ? (
          <Text c="dimmed">{strings.logs.never}</Text>
        ) : (
          <LogTab key={shownTry} task={task} taskKey={taskKey} tryNumber={shownTry} />
        ))}
      <Panel>
        {shownTab === "inputs" && <InputsTab task={task} />}
        {shownTab === "xcoms" && <XComsTab task={task} taskKey={taskKey} />}
        {shownTab === "events" && (
          <EventsTab dagId={taskKey.dagId} runId={taskKey.runId} taskId={taskKey.taskId} mapIndex={taskKey.mapIndex} />
        )}
        {shownTab === "history" && <HistoryTab taskKey={taskKey} />}
      </Panel>
      {sheets}
    </>
  );
}

function AllInstances({ taskKey, tasks, total }: { taskKey: TaskKey; tasks: TaskInstance[]; total: number }) {
  const first = tasks[0] as TaskInstance;
  const { clear, mark, sheets } = useSheets(taskKey, first);
  return (
    <>
      <MappedHeader task={first} taskKey={taskKey} total={total} onClear={() => clear()} onMark={mark} />
      <MappedTab
        taskKey={taskKey}
        tasks={tasks}
        total={total}
        onRetry={(failed) =>
          clear({
            tasks: failed.map((task) => ({ taskId: task.task_id, mapIndex: task.map_index })),
            onlyFailed: true,
            downstream: true,
            name: null,
          })
        }
      />
      {sheets}
    </>
  );
}
