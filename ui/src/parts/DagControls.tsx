import { Anchor, Button, Switch } from "@mantine/core";
import { Link } from "react-router";

import type { Dag, DagDetails, DagRun } from "../api/client";
import { messageOf } from "../api/errors";
import { useSetPaused, useTrigger } from "../api/mutations";
import { strings } from "../lib/strings";
import { paths } from "../paths";
import { Notice } from "../ui/Notice";

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

/** What the last press of a button led to. */
export type Outcome = { run: DagRun; paused: boolean } | { error: string } | null;

export function TriggerButton({ dag, onOutcome }: { dag: Dag | DagDetails; onOutcome: (outcome: Outcome) => void }) {
  const trigger = useTrigger(dag.dag_id);
  return (
    <Button
      size="compact-sm"
      variant="default"
      aria-label={strings.dags.triggerOf(dag.dag_id)}
      loading={trigger.isPending}
      onClick={() =>
        trigger.mutate(undefined, {
          onSuccess: (run) => onOutcome({ run, paused: dag.is_paused }),
          onError: (error) => onOutcome({ error: messageOf(error) }),
        })
      }
    >
      {strings.dags.trigger}
    </Button>
  );
}

export function OutcomeNotice({ outcome }: { outcome: Outcome }) {
  if (outcome === null) return null;
  if ("error" in outcome) return <Notice error>{outcome.error}</Notice>;
  const { run, paused } = outcome;
  return (
    <Notice>
      {strings.dags.triggered}{" "}
      <Anchor component={Link} to={paths.run(run.dag_id, run.dag_run_id)} underline="always">
        {run.dag_run_id}
      </Anchor>
      . {paused && strings.dags.triggeredPaused}
    </Notice>
  );
}
