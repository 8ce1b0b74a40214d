//! `DELETE /dags/{dag_id}`: a DAG with its runs and all that they left; its file stays.

use axum::{extract::State, http::StatusCode};
use serde_json::json;
use updraft_store::{
    audit,
    delete_dag::{self, Outcome},
};

use super::{dag_versions::DagPath, dags::missing, params::PathParams};
use crate::{App, auth::Principal, error::ApiError};

/// Delete a DAG of which no task is running, with its history. When its file changes, it is back.
#[utoipa::path(delete, path = "/dags/{dag_id}", tag = "DAG", params(DagPath),
    responses((status = 204), (status = 404), (status = 409)))]
pub(crate) async fn delete_dag(
    State(app): State<App>,
    principal: Principal,
    PathParams(DagPath { dag_id }): PathParams<DagPath>,
) -> Result<StatusCode, ApiError> {
    let mut transaction = app.store.begin().await?;
    let deleted = match delete_dag::delete(&mut transaction, &dag_id).await? {
        Outcome::Deleted(deleted) => deleted,
        Outcome::Running => {
            let text = format!("Task instances of dag with id: '{dag_id}' are still running");
            return Err(ApiError::Conflict(text));
        }
        Outcome::NoDag => return Err(missing(&dag_id)),
    };
    let entry = audit::Entry {
        event: "delete_dag",
        owner: Some(&principal.name),
        dag_id: Some(&dag_id),
        extra: Some(json!({"method": "DELETE"})),
        ..audit::Entry::default()
    };
    audit::write(&mut transaction, &entry).await?;
    app.commit(transaction).await?;
    deleted.ring(&app.store);
    Ok(StatusCode::NO_CONTENT)
}
