//! Attempts that wait for dispatch, by plain SQL.

use sqlx::AssertSqlSafe;
use updraft_store::dispatch::{Rules, try_dispatch};

use crate::seed::Seed;

/// A dispatch class in a pool of its own, with no more about it than `more` says: (column, value in SQL) pairs.
pub(crate) async fn class(seed: &Seed, pool: &str, slots: i32, more: &[(&str, &str)]) -> i64 {
    sqlx::query("insert into slot_pool (pool, slots) values ($1, $2) on conflict do nothing")
        .bind(pool)
        .bind(slots)
        .execute(seed.store.pool())
        .await
        .unwrap();
    let mut columns = vec![("pool_slots", "1"), ("queue", "'default'"), ("runner", "'process'")];
    columns.retain(|(column, _)| more.iter().all(|(other, _)| other != column));
    columns.extend(more);
    let (names, values): (Vec<&str>, Vec<&str>) = columns.into_iter().unzip();
    let sql = format!(
        "insert into dispatch_class (pool, {}) values ($1, {}) returning id",
        names.join(", "),
        values.join(", ")
    );
    sqlx::query_scalar(AssertSqlSafe(sql)).bind(pool).fetch_one(seed.store.pool()).await.unwrap()
}

/// `count` waiting attempts of one task of a run, mapped, the highest index written first.
pub(crate) async fn waiting(seed: &Seed, run: i64, class: i64, task: &str, count: i32) {
    sqlx::query(
        "insert into attempt (attempt_id, dag_run_id, task_id, map_index, try_number, dag_fk, class_id, priority_weight,
                              run_order, pool, pool_slots)
         select gen_random_uuid(), r.id, $3, $4 - n, 1, r.dag_fk, c.id, 1, r.run_after, c.pool, c.pool_slots
         from generate_series(1, $4) n, dispatch_class c, dag_run r where c.id = $2 and r.id = $1",
    )
    .bind(run)
    .bind(class)
    .bind(task)
    .bind(count)
    .execute(seed.store.pool())
    .await
    .unwrap();
}

/// A DAG with this `max_active_tasks` and running runs, one day after another.
pub(crate) async fn dag(seed: &Seed, dag_id: &str, max_active_tasks: i32, runs: i32) -> Vec<i64> {
    sqlx::query_scalar(
        "with d as (insert into dag (dag_id, dag_display_name, bundle_name, relative_fileloc, fileloc, max_active_tasks)
                    values ($1, $1, 'main', $1, $1, $2) returning id)
         insert into dag_run (dag_fk, run_id, tag, state, run_type, run_after, dag_version_id)
         select d.id, 'r' || n, 1, 'running', 'manual', '2026-01-01'::timestamptz + make_interval(days => n), 1
         from d, generate_series(1, $3) n returning id",
    )
    .bind(dag_id)
    .bind(max_active_tasks)
    .bind(runs)
    .fetch_all(seed.store.pool())
    .await
    .unwrap()
}

pub(crate) async fn sql(seed: &Seed, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(seed.store.pool()).await.unwrap();
}

/// How many attempts are placed of those that hold a condition.
pub(crate) async fn placed(seed: &Seed, which: &str) -> i64 {
    let sql = format!("select count(*) from attempt where executor_id is not null and {which}");
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(seed.store.pool()).await.unwrap()
}

/// Dispatches, and says how many rows of `attempt` that read.
pub(crate) async fn cycle(seed: &Seed) -> i64 {
    let mut transaction = seed.store.begin().await.unwrap();
    let before = read(&mut transaction).await;
    try_dispatch(&mut transaction, &Rules::new(10_000)).await.unwrap().expect("nobody else has the lock");
    let after = read(&mut transaction).await;
    transaction.commit().await.unwrap();
    after - before
}

/// Rows of `attempt` that this connection read and has not yet reported: of earlier transactions, too.
async fn read(connection: &mut sqlx::PgConnection) -> i64 {
    let sql = "select (seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint from pg_stat_xact_user_tables where relname = 'attempt'";
    sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
}

/// A node `n` with this many slots.
pub(crate) async fn node(seed: &Seed, slots: i32) -> i64 {
    let node = seed.node("n").await;
    sql(seed, &format!("update executor set slots = {slots} where id = {}", node.id)).await;
    node.id
}
