//! `PUT /parseDagFile/{file_token}`: have a DAG file read anew, whether or not it changed.

use axum::{Json, extract::State, http::StatusCode};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::json;
use updraft_store::{dags, wake::Signal};
use utoipa::IntoParams;

use super::{note, params::PathParams};
use crate::{App, auth::Principal, error::ApiError};

/// A file as answers name it (`file_token`): opaque to clients, and no secret.
#[derive(Deserialize, Serialize)]
pub(super) struct FileToken<'a> {
    pub(super) bundle_name: &'a str,
    pub(super) relative_fileloc: &'a str,
}

impl FileToken<'_> {
    pub(super) fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(json!(self).to_string())
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct FilePath {
    file_token: String,
}

/// Read a DAG file anew. The answer does not wait for it.
#[utoipa::path(put, path = "/parseDagFile/{file_token}", tag = "DAG Parsing", params(FilePath),
    responses((status = 201), (status = 404)))]
pub(crate) async fn reparse_dag_file(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<FilePath>,
) -> Result<(StatusCode, Json<()>), ApiError> {
    let text = URL_SAFE_NO_PAD.decode(&path.file_token).map_err(|_| missing())?;
    let file: FileToken<'_> = serde_json::from_slice(&text).map_err(|_| missing())?;
    let mut transaction = app.store.begin().await?;
    if !dags::request_parse(&mut transaction, file.bundle_name, file.relative_fileloc).await? {
        return Err(missing());
    }
    note(&mut transaction, "reparse_dag_file", &principal, json!({"file": file, "method": "PUT"})).await?;
    app.commit(transaction).await?;
    app.store.wake().ring(Signal::Files);
    Ok((StatusCode::CREATED, Json(())))
}

fn missing() -> ApiError {
    ApiError::not_found("File not found")
}
