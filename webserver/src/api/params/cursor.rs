//! Cursors: the tokens beside a page that is sought by the values of its sort keys.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use updraft_store::query::{
    filter::Page,
    seek::{Position, Seek, TOTAL_LIMIT},
};

use crate::{
    App,
    error::ApiError,
    sealed::{Purpose, open, seal},
};

/// A token of a page before, not behind.
const BACKWARDS: char = '~';

/// A page of a list that has cursors.
#[derive(Default)]
pub(crate) struct CursorPage {
    pub(crate) page: Page,
    /// The `order_by` of the request: a cursor is worth something in the order it was made in.
    order: String,
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    order: String,
    position: Position,
}

/// What a list tells about the pages beside.
#[derive(Default)]
pub(crate) struct Cursors {
    pub(crate) total_entries_limit: Option<i64>,
    pub(crate) next: Option<String>,
    pub(crate) previous: Option<String>,
}

impl CursorPage {
    /// `token`: the parameter `cursor`; empty for the first page, `None` for paging by offset.
    pub(super) fn new(page: Page, order: String, token: Option<&str>, secret: &SecretString) -> Result<Self, ApiError> {
        let seek = match token {
            None => None,
            Some("") => Some(Seek::default()),
            Some(token) => Some(
                read(token, &order, secret).ok_or_else(|| ApiError::BadRequest("Invalid cursor token".to_owned()))?,
            ),
        };
        Ok(Self { page: Page { seek, ..page }, order })
    }

    /// The tokens of the pages beside the one that was found.
    pub(crate) fn cursors<T>(
        &self,
        app: &App,
        found: &updraft_store::query::filter::Listing<T>,
    ) -> Result<Cursors, ApiError> {
        if self.page.seek.is_none() {
            return Ok(Cursors::default());
        }
        let token = |position: &Position| {
            let sealed = Sealed { order: self.order.clone(), position: position.clone() };
            let text = serde_json::to_string(&sealed).map_err(ApiError::internal)?;
            Ok::<_, ApiError>(seal(&app.config.jwt_secret, Purpose::Cursor, &text))
        };
        let next = found.neighbours.next.as_ref().map(token).transpose()?;
        let previous = found.neighbours.previous.as_ref().map(token).transpose()?;
        Ok(Cursors {
            total_entries_limit: Some(TOTAL_LIMIT),
            next,
            previous: previous.map(|token| format!("{BACKWARDS}{token}")),
        })
    }
}

fn read(token: &str, order: &str, secret: &SecretString) -> Option<Seek> {
    let (token, backwards) = token.strip_prefix(BACKWARDS).map_or((token, false), |token| (token, true));
    let sealed: Sealed = serde_json::from_str(&open(secret, Purpose::Cursor, token)?).ok()?;
    (sealed.order == order).then_some(Seek { from: Some(sealed.position), backwards })
}
