//! `/assets`: what DAGs produce and wait for, what happened to it, and what waits.

pub(crate) mod events;
pub(crate) mod list;
pub(crate) mod materialize;
pub(crate) mod queue;
pub(crate) mod states;

use serde::Deserialize;
use utoipa::IntoParams;

use crate::error::ApiError;

#[derive(Clone, Copy, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct AssetPath {
    asset_id: i64,
}

/// The 404 of an asset that a path names.
fn path_not_found(asset_id: i64) -> ApiError {
    ApiError::not_found(format!("The Asset with ID: `{asset_id}` was not found"))
}
