import { Button, Code, Title } from "@mantine/core";
import { useSuspenseQueries } from "@tanstack/react-query";
import { useState } from "react";
import { useParams } from "react-router";

import { runQuery, taskInstancesQuery } from "../../api/queries";
import { strings } from "../../lib/strings";
import { paths } from "../../paths";
import { Facts } from "../../ui/Facts";
import { PageHead } from "../../ui/Page";
import { usePage } from "../../ui/Pager";
import { StateChip } from "../../ui/StateMark";
import { Elapsed, Time } from "../../ui/Time";
import { ClearDialog, type ClearTarget } from "./ClearDialog";
import { TasksTable } from "./TasksTable";

export function RunPage() {
  const { dagId = "", runId = "" } = useParams();
  const page = usePage();
  const [{ data: run }, { data: tasks }] = useSuspenseQueries({
    queries: [runQuery(dagId, runId), taskInstancesQuery(dagId, runId, page)],
  });
  const [target, setTarget] = useState<ClearTarget | null>(null);
  const failed = tasks.task_instances.filter((task) => task.state === "failed" || task.state === "upstream_failed");
  const hasConf = run.conf !== null && Object.keys(run.conf).length > 0;
  return (
    <>
      <PageHead
        title={run.dag_run_id}
        crumbs={[
          { label: strings.dags.title, to: paths.dags() },
          { label: run.dag_display_name, to: paths.dag(dagId) },
        ]}
      >
        {failed.length > 0 && (
          <Button size="compact-sm" onClick={() => setTarget({ dagId, runId, task: null })}>
            {strings.tasks.retryFailed(failed.length)}
          </Button>
        )}
      </PageHead>
      <Facts
        facts={{
          [strings.runs.state]: <StateChip state={run.state} />,
          [strings.runs.type]: strings.runTypes[run.run_type] ?? run.run_type,
          [strings.runs.logicalDate]: run.logical_date && <Time at={run.logical_date} />,
          [strings.runs.runAfter]: <Time at={run.run_after} />,
          [strings.runs.started]: run.start_date && <Time at={run.start_date} />,
          [strings.runs.ended]: run.end_date && <Time at={run.end_date} />,
          [strings.runs.duration]: run.start_date && <Elapsed {...run} />,
          [strings.runs.triggeredBy]: run.triggering_user_name,
          [strings.runs.note]: run.note,
          [strings.runs.conf]: hasConf ? <Code>{JSON.stringify(run.conf)}</Code> : null,
        }}
      />
      <Title order={2} size="h4" mb="xs">
        {strings.tasks.title}
      </Title>
      <TasksTable
        tasks={tasks.task_instances}
        total={tasks.total_entries ?? tasks.task_instances.length}
        page={page}
        onClear={(task) => setTarget({ dagId, runId, task: { taskId: task.task_id, mapIndex: task.map_index } })}
      />
      <ClearDialog target={target} onClose={() => setTarget(null)} />
    </>
  );
}
