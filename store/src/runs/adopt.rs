//! A folder's runs follow the latest DAG version (semantics §14): fix the file, clear, and the fixed task runs.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use updraft_core::dag::{Dag, Task};

use super::instances::insert_missing;
use crate::{
    StoreError,
    plan::{RunRow, operator_name},
};

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
         update task_instance
         set state = 'removed', end_date = $5, next_retry_at = null, stopping_attempt = null,
             stop_deadline = null, updated_at = $5, dag_version_id = coalesce(dag_version_id, $7)
         where dag_run_id = $1 and (task_id <> all($2) or (map_index >= 0 and task_id = any($6)))
           and state not in ('success', 'skipped', 'failed', 'upstream_failed', 'removed')",
        row.run.id,
        &tasks,
        grace_ms,
        deadline,
        now,
        &unmapped,
        row.dag_version_id
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
    show_tasks(&mut *connection, row.run.id, dag).await?;
    insert_missing(connection, row.run.id, dag, row.run.logical_date, row.run.run_type).await
}

/// What undecided instances show of their tasks. The others show what their try began with.
async fn show_tasks(connection: &mut PgConnection, dag_run_id: i64, dag: &Dag) -> Result<(), StoreError> {
    let column = |of: fn(&Task) -> &str| -> Vec<&str> { dag.tasks.iter().map(of).collect() };
    let slots: Vec<i32> = dag.tasks.iter().map(|task| i32::try_from(task.pool_slots).unwrap_or(i32::MAX)).collect();
    let weights: Vec<i32> = (0..dag.tasks.len()).map(|task| dag.effective_priority(task)).collect();
    sqlx::query!(
        "update task_instance t
         set operator = n.operator, pool = n.pool, pool_slots = n.pool_slots, queue = n.queue,
             priority_weight = n.priority_weight, dag_version_id = null
         from unnest($2::text[], $3::text[], $4::text[], $5::integer[], $6::text[], $7::integer[])
              as n(task_id, operator, pool, pool_slots, queue, priority_weight)
         where t.dag_run_id = $1 and t.task_id = n.task_id
           and t.state = 'none'
           and (t.operator, t.pool, t.pool_slots, t.queue, t.priority_weight, t.dag_version_id)
               is distinct from (n.operator, n.pool, n.pool_slots, n.queue, n.priority_weight, null)",
        dag_run_id,
        &column(|task| task.task_id.as_str()) as &[&str],
        &column(operator_name) as &[&str],
        &column(|task| &task.pool) as &[&str],
        &slots,
        &column(|task| &task.queue) as &[&str],
        &weights
    )
    .execute(connection)
    .await?;
    Ok(())
}
