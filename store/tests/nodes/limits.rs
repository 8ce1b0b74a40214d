//! What each limit counts (semantics §6), and why dispatch passes an attempt over (§7.3).

use updraft_store::{
    dispatch::{Rules, try_dispatch},
    explain::{Why, why},
};

use crate::{
    backlog::{class, cycle, dag, node, placed, sql, waiting},
    seed::Seed,
};

/// Three attempts of a pool of three slots: in which states they hold its slots, without and with `include_deferred`.
#[tokio::test]
async fn a_pool_counts_as_in_the_table() {
    for (state, set, by_default, with_deferred) in [
        ("scheduled", "priority_weight = 9", 0, 0),
        ("queued", "executor_id = 1, placed_at = now()", 3, 3),
        ("running", "executor_id = 1, placed_at = now(), handed_at = now(), started_at = now()", 3, 3),
        ("deferred", "trigger_at = 'infinity', waits = 'deferred'", 0, 3),
        ("awaiting_input", "trigger_at = 'infinity', waits = 'awaiting_input'", 0, 0),
    ] {
        for (include_deferred, used) in [(false, by_default), (true, with_deferred)] {
            let seed = Seed::new().await;
            node(&seed, 40).await;
            let unserved = class(&seed, "p", 3, &[("queue", "'nobody'")]).await;
            let class = class(&seed, "p", 3, &[]).await;
            let run = dag(&seed, "d2", 100, 1).await[0];
            waiting(&seed, run, unserved, "holds", 3).await;
            sql(
                &seed,
                &format!("update attempt set {set}; update slot_pool set include_deferred = {include_deferred}"),
            )
            .await;
            waiting(&seed, run, class, "asks", 10).await;
            cycle(&seed).await;
            let room = placed(&seed, "task_id = 'asks'").await;
            assert_eq!(room, 3 - used, "{state}, include_deferred {include_deferred}");
        }
    }
}

#[tokio::test]
async fn max_active_tasks_counts_per_run_and_not_what_is_deferred() {
    let seed = Seed::new().await;
    node(&seed, 40).await;
    let class = class(&seed, "p", -1, &[]).await;
    let runs = dag(&seed, "d2", 2, 2).await;
    for run in &runs {
        waiting(&seed, *run, class, "deferred", 5).await;
    }
    sql(&seed, "update attempt set trigger_at = 'infinity', waits = 'deferred'").await;
    for run in &runs {
        waiting(&seed, *run, class, "a", 5).await;
    }
    cycle(&seed).await;
    assert_eq!(placed(&seed, "true").await, 4, "2 runs × 2");
}

/// The reason, what is special of the class, and the SQL that makes it so.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

/// A task that cannot be placed, why, and that another of a lower priority is placed in the same cycle all the same.
#[tokio::test]
async fn what_is_passed_over_says_why_and_lets_others_pass() {
    let cases: &[Case<'_>] = &[
        ("pool_missing", &[], "delete from slot_pool where pool = 'p'"),
        (
            "pool_full",
            &[],
            "update slot_pool set slots = 1 where pool = 'p';
             insert into attempt (attempt_id, dag_run_id, task_id, map_index, try_number, dag_fk, class_id, priority_weight, run_order,
                                  pool, pool_slots, executor_id, placed_at)
             select gen_random_uuid(), dag_run_id, 'holds', -1, 1, dag_fk, class_id, 1, run_order, pool, pool_slots, 1, now()
             from attempt where task_id = 't0'",
        ),
        ("pool_too_small", &[("pool_slots", "3")], "update slot_pool set slots = 2 where pool = 'p'"),
        ("max_active_tasks", &[], "update dag set max_active_tasks = 0 where dag_id = 'd2'"),
        ("max_active_tis_per_dag", &[("cap_key", "'d/t'"), ("cap", "0")], "select 1"),
        ("no_node_for_queue", &[("queue", "'nobody'")], "select 1"),
        ("no_node_with_labels", &[("selector", r#"'{"gpu": ["yes"]}'"#)], "select 1"),
        ("nodes_away", &[("queue", "'busy'")], "update executor set state = 'draining' where name = 'busy'"),
        ("nodes_full", &[("queue", "'busy'")], "update executor set slots = 0 where name = 'busy'"),
        ("dag_paused", &[], "update dag set is_paused = true where dag_id = 'd2'"),
        ("dag_stale", &[], "update dag set is_stale = true where dag_id = 'd2'"),
    ];
    for (code, more, set) in cases {
        let seed = Seed::new().await;
        node(&seed, 40).await;
        seed.node("busy").await;
        sql(&seed, "update executor set queues = '{busy}' where name = 'busy'").await;
        let held = class(&seed, "p", 10, more).await;
        let free = class(&seed, "q", 10, &[]).await;
        let run = dag(&seed, "d2", 100, 1).await[0];
        let other = dag(&seed, "d3", 100, 1).await[0];
        waiting(&seed, run, held, "t0", 1).await;
        waiting(&seed, other, free, "free", 1).await;
        sql(
            &seed,
            "update attempt set priority_weight = 9, map_index = -1 where task_id = 't0';
             insert into task_instance (dag_run_id, task_id, attempt_id, state, operator, pool, queue)
             select dag_run_id, task_id, attempt_id, 'scheduled', 'x', 'p', 'default' from attempt where task_id = 't0'",
        )
        .await;
        sql(&seed, set).await;
        cycle(&seed).await;
        assert_eq!(placed(&seed, "task_id = 't0'").await, 0, "{code}: {set}");
        assert_eq!(placed(&seed, "task_id = 'free'").await, 1, "{code}: {set}");
        let found = why(&seed.store, &seed.dags, 100, "d2", "r1", "t0", -1).await.unwrap();
        let Why::Reasons(reasons) = found else { panic!("{code}: {found:?}") };
        let codes: Vec<String> = reasons
            .iter()
            .map(|reason| serde_json::to_value(reason).unwrap()["code"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(codes.first().map(String::as_str), Some(*code), "{codes:?}");
    }
}

#[tokio::test]
async fn parallelism_is_a_reason_too() {
    let seed = Seed::new().await;
    node(&seed, 40).await;
    let class = class(&seed, "p", -1, &[]).await;
    let run = dag(&seed, "d2", 100, 1).await[0];
    waiting(&seed, run, class, "a", 9).await;
    let mut transaction = seed.store.begin().await.unwrap();
    try_dispatch(&mut transaction, &Rules::new(4)).await.unwrap().expect("nobody else has the lock");
    transaction.commit().await.unwrap();
    assert_eq!(placed(&seed, "true").await, 4);
}

/// Semantics §7.3: a task that wants more slots than are open does not keep smaller ones of a lower priority out.
#[tokio::test]
async fn a_smaller_task_of_a_lower_priority_passes_a_big_one() {
    let seed = Seed::new().await;
    node(&seed, 40).await;
    let big = class(&seed, "p", 3, &[("pool_slots", "2")]).await;
    let small = class(&seed, "p", 3, &[]).await;
    let run = dag(&seed, "d2", 100, 1).await[0];
    waiting(&seed, run, big, "big", 2).await;
    sql(&seed, "update attempt set priority_weight = 9").await;
    waiting(&seed, run, small, "small", 2).await;
    cycle(&seed).await;
    assert_eq!((placed(&seed, "task_id = 'big'").await, placed(&seed, "task_id = 'small'").await), (1, 1));
}

/// The held task of the triggerer says so (`runs why`).
#[tokio::test]
async fn a_task_of_the_triggerer_at_its_cap_says_so() {
    let seed = Seed::new().await;
    let class = class(&seed, "p", 0, &[("runner", "'triggerer'"), ("cap_key", "'d2/t0'"), ("cap", "1")]).await;
    let runs = dag(&seed, "d2", 1, 2).await;
    for run in &runs {
        waiting(&seed, *run, class, "t0", 1).await;
    }
    sql(
        &seed,
        "update attempt set map_index = -1;
         insert into task_instance (dag_run_id, task_id, attempt_id, state, operator, pool, queue)
         select dag_run_id, task_id, attempt_id, 'scheduled', 'x', 'p', 'default' from attempt",
    )
    .await;
    cycle(&seed).await;
    let mut said = Vec::new();
    for run_id in ["r1", "r2"] {
        let found = why(&seed.store, &seed.dags, 100, "d2", run_id, "t0", -1).await.unwrap();
        let Why::Reasons(reasons) = found else { panic!("{found:?}") };
        said.push(serde_json::to_value(reasons).unwrap());
    }
    let expected = serde_json::json!([
        [{"code": "waiting_for_triggerer"}],
        [{"code": "max_active_tis_per_dag", "limit": 1}]
    ]);
    assert_eq!(serde_json::Value::from(said), expected);
}
