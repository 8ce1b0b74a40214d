import { Button, Table } from "@mantine/core";
import { useSuspenseInfiniteQuery } from "@tanstack/react-query";
import { Link } from "react-router";

import { runEventsQuery } from "../../api/queries/task";
import { strings } from "../../lib/strings";
import { paths } from "../../paths";
import { EmptyState } from "../../ui/EmptyState";
import { ScrollTable } from "../../ui/ScrollTable";
import { Time } from "../../ui/Time";
import classes from "./task.module.css";

interface Props {
  dagId: string;
  runId: string;
  /** Null: of the whole run. */
  taskId: string | null;
  /** Of one instance, and what was done to all of them. */
  mapIndex?: number;
}

/** What people and the scheduler did, newest first. */
export function EventsTab({ dagId, runId, taskId, mapIndex }: Props) {
  const { data, hasNextPage, fetchNextPage, isFetchingNextPage } = useSuspenseInfiniteQuery(
    runEventsQuery(dagId, runId, taskId),
  );
  const all = data.pages.flatMap((page) => page.event_logs);
  const events = all.filter(
    (event) =>
      mapIndex === undefined ||
      mapIndex < 0 ||
      event.map_index == null ||
      event.map_index < 0 ||
      event.map_index === mapIndex,
  );
  if (events.length === 0) return <EmptyState text={strings.tasks.noEvents} />;
  const words = strings.tasks;
  return (
    <>
      <ScrollTable
        label={words.tab.events}
        head={[words.when, words.event, ...(taskId === null ? [words.task] : []), words.who, words.details]}
      >
        {events.map((event) => (
          <Table.Tr key={event.event_log_id}>
            <Table.Td style={{ whiteSpace: "nowrap" }}>
              <Time at={event.when} />
            </Table.Td>
            <Table.Td>
              <code>{event.event}</code>
            </Table.Td>
            {taskId === null && (
              <Table.Td>
                {event.task_id == null ? (
                  strings.app.none
                ) : (
                  <Link to={paths.task({ dagId, runId, taskId: event.task_id, mapIndex: event.map_index ?? -1 })}>
                    {event.task_id}
                    {event.map_index != null && event.map_index >= 0 && ` [${event.map_index}]`}
                  </Link>
                )}
              </Table.Td>
            )}
            <Table.Td>{event.owner ?? strings.app.none}</Table.Td>
            <Table.Td>
              <span className={classes.extra}>{detailsOf(event.extra)}</span>
            </Table.Td>
          </Table.Tr>
        ))}
      </ScrollTable>
      {hasNextPage && (
        <Button
          mt="sm"
          variant="default"
          size="compact-sm"
          loading={isFetchingNextPage}
          onClick={() => void fetchNextPage()}
        >
          {words.olderEvents}
        </Button>
      )}
    </>
  );
}

/** `only_failed: true · cleared: 3`: what was said, without what was not. */
function detailsOf(extra: string | null): string {
  if (extra === null) return "";
  try {
    const said = JSON.parse(extra) as unknown;
    if (said === null || typeof said !== "object") return String(said);
    return Object.entries(said)
      .filter(([key, value]) => value !== null && value !== false && key !== "method")
      .map(([key, value]) => `${key}: ${typeof value === "string" ? value : JSON.stringify(value)}`)
      .join(" · ");
  } catch {
    return extra;
  }
}
