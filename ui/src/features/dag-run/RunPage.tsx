import { useSuspenseQueries } from "@tanstack/react-query";
import { useState } from "react";
import { useParams } from "react-router";

import { runQuery } from "../../api/queries";
import { runTasksQuery, TASKS_SHOWN } from "../../api/queries/task";
import { causes } from "../../lib/causes";
import { strings } from "../../lib/strings";
import { Panel } from "../../parts/Panel";
import { ClearSheet, type ClearTarget } from "../../parts/task/ClearSheet";
import { EventsTab } from "../../parts/task/EventsTab";
import { MarkSheet, type MarkTarget } from "../../parts/task/MarkSheet";
import { keyOf, taskName } from "../../parts/task/names";
import { paths, RUN_TABS } from "../../paths";
import { LinkTabs } from "../../ui/LinkTabs";
import { Notice } from "../../ui/Notice";
import { useHotkeys } from "../../ui/useHotkeys";
import { Causes } from "./Causes";
import { ConfTab } from "./ConfTab";
import { LastGood } from "./LastGood";
import { OutputsTab } from "./OutputsTab";
import { RunHeader } from "./RunHeader";
import { TasksTable } from "./TasksTable";
import { Timeline } from "./Timeline";

/** A run: what broke and what did not run because of it, its tasks, and what can be done. */
export function RunPage() {
  const { dagId = "", runId = "", tab } = useParams();
  const [{ data: run }, { data: all }] = useSuspenseQueries({
    queries: [runQuery(dagId, runId), runTasksQuery(dagId, runId)],
  });
  const { tasks, total } = all;
  const [clearing, setClearing] = useState<ClearTarget | null>(null);
  const [marking, setMarking] = useState<MarkTarget | null>(null);
  const shown = RUN_TABS.find((one) => one === tab) ?? "tasks";
  const found = causes(tasks);
  const shared = { dagId, runId, hasLogicalDate: run.logical_date !== null };
  const failed = tasks.filter((task) => task.state === "failed" || task.state === "upstream_failed").length;
  const retry = () => setClearing({ ...shared, tasks: null, name: null, onlyFailed: true });
  const clearAll = () => setClearing({ ...shared, tasks: null, name: null, onlyFailed: false });
  const words = strings.run;
  useHotkeys(strings.runs.run, [
    { keys: "r", label: words.retryFailed(failed), run: () => failed > 0 && retry() },
    { keys: "Shift+C", label: words.clear, run: clearAll },
  ]);
  const tabs = (["tasks", "timeline", "conf", "outputs", "events"] as const).map((one) => ({
    to: paths.run(dagId, runId, one),
    label: words.tab[one],
  }));
  return (
    <>
      <RunHeader run={run} tasks={tasks} failed={failed} onRetry={retry} onClear={clearAll}>
        <Causes run={run} found={found} />
        <LastGood run={run} tasks={tasks} found={found} />
      </RunHeader>
      <LinkTabs label={words.tabs} tabs={tabs} />
      {tasks.length < total && <Notice>{words.tooMany(TASKS_SHOWN, total)}</Notice>}
      <Panel>
        {shown === "tasks" && (
          <TasksTable
            tasks={tasks}
            onClear={(task) =>
              setClearing({ ...shared, tasks: [keyOf(task)], name: taskName(task), onlyFailed: false })
            }
            onMark={(task, state) => setMarking({ ...shared, task: keyOf(task), name: taskName(task), state })}
          />
        )}
        {shown === "timeline" && <Timeline run={run} tasks={tasks} />}
        {shown === "conf" && <ConfTab run={run} />}
        {shown === "outputs" && <OutputsTab dagId={dagId} runId={runId} />}
        {shown === "events" && <EventsTab dagId={dagId} runId={runId} taskId={null} />}
      </Panel>
      <ClearSheet target={clearing} onClose={() => setClearing(null)} />
      <MarkSheet target={marking} onClose={() => setMarking(null)} />
    </>
  );
}
