//! DAGs as the processor writes them, and questions in SQL.

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::AssertSqlSafe;
use updraft_core::dag::{Dag, Schedule, Task};
use updraft_store::{Store, dispatch::Classes, runs::Blueprints, testing::TestDb, versions::DagCache};

pub(crate) struct Seed {
    pub(crate) store: Store,
    pub(crate) dags: DagCache,
    pub(crate) blueprints: Blueprints,
    pub(crate) classes: Classes,
    _db: TestDb,
}

impl Seed {
    pub(crate) async fn new() -> Self {
        let db = TestDb::new().await;
        let store = db.store().await;
        let (dags, blueprints, classes) = (DagCache::default(), Blueprints::default(), Classes::default());
        Self { store, dags, blueprints, classes, _db: db }
    }

    /// Stores the DAG with its first version and its next run. Returns its key.
    pub(crate) async fn dag(&self, dag: &Dag, next: Option<DateTime<Utc>>) -> i64 {
        let key: i64 = sqlx::query_scalar(
            "insert into dag (dag_id, dag_display_name, bundle_name, relative_fileloc, fileloc, max_active_runs,
                              max_consecutive_failed_dag_runs, next_dagrun, next_dagrun_data_interval_start,
                              next_dagrun_data_interval_end, next_dagrun_create_after)
             values ($1, $1, 'b', 'f', 'f', $2, $3, $4, $4, $4, $4) returning id",
        )
        .bind(dag.dag_id.as_str())
        .bind(i32::try_from(dag.max_active_runs).unwrap())
        .bind(i32::try_from(dag.max_consecutive_failed_dag_runs).unwrap())
        .bind(next)
        .fetch_one(self.store.pool())
        .await
        .unwrap();
        self.version(key, 1, dag, None).await;
        key
    }

    pub(crate) async fn version(&self, dag_fk: i64, number: i32, dag: &Dag, bundle_version: Option<&str>) {
        sqlx::query(
            "with v as (insert into dag_version (dag_fk, version_number, hash, data, source, bundle_name, bundle_version)
                        values ($1, $2, $3, $4, '', 'b', $5) returning id)
             update dag set latest_version_id = (select id from v) where id = $1",
        )
        .bind(dag_fk)
        .bind(number)
        .bind(dag.hash())
        .bind(serde_json::to_value(dag).unwrap())
        .bind(bundle_version)
        .execute(self.store.pool())
        .await
        .unwrap();
    }

    pub(crate) async fn execute(&self, sql: &str) -> u64 {
        sqlx::query(AssertSqlSafe(sql.to_owned())).execute(self.store.pool()).await.unwrap().rows_affected()
    }

    /// The one column of text of a query, its rows joined with line ends.
    pub(crate) async fn ask(&self, sql: &str) -> String {
        let rows: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(self.store.pool()).await.unwrap();
        rows.join("\n")
    }
}

/// A daily DAG since 2020 with these tasks, in a chain.
pub(crate) fn daily(id: &str, tasks: &[&str]) -> Dag {
    let mut dag = Dag::new(id);
    dag.schedule = Schedule::cron("0 0 * * *", dag.timezone);
    dag.start_date = Some("2020-01-01T00:00:00Z".parse().unwrap());
    let mut previous: Option<&str> = None;
    for id in tasks {
        dag.tasks.push(task(id, previous));
        previous = Some(id);
    }
    dag
}

pub(crate) fn task(id: &str, upstream: Option<&str>) -> Task {
    let mut task = json!({
        "task_id": id, "operator_class": "x.BashOperator", "operator": "bash", "args": {}, "upstream": [],
        "task_group": null, "owner": "airflow", "trigger_rule": "all_success", "retries": 2, "retry_delay": 300.0,
        "retry_exponential_backoff": 0.0, "max_retry_delay": null, "execution_timeout": null, "depends_on_past": false,
        "wait_for_downstream": false, "ignore_first_depends_on_past": false, "pool": "default_pool", "pool_slots": 1,
        "queue": "default", "priority_weight": 1, "weight_rule": "downstream", "max_active_tis_per_dag": null,
        "max_active_tis_per_dagrun": null, "do_xcom_push": true, "multiple_outputs": false, "start_date": null,
        "end_date": null, "worker_selector": {}, "env": {}, "params": {}, "task_display_name": id, "doc": null,
        "doc_md": null, "mapped": null
    });
    if let Some(upstream) = upstream {
        task["upstream"] = json!([upstream]);
    }
    serde_json::from_value(task).unwrap()
}
