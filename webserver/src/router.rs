//! The table of contents: every route, and what it asks of the caller.

use axum::{
    Json, Router,
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use serde_json::json;
use utoipa::openapi::{
    InfoBuilder, OpenApi, OpenApiBuilder, SecurityRequirement,
    security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    api::{
        assets::{events, list, materialize, queue},
        backfills, change_runs, clear, connections, dag_details, dag_runs, dag_sources, dag_stats, dag_versions, dags,
        dependencies, event_logs, hitl, import_errors, jobs, lists, logs, mark, monitor, pools, task_instances, tasks,
        tries, trigger, variables, version, xcoms,
    },
    auth::login,
    executor_api, layers, measure,
    permission::{
        Action, Kind,
        Permission::{self, Public},
        allow, allow_unlisted,
    },
    ui_api::{executors, log_bytes, notifications, tries as ui_tries, why},
    ui_assets,
};

const fn read(kind: Kind) -> Permission {
    Permission::read(kind)
}

const fn write(kind: Kind) -> Permission {
    Permission::write(kind)
}

fn unlisted(app: &App, methods: MethodRouter<App>) -> MethodRouter<App> {
    allow_unlisted(app, Action::Write, Kind::DagRun, methods)
}

/// Everything this process answers.
pub fn router(app: &App) -> Router {
    let (described, document) = described(app).split_for_parts();
    let document = Json(plain_paths(document));
    let described = described.route("/openapi.json", axum::routing::get(async move || document.clone()));
    let router = layers::bounded(described, &app.config)
        .with_state(app.clone())
        .method_not_allowed_fallback(method_not_allowed)
        .nest("/executor/v1", executor_api::router(app.executors.clone()))
        .nest("/api/v2", Router::new().fallback(no_such_route))
        .fallback_service(ui_assets::router());
    let metrics = app.config.metrics.clone().map(measure::router);
    layers::wrap(router.merge(metrics.unwrap_or_default()))
}

/// The OpenAPI document of [`router`].
pub fn open_api(app: &App) -> OpenApi {
    plain_paths(described(app).split_for_parts().1)
}

/// A parameter that may contain slashes is `{*name}` to the router and `{name}` to readers of the document.
fn plain_paths(mut document: OpenApi) -> OpenApi {
    let paths = std::mem::take(&mut document.paths.paths);
    document.paths.paths = paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    document
}

fn described(app: &App) -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(document(app)).merge(login_routes(app)).nest("/api/v2", api_v2(app)).merge(ui(app))
}

fn login_routes(app: &App) -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(allow(app, Public, routes!(login::create_token, login::create_token_all_admins)))
        .routes(allow(app, Public, routes!(login::create_token_cli)))
        .routes(allow(app, Public, routes!(login::login)))
        .routes(allow(app, Public, routes!(login::logout)))
}

fn api_v2(app: &App) -> OpenApiRouter<App> {
    general_routes(app)
        .merge(dag_routes(app))
        .merge(run_routes(app))
        .merge(backfill_routes(app))
        .merge(task_instance_routes(app))
        .merge(hitl_routes(app))
        .merge(asset_routes(app))
        .merge(xcom_routes(app))
        .merge(entity_routes(app))
        .merge(audit_routes(app))
}

fn general_routes(app: &App) -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(allow(app, Public, routes!(version::get_version)))
        .routes(allow(app, Public, routes!(monitor::get_health)))
        .routes(allow(app, read(Kind::Job), routes!(jobs::get_jobs)))
}

fn dag_routes(app: &App) -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(allow(app, read(Kind::Dag), routes!(dags::get_dags)))
        .routes(allow(app, read(Kind::Dag), routes!(dags::get_dag)))
        .routes(allow(app, write(Kind::Dag), routes!(dags::patch_dag)))
        .routes(allow(app, read(Kind::Dag), routes!(dags::get_dag_tags)))
        .routes(allow(app, read(Kind::Dag), routes!(dag_details::get_dag_details)))
        .routes(allow(app, read(Kind::Dag), routes!(tasks::get_tasks)))
        .routes(allow(app, read(Kind::Dag), routes!(tasks::get_task)))
        .routes(allow(app, read(Kind::Dag), routes!(dag_versions::get_dag_versions)))
        .routes(allow(app, read(Kind::Dag), routes!(dag_versions::get_dag_version)))
        .routes(allow(app, read(Kind::Source), routes!(dag_sources::get_dag_source)))
        .routes(allow(app, read(Kind::DagRun), routes!(dag_stats::get_dag_stats)))
        .routes(allow(app, read(Kind::ImportError), routes!(import_errors::get_import_errors)))
        .routes(allow(app, read(Kind::ImportError), routes!(import_errors::get_import_error)))
}

fn run_routes(app: &App) -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(allow(app, read(Kind::DagRun), routes!(dag_runs::get_dag_runs)))
        .routes(allow(app, read(Kind::DagRun), routes!(dag_runs::get_dag_run)))
        .routes(allow(app, read(Kind::DagRun), routes!(lists::get_list_dag_runs_batch)))
        .routes(allow(app, write(Kind::DagRun), routes!(trigger::trigger_dag_run)))
        .routes(allow(app, write(Kind::DagRun), routes!(change_runs::patch_dag_run, change_runs::delete_dag_run)))
        .routes(allow(app, write(Kind::DagRun), routes!(clear::clear_dag_run)))
}

fn backfill_routes(app: &App) -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(allow(app, read(Kind::DagRun), routes!(backfills::list_backfills)))
        .routes(allow(app, write(Kind::DagRun), routes!(backfills::create_backfill)))
        .routes(allow(app, read(Kind::DagRun), routes!(backfills::create_backfill_dry_run)))
        .routes(allow(app, read(Kind::DagRun), routes!(backfills::get_backfill)))
        .routes(allow(app, write(Kind::DagRun), routes!(backfills::pause_backfill)))
        .routes(allow(app, write(Kind::DagRun), routes!(backfills::unpause_backfill)))
        .routes(allow(app, write(Kind::DagRun), routes!(backfills::cancel_backfill)))
        // `airflowctl` sends POST where the API says PUT.
        .route("/backfills/{backfill_id}/pause", unlisted(app, post(backfills::pause_backfill)))
        .route("/backfills/{backfill_id}/unpause", unlisted(app, post(backfills::unpause_backfill)))
        .route("/backfills/{backfill_id}/cancel", unlisted(app, post(backfills::cancel_backfill)))
}

fn task_instance_routes(app: &App) -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(allow(app, read(Kind::TaskInstance), routes!(task_instances::get_task_instances)))
        .routes(allow(app, read(Kind::TaskInstance), routes!(lists::get_task_instances_batch)))
        .routes(allow(app, read(Kind::TaskInstance), routes!(task_instances::get_task_instance)))
        .routes(allow(app, write(Kind::TaskInstance), routes!(mark::patch_task_instance)))
        .routes(allow(app, write(Kind::TaskInstance), routes!(mark::patch_task_instance_dry_run)))
        .routes(allow(app, read(Kind::TaskInstance), routes!(task_instances::get_mapped_task_instances)))
        .routes(allow(app, read(Kind::TaskInstance), routes!(dependencies::get_task_instance_dependencies)))
        .routes(allow(app, read(Kind::TaskInstance), routes!(task_instances::get_mapped_task_instance)))
        .routes(allow(app, write(Kind::TaskInstance), routes!(mark::patch_task_instance_by_map_index)))
        .routes(allow(app, write(Kind::TaskInstance), routes!(mark::patch_task_instance_dry_run_by_map_index)))
        .routes(allow(
            app,
            read(Kind::TaskInstance),
            routes!(dependencies::get_task_instance_dependencies_by_map_index),
        ))
        .routes(allow(app, read(Kind::TaskInstance), routes!(tries::get_task_instance_tries)))
        .routes(allow(app, read(Kind::TaskInstance), routes!(tries::get_mapped_task_instance_tries)))
        .routes(allow(app, read(Kind::TaskInstance), routes!(tries::get_task_instance_try_details)))
        .routes(allow(app, read(Kind::TaskInstance), routes!(tries::get_mapped_task_instance_try_details)))
        .routes(allow(app, write(Kind::TaskInstance), routes!(clear::post_clear_task_instances)))
        .routes(allow(app, read(Kind::Log), routes!(logs::get_log)))
}

fn hitl_routes(app: &App) -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(allow(app, read(Kind::TaskInstance), routes!(hitl::get_hitl_details)))
        .routes(allow(app, read(Kind::TaskInstance), routes!(hitl::get_hitl_detail)))
        .routes(allow(app, write(Kind::TaskInstance), routes!(hitl::update_hitl_detail)))
        .routes(allow(app, read(Kind::TaskInstance), routes!(hitl::get_hitl_detail_try_detail)))
}

fn asset_routes(app: &App) -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(allow(app, read(Kind::Asset), routes!(list::get_assets)))
        .routes(allow(app, read(Kind::Asset), routes!(list::get_asset_aliases)))
        .routes(allow(app, read(Kind::Asset), routes!(list::get_asset_alias)))
        .routes(allow(app, read(Kind::Asset), routes!(events::get_asset_events)))
        .routes(allow(app, write(Kind::Asset), routes!(events::create_asset_event)))
        .routes(allow(app, read(Kind::Asset), routes!(list::get_asset)))
        .routes(allow(app, write(Kind::Asset), routes!(materialize::materialize_asset)))
        .routes(allow(app, read(Kind::Asset), routes!(queue::get_asset_queued_events)))
        .routes(allow(app, write(Kind::Asset), routes!(queue::delete_asset_queued_events)))
        .routes(allow(app, read(Kind::Asset), routes!(queue::get_dag_asset_queued_events)))
        .routes(allow(app, write(Kind::Asset), routes!(queue::delete_dag_asset_queued_events)))
        .routes(allow(app, read(Kind::Asset), routes!(queue::get_dag_asset_queued_event)))
        .routes(allow(app, write(Kind::Asset), routes!(queue::delete_dag_asset_queued_event)))
        .routes(allow(app, read(Kind::Asset), routes!(events::get_upstream_asset_events)))
}

fn xcom_routes(app: &App) -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(allow(app, read(Kind::XCom), routes!(xcoms::get_xcom_entries)))
        .routes(allow(app, write(Kind::XCom), routes!(xcoms::create_xcom_entry)))
        .routes(allow(app, read(Kind::XCom), routes!(xcoms::get_xcom_entry)))
        .routes(allow(app, write(Kind::XCom), routes!(xcoms::update_xcom_entry, xcoms::delete_xcom_entry)))
}

fn entity_routes(app: &App) -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(allow(app, read(Kind::Variable), routes!(variables::get_variables)))
        .routes(allow(app, write(Kind::Variable), routes!(variables::post_variable, variables::bulk_variables)))
        .routes(allow(app, read(Kind::Variable), routes!(variables::get_variable)))
        .routes(allow(app, write(Kind::Variable), routes!(variables::patch_variable, variables::delete_variable)))
        .routes(allow(app, read(Kind::Connection), routes!(connections::get_connections)))
        .routes(allow(
            app,
            write(Kind::Connection),
            routes!(connections::post_connection, connections::bulk_connections),
        ))
        .routes(allow(app, write(Kind::Connection), routes!(connections::test_connection)))
        .routes(allow(app, read(Kind::Connection), routes!(connections::get_connection)))
        .routes(allow(
            app,
            write(Kind::Connection),
            routes!(connections::patch_connection, connections::delete_connection),
        ))
        .routes(allow(app, read(Kind::Pool), routes!(pools::get_pools)))
        .routes(allow(app, write(Kind::Pool), routes!(pools::post_pool, pools::bulk_pools)))
        .routes(allow(app, read(Kind::Pool), routes!(pools::get_pool)))
        .routes(allow(app, write(Kind::Pool), routes!(pools::patch_pool, pools::delete_pool)))
}

fn audit_routes(app: &App) -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(allow(app, read(Kind::AuditLog), routes!(event_logs::get_event_logs))).routes(allow(
        app,
        read(Kind::AuditLog),
        routes!(event_logs::get_event_log),
    ))
}

fn ui(app: &App) -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .route(
            "/ui/logs/{dag_id}/{dag_run_id}/{task_id}/{try_number}",
            allow_unlisted(app, Action::Read, Kind::Log, get(log_bytes::get_log_bytes)),
        )
        .routes(allow(app, read(Kind::Executor), routes!(executors::get_executors)))
        .routes(allow(app, read(Kind::Executor), routes!(executors::get_executor)))
        .routes(allow(app, write(Kind::Executor), routes!(executors::drain_executor)))
        .routes(allow(app, write(Kind::Executor), routes!(executors::resume_executor)))
        .routes(allow(app, read(Kind::TaskInstance), routes!(why::get_why)))
        .routes(allow(app, read(Kind::TaskInstance), routes!(ui_tries::get_tries)))
        .routes(allow(app, read(Kind::TaskInstance), routes!(notifications::get_notifications)))
        .routes(allow(app, write(Kind::TaskInstance), routes!(notifications::retry_notification)))
}

fn document(app: &App) -> OpenApi {
    let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    let mut document = OpenApiBuilder::new()
        .info(InfoBuilder::new().title(&app.config.instance_name).version("2").build())
        .security(Some([SecurityRequirement::new("HTTPBearer", Vec::<String>::new())]))
        .build();
    document.components.get_or_insert_default().add_security_scheme("HTTPBearer", bearer);
    document
}

/// Airflow's answer to a path its API does not have; note the key `error`.
async fn no_such_route(method: Method) -> Response {
    if method == Method::GET {
        (StatusCode::NOT_FOUND, Json(json!({"error": "API route not found"}))).into_response()
    } else {
        method_not_allowed().await
    }
}

/// The router adds `Allow` where the path exists.
async fn method_not_allowed() -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, Json(json!({"detail": "Method Not Allowed"}))).into_response()
}
