//! Attempts' logs: each a file of JSON lines in the node's spool, shipped to the server by offset.
//!
//! Writers ([`AttemptLog`]) only append; the [`Shipper`] sends what is new a moment later, several attempts at once, on
//! connections of its own, and tries until the server has it. A spool file goes when the server has every byte and the
//! attempt's result is settled. Nothing here can fail an attempt.

mod lines;
mod shipper;
mod spool;

pub(crate) use lines::{LineSplitter, MAX_LINE};
pub(crate) use shipper::Shipper;
pub(crate) use spool::{AttemptLog, Position, Resume, Stream};
