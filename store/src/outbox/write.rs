//! Putting notices into the outbox.

use serde::Serialize;
use sqlx::PgConnection;
use updraft_core::{
    dag::CallbackAction,
    notify::{Facts, Notice, Subject},
};

use crate::StoreError;

#[derive(Serialize)]
struct Json<'a> {
    dag_run_id: i64,
    task_id: &'a str,
    map_index: i32,
    /// Of a run: null, its clear_number is read.
    try_number: Option<i32>,
    event: &'static str,
    rule: usize,
    action: &'a CallbackAction,
    facts: &'a Facts,
}

/// A notice of a run.
pub(crate) type Row = (i64, Notice);

/// Writes the notices in the caller's transaction; what was told already is left alone. The caller rings
/// [`Signal::Outbox`](crate::wake::Signal::Outbox) after the commit when this says that there is something new.
///
/// Called by every plan that has any, under the runs' locks and after their rows were written; `outbox_event_key` serves it.
pub(crate) async fn add(connection: &mut PgConnection, notices: &[Row]) -> Result<bool, StoreError> {
    if notices.is_empty() {
        return Ok(false);
    }
    let rows: Vec<Json<'_>> = notices
        .iter()
        .map(|(dag_run_id, notice)| {
            let (task_id, map_index, try_number) = match &notice.subject {
                Subject::Instance { task_id, map_index, try_number } => {
                    (task_id.as_str(), *map_index, Some(*try_number))
                }
                Subject::Run => ("", -1, None),
            };
            Json {
                dag_run_id: *dag_run_id,
                task_id,
                map_index,
                try_number,
                event: notice.facts.cause.as_str(),
                rule: notice.rule,
                action: &notice.action,
                facts: &notice.facts,
            }
        })
        .collect();
    let written = sqlx::query!(
        "insert into outbox (dag_run_id, task_id, map_index, try_number, event, rule, action, facts)
         select n.dag_run_id, n.task_id, n.map_index, coalesce(n.try_number, r.clear_number), n.event, n.rule, n.action, n.facts
         from json_to_recordset($1::text::json) as n(
             dag_run_id bigint, task_id text, map_index integer, try_number integer, event text, rule integer, action jsonb,
             facts jsonb)
         join dag_run r on r.id = n.dag_run_id
         on conflict on constraint outbox_event_key do nothing",
        serde_json::to_string(&rows)?
    )
    .execute(connection)
    .await?;
    Ok(written.rows_affected() > 0)
}
