import type { ReactNode } from "react";
import { Link } from "react-router";

import type { Home } from "../../api/queries/home";
import { strings } from "../../lib/strings";
import { paths } from "../../paths";
import { Icon } from "../../ui/icons";
import { Time } from "../../ui/Time";
import classes from "./home.module.css";

interface Props {
  health: Home["health"];
  databaseMs: number | null;
  nodes: Home["nodes"];
}

/** What is well is quiet; what is not says so. */
export function HealthList({ health, databaseMs, nodes }: Props) {
  const words = strings.home;
  const up = nodes.active + nodes.draining;
  const all = up + nodes.lost + nodes.offline;
  const beat = (at: string | null | undefined) => (at == null ? null : <Time at={at} short />);
  return (
    <dl className={classes.health}>
      <Part name={words.parts.scheduler} health={health.scheduler}>
        {beat(health.scheduler.latest_scheduler_heartbeat)}
      </Part>
      <Part name={words.parts.metadatabase} health={health.metadatabase}>
        {databaseMs === null ? null : words.answersIn(databaseMs < 10 ? databaseMs.toFixed(1) : databaseMs.toFixed(0))}
      </Part>
      {health.dag_processor !== null && (
        <Part name={words.parts.dag_processor} health={health.dag_processor}>
          {beat(health.dag_processor.latest_dag_processor_heartbeat)}
        </Part>
      )}
      {health.triggerer !== null && (
        <Part name={words.parts.triggerer} health={health.triggerer}>
          {beat(health.triggerer.latest_triggerer_heartbeat)}
        </Part>
      )}
      <Part name={words.parts.nodes} health={{ status: up === 0 || nodes.lost > 0 ? "unhealthy" : "healthy" }}>
        <Link to={paths.nodes()}>{all === 0 ? words.nodesNone : words.nodesUp(up, all)}</Link>
        {nodes.away.length > 0 && <div>{words.nodesAway(nodes.away.join(", "))}</div>}
      </Part>
    </dl>
  );
}

function Part({
  name,
  health,
  children,
}: {
  name: string;
  health: Home["health"]["metadatabase"];
  children: ReactNode;
}) {
  const words = strings.home;
  const { status } = health;
  const well = status === "healthy";
  return (
    <div data-well={well || undefined}>
      <dt>{name}</dt>
      <dd>
        <span className={well ? classes.well : classes.bad}>
          <Icon name={well ? "check" : status === null ? "help" : "warning"} size={14} />{" "}
          {well ? <span className="sr-only">{words.well}</span> : status === null ? words.unknown : words.notWell}
        </span>{" "}
        {children}
      </dd>
    </div>
  );
}
