//! §14: a folder's run follows its DAG; a try stays what it was.

use updraft_core::dag::Dag;
use updraft_store::{
    query::task_instances::{self, TiPath},
    runs::{self, Trigger},
};

use crate::seed::{Seed, daily};

/// A chain whose tasks are in a pool and a queue of that name.
fn dag(name: &str, tasks: &[&str]) -> Dag {
    let mut dag = daily("d", tasks);
    for task in &mut dag.tasks {
        name.clone_into(&mut task.pool);
        name.clone_into(&mut task.queue);
    }
    dag
}

/// A run of the DAG that has begun.
async fn running(seed: &Seed) -> i64 {
    let mut transaction = seed.store.begin().await.unwrap();
    let trigger = Trigger {
        dag_id: "d",
        run_id: Some("r".to_owned().into()),
        logical_date: None,
        data_interval: None,
        run_after: None,
        conf: None,
        note: None,
        triggered_by: "rest_api",
        user: None,
    };
    let run = runs::trigger(&mut transaction, &seed.dags, &trigger).await.unwrap();
    transaction.commit().await.unwrap();
    runs::start_queued(&seed.store).await.unwrap();
    run
}

/// A node ends the current attempt of a task.
async fn end(seed: &Seed, task: &str, outcome: &str) {
    let told = seed
        .execute(&format!(
            "insert into task_event (dag_run_id, task_id, attempt_id, kind, body)
             select dag_run_id, task_id, attempt_id, 'finished',
                    jsonb_build_object('outcome', '{outcome}', 'hostname', 'n', 'started_at', now(), 'ended_at', now())
             from attempt where task_id = '{task}'"
        ))
        .await;
    assert_eq!(told, 1, "{task} has an attempt");
}

/// The tries of a task: number, state, version and pool of each.
async fn tries(seed: &Seed, task_id: &str) -> Vec<String> {
    let mut connection = seed.store.pool().acquire().await.unwrap();
    let path = TiPath { dag_id: "d", run_id: "r", task_id, map_index: -1 };
    let rows = task_instances::tries(&mut connection, path).await.unwrap();
    rows.into_iter()
        .map(|row| {
            format!("{} {} v{} {}/{}", row.try_number, row.state, row.version_number.unwrap(), row.pool, row.queue)
        })
        .collect()
}

#[tokio::test]
async fn an_earlier_try_keeps_the_version_and_the_pool_it_ran_with() {
    let seed = Seed::new().await;
    let key = seed.dag(&dag("one", &["a", "b"]), None).await;
    let run = running(&seed).await;
    seed.plan(run).await;
    end(&seed, "a", "failed").await;
    seed.plan(run).await;
    seed.version(key, 2, &dag("two", &["a", "b"]), None).await;
    seed.plan(run).await;
    assert_eq!(tries(&seed, "a").await, ["1 up_for_retry v1 one/one"], "it shows the try it had");
    seed.execute("update task_instance set next_retry_at = now() - interval '1 s' where task_id = 'a'").await;
    seed.plan(run).await;
    assert_eq!(tries(&seed, "a").await, ["1 failed v1 one/one", "2 scheduled v2 two/two"]);
    assert_eq!(seed.ask("select pool from attempt").await, "two");
}

#[tokio::test]
async fn what_is_undecided_shows_the_version_that_the_run_follows_and_what_runs_its_own() {
    let seed = Seed::new().await;
    let key = seed.dag(&dag("one", &["a", "b"]), None).await;
    let run = running(&seed).await;
    seed.plan(run).await;
    let mut changed = dag("two", &["a", "b"]);
    changed.tasks[1].operator_class = "x.PythonOperator".to_owned();
    seed.version(key, 2, &changed, None).await;
    seed.plan(run).await;
    assert_eq!(tries(&seed, "a").await, ["1 scheduled v1 one/one"], "its attempt waits for a slot of its old pool");
    assert_eq!(tries(&seed, "b").await, ["0 none v2 two/two"]);
    assert_eq!(seed.ask("select operator from task_instance where task_id = 'b'").await, "PythonOperator");
    end(&seed, "a", "success").await;
    seed.plan(run).await;
    assert_eq!(tries(&seed, "a").await, ["1 success v1 one/one"]);
    assert_eq!(tries(&seed, "b").await, ["1 scheduled v2 two/two"]);
}

#[tokio::test]
async fn a_task_that_is_gone_is_shown_in_the_version_that_had_it() {
    let seed = Seed::new().await;
    let key = seed.dag(&dag("one", &["a", "b"]), None).await;
    let run = running(&seed).await;
    seed.plan(run).await;
    seed.version(key, 2, &dag("two", &["a"]), None).await;
    seed.plan(run).await;
    assert_eq!(tries(&seed, "b").await, ["0 removed v1 one/one"]);
}

#[tokio::test]
async fn a_pinned_run_keeps_its_version() {
    let seed = Seed::new().await;
    let key = seed.dag(&dag("one", &["a", "b"]), None).await;
    seed.execute("update dag_version set bundle_version = 'c1'").await;
    let run = running(&seed).await;
    seed.version(key, 2, &dag("two", &["a", "b", "c"]), Some("c2")).await;
    seed.plan(run).await;
    assert_eq!(tries(&seed, "a").await, ["1 scheduled v1 one/one"]);
    assert_eq!(tries(&seed, "b").await, ["0 none v1 one/one"]);
    assert_eq!(seed.ask("select count(*)::text from task_instance").await, "2");
}

/// Semantics §2.2: the runs of a DAG that is gone from its file are not visited; they go on when it is back.
#[tokio::test]
async fn the_runs_of_a_stale_dag_rest_and_what_ends_is_noted() {
    let seed = Seed::new().await;
    seed.dag(&dag("one", &["a", "b"]), None).await;
    let run = running(&seed).await;
    seed.plan(run).await;
    seed.execute("update dag set is_stale = true").await;
    end(&seed, "a", "success").await;
    seed.plan(run).await;
    assert_eq!(tries(&seed, "a").await, ["1 success v1 one/one"]);
    assert_eq!(tries(&seed, "b").await, ["0 none v1 one/one"], "nothing begins");
    seed.execute("update dag set is_stale = false").await;
    seed.plan(run).await;
    assert_eq!(tries(&seed, "b").await, ["1 scheduled v1 one/one"]);
}
