/** Which version this is, how its parts are, and who asks. */
import { Anchor, Text } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";

import { healthQuery, versionQuery } from "../../api/queries/about";
import { meQuery } from "../../api/queries/me";
import { preferences } from "../../lib/preferences";
import { strings } from "../../lib/strings";
import { Panel } from "../../parts/Panel";
import { CopyButton } from "../../ui/CopyButton";
import { Icon } from "../../ui/icons";
import { PageHead } from "../../ui/Page";
import { Time } from "../../ui/Time";
import classes from "./about.module.css";

export function AboutPage() {
  const words = strings.about;
  return (
    <>
      <PageHead title={words.title} />
      <div className={classes.about}>
        <Panel title={words.version}>
          <Version />
        </Panel>
        <Panel title={words.health}>
          <HealthFacts />
        </Panel>
        <Panel title={words.you}>
          <You />
        </Panel>
        <Panel title={words.more}>
          <Facts
            facts={[
              [words.zone, preferences.zone()],
              [words.language, strings.frame.languages[preferences.language()]],
            ]}
          />
          <div className={classes.text}>
            <Anchor href="/docs" underline="always">
              {words.reference}
            </Anchor>
            <Text c="dimmed">{words.keys}</Text>
            <Text c="dimmed">{words.licence}</Text>
          </div>
        </Panel>
      </div>
    </>
  );
}

function Facts({ facts }: { facts: [name: string, value: ReactNode][] }) {
  return (
    <dl className={classes.facts}>
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Version() {
  const { data } = useSuspenseQuery(versionQuery());
  const words = strings.about;
  const own = data.git_version ?? data.version;
  return (
    <Facts
      facts={[
        [
          strings.app.name,
          <>
            {own} <CopyButton text={own} label={strings.app.copy} />
          </>,
        ],
        [words.compatible, data.version],
      ]}
    />
  );
}

function HealthFacts() {
  const { data } = useSuspenseQuery(healthQuery());
  const words = strings.about;
  const beats: Record<string, string | null | undefined> = {
    scheduler: data.scheduler.latest_scheduler_heartbeat,
    triggerer: data.triggerer.latest_triggerer_heartbeat,
    dag_processor: data.dag_processor?.latest_dag_processor_heartbeat,
  };
  const status = {
    metadatabase: data.metadatabase.status,
    scheduler: data.scheduler.status,
    triggerer: data.triggerer.status,
    dag_processor: data.dag_processor?.status,
  };
  return (
    <Facts
      facts={(["metadatabase", "scheduler", "triggerer", "dag_processor"] as const).map((part) => {
        const well = status[part] === "healthy";
        return [
          words.healthParts[part],
          <span key={part} data-well={well} className={classes.status}>
            <Icon name={well ? "check" : "warning"} size={14} />{" "}
            {well ? words.well : status[part] == null ? words.unknown : words.notWell}{" "}
            {beats[part] != null && <Time at={beats[part]} short />}
          </span>,
        ];
      })}
    />
  );
}

function You() {
  const { data: me } = useSuspenseQuery(meQuery());
  const words = strings.about;
  return (
    <>
      <Facts
        facts={[
          [words.user, me.username],
          [words.role, strings.frame.roles[me.role] ?? me.role],
        ]}
      />
      <details className={classes.text}>
        <summary>{words.may}</summary>
        <ul className={classes.permissions}>
          {me.permissions.map((permission) => (
            <li key={permission}>{permission}</li>
          ))}
        </ul>
      </details>
    </>
  );
}
