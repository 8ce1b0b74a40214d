//! DAGs as the processor writes them, and questions in SQL.

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::AssertSqlSafe;
use updraft_core::{
    dag::{Dag, Schedule, Task},
    plan::{Facts, Scope, plan},
};
use updraft_store::{
    Store,
    dispatch::Classes,
    plan as store_plan,
    runs::{self, Blueprints},
    testing::TestDb,
    versions::DagCache,
};

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

    /// Plans a run as the scheduler does: in its DAG's latest version, with the facts that the plan asks for.
    pub(crate) async fn plan(&self, run: i64) {
        let mut transaction = self.store.begin().await.unwrap();
        let locked = store_plan::lock(&mut transaction, &[run]).await.unwrap();
        let mut batch = store_plan::read(&mut transaction, &locked).await.unwrap();
        let (row, now) = (batch.runs.pop().unwrap(), batch.now);
        let changes: Vec<_> = batch.changes.into_iter().map(|(_, change)| change).collect();
        let version = row.follows.filter(|_| !row.run.state.is_finished()).unwrap_or(row.dag_version_id);
        let dag = self.dags.get(&mut *transaction, version).await.unwrap();
        if version != row.dag_version_id {
            runs::adopt(&mut transaction, &row, &dag, now).await.unwrap();
        }
        let state = store_plan::load(&mut transaction, vec![(row.clone(), dag.clone())]).await.unwrap().pop().unwrap();
        let mut facts = Facts::default();
        let decided = loop {
            let decided = plan(&state, &changes, Scope::All, &facts, now, &mut store_plan::new_attempt_id);
            if decided.needs.is_empty() {
                break decided;
            }
            let (sources, needs) = (self.store.sources(), &decided.needs);
            store_plan::load_facts(&mut transaction, &self.dags, sources, &row, &dag, needs, &mut facts).await.unwrap();
        };
        let planned = store_plan::Planned {
            dag_fk: row.dag_fk,
            dag_version_id: version,
            state: &state,
            plan: &decided,
            tag: row.tag + 1,
        };
        store_plan::write(&mut transaction, &self.classes, now, &[planned]).await.unwrap();
        transaction.commit().await.unwrap();
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
