//! `POST /dags/{dag_id}/dagRuns`: a run by hand.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, header},
};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use updraft_core::{
    dag::Dag,
    ids::RunId,
    spec,
    state::DagRunType,
    timetable::{DataInterval, check_run_id},
};
use updraft_store::{
    audit,
    query::dag_runs,
    runs::{self, Trigger, TriggerError},
    wake::Signal,
};

use super::{
    dag_runs::DAGRunResponse,
    dag_versions::DagPath,
    params::{Body, FromBody, JsonBody, PathParams, described},
};
use crate::{App, auth::Principal, error::ApiError};

/// Characters of a note, at most.
pub(super) const NOTE_LENGTH: usize = 1000;

/// A run to make. `logical_date` must be there and may be null.
#[derive(Debug)]
pub(crate) struct TriggerDAGRunPostBody {
    dag_run_id: Option<String>,
    data_interval_start: Option<DateTime<Utc>>,
    data_interval_end: Option<DateTime<Utc>>,
    logical_date: Option<DateTime<Utc>>,
    run_after: Option<DateTime<Utc>>,
    conf: Option<Map<String, Value>>,
    note: Option<String>,
    partition_key: Option<String>,
}

described!(TriggerDAGRunPostBody);

impl FromBody for TriggerDAGRunPostBody {
    fn read(body: &mut Body) -> Self {
        body.require_nullable("logical_date");
        let (data_interval_start, data_interval_end) = interval(body);
        Self {
            dag_run_id: body.text("dag_run_id"),
            data_interval_start,
            data_interval_end,
            logical_date: body.time("logical_date", false),
            run_after: body.time("run_after", true),
            conf: body.object("conf"),
            note: body.short_text("note", NOTE_LENGTH),
            partition_key: body.text("partition_key"),
        }
    }
}

/// The data interval of a run to make: both ends or none.
pub(super) fn interval(body: &mut Body) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
    let ends = (body.time("data_interval_start", false), body.time("data_interval_end", false));
    if ends.0.is_some() != ends.1.is_some() {
        body.refuse_whole(
            "Either both data_interval_start and data_interval_end must be provided or both must be None",
        );
    }
    ends
}

/// Trigger a DAG run.
#[utoipa::path(post, path = "/dags/{dag_id}/dagRuns", tag = "DagRun", params(DagPath),
    request_body = TriggerDAGRunPostBody,
    responses((status = 200, body = DAGRunResponse), (status = 400), (status = 404), (status = 409)))]
pub(crate) async fn trigger_dag_run(
    State(app): State<App>,
    principal: Principal,
    PathParams(DagPath { dag_id }): PathParams<DagPath>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<TriggerDAGRunPostBody>,
) -> Result<Json<DAGRunResponse>, ApiError> {
    let mut transaction = app.store.begin().await?;
    let not_found = || ApiError::not_found(format!("DAG with dag_id: '{dag_id}' not found"));
    let held = runs::hold_dag(&mut transaction, &dag_id).await?.ok_or_else(not_found)?;
    if body.partition_key.is_some() {
        let text = format!("DAG with dag_id: '{dag_id}' has no partitioned timetable: partition_key must not be given");
        return Err(ApiError::BadRequest(text));
    }
    if let Some(run_id) = &body.dag_run_id {
        check_run_id(run_id, DagRunType::Manual)
            .map_err(|error| ApiError::BadRequest(format!("The run_id provided '{run_id}' is not valid: {error}")))?;
    }
    let dag = app.dags.get(&mut *transaction, held.version_id).await?;
    let conf = body.conf.unwrap_or_default();
    check_params(&dag, &conf)?;
    let conf = Value::Object(conf);
    let interval = body.data_interval_start.zip(body.data_interval_end);
    let trigger = Trigger {
        dag_id: &dag_id,
        run_id: body.dag_run_id.clone().map(RunId::from),
        logical_date: body.logical_date,
        data_interval: interval.map(|(start, end)| DataInterval { start, end }),
        run_after: body.run_after,
        conf: Some(&conf),
        note: body.note.as_deref().filter(|note| !note.is_empty()),
        triggered_by: if headers.contains_key(header::REFERER) { "ui" } else { "rest_api" },
        user: Some(&principal.name),
    };
    let key = runs::trigger_held(&mut transaction, &held, &dag, &trigger, DagRunType::Manual);
    let key = key.await.map_err(|error| match error {
        TriggerError::DagNotFound(_) => not_found(),
        TriggerError::Refused(refusal) => ApiError::BadRequest(refusal.to_string()),
        TriggerError::Store(error) => error.into(),
    })?;
    let run = dag_runs::get_by_key(&mut transaction, key).await?;
    let run = run.ok_or_else(|| ApiError::internal("a run is gone in the transaction that made it"))?;
    let entry = audit::Entry {
        event: "trigger_dag_run",
        owner: Some(&principal.name),
        dag_id: Some(&dag_id),
        run_id: Some(&run.run_id),
        logical_date: run.logical_date,
        // Keys only: a conf may carry secrets.
        extra: Some(
            json!({"dag_run_id": body.dag_run_id, "conf": conf.as_object().map(|conf| conf.keys().collect::<Vec<_>>()), "note": body.note}),
        ),
        ..audit::Entry::default()
    };
    audit::write(&mut transaction, &entry).await?;
    app.commit(transaction).await?;
    app.store.wake().ring(Signal::Dags);
    app.store.wake().changed(key);
    Ok(Json(run.into()))
}

/// The DAG's params with the conf over them must fit their schemas. Keys that are no param are accepted.
pub(super) fn check_params(dag: &Dag, conf: &Map<String, Value>) -> Result<(), ApiError> {
    spec::check_params(dag, conf).map_err(ApiError::BadRequest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dag() -> Dag {
        let mut dag = Dag::new("d");
        dag.params.insert("count".to_owned(), json!(3));
        dag.param_schemas.insert("count".to_owned(), json!({"type": "integer", "minimum": 1}));
        dag
    }

    #[test]
    fn a_conf_must_fit_the_params_schemas() {
        let conf = |value: Value| value.as_object().cloned().unwrap_or_default();
        check_params(&dag(), &conf(json!({}))).unwrap();
        check_params(&dag(), &conf(json!({"count": 1, "other": "x"}))).unwrap();
        match check_params(&dag(), &conf(json!({"count": 0}))) {
            Err(ApiError::BadRequest(text)) => {
                assert_eq!(text, "Invalid input for param count: 0 is less than the minimum of 1");
            }
            other => panic!("{other:?}"),
        }
    }
}
