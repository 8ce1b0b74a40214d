//! Backfills (semantics §10): asked for in one short transaction, carried out by the scheduler from their rows.
//!
//! [`create`] writes the backfill and one row per date. [`proceed`] then takes the open dates in order, a bounded number per
//! transaction, and makes or clears their runs; [`complete`] and the rest of a cancellation follow from state as well, so a
//! scheduler that dies anywhere leaves nothing half done. What a date gets is decided by [`updraft_core::backfill`].
//!
//! Lock order: dag → backfill → dag_run. After [`create`], [`pause`], [`unpause`] and [`cancel`] commit, then ring
//! [`Signal::Dags`](crate::wake::Signal::Dags).

mod change;
mod create;
mod proceed;
mod query;

pub use self::{
    change::{Change, cancel, pause, unpause},
    create::{CreateError, NewBackfill, create, dry_run},
    proceed::{complete, fail_cancelled, proceed},
    query::{Backfill, ORDER_BY, get, page},
};
