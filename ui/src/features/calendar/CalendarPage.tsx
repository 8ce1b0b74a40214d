import { Anchor, Button, Group, SegmentedControl, Table, Text } from "@mantine/core";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Link, useParams, useSearchParams } from "react-router";

import { messageOf } from "../../api/errors";
import { calendarQuery } from "../../api/queries";
import { byDay, byHour, daysOf, NOTHING, OUTCOMES, totalOf, type Outcomes } from "../../lib/calendar/calendar";
import { strings } from "../../lib/strings";
import { wall } from "../../lib/time";
import { Looks } from "../../parts/grid/Looks";
import { paths } from "../../paths";
import { now } from "../../ui/now";
import { PanelError } from "../../ui/PanelError";
import { IconButton } from "../../ui/Reason";
import { SkeletonBox } from "../../ui/Skeletons";
import { ScrollTable } from "../../ui/ScrollTable";
import classes from "./calendar.module.css";
import { Legend, wordOf } from "./Legend";
import { Month } from "./Month";
import { periodOf } from "./period";
import { Year } from "./Year";

/** How the runs of a DAG ended, by day of a year or by hour of a month: what always fails at four jumps out. */
export function CalendarPage() {
  const { dagId = "" } = useParams();
  const [search, setSearch] = useSearchParams();
  const period = periodOf(search, now());
  const { data, error, refetch, isPlaceholderData } = useQuery({
    ...calendarQuery({ dagId, ...period.asked }),
    placeholderData: keepPreviousData,
  });
  const { view, at, current, before, after, asked } = period;
  const go = (to: { view?: string; at?: string }) => {
    const next = new URLSearchParams();
    if ((to.view ?? view) === "month") next.set("view", "month");
    if (to.at !== undefined && to.at !== current) next.set("at", to.at);
    setSearch(next, { replace: true, preventScrollReset: true });
  };
  const isYear = view === "year";
  const month = Number(at.slice(5, 7));
  const title = isYear ? at : strings.dag.monthOf(strings.dag.months[month - 1] ?? "", at.slice(0, 4));
  return (
    <>
      <Looks />
      <Group gap="sm" mb="sm">
        <SegmentedControl
          size="xs"
          aria-label={strings.dag.calendarLabel}
          value={view}
          data={[
            { value: "year", label: strings.dag.byYear },
            { value: "month", label: strings.dag.byMonth },
          ]}
          onChange={(value) => {
            // The month that one looks at: today's in this year, January in another.
            const today = wall(now());
            const inYear = String(today.year) === at ? `${at}-${String(today.month).padStart(2, "0")}` : `${at}-01`;
            const next = new URLSearchParams(
              value === "month" ? { view: "month", at: inYear } : { at: at.slice(0, 4) },
            );
            setSearch(next, { replace: true });
          }}
        />
        <Group gap={2} wrap="nowrap">
          <IconButton
            icon="left"
            label={isYear ? strings.dag.previousYear : strings.dag.previousMonth}
            onClick={() => go({ at: before })}
          />
          <h2 className={classes.title}>{title}</h2>
          <IconButton
            icon="right"
            label={isYear ? strings.dag.nextYear : strings.dag.nextMonth}
            onClick={() => go({ at: after })}
          />
        </Group>
        {at !== current && (
          <Button size="compact-xs" variant="default" onClick={() => go({ at: current })}>
            {strings.dag.today}
          </Button>
        )}
        {data !== undefined && !isPlaceholderData && <Sum dagId={dagId} cells={data.cells} period={at} />}
      </Group>
      {data === undefined ? (
        error === null ? (
          <SkeletonBox height={isYear ? 190 : 480} />
        ) : (
          <PanelError message={messageOf(error)} onRetry={() => void refetch()} />
        )
      ) : (
        <div data-old={isPlaceholderData ? "" : undefined} className={classes.body}>
          {isYear ? (
            <Year key={at} dagId={dagId} year={Number(at)} days={byDay(data.cells, asked.zone)} />
          ) : (
            <Month dagId={dagId} month={at} hours={byHour(data.cells, asked.zone)} />
          )}
          <Legend />
          <AsTable cells={isYear ? byDay(data.cells, asked.zone) : byHour(data.cells, asked.zone)} isYear={isYear} />
        </div>
      )}
    </>
  );
}

function Sum({ dagId, cells, period }: { dagId: string; cells: readonly Outcomes[]; period: string }) {
  const sum = cells.reduce(
    (all, cell) => ({
      success: all.success + cell.success,
      failed: all.failed + cell.failed,
      running: all.running + cell.running,
      queued: all.queued + cell.queued,
      planned: all.planned + cell.planned,
    }),
    NOTHING,
  );
  const ended = sum.success + sum.failed;
  if (totalOf(sum) === 0) {
    return (
      <Text size="sm" c="dimmed" role="status">
        {period.length === 4 ? strings.dag.noneInYear : strings.dag.noneInMonth}
      </Text>
    );
  }
  const last = period.length === 4 ? `${period}-12-31` : daysOf(period).at(-1);
  const first = period.length === 4 ? `${period}-01-01` : `${period}-01`;
  return (
    <Text size="sm" role="status">
      {strings.dag.totalRuns(ended + sum.running + sum.queued)}
      {ended > 0 && ` · ${strings.dag.successRate} ${Math.floor((sum.success / ended) * 100)} %`}
      {sum.failed > 0 && (
        <>
          {" · "}
          <Anchor
            component={Link}
            underline="always"
            to={paths.dag(dagId, "runs", { state: "failed", from: first, to: last })}
          >
            {strings.dag.countOf(sum.failed, strings.states.failed)}
          </Anchor>
        </>
      )}
    </Text>
  );
}

/** The same in numbers, for who reads rather than looks. */
function AsTable({ cells, isYear }: { cells: Map<string, Outcomes>; isYear: boolean }) {
  const lines = [...cells].filter(([, of]) => totalOf(of) > 0).toSorted(([a], [b]) => (a < b ? -1 : 1));
  if (lines.length === 0) return null;
  return (
    <details className={classes.details}>
      <summary>{strings.dag.asTable}</summary>
      <ScrollTable
        label={strings.dag.calendarLabel}
        head={[isYear ? strings.dag.day : strings.dag.hour, ...OUTCOMES.map((outcome) => wordOf(outcome))]}
      >
        {lines.map(([key, of]) => (
          <Table.Tr key={key}>
            <Table.Th scope="row">{isYear ? key : `${key.replace("T", " ")}:00`}</Table.Th>
            {OUTCOMES.map((outcome) => (
              <Table.Td key={outcome}>{of[outcome] === 0 ? "" : of[outcome]}</Table.Td>
            ))}
          </Table.Tr>
        ))}
      </ScrollTable>
    </details>
  );
}
