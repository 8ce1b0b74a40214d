//! Users, their API tokens, and logins that were ended.

pub mod api_tokens;
pub mod logins;
pub mod users;

use updraft_core::identity::Role;

use crate::StoreError;

/// A role as it is stored.
fn role(text: &str) -> Result<Role, StoreError> {
    text.parse().map_err(|error| StoreError::Data(format!("role {text:?}: {error}")))
}
