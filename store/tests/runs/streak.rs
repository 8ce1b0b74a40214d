//! §2.3: `max_consecutive_failed_dag_runs`.

use updraft_core::state::DagRunState;
use updraft_store::runs;

use crate::seed::{Seed, daily};

/// Runs a day apart, oldest first; the newest ends in the last state.
async fn history(seed: &Seed, states: &[&str]) {
    for (day, state) in states.iter().enumerate() {
        seed.execute(&format!(
            "insert into dag_run (dag_fk, run_id, tag, state, run_type, run_after, dag_version_id, failure_unseen)
             select id, 'r{day}', 1, '{state}', 'scheduled', now() - interval '100 d' + interval '{day} d', latest_version_id,
                    '{state}' = 'failed'
             from dag"
        ))
        .await;
    }
}

#[tokio::test]
async fn a_dag_is_paused_when_its_latest_runs_all_failed() {
    for (limit, states, paused) in [
        (2, vec!["failed", "failed"], true),
        (2, vec!["success", "failed", "failed"], true),
        (2, vec!["failed", "success", "failed"], false),
        (2, vec!["failed", "failed", "running"], false),
        (2, vec!["failed"], false),
        (0, vec!["failed", "failed", "failed"], false),
    ] {
        let seed = Seed::new().await;
        let mut dag = daily("d", &["a"]);
        dag.max_consecutive_failed_dag_runs = limit;
        seed.dag(&dag, None).await;
        history(&seed, &states).await;
        let expected = if paused { vec!["d".to_owned()] } else { vec![] };
        assert_eq!(runs::pause_failing(&seed.store).await.unwrap(), expected, "{limit} {states:?}");
        assert_eq!(seed.ask("select is_paused::text from dag").await, paused.to_string());
        let told = seed.ask("select event || ' ' || owner || ' ' || dag_id from log").await;
        assert_eq!(told, if paused { "paused scheduler d" } else { "" });
    }
}

#[tokio::test]
async fn an_unpaused_dag_stays_so_until_it_fails_again() {
    let seed = Seed::new().await;
    let mut dag = daily("d", &["a"]);
    dag.max_consecutive_failed_dag_runs = 2;
    seed.dag(&dag, None).await;
    history(&seed, &["failed", "failed"]).await;
    assert_eq!(runs::pause_failing(&seed.store).await.unwrap().len(), 1);
    seed.execute("update dag set is_paused = false").await;
    assert_eq!(runs::pause_failing(&seed.store).await.unwrap().len(), 0);
    seed.execute("update dag_run set failure_unseen = true where run_id = 'r1'").await;
    assert_eq!(runs::pause_failing(&seed.store).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_plan_that_fails_a_run_leaves_word_of_it_where_the_dag_has_a_limit() {
    for (limit, unseen) in [(1, "true"), (0, "false")] {
        let seed = Seed::new().await;
        let mut dag = daily("d", &["a"]);
        dag.max_consecutive_failed_dag_runs = limit;
        seed.dag(&dag, None).await;
        history(&seed, &["running"]).await;
        let run: i64 = seed.ask("select id::text from dag_run").await.parse().unwrap();
        let mut transaction = seed.store.begin().await.unwrap();
        runs::mark(&mut transaction, &seed.classes, &seed.dags, run, DagRunState::Failed, "test").await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(seed.ask("select failure_unseen::text from dag_run").await, unseen);
    }
}
