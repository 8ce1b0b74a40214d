//! Proof that nodes could be heard.

use updraft_core::lease::Lease;

use super::reconcile::interval;
use crate::{Store, StoreError};

/// Stamps `liveness`; every webserver calls it every [`Lease::stamp`]. A gap of more than [`Lease::deaf_after`] means that nobody
/// could hear the nodes, so `heard_since` moves to now and their leases count from there.
pub async fn stamp(store: &Store, lease: Lease) -> Result<(), StoreError> {
    sqlx::query!(
        "update liveness set stamped_at = now(),
                heard_since = case when stamped_at < now() - $1::interval then now() else heard_since end",
        interval(lease.deaf_after())
    )
    .execute(store.pool())
    .await?;
    Ok(())
}
