import { Anchor, Group, Table, Text, TextInput } from "@mantine/core";
import { useDebouncedCallback } from "@mantine/hooks";
import { useSuspenseQueries } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useSearchParams } from "react-router";

import type { Dag, DagRun } from "../../api/client";
import { DAGS_PER_PAGE, dagsQuery, importErrorsQuery, runsQuery } from "../../api/queries";
import { strings } from "../../lib/strings";
import { ActiveSwitch, OutcomeNotice, TriggerButton, type Outcome } from "../../parts/DagControls";
import { paths } from "../../paths";
import { PageHead } from "../../ui/Page";
import { Pager, usePage } from "../../ui/Pager";
import { ScrollTable } from "../../ui/ScrollTable";
import { Time } from "../../ui/Time";
import { ImportErrors } from "./ImportErrors";
import { LastRuns } from "./LastRuns";
import { recentRuns } from "./recent";

export function DagListPage() {
  const [search] = useSearchParams();
  const q = search.get("q") ?? "";
  const page = usePage();
  const [{ data: dags }, { data: runs }, { data: errors }] = useSuspenseQueries({
    queries: [dagsQuery({ q, page }), runsQuery(recentRuns), importErrorsQuery()],
  });
  const [outcome, setOutcome] = useState<Outcome>(null);

  const runsOf = new Map<string, DagRun[]>();
  for (const run of runs.dag_runs) runsOf.set(run.dag_id, [...(runsOf.get(run.dag_id) ?? []), run]);
  // With every run there is in hand, a DAG without one has never run; otherwise its row asks for itself.
  const complete = runs.dag_runs.length < recentRuns.limit;
  return (
    <>
      <PageHead title={strings.dags.title}>
        <Search initial={q} />
      </PageHead>
      <ImportErrors errors={errors.import_errors} total={errors.total_entries} />
      <OutcomeNotice outcome={outcome} />
      {dags.dags.length === 0 ? (
        <Text>{q === "" ? strings.dags.empty : strings.dags.noMatch(q)}</Text>
      ) : (
        <ScrollTable
          label={strings.dags.title}
          head={[
            strings.dags.active,
            strings.dags.name,
            strings.dags.schedule,
            strings.dags.nextRun,
            strings.dags.lastRuns,
            strings.dags.actions,
          ]}
        >
          {dags.dags.map((dag) => (
            <Row
              key={dag.dag_id}
              dag={dag}
              runs={runsOf.get(dag.dag_id) ?? (complete ? [] : null)}
              onOutcome={setOutcome}
            />
          ))}
        </ScrollTable>
      )}
      <Pager page={page} size={DAGS_PER_PAGE} total={dags.total_entries} />
    </>
  );
}

function Row({ dag, runs, onOutcome }: { dag: Dag; runs: DagRun[] | null; onOutcome: (outcome: Outcome) => void }) {
  return (
    <Table.Tr>
      <Table.Td>
        <ActiveSwitch dag={dag} onError={(error) => onOutcome({ error })} />
      </Table.Td>
      <Table.Td maw={360}>
        <Anchor component={Link} to={paths.dag(dag.dag_id)} fw={550} style={{ overflowWrap: "anywhere" }}>
          {dag.dag_display_name}
        </Anchor>
        {dag.description !== null && (
          <Text size="xs" c="dimmed" lineClamp={1} title={dag.description}>
            {dag.description}
          </Text>
        )}
      </Table.Td>
      <Table.Td title={dag.timetable_description ?? undefined}>
        {dag.timetable_summary ?? <Text c="dimmed">{strings.dags.noSchedule}</Text>}
      </Table.Td>
      <Table.Td>
        {dag.is_paused ? <Text c="dimmed">{strings.dags.paused}</Text> : <Time at={dag.next_dagrun_run_after} />}
      </Table.Td>
      <Table.Td>
        <LastRuns dagId={dag.dag_id} runs={runs} />
      </Table.Td>
      <Table.Td>
        <TriggerButton dag={dag} onOutcome={onOutcome} />
      </Table.Td>
    </Table.Tr>
  );
}

/** What is typed goes into the address a moment later; `initial` only fills the field when the page opens. */
function Search({ initial }: { initial: string }) {
  const [, setSearch] = useSearchParams();
  const [text, setText] = useState(initial);
  const apply = useDebouncedCallback((q: string) => setSearch(q === "" ? {} : { q }, { replace: true }), 250);
  return (
    <Group role="search">
      <TextInput
        type="search"
        aria-label={strings.dags.search}
        placeholder={strings.dags.search}
        value={text}
        onChange={({ currentTarget: { value } }) => {
          setText(value);
          apply(value.trim());
        }}
      />
    </Group>
  );
}
