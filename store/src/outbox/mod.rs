//! The outbox: notices of what happened, written with the change they tell of and sent afterwards, at least once.
//!
//! A row is claimed by moving its `due_at` into the future and naming the claimer; a claimer that dies is one whose time passes.
//! What is sent and not yet marked when its claimer dies is sent again, with the same key.

mod claim;
mod context;
mod list;
mod write;

pub(crate) use self::write::{Row, add};
pub use self::{
    claim::{Claim, Claimed, Ended, Retried, Room, claim, mark, next_due, prune, retry},
    context::{Ready, contexts},
    list::{NoticeFilter, NoticeRow, ORDER_BY, get, page},
};
