import { Anchor, Badge, Button, Group, Text, Title } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, Outlet, useLocation, useParams } from "react-router";

import type { DagDetails } from "../../api/client";
import { messageOf } from "../../api/errors";
import { useReparse, useSetFavorite } from "../../api/mutations";
import { dagQuery, runsQuery } from "../../api/queries";
import { strings } from "../../lib/strings";
import { Boundary } from "../../parts/Panel";
import { CanIcon, useCan } from "../../parts/Can";
import { ActiveSwitch } from "../../parts/DagControls";
import { ScheduleWords } from "../../parts/ScheduleWords";
import { DAG_TABS, paths } from "../../paths";
import { copyText } from "../../ui/CopyButton";
import { Icon } from "../../ui/icons";
import { LinkTabs } from "../../ui/LinkTabs";
import { MoreMenu } from "../../ui/MoreMenu";
import { Notice } from "../../ui/Notice";
import { IconButton } from "../../ui/Reason";
import { StateMark } from "../../ui/StateMark";
import { Elapsed, Time } from "../../ui/Time";
import classes from "./dag.module.css";
import { DeleteDag } from "./DeleteDag";
import { lastRun } from "./lastRun";
import { NextRuns } from "./NextRuns";

/** What stays while the tabs of a DAG change: what it is, when it runs, what one can do with it. */
export function DagPage() {
  const { dagId = "" } = useParams();
  const { data: dag } = useSuspenseQuery(dagQuery(dagId));
  const [notice, setNotice] = useState<{ text: string; isError: boolean } | null>(null);
  const [isDeleting, setDeleting] = useState(false);
  const { pathname } = useLocation();
  return (
    <>
      <Head
        dag={dag}
        onError={(text) => setNotice({ text, isError: true })}
        onSaid={(text) => setNotice({ text, isError: false })}
        onDelete={() => setDeleting(true)}
      />
      {notice !== null && <Notice error={notice.isError}>{notice.text}</Notice>}
      {dag.is_stale && <Notice>{strings.dag.stale}</Notice>}
      {dag.has_import_errors && (
        <Notice error>
          {strings.dag.importError}{" "}
          <Anchor component={Link} to={paths.importErrors()} underline="always">
            {strings.dag.showError}
          </Anchor>
        </Notice>
      )}
      <LinkTabs
        label={strings.dag.tabs}
        tabs={DAG_TABS.map((tab) => ({ to: paths.dag(dagId, tab), label: strings.dag.tab[tab] }))}
      />
      {/* A tab that fails does not take the head along; the next tab tries anew. */}
      <Boundary key={pathname}>
        <Outlet />
      </Boundary>
      <DeleteDag dag={dag} opened={isDeleting} onClose={() => setDeleting(false)} />
    </>
  );
}

interface HeadProps {
  dag: DagDetails;
  onError: (text: string) => void;
  onSaid: (text: string) => void;
  onDelete: () => void;
}

function Head({ dag, onError, onSaid, onDelete }: HeadProps) {
  const favorite = useSetFavorite(dag.dag_id);
  const reparse = useReparse();
  const cannotWrite = useCan("Write:Dag");
  const isFavorite = favorite.isPending ? favorite.variables : dag.is_favorite;
  const version = dag.latest_dag_version?.version_number;
  return (
    <header className={classes.head}>
      <title>{strings.app.title(dag.dag_display_name)}</title>
      <div className={classes.line}>
        <div className={classes.name}>
          <ActiveSwitch dag={dag} onError={onError} />
          <Title order={1} className={classes.title}>
            {dag.dag_display_name}
          </Title>
          <IconButton
            icon="star"
            filled={isFavorite}
            pressed={isFavorite}
            label={isFavorite ? strings.dag.unfavorite : strings.dag.favorite}
            onClick={() => favorite.mutate(!isFavorite, { onError: (error) => onError(messageOf(error)) })}
          />
        </div>
        <Group gap={8} wrap="nowrap" className={classes.actions}>
          <TriggerLink dagId={dag.dag_id} />
          <MoreMenu
            label={strings.dag.more(dag.dag_id)}
            items={[
              { label: strings.dag.copyId, icon: "copy", onClick: () => void copyText(dag.dag_id) },
              {
                label: strings.dag.reparse,
                icon: "again",
                reason: cannotWrite,
                onClick: () =>
                  reparse.mutate(dag.file_token, {
                    onSuccess: () => onSaid(strings.dag.reparsed),
                    onError: (error) => onError(messageOf(error)),
                  }),
              },
              {
                label: strings.dag.remove,
                icon: "trash",
                danger: true,
                divided: true,
                reason: cannotWrite,
                onClick: onDelete,
              },
            ]}
          />
        </Group>
      </div>
      {dag.description !== null && (
        <Text size="sm" c="dimmed" lineClamp={1} title={dag.description}>
          {dag.description}
        </Text>
      )}
      <dl className={classes.facts}>
        <Fact name={strings.dag.schedule}>
          <ScheduleWords {...dag} />
        </Fact>
        <Fact name={strings.dag.next}>
          {dag.is_paused ? (
            <span title={strings.dag.pausedHint}>{strings.dags.paused}</span>
          ) : (
            <NextRuns dagId={dag.dag_id} next={dag.next_dagrun_run_after} />
          )}
        </Fact>
        <LastRun dagId={dag.dag_id} />
        {dag.owners.length > 0 && (
          <Fact name={strings.dag.owner}>
            {dag.owners.map((owner) => (
              <Anchor key={owner} component={Link} to={paths.dags({ owner })} c="inherit">
                {owner}
              </Anchor>
            ))}
          </Fact>
        )}
        {version !== undefined && (
          <Fact name={strings.dag.versionWord}>
            <Anchor component={Link} to={paths.dag(dag.dag_id, "code")} c="inherit">
              {strings.dag.version(version)}
            </Anchor>
          </Fact>
        )}
        {dag.tags.length > 0 && (
          <div className={classes.tags}>
            <dt className="sr-only">{strings.dags.tags}</dt>
            {dag.tags.map(({ name }) => (
              <dd key={name}>
                <Badge
                  component={Link}
                  to={paths.dags({ tag: name })}
                  variant="outline"
                  color="gray"
                  radius="sm"
                  className={classes.tag}
                  title={name}
                >
                  {name}
                </Badge>
              </dd>
            ))}
          </div>
        )}
      </dl>
    </header>
  );
}

function TriggerLink({ dagId }: { dagId: string }) {
  const reason = useCan("Write:DagRun");
  const icon = <Icon name="play" size={14} />;
  if (reason !== null) {
    return <CanIcon needs="Write:DagRun" icon="play" label={strings.dag.trigger} />;
  }
  return (
    <Button component={Link} to={paths.trigger(dagId)} size="compact-md" leftSection={icon}>
      {strings.dag.trigger}
    </Button>
  );
}

function LastRun({ dagId }: { dagId: string }) {
  const { data } = useSuspenseQuery(runsQuery(lastRun(dagId)));
  const run = data.dag_runs[0];
  return (
    <Fact name={strings.dag.last}>
      {run === undefined ? (
        strings.dag.neverRan
      ) : (
        <Anchor component={Link} to={paths.run(dagId, run.dag_run_id)} c="inherit" className={classes.last}>
          <StateMark state={run.state} size={14} />
          {strings.states[run.state]}
          <span className={classes.muted}>
            <Elapsed {...run} />
            {" · "}
            <Time at={run.run_after} short />
          </span>
        </Anchor>
      )}
    </Fact>
  );
}

const Fact = ({ name, children }: { name: string; children: React.ReactNode }) => (
  <div className={classes.fact}>
    <dt>{name}</dt>
    <dd>{children}</dd>
  </div>
);
