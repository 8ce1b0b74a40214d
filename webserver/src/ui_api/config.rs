//! `GET /ui/config`: the configuration of the webserver's process, with where each value is from.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    App,
    api::config::exposed,
    config::{Setting, Source},
    error::ApiError,
};

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConfiguredOption {
    section: String,
    key: String,
    /// `***` for a secret; empty: not set.
    value: String,
    source: Source,
    /// The file or the environment variable that says so.
    origin: Option<String>,
    default: String,
}

impl From<&Setting> for ConfiguredOption {
    fn from(setting: &Setting) -> Self {
        Self {
            section: setting.section.clone(),
            key: setting.option.clone(),
            value: setting.value.clone(),
            source: setting.source,
            origin: setting.origin.clone(),
            default: setting.default.clone(),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConfiguredOptionCollectionResponse {
    /// In the order of the documentation, a section's together.
    options: Vec<ConfiguredOption>,
}

/// Every option of the configuration with its source; 403 as `/api/v2/config` where it is not exposed.
#[utoipa::path(get, path = "/ui/config", tag = "Updraft",
    responses((status = 200, body = ConfiguredOptionCollectionResponse), (status = 403)))]
pub(crate) async fn get_configured_options(
    State(app): State<App>,
) -> Result<Json<ConfiguredOptionCollectionResponse>, ApiError> {
    Ok(Json(ConfiguredOptionCollectionResponse { options: exposed(&app)?.iter().map(Into::into).collect() }))
}
