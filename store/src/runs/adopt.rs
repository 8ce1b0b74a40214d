//! A folder's runs follow the latest DAG version (semantics §14): fix the file, clear, and the fixed task runs.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use updraft_core::dag::Dag;

use super::instances::insert_missing;
use crate::{StoreError, plan::RunRow};

/// Brings a locked run to another version of its DAG: instances of new tasks are added, unfinished ones of tasks that are gone
/// become `removed` and their attempts are fenced. The caller loads the run afterwards and writes `dag_version_id` with its plan.
pub async fn adopt(
    connection: &mut PgConnection,
    row: &RunRow,
    dag: &Dag,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let tasks: Vec<String> = dag.tasks.iter().map(|task| task.task_id.to_string()).collect();
    // The indexes of a task that is mapped no more are gone like tasks.
    let unmapped: Vec<String> = (0..dag.tasks.len())
        .filter(|&task| dag.mapping(task).is_none())
        .map(|task| dag.tasks[task].task_id.to_string())
        .collect();
    let deadline = updraft_core::plan::stop_deadline(now);
    let grace_ms = i64::try_from(updraft_core::plan::CANCEL_GRACE.as_millis()).expect("seconds fit");
    sqlx::query!(
        "with gone as (
             delete from attempt
             where dag_run_id = $1 and kind = 'task' and (task_id <> all($2) or (map_index >= 0 and task_id = any($6)))
             returning attempt_id, dag_run_id, task_id, map_index, executor_id, handed_at
         ), cancels as (
             insert into attempt_cancel (attempt_id, dag_run_id, task_id, map_index, executor_id, reason, grace_ms, deadline)
             select attempt_id, dag_run_id, task_id, map_index, executor_id, 'the task was removed from the DAG', $3, $4
             from gone where handed_at is not null on conflict do nothing
         )
         update task_instance set state = 'removed', end_date = $5, updated_at = $5
         where dag_run_id = $1 and (task_id <> all($2) or (map_index >= 0 and task_id = any($6)))
           and state not in ('success', 'skipped', 'failed', 'upstream_failed', 'removed')",
        row.run.id,
        &tasks,
        grace_ms,
        deadline,
        now,
        &unmapped
    )
    .execute(&mut *connection)
    .await?;
    // A task that came back is undecided again. An index that its task outgrew is not: the task is there, the element is not.
    sqlx::query!(
        "update task_instance t set state = 'none', start_date = null, end_date = null, updated_at = $3
         where t.dag_run_id = $1 and t.state = 'removed' and t.task_id = any($2)
           and (t.map_index = -1
                or (t.task_id <> all($4) and not exists (
                    select 1 from task_instance o
                    where o.dag_run_id = $1 and o.task_id = t.task_id and o.state <> 'removed')))",
        row.run.id,
        &tasks,
        now,
        &unmapped
    )
    .execute(&mut *connection)
    .await?;
    insert_missing(connection, row.run.id, dag, row.run.logical_date, row.run.run_type).await
}
