import { Anchor, Code, Text } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { Link, useParams } from "react-router";

import type { DagDetails } from "../../api/client";
import { dagQuery, scheduleQuery } from "../../api/queries";
import { preferences } from "../../lib/preferences";
import { strings } from "../../lib/strings";
import { isoInZone, offsetText } from "../../lib/time";
import { Markdown } from "../../parts/Markdown";
import { Panel } from "../../parts/Panel";
import { ScheduleWords } from "../../parts/ScheduleWords";
import { paths } from "../../paths";
import { EmptyState } from "../../ui/EmptyState";
import { Icon } from "../../ui/icons";
import { Notice } from "../../ui/Notice";
import { Duration, Time } from "../../ui/Time";
import classes from "./details.module.css";

/** Everything that is known of a DAG: when it runs, what bounds it, what it is, what its authors wrote about it. */
export function DetailsTab() {
  const { dagId = "" } = useParams();
  const { data: dag } = useSuspenseQuery(dagQuery(dagId));
  const words = strings.details;
  return (
    <div className={classes.columns}>
      <div className={classes.wide}>
        <Panel title={words.schedule}>
          <div className={classes.pad}>
            <Schedule dag={dag} />
          </div>
        </Panel>
      </div>
      <Panel title={words.limits}>
        <Rows
          rows={{
            [words.maxActiveRuns]: (
              <>
                {dag.max_active_runs ?? words.unlimited}{" "}
                <Anchor component={Link} to={paths.dag(dagId, "runs", { state: "running" })}>
                  {words.activeNow(dag.active_runs_count)}
                </Anchor>
              </>
            ),
            [words.maxActiveTasks]: dag.max_active_tasks,
            [words.maxFailed]: dag.max_consecutive_failed_dag_runs || words.unlimited,
            [words.timeout]:
              dag.dag_run_timeout === null ? words.unlimited : <Duration seconds={seconds(dag.dag_run_timeout)} />,
            [words.catchup]: dag.catchup ? words.yes : words.no,
          }}
        />
      </Panel>
      <Panel title={words.identity}>
        <Rows
          rows={{
            [words.id]: <Code>{dag.dag_id}</Code>,
            [words.name]: dag.dag_display_name === dag.dag_id ? null : dag.dag_display_name,
            [strings.dags.owner]: dag.owners.join(", "),
            [strings.dags.tags]: dag.tags.map(({ name }) => name).join(", "),
            [strings.dags.file]: (
              <Anchor component={Link} to={paths.dag(dagId, "code")} className={classes.any ?? ""}>
                {dag.relative_fileloc ?? dag.fileloc}
              </Anchor>
            ),
            [words.bundle]: [dag.bundle_name, dag.bundle_version].filter(Boolean).join(" "),
            [words.startDate]: dag.start_date && <Time at={dag.start_date} />,
            [words.endDate]: dag.end_date && <Time at={dag.end_date} />,
            [words.parsed]: dag.last_parsed_time && <Time at={dag.last_parsed_time} />,
            [words.parseTime]: dag.last_parse_duration === null ? null : <Duration seconds={dag.last_parse_duration} />,
            [words.renderNative]: dag.render_template_as_native_obj ? words.yes : null,
            [words.search]: dag.template_search_path?.join(", ") ?? null,
          }}
        />
      </Panel>
      <div className={classes.wide}>
        <Panel title={words.docs}>
          <div className={classes.pad}>
            {dag.doc_md === null ? <EmptyState text={words.noDocs} /> : <Markdown source={dag.doc_md} />}
          </div>
        </Panel>
      </div>
      <Json title={words.params} value={dag.params} />
      <Json title={words.defaults} value={dag.default_args} />
      <Json title={words.assets} value={dag.asset_expression} />
    </div>
  );
}

/** `P1DT2H`, `PT90S`; null for what is no such thing. */
export function seconds(iso: string): number | null {
  const found = /^P(?:(\d+(?:\.\d+)?)D)?(?:T(?:(\d+(?:\.\d+)?)H)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)S)?)?$/.exec(
    iso,
  );
  if (found === null) return null;
  const [, days = "0", hours = "0", minutes = "0", rest = "0"] = found;
  return Number(days) * 86_400 + Number(hours) * 3_600 + Number(minutes) * 60 + Number(rest);
}

function Rows({ rows }: { rows: Record<string, React.ReactNode> }) {
  return (
    <dl className={classes.rows}>
      {Object.entries(rows)
        .filter(([, value]) => value !== null && value !== "" && value !== undefined)
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  );
}

function Json({ title, value }: { title: string; value: unknown }) {
  if (value === null || value === undefined || Object.keys(value).length === 0) return null;
  return (
    <Panel title={title}>
      <Code block tabIndex={0} className={classes.json ?? ""}>
        {JSON.stringify(value, null, 2)}
      </Code>
    </Panel>
  );
}

const minute = (iso: string, zone: string) => isoInZone(iso, zone).slice(0, 16).replace("T", " ");

/** The schedule in words, and when it fires next: in the chosen zone and in the DAG's own. */
function Schedule({ dag }: { dag: DagDetails }) {
  const words = strings.details;
  const { data } = useSuspenseQuery(scheduleQuery(dag.dag_id, dag.next_dagrun_run_after));
  const mine = preferences.zone();
  const own = data.timezone;
  // Beside the chosen zone the DAG's own; when they are one and the same, UTC.
  const other = mine === own ? "UTC" : own;
  const both = mine !== other;
  return (
    <>
      <Rows
        rows={{
          [words.schedule]: <ScheduleWords {...dag} />,
          [words.expression]: dag.timetable_summary === null ? null : <Code>{dag.timetable_summary}</Code>,
          [words.zone]: data.timezone,
        }}
      />
      {data.next.length === 0 ? (
        <Text size="sm" c="dimmed">
          {words.noNext}
        </Text>
      ) : (
        <>
          {dag.is_paused && <Notice>{words.paused}</Notice>}
          <div className={classes.scroll} role="region" aria-label={words.next(data.next.length)} tabIndex={0}>
            <table className={classes.table}>
              <caption>{words.next(data.next.length)}</caption>
              <thead>
                <tr>
                  <th scope="col">{words.runAt(mine)}</th>
                  {both && <th scope="col">{other === own ? words.inDagZone(own) : words.runAt(other)}</th>}
                  <th scope="col">{words.when}</th>
                  <th scope="col">{words.interval}</th>
                </tr>
              </thead>
              <tbody>
                {data.next.map((next) => (
                  <tr key={next.run_after} data-dst={next.dst_change}>
                    <td>{minute(next.run_after, mine)}</td>
                    {both && (
                      <td>
                        {minute(next.run_after, other)} {other === own ? offsetText(next.utc_offset_seconds) : ""}
                      </td>
                    )}
                    <td>
                      <Time at={next.run_after} short />
                      {next.dst_change && (
                        <span className={classes.dst} title={words.dst}>
                          <Icon name="clock" size={14} />
                          {words.dstTo(offsetText(next.utc_offset_seconds))}
                        </span>
                      )}
                    </td>
                    <td className={classes.interval}>
                      {next.data_interval_start === null || next.data_interval_end === null
                        ? strings.app.none
                        : `${minute(next.data_interval_start, own)} – ${minute(next.data_interval_end, own)}`}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </>
      )}
    </>
  );
}
