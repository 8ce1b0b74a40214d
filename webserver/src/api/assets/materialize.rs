//! `POST /assets/{asset_id}/materialize`: a run of the DAG that produces an asset.

use std::collections::BTreeSet;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, header},
};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use updraft_core::{
    ids::RunId,
    state::DagRunType,
    timetable::{DataInterval, check_run_id},
};
use updraft_store::{
    audit,
    query::{assets, dag_runs, dags},
    runs::{self, Trigger, TriggerError},
    wake::Signal,
};

use super::{AssetPath, path_not_found};
use crate::{
    App,
    api::{
        dag_runs::DAGRunResponse,
        dags::compiled,
        params::{Body, FromBody, JsonBody, PathParams, described},
        trigger::{NOTE_LENGTH, check_params, interval},
    },
    auth::Principal,
    error::ApiError,
};

/// The run to make; every field may be absent, and the body too.
#[derive(Default)]
pub(crate) struct MaterializeAssetBody {
    dag_run_id: Option<String>,
    data_interval_start: Option<DateTime<Utc>>,
    data_interval_end: Option<DateTime<Utc>>,
    logical_date: Option<DateTime<Utc>>,
    run_after: Option<DateTime<Utc>>,
    conf: Option<Map<String, Value>>,
    note: Option<String>,
    partition_key: Option<String>,
}

described!(MaterializeAssetBody);

impl FromBody for MaterializeAssetBody {
    fn read(body: &mut Body) -> Self {
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

/// Run the DAG that produces an asset.
#[utoipa::path(post, path = "/assets/{asset_id}/materialize", tag = "Asset", params(AssetPath),
    request_body = Option<MaterializeAssetBody>,
    responses((status = 200, body = DAGRunResponse), (status = 400), (status = 404), (status = 409)))]
pub(crate) async fn materialize_asset(
    State(app): State<App>,
    principal: Principal,
    PathParams(AssetPath { asset_id }): PathParams<AssetPath>,
    headers: HeaderMap,
    body: Option<JsonBody<MaterializeAssetBody>>,
) -> Result<Json<DAGRunResponse>, ApiError> {
    let body = body.map(|JsonBody(body)| body).unwrap_or_default();
    let mut transaction = app.store.begin().await?;
    let asset = assets::get(&mut transaction, asset_id).await?.ok_or_else(|| path_not_found(asset_id))?;
    let producers: BTreeSet<&str> = asset.producing_tasks.iter().map(|task| task.dag_id.as_str()).collect();
    let mut producers = producers.into_iter();
    let no_producer = || ApiError::not_found(format!("No DAG materializes asset with ID: {asset_id}"));
    let dag_id = producers.next().ok_or_else(no_producer)?;
    if producers.next().is_some() {
        return Err(ApiError::Conflict(format!("More than one DAG materializes asset with ID: {asset_id}")));
    }
    let row = dags::get(&mut transaction, dag_id).await?.filter(|row| !row.is_stale).ok_or_else(no_producer)?;
    if body.partition_key.is_some() {
        let text = format!("DAG with dag_id: '{dag_id}' has no partitioned timetable: partition_key must not be given");
        return Err(ApiError::BadRequest(text));
    }
    if let Some(run_id) = &body.dag_run_id {
        check_run_id(run_id, DagRunType::AssetMaterialization)
            .map_err(|error| ApiError::BadRequest(format!("The run_id provided '{run_id}' is not valid: {error}")))?;
    }
    let dag = compiled(&app, &mut transaction, &row).await?.ok_or_else(no_producer)?;
    let conf = body.conf.unwrap_or_default();
    check_params(&dag, &conf)?;
    let keys: Vec<String> = conf.keys().cloned().collect();
    let conf = Value::Object(conf);
    let interval = body.data_interval_start.zip(body.data_interval_end);
    let trigger = Trigger {
        dag_id,
        run_id: body.dag_run_id.clone().map(RunId::from),
        logical_date: body.logical_date,
        data_interval: interval.map(|(start, end)| DataInterval { start, end }),
        run_after: body.run_after,
        conf: Some(&conf),
        note: body.note.as_deref().filter(|note| !note.is_empty()),
        triggered_by: if headers.contains_key(header::REFERER) { "ui" } else { "rest_api" },
        user: Some(&principal.name),
    };
    let kind = DagRunType::AssetMaterialization;
    let key = runs::trigger_as(&mut transaction, &app.dags, &trigger, kind).await.map_err(|error| match error {
        TriggerError::DagNotFound(_) => no_producer(),
        TriggerError::Refused(refusal) => ApiError::BadRequest(refusal.to_string()),
        TriggerError::Store(error) => error.into(),
    })?;
    let run = dag_runs::get_by_key(&mut transaction, key).await?;
    let run = run.ok_or_else(|| ApiError::internal("a run is gone in the transaction that made it"))?;
    let entry = audit::Entry {
        event: "materialize_asset",
        owner: Some(&principal.name),
        dag_id: Some(dag_id),
        run_id: Some(&run.run_id),
        logical_date: run.logical_date,
        // Keys only: a conf may carry secrets.
        extra: Some(json!({"asset_id": asset_id, "dag_run_id": body.dag_run_id, "conf": keys, "note": body.note})),
        ..audit::Entry::default()
    };
    audit::write(&mut transaction, &entry).await?;
    app.commit(transaction).await?;
    app.store.wake().ring(Signal::Dags);
    app.store.wake().changed(key);
    Ok(Json(run.into()))
}
