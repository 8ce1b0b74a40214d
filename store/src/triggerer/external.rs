//! The states of another DAG's run and tasks, for `ExternalTaskSensor`.

use std::sync::Arc;

use sqlx::PgConnection;
use updraft_core::{
    dag::Dag,
    state::{DagRunState, TaskInstanceState, UnknownState},
    triggerer::external::{Facts, Target, What},
};

use crate::{StoreError, versions::DagCache};

/// What the database says about a target.
#[derive(Clone, Debug, Default)]
pub struct External {
    dag: Option<Arc<Dag>>,
    run: Option<DagRunState>,
    tasks: Vec<(String, TaskInstanceState)>,
}

impl External {
    pub fn facts(&self) -> Facts<'_> {
        Facts { dag: self.dag.as_deref(), run: self.run, tasks: &self.tasks }
    }
}

/// Reads the target's run at its logical date, and its instances where tasks are waited for.
///
/// Called at each look of a sensor; `dag_dag_id_key`, `dag_run_logical_date_key` and `task_instance_pkey` serve it.
pub async fn external(connection: &mut PgConnection, dags: &DagCache, target: &Target) -> Result<External, StoreError> {
    let row = sqlx::query!(
        r#"select d.latest_version_id, d.is_stale, r.id as "run?", r.state as "state?", r.dag_version_id as "version?"
           from dag d left join dag_run r on r.dag_fk = d.id and r.logical_date = $2
           where d.dag_id = $1"#,
        target.dag_id,
        target.logical_date
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(External::default()) };
    let version = row.version.or_else(|| row.latest_version_id.filter(|_| !row.is_stale));
    let dag = match version {
        Some(version) => Some(dags.get(&mut *connection, version).await?),
        None => None,
    };
    let run = row.state.map(|state| state.parse()).transpose().map_err(data)?;
    let tasks = match row.run {
        Some(run) if target.what != What::Run => instances(connection, run).await?,
        _ => Vec::new(),
    };
    Ok(External { dag, run, tasks })
}

async fn instances(connection: &mut PgConnection, run: i64) -> Result<Vec<(String, TaskInstanceState)>, StoreError> {
    let rows = sqlx::query!("select task_id, state from task_instance where dag_run_id = $1", run)
        .fetch_all(connection)
        .await?;
    rows.into_iter().map(|row| Ok((row.task_id, row.state.parse().map_err(data)?))).collect()
}

fn data(error: UnknownState) -> StoreError {
    StoreError::Data(error.to_string())
}
