//! What every list shares: paging, ordering, ranges, patterns (Airflow 3: `api_fastapi/common/parameters.py`).

use sqlx::{Encode, Execute, FromRow, PgConnection, Postgres, QueryBuilder, Type, postgres::PgRow};

use super::{
    seek::{Neighbours, Seek},
    totals::Totals,
};
use crate::StoreError;

/// A sort key: an SQL expression of one of the whitelists (`ORDER_BY`) in this folder, never text of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    pub expression: &'static str,
    /// The expression's SQL type.
    pub kind: &'static str,
    pub descending: bool,
}

/// Sort names of the API, the SQL expressions they stand for, and those expressions' types.
pub type OrderBy = &'static [(&'static str, &'static str, &'static str)];

/// One page of a list.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Rows at most; 0 is legal and returns none.
    pub limit: i64,
    pub offset: i64,
    pub order: Vec<Order>,
    /// Seek instead of counting rows off; `offset` is ignored then.
    pub seek: Option<Seek>,
    /// Where totals are kept between the pages of a list; by default each page counts anew.
    pub totals: Totals,
}

impl Page {
    /// Everything, in the order of the tie-breaker.
    pub(crate) const ALL: Self =
        Self { limit: i64::MAX, offset: 0, order: Vec::new(), seek: None, totals: Totals::NONE };

    /// The sort keys with the primary key (`tie`) behind them, descending when the first key is. What is sorted by already is
    /// not repeated.
    pub(super) fn keys(&self, tie: &[(&'static str, &'static str)]) -> Vec<Order> {
        let descending = self.order.first().is_some_and(|order| order.descending);
        let ties = tie.iter().map(|&(expression, kind)| Order { expression, kind, descending });
        let mut keys: Vec<Order> = Vec::with_capacity(self.order.len() + tie.len());
        for key in self.order.iter().copied().chain(ties) {
            if keys.iter().all(|known| known.expression != key.expression) {
                keys.push(key);
            }
        }
        keys
    }
}

/// Four optional bounds, combined with AND.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range<T> {
    pub gte: Option<T>,
    pub gt: Option<T>,
    pub lte: Option<T>,
    pub lt: Option<T>,
}

impl<T> Default for Range<T> {
    fn default() -> Self {
        Self { gte: None, gt: None, lte: None, lt: None }
    }
}

/// The pair `*_pattern` and `*_prefix_pattern`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pattern {
    /// Case-insensitive `ILIKE '%term%'`; `|` separates alternatives; `%` and `_` stay wildcards; `~` matches all.
    pub pattern: Option<String>,
    /// Case-sensitive prefix; trailing non-alphanumerics are dropped; `|` separates alternatives; `~` matches every non-null.
    pub prefix: Option<String>,
}

impl Pattern {
    /// Whether neither half is given.
    pub fn is_empty(&self) -> bool {
        self.pattern.is_none() && self.prefix.is_none()
    }
}

/// A page's rows and how many there are in all.
#[derive(Clone, Debug)]
pub struct Listing<T> {
    pub rows: Vec<T>,
    /// While seeking at most [`TOTAL_LIMIT`](super::seek::TOTAL_LIMIT).
    pub total: i64,
    /// Filled while seeking.
    pub neighbours: Neighbours,
}

/// What a list reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    /// What an answer shows of each row.
    pub(crate) select: &'a str,
    /// The table of the rows with its alias, `task_instance t`.
    pub(crate) table: &'a str,
    /// The table and the joins that `select` needs; each finds at most one row.
    pub(crate) from: &'a str,
    /// Set: a page's rows are chosen before they are joined, through these joins alone, which conditions and sort keys may
    /// name. As LEFT JOINs by a unique key Postgres leaves out those that nobody names, so that a row that is skipped or counted
    /// costs only itself.
    pub(crate) choose: Option<&'a str>,
}

impl<'a> From<(&'a str, &'a str)> for Source<'a> {
    fn from((select, from): (&'a str, &'a str)) -> Self {
        Self { select, table: from, from, choose: None }
    }
}

impl Source<'_> {
    /// The statement up to (not including) the conditions; `more` is selected too.
    pub(super) fn rows(&self, more: &str) -> Filter {
        let Self { select, table, from, choose } = self;
        Filter::on(&match choose {
            None => format!("select {select}{more} from {from}"),
            Some(choose) => format!("select {select}{more} from (select {}.* from {table}{choose}", self.alias()),
        })
    }

    /// The rows to count, up to the conditions.
    fn counted(&self) -> String {
        self.choose.map_or_else(|| self.from.to_owned(), |choose| format!("{}{choose}", self.table))
    }

    fn alias(&self) -> &str {
        self.table.rsplit(' ').next().unwrap_or(self.table)
    }

    fn joins(&self) -> &str {
        self.from.strip_prefix(self.table).unwrap_or_default()
    }
}

/// The joins of [`Source::choose`] with the first one inner: for an order by what its table has, so that Postgres may go through
/// that in order and find the rows from there. A LEFT JOIN always begins at the rows.
pub(super) fn led_by(choose: &str) -> &str {
    choose.strip_prefix(" left").unwrap_or(choose)
}

/// Conditions joined by AND, collected before a SELECT is chosen, so that rows and count share them.
pub(crate) struct Filter {
    sql: QueryBuilder<Postgres>,
    empty: bool,
}

impl Filter {
    /// Starts from the text up to (not including) `where`.
    pub(crate) fn on(select: &str) -> Self {
        Self { sql: QueryBuilder::new(select), empty: true }
    }

    /// Opens the next condition; push its text and binds on what is returned.
    pub(crate) fn and(&mut self) -> &mut QueryBuilder<Postgres> {
        self.sql.push(if std::mem::take(&mut self.empty) { " where " } else { " and " });
        &mut self.sql
    }

    /// The conditions of a SELECT inside the condition opened last.
    pub(crate) fn within(&mut self, write: impl FnOnce(&mut Self)) {
        let empty = std::mem::replace(&mut self.empty, true);
        write(self);
        self.empty = empty;
    }

    /// The condition opened last, for more text and binds.
    pub(crate) fn continued(&mut self) -> &mut QueryBuilder<Postgres> {
        &mut self.sql
    }

    /// `expression = value`, when there is a value.
    pub(crate) fn equals<T>(&mut self, expression: &str, value: Option<T>)
    where
        T: for<'q> Encode<'q, Postgres> + Type<Postgres> + Send,
    {
        if let Some(value) = value {
            self.and().push(expression).push(" = ").push_bind(value);
        }
    }

    /// `expression = any(values)`, when the list is not empty.
    pub(crate) fn any_of<T>(&mut self, expression: &str, values: &[T])
    where
        for<'q> Vec<T>: Encode<'q, Postgres> + Type<Postgres>,
        T: Clone + Send,
    {
        if !values.is_empty() {
            self.and().push(expression).push(" = any(").push_bind(values.to_vec()).push(")");
        }
    }

    pub(crate) fn range<T>(&mut self, expression: &str, range: &Range<T>)
    where
        T: for<'q> Encode<'q, Postgres> + Type<Postgres> + Copy + Send,
    {
        let bounds = [(" >= ", range.gte), (" > ", range.gt), (" <= ", range.lte), (" < ", range.lt)];
        for (operator, bound) in bounds {
            if let Some(bound) = bound {
                self.and().push(expression).push(operator).push_bind(bound);
            }
        }
    }

    pub(crate) fn pattern(&mut self, expression: &str, pattern: &Pattern) {
        if let Some(text) = &pattern.pattern {
            self.alternatives(text, |sql, term| {
                sql.push(expression).push(" ilike ").push_bind(format!("%{term}%"));
            });
        }
        if let Some(text) = &pattern.prefix {
            if text.trim() == "~" {
                self.and().push(expression).push(" is not null");
            } else {
                self.alternatives(text, |sql, term| {
                    let term = term.trim_end_matches(|c: char| !c.is_alphanumeric());
                    sql.push("starts_with(").push(expression).push(", ").push_bind(term.to_owned()).push(")");
                });
            }
        }
    }

    /// `(a or b)` for `a|b`; nothing for an empty text or `~`.
    fn alternatives(&mut self, text: &str, mut write: impl FnMut(&mut QueryBuilder<Postgres>, &str)) {
        let terms: Vec<&str> = text.split('|').map(str::trim).filter(|term| !term.is_empty()).collect();
        if terms.is_empty() || text.trim() == "~" {
            return;
        }
        let sql = self.and();
        sql.push("(");
        for (index, term) in terms.into_iter().enumerate() {
            if index > 0 {
                sql.push(" or ");
            }
            write(sql, term);
        }
        sql.push(")");
    }

    /// The single row the conditions name.
    pub(crate) async fn fetch_optional<T>(mut self, connection: &mut PgConnection) -> Result<Option<T>, StoreError>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        Ok(self.sql.build_query_as().fetch_optional(connection).await?)
    }

    /// The one column of every row the conditions leave.
    pub(crate) async fn fetch_scalars<T>(mut self, connection: &mut PgConnection) -> Result<Vec<T>, StoreError>
    where
        T: for<'r> sqlx::Decode<'r, Postgres> + Type<Postgres> + Send + Unpin,
    {
        Ok(self.sql.build_query_scalar().fetch_all(connection).await?)
    }

    /// Every row the conditions leave.
    pub(crate) async fn fetch_all<T>(mut self, connection: &mut PgConnection) -> Result<Vec<T>, StoreError>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        Ok(self.sql.build_query_as().fetch_all(connection).await?)
    }

    /// The rows of a page. The primary key (`tie`) is appended, descending when the first key is.
    pub(crate) async fn fetch_page<T>(
        self,
        connection: &mut PgConnection,
        page: &Page,
        tie: &[(&'static str, &'static str)],
    ) -> Result<Vec<T>, StoreError>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        self.fetch_keys(connection, &Source::from(("", "")), &page.keys(tie), page.limit, page.offset).await
    }

    /// The rows of `source`, whose statement this is, in the order of `keys`.
    pub(super) async fn fetch_keys<T>(
        mut self,
        connection: &mut PgConnection,
        source: &Source<'_>,
        keys: &[Order],
        limit: i64,
        offset: i64,
    ) -> Result<Vec<T>, StoreError>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        self.order(keys);
        // A limit that the planner does not know is taken for a tenth of the table. As text there are as many statements as
        // there are sizes of pages, and Postgres keeps one plan for each instead of making one for every request.
        self.sql.push(" limit ").push(limit);
        if offset > 0 {
            // A bare parameter would be planned with its value, for every request.
            self.sql.push(" offset (select ").push_bind(offset).push(")");
        }
        if source.choose.is_some() {
            self.sql.push(") ").push(source.alias()).push(source.joins());
            self.order(keys);
        }
        Ok(self.sql.build_query_as().fetch_all(connection).await?)
    }

    fn order(&mut self, keys: &[Order]) {
        let key = |key: &Order| format!("{}{}", key.expression, if key.descending { " desc" } else { "" });
        let keys: Vec<String> = keys.iter().map(key).collect();
        self.sql.push(" order by ").push(keys.join(", "));
    }

    /// How many rows there are; the text given to [`Filter::on`] was `select count(*) from …`.
    pub(crate) async fn count(mut self, connection: &mut PgConnection) -> Result<i64, StoreError> {
        Ok(self.sql.build_query_scalar().fetch_one(connection).await?)
    }

    /// The statement with its values: equal for equal questions.
    fn question(mut self) -> String {
        let mut query = self.sql.build();
        let values = query.take_arguments().ok().flatten();
        format!("{} {values:?}", query.sql().as_str())
    }

    #[cfg(test)]
    pub(super) fn text(&self) -> String {
        self.sql.sql().as_str().to_owned()
    }
}

/// A page and its total. The count is skipped when the page itself tells: it is not full, and not beyond the end.
pub(crate) async fn list<'a, T>(
    connection: &mut PgConnection,
    source: impl Into<Source<'a>>,
    page: &Page,
    tie: &[(&'static str, &'static str)],
    apply: impl Fn(&mut Filter),
) -> Result<Listing<T>, StoreError>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let source = source.into();
    if let Some(seek) = &page.seek {
        return super::seek::list(connection, &source, page, seek, tie, apply).await;
    }
    let mut rows: Vec<T> = Vec::new();
    if page.limit > 0 {
        let mut filter = source.rows("");
        apply(&mut filter);
        rows = filter.fetch_keys(connection, &source, &page.keys(tie), page.limit, page.offset).await?;
    }
    let seen = rows.len() as i64;
    if seen < page.limit && (seen > 0 || page.offset == 0) {
        return Ok(Listing { rows, total: page.offset + seen, neighbours: Neighbours::default() });
    }
    let total = count(connection, &source, page, None, apply).await?;
    // What was kept may be older than the rows.
    let least = if seen > 0 { page.offset + seen } else { 0 };
    Ok(Listing { rows, total: total.max(least), neighbours: Neighbours::default() })
}

/// How many rows the conditions leave, counted up to `most`; what the page's totals have is not counted again.
pub(super) async fn count(
    connection: &mut PgConnection,
    source: &Source<'_>,
    page: &Page,
    most: Option<i64>,
    apply: impl Fn(&mut Filter),
) -> Result<i64, StoreError> {
    let statement = || {
        let mut filter = match most {
            None => Filter::on(&format!("select count(*) from {}", source.counted())),
            Some(_) => Filter::on(&format!("select count(*) from (select 1 from {}", source.counted())),
        };
        apply(&mut filter);
        if let Some(most) = most {
            filter.sql.push(" limit ").push(most).push(") capped");
        }
        filter
    };
    page.totals.get(|| statement().question(), || statement().count(connection)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_joined_by_and() {
        let mut filter = Filter::on("select 1 from t");
        filter.equals("a", Some(1_i64));
        filter.equals::<i64>("b", None);
        filter.any_of("c", &["x".to_owned()]);
        filter.range("d", &Range { gte: Some(1_i64), lt: Some(2), ..Range::default() });
        assert_eq!(filter.text(), "select 1 from t where a = $1 and c = any($2) and d >= $3 and d < $4");
    }

    #[test]
    fn a_pattern_splits_into_alternatives() {
        let mut filter = Filter::on("select 1 from t");
        filter.pattern("a", &Pattern { pattern: Some("x | y|".to_owned()), prefix: Some("z_".to_owned()) });
        assert_eq!(filter.text(), "select 1 from t where (a ilike $1 or a ilike $2) and (starts_with(a, $3))");
    }

    #[test]
    fn what_is_sorted_by_already_is_no_tie_breaker() {
        let order = vec![Order { expression: "b", kind: "integer", descending: true }];
        let page = Page { order, ..Page::default() };
        let keys: Vec<_> = page.keys(&[("a", "bigint"), ("b", "integer")]).iter().map(|key| key.expression).collect();
        assert_eq!(keys, ["b", "a"]);
    }

    #[test]
    fn equal_questions_are_equal_and_others_are_not() {
        let asked = |value: i64| {
            let mut filter = Filter::on("select count(*) from t");
            filter.equals("a", Some(value));
            filter.question()
        };
        assert_eq!(asked(1), asked(1));
        assert_ne!(asked(1), asked(2));
    }

    #[test]
    fn a_tilde_matches_all() {
        let mut filter = Filter::on("select 1 from t");
        filter.pattern("a", &Pattern { pattern: Some("~".to_owned()), prefix: Some("~".to_owned()) });
        assert_eq!(filter.text(), "select 1 from t where a is not null");
    }
}
