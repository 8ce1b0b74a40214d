//! `POST /dags/{dag_id}/favorite | unfavorite`: DAGs that a user marked, for themselves.

use axum::{extract::State, http::StatusCode};
use serde_json::json;
use updraft_store::{
    audit,
    favorites::{self, Mark},
};

use super::{dag_versions::DagPath, params::PathParams};
use crate::{App, auth::Principal, error::ApiError};

/// Mark a DAG as a favorite.
#[utoipa::path(post, path = "/dags/{dag_id}/favorite", tag = "DAG", params(DagPath),
    responses((status = 204), (status = 404)))]
pub(crate) async fn favorite_dag(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<DagPath>,
) -> Result<StatusCode, ApiError> {
    let mut transaction = app.store.begin().await?;
    let constraint = "dag_favorite_pkey".to_owned();
    match favorites::add(&mut transaction, &principal.name, &path.dag_id).await? {
        Mark::Done => {}
        // Airflow inserts and meets its unique constraint.
        Mark::Already => return Err(ApiError::NotUnique { constraint }),
        Mark::NoDag => return Err(missing(&path.dag_id)),
    }
    audit::write(&mut transaction, &entry("favorite_dag", &principal, &path)).await?;
    app.commit(transaction).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Take the mark away.
#[utoipa::path(post, path = "/dags/{dag_id}/unfavorite", tag = "DAG", params(DagPath),
    responses((status = 204), (status = 404), (status = 409)))]
pub(crate) async fn unfavorite_dag(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<DagPath>,
) -> Result<StatusCode, ApiError> {
    let mut transaction = app.store.begin().await?;
    match favorites::remove(&mut transaction, &principal.name, &path.dag_id).await? {
        Mark::Done => {}
        Mark::Already => return Err(ApiError::Conflict("Dag is not marked as favorite".to_owned())),
        Mark::NoDag => return Err(missing(&path.dag_id)),
    }
    audit::write(&mut transaction, &entry("unfavorite_dag", &principal, &path)).await?;
    app.commit(transaction).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn entry<'a>(event: &'a str, principal: &'a Principal, path: &'a DagPath) -> audit::Entry<'a> {
    audit::Entry {
        event,
        owner: Some(&principal.name),
        dag_id: Some(&path.dag_id),
        extra: Some(json!({"method": "POST"})),
        ..audit::Entry::default()
    }
}

fn missing(dag_id: &str) -> ApiError {
    ApiError::not_found(format!("Dag with id '{dag_id}' not found"))
}
