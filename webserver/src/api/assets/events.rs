//! `GET | POST /assets/events`, and the events a run took.

use axum::{Json, extract::State};
use serde::Serialize;
use serde_json::{Map, Value, json};
use updraft_store::{
    assets::{self as writes, NewEvent},
    audit, dags,
    query::{
        assets::{self, AssetEventRow, CreatedRun, EventFilter},
        dag_runs,
        filter::Page,
    },
    wake::Signal,
};
use utoipa::ToSchema;

use crate::{
    App,
    api::{
        dag_runs::{RunPath, run_not_found},
        params::{Body, FromBody, FromQuery, JsonBody, PathParams, Query, QueryParams, described},
    },
    auth::Principal,
    error::ApiError,
    time::Timestamp,
};

/// Characters of a partition key, at most.
const PARTITION_KEY_LENGTH: usize = 250;

pub(crate) struct EventsQuery {
    filter: EventFilter,
    page: Page,
}

impl FromQuery for EventsQuery {
    fn read(query: &mut Query) -> Self {
        Self {
            page: query.page(assets::EVENT_ORDER_BY, &["timestamp"]),
            filter: EventFilter {
                asset_id: query.int("asset_id"),
                source_dag_id: query.text("source_dag_id"),
                source_task_id: query.text("source_task_id"),
                source_run_id: query.text("source_run_id"),
                source_map_index: query.small_int("source_map_index"),
                name: query.pattern("name"),
                timestamp: query.times("timestamp"),
                taken_by: None,
            },
        }
    }
}

/// Who may hear an event. There are no teams: only the default, everybody, is accepted.
pub(crate) struct AssetEventAccessControl {
    consumer_teams: Vec<String>,
    allow_global: bool,
}

impl FromBody for AssetEventAccessControl {
    fn read(body: &mut Body) -> Self {
        Self { consumer_teams: body.texts("consumer_teams"), allow_global: body.flag("allow_global", true) }
    }
}

impl AssetEventAccessControl {
    /// Whether it is another one than the default.
    fn restricts(&self) -> bool {
        !self.consumer_teams.is_empty() || !self.allow_global
    }
}

/// An event from outside.
pub(crate) struct CreateAssetEventsBody {
    asset_id: i64,
    partition_key: Option<String>,
    extra: Map<String, Value>,
    access_control: Option<AssetEventAccessControl>,
}

described!(CreateAssetEventsBody);

impl FromBody for CreateAssetEventsBody {
    fn read(body: &mut Body) -> Self {
        Self {
            asset_id: body.required_int("asset_id"),
            partition_key: body
                .matching_text("partition_key", PARTITION_KEY_LENGTH, r"\S", |key| !key.trim().is_empty()),
            extra: body.object_or_empty("extra"),
            access_control: body.inner("access_control", AssetEventAccessControl::read),
        }
    }
}

/// A run that took an event.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct DagRunAssetReference {
    run_id: String,
    dag_id: String,
    logical_date: Option<Timestamp>,
    /// When it was queued, as long as it has not started.
    start_date: Timestamp,
    end_date: Option<Timestamp>,
    state: String,
    data_interval_start: Option<Timestamp>,
    data_interval_end: Option<Timestamp>,
    partition_key: Option<String>,
    /// Of the events that the run took this is the newest.
    triggering: bool,
}

impl From<CreatedRun> for DagRunAssetReference {
    fn from(row: CreatedRun) -> Self {
        Self {
            run_id: row.run_id,
            dag_id: row.dag_id,
            logical_date: row.logical_date.map(Into::into),
            start_date: row.start_date.into(),
            end_date: row.end_date.map(Into::into),
            state: row.state,
            data_interval_start: row.data_interval_start.map(Into::into),
            data_interval_end: row.data_interval_end.map(Into::into),
            partition_key: None,
            triggering: row.triggering,
        }
    }
}

/// Something that happened to an asset, and the runs that took it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct AssetEventResponse {
    id: i64,
    asset_id: i64,
    uri: Option<String>,
    name: Option<String>,
    group: Option<String>,
    #[schema(value_type = Option<Object>)]
    extra: Option<Value>,
    source_task_id: Option<String>,
    source_dag_id: Option<String>,
    source_run_id: Option<String>,
    source_map_index: i32,
    created_dagruns: Vec<DagRunAssetReference>,
    timestamp: Timestamp,
    partition_key: Option<String>,
}

impl From<AssetEventRow> for AssetEventResponse {
    fn from(row: AssetEventRow) -> Self {
        Self {
            id: row.id,
            asset_id: row.asset_id,
            uri: row.uri,
            name: row.name,
            group: row.group,
            extra: Some(row.extra),
            source_task_id: row.source_task_id,
            source_dag_id: row.source_dag_id,
            source_run_id: row.source_run_id,
            source_map_index: row.source_map_index,
            created_dagruns: row.created_dagruns.into_iter().map(Into::into).collect(),
            timestamp: row.timestamp.into(),
            partition_key: row.partition_key,
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct AssetEventCollectionResponse {
    asset_events: Vec<AssetEventResponse>,
    total_entries: i64,
}

/// List asset events.
#[utoipa::path(get, path = "/assets/events", tag = "Asset", params(QueryParams<EventsQuery>),
    responses((status = 200, body = AssetEventCollectionResponse)))]
pub(crate) async fn get_asset_events(
    State(app): State<App>,
    QueryParams(query): QueryParams<EventsQuery>,
) -> Result<Json<AssetEventCollectionResponse>, ApiError> {
    let found = assets::events(&mut *app.connection().await?, &query.filter, &query.page).await?;
    let asset_events = found.rows.into_iter().map(Into::into).collect();
    Ok(Json(AssetEventCollectionResponse { asset_events, total_entries: found.total }))
}

/// Tell of an event. Its `extra` says that it came from here.
#[utoipa::path(post, path = "/assets/events", tag = "Asset", request_body = CreateAssetEventsBody,
    responses((status = 200, body = AssetEventResponse), (status = 400), (status = 404)))]
pub(crate) async fn create_asset_event(
    State(app): State<App>,
    principal: Principal,
    JsonBody(body): JsonBody<CreateAssetEventsBody>,
) -> Result<Json<AssetEventResponse>, ApiError> {
    if body.access_control.as_ref().is_some_and(AssetEventAccessControl::restricts) {
        let text = "access_control cannot restrict who hears an event: there are no teams";
        return Err(ApiError::BadRequest(text.to_owned()));
    }
    let missing = || ApiError::not_found(format!("Asset with ID: `{}` was not found", body.asset_id));
    let mut transaction = app.store.begin().await?;
    let asset = assets::get(&mut transaction, body.asset_id).await?.ok_or_else(missing)?;
    let mut extra = body.extra.clone();
    let keys: Vec<String> = extra.keys().cloned().collect();
    extra.insert("from_rest_api".to_owned(), true.into());
    let event = NewEvent {
        name: &asset.name,
        uri: &asset.uri,
        extra,
        aliases: Vec::new(),
        partition_key: body.partition_key.as_deref(),
        source: None,
    };
    let now = dags::now(&mut transaction).await?;
    let ids = writes::emit(&mut transaction, now, &[event]).await?;
    // An asset that no DAG names any more has no events.
    let id = *ids.first().ok_or_else(missing)?;
    let row = assets::event(&mut transaction, id).await?;
    let row = row.ok_or_else(|| ApiError::internal("an event is gone in the transaction that made it"))?;
    let entry = audit::Entry {
        event: "create_asset_event",
        owner: Some(&principal.name),
        // Keys only: an extra may carry secrets.
        extra: Some(json!({"asset_id": body.asset_id, "extra": keys, "partition_key": body.partition_key})),
        ..audit::Entry::default()
    };
    audit::write(&mut transaction, &entry).await?;
    app.commit(transaction).await?;
    app.store.wake().ring(Signal::Dags);
    Ok(Json(row.into()))
}

/// The events that a run took; none for a run that assets did not make.
#[utoipa::path(get, path = "/dags/{dag_id}/dagRuns/{dag_run_id}/upstreamAssetEvents", tag = "DagRun", params(RunPath),
    responses((status = 200, body = AssetEventCollectionResponse), (status = 404)))]
pub(crate) async fn get_upstream_asset_events(
    State(app): State<App>,
    PathParams(path): PathParams<RunPath>,
) -> Result<Json<AssetEventCollectionResponse>, ApiError> {
    let mut connection = app.connection().await?;
    let run = dag_runs::get(&mut connection, &path.dag_id, &path.dag_run_id).await?;
    let run = run.ok_or_else(|| run_not_found(&path))?;
    let filter = EventFilter { taken_by: Some(run.id), ..EventFilter::default() };
    let page = Page { limit: i64::MAX, ..Page::default() };
    let found = assets::events(&mut connection, &filter, &page).await?;
    let asset_events = found.rows.into_iter().map(Into::into).collect();
    Ok(Json(AssetEventCollectionResponse { asset_events, total_entries: found.total }))
}
