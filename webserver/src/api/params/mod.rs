//! How requests are read: query strings, paths and JSON bodies, with FastAPI's findings for what does not fit.
//!
//! A handler names a type; its `read` asks a [`Query`] or a [`Body`] for each field. Every finding of a request is collected
//! before it is refused, and the same `read` documents parameters and bodies (a reader that only takes notes), so that the OpenAPI
//! document cannot say anything else than the code does.

mod body;
mod cursor;
mod findings;
mod json_body;
mod notes;
mod path;
mod query;
mod values;

pub(crate) use body::Body;
pub(crate) use cursor::{CursorPage, Cursors};
pub(crate) use json_body::{FromBody, JsonBody, NOTED, described, schema_name, schema_of};
pub(crate) use path::PathParams;
pub(crate) use query::{FromQuery, Query, QueryParams};
