//! Runs and DAGs that are deleted while a node has work of theirs.

use serde_json::json;
use updraft_store::{delete_dag, liveness::round, nodes::Verdict, runs};

use crate::seed::{LEASE, Seed, finished, stopped};

async fn count(seed: &Seed, table: &'static str) -> i64 {
    let sql = format!("select count(*) from {table}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(seed.store.pool()).await.unwrap()
}

async fn delete(seed: &Seed) -> delete_dag::Outcome {
    let mut transaction = seed.store.begin().await.unwrap();
    let outcome = delete_dag::delete(&mut transaction, "d").await.unwrap();
    transaction.commit().await.unwrap();
    outcome
}

#[tokio::test]
async fn what_a_node_has_of_a_deleted_dag_is_stopped_and_its_words_are_stale() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    let attempts = [seed.placed(node, "t0", -1).await, seed.placed(node, "t1", -1).await];
    seed.hand_out(node, &[]).await.unwrap();
    let never = seed.placed(node, "t2", -1).await;
    assert!(matches!(delete(&seed).await, delete_dag::Outcome::Deleted(_)));
    for table in ["dag", "dag_version", "dag_run", "dag_run_conf", "attempt"] {
        assert_eq!(count(&seed, table).await, 0, "{table}");
    }
    let told = seed.hand_out(node, &attempts).await.unwrap();
    let mut cancelled: Vec<_> = told.cancel.iter().map(|cancel| cancel.attempt_id).collect();
    cancelled.sort_unstable();
    let mut had = attempts.to_vec();
    had.sort_unstable();
    assert_eq!(cancelled, had, "what was handed out, and not {never}");
    let words = vec![stopped(attempts[0]), finished(attempts[1], Some(json!(1)))];
    assert_eq!(seed.report(node, words).await, [Verdict::Written, Verdict::Stale]);
    assert_eq!((seed.inbox().await, count(&seed, "attempt_cancel").await, count(&seed, "xcom").await), (vec![], 0, 0));
}

#[tokio::test]
async fn a_dag_whose_tasks_run_is_not_deleted() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    seed.placed(node, "t0", -1).await;
    seed.execute("update attempt set handed_at = now(), started_at = now()").await;
    assert!(matches!(delete(&seed).await, delete_dag::Outcome::Running));
    // One that waits holds no slot.
    seed.execute("update attempt set waits = 'deferred'").await;
    assert!(matches!(delete(&seed).await, delete_dag::Outcome::Deleted(_)));
    assert!(matches!(delete(&seed).await, delete_dag::Outcome::NoDag));
}

#[tokio::test]
async fn a_report_that_is_written_while_its_run_is_deleted_leaves_nothing() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    let attempt = seed.placed(node, "t0", -1).await;
    seed.execute("update dag_run set state = 'failed'").await;
    // The report holds the attempt, as it does until its commit.
    let mut report = seed.store.begin().await.unwrap();
    sqlx::query("select from attempt where attempt_id = $1 for no key update")
        .bind(attempt)
        .execute(&mut *report)
        .await
        .unwrap();
    let ((), ()) = tokio::join!(
        async {
            let mut transaction = seed.store.begin().await.unwrap();
            runs::delete(&mut transaction, seed.run).await.unwrap();
            transaction.commit().await.unwrap();
        },
        async {
            loop {
                let waiting: bool = sqlx::query_scalar(
                    "select exists (select from pg_locks l join pg_stat_activity a using (pid)
                                    where not l.granted and a.datname = current_database())",
                )
                .fetch_one(seed.store.pool())
                .await
                .unwrap();
                if waiting {
                    break;
                }
            }
            sqlx::query(
                "insert into task_event (dag_run_id, task_id, map_index, attempt_id, kind, body)
                 values ($1, 't0', -1, $2, 'started', '{}')",
            )
            .bind(seed.run)
            .bind(attempt)
            .execute(&mut *report)
            .await
            .unwrap();
            report.commit().await.unwrap();
        }
    );
    assert_eq!(seed.inbox().await, []);
}

#[tokio::test]
async fn an_event_of_a_run_that_is_gone_is_cleared_away() {
    let seed = Seed::new().await;
    seed.execute(
        "insert into task_event (dag_run_id, task_id, attempt_id, kind, body)
         values (99, 't0', gen_random_uuid(), 'stopped', '{}')",
    )
    .await;
    round(&seed.store, LEASE).await.unwrap();
    assert_eq!(seed.inbox().await, []);
}
