//! `GET /ui/notifications`: what was told to whom, what is yet to be told, and what could not be.

use axum::{Json, extract::State};
use serde::Serialize;
use serde_json::{Value, json};
use updraft_store::{
    audit,
    outbox::{self, NoticeFilter, NoticeRow, Retried},
    query::filter::Page,
    wake::Signal,
};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    App,
    api::params::{FromQuery, PathParams, Query, QueryParams},
    auth::Principal,
    error::ApiError,
    time::Timestamp,
};

const STATES: &[&str] = &["pending", "running", "delivered", "failed"];
const KINDS: &[&str] = &["email", "http", "slack", "python"];

pub(crate) struct NotificationsQuery {
    filter: NoticeFilter,
    page: Page,
}

impl FromQuery for NotificationsQuery {
    fn read(query: &mut Query) -> Self {
        Self {
            page: query.page(outbox::ORDER_BY, &["-created_at"]),
            filter: NoticeFilter {
                dag_id: query.text("dag_id"),
                run_id: query.text("dag_run_id"),
                task_id: query.text("task_id"),
                state: query.words("state", STATES, &[]),
                kind: query.words("kind", KINDS, &[]),
            },
        }
    }
}

/// One callback or notification.
#[derive(Serialize, ToSchema)]
pub(crate) struct NotificationResponse {
    /// The `Message-ID` or `Idempotency-Key`.
    key: Uuid,
    dag_id: String,
    dag_run_id: String,
    /// Null: the run's own.
    task_id: Option<String>,
    map_index: i32,
    try_number: i32,
    /// `execute`, `success`, `failure`, `retry`, `skipped` or `deadline`.
    event: String,
    /// `email`, `http`, `slack` or `python`.
    kind: String,
    /// To whom, as the file has it: addresses, a host, a channel, a function.
    target: String,
    /// `pending`, `running`, `delivered` or `failed`.
    state: String,
    tries: i32,
    /// When it is tried next.
    next_try: Option<Timestamp>,
    last_error: Option<String>,
    created_at: Timestamp,
    ended_at: Option<Timestamp>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct NotificationCollectionResponse {
    notifications: Vec<NotificationResponse>,
    total_entries: i64,
}

impl From<NoticeRow> for NotificationResponse {
    fn from(row: NoticeRow) -> Self {
        Self {
            key: row.key,
            dag_id: row.dag_id,
            dag_run_id: row.run_id,
            task_id: row.task_id,
            map_index: row.map_index,
            try_number: row.try_number,
            event: row.event,
            target: target(&row.kind, &row.action),
            kind: row.kind,
            next_try: (row.state == "pending").then(|| row.due_at.into()),
            state: row.state,
            tries: row.tries,
            last_error: row.last_error,
            created_at: row.created_at.into(),
            ended_at: row.ended_at.map(Into::into),
        }
    }
}

/// Who is told. Of a URL the host only: the path of a webhook is its secret.
fn target(kind: &str, action: &Value) -> String {
    let text = |name: &str| action[name].as_str().unwrap_or_default();
    match kind {
        "email" => {
            let to = action["to"].as_array().map(Vec::as_slice).unwrap_or_default();
            to.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
        }
        "http" => {
            let url = text("url");
            let host = url.split_once("://").map_or(url, |(_, rest)| rest);
            let host = host.split(['/', '?', '#']).next().unwrap_or_default();
            host.rsplit_once('@').map_or(host, |(_, host)| host).to_owned()
        }
        "slack" => [text("conn_id"), text("channel")].join(" ").trim().to_owned(),
        "python" => text("callable").to_owned(),
        _ => String::new(),
    }
}

/// List callbacks and notifications, the newest first.
#[utoipa::path(get, path = "/ui/notifications", tag = "Updraft", params(QueryParams<NotificationsQuery>),
    responses((status = 200, body = NotificationCollectionResponse)))]
pub(crate) async fn get_notifications(
    State(app): State<App>,
    QueryParams(query): QueryParams<NotificationsQuery>,
) -> Result<Json<NotificationCollectionResponse>, ApiError> {
    let found = outbox::page(&mut *app.connection().await?, &query.filter, &query.page).await?;
    let notifications = found.rows.into_iter().map(Into::into).collect();
    Ok(Json(NotificationCollectionResponse { notifications, total_entries: found.total }))
}

/// Send a notification again that failed: at once, with the same key, and for as long as a new one.
#[utoipa::path(post, path = "/ui/notifications/{key}/retry", tag = "Updraft", params(("key" = String, Path)),
    responses((status = 200, body = NotificationResponse), (status = 404), (status = 409)))]
pub(crate) async fn retry_notification(
    State(app): State<App>,
    principal: Principal,
    PathParams(key): PathParams<String>,
) -> Result<Json<NotificationResponse>, ApiError> {
    let missing = || ApiError::not_found(format!("There is no notification with the key {key}"));
    let uuid: Uuid = key.parse().map_err(|_| missing())?;
    let mut transaction = app.store.begin().await?;
    match outbox::retry(&mut transaction, uuid).await? {
        Retried::Again => {}
        Retried::NotFailed => return Err(ApiError::Conflict("The notification has not failed".to_owned())),
        Retried::NoNotice => return Err(missing()),
    }
    let row = outbox::get(&mut transaction, uuid).await?.ok_or_else(missing)?;
    let entry = audit::Entry {
        event: "retry_notification",
        owner: Some(&principal.name),
        dag_id: Some(&row.dag_id),
        run_id: Some(&row.run_id),
        task_id: row.task_id.as_deref(),
        map_index: row.task_id.is_some().then_some(row.map_index),
        extra: Some(json!({"key": row.key, "kind": row.kind})),
        ..audit::Entry::default()
    };
    audit::write(&mut transaction, &entry).await?;
    app.commit(transaction).await?;
    app.store.wake().ring(Signal::Outbox);
    Ok(Json(row.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_told_is_shown_without_the_secret_of_a_webhook() {
        let table = [
            ("email", json!({"to": ["a@b.org", "c@d.org"]}), "a@b.org, c@d.org"),
            (
                "http",
                json!({"url": "https://user:pass@hooks.example.org:8443/services/T0/SECRET"}),
                "hooks.example.org:8443",
            ),
            ("http", json!({"url": "{{ var.value.hook }}"}), "{{ var.value.hook }}"),
            ("slack", json!({"conn_id": "slack", "channel": "#ops"}), "slack #ops"),
            ("slack", json!({"conn_id": "slack"}), "slack"),
            ("python", json!({"callable": "pkg.told"}), "pkg.told"),
        ];
        for (kind, action, expected) in table {
            assert_eq!(target(kind, &action), expected);
        }
    }
}
