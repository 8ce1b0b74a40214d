//! Task instances that a user deletes.

use updraft_core::ids::TaskId;
use updraft_store::{
    check,
    runs::{self, Mutated},
};

use crate::seed::{Seed, daily};

/// `a` → `b` → `c`, and a run of it that has begun.
async fn going() -> (Seed, i64) {
    let seed = Seed::new().await;
    seed.dag(&daily("d", &["a", "b", "c"]), None).await;
    let mut transaction = seed.store.begin().await.unwrap();
    let trigger = runs::Trigger {
        dag_id: "d",
        run_id: None,
        logical_date: None,
        data_interval: None,
        run_after: None,
        conf: None,
        note: None,
        triggered_by: "test",
        user: None,
    };
    let run = runs::trigger(&mut transaction, &seed.dags, &trigger).await.unwrap();
    transaction.commit().await.unwrap();
    runs::start_queued(&seed.store).await.unwrap();
    seed.plan(run).await;
    (seed, run)
}

async fn delete(seed: &Seed, run: i64, task_id: &str) {
    let mut transaction = seed.store.begin().await.unwrap();
    let instances = [(TaskId::from(task_id.to_owned()), -1)];
    let deleted = runs::delete_instances(&mut transaction, run, &instances).await.unwrap();
    assert!(matches!(deleted, Mutated::Done(_)));
    transaction.commit().await.unwrap();
}

const STATES: &str = "select task_id || ' ' || state from task_instance order by task_id";

#[tokio::test]
async fn a_run_goes_on_without_a_deleted_instance() {
    let (seed, run) = going().await;
    assert_eq!(seed.ask(STATES).await, "a scheduled\nb none\nc none");
    let tag = seed.ask("select tag::text from dag_run").await;
    delete(&seed, run, "a").await;
    assert_ne!(seed.ask("select tag::text from dag_run").await, tag, "a cached copy of the run is out of date");
    assert_eq!(seed.ask("select count(*)::text from attempt").await, "0");
    assert_eq!(seed.ask("select (wake_at <= now())::text from dag_run").await, "true");
    seed.plan(run).await;
    assert_eq!(seed.ask(STATES).await, "b scheduled\nc none");
    assert_eq!(check::invariants(&seed.store).await.unwrap(), []);
}

#[tokio::test]
async fn a_run_ends_when_the_rest_of_it_is_deleted() {
    let (seed, run) = going().await;
    for task in ["a", "b", "c"] {
        delete(&seed, run, task).await;
    }
    seed.plan(run).await;
    assert_eq!(seed.ask("select state from dag_run").await, "success");
}
