import { Table } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";

import { executorQuery, executorsQuery, type Executor } from "../../api/queries/admin";
import { useDrain } from "../../api/mutations/admin";
import { bytes } from "../../lib/bytes";
import { strings } from "../../lib/strings";
import { CanButton } from "../../parts/Can";
import { Panel } from "../../parts/Panel";
import { Confirm } from "../../parts/task/Confirm";
import { paths } from "../../paths";
import { EmptyState } from "../../ui/EmptyState";
import { Facts } from "../../ui/Facts";
import { PageHead } from "../../ui/Page";
import { ScrollTable } from "../../ui/ScrollTable";
import { Sheet } from "../../ui/Sheet";
import { Time } from "../../ui/Time";
import classes from "./admin.module.css";
import { NodeState } from "./NodeState";
import { Usage } from "./Usage";
import { useSearchParam } from "./useSearchParam";

/** Those that need a look first. */
const RANK = { lost: 0, draining: 1, active: 2, offline: 3 } as const;

/** The machines that run tasks: whether they are there, what they have, and how much is left. */
export function NodesPage() {
  const { data } = useSuspenseQuery(executorsQuery());
  const [open, setOpen] = useSearchParam("node");
  const [asked, setAsked] = useState<Executor | null>(null);
  const words = strings.admin.nodes;
  const nodes = data.executors.toSorted((a, b) => RANK[a.state] - RANK[b.state] || a.name.localeCompare(b.name));
  const active = nodes.filter((node) => node.state === "active").length;
  return (
    <>
      <PageHead
        title={words.title}
        after={<span className={classes.muted}>{words.total(active, nodes.length)}</span>}
      />
      {nodes.length === 0 ? (
        <EmptyState text={words.empty} />
      ) : (
        <ScrollTable
          label={words.title}
          head={[
            words.node,
            words.state,
            words.slots,
            words.cpu,
            words.memory,
            words.disk,
            words.labels,
            words.heartbeat,
            strings.admin.actions,
          ]}
        >
          {nodes.map((node) => (
            <Row key={node.id} node={node} onOpen={() => setOpen(node.name)} onAsk={() => setAsked(node)} />
          ))}
        </ScrollTable>
      )}
      {open !== "" && <NodeSheet name={open} onClose={() => setOpen("")} />}
      {asked !== null && <Asking node={asked} onClose={() => setAsked(null)} />}
    </>
  );
}

const known = (value: number | undefined, say: (value: number) => string) =>
  value === undefined ? strings.app.none : say(value);

function Row({ node, onOpen, onAsk }: { node: Executor; onOpen: () => void; onAsk: () => void }) {
  const words = strings.admin.nodes;
  const { stats } = node;
  return (
    <Table.Tr>
      <Table.Td>
        <button type="button" className={classes.link} onClick={onOpen}>
          {node.name}
        </button>
        {node.hostname !== node.name && <div className={classes.muted}>{node.hostname}</div>}
      </Table.Td>
      <Table.Td>
        <NodeState state={node.state} />
      </Table.Td>
      <Table.Td>
        <button type="button" className={classes.slots} onClick={onOpen} aria-label={words.used(node.used, node.slots)}>
          <Usage
            label={words.used(node.used, node.slots)}
            parts={[{ share: node.used / Math.max(1, node.slots), look: node.used >= node.slots ? "full" : "used" }]}
          />
          {node.used}/{node.slots}
        </button>
      </Table.Td>
      <Table.Td>{known(stats["cpu"], (value) => value.toFixed(1))}</Table.Td>
      <Table.Td>{known(stats["memory_free"], bytes)}</Table.Td>
      <Table.Td>{known(stats["disk_free"], bytes)}</Table.Td>
      <Table.Td>
        <Labels labels={node.labels} queues={node.queues} />
      </Table.Td>
      <Table.Td style={{ whiteSpace: "nowrap" }}>
        <Time at={node.last_poll} short />
        {node.state === "lost" && <div className={classes.muted}>{words.needsLook}</div>}
      </Table.Td>
      <Table.Td>
        <CanButton needs="Write:Executor" size="compact-xs" variant="default" onClick={onAsk}>
          {node.is_drained ? words.resume : words.drain}
        </CanButton>
      </Table.Td>
    </Table.Tr>
  );
}

function Labels({ labels, queues }: Pick<Executor, "labels" | "queues">) {
  const all = [...queues, ...Object.entries(labels).map(([key, value]) => `${key}: ${value}`)];
  return (
    <span className={classes.tags}>
      {all.map((label) => (
        <span key={label} className={classes.tag}>
          {label}
        </span>
      ))}
    </span>
  );
}

function NodeSheet({ name, onClose }: { name: string; onClose: () => void }) {
  return (
    <Sheet opened onClose={onClose} title={name} width={640}>
      <Panel>
        <NodeDetails name={name} />
      </Panel>
    </Sheet>
  );
}

function NodeDetails({ name }: { name: string }) {
  const { data: node } = useSuspenseQuery(executorQuery(name));
  const words = strings.admin.nodes;
  return (
    <>
      <Facts
        facts={{
          [words.state]: <NodeState state={node.state} />,
          [words.slots]: words.used(node.used, node.slots),
          [words.hostname]: node.hostname,
          [words.version]: node.version,
          [words.heartbeat]: <Time at={node.last_poll} />,
          [words.registered]: <Time at={node.registered_at} />,
          [words.cpu]: known(node.stats["cpu"], (value) => words.cores(value.toFixed(1))),
          [words.memory]: known(node.stats["memory_free"], bytes),
          [words.disk]: known(node.stats["disk_free"], bytes),
          [words.queues]: node.queues.join(", "),
          [words.runners]: node.runners
            .map((runner) => (runner.available ? runner.name : words.notAvailable(runner.name, runner.reason ?? "")))
            .join(", "),
        }}
      />
      <h2 className={classes.h2}>{words.tasksOf(node.name)}</h2>
      {node.attempts.length === 0 ? (
        <EmptyState text={words.noTasks} />
      ) : (
        <ul className={classes.list}>
          {node.attempts.map((attempt) => {
            const key = {
              dagId: attempt.dag_id,
              runId: attempt.dag_run_id,
              taskId: attempt.task_id,
              mapIndex: attempt.map_index,
            };
            return (
              <li key={attempt.attempt_id}>
                <Link to={paths.task(key)}>
                  {attempt.dag_id} › {attempt.task_id}
                  {attempt.map_index >= 0 && ` [${attempt.map_index}]`}
                </Link>
                <span className={classes.muted}>
                  {words.attemptStates[attempt.state]}
                  {attempt.kind === "callback" && ` · ${words.callback}`} · <Time at={attempt.since} short />
                </span>
              </li>
            );
          })}
        </ul>
      )}
    </>
  );
}

function Asking({ node, onClose }: { node: Executor; onClose: () => void }) {
  const words = strings.admin.nodes;
  const drain = useDrain();
  const isDrained = node.is_drained;
  return (
    <Confirm
      title={isDrained ? words.resumeTitle(node.name) : words.drainTitle(node.name)}
      text={isDrained ? words.resumeText : words.drainText(node.used)}
      submit={isDrained ? words.resumeSubmit(node.name) : words.drainSubmit(node.name)}
      needs="Write:Executor"
      isPending={drain.isPending}
      error={drain.error}
      onSubmit={() => drain.mutate({ name: node.name, drain: !isDrained }, { onSuccess: onClose })}
      onClose={onClose}
    />
  );
}
