import type { TaskInstance } from "../../api/client";
import type { TaskKey } from "../../api/queries";
import { strings } from "../../lib/strings";

export const keyOf = (task: Pick<TaskInstance, "dag_id" | "dag_run_id" | "task_id" | "map_index">): TaskKey => ({
  dagId: task.dag_id,
  runId: task.dag_run_id,
  taskId: task.task_id,
  mapIndex: task.map_index,
});

/** `parse`, `parse [3] a.png` */
export const taskName = (
  task: Pick<TaskInstance, "task_display_name" | "map_index"> & { rendered_map_index?: string | null },
) =>
  task.map_index < 0
    ? task.task_display_name
    : `${strings.tasks.mapped(task.task_display_name, task.map_index)}${task.rendered_map_index ? ` ${task.rendered_map_index}` : ""}`;
