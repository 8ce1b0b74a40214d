//! Rows that other parts of the system write, by plain SQL.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use updraft_core::{
    dag::{Dag, Task},
    lease::Lease,
    spec::Outcome,
};
use updraft_store::{
    Store,
    nodes::{self, Ended, Event, EventBody, HandOut, NewNode, NodeReport, Process, Registration, TokenId, Verdict},
    query::executors::{self, ExecutorRow},
    testing::TestDb,
    versions::DagCache,
};
use uuid::Uuid;

pub(crate) const LEASE: Lease = Lease::new(Duration::from_secs(30));
pub(crate) const LAUNCH: Duration = Duration::from_mins(1);

/// A database with one DAG `d` (tasks `t0`…), one run and one token.
pub(crate) struct Seed {
    pub(crate) store: Store,
    pub(crate) token: TokenId,
    pub(crate) run: i64,
    pub(crate) dags: DagCache,
    _db: TestDb,
}

/// A registered node.
#[derive(Clone, Copy)]
pub(crate) struct Node {
    pub(crate) id: i64,
    pub(crate) identity: Uuid,
    pub(crate) session: Uuid,
}

impl Seed {
    pub(crate) async fn new() -> Self {
        let db = TestDb::new().await;
        let store = db.store().await;
        let token = nodes::create_token(&store, "n").await.unwrap();
        let token = nodes::authenticate_token(&store, &token).await.unwrap().unwrap();
        let mut dag = Dag::new("d");
        dag.params.insert("a".to_owned(), json!(1));
        dag.tasks = vec![
            task("t0", json!({})),
            task("t1", json!({"params": {"b": 2}, "multiple_outputs": true})),
            task("t2", json!({"args": {"x": "{{ ti.xcom_pull(task_ids='t0') }} {{ ti.xcom_pull('t1', key='k') }}"}})),
            task(
                "t3",
                json!({"args": {"x": "{{ var.value.region }}"}, "secrets": {
                    "PASSWORD": "connection:db.password", "USER": "connection:db.login", "KEY": "variable:api", "HOME": "env:HOME",
                }}),
            ),
            task("t4", json!({"env": {"SINCE": "{{ prev_data_interval_end_success }}"}})),
        ];
        let dag_fk: i64 = sqlx::query_scalar(
            "insert into dag (dag_id, dag_display_name, bundle_name, relative_fileloc, fileloc)
             values ('d', 'd', 'main', 'd.yaml', '/dags/d.yaml') returning id",
        )
        .fetch_one(store.pool())
        .await
        .unwrap();
        let version: i64 = sqlx::query_scalar(
            "insert into dag_version (dag_fk, version_number, hash, data, source, bundle_name, bundle_hash)
             values ($1, 1, $2, $3, '', 'main', 'b1') returning id",
        )
        .bind(dag_fk)
        .bind(dag.hash())
        .bind(serde_json::to_value(&dag).unwrap())
        .fetch_one(store.pool())
        .await
        .unwrap();
        let run: i64 = sqlx::query_scalar(
            "insert into dag_run (dag_fk, run_id, tag, state, run_type, run_after, dag_version_id)
             values ($1, 'r1', 1, 'running', 'manual', now(), $2) returning id",
        )
        .bind(dag_fk)
        .bind(version)
        .fetch_one(store.pool())
        .await
        .unwrap();
        sqlx::query("insert into dag_run_conf (dag_run_id, conf) values ($1, $2)")
            .bind(run)
            .bind(json!({"a": 10, "c": 3}))
            .execute(store.pool())
            .await
            .unwrap();
        Self { store, token, run, dags: DagCache::default(), _db: db }
    }

    /// Registers a node that has nothing.
    pub(crate) async fn node(&self, name: &str) -> Node {
        let (identity, session) = (Uuid::new_v4(), Uuid::new_v4());
        let registration = self.register(name, identity, session).await;
        let Registration::Registered { executor_id, .. } = registration else { panic!("{registration:?}") };
        Node { id: executor_id, identity, session }
    }

    pub(crate) async fn register(&self, name: &str, identity: Uuid, session: Uuid) -> Registration {
        nodes::register(&self.store, self.token, &new_node(name, identity, session), &[], LEASE).await.unwrap()
    }

    /// The node tells that it ends.
    pub(crate) async fn leave(&self, name: &str, identity: Uuid, session: Uuid) {
        let node = NewNode { leaves: true, slots: 0, ..new_node(name, identity, session) };
        nodes::register(&self.store, self.token, &node, &[], LEASE).await.unwrap();
    }

    /// Somebody wants the node to take no new work, or to take some again.
    pub(crate) async fn drain(&self, name: &str, drained: bool) -> Option<i64> {
        let mut connection = self.store.pool().acquire().await.unwrap();
        nodes::set_drained(&mut connection, name, drained).await.unwrap()
    }

    /// All nodes, by name.
    pub(crate) async fn nodes(&self) -> Vec<ExecutorRow> {
        let mut connection = self.store.pool().acquire().await.unwrap();
        executors::of_name(&mut connection, None).await.unwrap()
    }

    /// An attempt of `task_id`, placed on the node.
    pub(crate) async fn placed(&self, node: Node, task_id: &str, map_index: i32) -> Uuid {
        let attempt = Uuid::new_v4();
        sqlx::query(
            "insert into attempt (attempt_id, dag_run_id, task_id, map_index, try_number, dag_fk, class_id, priority_weight,
                                  run_order, pool, pool_slots, executor_id, placed_at)
             values ($1, $2, $3, $4, 1, 1, 1, 1, now(), 'default_pool', 1, $5, now())",
        )
        .bind(attempt)
        .bind(self.run)
        .bind(task_id)
        .bind(map_index)
        .bind(node.id)
        .execute(self.store.pool())
        .await
        .unwrap();
        attempt
    }

    /// What plan does when an attempt is over.
    pub(crate) async fn fence(&self, attempt: Uuid) {
        sqlx::query("delete from attempt where attempt_id = $1")
            .bind(attempt)
            .execute(self.store.pool())
            .await
            .unwrap();
    }

    /// What plan does when a user clears a running task.
    pub(crate) async fn cancel(&self, attempt: Uuid) {
        sqlx::query(
            "with fenced as (delete from attempt where attempt_id = $1 returning *)
             insert into attempt_cancel (attempt_id, dag_run_id, task_id, map_index, executor_id, reason, grace_ms, deadline)
             select attempt_id, dag_run_id, task_id, map_index, executor_id, 'cleared', 5000, now() + interval '1 minute'
             from fenced",
        )
        .bind(attempt)
        .execute(self.store.pool())
        .await
        .unwrap();
    }

    /// A poll's look for work.
    pub(crate) async fn hand_out(&self, node: Node, have: &[Uuid]) -> Option<HandOut> {
        nodes::hand_out(&self.store, node.id, node.session, have, &[], LAUNCH).await.unwrap()
    }

    pub(crate) async fn report(&self, node: Node, events: Vec<Event>) -> Vec<Verdict> {
        let report = NodeReport { token: self.token, session: node.session, events };
        let mut answers = nodes::report(&self.store, &self.dags, &[report], LAUNCH).await.unwrap();
        answers.remove(0).expect("the session is known")
    }

    /// The inbox, oldest first: kind, attempt, body.
    pub(crate) async fn inbox(&self) -> Vec<(String, Uuid, Value)> {
        sqlx::query_as("select kind, attempt_id, body from task_event order by id")
            .fetch_all(self.store.pool())
            .await
            .unwrap()
    }

    /// XComs by key.
    pub(crate) async fn xcoms(&self) -> BTreeMap<String, Value> {
        let rows: Vec<(String, Value)> =
            sqlx::query_as("select key, value from xcom").fetch_all(self.store.pool()).await.unwrap();
        rows.into_iter().collect()
    }

    pub(crate) async fn execute(&self, sql: &'static str) {
        sqlx::query(sql).execute(self.store.pool()).await.unwrap();
    }
}

pub(crate) fn new_node(name: &str, identity: Uuid, session: Uuid) -> NewNode {
    NewNode {
        name: name.to_owned(),
        identity,
        session,
        hostname: "host".to_owned(),
        version: "0".to_owned(),
        slots: 4,
        weight: 1,
        leaves: false,
        labels: json!({}),
        queues: Vec::new(),
        runners: json!([]),
    }
}

pub(crate) fn started(attempt_id: Uuid) -> Event {
    Event { attempt_id, age: Duration::ZERO, body: EventBody::Started(process()) }
}

pub(crate) fn stopped(attempt_id: Uuid) -> Event {
    Event { attempt_id, age: Duration::ZERO, body: EventBody::Stopped }
}

/// Ended a second ago, after two seconds, with this result.
pub(crate) fn finished(attempt_id: Uuid, return_value: Option<Value>) -> Event {
    let ended = Ended {
        outcome: Outcome::Success,
        process: process(),
        duration: Duration::from_secs(2),
        exit_code: Some(0),
        failure_class: None,
        failure_reason: None,
        no_retry: false,
        retry_delay_ms: None,
        decision: None,
        outlet_events: None,
        return_value,
        rendered_fields: None,
    };
    Event { attempt_id, age: Duration::from_secs(1), body: EventBody::Finished(Box::new(ended)) }
}

fn process() -> Process {
    Process { hostname: "n1".to_owned(), pid: Some(7), ..Process::default() }
}

/// A task with Airflow's defaults, and some fields of its own.
#[expect(clippy::needless_pass_by_value, reason = "reads better where it is called")]
fn task(task_id: &str, overrides: Value) -> Task {
    let mut value = json!({
        "task_id": task_id, "operator_class": "noop", "operator": "noop", "args": {}, "upstream": [], "task_group": null,
        "owner": "airflow", "trigger_rule": "all_success", "retries": 0, "retry_delay": 300.0,
        "retry_exponential_backoff": 0.0, "max_retry_delay": null, "execution_timeout": null, "depends_on_past": false,
        "wait_for_downstream": false, "ignore_first_depends_on_past": true, "pool": "default_pool", "pool_slots": 1,
        "queue": "default", "priority_weight": 1, "weight_rule": "downstream", "max_active_tis_per_dag": null,
        "max_active_tis_per_dagrun": null, "do_xcom_push": true, "multiple_outputs": false, "start_date": null,
        "end_date": null, "worker_selector": {}, "env": {}, "params": {}, "task_display_name": task_id, "doc": null,
        "doc_md": null
    });
    for (key, own) in overrides.as_object().unwrap() {
        value[key] = own.clone();
    }
    serde_json::from_value(value).unwrap()
}
