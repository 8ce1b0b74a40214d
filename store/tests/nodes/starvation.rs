//! No starvation: what cannot be placed hides nothing that can, and costs nothing (semantics §7).

use serde_json::json;
use updraft_store::{
    dispatch::{Rules, try_dispatch},
    triggerer::claim,
};

use crate::{
    backlog::{class, cycle, dag, node, placed, sql, waiting},
    seed::Seed,
};

#[tokio::test]
async fn a_full_pool_hides_nothing_and_the_backlog_costs_nothing() {
    let seed = Seed::new().await;
    node(&seed, 400).await;
    let run = dag(&seed, "wide", 5000, 1).await[0];
    let full = class(&seed, "full", 2, &[]).await;
    let free = class(&seed, "free", 100, &[]).await;
    waiting(&seed, run, full, "a", 20_002).await;
    waiting(&seed, run, free, "b", 100).await;
    sql(&seed, "analyze attempt").await;
    cycle(&seed).await;
    let both = async || (placed(&seed, "pool = 'full'").await, placed(&seed, "pool = 'free'").await);
    assert_eq!(both().await, (2, 100), "both are full after one cycle");

    // Ten slots come free; 20,000 wait in the other pool.
    sql(&seed, "delete from attempt where pool = 'free' and map_index < 10").await;
    waiting(&seed, run, free, "c", 30).await;
    sql(&seed, "analyze attempt").await;
    let read = cycle(&seed).await;
    assert_eq!(both().await, (2, 100));
    assert!(read < 1000, "dispatch read {read} rows of `attempt` to place 10 beside 92 placed ones");
}

#[tokio::test]
async fn many_capped_runs_of_one_dag_hide_nothing_and_their_backlog_costs_nothing() {
    let seed = Seed::new().await;
    node(&seed, 40).await;
    let class = class(&seed, "p", -1, &[]).await;
    let runs = dag(&seed, "capped", 1, 26).await;
    for run in &runs {
        waiting(&seed, *run, class, "a", 600).await;
    }
    let other = dag(&seed, "other", 16, 1).await[0];
    sql(&seed, &format!("update dag_run set run_after = '2026-12-31' where id = {other}")).await;
    waiting(&seed, other, class, "only", 1).await;
    sql(&seed, "analyze attempt").await;
    let read = cycle(&seed).await;
    assert_eq!(placed(&seed, "task_id = 'only'").await, 1, "the last of 15,601 is placed in the first cycle");
    assert_eq!(placed(&seed, "task_id = 'a'").await, 26, "one of each capped run");
    assert!(read < 1000, "dispatch read {read} rows of `attempt` to place 27");

    waiting(&seed, other, class, "next", 1).await;
    let read = cycle(&seed).await;
    assert_eq!(placed(&seed, "task_id = 'next'").await, 1);
    assert!(read < 1000, "dispatch read {read} rows of `attempt` to place 1 behind 26 runs at their cap");
}

#[tokio::test]
async fn a_run_with_tasks_in_many_classes_gets_its_cap_and_no_more_and_what_is_left_goes_on() {
    let seed = Seed::new().await;
    node(&seed, 10).await;
    let runs = dag(&seed, "capped", 3, 3).await;
    for pool in ["p", "q", "r", "s"] {
        let class = class(&seed, pool, -1, &[]).await;
        for run in &runs {
            waiting(&seed, *run, class, "a", 20).await;
        }
    }
    cycle(&seed).await;
    for run in &runs {
        assert_eq!(placed(&seed, &format!("dag_run_id = {run}")).await, 3, "max_active_tasks is per run: run {run}");
    }
}

#[tokio::test]
async fn a_capped_task_hides_nothing_and_its_cap_is_one_for_all_runs_and_classes() {
    let seed = Seed::new().await;
    node(&seed, 40).await;
    let cap = [("cap_key", "'d/capped'"), ("cap", "2")];
    let old = class(&seed, "p", -1, &cap).await;
    // The same task in another pool: a new version of the DAG moved it.
    let new = class(&seed, "q", -1, &cap).await;
    let free = class(&seed, "p", -1, &[]).await;
    let runs = dag(&seed, "d2", 16, 3).await;
    for run in &runs {
        waiting(&seed, *run, old, "capped", 500).await;
        waiting(&seed, *run, new, "capped", 500).await;
        waiting(&seed, *run, free, "free", 5).await;
    }
    sql(&seed, "analyze attempt").await;
    let read = cycle(&seed).await;
    assert_eq!(placed(&seed, "task_id = 'capped'").await, 2);
    assert_eq!(placed(&seed, "task_id = 'free'").await, 15);
    assert!(read < 1000, "dispatch read {read} rows of `attempt` to place 17");
}

#[tokio::test]
async fn a_busy_label_hides_nothing() {
    let seed = Seed::new().await;
    node(&seed, 40).await;
    let gpu = seed.node("gpu").await.id;
    sql(&seed, &format!("update executor set slots = 1, labels = '{}' where id = {gpu}", json!({"gpu": "yes"}))).await;
    let run = dag(&seed, "d2", 5000, 1).await[0];
    let labelled = class(&seed, "p", -1, &[("selector", r#"'{"gpu": ["yes"]}'"#)]).await;
    let free = class(&seed, "p", -1, &[]).await;
    waiting(&seed, run, labelled, "gpu", 20_000).await;
    waiting(&seed, run, free, "free", 40).await;
    sql(&seed, "analyze attempt").await;
    cycle(&seed).await;
    let read = cycle(&seed).await;
    assert_eq!(placed(&seed, "task_id = 'gpu'").await, 1);
    assert_eq!(placed(&seed, "task_id = 'free'").await, 40);
    assert!(read < 1000, "dispatch read {read} rows of `attempt` while the label is busy");
}

#[tokio::test]
async fn what_is_paused_or_stale_is_not_placed_and_hides_nothing() {
    let seed = Seed::new().await;
    node(&seed, 10).await;
    let class = class(&seed, "p", -1, &[]).await;
    for (dag_id, set) in [("paused", "is_paused = true"), ("stale", "is_stale = true"), ("live", "is_stale = false")] {
        let run = dag(&seed, dag_id, 16, 1).await[0];
        sql(&seed, &format!("update dag set {set} where dag_id = '{dag_id}'")).await;
        waiting(&seed, run, class, dag_id, 1000).await;
    }
    sql(&seed, "analyze attempt").await;
    let read = cycle(&seed).await;
    assert_eq!((placed(&seed, "task_id = 'live'").await, placed(&seed, "true").await), (10, 10));
    assert!(read < 1000, "dispatch read {read} rows of `attempt` to place 10");
}

#[tokio::test]
async fn the_older_run_goes_first_and_in_it_the_lower_map_index() {
    let seed = Seed::new().await;
    node(&seed, 5).await;
    let class = class(&seed, "p", -1, &[]).await;
    let runs = dag(&seed, "d2", 16, 2).await;
    waiting(&seed, runs[1], class, "later", 4).await;
    waiting(&seed, runs[0], class, "earlier", 4).await;
    cycle(&seed).await;
    let order: Vec<String> = sqlx::query_scalar(
        "select task_id || map_index from attempt where executor_id is not null order by run_order, map_index",
    )
    .fetch_all(seed.store.pool())
    .await
    .unwrap();
    assert_eq!(order, ["earlier0", "earlier1", "earlier2", "earlier3", "later0"]);
}

#[tokio::test]
async fn parallelism_counts_what_runs_on_nodes_that_drain_or_are_lost() {
    let seed = Seed::new().await;
    let leaving = node(&seed, 4).await;
    let class = class(&seed, "p", -1, &[]).await;
    let run = dag(&seed, "d2", 16, 1).await[0];
    waiting(&seed, run, class, "a", 16).await;
    let place = async || {
        let mut transaction = seed.store.begin().await.unwrap();
        try_dispatch(&mut transaction, &Rules::new(6)).await.unwrap().expect("nobody else has the lock");
        transaction.commit().await.unwrap();
    };
    place().await;
    assert_eq!(placed(&seed, "true").await, 4);
    for state in ["draining", "lost"] {
        sql(&seed, &format!("update executor set state = '{state}' where id = {leaving}")).await;
        let another = seed.node(state).await;
        place().await;
        assert_eq!(placed(&seed, "true").await, 6, "a node is {state}");
        sql(&seed, &format!("update executor set state = 'offline' where id = {}", another.id)).await;
    }
}

/// `max_active_tis_per_dag` counts deferred and awaiting_input (semantics §6), so the triggerer's tasks too.
#[tokio::test]
async fn the_triggerer_begins_no_more_of_a_task_than_its_cap() {
    let seed = Seed::new().await;
    let cap = [("runner", "'triggerer'"), ("cap_key", "'d/sensor'"), ("cap", "2")];
    let class = class(&seed, "p", 0, &cap).await;
    let runs = dag(&seed, "d2", 1, 3).await;
    for run in &runs {
        waiting(&seed, *run, class, "sensor", 1).await;
    }
    let due = async || {
        let mut transaction = seed.store.begin().await.unwrap();
        let woken = try_dispatch(&mut transaction, &Rules::new(100)).await.unwrap().expect("nobody else has the lock");
        transaction.commit().await.unwrap();
        let mut transaction = seed.store.begin().await.unwrap();
        let mut claimed: Vec<i64> =
            claim(&mut transaction, 10).await.unwrap().iter().map(|one| one.attempt.dag_run_id).collect();
        // What is due at the same time comes in any order.
        claimed.sort_unstable();
        (woken.triggerer, claimed)
    };
    assert_eq!(due().await, (true, runs[..2].to_vec()), "no pool, no node and no run's limit counts for them");
    for waits in ["deferred", "awaiting_input"] {
        sql(
            &seed,
            &format!("update attempt set trigger_at = 'infinity', waits = '{waits}' where trigger_at is not null"),
        )
        .await;
        assert_eq!(due().await, (false, vec![]), "two are {waits}");
    }
    sql(&seed, &format!("delete from attempt where dag_run_id = {}", runs[0])).await;
    assert_eq!(due().await, (true, vec![runs[2]]), "one ended");
}
