//! Attempts' logs: each a file of JSON lines in the node's spool, shipped to the server by offset.
//!
//! Writers ([`AttemptLog`]) only append; the [`Shipper`] sends what is new a moment later, several attempts at once, on
//! connections of its own, and tries until the server has it. A spool's files go as the server has their bytes, the last ones
//! when the attempt's result is settled too. What waits on disk is bounded for one log and for all of them; what is over that
//! is dropped, and a line says how much. Nothing here can fail an attempt.

mod lines;
mod segments;
mod shipper;
mod spool;

pub(crate) use lines::{LineSplitter, Piece};
pub(crate) use shipper::Shipper;
pub(crate) use spool::{AttemptLog, Position, Resume, Stream};
