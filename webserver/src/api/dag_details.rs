//! `GET /dags/{dag_id}/details`: the DAG with what its latest version says.

use axum::{Json, extract::State};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::time::Duration;
use updraft_core::dag::{Dag, Schedule};
use updraft_store::{favorites, query::dags};
use utoipa::ToSchema;

use super::{
    dag_versions::{DagPath, DagVersionResponse},
    dags::{DAGResponse, compiled, find, latest_version},
    params::PathParams,
};
use crate::{App, auth::Principal, error::ApiError, time::Timestamp};

/// A DAG in full.
#[derive(Serialize, ToSchema)]
pub(crate) struct DAGDetailsResponse {
    #[serde(flatten)]
    dag: DAGResponse,
    catchup: bool,
    /// ISO 8601.
    #[schema(format = Duration)]
    dag_run_timeout: Option<String>,
    #[schema(value_type = Option<Object>)]
    asset_expression: Option<Value>,
    doc_md: Option<String>,
    start_date: Option<Timestamp>,
    end_date: Option<Timestamp>,
    is_paused_upon_creation: Option<bool>,
    params: Option<Map<String, Value>>,
    render_template_as_native_obj: bool,
    template_search_path: Option<Vec<String>>,
    timezone: Option<String>,
    last_parsed: Option<Timestamp>,
    default_args: Option<Map<String, Value>>,
    rerun_with_latest_version: Option<bool>,
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    owner_links: Option<Map<String, Value>>,
    is_favorite: bool,
    active_runs_count: i64,
    concurrency: i32,
    latest_dag_version: Option<DagVersionResponse>,
}

/// A DAG in full.
#[utoipa::path(get, path = "/dags/{dag_id}/details", tag = "DAG", params(DagPath),
    responses((status = 200, body = DAGDetailsResponse), (status = 404)))]
pub(crate) async fn get_dag_details(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<DagPath>,
) -> Result<Json<DAGDetailsResponse>, ApiError> {
    let mut connection = app.connection().await?;
    let row = find(&mut connection, &path.dag_id).await?;
    let compiled = compiled(&app, &mut connection, &row).await?.ok_or_else(|| super::dag_not_found(&path.dag_id))?;
    let active_runs_count = dags::active_runs_count(&mut connection, &path.dag_id).await?;
    let is_favorite = favorites::has(&mut connection, &principal.name, row.id).await?;
    Ok(Json(DAGDetailsResponse {
        catchup: compiled.catchup,
        dag_run_timeout: compiled.dagrun_timeout.map(iso_duration),
        asset_expression: match &compiled.schedule {
            Schedule::Assets { expression, .. } => serde_json::to_value(expression).ok(),
            _ => None,
        },
        doc_md: compiled.doc_md.clone(),
        start_date: compiled.start_date.map(Into::into),
        end_date: compiled.end_date.map(Into::into),
        is_paused_upon_creation: compiled.is_paused_upon_creation,
        params: Some(params(&compiled)),
        render_template_as_native_obj: compiled.render_template_as_native_obj,
        template_search_path: None,
        timezone: Some(compiled.timezone.name().to_owned()),
        last_parsed: Some(row.last_parsed_time.into()),
        default_args: Some(compiled.default_args.clone()),
        rerun_with_latest_version: compiled.rerun_with_latest_version,
        owner_links: Some(Map::new()),
        is_favorite,
        active_runs_count,
        concurrency: row.max_active_tasks,
        latest_dag_version: latest_version(&row),
        dag: DAGResponse::new(row, Some(&compiled)),
    }))
}

/// Airflow's dump of `Param`s: value, schema and description of each.
pub(super) fn params(dag: &Dag) -> Map<String, Value> {
    let dump = |(name, value): (&String, &Value)| {
        let schema = dag.param_schemas.get(name).cloned().unwrap_or_else(|| json!({}));
        let description = schema.get("description").cloned().unwrap_or(Value::Null);
        (name.clone(), json!({"value": value, "schema": schema, "description": description, "source": "dag"}))
    };
    dag.params.iter().map(dump).collect()
}

/// `P1DT2H3M4.5S`, as pydantic writes a timedelta.
fn iso_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let rest = (seconds % 60) as f64 + f64::from(duration.subsec_micros()) / 1e6;
    let part = |count: u64, unit: char| if count > 0 { format!("{count}{unit}") } else { String::new() };
    let date = format!("P{}", part(days, 'D'));
    let mut time = part(hours, 'H') + &part(minutes, 'M');
    if rest > 0.0 || (date == "P" && time.is_empty()) {
        time = format!("{time}{rest}S");
    }
    if time.is_empty() { date } else { format!("{date}T{time}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_iso_8601() {
        let text = |seconds: f64| iso_duration(Duration::from_secs_f64(seconds));
        assert_eq!(text(0.0), "PT0S");
        assert_eq!(text(3600.0), "PT1H");
        assert_eq!(text(86_400.0), "P1D");
        assert_eq!(text(90_061.5), "P1DT1H1M1.5S");
    }
}
