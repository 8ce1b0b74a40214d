//! Questions to people and their answers (Airflow's `hitl_detail`).

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use sqlx::PgConnection;
use updraft_core::triggerer::hitl::{Answer, Question, User};
use uuid::Uuid;

use crate::{StoreError, nodes::Handed};

/// A question as it was asked, and its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    pub question: Question,
    pub answer: Option<Answer>,
}

/// Asks. Called in the transaction that holds the attempt, once per try.
pub async fn ask(connection: &mut PgConnection, attempt: &Handed, question: &Question) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into hitl_detail (dag_run_id, attempt_id, task_id, map_index, subject, body, options, defaults, multiple, params,
                                  assigned_users, deadline)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        attempt.dag_run_id,
        attempt.attempt_id,
        attempt.task_id,
        attempt.map_index,
        question.subject,
        question.body,
        &question.options,
        question.defaults.as_deref(),
        question.multiple,
        Value::Object(question.params.clone()),
        serde_json::to_value(&question.assigned_users)?,
        question.deadline
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What a try asked; `None`: nothing yet. `hitl_detail_pkey` serves it.
pub async fn find(
    connection: &mut PgConnection,
    dag_run_id: i64,
    attempt_id: Uuid,
) -> Result<Option<Asked>, StoreError> {
    let row = sqlx::query!(
        "select subject, body, options, defaults, multiple, params, assigned_users, deadline, responded_at, responded_by,
                chosen_options, params_input
         from hitl_detail where dag_run_id = $1 and attempt_id = $2",
        dag_run_id,
        attempt_id
    )
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let by: Option<User> = row.responded_by.map(serde_json::from_value).transpose()?;
    let answer = row.responded_at.map(|at| Answer {
        chosen_options: row.chosen_options.unwrap_or_default(),
        params_input: object(row.params_input.unwrap_or_default()),
        by,
        at,
    });
    let question = Question {
        subject: row.subject,
        body: row.body,
        options: row.options,
        defaults: row.defaults,
        multiple: row.multiple,
        params: object(row.params),
        assigned_users: serde_json::from_value(row.assigned_users)?,
        deadline: row.deadline,
    };
    Ok(Some(Asked { question, answer }))
}

/// Stores an answer, unless there is one: the first wins. `false`: there was one.
pub async fn answer(
    connection: &mut PgConnection,
    dag_run_id: i64,
    attempt_id: Uuid,
    answer: &Answer,
) -> Result<bool, StoreError> {
    let by = answer.by.as_ref().map(serde_json::to_value).transpose()?;
    let written = sqlx::query!(
        "update hitl_detail set responded_at = $3, responded_by = $4, chosen_options = $5, params_input = $6
         where dag_run_id = $1 and attempt_id = $2 and responded_at is null",
        dag_run_id,
        attempt_id,
        answer.at,
        by,
        &answer.chosen_options,
        Value::Object(answer.params_input.clone())
    )
    .execute(connection)
    .await?;
    Ok(written.rows_affected() == 1)
}

/// Locks an attempt that waits for a person and makes it due, so that the triggerer takes up the answer written beside; returns
/// the time. `None`: it does not wait any more.
pub async fn wake(connection: &mut PgConnection, attempt_id: Uuid) -> Result<Option<DateTime<Utc>>, StoreError> {
    let now = sqlx::query_scalar!(
        r#"update attempt set trigger_at = now() where attempt_id = $1 and waits = 'awaiting_input'
           returning clock_timestamp() as "now!""#,
        attempt_id
    )
    .fetch_optional(connection)
    .await?;
    Ok(now)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
