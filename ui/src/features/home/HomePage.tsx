/** "Is it on fire, and what do I press": what needs a person first, then what waits, runs, ran, and what is due. Live. */
import { useSuspenseQuery } from "@tanstack/react-query";
import { Text } from "@mantine/core";
import { Link } from "react-router";

import { homeQuery } from "../../api/queries/home";
import { strings } from "../../lib/strings";
import { Panel } from "../../parts/Panel";
import { paths } from "../../paths";
import { PageHead } from "../../ui/Page";
import { SkeletonRows } from "../../ui/Skeletons";
import { Time } from "../../ui/Time";
import { Fresh } from "./Fresh";
import { HealthList } from "./HealthList";
import classes from "./home.module.css";
import { Hours } from "./Hours";
import { NeedsYouList } from "./NeedsYouList";
import { PressedPools } from "./PressedPools";
import { RunningList } from "./RunningList";
import { Upcoming } from "./Upcoming";
import { WaitingList } from "./WaitingList";

export function HomePage() {
  return (
    <Panel fallback={<SkeletonRows rows={16} />}>
      <Inside />
    </Panel>
  );
}

function Inside() {
  const { data: home } = useSuspenseQuery(homeQuery());
  const words = strings.home;
  const { needs_you: needs, waiting, running } = home;
  if (home.dags_total === 0 && needs.total === 0) return <Fresh />;
  const succeeded = home.hours.reduce((sum, hour) => sum + hour.success, 0);
  const next = home.next[0];
  return (
    <>
      <PageHead
        title={needs.total === 0 ? words.calm : words.needs(needs.total)}
        crumb={words.title}
        after={
          <Text size="sm" c="dimmed">
            {words.summary(home.runs_24h, home.dags_total)}
          </Text>
        }
      />
      <div className={classes.home}>
        {needs.total > 0 ? (
          <div className={classes.wide}>
            <Panel title={words.needsYou}>
              <NeedsYouList items={needs.items} total={needs.total} />
            </Panel>
          </div>
        ) : (
          <Text className={classes.wide}>
            {words.calmText(succeeded)}{" "}
            {next !== undefined && (
              <>
                {words.calmNext} <Link to={paths.dag(next.dag_id)}>{next.dag_id}</Link>{" "}
                <Time at={next.run_after} short />.
              </>
            )}
          </Text>
        )}
        <Panel
          title={words.waiting}
          aside={
            waiting.total > 0 && (
              <Count n={waiting.total} to={paths.dags({ state: "waiting" })} label={words.waitingAll(waiting.total)} />
            )
          }
        >
          <WaitingList groups={waiting.groups} />
        </Panel>
        <Panel
          title={words.running}
          aside={
            running.total > 0 && (
              <Count n={running.total} to={paths.runs({ state: "running" })} label={words.runningAll(running.total)} />
            )
          }
        >
          <RunningList items={running.items} />
        </Panel>
        <Panel title={words.hours} aside={<Count n={home.runs_24h} to={paths.runs()} />}>
          <Hours hours={home.hours} />
        </Panel>
        <Panel title={words.health}>
          <HealthList health={home.health} databaseMs={home.database_ms} nodes={home.nodes} />
        </Panel>
        <Panel title={words.pools}>
          <PressedPools pools={home.pools} />
        </Panel>
        <Panel title={words.next}>
          <Upcoming next={home.next} />
        </Panel>
      </div>
    </>
  );
}

function Count({ n, to, label }: { n: number; to: string; label?: string }) {
  return (
    <Link to={to} className={classes.count} aria-label={label} title={label}>
      {n > 10_000 ? "10,000+" : n.toLocaleString("en")}
    </Link>
  );
}
