//! The table of contents: every route, and what it asks of the caller.

use axum::{
    Json, Router,
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use serde_json::{Value, json};
use tower::ServiceBuilder;
use utoipa::openapi::{
    HttpMethod, InfoBuilder, OpenApi, OpenApiBuilder, SecurityRequirement,
    path::Operation,
    security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    api::{
        assets::{events, list, materialize, queue, states},
        backfills, bulk_instances, bulk_runs, change_runs, clear, clear_many, config, connection_tests, connections,
        dag_details, dag_runs, dag_sources, dag_stats, dag_versions, dag_warnings, dags, delete_dag, dependencies,
        event_logs, favorites, hitl, import_errors, jobs, links, lists, logs, mark, monitor, plugins, pools, reparse,
        task_groups, task_instances, task_states, tasks, tries, trigger, variables, version, wait, xcoms,
    },
    auth::{login, oidc::routes as oidc},
    executor_api, layers, measure, openapi,
    permission::{
        Kind,
        Permission::{self, Public},
        UNLISTED, allow, allow_unlisted,
    },
    shadowed,
    shared::shared,
    ui_api::{
        calendar, config as ui_config, dags as ui_dags, events as ui_events, executors, grid, home,
        import_errors as ui_import_errors, log_bytes, me, notifications, pools as ui_pools, schedule, search,
        structure, tokens, tries as ui_tries, users, why,
    },
    ui_assets,
};

const fn read(kind: Kind) -> Permission {
    Permission::read(kind)
}

const fn write(kind: Kind) -> Permission {
    Permission::write(kind)
}

/// Everything this process answers.
pub fn router(app: &App) -> Router {
    let (described, document) = described(app).split_for_parts();
    let document = Json(openapi::describe(listed(plain_paths(document))));
    let described = described.route("/openapi.json", axum::routing::get(async move || document.clone()));
    let router = layers::bounded(described, &app.config)
        .with_state(app.clone())
        .method_not_allowed_fallback(method_not_allowed)
        .nest("/executor/v1", executor_api::router(app.executors.clone()))
        .nest("/api/v2", Router::new().fallback(no_such_route))
        .fallback_service(ui_assets::router());
    let metrics = app.config.metrics.clone().map(measure::router);
    let router = layers::wrap(router.merge(metrics.unwrap_or_default()));
    // Around the router, since a layer of it comes after its choice.
    Router::new().fallback_service(ServiceBuilder::new().map_request(shadowed::spell_ids).service(router))
}

/// The OpenAPI document of [`router`].
pub fn open_api(app: &App) -> Value {
    openapi::describe(listed(routes(app)))
}

/// The same, and what is answered without being described: every route with its permission.
pub fn routes(app: &App) -> OpenApi {
    plain_paths(described(app).split_for_parts().1)
}

/// Leaves out what is not to be described.
fn listed(mut document: OpenApi) -> OpenApi {
    let is_listed =
        |operation: &Operation| !operation.extensions.as_ref().is_some_and(|has| has.contains_key(UNLISTED));
    document.paths.paths.retain(|_, item| {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        let mut is_empty = true;
        for operation in operations {
            *operation = operation.take().filter(is_listed);
            is_empty &= operation.is_none();
        }
        !is_empty
    });
    document
}

/// A parameter that may contain slashes is `{*name}` to the router and `{name}` to readers of the document.
fn plain_paths(mut document: OpenApi) -> OpenApi {
    let paths = std::mem::take(&mut document.paths.paths);
    document.paths.paths = paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    document
}

fn described(app: &App) -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(document(app))
        .merge(login_routes(app))
        .nest("/api/v2", api_v2(app))
        .merge(ui(app))
        .merge(identity_routes(app))
}

fn login_routes(app: &App) -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(allow(app, Public, routes!(login::create_token, login::create_token_all_admins)))
        .routes(allow(app, Public, routes!(login::create_token_cli)))
        .routes(allow(app, Public, routes!(login::login_all_admins)))
        .routes(allow(app, Public, routes!(login::login)))
        .routes(allow(app, Public, routes!(login::logout)))
        .routes(allow(app, Public, routes!(login::log_in, login::get_login_ways)))
        .routes(allow(app, Public, routes!(oidc::oidc_login)))
        .routes(allow(app, Public, routes!(oidc::oidc_callback)))
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
        .routes(allow(app, Public, shared(app, routes!(monitor::get_health))))
        .routes(allow(app, read(Kind::Job), routes!(jobs::get_jobs)))
        .routes(allow(app, read(Kind::Config), routes!(config::get_config)))
        .routes(allow(app, read(Kind::Config), routes!(config::get_config_value)))
        .routes(allow(app, read(Kind::Plugin), routes!(plugins::get_plugins)))
        .routes(allow(app, read(Kind::Plugin), routes!(plugins::import_errors)))
        .routes(allow(app, read(Kind::Provider), routes!(plugins::get_providers)))
}

fn dag_routes(app: &App) -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(allow(app, read(Kind::Dag), shared(app, routes!(dags::get_dags))))
        .routes(allow(app, read(Kind::Dag), shared(app, routes!(dags::get_dag))))
        .routes(allow(app, write(Kind::Dag), routes!(dags::patch_dags)))
        .routes(allow(app, write(Kind::Dag), routes!(dags::patch_dag, delete_dag::delete_dag)))
        // A mark is the reader's own.
        .routes(allow(app, read(Kind::Dag), routes!(favorites::favorite_dag)))
        .routes(allow(app, read(Kind::Dag), routes!(favorites::unfavorite_dag)))
        .routes(allow(app, read(Kind::Dag), routes!(dags::get_dag_tags)))
        .routes(allow(app, read(Kind::Dag), shared(app, routes!(dag_details::get_dag_details))))
        .routes(allow(app, read(Kind::Dag), routes!(tasks::get_tasks)))
        .routes(allow(app, read(Kind::Dag), routes!(tasks::get_task)))
        .routes(allow(app, read(Kind::Dag), routes!(dag_versions::get_dag_versions)))
        .routes(allow(app, read(Kind::Dag), routes!(dag_versions::get_dag_version)))
        .routes(allow(app, read(Kind::Source), routes!(dag_sources::get_dag_source)))
        .routes(allow(app, read(Kind::DagRun), shared(app, routes!(dag_stats::get_dag_stats))))
        .routes(allow(app, read(Kind::ImportError), shared(app, routes!(import_errors::get_import_errors))))
        .routes(allow(app, read(Kind::ImportError), routes!(import_errors::get_import_error)))
        .routes(allow(app, read(Kind::Dag), routes!(dag_warnings::list_dag_warnings)))
        .routes(allow(app, write(Kind::Dag), routes!(reparse::reparse_dag_file)))
}

fn run_routes(app: &App) -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(allow(app, read(Kind::DagRun), shared(app, routes!(dag_runs::get_dag_runs))))
        .routes(allow(app, read(Kind::DagRun), shared(app, routes!(dag_runs::get_dag_run))))
        .routes(allow(app, read(Kind::DagRun), routes!(lists::get_list_dag_runs_batch)))
        .routes(allow(app, write(Kind::DagRun), routes!(trigger::trigger_dag_run, bulk_runs::bulk_dag_runs)))
        .routes(allow(app, write(Kind::DagRun), routes!(change_runs::patch_dag_run, change_runs::delete_dag_run)))
        .routes(allow(app, write(Kind::DagRun), routes!(clear::clear_dag_run)))
        .routes(allow(app, write(Kind::DagRun), routes!(clear_many::clear_dag_runs)))
        .routes(allow(app, write(Kind::DagRun), routes!(clear_many::clear_dag_run_partitions)))
        .routes(allow(app, read(Kind::DagRun), routes!(wait::wait_dag_run_until_finished)))
}

fn backfill_routes(app: &App) -> OpenApiRouter<App> {
    // `airflowctl` sends POST where the API says PUT.
    let sent_as_post = |path, method| allow_unlisted(app, write(Kind::Backfill), HttpMethod::Post, path, method);
    OpenApiRouter::new()
        .routes(allow(app, read(Kind::Backfill), routes!(backfills::list_backfills)))
        .routes(allow(app, write(Kind::Backfill), routes!(backfills::create_backfill)))
        .routes(allow(app, write(Kind::Backfill), routes!(backfills::create_backfill_dry_run)))
        .routes(allow(app, read(Kind::Backfill), routes!(backfills::get_backfill)))
        .routes(allow(app, write(Kind::Backfill), routes!(backfills::pause_backfill)))
        .routes(allow(app, write(Kind::Backfill), routes!(backfills::unpause_backfill)))
        .routes(allow(app, write(Kind::Backfill), routes!(backfills::cancel_backfill)))
        .routes(sent_as_post("/backfills/{backfill_id}/pause", post(backfills::pause_backfill)))
        .routes(sent_as_post("/backfills/{backfill_id}/unpause", post(backfills::unpause_backfill)))
        .routes(sent_as_post("/backfills/{backfill_id}/cancel", post(backfills::cancel_backfill)))
}

fn task_instance_routes(app: &App) -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(allow(app, read(Kind::TaskInstance), shared(app, routes!(task_instances::get_task_instances))))
        .routes(allow(app, read(Kind::TaskInstance), routes!(lists::get_task_instances_batch)))
        .routes(allow(app, read(Kind::TaskInstance), routes!(task_instances::get_task_instance)))
        .routes(allow(app, write(Kind::TaskInstance), routes!(bulk_instances::bulk_task_instances)))
        .routes(allow(
            app,
            write(Kind::TaskInstance),
            routes!(mark::patch_task_instance, bulk_instances::delete_task_instance),
        ))
        .routes(allow(app, write(Kind::TaskInstance), routes!(task_groups::patch_task_group_instances)))
        .routes(allow(app, write(Kind::TaskInstance), routes!(task_groups::patch_task_group_instances_dry_run)))
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
        .routes(allow(app, read(Kind::TaskInstance), routes!(links::get_external_log_url)))
        .routes(allow(app, read(Kind::TaskInstance), routes!(links::get_extra_links)))
        .routes(allow(app, read(Kind::TaskInstance), routes!(task_states::list_task_state_store)))
        .routes(allow(app, write(Kind::TaskInstance), routes!(task_states::clear_task_state_store)))
        .routes(allow(app, read(Kind::TaskInstance), routes!(task_states::get_task_state_store)))
        .routes(allow(
            app,
            write(Kind::TaskInstance),
            routes!(
                task_states::set_task_state_store,
                task_states::patch_task_state_store,
                task_states::delete_task_state_store
            ),
        ))
}

fn hitl_routes(app: &App) -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(allow(app, read(Kind::TaskInstance), routes!(hitl::get_hitl_details)))
        .routes(allow(app, read(Kind::TaskInstance), routes!(hitl::get_hitl_detail)))
        .routes(allow(app, write(Kind::TaskInstance), routes!(hitl::update_hitl_detail)))
        .routes(allow(app, read(Kind::TaskInstance), routes!(hitl::get_hitl_detail_try_detail)))
}

fn asset_routes(app: &App) -> OpenApiRouter<App> {
    // `airflowctl` ends a path in a slash, and puts `assets` before `dags`.
    let meant = |path, method| allow_unlisted(app, write(Kind::Asset), HttpMethod::Delete, path, method);
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
        .routes(allow(app, read(Kind::Asset), routes!(states::list_asset_state_store)))
        .routes(allow(app, write(Kind::Asset), routes!(states::clear_asset_state_store)))
        .routes(allow(app, read(Kind::Asset), routes!(states::get_asset_state_store)))
        .routes(allow(
            app,
            write(Kind::Asset),
            routes!(states::set_asset_state_store, states::delete_asset_state_store),
        ))
        .routes(meant("/assets/{asset_id}/queuedEvents/", delete(queue::delete_asset_queued_events)))
        .routes(meant("/assets/dags/{dag_id}/queuedEvents", delete(queue::delete_dag_asset_queued_events)))
        .routes(meant(
            "/assets/dags/{dag_id}/assets/{asset_id}/queuedEvents/",
            delete(queue::delete_dag_asset_queued_event),
        ))
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
        .routes(allow(app, write(Kind::Connection), routes!(connections::create_default_connections)))
        .routes(allow(app, write(Kind::Connection), routes!(connection_tests::test_connection)))
        .routes(allow(app, read(Kind::Connection), routes!(connection_tests::get_connection_test)))
        .routes(allow(app, write(Kind::Connection), routes!(connection_tests::enqueue_connection_test)))
        .routes(allow(app, read(Kind::Connection), routes!(connections::get_connection)))
        .routes(allow(
            app,
            write(Kind::Connection),
            routes!(connections::patch_connection, connections::delete_connection),
        ))
        .routes(allow(app, read(Kind::Pool), shared(app, routes!(pools::get_pools))))
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
        .routes(allow_unlisted(
            app,
            read(Kind::Log),
            HttpMethod::Get,
            "/ui/logs/{dag_id}/{dag_run_id}/{task_id}/{try_number}",
            get(log_bytes::get_log_bytes),
        ))
        .routes(allow(app, read(Kind::Dag), routes!(ui_events::get_events)))
        .routes(allow(app, read(Kind::DagRun), shared(app, routes!(ui_dags::get_dag_list))))
        .routes(allow(app, read(Kind::TaskInstance), shared(app, routes!(grid::get_grid))))
        .routes(allow(app, read(Kind::Dag), routes!(structure::get_structure)))
        .routes(allow(app, read(Kind::DagRun), shared(app, routes!(home::get_home))))
        .routes(allow(app, read(Kind::Dag), routes!(schedule::get_schedule)))
        .routes(allow(app, read(Kind::DagRun), shared(app, routes!(calendar::get_calendar))))
        .routes(allow(app, read(Kind::ImportError), shared(app, routes!(ui_import_errors::get_file_errors))))
        .routes(allow(app, read(Kind::Pool), shared(app, routes!(ui_pools::get_pool_use))))
        .routes(allow(app, read(Kind::DagRun), routes!(search::search)))
        .routes(allow(app, read(Kind::Config), routes!(ui_config::get_configured_options)))
        .routes(allow(app, read(Kind::Executor), routes!(executors::get_executors)))
        .routes(allow(app, read(Kind::Executor), routes!(executors::get_executor)))
        .routes(allow(app, write(Kind::Executor), routes!(executors::drain_executor)))
        .routes(allow(app, write(Kind::Executor), routes!(executors::resume_executor)))
        .routes(allow(app, read(Kind::TaskInstance), routes!(why::get_why)))
        .routes(allow(app, read(Kind::TaskInstance), routes!(ui_tries::get_tries)))
        .routes(allow(app, read(Kind::TaskInstance), routes!(notifications::get_notifications)))
        .routes(allow(app, write(Kind::TaskInstance), routes!(notifications::retry_notification)))
}

fn identity_routes(app: &App) -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(allow(app, read(Kind::Own), routes!(me::get_me)))
        .routes(allow(app, read(Kind::Own), routes!(tokens::get_tokens)))
        .routes(allow(app, write(Kind::Own), routes!(tokens::post_token)))
        .routes(allow(app, write(Kind::Own), routes!(tokens::delete_token)))
        .routes(allow(app, read(Kind::User), routes!(users::get_users)))
        .routes(allow(app, write(Kind::User), routes!(users::post_user)))
        .routes(allow(app, write(Kind::User), routes!(users::patch_user, users::delete_user)))
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
