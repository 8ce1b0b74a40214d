import { Anchor, Group, NativeSelect, Table, Text } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { Link, useSearchParams } from "react-router";

import { RUNS_PER_PAGE, runsQuery } from "../api/queries";
import { RUN_STATES, runStateFilter } from "../lib/filters";
import { strings } from "../lib/strings";
import { paths } from "../paths";
import { Pager, usePage } from "../ui/Pager";
import { ScrollTable } from "../ui/ScrollTable";
import { StateChip } from "../ui/StateMark";
import { Elapsed, Time } from "../ui/Time";

/** Runs of one DAG or, with `~`, of all; filter and page are in the address. */
export function RunsTable({ dagId }: { dagId: string }) {
  const page = usePage();
  const [search, setSearch] = useSearchParams();
  const state = runStateFilter(search);
  const { data } = useSuspenseQuery(runsQuery({ dagId, state, page }));
  const all = dagId === "~";
  const words = strings.runs;
  const head = [...(all ? [words.dag] : []), words.run, words.state, words.type, words.runAfter, words.duration];
  return (
    <>
      <Group mb="xs">
        <NativeSelect
          size="xs"
          label={words.filter}
          value={state ?? ""}
          data={[
            { value: "", label: words.all },
            ...RUN_STATES.map((value) => ({ value, label: strings.states[value] })),
          ]}
          onChange={({ currentTarget: { value } }) =>
            setSearch(value === "" ? {} : { state: value }, { replace: true })
          }
        />
      </Group>
      {data.dag_runs.length === 0 ? (
        <Text>{words.empty}</Text>
      ) : (
        <ScrollTable label={words.title} head={head}>
          {data.dag_runs.map((run) => (
            <Table.Tr key={`${run.dag_id} ${run.dag_run_id}`}>
              {all && (
                <Table.Td>
                  <Anchor component={Link} to={paths.dag(run.dag_id)}>
                    {run.dag_display_name}
                  </Anchor>
                </Table.Td>
              )}
              <Table.Td style={{ overflowWrap: "anywhere" }}>
                <Anchor component={Link} to={paths.run(run.dag_id, run.dag_run_id)}>
                  {run.dag_run_id}
                </Anchor>
              </Table.Td>
              <Table.Td>
                <StateChip state={run.state} />
              </Table.Td>
              <Table.Td>{strings.runTypes[run.run_type] ?? run.run_type}</Table.Td>
              <Table.Td>
                <Time at={run.run_after} />
              </Table.Td>
              <Table.Td>
                <Elapsed {...run} />
              </Table.Td>
            </Table.Tr>
          ))}
        </ScrollTable>
      )}
      <Pager page={page} size={RUNS_PER_PAGE} total={data.total_entries ?? data.dag_runs.length} />
    </>
  );
}
