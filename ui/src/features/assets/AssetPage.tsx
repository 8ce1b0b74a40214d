import { Anchor, Code, Table, Text } from "@mantine/core";
import { useQuery, useSuspenseQuery } from "@tanstack/react-query";
import { Link, useParams } from "react-router";

import {
  ASSET_EVENTS_PER_PAGE,
  assetEventsQuery,
  assetQuery,
  assetsQuery,
  queuedEventsQuery,
  type AssetEvent,
} from "../../api/queries";
import { stateWord } from "../../lib/states";
import { strings } from "../../lib/strings";
import { Panel } from "../../parts/Panel";
import { paths } from "../../paths";
import { CopyButton } from "../../ui/CopyButton";
import { EmptyState } from "../../ui/EmptyState";
import { Facts } from "../../ui/Facts";
import { PageHead } from "../../ui/Page";
import { Pager, usePage } from "../../ui/Pager";
import { ScrollTable } from "../../ui/ScrollTable";
import { SkeletonBox } from "../../ui/Skeletons";
import { StateMark } from "../../ui/StateMark";
import { Time } from "../../ui/Time";
import { AssetActions } from "./AssetActions";
import { AssetGraph } from "./AssetGraph";
import classes from "./assets.module.css";
import { GRAPH_ASSETS } from "./limits";

/** One asset: who makes it, who waits for it, and each time it was updated. */
export function AssetPage() {
  const { assetId = "" } = useParams();
  const id = Number(assetId);
  const words = strings.assets;
  const { data: asset } = useSuspenseQuery(assetQuery(id));
  const { data: queued } = useQuery(queuedEventsQuery(id));
  const waiting = queued?.queued_events ?? [];
  return (
    <>
      <PageHead title={asset.name} crumbs={[{ label: words.title, to: paths.assets() }]}>
        <AssetActions asset={asset} size="compact-sm" />
      </PageHead>
      <Facts
        facts={{
          [words.uri]: (
            <span className={classes.uri}>
              <span className={classes.any}>{asset.uri}</span>
              <CopyButton text={asset.uri} label={words.copyUri} />
            </span>
          ),
          [words.group]: asset.group,
          [words.lastEvent]:
            asset.last_asset_event?.timestamp == null ? words.never : <Time at={asset.last_asset_event.timestamp} />,
          [words.known]: <Time at={asset.created_at} />,
          [words.producers]:
            asset.producing_tasks.length === 0 ? (
              words.nobody
            ) : (
              <Links
                links={asset.producing_tasks.map(({ dag_id, task_id }) => [
                  paths.dag(dag_id),
                  `${dag_id} › ${task_id}`,
                ])}
              />
            ),
          [words.consumers]:
            asset.scheduled_dags.length === 0 ? (
              words.nobody
            ) : (
              <Links links={asset.scheduled_dags.map(({ dag_id }) => [paths.dag(dag_id), dag_id])} />
            ),
          [words.readers]:
            asset.consuming_tasks.length === 0 ? null : (
              <Links
                links={asset.consuming_tasks.map(({ dag_id, task_id }) => [
                  paths.dag(dag_id),
                  `${dag_id} › ${task_id}`,
                ])}
              />
            ),
          [words.waiting]:
            waiting.length === 0 ? null : (
              <span title={words.waitingHint}>
                <Links links={waiting.map(({ dag_id }) => [paths.dag(dag_id), dag_id])} />
              </span>
            ),
        }}
      />
      <div className={classes.panels}>
        <Panel title={words.events}>
          <div className={classes.pad}>
            <Events assetId={id} name={asset.name} />
          </div>
        </Panel>
        <Panel title={words.graph} fallback={<SkeletonBox height={360} />}>
          <div className={classes.pad}>
            <Graph id={id} />
          </div>
        </Panel>
      </div>
    </>
  );
}

const Links = ({ links }: { links: [to: string, text: string][] }) => (
  <span className={classes.links}>
    {[...new Map(links.map((link) => [link.join(" "), link])).values()].map(([to, text]) => (
      <Anchor key={`${to} ${text}`} component={Link} to={to} className={classes.any ?? ""}>
        {text}
      </Anchor>
    ))}
  </span>
);

function Graph({ id }: { id: number }) {
  const { data } = useSuspenseQuery(assetsQuery({ q: "", page: 1, limit: GRAPH_ASSETS }));
  const { data: asset } = useSuspenseQuery(assetQuery(id));
  const isThere = data.assets.some((one) => one.id === id);
  return <AssetGraph assets={isThere ? data.assets : [...data.assets, asset]} only={id} />;
}

function Events({ assetId, name }: { assetId: number; name: string }) {
  const words = strings.assets;
  const page = usePage();
  const { data } = useSuspenseQuery(assetEventsQuery(assetId, page));
  if (data.asset_events.length === 0) return <EmptyState text={words.noEvents} />;
  return (
    <>
      <ScrollTable label={words.eventsOf(name)} head={[words.time, words.by, words.led, words.extra]}>
        {data.asset_events.map((event) => (
          <Row key={event.id} event={event} />
        ))}
      </ScrollTable>
      <Pager page={page} size={ASSET_EVENTS_PER_PAGE} total={data.total_entries} />
    </>
  );
}

function Row({ event }: { event: AssetEvent }) {
  const words = strings.assets;
  const { source_dag_id: dagId, source_run_id: runId, source_task_id: taskId } = event;
  const extra = event.extra ?? {};
  return (
    <Table.Tr>
      <Table.Td style={{ whiteSpace: "nowrap" }}>
        <Time at={event.timestamp} />
      </Table.Td>
      <Table.Td maw={320}>
        {dagId == null || runId == null || taskId == null ? (
          <Text c="dimmed">{words.byHand}</Text>
        ) : (
          <Anchor
            component={Link}
            to={paths.task({ dagId, runId, taskId, mapIndex: event.source_map_index })}
            className={classes.any ?? ""}
          >
            {`${dagId} › ${taskId}`}
          </Anchor>
        )}
      </Table.Td>
      <Table.Td maw={360}>
        {event.created_dagruns.length === 0 ? (
          <Text c="dimmed">{words.nothing}</Text>
        ) : (
          event.created_dagruns.map((run) => (
            <span key={`${run.dag_id} ${run.run_id}`} className={classes.run}>
              <StateMark state={run.state} size={14} />
              <Anchor
                component={Link}
                to={paths.run(run.dag_id, run.run_id)}
                title={run.run_id}
                aria-label={`${run.dag_id} ${run.run_id}: ${strings.states[stateWord(run.state)]}`}
              >
                {run.dag_id}
              </Anchor>
            </span>
          ))
        )}
      </Table.Td>
      <Table.Td maw={320}>
        {Object.keys(extra).length === 0 ? strings.app.none : <Code>{JSON.stringify(extra)}</Code>}
      </Table.Td>
    </Table.Tr>
  );
}
