import { Group, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";

import type { DagRun } from "../../api/client";
import { runsQuery } from "../../api/queries";
import { strings } from "../../lib/strings";
import { RunMark } from "../../parts/RunMark";

/** So many fit; the newest is on the right, next to the trigger button that adds one. */
const SHOWN = 10;

/** The last runs of one DAG. `runs` null: they were not among the newest of all, so they are asked for. */
export function LastRuns({ dagId, runs }: { dagId: string; runs: DagRun[] | null }) {
  const asked = useQuery({
    ...runsQuery({ dagId, state: null, page: 1, limit: SHOWN }),
    enabled: runs === null,
    refetchInterval: false,
  });
  const shown = (runs ?? asked.data?.dag_runs)?.slice(0, SHOWN).toReversed();
  if (shown === undefined) return null;
  if (shown.length === 0) return <Text c="dimmed">{strings.dags.neverRan}</Text>;
  return (
    <Group gap={4} wrap="nowrap">
      {shown.map((run) => (
        <RunMark key={run.dag_run_id} run={run} />
      ))}
    </Group>
  );
}
