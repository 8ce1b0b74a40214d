import { Switch } from "@mantine/core";

import type { Dag, DagDetails } from "../api/client";
import { messageOf } from "../api/errors";
import { useSetPaused } from "../api/mutations";
import { strings } from "../lib/strings";

/** On: the DAG is active. Off: it is paused, and its runs wait. Shows the wish while the server is being told. */
export function ActiveSwitch({ dag, onError }: { dag: Dag | DagDetails; onError: (message: string) => void }) {
  const setPaused = useSetPaused(dag.dag_id);
  const paused = setPaused.isPending ? setPaused.variables : dag.is_paused;
  return (
    <Switch
      aria-label={strings.dags.activeSwitch(dag.dag_id)}
      checked={!paused}
      onChange={(event) =>
        setPaused.mutate(!event.currentTarget.checked, { onError: (error) => onError(messageOf(error)) })
      }
    />
  );
}
