import { Anchor, Button, Group, Modal, Table, Text } from "@mantine/core";
import { useQuery, useSuspenseQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useParams, useSearchParams } from "react-router";

import { messageOf } from "../../api/errors";
import { useChangeBackfill } from "../../api/mutations";
import { backfillCountsQuery, BACKFILLS_PER_PAGE, backfillsQuery, dagQuery, type Backfill } from "../../api/queries";
import { strings } from "../../lib/strings";
import { day, localInput } from "../../lib/time";
import { CanButton } from "../../parts/Can";
import { Panel } from "../../parts/Panel";
import { paths } from "../../paths";
import { EmptyState } from "../../ui/EmptyState";
import { Pager, usePage } from "../../ui/Pager";
import { ScrollTable } from "../../ui/ScrollTable";
import { StateMark } from "../../ui/StateMark";
import { Time } from "../../ui/Time";
import { toast } from "../../ui/toasts";
import { BackfillSheet } from "./BackfillSheet";
import classes from "./backfills.module.css";

/** The backfills of a DAG and their progress; `?new` opens the form. */
export function BackfillsTab() {
  const { dagId = "" } = useParams();
  const { data: dag } = useSuspenseQuery(dagQuery(dagId));
  const [search, setSearch] = useSearchParams();
  const words = strings.backfills;
  const show = (open: boolean) =>
    setSearch((before) => {
      if (open) before.set("new", "1");
      else before.delete("new");
      return before;
    });
  const button = (
    <CanButton
      needs="Write:Backfill"
      size="compact-sm"
      reason={dag.is_backfillable ? null : words.notBackfillable}
      onClick={() => show(true)}
    >
      {words.create}
    </CanButton>
  );
  return (
    <>
      <Group justify="flex-end" my="sm">
        {button}
      </Group>
      <Panel>
        <List dagId={dagId} zone={dag.timezone ?? "UTC"} />
      </Panel>
      {search.has("new") && <BackfillSheet dag={dag} onClose={() => show(false)} />}
    </>
  );
}

function List({ dagId, zone }: { dagId: string; zone: string }) {
  const page = usePage();
  const { data } = useSuspenseQuery(backfillsQuery(dagId, page));
  const [cancelling, setCancelling] = useState<Backfill | null>(null);
  const words = strings.backfills;
  if (data.backfills.length === 0) return <EmptyState text={words.none} />;
  return (
    <>
      <ScrollTable
        label={words.list}
        head={[words.dates, words.state, words.progress, words.behaviour, words.made, words.actions]}
      >
        {data.backfills.map((backfill) => (
          <Row key={backfill.id} backfill={backfill} zone={zone} onCancel={() => setCancelling(backfill)} />
        ))}
      </ScrollTable>
      <Pager page={page} size={BACKFILLS_PER_PAGE} total={data.total_entries} />
      {cancelling !== null && <Cancel backfill={cancelling} onClose={() => setCancelling(null)} />}
    </>
  );
}

function Row({ backfill, zone, onCancel }: { backfill: Backfill; zone: string; onCancel: () => void }) {
  const words = strings.backfills;
  const change = useChangeBackfill(backfill.dag_id);
  const isDone = backfill.completed_at !== null;
  const to = (what: "pause" | "unpause") =>
    change.mutate(
      { id: backfill.id, to: what },
      { onError: (error) => toast({ text: messageOf(error), error: true }) },
    );
  const dates = `${day(backfill.from_date, zone)} – ${day(backfill.to_date, zone)}`;
  return (
    <Table.Tr>
      <Table.Td style={{ whiteSpace: "nowrap" }}>{dates}</Table.Td>
      <Table.Td>
        <span className={classes.state}>
          <StateMark state={isDone ? "success" : backfill.is_paused ? "deferred" : "running"} size={14} />
          {isDone ? words.done : backfill.is_paused ? words.paused : words.running}
        </span>
      </Table.Td>
      <Table.Td miw={220}>
        <Progress backfill={backfill} />
      </Table.Td>
      <Table.Td>
        {BEHAVIOURS[backfill.reprocess_behavior]()}
        <Text size="xs" c="dimmed">
          {words.max(backfill.max_active_runs)}
        </Text>
      </Table.Td>
      <Table.Td>
        <Time at={backfill.created_at} />
      </Table.Td>
      <Table.Td>
        <Group gap={6} wrap="nowrap">
          <CanButton
            needs="Write:Backfill"
            size="compact-xs"
            variant="default"
            reason={isDone ? words.ended : null}
            loading={change.isPending}
            aria-label={`${backfill.is_paused ? words.unpause : words.pause}: ${dates}`}
            onClick={() => to(backfill.is_paused ? "unpause" : "pause")}
          >
            {backfill.is_paused && !isDone ? words.unpause : words.pause}
          </CanButton>
          <CanButton
            needs="Write:Backfill"
            size="compact-xs"
            variant="default"
            reason={isDone ? words.ended : null}
            aria-label={`${words.cancel}: ${dates}`}
            onClick={onCancel}
          >
            {words.cancel}
          </CanButton>
        </Group>
      </Table.Td>
    </Table.Tr>
  );
}

const BEHAVIOURS: Record<Backfill["reprocess_behavior"], () => string> = {
  none: () => strings.backfills.missing,
  failed: () => strings.backfills.failed,
  completed: () => strings.backfills.all,
};

const ORDER = ["failed", "running", "queued", "success"] as const;

/** How far it is, by state; each number leads to its runs. */
function Progress({ backfill }: { backfill: Backfill }) {
  const { data } = useQuery(backfillCountsQuery(backfill));
  const words = strings.backfills;
  const counts = data?.counts ?? { queued: 0, running: 0, success: 0, failed: 0 };
  const total = ORDER.reduce((sum, state) => sum + counts[state], 0);
  const finished = counts.success + counts.failed;
  const runs = (state?: string) =>
    paths.dag(backfill.dag_id, "runs", {
      type: "backfill",
      from: localInput(backfill.from_date),
      to: data?.last == null ? null : localInput(data.last),
      state,
    });
  return (
    <>
      <div
        className={classes.bar}
        role="progressbar"
        aria-label={words.progress}
        aria-valuemin={0}
        aria-valuemax={Math.max(total, 1)}
        aria-valuenow={finished}
        aria-valuetext={words.of(finished, total)}
      >
        {(["success", "failed", "running"] as const).map((state) => (
          <span key={state} data-state={state} style={{ width: `${(counts[state] / Math.max(total, 1)) * 100}%` }} />
        ))}
      </div>
      <span className={classes.counts}>
        <Anchor component={Link} to={runs()} size="xs">
          {data === undefined ? strings.app.loading : words.of(finished, total)}
        </Anchor>
        {ORDER.filter((state) => counts[state] > 0).map((state) => (
          <Anchor key={state} component={Link} to={runs(state)} size="xs" className={classes.count ?? ""}>
            <StateMark state={state} size={12} />
            {words.countOf(counts[state], strings.states[state])}
          </Anchor>
        ))}
      </span>
    </>
  );
}

function Cancel({ backfill, onClose }: { backfill: Backfill; onClose: () => void }) {
  const words = strings.backfills;
  const change = useChangeBackfill(backfill.dag_id);
  const { data } = useQuery(backfillCountsQuery(backfill));
  return (
    <Modal.Root opened onClose={onClose} transitionProps={{ duration: 0 }}>
      <Modal.Overlay />
      <Modal.Content>
        <Modal.Body pt="md">
          <Modal.Title mb="sm">{words.cancelTitle(backfill.id)}</Modal.Title>
          <Text size="sm" mb="md">
            {words.cancelHint(data?.counts.queued ?? 0)}
          </Text>
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {words.keep}
            </Button>
            <Button
              color="red"
              loading={change.isPending}
              onClick={() =>
                change.mutate(
                  { id: backfill.id, to: "cancel" },
                  { onSuccess: onClose, onError: (error) => toast({ text: messageOf(error), error: true }) },
                )
              }
            >
              {words.cancel}
            </Button>
          </Group>
        </Modal.Body>
      </Modal.Content>
    </Modal.Root>
  );
}
