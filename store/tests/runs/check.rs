//! `updraft db check`: each invariant finds the rows that break it, and nothing that is legal.

use std::{collections::BTreeSet, time::Duration};

use serde_json::json;
use updraft_core::dag::{Dag, MapInput, Mapping, MappingKind, TriggerRule};
use updraft_store::check::invariants;

use crate::seed::{Seed, daily, task};

/// `a` → `b`, `any` (`one_success`); `m` is mapped and one of its instances may be active in a run.
fn dag() -> Dag {
    let mut dag = daily("d", &["a", "b"]);
    dag.dagrun_timeout = Some(Duration::from_hours(24));
    let mut any = task("any", Some("a"));
    any.trigger_rule = TriggerRule::OneSuccess;
    let mut mapped = task("m", None);
    let list = MapInput::Literal(json!([1, 2]));
    mapped.mapping = Some(Mapping { kind: MappingKind::Expand, inputs: [("x".to_owned(), list)].into() });
    mapped.max_active_tis_per_dagrun = Some(1);
    dag.tasks.extend([any, mapped]);
    dag
}

/// A sound state: run `done` has ended; in run `going` task `a` is over, `b` runs on a node, `any` is deferred, and `m[0]` waits.
/// Nothing was lowered for long.
async fn world() -> Seed {
    let seed = Seed::new().await;
    seed.dag(&dag(), None).await;
    for sql in [
        "insert into executor_token (name, hash) values ('n', 'n')",
        "insert into executor (name, identity, session, token_id, state, hostname, version, slots)
         values ('n', gen_random_uuid(), gen_random_uuid(), 1, 'active', 'h', '1', 4)",
        "insert into dispatch_class (pool, pool_slots, queue, runner, cap_key, cap)
         values ('default_pool', 1, 'default', 'process', 'd/b', 1), ('default_pool', 1, 'default', 'process', null, null)",
        "insert into dag_run (dag_fk, run_id, tag, state, run_type, run_after, start_date, end_date, dag_version_id)
         select id, s.state, 1, case s.state when 'done' then 'success' else 'running' end, 'manual', '2026-01-01', '2026-01-01',
                case s.state when 'done' then '2026-01-01 01:00'::timestamptz end, latest_version_id
         from dag, (values ('done'), ('going')) s (state)",
        "insert into task_instance (dag_run_id, task_id, map_index, attempt_id, state, try_number, operator, pool, queue,
                                    scheduled_dttm, end_date, dag_version_id, updated_at)
         select r.id, t.task_id, t.map_index, gen_random_uuid(), case r.run_id when 'done' then 'success' else t.state end,
                case when t.state = 'none' and r.run_id = 'going' then 0 else 1 end, 'BashOperator', 'default_pool', 'default',
                case when t.task_id in ('b', 'any') then '2026-01-01 00:30'::timestamptz else '2026-01-01' end,
                case when r.run_id = 'done' or t.state = 'success' then '2026-01-01 00:30'::timestamptz end, r.dag_version_id,
                '2026-01-01 00:30'
         from dag_run r, (values ('a', -1, 'success'), ('b', -1, 'running'), ('any', -1, 'deferred'), ('m', 0, 'scheduled'),
                                 ('m', 1, 'none')) t (task_id, map_index, state)",
        "insert into attempt (attempt_id, dag_run_id, task_id, map_index, try_number, dag_fk, class_id, priority_weight, run_order,
                              pool, pool_slots, executor_id, placed_at, trigger_at, trigger_state, waits)
         select t.attempt_id, t.dag_run_id, t.task_id, t.map_index, 1, 1, case t.task_id when 'b' then 1 else 2 end, 1, now(),
                'default_pool', 1, case t.task_id when 'b' then 1 end, case t.task_id when 'b' then now() end,
                case t.task_id when 'any' then 'infinity'::timestamptz end,
                case t.task_id when 'any' then '{\"started_at\": \"2026-01-01T00:30:00Z\"}'::jsonb end,
                case t.task_id when 'any' then 'deferred' end
         from task_instance t where t.state in ('running', 'deferred', 'scheduled')",
    ] {
        seed.execute(sql).await;
    }
    lowered_long_ago(&seed).await;
    seed
}

async fn lowered_long_ago(seed: &Seed) {
    for table in ["dag", "slot_pool", "executor"] {
        seed.execute(&format!("update {table} set lowered_at = '2020-01-01'")).await;
    }
}

const GOING: &str = "dag_run_id = (select id from dag_run where run_id = 'going')";
const DONE: &str = "dag_run_id = (select id from dag_run where run_id = 'done')";

/// What is found in the world after these statements.
async fn found_after(statements: &[String], lowered: bool) -> BTreeSet<&'static str> {
    let seed = world().await;
    for sql in statements {
        assert!(seed.execute(sql).await > 0, "it changes nothing: {sql}");
    }
    if lowered {
        lowered_long_ago(&seed).await;
    }
    let found = invariants(&seed.store).await.unwrap();
    assert!(found.iter().all(|violation| !violation.offenders.is_empty()));
    found.into_iter().map(|violation| violation.invariant).collect()
}

#[tokio::test]
async fn each_invariant_finds_what_breaks_it() {
    let ti = |set: &str, which: &str, task: &str| {
        format!("update task_instance set {set} where {which} and task_id = '{task}'")
    };
    let cases: Vec<(&str, Vec<String>)> = vec![
        ("exactly while it has an attempt", vec!["delete from attempt where task_id = 'b'".into()]),
        ("exactly while it has an attempt", vec![ti("attempt_id = gen_random_uuid()", GOING, "b")]),
        ("tries are counted from 1", vec!["update attempt set try_number = 2 where task_id = 'b'".into()]),
        (
            "tries are counted from 1",
            vec!["update attempt set try_number = 0 where task_id = 'b'".into(), ti("try_number = 0", GOING, "b")],
        ),
        (
            "a finished run has no unfinished",
            vec!["update dag_run set state = 'success', end_date = now() where run_id = 'going'".into()],
        ),
        ("a run that ended by itself", vec!["update dag_run set state = 'failed' where run_id = 'done'".into()]),
        ("a run that ended by itself", vec![ti("state = 'failed'", DONE, "b")]),
        ("a run that ended by itself", vec![ti("state = 'upstream_failed'", DONE, "any")]),
        (
            "a run that ended by itself",
            vec!["update dag_run set start_date = end_date - interval '25 h' where run_id = 'done'".into()],
        ),
        ("restarting exactly while", vec![ti("stopping_attempt = gen_random_uuid()", GOING, "a")]),
        ("its next try or its next look", vec![ti("state = 'up_for_retry'", GOING, "a")]),
        ("counted from 0 without gaps", vec![format!("delete from task_instance where {GOING} and map_index = 0")]),
        ("only a mapped task", vec![ti("map_index = 0", DONE, "a")]),
        ("its trigger rule forbids", vec![ti("state = 'failed'", GOING, "a")]),
        ("its trigger rule forbids", vec![ti("state = 'none', end_date = null", GOING, "a")]),
        // `b` is left out: only `one_success` is broken.
        (
            "its trigger rule forbids",
            vec![ti("state = 'skipped'", GOING, "a"), ti("scheduled_dttm = null", GOING, "b")],
        ),
        ("max_active_tasks", vec!["update dag set max_active_tasks = 0".into()]),
        ("more active attempts in its DAG", vec!["update dispatch_class set cap = 0 where cap is not null".into()]),
        // Deferred ones count.
        (
            "more active attempts in its DAG",
            vec!["update attempt set class_id = 1 where task_id = 'any'".into()],
        ),
        (
            "more active instances in a run",
            vec![
                format!("update task_instance set state = 'scheduled', try_number = 1 where {GOING} and map_index = 1"),
            ],
        ),
        ("a finished task instance has an end", vec![ti("end_date = null", DONE, "a")]),
        ("a finished task instance has an end", vec![ti("end_date = null, state = 'skipped'", DONE, "a")]),
        ("no pool has more slots", vec!["update slot_pool set slots = 0".into()]),
        ("no pool has more slots", vec!["update slot_pool set slots = 1, include_deferred = true".into()]),
        ("no node has more attempts", vec!["update executor set slots = 0".into()]),
        (
            "no DAG runs more than",
            vec![
                "update dag set max_active_runs = 0".into(),
                "update dag_run set start_date = now() where run_id = 'going'".into(),
            ],
        ),
        (
            "no backfill runs more than",
            vec![
                "insert into backfill (dag_fk, from_date, to_date, reprocess_behavior, run_backwards, run_on_latest_version,
                                       max_active_runs) select id, now(), now(), 'none', false, true, 1 from dag"
                    .into(),
                "insert into dag_run (dag_fk, run_id, tag, state, run_type, run_after, start_date, dag_version_id, backfill_id)
                 select d.id, 'b' || n, 1, 'running', 'backfill', now(), now(), latest_version_id, b.id
                 from dag d, backfill b, generate_series(1, 2) n"
                    .into(),
            ],
        ),
        ("belongs to a run", vec!["update attempt set dag_run_id = 1000 where task_id = 'b'".into()]),
        (
            "archived once",
            vec![format!(
                "insert into task_instance_history (dag_run_id, task_id, map_index, try_number, attempt_id, state, max_tries,
                                                    operator, pool, pool_slots, queue, priority_weight)
                 select dag_run_id, task_id, map_index, try_number + 1, gen_random_uuid(), 'failed', 1, operator, pool, pool_slots,
                        queue, priority_weight from task_instance where {DONE} and task_id = 'a'"
            )],
        ),
        ("knows how many of its task instances are failed", vec!["update dag_run set failed_tasks = 5".into()]),
        ("no run is in quarantine", vec!["update dag_run set quarantine_reason = 'broken'".into()]),
    ];
    for (invariant, statements) in cases {
        let found = found_after(&statements, true).await;
        assert!(found.iter().any(|name| name.contains(invariant)), "{invariant}: {found:?}\n{statements:?}");
    }
}

#[tokio::test]
async fn what_is_legal_is_not_reported() {
    let one = |sql: &str| vec![sql.to_owned()];
    let cases: Vec<(&str, Vec<String>)> = vec![
        ("nothing happened", vec![]),
        ("a pool is made smaller under load", one("update slot_pool set slots = 0")),
        ("a pool is made to count deferred tasks", one("update slot_pool set slots = 1, include_deferred = true")),
        ("a DAG may do less at once", one("update dag set max_active_runs = 0, max_active_tasks = 0")),
        ("a node comes back with fewer slots", one("update executor set slots = 0")),
        (
            "an upstream is cleared while its downstream runs",
            vec![format!(
                "update task_instance set state = 'none', end_date = null, updated_at = now() where {GOING} and task_id = 'a'"
            )],
        ),
        (
            "an upstream is marked while its downstream runs",
            vec![
                format!("update task_instance set state = 'failed', updated_at = now() where {GOING} and task_id = 'a'"),
                "update dag_run set failed_tasks = 1 where run_id = 'going'".into(),
            ],
        ),
        (
            "a finished run is marked",
            one("update dag_run set state = 'failed', marked_by = 'somebody' where run_id = 'done'"),
        ),
        (
            "a task of a finished run is marked",
            vec![
                format!("update task_instance set state = 'failed', updated_at = now() where {DONE} and task_id = 'b'"),
                "update dag_run set failed_tasks = 1 where run_id = 'done'".into(),
            ],
        ),
        (
            "a deadlock leaves what can not be decided",
            one("with run as (update dag_run set state = 'failed', end_date = now() where run_id = 'going' returning id),
                      fenced as (delete from attempt where dag_run_id = (select id from run) returning 1)
                 update task_instance set state = 'none', end_date = null where dag_run_id = (select id from run)"),
        ),
        (
            "a run timed out",
            vec![
                "update dag_run set state = 'failed', start_date = end_date - interval '25 h' where run_id = 'done'".into(),
            ],
        ),
    ];
    for (what, statements) in cases {
        assert_eq!(found_after(&statements, false).await, BTreeSet::new(), "{what}");
    }
}

#[tokio::test]
async fn a_pool_that_counts_deferred_tasks_may_be_overrun_by_what_was_deferred_later() {
    let statements = [
        "update slot_pool set slots = 1, include_deferred = true".to_owned(),
        "update attempt set trigger_state = jsonb_build_object('started_at', now()) where task_id = 'any'".to_owned(),
    ];
    assert_eq!(found_after(&statements, true).await, BTreeSet::new());
}
