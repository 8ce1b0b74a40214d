//! §9.6: creating scheduled runs.

use chrono::{DateTime, Datelike, Days, Utc};
use serde_json::json;
use updraft_core::dag::{MapInput, Mapping, MappingKind};
use updraft_store::runs;

use crate::seed::{Seed, daily};

/// Midnight of the day so many days ago.
fn midnight(days_ago: u64) -> DateTime<Utc> {
    #[expect(clippy::disallowed_methods, reason = "due is what Postgres' clock has passed")]
    let today = Utc::now().date_naive();
    today.checked_sub_days(Days::new(days_ago)).unwrap().and_hms_opt(0, 0, 0).unwrap().and_utc()
}

async fn create_all(seed: &Seed) -> usize {
    let mut passes = 0;
    while runs::create_due(&seed.store, &seed.blueprints).await.unwrap() > 0 {
        passes += 1;
    }
    passes
}

#[tokio::test]
async fn a_dag_that_catches_up_makes_one_run_per_look_until_it_has() {
    let seed = Seed::new().await;
    let mut dag = daily("d", &["a", "b"]);
    (dag.catchup, dag.start_date) = (true, Some(midnight(3)));
    seed.dag(&dag, Some(midnight(3))).await;
    assert_eq!(create_all(&seed).await, 4);
    let runs = seed
        .ask("select to_char(logical_date at time zone 'utc', 'DD') || ' ' || state from dag_run order by id")
        .await;
    let expected: Vec<String> = (0..4).rev().map(|days| format!("{:02} queued", midnight(days).day())).collect();
    assert_eq!(runs, expected.join("\n"));
    assert_eq!(seed.ask("select distinct (run_id = 'scheduled__' || to_char(run_after at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS') || '+00:00')::text from dag_run").await.as_str(), "true", "named by type and run_after");
    assert_eq!(seed.ask("select count(*)::text from task_instance").await, "8");
    assert_eq!(seed.ask("select (next_dagrun_create_after > now())::text from dag").await, "true");
}

#[tokio::test]
async fn a_dag_that_does_not_catch_up_jumps_to_the_latest() {
    let seed = Seed::new().await;
    seed.dag(&daily("d", &["a"]), Some(midnight(30))).await;
    assert_eq!(create_all(&seed).await, 1);
    let made = seed
        .ask(
            "select (logical_date = date_trunc('day', now() at time zone 'utc') at time zone 'utc')::text from dag_run",
        )
        .await;
    assert_eq!(made, "true");
}

#[tokio::test]
async fn a_date_that_has_a_run_is_passed_over_and_the_others_of_the_batch_are_made() {
    let seed = Seed::new().await;
    let mut dag = daily("taken", &["a"]);
    (dag.catchup, dag.start_date) = (true, Some(midnight(1)));
    seed.dag(&dag, Some(midnight(1))).await;
    seed.dag(&daily("other", &["a"]), Some(midnight(0))).await;
    seed.execute(
        "insert into dag_run (dag_fk, run_id, tag, state, run_type, logical_date, run_after, dag_version_id)
         select id, 'mine', 1, 'success', 'manual', next_dagrun, now(), latest_version_id from dag where dag_id = 'taken'",
    )
    .await;
    create_all(&seed).await;
    let runs = seed
        .ask(
            "select d.dag_id || ' ' || r.run_type || ' ' || count(*) from dag_run r join dag d on d.id = r.dag_fk
              group by r.run_type, d.dag_id order by d.dag_id, r.run_type",
        )
        .await;
    assert_eq!(runs, "other scheduled 1\ntaken manual 1\ntaken scheduled 1");
}

#[tokio::test]
async fn manual_runs_count_against_max_active_runs_and_backfill_runs_do_not() {
    for (run_type, expected) in [("manual", "0"), ("backfill", "1")] {
        let seed = Seed::new().await;
        let mut dag = daily("d", &["a"]);
        dag.max_active_runs = 1;
        seed.dag(&dag, Some(midnight(0))).await;
        seed.execute(&format!(
            "insert into dag_run (dag_fk, run_id, tag, state, run_type, run_after, dag_version_id)
             select id, 'mine', 1, 'running', '{run_type}', now(), latest_version_id from dag"
        ))
        .await;
        create_all(&seed).await;
        assert_eq!(
            seed.ask("select count(*)::text from dag_run where run_type = 'scheduled'").await,
            expected,
            "{run_type}"
        );
    }
}

#[tokio::test]
async fn a_paused_a_stale_and_a_future_dag_make_nothing() {
    let seed = Seed::new().await;
    for id in ["paused", "stale"] {
        seed.dag(&daily(id, &["a"]), Some(midnight(0))).await;
    }
    seed.dag(&daily("future", &["a"]), Some(midnight(0) + Days::new(1))).await;
    seed.execute("update dag set is_paused = dag_id = 'paused', is_stale = dag_id = 'stale'").await;
    assert_eq!(create_all(&seed).await, 0);
    assert!(runs::next_due(&seed.store).await.unwrap().is_some_and(|ms| ms > 0), "the future one is awaited");
}

#[tokio::test]
async fn a_task_outside_its_dates_has_no_instance() {
    let seed = Seed::new().await;
    let mut dag = daily("d", &["always", "ended", "begins", "on_the_day"]);
    dag.tasks[1].end_date = Some(midnight(1));
    dag.tasks[2].start_date = Some(midnight(0) + Days::new(1));
    (dag.tasks[3].start_date, dag.tasks[3].end_date) = (Some(midnight(0)), Some(midnight(0)));
    dag.start_date = Some(midnight(10));
    seed.dag(&dag, Some(midnight(0))).await;
    create_all(&seed).await;
    assert_eq!(seed.ask("select task_id from task_instance order by 1").await, "always\non_the_day");
}

#[tokio::test]
async fn a_literal_mapping_has_all_its_instances_from_the_beginning() {
    let seed = Seed::new().await;
    let mut dag = daily("d", &["three", "none", "unknown"]);
    let mapping = |input: MapInput| {
        Some(Mapping { kind: MappingKind::Expand, inputs: [("x".to_owned(), input)].into_iter().collect() })
    };
    dag.tasks[0].mapping = mapping(MapInput::Literal(json!([1, 2, 3])));
    dag.tasks[1].mapping = mapping(MapInput::Literal(json!([])));
    dag.tasks[2].mapping = mapping(MapInput::XCom { task_id: "three".into(), key: "return_value".to_owned() });
    seed.dag(&dag, Some(midnight(0))).await;
    create_all(&seed).await;
    let instances = "select task_id || ' ' || string_agg(map_index::text, ',' order by map_index) from task_instance
                     group by task_id order by task_id";
    assert_eq!(seed.ask(instances).await, "none -1\nthree 0,1,2\nunknown -1");
}

#[tokio::test]
async fn more_instances_than_one_statement_takes_are_all_there_with_their_priorities() {
    let seed = Seed::new().await;
    let names: Vec<String> = (0..4_500).map(|id| format!("t{id}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    seed.dag(&daily("d", &names), Some(midnight(0))).await;
    create_all(&seed).await;
    let instances =
        "select count(*) || ' ' || min(priority_weight) || ' ' || max(priority_weight) || ' ' || min(max_tries)
                     from task_instance";
    assert_eq!(seed.ask(instances).await, "4500 1 4500 2");
}

#[tokio::test]
async fn preparing_reads_what_is_due_soon_and_creating_needs_no_more() {
    let seed = Seed::new().await;
    seed.dag(&daily("d", &["a"]), Some(midnight(0))).await;
    runs::prepare(&seed.store, &seed.blueprints).await.unwrap();
    // The version's data is unreadable from here on: only what was kept can make the run.
    seed.execute("update dag_version set data = '{}'").await;
    create_all(&seed).await;
    assert_eq!(seed.ask("select count(*)::text from dag_run").await, "1");
}
