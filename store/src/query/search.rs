//! Finding things by a part of their name.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::StoreError;

/// The latest runs, among which is searched.
const RUNS: i64 = 2_000;

#[derive(Clone, Debug)]
pub struct DagHit {
    pub dag_id: String,
    pub dag_display_name: String,
    pub is_paused: bool,
}

#[derive(Clone, Debug)]
pub struct TaskHit {
    pub dag_id: String,
    pub task_id: String,
}

#[derive(Clone, Debug)]
pub struct RunHit {
    pub dag_id: String,
    pub run_id: String,
    pub state: String,
    pub run_after: DateTime<Utc>,
}

#[derive(Clone, Debug)]
pub struct AssetHit {
    pub id: i64,
    pub name: String,
    pub uri: String,
}

/// What was found, of each kind at most as many as were asked for; what begins with the text comes first.
#[derive(Clone, Debug, Default)]
pub struct Hits {
    pub dags: Vec<DagHit>,
    pub tasks: Vec<TaskHit>,
    pub runs: Vec<RunHit>,
    pub assets: Vec<AssetHit>,
}

/// Searches the small tables of DAGs (with the tasks of their latest versions) and assets, and the latest 2,000 runs
/// (`dag_run_pkey`). Whatever the case of the letters.
pub async fn search(connection: &mut PgConnection, text: &str, limit: i64) -> Result<Hits, StoreError> {
    let dags = sqlx::query_as!(
        DagHit,
        "select dag_id, dag_display_name, is_paused from dag
         where not is_stale and strpos(lower(concat_ws(E'\\n', dag_id, dag_display_name)), lower($1)) > 0
         order by not starts_with(lower(dag_id), lower($1)), dag_id limit $2",
        text,
        limit
    )
    .fetch_all(&mut *connection)
    .await?;
    let tasks = sqlx::query_as!(
        TaskHit,
        r#"select d.dag_id, t.task_id as "task_id!" from dag d cross join unnest(d.task_ids) as t(task_id)
           where not d.is_stale and strpos(lower(t.task_id), lower($1)) > 0
           order by not starts_with(lower(t.task_id), lower($1)), t.task_id, d.dag_id limit $2"#,
        text,
        limit
    )
    .fetch_all(&mut *connection)
    .await?;
    let runs = sqlx::query_as!(
        RunHit,
        "select d.dag_id, r.run_id, r.state, r.run_after
         from (select id, dag_fk, run_id, state, run_after from dag_run order by id desc limit $3) r join dag d on d.id = r.dag_fk
         where strpos(lower(r.run_id), lower($1)) > 0 order by r.id desc limit $2",
        text,
        limit,
        RUNS
    )
    .fetch_all(&mut *connection)
    .await?;
    let assets = sqlx::query_as!(
        AssetHit,
        "select id, name, uri from asset
         where is_active and strpos(lower(concat_ws(E'\\n', name, uri)), lower($1)) > 0
         order by not starts_with(lower(name), lower($1)), name limit $2",
        text,
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(Hits { dags, tasks, runs, assets })
}
