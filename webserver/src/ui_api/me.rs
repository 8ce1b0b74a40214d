//! `GET /ui/me`: who asks, so that the dashboard shows what this caller may do.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{auth::Principal, permission::granted};

#[derive(Serialize, ToSchema)]
pub(crate) struct MeResponse {
    username: String,
    /// `viewer`, `user`, `op` or `admin`.
    role: &'static str,
    /// What the role may do, by name: an operation of this document says in `x-permission` which of them it asks for.
    permissions: Vec<String>,
}

/// Who asks.
#[utoipa::path(get, path = "/ui/me", tag = "Updraft", responses((status = 200, body = MeResponse)))]
pub(crate) async fn get_me(principal: Principal) -> Json<MeResponse> {
    let permissions = granted(principal.role);
    Json(MeResponse { username: principal.name, role: principal.role.as_str(), permissions })
}
