//! Which logs are deleted, and that none is forgotten.

use std::time::Duration;

use updraft_store::{log_retention, runs};
use uuid::Uuid;

use crate::seed::Seed;

const KEEP: Duration = Duration::from_hours(24 * 30);

/// A run with three attempts: an old one, an old one that still runs, and a young one.
async fn seeded() -> Seed {
    let seed = Seed::new().await;
    for statement in [
        "insert into dag (dag_id, dag_display_name, bundle_name, relative_fileloc, fileloc) values ('d', '', 'b', 'f', 'f')",
        "insert into dag_run (dag_fk, run_id, tag, state, run_type, run_after, dag_version_id)
         select id, 'r', 1, 'success', 'manual', now(), 1 from dag",
        "insert into attempt_log (dag_run_id, attempt_id, task_id, map_index, try_number, executor_id, handed_at)
         select r.id, v.id::uuid, 't', -1, v.n, 1, now() - v.age::interval
         from dag_run r, (values ('00000000-0000-0000-0000-000000000001', 1, '31 days'),
                                 ('00000000-0000-0000-0000-000000000002', 2, '31 days'),
                                 ('00000000-0000-0000-0000-000000000003', 3, '29 days')) v (id, n, age)",
    ] {
        seed.execute(statement).await;
    }
    seed
}

#[tokio::test]
async fn logs_of_old_attempts_are_given_up_and_each_is_one_webservers() {
    let seed = seeded().await;
    let store = &seed.store;
    assert_eq!(log_retention::expire(store, KEEP).await.unwrap(), 2);
    assert_eq!(log_retention::expire(store, KEEP).await.unwrap(), 0);
    let mut claimed = log_retention::claim(store).await.unwrap();
    claimed.sort_by_key(|log| log.try_number);
    let told: Vec<_> = claimed.iter().map(|log| (&*log.dag_id, &*log.run_id, &*log.task_id, log.try_number)).collect();
    assert_eq!(told, [("d", "r", "t", 1), ("d", "r", "t", 2)]);
    assert!(log_retention::claim(store).await.unwrap().is_empty(), "another webserver finds nothing");
    // This one died: after a while its logs are somebody else's.
    seed.execute("update log_garbage set due = now()").await;
    assert_eq!(log_retention::claim(store).await.unwrap().len(), 2);
    log_retention::forget(store, &[Uuid::from_u128(1), Uuid::from_u128(2)]).await.unwrap();
    assert_eq!(seed.ask("select count(*)::text from log_garbage").await, "0");
    assert_eq!(seed.ask("select count(*)::text from attempt_log").await, "1");
}

#[tokio::test]
async fn one_webserver_at_a_time_looks_for_old_logs() {
    let seed = seeded().await;
    let mut other = seed.store.begin().await.unwrap();
    sqlx::query("select pg_advisory_xact_lock(8462374142252315650)").execute(&mut *other).await.unwrap();
    assert_eq!(log_retention::expire(&seed.store, KEEP).await.unwrap(), 0);
    drop(other);
}

#[tokio::test]
async fn the_logs_of_a_deleted_run_are_given_up_with_it() {
    let seed = seeded().await;
    let run: i64 = seed.ask("select id::text from dag_run").await.parse().unwrap();
    let mut transaction = seed.store.begin().await.unwrap();
    runs::delete(&mut transaction, run).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(log_retention::claim(&seed.store).await.unwrap().len(), 3);
    assert_eq!(seed.ask("select count(*)::text from attempt_log").await, "0");
}
