//! Keyset paging: a page continues behind (or before) a row, named by the values of its sort keys, so rows that come or go
//! meanwhile neither repeat nor hide others.

use sqlx::{FromRow, PgConnection, Row, postgres::PgRow};

use super::filter::{Filter, Listing, Order, Page, Source, count};
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
    source: &Source<'_>,
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
    let mut filter = source.rows(&format!(", array[{}] as cursor_position", position.join(", ")));
    apply(&mut filter);
    if let Some(from) = &seek.from {
        filter.beyond(&keys, from);
    }
    let mut rows: Vec<Placed<T>> = filter.fetch_keys(connection, source, &keys, page.limit + 1, 0).await?;
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
    let total = count(connection, source, page, Some(TOTAL_LIMIT), apply).await?;
    Ok(Listing { rows: rows.into_iter().map(|placed| placed.row).collect(), total, neighbours })
}

/// Sort keys that are never null. Behind a position in such keys alone a page begins by one comparison of rows, which an index
/// of them serves; any other expression is compared key by key, with room for nulls.
const NEVER_NULL: &[&str] =
    &["r.id", "r.run_after", "d.dag_id", "t.map_index", "t.dag_run_id", "t.task_id", "l.id", "l.dttm"];

impl Filter {
    /// Rows that come after a position.
    fn beyond(&mut self, keys: &[Order], position: &[Option<String>]) {
        let descending = keys.first().is_some_and(|key| key.descending);
        let is_plain = |key: &Order| key.descending == descending && NEVER_NULL.contains(&key.expression);
        let plain = keys.iter().zip(position).take_while(|(key, value)| is_plain(key) && value.is_some()).count();
        if plain == keys.len() {
            self.compare(if descending { "<" } else { ">" }, keys, position);
        } else {
            self.beyond_each(keys, position);
        }
        // An index serves keys of one table: it begins at those that stand first.
        let table = |key: &Order| key.expression.split('.').next();
        let same = keys.iter().take(plain).take_while(|key| table(key) == keys.first().and_then(table)).count();
        if (1..keys.len()).contains(&same) {
            self.compare(if descending { "<=" } else { ">=" }, &keys[..same], &position[..same]);
        }
    }

    /// `(a, b) > (1, 2)`; no value is null.
    fn compare(&mut self, operator: &str, keys: &[Order], values: &[Option<String>]) {
        let names: Vec<&str> = keys.iter().map(|key| key.expression).collect();
        let sql = self.and();
        sql.push("(").push(names.join(", ")).push(") ").push(operator).push(" (");
        for (index, (key, value)) in keys.iter().zip(values).enumerate() {
            sql.push(if index > 0 { ", " } else { "" }).push_bind(value.clone()).push("::text::").push(key.kind);
        }
        sql.push(")");
    }

    /// By the first key, or equal in it and by the second, and so on.
    fn beyond_each(&mut self, keys: &[Order], position: &[Option<String>]) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn key(expression: &'static str, kind: &'static str, descending: bool) -> Order {
        Order { expression, kind, descending }
    }

    fn condition(keys: &[Order], position: &[Option<&str>]) -> String {
        let mut filter = Filter::on("select 1 from t");
        filter.beyond(keys, &position.iter().map(|value| value.map(str::to_owned)).collect::<Vec<_>>());
        filter.text().split_once(" where ").unwrap().1.to_owned()
    }

    #[test]
    fn keys_without_nulls_are_compared_as_a_row() {
        let keys = [key("r.run_after", "timestamptz", true), key("r.id", "bigint", true)];
        let expected = "(r.run_after, r.id) < ($1::text::timestamptz, $2::text::bigint)";
        assert_eq!(condition(&keys, &[Some("2024-05-01"), Some("3")]), expected);
    }

    #[test]
    fn those_of_the_first_table_are_compared_by_themselves_too() {
        let keys = [key("r.id", "bigint", false), key("t.task_id", "text", false)];
        let expected = "(r.id, t.task_id) > ($1::text::bigint, $2::text::text) and (r.id) >= ($3::text::bigint)";
        assert_eq!(condition(&keys, &[Some("3"), Some("a")]), expected);
    }

    #[test]
    fn keys_with_nulls_or_mixed_directions_are_compared_one_by_one() {
        let nulls = [key("r.logical_date", "timestamptz", false), key("r.id", "bigint", false)];
        assert!(condition(&nulls, &[Some("2024-05-01"), Some("3")]).contains("r.logical_date is null"));
        let mixed = [key("r.run_after", "timestamptz", true), key("r.id", "bigint", false)];
        let condition = condition(&mixed, &[Some("2024-05-01"), Some("3")]);
        assert!(condition.contains("is not distinct from"), "{condition}");
        assert!(condition.contains(" and (r.run_after) <= ("), "{condition}");
    }
}
