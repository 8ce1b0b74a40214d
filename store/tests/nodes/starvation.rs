//! No starvation: what cannot be placed hides nothing that can, and costs nothing (semantics §7).

use updraft_store::dispatch::try_dispatch;

use crate::seed::Seed;

/// `count` waiting attempts in a class of their own for a pool.
async fn waiting(seed: &Seed, pool: &str, slots: i32, count: i32) -> i64 {
    sqlx::query("insert into slot_pool (pool, slots) values ($1, $2)")
        .bind(pool)
        .bind(slots)
        .execute(seed.store.pool())
        .await
        .unwrap();
    let class: i64 = sqlx::query_scalar(
        "insert into dispatch_class (pool, pool_slots, queue, runner) values ($1, 1, 'default', 'process') returning id",
    )
    .bind(pool)
    .fetch_one(seed.store.pool())
    .await
    .unwrap();
    sqlx::query(
        "insert into attempt (attempt_id, dag_run_id, task_id, map_index, try_number, dag_fk, class_id, priority_weight,
                              run_order, pool, pool_slots)
         select gen_random_uuid(), $1, 't0', n, 1, 1, $2, 1, now(), $3, 1 from generate_series(1, $4) n",
    )
    .bind(seed.run)
    .bind(class)
    .bind(pool)
    .bind(count)
    .execute(seed.store.pool())
    .await
    .unwrap();
    class
}

async fn placed(seed: &Seed, pool: &str) -> i64 {
    sqlx::query_scalar("select count(*) from attempt where pool = $1 and executor_id is not null")
        .bind(pool)
        .fetch_one(seed.store.pool())
        .await
        .unwrap()
}

/// Dispatches, and says how many rows of `attempt` that read.
async fn cycle(seed: &Seed) -> i64 {
    let mut transaction = seed.store.begin().await.unwrap();
    try_dispatch(&mut transaction, 10_000).await.unwrap().expect("nobody else has the lock");
    let read: i64 = sqlx::query_scalar(
        "select (seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint from pg_stat_xact_user_tables where relname = 'attempt'",
    )
    .fetch_one(&mut *transaction)
    .await
    .unwrap();
    transaction.commit().await.unwrap();
    read
}

#[tokio::test]
async fn a_full_pool_hides_nothing_and_the_backlog_costs_nothing() {
    let seed = Seed::new().await;
    let node = seed.node("n").await;
    let set = format!("update executor set slots = 400 where id = {}; update dag set max_active_tasks = 5000", node.id);
    sqlx::raw_sql(sqlx::AssertSqlSafe(set)).execute(seed.store.pool()).await.unwrap();
    waiting(&seed, "full", 2, 20_002).await;
    waiting(&seed, "free", 100, 100).await;
    sqlx::query("analyze attempt").execute(seed.store.pool()).await.unwrap();
    cycle(&seed).await;
    assert_eq!((placed(&seed, "full").await, placed(&seed, "free").await), (2, 100), "both are full after one cycle");

    // Ten slots come free; 20,000 wait in the other pool.
    sqlx::raw_sql(
        "delete from attempt where ctid in (select ctid from attempt where pool = 'free' and executor_id is not null limit 10);
         insert into attempt (attempt_id, dag_run_id, task_id, map_index, try_number, dag_fk, class_id, priority_weight,
                              run_order, pool, pool_slots)
         select gen_random_uuid(), dag_run_id, 't0', map_index + 1000, 1, 1, class_id, 1, now(), 'free', 1
         from attempt where pool = 'free' limit 30;
         analyze attempt",
    )
    .execute(seed.store.pool())
    .await
    .unwrap();
    let read = cycle(&seed).await;
    assert_eq!((placed(&seed, "full").await, placed(&seed, "free").await), (2, 100));
    assert!(read < 1000, "dispatch read {read} rows of `attempt` to place 10 beside 92 placed ones");
}
