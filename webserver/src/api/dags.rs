//! `GET | PATCH /dags`, `GET | PATCH /dags/{dag_id}`, `GET /dagTags`.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;
use serde_json::json;
use sqlx::PgConnection;
use updraft_core::{
    dag::Dag,
    state::DagRunState,
    timetable::{is_periodic, partitioned},
};
use updraft_store::{
    audit,
    query::{
        dags::{self, DagFilter, DagRow, Favorite, TagsMatch},
        filter::{Listing, Page, Pattern},
        seek::Neighbours,
    },
    wake::Signal,
};
use utoipa::ToSchema;

use super::{
    dag_versions::{DagPath, DagVersionResponse, JoinedVersion},
    note,
    params::{Body, FromBody, FromQuery, JsonBody, PathParams, Query, QueryParams, described},
    reparse::FileToken,
    words,
};
use crate::{App, auth::Principal, error::ApiError, time::Timestamp};

pub(crate) struct DagsQuery {
    filter: DagFilter,
    page: Page,
    /// Whether only the caller's favorites, or only the others.
    is_favorite: Option<bool>,
}

/// The run states as their words.
pub(super) fn run_states() -> Vec<&'static str> {
    DagRunState::ALL.iter().map(|state| state.as_str()).collect()
}

impl FromQuery for DagsQuery {
    fn read(query: &mut Query) -> Self {
        Self {
            page: query.page(dags::ORDER_BY, &["dag_id"]),
            is_favorite: query.flag("is_favorite"),
            filter: DagFilter {
                dag_display_name: query.pattern("dag_display_name"),
                has_import_errors: query.flag("has_import_errors"),
                bundle_name: query.text("bundle_name"),
                bundle_version: query.text("bundle_version"),
                last_dag_run_state: query.choice("last_dag_run_state", &run_states()),
                dag_run_state: query.words("dag_run_state", &run_states(), &[]),
                dag_run_start_date: query.times("dag_run_start_date"),
                dag_run_end_date: query.times("dag_run_end_date"),
                has_asset_schedule: query.flag("has_asset_schedule"),
                asset_dependency: query.text("asset_dependency"),
                timetable_type: query.texts("timetable_type").iter().map(|path| class(path).to_owned()).collect(),
                ..common_filter(query)
            },
        }
    }
}

/// `airflow.timetables.simple.NullTimetable` → `NullTimetable`.
fn class(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// The filters that a list of DAGs and a change of many share.
fn common_filter(query: &mut Query) -> DagFilter {
    DagFilter {
        dag_id: query.pattern("dag_id"),
        tags: query.texts("tags"),
        tags_match: match query.literal("tags_match_mode", &["any", "all"]).as_deref() {
            Some("all") => TagsMatch::All,
            _ => TagsMatch::Any,
        },
        owners: query.texts("owners"),
        exclude_stale: query.flag_or("exclude_stale", true),
        paused: query.flag("paused"),
        ..DagFilter::default()
    }
}

/// Which DAGs to change, and which page of them to show.
pub(crate) struct PatchDagsQuery {
    filter: DagFilter,
    page: Page,
    mask: UpdateMask,
}

impl FromQuery for PatchDagsQuery {
    fn read(query: &mut Query) -> Self {
        Self { mask: UpdateMask::read(query), page: query.window(), filter: common_filter(query) }
    }
}

pub(crate) struct TagsQuery {
    name: Pattern,
    page: Page,
}

impl FromQuery for TagsQuery {
    fn read(query: &mut Query) -> Self {
        Self { page: query.page(dags::TAGS_ORDER_BY, &["name"]), name: query.pattern("tag_name") }
    }
}

pub(crate) struct UpdateMask(Option<Vec<String>>);

impl UpdateMask {
    /// Whether `field` may be changed by this request.
    pub(super) fn allows(&self, field: &str) -> bool {
        self.0.as_ref().is_none_or(|mask| mask.iter().any(|name| name == field))
    }

    /// That of an action of a bulk request.
    pub(super) fn of(fields: Option<&[String]>) -> Self {
        Self(fields.map(<[String]>::to_vec))
    }

    /// Refuses fields of a DAG that only its file can change.
    fn check_dag_fields(&self) -> Result<(), ApiError> {
        if self.fields().is_some_and(|fields| fields != ["is_paused"]) {
            return Err(ApiError::BadRequest("Only `is_paused` field can be updated through the REST API".to_owned()));
        }
        Ok(())
    }

    /// The fields named, if any are.
    pub(super) fn fields(&self) -> Option<&[String]> {
        self.0.as_deref()
    }
}

impl FromQuery for UpdateMask {
    fn read(query: &mut Query) -> Self {
        let mask = query.texts("update_mask");
        Self((!mask.is_empty()).then_some(mask))
    }
}

/// What may be changed of a DAG.
pub(crate) struct DAGPatchBody {
    is_paused: bool,
}

described!(DAGPatchBody);

impl FromBody for DAGPatchBody {
    fn read(body: &mut Body) -> Self {
        Self { is_paused: body.required_flag("is_paused") }
    }
}

/// A tag of a DAG.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct DagTagResponse {
    name: String,
    dag_id: String,
    dag_display_name: String,
}

/// A DAG in a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct DAGResponse {
    dag_id: String,
    dag_display_name: String,
    is_paused: bool,
    is_stale: bool,
    last_parsed_time: Option<Timestamp>,
    last_parse_duration: Option<f64>,
    last_expired: Option<Timestamp>,
    bundle_name: Option<String>,
    bundle_version: Option<String>,
    relative_fileloc: Option<String>,
    fileloc: String,
    description: Option<String>,
    timetable_summary: Option<String>,
    timetable_description: Option<String>,
    timetable_partitioned: bool,
    timetable_periodic: bool,
    tags: Vec<DagTagResponse>,
    max_active_tasks: i32,
    max_active_runs: Option<i32>,
    max_consecutive_failed_dag_runs: i32,
    has_task_concurrency_limits: bool,
    has_import_errors: bool,
    next_dagrun_logical_date: Option<Timestamp>,
    next_dagrun_data_interval_start: Option<Timestamp>,
    next_dagrun_data_interval_end: Option<Timestamp>,
    next_dagrun_run_after: Option<Timestamp>,
    #[schema(value_type = Option<Vec<words::DagRunType>>)]
    allowed_run_types: Option<Vec<String>>,
    owners: Vec<String>,
    is_backfillable: bool,
    file_token: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct DAGCollectionResponse {
    dags: Vec<DAGResponse>,
    total_entries: i64,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct DAGTagCollectionResponse {
    tags: Vec<String>,
    total_entries: i64,
}

fn has_task_concurrency_limits(dag: &Dag) -> bool {
    dag.tasks.iter().any(|task| task.max_active_tis_per_dag.is_some() || task.max_active_tis_per_dagrun.is_some())
}

impl DAGResponse {
    /// `dag`: the compiled form of the latest version, if there is one.
    pub(super) fn new(row: DagRow, dag: Option<&Dag>) -> Self {
        let tags = row.tags.iter().map(|name| DagTagResponse {
            name: name.clone(),
            dag_id: row.dag_id.clone(),
            dag_display_name: row.dag_display_name.clone(),
        });
        let periodic = dag.is_some_and(|dag| is_periodic(&dag.schedule));
        let file = FileToken { bundle_name: &row.bundle_name, relative_fileloc: &row.relative_fileloc };
        Self {
            tags: tags.collect(),
            timetable_partitioned: dag.is_some_and(|dag| partitioned(&dag.schedule).is_some()),
            timetable_periodic: periodic,
            is_backfillable: periodic,
            file_token: file.encode(),
            owners: row.owners.split(", ").filter(|owner| !owner.is_empty()).map(str::to_owned).collect(),
            allowed_run_types: dag
                .and_then(|dag| dag.allowed_run_types.as_ref())
                .map(|types| types.iter().map(|kind| kind.as_str().to_owned()).collect()),
            dag_id: row.dag_id,
            dag_display_name: row.dag_display_name,
            is_paused: row.is_paused,
            is_stale: row.is_stale,
            last_parsed_time: Some(row.last_parsed_time.into()),
            last_parse_duration: row.last_parse_duration,
            last_expired: row.last_expired.map(Into::into),
            bundle_name: Some(row.bundle_name),
            bundle_version: row.bundle_version,
            relative_fileloc: Some(row.relative_fileloc),
            fileloc: row.fileloc,
            description: row.description,
            timetable_summary: row.timetable_summary,
            timetable_description: row.timetable_description,
            max_active_tasks: row.max_active_tasks,
            max_active_runs: Some(row.max_active_runs),
            max_consecutive_failed_dag_runs: row.max_consecutive_failed_dag_runs,
            has_task_concurrency_limits: dag.is_some_and(has_task_concurrency_limits),
            has_import_errors: row.has_import_errors,
            next_dagrun_logical_date: row.next_dagrun.map(Into::into),
            next_dagrun_data_interval_start: row.next_dagrun_data_interval_start.map(Into::into),
            next_dagrun_data_interval_end: row.next_dagrun_data_interval_end.map(Into::into),
            next_dagrun_run_after: row.next_dagrun_create_after.map(Into::into),
        }
    }
}

/// The latest version of a listed DAG.
pub(super) fn latest_version(row: &DagRow) -> Option<DagVersionResponse> {
    let version = JoinedVersion {
        dag_id: &row.dag_id,
        dag_display_name: &row.dag_display_name,
        uuid: row.version_uuid,
        version_number: row.version_number,
        created_at: row.version_created_at,
        bundle_name: row.version_bundle_name.as_deref(),
        bundle_version: row.bundle_version.as_deref(),
    };
    version.response()
}

/// List DAGs.
#[utoipa::path(get, path = "/dags", tag = "DAG", params(QueryParams<DagsQuery>),
    responses((status = 200, body = DAGCollectionResponse)))]
pub(crate) async fn get_dags(
    State(app): State<App>,
    principal: Principal,
    QueryParams(query): QueryParams<DagsQuery>,
) -> Result<Json<DAGCollectionResponse>, ApiError> {
    let favorite = query.is_favorite.map(|is_favorite| Favorite { user_name: principal.name, is_favorite });
    let filter = DagFilter { favorite, ..query.filter };
    let mut connection = app.connection().await?;
    let found = dags::page(&mut connection, &filter, &query.page).await?;
    Ok(Json(collection(&app, &mut connection, found).await?))
}

/// Pause or unpause many DAGs.
///
/// All that the filters leave, whatever page of them is shown; without a pattern for the DAG's id none (`~` is all).
#[utoipa::path(patch, path = "/dags", tag = "DAG", params(QueryParams<PatchDagsQuery>), request_body = DAGPatchBody,
    responses((status = 200, body = DAGCollectionResponse), (status = 400)))]
pub(crate) async fn patch_dags(
    State(app): State<App>,
    principal: Principal,
    QueryParams(query): QueryParams<PatchDagsQuery>,
    JsonBody(body): JsonBody<DAGPatchBody>,
) -> Result<Json<DAGCollectionResponse>, ApiError> {
    query.mask.check_dag_fields()?;
    let pattern = &query.filter.dag_id;
    let mut transaction = app.store.begin().await?;
    let mut found = Listing { rows: Vec::new(), total: 0, neighbours: Neighbours::default() };
    let mut changed = 0;
    if pattern.pattern.is_some() || pattern.prefix.is_some() {
        let ids = dags::ids(&mut transaction, &query.filter).await?;
        // Read before the change, after which a filter by `paused` leaves none.
        found = dags::page(&mut transaction, &query.filter, &query.page).await?;
        changed = dags::pause(&mut transaction, &ids, body.is_paused).await?;
        for row in &mut found.rows {
            row.is_paused = body.is_paused;
        }
    }
    let extra = json!({
        "is_paused": body.is_paused, "dag_id_pattern": pattern.pattern, "dag_id_prefix_pattern": pattern.prefix,
        "tags": query.filter.tags, "owners": query.filter.owners, "paused": query.filter.paused,
        "exclude_stale": query.filter.exclude_stale, "changed": changed, "method": "PATCH",
    });
    note(&mut transaction, "patch_dags", &principal, extra).await?;
    let response = collection(&app, &mut transaction, found).await?;
    app.commit(transaction).await?;
    app.store.wake().ring(Signal::Dags);
    Ok(Json(response))
}

/// A page with what the DAGs' latest versions say.
async fn collection(
    app: &App,
    connection: &mut PgConnection,
    found: Listing<DagRow>,
) -> Result<DAGCollectionResponse, ApiError> {
    let versions: Vec<i64> = found.rows.iter().filter_map(|row| row.latest_version_id).collect();
    let compiled = app.dags.get_many(&mut *connection, &versions).await?;
    let response = |row: DagRow| {
        let dag = row.latest_version_id.and_then(|id| compiled.get(&id));
        DAGResponse::new(row, dag.map(Arc::as_ref))
    };
    let dags = found.rows.into_iter().map(response).collect();
    Ok(DAGCollectionResponse { dags, total_entries: found.total })
}

/// Basic information about a DAG.
#[utoipa::path(get, path = "/dags/{dag_id}", tag = "DAG", params(DagPath),
    responses((status = 200, body = DAGResponse), (status = 404)))]
pub(crate) async fn get_dag(
    State(app): State<App>,
    PathParams(path): PathParams<DagPath>,
) -> Result<Json<DAGResponse>, ApiError> {
    let mut connection = app.connection().await?;
    let row = find(&mut connection, &path.dag_id).await?;
    let dag = compiled(&app, &mut connection, &row).await?;
    Ok(Json(DAGResponse::new(row, dag.as_deref())))
}

/// Pause or unpause a DAG.
#[utoipa::path(patch, path = "/dags/{dag_id}", tag = "DAG", params(DagPath, QueryParams<UpdateMask>),
    request_body = DAGPatchBody, responses((status = 200, body = DAGResponse), (status = 400), (status = 404)))]
pub(crate) async fn patch_dag(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<DagPath>,
    QueryParams(mask): QueryParams<UpdateMask>,
    JsonBody(body): JsonBody<DAGPatchBody>,
) -> Result<Json<DAGResponse>, ApiError> {
    mask.check_dag_fields()?;
    let mut transaction = app.store.begin().await?;
    if !dags::set_paused(&mut transaction, &path.dag_id, body.is_paused).await? {
        return Err(missing(&path.dag_id));
    }
    let entry = audit::Entry {
        event: "patch_dag",
        owner: Some(&principal.name),
        dag_id: Some(&path.dag_id),
        extra: Some(json!({"is_paused": body.is_paused, "method": "PATCH"})),
        ..audit::Entry::default()
    };
    audit::write(&mut transaction, &entry).await?;
    let row = find(&mut transaction, &path.dag_id).await?;
    let dag = compiled(&app, &mut transaction, &row).await?;
    app.commit(transaction).await?;
    app.store.wake().ring(Signal::Dags);
    Ok(Json(DAGResponse::new(row, dag.as_deref())))
}

/// The tags in use.
#[utoipa::path(get, path = "/dagTags", tag = "DAG", params(QueryParams<TagsQuery>),
    responses((status = 200, body = DAGTagCollectionResponse)))]
pub(crate) async fn get_dag_tags(
    State(app): State<App>,
    QueryParams(query): QueryParams<TagsQuery>,
) -> Result<Json<DAGTagCollectionResponse>, ApiError> {
    let found = dags::tags(&mut *app.connection().await?, &query.name, &query.page).await?;
    Ok(Json(DAGTagCollectionResponse { tags: found.rows, total_entries: found.total }))
}

/// The DAG of a path, or 404.
pub(crate) async fn find(connection: &mut PgConnection, dag_id: &str) -> Result<DagRow, ApiError> {
    dags::get(connection, dag_id).await?.ok_or_else(|| missing(dag_id))
}

/// The compiled form of a DAG's latest version; `None` when it never compiled.
pub(crate) async fn compiled(
    app: &App,
    connection: &mut PgConnection,
    row: &DagRow,
) -> Result<Option<Arc<Dag>>, ApiError> {
    match row.latest_version_id {
        Some(id) => Ok(Some(app.dags.get(connection, id).await?)),
        None => Ok(None),
    }
}

pub(crate) fn missing(dag_id: &str) -> ApiError {
    ApiError::not_found(format!("Dag with id: {dag_id} was not found"))
}
