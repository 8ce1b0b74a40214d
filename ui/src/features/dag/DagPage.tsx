import { Group, Text } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useParams } from "react-router";

import { dagQuery } from "../../api/queries";
import { strings } from "../../lib/strings";
import { ActiveSwitch, OutcomeNotice, TriggerButton, type Outcome } from "../../parts/DagControls";
import { RunsTable } from "../../parts/RunsTable";
import { paths } from "../../paths";
import { Facts } from "../../ui/Facts";
import { Notice } from "../../ui/Notice";
import { PageHead } from "../../ui/Page";
import { Time } from "../../ui/Time";

export function DagPage() {
  const { dagId = "" } = useParams();
  const { data: dag } = useSuspenseQuery(dagQuery(dagId));
  const [outcome, setOutcome] = useState<Outcome>(null);
  return (
    <>
      <PageHead title={dag.dag_display_name} crumbs={[{ label: strings.dags.title, to: paths.dags() }]}>
        <Group gap={8}>
          <Text size="sm" aria-hidden>
            {strings.dags.active}
          </Text>
          <ActiveSwitch dag={dag} onError={(error) => setOutcome({ error })} />
        </Group>
        <TriggerButton dag={dag} onOutcome={setOutcome} />
      </PageHead>
      <OutcomeNotice outcome={outcome} />
      {dag.has_import_errors && <Notice error>{strings.dags.importErrorOfDag}</Notice>}
      {dag.description !== null && <Text mb="sm">{dag.description}</Text>}
      <Facts
        facts={{
          [strings.dags.schedule]: dag.timetable_summary ?? strings.dags.noSchedule,
          [strings.dags.nextRun]: dag.is_paused ? strings.dags.paused : <Time at={dag.next_dagrun_run_after} />,
          [strings.dags.owner]: dag.owners.join(", "),
          [strings.dags.tags]: dag.tags.map((tag) => tag.name).join(", "),
          [strings.dags.file]: dag.relative_fileloc ?? dag.fileloc,
        }}
      />
      <RunsTable dagId={dagId} />
    </>
  );
}
