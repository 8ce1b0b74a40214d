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

const words = strings.dags;

export function DagPage() {
  const { dagId = "" } = useParams();
  const { data: dag } = useSuspenseQuery(dagQuery(dagId));
  const [outcome, setOutcome] = useState<Outcome>(null);
  return (
    <>
      <PageHead title={dag.dag_display_name} crumbs={[{ label: words.title, to: paths.dags() }]}>
        <Group gap={8}>
          <Text size="sm" aria-hidden>
            {words.active}
          </Text>
          <ActiveSwitch dag={dag} onError={(error) => setOutcome({ error })} />
        </Group>
        <TriggerButton dag={dag} onOutcome={setOutcome} />
      </PageHead>
      <OutcomeNotice outcome={outcome} />
      {dag.has_import_errors && <Notice error>{words.importErrorOfDag}</Notice>}
      {dag.description !== null && <Text mb="sm">{dag.description}</Text>}
      <Facts
        facts={{
          [words.schedule]: dag.timetable_summary ?? words.noSchedule,
          [words.nextRun]: dag.is_paused ? words.paused : <Time at={dag.next_dagrun_run_after} />,
          [words.owner]: dag.owners.join(", "),
          [words.tags]: dag.tags.map((tag) => tag.name).join(", "),
          [words.file]: dag.relative_fileloc ?? dag.fileloc,
        }}
      />
      <RunsTable dagId={dagId} />
    </>
  );
}
