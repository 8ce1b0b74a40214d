//! `GET …/dagRuns/{dag_run_id}/wait`: a line of JSON for each state of a run until it is over.

use std::{collections::BTreeMap, io, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use futures::stream;
use serde::Serialize;
use serde_json::Value;
use tokio::{sync::watch, time::timeout};
use updraft_core::state::DagRunState;
use updraft_store::{
    StoreError,
    query::dag_runs,
    xcom::{self, Returned},
};

use super::{
    dag_runs::{RunPath, run_not_found},
    params::{FromQuery, PathParams, Query, QueryParams},
};
use crate::{App, error::ApiError, waits::Seen};

/// The least and the most between two lines that say the same, seconds.
const RHYTHM: (f64, f64) = (0.1, 3600.0);

pub(crate) struct WaitQuery {
    /// At least so often there is a line, changed or not.
    interval: Duration,
    /// Tasks whose return values come with the last line.
    result: Vec<String>,
}

impl FromQuery for WaitQuery {
    fn read(query: &mut Query) -> Self {
        let interval = query.positive("interval").clamp(RHYTHM.0, RHYTHM.1);
        Self { interval: Duration::from_secs_f64(interval), result: query.texts("result") }
    }
}

/// One line.
#[derive(Serialize)]
struct Line {
    state: &'static str,
    /// Task → its return value, a list for a mapped task; of those asked for that returned something, once the run is over.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    results: BTreeMap<String, Value>,
}

/// Wait for a run to finish. A line comes at once, at every change of its state, and at least every `interval`; after the one
/// that says its end there is none. A run that is deleted meanwhile ends the answer too.
#[utoipa::path(get, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/wait", tag = "DagRun",
    params(RunPath, QueryParams<WaitQuery>),
    responses((status = 200, body = String, content_type = "application/x-ndjson"), (status = 404)))]
pub(crate) async fn wait_dag_run_until_finished(
    State(app): State<App>,
    PathParams(path): PathParams<RunPath>,
    QueryParams(query): QueryParams<WaitQuery>,
) -> Result<Response, ApiError> {
    let row = dag_runs::get(&mut *app.connection().await?, &path.dag_id, &path.dag_run_id).await?;
    let row = row.ok_or_else(|| run_not_found(&path))?;
    let state = row.state.parse().map_err(ApiError::internal)?;
    let seen = app.waits.follow(row.id, state);
    let waiting = Waiting { app, dag_run_id: row.id, seen, query, is_first: true, is_over: false };
    let lines = stream::unfold(waiting, |mut waiting| async move {
        let line = waiting.next().await?;
        Some((line, waiting))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

struct Waiting {
    app: App,
    dag_run_id: i64,
    seen: watch::Receiver<Seen>,
    query: WaitQuery,
    is_first: bool,
    is_over: bool,
}

impl Waiting {
    /// The next line; `None`: there is none any more.
    async fn next(&mut self) -> Option<Result<Bytes, io::Error>> {
        if self.is_over {
            return None;
        }
        if !std::mem::take(&mut self.is_first) {
            let changed = timeout(self.query.interval, self.seen.changed()).await;
            // The server stops, and nobody tells of changes any more.
            if matches!(changed, Ok(Err(_))) || self.app.shutdown.is_cancelled() {
                return None;
            }
        }
        let state = (*self.seen.borrow_and_update())?;
        self.is_over = state.is_finished();
        let line = self.line(state).await.map_err(|error| {
            self.is_over = true;
            tracing::warn!(dag_run_id = self.dag_run_id, %error, "the results of a run cannot be told to who waits for it");
            io::Error::other(error)
        });
        Some(line)
    }

    async fn line(&self, state: DagRunState) -> Result<Bytes, StoreError> {
        let mut results = BTreeMap::new();
        if self.is_over && !self.query.result.is_empty() {
            results = grouped(xcom::returned(&self.app.store, self.dag_run_id, &self.query.result).await?);
        }
        let mut line = serde_json::to_vec(&Line { state: state.as_str(), results })?;
        line.push(b'\n');
        Ok(line.into())
    }
}

/// Values by task: one that is not mapped has its own, others a list in the order of their instances.
fn grouped(values: Vec<Returned>) -> BTreeMap<String, Value> {
    let mut results: BTreeMap<String, Value> = BTreeMap::new();
    for Returned { task_id, map_index, value } in values {
        if map_index < 0 {
            results.insert(task_id, value);
        } else if let Value::Array(list) = results.entry(task_id).or_insert_with(|| Value::Array(Vec::new())) {
            list.push(value);
        }
    }
    results
}
