import { Anchor, Button, Group, Table, Text } from "@mantine/core";
import { Link } from "react-router";

import type { TaskInstance } from "../../api/client";
import { TASKS_PER_PAGE } from "../../api/queries";
import { isWaiting } from "../../lib/states";
import { strings } from "../../lib/strings";
import { paths } from "../../paths";
import { Pager } from "../../ui/Pager";
import { ScrollTable } from "../../ui/ScrollTable";
import { StateChip } from "../../ui/StateMark";
import { Elapsed, Time } from "../../ui/Time";
import { Why } from "./Why";

/** The reasons of so many waiting tasks are asked for at once; the others have a button. */
const REASONS_SHOWN = 20;

export const taskName = (task: TaskInstance) =>
  task.map_index < 0
    ? task.task_display_name
    : strings.tasks.mapped(task.task_display_name, task.map_index) +
      (task.rendered_map_index ? ` ${task.rendered_map_index}` : "");

interface Props {
  tasks: TaskInstance[];
  total: number;
  page: number;
  onClear: (task: TaskInstance) => void;
}

export function TasksTable({ tasks, total, page, onClear }: Props) {
  if (tasks.length === 0) return <Text>{strings.tasks.empty}</Text>;
  const waiting = tasks.filter((task) => isWaiting(task.state)).slice(0, REASONS_SHOWN);
  const asked = new Set(waiting.map((task) => `${task.task_id} ${task.map_index}`));
  return (
    <>
      <ScrollTable
        label={strings.tasks.title}
        head={[
          strings.tasks.task,
          strings.runs.state,
          strings.tasks.try,
          strings.tasks.host,
          strings.runs.started,
          strings.runs.duration,
          strings.dags.actions,
        ]}
      >
        {tasks.map((task) => {
          const key = `${task.task_id} ${task.map_index}`;
          return <Row key={key} task={task} askNow={asked.has(key)} onClear={onClear} />;
        })}
      </ScrollTable>
      <Pager page={page} size={TASKS_PER_PAGE} total={total} />
    </>
  );
}

function Row({ task, askNow, onClear }: { task: TaskInstance; askNow: boolean; onClear: Props["onClear"] }) {
  const name = taskName(task);
  const address = { dagId: task.dag_id, runId: task.dag_run_id, taskId: task.task_id, mapIndex: task.map_index };
  return (
    <Table.Tr>
      <Table.Td maw={320} style={{ overflowWrap: "anywhere" }}>
        {name}
        {task.operator_name !== null && (
          <Text size="xs" c="dimmed">
            {task.operator_name}
          </Text>
        )}
      </Table.Td>
      <Table.Td maw={360}>
        <StateChip state={task.state} />
        {isWaiting(task.state) && <Why task={address} name={name} state={task.state} askNow={askNow} />}
        {task.note !== null && <Text size="xs">{task.note}</Text>}
      </Table.Td>
      <Table.Td>
        {task.try_number > 0 ? strings.tasks.tryOf(task.try_number, task.max_tries + 1) : strings.app.none}
      </Table.Td>
      <Table.Td>{task.hostname || strings.app.none}</Table.Td>
      <Table.Td>
        <Time at={task.start_date} />
      </Table.Td>
      <Table.Td>
        <Elapsed {...task} />
      </Table.Td>
      <Table.Td>
        <Group gap="xs" wrap="nowrap">
          {task.try_number > 0 && (
            <Anchor component={Link} to={paths.log(address, task.try_number)} aria-label={strings.tasks.logOf(name)}>
              {strings.tasks.log}
            </Anchor>
          )}
          <Button
            size="compact-xs"
            variant="default"
            aria-label={strings.tasks.clearOf(name)}
            onClick={() => onClear(task)}
          >
            {strings.tasks.clear}
          </Button>
        </Group>
      </Table.Td>
    </Table.Tr>
  );
}
