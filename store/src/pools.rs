//! Pools: how many slots tasks of a kind may take at once, and how many they take now.

use sqlx::{FromRow, PgConnection};

use crate::{
    StoreError,
    query::filter::{Filter, Listing, OrderBy, Page, Pattern, list},
};

/// The pool of tasks that name none; it is always there.
pub const DEFAULT_POOL: &str = "default_pool";
/// `slots` of a pool without a limit.
pub const INFINITE: i32 = -1;

/// What a pool is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    pub name: String,
    pub slots: i32,
    pub description: Option<String>,
    pub include_deferred: bool,
}

/// A pool and its use, in slots.
#[derive(Clone, Debug, FromRow)]
pub struct PoolRow {
    pub name: String,
    pub slots: i32,
    pub description: Option<String>,
    pub include_deferred: bool,
    pub running: i64,
    /// Placed on a node and not started.
    pub queued: i64,
    /// Ready and waiting for a place.
    pub scheduled: i64,
    pub deferred: i64,
}

impl PoolRow {
    /// Running and queued, and deferred where the pool counts them.
    pub fn occupied(&self) -> i64 {
        self.running + self.queued + if self.include_deferred { self.deferred } else { 0 }
    }

    /// What is left; [`INFINITE`] of a pool without a limit.
    pub fn open(&self) -> i64 {
        if self.slots == INFINITE { INFINITE.into() } else { i64::from(self.slots) - self.occupied() }
    }
}

pub const ORDER_BY: OrderBy = &[("id", "p.id", "bigint"), ("pool", "p.pool", "text"), ("name", "p.pool", "text")];

const SELECT: &str = "p.pool as name, p.slots, p.description, p.include_deferred, coalesce(a.running, 0) as running, \
    coalesce(a.queued, 0) as queued, coalesce(a.scheduled, 0) as scheduled, coalesce(a.deferred, 0) as deferred";
/// The attempts are counted in one pass, not per pool: both are few beside the runs.
const FROM: &str = "slot_pool p left join ( \
        select pool, sum(pool_slots) filter (where waits is null and started_at is not null) as running, \
               sum(pool_slots) filter (where waits is null and started_at is null and executor_id is not null) as queued, \
               sum(pool_slots) filter (where waits is null and started_at is null and executor_id is null) as scheduled, \
               sum(pool_slots) filter (where waits = 'deferred') as deferred \
        from attempt group by pool) a on a.pool = p.pool";

/// One page of pools.
pub async fn page(
    connection: &mut PgConnection,
    name_pattern: &Pattern,
    page: &Page,
) -> Result<Listing<PoolRow>, StoreError> {
    list(connection, (SELECT, FROM), page, &[("p.id", "bigint")], |sql| sql.pattern("p.pool", name_pattern)).await
}

/// One pool.
pub async fn get(connection: &mut PgConnection, name: &str) -> Result<Option<PoolRow>, StoreError> {
    let mut sql = Filter::on(&format!("select {SELECT} from {FROM}"));
    sql.equals("p.pool", Some(name.to_owned()));
    sql.fetch_optional(connection).await
}

/// The pools of these names, as far as they exist.
pub async fn existing(connection: &mut PgConnection, names: &[String]) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar!("select pool from slot_pool where pool = any($1)", names).fetch_all(connection).await?)
}

/// Writes a pool, a new one or (with `overwrite`) over that of the same name; `false` when there is one and it stays.
pub async fn put(connection: &mut PgConnection, pool: &Pool, overwrite: bool) -> Result<bool, StoreError> {
    let written = sqlx::query!(
        "insert into slot_pool (pool, slots, description, include_deferred) values ($1, $2, $3, $4)
         on conflict (pool) do update
         set slots = excluded.slots, description = excluded.description, include_deferred = excluded.include_deferred
         where $5",
        pool.name,
        pool.slots,
        pool.description,
        pool.include_deferred,
        overwrite
    )
    .execute(connection)
    .await?;
    Ok(written.rows_affected() == 1)
}

/// Makes the pool called `name` into `pool`, which may have another name; `false` when there is none of that name.
pub async fn replace(connection: &mut PgConnection, name: &str, pool: &Pool) -> Result<bool, StoreError> {
    let updated = sqlx::query!(
        "update slot_pool set pool = $2, slots = $3, description = $4, include_deferred = $5 where pool = $1",
        name,
        pool.name,
        pool.slots,
        pool.description,
        pool.include_deferred
    )
    .execute(connection)
    .await?;
    Ok(updated.rows_affected() == 1)
}

/// Deletes a pool; `false` when there is none of that name. Tasks that name it wait, with that as the reason.
pub async fn delete(connection: &mut PgConnection, name: &str) -> Result<bool, StoreError> {
    let deleted = sqlx::query!("delete from slot_pool where pool = $1", name).execute(connection).await?;
    Ok(deleted.rows_affected() == 1)
}
