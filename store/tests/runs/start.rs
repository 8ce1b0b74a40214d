//! §2.1: queued → running.

use updraft_store::runs;

use crate::seed::{Seed, daily};

async fn run(seed: &Seed, run_id: &str, run_type: &str, when: &str, backfill: Option<(i64, i32)>) {
    let (id, ordinal) =
        backfill.map_or(("null".to_owned(), "null".to_owned()), |(id, ordinal)| (id.to_string(), ordinal.to_string()));
    seed.execute(&format!(
        "insert into dag_run (dag_fk, run_id, tag, state, run_type, run_after, logical_date, dag_version_id, backfill_id,
                              backfill_ordinal)
         select id, '{run_id}', 1, 'queued', '{run_type}', {when}, latest_version_id, {id}, {ordinal} from dag where dag_id = 'd'"
    ))
    .await;
}

async fn backfill(seed: &Seed, max_active_runs: i32) -> i64 {
    seed.execute(&format!(
        "insert into backfill (dag_fk, from_date, to_date, reprocess_behavior, run_backwards, run_on_latest_version, max_active_runs)
         select id, now(), now(), 'none', false, true, {max_active_runs} from dag where dag_id = 'd'"
    ))
    .await;
    seed.ask("select max(id)::text from backfill").await.parse().unwrap()
}

async fn start(seed: &Seed) -> String {
    while !runs::start_queued(&seed.store).await.unwrap().is_empty() {}
    seed.ask("select run_id from dag_run where state = 'running' order by run_id").await
}

#[tokio::test]
async fn runs_start_oldest_first_up_to_max_active_runs() {
    let seed = Seed::new().await;
    let mut dag = daily("d", &["a"]);
    dag.max_active_runs = 2;
    seed.dag(&dag, None).await;
    for (id, hours) in [("newest", 1), ("oldest", 3), ("middle", 2)] {
        run(&seed, id, "manual", &format!("now() - interval '{hours} h', null"), None).await;
    }
    assert_eq!(start(&seed).await, "middle\noldest");
    seed.execute("update dag_run set state = 'success' where run_id = 'oldest'").await;
    assert_eq!(start(&seed).await, "middle\nnewest");
}

/// A user marks a queued run while the scheduler is about to start it.
#[tokio::test]
async fn a_run_that_is_marked_meanwhile_is_not_started() {
    let seed = Seed::new().await;
    seed.dag(&daily("d", &["a"]), None).await;
    run(&seed, "r", "manual", "now(), null", None).await;
    let mut mark = seed.store.begin().await.unwrap();
    sqlx::query("update dag_run set state = 'success'").execute(&mut *mark).await.unwrap();
    let (started, ()) = tokio::join!(runs::start_queued(&seed.store), async {
        // The start waits for the row; seen in pg_locks, not guessed by time.
        let waits = "select exists (select from pg_locks where not granted)::text";
        while seed.ask(waits).await != "true" {}
        mark.commit().await.unwrap();
    });
    assert_eq!(started.unwrap().len(), 0);
    assert_eq!(seed.ask("select state from dag_run").await, "success");
}

#[tokio::test]
async fn a_backfill_has_a_limit_of_its_own_and_its_own_order() {
    let seed = Seed::new().await;
    let mut dag = daily("d", &["a"]);
    dag.max_active_runs = 1;
    seed.dag(&dag, None).await;
    let id = backfill(&seed, 2).await;
    for ordinal in 1..=4 {
        // Backwards: the first is the youngest.
        let when = format!("now() - interval '{ordinal} h', null");
        run(&seed, &format!("b{ordinal}"), "backfill", &when, Some((id, ordinal))).await;
    }
    run(&seed, "m1", "manual", "now(), null", None).await;
    run(&seed, "m2", "manual", "now(), null", None).await;
    assert_eq!(start(&seed).await, "b1\nb2\nm1");
}

#[tokio::test]
async fn a_paused_backfill_starts_nothing_until_it_goes_on_or_is_over() {
    let seed = Seed::new().await;
    seed.dag(&daily("d", &["a"]), None).await;
    let id = backfill(&seed, 2).await;
    run(&seed, "b1", "backfill", "now(), null", Some((id, 1))).await;
    seed.execute("update backfill set is_paused = true").await;
    assert_eq!(start(&seed).await, "");
    // Cleared by a user after the backfill was cancelled.
    seed.execute("update backfill set completed_at = now()").await;
    assert_eq!(start(&seed).await, "b1");
}

/// One queued run and what is done to it or about it, by semantics §2.1's candidates.
#[tokio::test]
async fn what_may_not_start_does_not() {
    for (what, sql, starts) in [
        ("nothing holds it", "select 1", true),
        ("its DAG is paused", "update dag set is_paused = true", false),
        ("its DAG is stale", "update dag set is_stale = true", false),
        ("its time has not come", "update dag_run set run_after = now() + interval '1 h'", false),
        ("its logical date is to come", "update dag_run set logical_date = now() + interval '1 h'", false),
        ("it is over", "update dag_run set state = 'success'", false),
        ("the DAG allows none now", "update dag set max_active_runs = 0", false),
        ("runs that are queued do not count", "update dag set max_active_runs = 1", true),
        (
            "another runs",
            "with d as (update dag set max_active_runs = 1 returning *)
             insert into dag_run (dag_fk, run_id, tag, state, run_type, run_after, dag_version_id)
             select id, 'other', 1, 'running', 'manual', now(), latest_version_id from d",
            false,
        ),
    ] {
        let seed = Seed::new().await;
        seed.dag(&daily("d", &["a"]), None).await;
        run(&seed, "r", "manual", "now(), null", None).await;
        seed.execute(sql).await;
        start(&seed).await;
        let state = seed.ask("select state from dag_run where run_id = 'r'").await;
        assert_eq!(state == "running", starts, "{what}");
    }
}

#[tokio::test]
async fn a_run_waits_for_its_run_after_and_its_logical_date() {
    let seed = Seed::new().await;
    seed.dag(&daily("d", &["a"]), None).await;
    run(&seed, "later", "manual", "now() + interval '1 h', null", None).await;
    run(&seed, "dated", "manual", "now(), now() + interval '2 h'", None).await;
    assert_eq!(start(&seed).await, "");
    let ms = runs::next_start(&seed.store).await.unwrap().unwrap();
    assert!((3_590_000..=3_600_000).contains(&ms), "{ms} ms until the first of them");
}

#[tokio::test]
async fn dags_without_room_do_not_hide_one_that_has() {
    let seed = Seed::new().await;
    seed.execute(
        "insert into dag (dag_id, dag_display_name, bundle_name, relative_fileloc, fileloc, max_active_runs)
         select 'full' || n, '', 'b', 'f', 'f', 1 from generate_series(1, 600) n",
    )
    .await;
    seed.execute(
        "insert into dag_run (dag_fk, run_id, tag, state, run_type, run_after, dag_version_id)
         select d.id, s.state, 1, s.state, 'manual', now(), 1 from dag d, (values ('running'), ('queued')) s (state)",
    )
    .await;
    seed.dag(&daily("d", &["a"]), None).await;
    run(&seed, "free", "manual", "now(), null", None).await;
    assert_eq!(runs::start_queued(&seed.store).await.unwrap().len(), 1);
    assert_eq!(seed.ask("select state from dag_run where run_id = 'free'").await, "running");
}
