//! `GET /version`.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

/// The Airflow whose API this is; clients decide by it what they may ask.
const AIRFLOW_VERSION: &str = "3.3.2";

/// Airflow's version, and in `git_version` our own.
#[derive(Serialize, ToSchema)]
pub(crate) struct VersionInfo {
    version: &'static str,
    git_version: Option<&'static str>,
}

/// Version information.
#[utoipa::path(get, path = "/version", tag = "Version", responses((status = 200, body = VersionInfo)))]
pub(crate) async fn get_version() -> Json<VersionInfo> {
    Json(VersionInfo { version: AIRFLOW_VERSION, git_version: Some(concat!("updraft ", env!("CARGO_PKG_VERSION"))) })
}
