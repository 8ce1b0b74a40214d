//! What needs somebody: failures that nothing has mended, broken files, questions.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::StoreError;

/// A failed task of a DAG's last run with failures, its first failed instance for all of them; or the run, where it failed
/// without a failed task.
#[derive(Clone, Debug)]
pub struct FailureRow {
    pub dag_id: String,
    pub run_id: String,
    pub run_state: String,
    pub run_after: DateTime<Utc>,
    pub run_type: String,
    pub run_end_date: Option<DateTime<Utc>>,
    pub dag_version_id: i64,
    /// Runs with failures in all.
    pub total_runs: i64,
    pub task_id: Option<String>,
    pub map_index: Option<i32>,
    pub try_number: Option<i32>,
    pub max_tries: Option<i32>,
    pub end_date: Option<DateTime<Utc>>,
    pub failure_class: Option<String>,
    pub failure_reason: Option<String>,
    pub last_error: Option<String>,
    pub hostname: Option<String>,
    pub failed_instances: i64,
    pub instances: i64,
}

/// Of each DAG the last run that ended within a day and had failures, unless a later one succeeded; the latest end first, at most
/// `runs` of them and ten tasks of each. A cleared task is failed no more, so it is not among them.
///
/// Asked by the dashboard's first page. `dag_run_failed_idx` finds the runs, `dag_run_dag_run_after_idx` the later ones,
/// `task_instance_pkey` their tasks.
pub async fn failures(connection: &mut PgConnection, runs: i64) -> Result<Vec<FailureRow>, StoreError> {
    Ok(sqlx::query_as!(
        FailureRow,
        r#"
        with lately as materialized (
            select distinct on (r.dag_fk) r.* from dag_run r
            where r.end_date is not null and r.end_date >= now() - interval '24 hours' and (r.failed_tasks > 0 or r.state = 'failed')
            order by r.dag_fk, r.run_after desc, r.id desc
        ), unmended as materialized (
            select l.*, d.dag_id, count(*) over () as total_runs
            from lately l join dag d on d.id = l.dag_fk
            where not d.is_stale and l.state in ('success', 'failed') and not exists (
                select from dag_run later
                where later.dag_fk = l.dag_fk and (later.run_after, later.id) > (l.run_after, l.id) and later.state = 'success')
            order by l.end_date desc, l.id desc limit $1
        )
        select u.dag_id as "dag_id!", u.run_id as "run_id!", u.state as "run_state!", u.run_after as "run_after!",
               u.run_type as "run_type!", u.end_date as run_end_date, u.dag_version_id as "dag_version_id!",
               u.total_runs as "total_runs!", t.task_id as "task_id?", t.map_index as "map_index?", t.try_number as "try_number?",
               t.max_tries as "max_tries?", t.end_date as "end_date?", t.failure_class as "failure_class?",
               t.failure_reason as "failure_reason?", t.execution ->> 'last_error' as last_error, t.hostname as "hostname?",
               coalesce(t.failed, 0) as "failed_instances!",
               (select count(*) from task_instance i where i.dag_run_id = u.id and i.task_id = t.task_id) as "instances!"
        from unmended u left join lateral (
            select distinct on (f.task_id) f.*, count(*) over (partition by f.task_id) as failed
            from task_instance f where f.dag_run_id = u.id and f.state = 'failed'
            order by f.task_id, f.map_index limit 10) t on true
        order by u.end_date desc, u.id desc, t.end_date, t.task_id
        "#,
        runs
    )
    .fetch_all(connection)
    .await?)
}

/// A question that nobody has answered.
#[derive(Clone, Debug)]
pub struct QuestionRow {
    pub dag_id: String,
    pub run_id: String,
    pub task_id: String,
    pub map_index: i32,
    pub subject: String,
    pub since: DateTime<Utc>,
    pub deadline: Option<DateTime<Utc>>,
    /// Questions in all.
    pub total: i64,
}

/// The open questions, the newest first; `hitl_detail_open_idx`, and `attempt_pkey` for whether somebody waits still.
pub async fn questions(connection: &mut PgConnection, limit: i64) -> Result<Vec<QuestionRow>, StoreError> {
    Ok(sqlx::query_as!(
        QuestionRow,
        r#"
        select d.dag_id, r.run_id, h.task_id, h.map_index, h.subject, h.created_at as since, h.deadline, count(*) over () as "total!"
        from hitl_detail h join attempt a on a.attempt_id = h.attempt_id
        join dag_run r on r.id = h.dag_run_id join dag d on d.id = r.dag_fk
        where h.responded_at is null order by h.created_at desc, h.attempt_id limit $1
        "#,
        limit
    )
    .fetch_all(connection)
    .await?)
}

/// A DAG whose file is broken, and the last good version that goes on.
#[derive(Clone, Debug)]
pub struct BrokenRow {
    pub bundle_name: String,
    pub relative_fileloc: String,
    pub dag_id: String,
    pub version_number: Option<i32>,
}

/// The DAGs that come from files with an import error. Reads the small table of DAGs once.
pub async fn of_broken_files(connection: &mut PgConnection) -> Result<Vec<BrokenRow>, StoreError> {
    Ok(sqlx::query_as!(
        BrokenRow,
        r#"select d.bundle_name, d.relative_fileloc, d.dag_id, v.version_number as "version_number?"
           from dag d left join dag_version v on v.id = d.latest_version_id
           where d.has_import_errors and not d.is_stale order by d.dag_id"#
    )
    .fetch_all(connection)
    .await?)
}
