//! Proof that nodes could be heard.

use crate::{Store, StoreError};

/// Stamps `liveness`; every webserver calls it every 2 seconds. A gap of more than 6 seconds means that nobody could hear the
/// nodes, so `heard_since` moves to now and their leases count from there.
pub async fn stamp(store: &Store) -> Result<(), StoreError> {
    sqlx::query!(
        "update liveness set stamped_at = now(),
                heard_since = case when stamped_at < now() - interval '6 seconds' then now() else heard_since end"
    )
    .execute(store.pool())
    .await?;
    Ok(())
}
