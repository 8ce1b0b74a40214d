//! Keyset paging: a page continues behind (or before) a row, named by the values of its sort keys, so rows that come or go
//! meanwhile neither repeat nor hide others.

use sqlx::{FromRow, PgConnection, Row, postgres::PgRow};

use super::filter::{Filter, Listing, Order, Page};
use crate::StoreError;

/// Entries counted at most while seeking; more are reported as this many.
pub const TOTAL_LIMIT: i64 = 1000;

/// The values of a row's sort keys as Postgres writes them, in the order of the keys.
pub type Position = Vec<Option<String>>;

/// Where a page begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seek {
    /// `None`: at the list's beginning.
    pub from: Option<Position>,
    /// The page ends before `from` instead of beginning behind it.
    pub backwards: bool,
}

/// Where the pages beside one begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Neighbours {
    pub next: Option<Position>,
    /// To be sought backwards.
    pub previous: Option<Position>,
}

/// A row and its position.
struct Placed<T> {
    row: T,
    position: Position,
}

impl<'r, T: FromRow<'r, PgRow>> FromRow<'r, PgRow> for Placed<T> {
    fn from_row(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self { position: row.try_get("cursor_position")?, row: T::from_row(row)? })
    }
}

/// The page that `seek` names.
pub(super) async fn list<T>(
    connection: &mut PgConnection,
    (select, from): (&str, &str),
    page: &Page,
    seek: &Seek,
    tie: &[(&'static str, &'static str)],
    apply: impl Fn(&mut Filter),
) -> Result<Listing<T>, StoreError>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let mut keys = page.keys(tie);
    if seek.backwards {
        // Nulls come last ascending and first descending, so the reverse of an order is its keys reversed.
        for key in &mut keys {
            key.descending = !key.descending;
        }
    }
    let position: Vec<String> = keys.iter().map(|key| format!("({})::text", key.expression)).collect();
    let mut filter =
        Filter::on(&format!("select {select}, array[{}] as cursor_position from {from}", position.join(", ")));
    apply(&mut filter);
    if let Some(from) = &seek.from {
        filter.beyond(&keys, from);
    }
    let mut rows: Vec<Placed<T>> = filter.fetch_keys(connection, &keys, page.limit + 1, 0).await?;
    let more = rows.len() as i64 > page.limit;
    rows.truncate(usize::try_from(page.limit).unwrap_or(0));
    if seek.backwards {
        rows.reverse();
    }
    let first = rows.first().map(|row| row.position.clone());
    let last = rows.last().map(|row| row.position.clone());
    let neighbours = Neighbours {
        next: last.filter(|_| more || seek.backwards),
        previous: first.filter(|_| if seek.backwards { more } else { seek.from.is_some() }),
    };
    let mut filter = Filter::on(&format!("select count(*) from (select 1 from {from}"));
    apply(&mut filter);
    let total = filter.count_capped(connection, TOTAL_LIMIT).await?;
    Ok(Listing { rows: rows.into_iter().map(|placed| placed.row).collect(), total, neighbours })
}

impl Filter {
    /// Rows that come after a position: by the first key, or equal in it and by the second, and so on.
    fn beyond(&mut self, keys: &[Order], position: &[Option<String>]) {
        let sql = self.and();
        sql.push("(");
        for (index, (key, value)) in keys.iter().zip(position).enumerate() {
            sql.push(if index > 0 { " or (" } else { "(" });
            for (equal, value) in keys.iter().zip(position).take(index) {
                sql.push(equal.expression).push(" is not distinct from ").push_bind(value.clone());
                sql.push("::text::").push(equal.kind).push(" and ");
            }
            let Order { expression, descending, kind } = *key;
            match (descending, value) {
                // Nulls are last: nothing comes after one, and it comes after everything.
                (false, None) => drop(sql.push("false")),
                (false, Some(value)) => {
                    sql.push("(").push(expression).push(" > ").push_bind(value.clone());
                    sql.push("::text::").push(kind).push(" or ").push(expression).push(" is null)");
                }
                (true, None) => drop(sql.push(expression).push(" is not null")),
                (true, Some(value)) => {
                    sql.push(expression).push(" < ").push_bind(value.clone()).push("::text::").push(kind);
                }
            }
            sql.push(")");
        }
        sql.push(")");
    }
}
