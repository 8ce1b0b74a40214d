//! The outbox: notices of what happened, written with the change they tell of and sent afterwards, at least once.
//!
//! A row is claimed by moving its `due_at` into the future and naming the claimer; a claimer that dies is one whose time passes.
//! What is sent and not yet marked when its claimer dies is sent again, with the same key. Functions of the DAG's code are not
//! sent but called by nodes ([`launch`]).

mod callback;
mod claim;
mod context;
mod list;
mod write;

pub use self::{
    callback::{Lost, launch, lost, mark_lost},
    claim::{Claim, Claimed, Ended, Retried, Room, claim, mark, next_due, prune, retry},
    context::{Context, Ready, contexts},
    list::{NoticeFilter, NoticeRow, ORDER_BY, get, page},
};
pub(crate) use self::{
    callback::{Word, notices, settle, spec},
    write::{Row, add},
};
