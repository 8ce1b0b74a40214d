//! How requests are read: query strings, paths and JSON bodies, with FastAPI's findings for what does not fit.
//!
//! A handler names a type; its `read` asks a [`Query`] or a [`Body`] for each field. Every finding of a request is collected
//! before it is refused, and the same `read` documents the parameters (a reader that only takes notes), so that the OpenAPI
//! document cannot say anything else than the code does.

mod body;
mod cursor;
mod findings;
mod path;
mod query;

pub(crate) use body::{Body, FromBody, JsonBody};
pub(crate) use cursor::{CursorPage, Cursors};
pub(crate) use path::PathParams;
pub(crate) use query::{FromQuery, Query, QueryParams};
