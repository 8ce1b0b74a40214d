//! The scheduler against a real Postgres; the nodes' side is played by SQL.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, in its helpers too")]

use std::{collections::BTreeMap, time::Duration};

use tokio_util::sync::CancellationToken;
use updraft_core::{dag::Dag, lease::Lease};
use updraft_scheduler::Config;
use updraft_store::{
    Store,
    dispatch::Rules,
    query::dags,
    runs::{self, Trigger},
    testing::TestDb,
    versions::DagCache,
    wake::Signal,
};
use uuid::Uuid;

struct World {
    _db: TestDb,
    store: Store,
    stops: Vec<(CancellationToken, tokio::task::JoinHandle<()>)>,
}

fn task(id: &str, upstream: &[&str], operator: &str) -> serde_json::Value {
    serde_json::json!({
        "task_id": id, "operator_class": format!("x.{operator}Operator"), "operator": operator, "args": {}, "upstream": upstream,
        "task_group": null, "owner": "airflow", "trigger_rule": "all_success", "retries": 0, "retry_delay": 300.0,
        "retry_exponential_backoff": 0.0, "max_retry_delay": null, "execution_timeout": null, "depends_on_past": false,
        "wait_for_downstream": false, "ignore_first_depends_on_past": false, "pool": "default_pool", "pool_slots": 1,
        "queue": "default", "priority_weight": 1, "weight_rule": "downstream", "max_active_tis_per_dag": null,
        "max_active_tis_per_dagrun": null, "do_xcom_push": true, "multiple_outputs": false, "start_date": null, "end_date": null,
        "worker_selector": {}, "env": {}, "params": {}, "task_display_name": id, "doc": null, "doc_md": null
    })
}

impl World {
    async fn new() -> Self {
        // As the binary does first; an earlier test of this process may have.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let db = TestDb::new().await;
        let store = db.store().await;
        sqlx::query("insert into executor_token (name, hash) values ('t', 'h')").execute(store.pool()).await.unwrap();
        Self { _db: db, store, stops: Vec::new() }
    }

    async fn dag(&self, id: &str, tasks: Vec<serde_json::Value>) {
        let mut dag = Dag::new(id);
        dag.tasks = tasks.into_iter().map(|task| serde_json::from_value(task).unwrap()).collect();
        let fk: i64 = sqlx::query_scalar(
            "insert into dag (dag_id, dag_display_name, bundle_name, relative_fileloc, fileloc, max_active_runs)
             values ($1, $1, 'b', 'f', 'f', 2) returning id",
        )
        .bind(id)
        .fetch_one(self.store.pool())
        .await
        .unwrap();
        sqlx::query(
            "with v as (insert into dag_version (dag_fk, version_number, hash, data, source, bundle_name)
                        values ($1, 1, 'h', $2, '', 'b') returning id)
             update dag set latest_version_id = (select id from v) where id = $1",
        )
        .bind(fk)
        .bind(serde_json::to_value(&dag).unwrap())
        .execute(self.store.pool())
        .await
        .unwrap();
    }

    async fn node(&self, name: &str, slots: i32) {
        sqlx::query(
            "insert into executor (name, identity, session, token_id, state, hostname, version, slots, runners)
             values ($1, gen_random_uuid(), gen_random_uuid(), 1, 'active', $1, '0', $2,
                     '[{\"name\": \"process\", \"available\": true}]')",
        )
        .bind(name)
        .bind(slots)
        .execute(self.store.pool())
        .await
        .unwrap();
    }

    fn scheduler(&mut self) {
        let config = Config {
            dispatch: Rules::new(100),
            lease: Lease::new(Duration::from_secs(3600)),
            hostname: "test".into(),
            cached_instances: 1000,
            outbox: updraft_scheduler::outbox::Config::default(),
        };
        let stop = CancellationToken::new();
        let (store, token) = (self.store.clone(), stop.clone());
        let task = tokio::spawn(async move { updraft_scheduler::run(store, config, token).await.unwrap() });
        self.stops.push((stop, task));
    }

    async fn trigger(&self, dag_id: &str) -> i64 {
        let mut transaction = self.store.begin().await.unwrap();
        let trigger = Trigger {
            dag_id,
            run_id: Some(Uuid::new_v4().to_string().into()),
            logical_date: None,
            data_interval: None,
            run_after: None,
            conf: None,
            note: None,
            triggered_by: "rest_api",
            user: None,
        };
        let run = runs::trigger(&mut transaction, &DagCache::default(), &trigger).await.unwrap();
        transaction.commit().await.unwrap();
        self.store.wake().ring(Signal::Dags);
        run
    }

    /// Waits until a query says true, woken by signals.
    async fn until(&self, what: &'static str) {
        let mut bell = self.store.wake().subscribe();
        let done = async {
            while !sqlx::query_scalar::<_, bool>(what).fetch_one(self.store.pool()).await.unwrap() {
                let _ = tokio::time::timeout(Duration::from_millis(50), bell.recv()).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), done).await.unwrap_or_else(|_| panic!("never true: {what}"));
    }

    /// Ends every placed attempt well, as a node would report it.
    async fn finish_placed(&self) -> usize {
        let runs: Vec<i64> = sqlx::query_scalar(
            "with a as (update attempt set handed_at = now(), started_at = now()
                        where executor_id is not null and started_at is null returning *)
             insert into task_event (dag_run_id, task_id, attempt_id, kind, body)
             select dag_run_id, task_id, attempt_id, 'finished',
                    jsonb_build_object('outcome', 'success', 'hostname', (select name from executor where id = executor_id),
                                       'started_at', now(), 'ended_at', now(), 'exit_code', 0)
             from a returning dag_run_id",
        )
        .fetch_all(self.store.pool())
        .await
        .unwrap();
        for run in &runs {
            self.store.wake().ring(Signal::Run(*run));
        }
        runs.len()
    }

    async fn finish_all(&self, until: &'static str) {
        let work = async {
            while !sqlx::query_scalar::<_, bool>(until).fetch_one(self.store.pool()).await.unwrap() {
                if self.finish_placed().await == 0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), work).await.unwrap_or_else(|_| panic!("never true: {until}"));
    }

    async fn stop(self) {
        for (stop, task) in self.stops {
            stop.cancel();
            task.await.unwrap();
        }
    }
}

const ALL_DONE: &str = "select bool_and(state = 'success') and count(*) > 0 from dag_run";

#[tokio::test(flavor = "multi_thread")]
async fn a_triggered_run_goes_through_its_tasks_to_success() {
    let mut world = World::new().await;
    world.node("n1", 4).await;
    world
        .dag(
            "d",
            vec![
                task("s", &[], "empty"),
                task("a", &["s"], "bash"),
                task("b", &["a"], "bash"),
                task("e", &["b"], "empty"),
            ],
        )
        .await;
    world.scheduler();
    world.trigger("d").await;
    world.finish_all(ALL_DONE).await;
    let tries: i64 =
        sqlx::query_scalar("select sum(try_number) from task_instance").fetch_one(world.store.pool()).await.unwrap();
    let left: i64 = sqlx::query_scalar("select (select count(*) from attempt) + (select count(*) from task_event)")
        .fetch_one(world.store.pool())
        .await
        .unwrap();
    assert_eq!((tries, left), (4, 0));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_schedulers_share_the_runs_and_the_round_goes_on_over_both() {
    let mut world = World::new().await;
    world.node("n1", 50).await;
    world.node("n2", 50).await;
    world.node("n3", 50).await;
    let fan = (0..30).map(|n| task(&format!("t{n}"), &[], "bash")).collect();
    world.dag("d", fan).await;
    sqlx::query("update dag set max_active_tasks = 100").execute(world.store.pool()).await.unwrap();
    world.scheduler();
    world.scheduler();
    world.trigger("d").await;
    world.trigger("d").await;
    world.until("select count(*) = 60 from attempt where executor_id is not null").await;
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "select e.name, count(*) from attempt a join executor e on e.id = a.executor_id group by 1 order by 1",
    )
    .fetch_all(world.store.pool())
    .await
    .unwrap();
    let shares: BTreeMap<String, i64> = rows.into_iter().collect();
    assert_eq!(shares.values().copied().collect::<Vec<_>>(), [20, 20, 20], "{shares:?}");
    world.finish_all(ALL_DONE).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_and_every_slot_that_is_given_back_is_used() {
    let mut world = World::new().await;
    world.node("n1", 3).await;
    world.dag("d", (0..10).map(|n| task(&format!("t{n}"), &[], "bash")).collect()).await;
    world.scheduler();
    // max_active_runs is 2: the third waits for a finished one.
    for _ in 0..3 {
        world.trigger("d").await;
    }
    world.until("select count(*) = 3 from attempt where executor_id is not null").await;
    world.until("select count(*) = 2 from dag_run where state = 'running'").await;
    world.finish_all(ALL_DONE).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wake_up_that_is_lost_costs_a_sweep_and_nothing_else() {
    let mut world = World::new().await;
    world.node("n1", 3).await;
    world.dag("d", vec![task("a", &[], "bash")]).await;
    world.scheduler();
    world.trigger("d").await;
    world.until("select count(*) = 1 from attempt where executor_id is not null").await;
    sqlx::query(
        "insert into task_event (dag_run_id, task_id, attempt_id, kind, body)
         select dag_run_id, task_id, attempt_id, 'finished',
                '{\"outcome\": \"success\", \"hostname\": \"n1\", \"started_at\": \"2026-01-01T00:00:00Z\", \"ended_at\": \"2026-01-01T00:00:01Z\"}'
         from attempt",
    )
    .execute(world.store.pool())
    .await
    .unwrap();
    world.until(ALL_DONE).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_cannot_be_planned_is_quarantined_and_holds_up_nobody() {
    let mut world = World::new().await;
    world.node("n1", 9).await;
    world.dag("good", vec![task("a", &[], "bash")]).await;
    world.dag("bad", vec![task("a", &[], "bash")]).await;
    world.scheduler();
    let bad = world.trigger("bad").await;
    world.until("select count(*) = 1 from attempt where executor_id is not null").await;
    sqlx::query("insert into task_event (dag_run_id, task_id, attempt_id, kind, body) values ($1, 'a', $2, 'no such kind', '{}')")
        .bind(bad)
        .bind(Uuid::new_v4())
        .execute(world.store.pool())
        .await
        .unwrap();
    world.store.wake().ring(Signal::Run(bad));
    world.trigger("good").await;
    world
        .finish_all("select state = 'success' from dag_run r join dag d on d.id = r.dag_fk where d.dag_id = 'good'")
        .await;
    world.until("select coalesce(quarantine_reason like '%no such kind%', false) from dag_run r join dag d on d.id = r.dag_fk where d.dag_id = 'bad'").await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unpaused_dag_goes_on_at_once() {
    let mut world = World::new().await;
    world.node("n1", 9).await;
    world.dag("d", vec![task("a", &[], "bash"), task("b", &["a"], "bash")]).await;
    world.scheduler();
    world.trigger("d").await;
    world.until("select count(*) = 1 from attempt where executor_id is not null").await;
    let pause = async |paused: bool| {
        let mut transaction = world.store.begin().await.unwrap();
        assert!(dags::set_paused(&mut transaction, "d", paused).await.unwrap());
        transaction.commit().await.unwrap();
        world.store.wake().ring(Signal::Dags);
    };
    pause(true).await;
    world.finish_placed().await;
    world.until("select state = 'success' from task_instance where task_id = 'a'").await;
    world.until("select state = 'none' from task_instance where task_id = 'b'").await;
    pause(false).await;
    world.finish_all(ALL_DONE).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_of_a_lost_node_is_retried_elsewhere_and_one_never_handed_out_is_free() {
    let mut world = World::new().await;
    world.node("n1", 9).await;
    let mut a = task("a", &[], "bash");
    a["retries"] = 1.into();
    a["retry_delay"] = 0.into();
    world.dag("d", vec![a, task("b", &[], "bash")]).await;
    world.scheduler();
    world.trigger("d").await;
    world.until("select count(*) = 2 from attempt where executor_id is not null").await;
    sqlx::query("update attempt set handed_at = now() where task_id = 'a'").execute(world.store.pool()).await.unwrap();
    world.node("n2", 9).await;
    sqlx::query("update executor set state = 'lost' where name = 'n1'").execute(world.store.pool()).await.unwrap();
    world.until("select count(*) = 2 from attempt a join executor e on e.id = a.executor_id where e.name = 'n2'").await;
    let tries: Vec<(String, i32)> = sqlx::query_as("select task_id, try_number from task_instance order by 1")
        .fetch_all(world.store.pool())
        .await
        .unwrap();
    assert_eq!(tries, [("a".to_owned(), 2), ("b".to_owned(), 1)]);
    let class: String = sqlx::query_scalar("select failure_class from task_instance_history")
        .fetch_one(world.store.pool())
        .await
        .unwrap();
    assert_eq!(class, "node_lost");
    world.finish_all(ALL_DONE).await;
    world.stop().await;
}
