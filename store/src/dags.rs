//! DAG files → DAGs, versions and import errors. Only the DAG processor writes here, one per bundle at a time.
//!
//! For each changed file, in one transaction: [`lock`] the DAGs it names, decide (in the scheduler crate), then
//! [`write_dag`] and [`write_file`]. What goes away: [`forget_files`] and [`mark_stale`].

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, Row};
use updraft_core::dag::Dag;

use crate::{StoreError, assets};

/// What the database remembers of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownFile {
    /// Empty while something about the file is unsettled: compile it again.
    pub fingerprint: String,
    /// Every path its compilation asked for, found or not.
    pub dependencies: Vec<String>,
    /// Files it includes, which are no DAG files themselves.
    pub includes: Vec<String>,
    pub last_parsed_time: Option<DateTime<Utc>>,
    pub has_import_error: bool,
    /// Ids of the live DAGs whose home the file is.
    pub dag_ids: Vec<String>,
}

/// Everything the database remembers of a bundle's files, by path; read when a processor takes the bundle over. Files that
/// are known only by an import error or a DAG are there too. With it, the database's `now`.
pub async fn known_files(
    connection: &mut PgConnection,
    bundle_name: &str,
) -> Result<(HashMap<String, KnownFile>, DateTime<Utc>), StoreError> {
    let mut files: HashMap<String, KnownFile> = HashMap::new();
    let rows = sqlx::query!(
        "select relative_fileloc, fingerprint, dependencies, includes, last_parsed_time from dag_file where bundle_name = $1",
        bundle_name
    )
    .fetch_all(&mut *connection)
    .await?;
    for row in rows {
        let file = files.entry(row.relative_fileloc).or_default();
        file.fingerprint = row.fingerprint;
        file.dependencies = row.dependencies;
        file.includes = row.includes;
        file.last_parsed_time = Some(row.last_parsed_time);
    }
    let errors = sqlx::query_scalar!("select filename from import_error where bundle_name = $1", bundle_name)
        .fetch_all(&mut *connection)
        .await?;
    for filename in errors {
        files.entry(filename).or_default().has_import_error = true;
    }
    let dags = sqlx::query!(
        "select dag_id, relative_fileloc from dag where bundle_name = $1 and not is_stale order by dag_id",
        bundle_name
    )
    .fetch_all(&mut *connection)
    .await?;
    for dag in dags {
        files.entry(dag.relative_fileloc).or_default().dag_ids.push(dag.dag_id);
    }
    Ok((files, now(connection).await?))
}

/// Asks for a file to be read anew although it did not change; `false`: no DAG comes from it. Ring
/// [`crate::wake::Signal::Files`] after the commit.
pub async fn request_parse(
    connection: &mut PgConnection,
    bundle_name: &str,
    relative_fileloc: &str,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "insert into dag_priority_parsing_request (bundle_name, relative_fileloc)
         select $1, $2 where exists (select from dag where bundle_name = $1 and relative_fileloc = $2)
         on conflict (bundle_name, relative_fileloc) do update set requested_at = now()",
        bundle_name,
        relative_fileloc
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The files of a bundle that are to be read anew. Asked at every look at the folder; a table that is almost always empty.
pub async fn parse_requests(connection: &mut PgConnection, bundle_name: &str) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar!(
        "select relative_fileloc from dag_priority_parsing_request where bundle_name = $1 order by relative_fileloc",
        bundle_name
    )
    .fetch_all(connection)
    .await?)
}

/// These files were read by somebody who looked at `now`; what was asked for since then stays.
pub async fn parse_requests_done(
    connection: &mut PgConnection,
    bundle_name: &str,
    files: &[String],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "delete from dag_priority_parsing_request
         where bundle_name = $1 and relative_fileloc = any($2) and requested_at <= $3",
        bundle_name,
        files,
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The database's clock.
pub async fn now(connection: &mut PgConnection) -> Result<DateTime<Utc>, StoreError> {
    Ok(sqlx::query_scalar!(r#"select now() as "now!""#).fetch_one(connection).await?)
}

/// A DAG row, locked, with what a decision about it needs.
#[derive(Clone, Debug)]
pub struct LockedDag {
    pub id: i64,
    pub dag_id: String,
    pub bundle_name: String,
    pub relative_fileloc: String,
    pub is_stale: bool,
    pub version: Option<LockedVersion>,
    /// The data interval of the latest scheduled or backfill run; manual runs do not move the schedule.
    pub last_run: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

/// A DAG's latest version.
#[derive(Clone, Debug)]
pub struct LockedVersion {
    pub id: i64,
    pub version_number: i32,
    pub hash: String,
    /// A run refers to it, or an active run may be about to: it must not be replaced.
    pub in_use: bool,
}

/// Locks the DAG rows with these ids (those that exist) against other writers of DAGs and creators of runs, in id order,
/// and reads them in the next statement. Called once per changed file; `dag_dag_id_key` serves it.
pub async fn lock(
    connection: &mut PgConnection,
    dag_ids: &[String],
) -> Result<(HashMap<String, LockedDag>, DateTime<Utc>), StoreError> {
    let rows = sqlx::query!(
        r#"select id, now() as "now!" from dag where dag_id = any($1) order by id for no key update"#,
        dag_ids
    )
    .fetch_all(&mut *connection)
    .await?;
    let Some(now) = rows.first().map(|row| row.now) else {
        return Ok((HashMap::new(), self::now(connection).await?));
    };
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    // The run with the latest logical date comes from dag_run_logical_date_key, read backwards.
    let rows = sqlx::query!(
        r#"select d.id as "id!", d.dag_id as "dag_id!", d.bundle_name as "bundle_name!",
                  d.relative_fileloc as "relative_fileloc!", d.is_stale as "is_stale!",
                  v.id as "version_id?", v.version_number as "version_number?", v.hash as "hash?",
                  (exists (select from dag_run r where r.dag_fk = d.id and r.state in ('queued', 'running'))
                   or exists (select from dag_run r where r.dag_fk = d.id and r.dag_version_id = v.id)) as "in_use!",
                  last.data_interval_start as "start?", last.data_interval_end as "end?"
           from dag d
           left join dag_version v on v.id = d.latest_version_id
           left join lateral (
               select r.data_interval_start, r.data_interval_end from dag_run r
               where r.dag_fk = d.id and r.logical_date is not null and r.run_type in ('scheduled', 'backfill')
               order by r.logical_date desc limit 1
           ) last on true
           where d.id = any($1)"#,
        &ids
    )
    .fetch_all(connection)
    .await?;
    let dags = rows.into_iter().map(|row| {
        let version = match (row.version_id, row.version_number, row.hash) {
            (Some(id), Some(version_number), Some(hash)) => {
                Some(LockedVersion { id, version_number, hash, in_use: row.in_use })
            }
            _ => None,
        };
        let dag = LockedDag {
            id: row.id,
            dag_id: row.dag_id.clone(),
            bundle_name: row.bundle_name,
            relative_fileloc: row.relative_fileloc,
            is_stale: row.is_stale,
            version,
            last_run: row.start.zip(row.end),
        };
        (row.dag_id, dag)
    });
    Ok((dags.collect(), now))
}

/// What to do with a DAG's versions.
#[derive(Clone, Debug)]
pub enum VersionWrite {
    /// The first one, or a change of one that runs refer to: a new number.
    New { number: i32 },
    /// A change of one that no run refers to: same number and public id, new internal id (see [`crate::versions`]).
    Replace { id: i64 },
    /// The same DAG; the file's text or the code beside it may differ.
    Keep { id: i64 },
}

/// The next run a timetable gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NextDagRun {
    pub logical_date: Option<DateTime<Utc>>,
    pub data_interval: Option<(DateTime<Utc>, DateTime<Utc>)>,
    pub run_after: Option<DateTime<Utc>>,
}

/// One DAG of a file, decided.
#[derive(Debug)]
pub struct DagWrite<'a> {
    pub dag: &'a Dag,
    pub hash: &'a str,
    /// The row's id, or `None` for a new DAG.
    pub id: Option<i64>,
    /// Only for a new DAG.
    pub is_paused: bool,
    pub bundle_name: &'a str,
    pub relative_fileloc: &'a str,
    pub fileloc: String,
    /// Comma separated, sorted.
    pub owners: &'a str,
    pub timetable_summary: Option<&'a str>,
    pub timetable_description: &'a str,
    /// Seconds.
    pub parse_duration: f64,
    pub version: VersionWrite,
    /// The file's text.
    pub source: &'a str,
    pub bundle_hash: Option<&'a str>,
    /// The commit, where the DAGs come from a repository.
    pub bundle_version: Option<&'a str>,
    /// `Some`: the schedule was computed anew (also: to nothing). `None`: the stored one stays.
    pub next_dagrun: Option<NextDagRun>,
}

/// Writes one DAG and the assets it names under its lock; returns the id of its latest version.
///
/// # Errors
/// [`StoreError::Constraint`] `dag_dag_id_key` when a new DAG's id was taken meanwhile by another bundle.
pub async fn write_dag(connection: &mut PgConnection, write: &DagWrite<'_>) -> Result<i64, StoreError> {
    let dag_fk = match write.id {
        Some(id) => id,
        None => {
            sqlx::query_scalar!(
                "insert into dag (dag_id, dag_display_name, bundle_name, relative_fileloc, fileloc, is_paused)
                 values ($1, $1, $2, $3, $4, $5) returning id",
                write.dag.dag_id.as_str(),
                write.bundle_name,
                write.relative_fileloc,
                write.fileloc,
                write.is_paused
            )
            .fetch_one(&mut *connection)
            .await?
        }
    };
    // It is back: its running runs rested.
    sqlx::query!(
        "update dag_run r set wake_at = now() from dag d
         where d.id = $1 and d.is_stale and r.dag_fk = d.id and r.state = 'running'",
        dag_fk
    )
    .execute(&mut *connection)
    .await?;
    let version_id = write_version(connection, dag_fk, write).await?;
    let next = write.next_dagrun.unwrap_or_default();
    let dag = write.dag;
    let task_ids: Vec<String> = dag.tasks.iter().map(|task| task.task_id.to_string()).collect();
    sqlx::query!(
        "update dag set
             dag_display_name = $2, description = $3, is_stale = false, bundle_name = $4, relative_fileloc = $5,
             fileloc = $6, owners = $7, tags = $8, timetable_summary = $9, timetable_description = $10,
             max_active_runs = $11, max_active_tasks = $12, max_consecutive_failed_dag_runs = $13,
             has_import_errors = false, latest_version_id = $14, last_parsed_time = now(), last_parse_duration = $15,
             next_dagrun = case when $16 then $17 else next_dagrun end,
             next_dagrun_data_interval_start = case when $16 then $18 else next_dagrun_data_interval_start end,
             next_dagrun_data_interval_end = case when $16 then $19 else next_dagrun_data_interval_end end,
             next_dagrun_create_after = case when $16 then $20 else next_dagrun_create_after end,
             task_ids = $21
         where id = $1",
        dag_fk,
        dag.dag_display_name,
        dag.description.as_deref(),
        write.bundle_name,
        write.relative_fileloc,
        write.fileloc,
        write.owners,
        dag.tags.as_slice(),
        write.timetable_summary,
        write.timetable_description,
        clamp(dag.max_active_runs),
        clamp(dag.max_active_tasks),
        clamp(dag.max_consecutive_failed_dag_runs),
        version_id,
        write.parse_duration,
        write.next_dagrun.is_some(),
        next.logical_date,
        next.data_interval.map(|interval| interval.0),
        next.data_interval.map(|interval| interval.1),
        next.run_after,
        &task_ids
    )
    .execute(&mut *connection)
    .await?;
    for conflict in assets::register(connection, dag_fk, dag).await? {
        let (name, uri) = (conflict.name, conflict.uri);
        tracing::warn!(
            dag_id = dag.dag_id.as_str(),
            name,
            uri,
            "the asset stays inactive: another one has its name or URI"
        );
    }
    Ok(version_id)
}

async fn write_version(connection: &mut PgConnection, dag_fk: i64, write: &DagWrite<'_>) -> Result<i64, StoreError> {
    let data = || serde_json::to_string(write.dag);
    match write.version {
        VersionWrite::New { number } => Ok(sqlx::query_scalar!(
            "insert into dag_version (dag_fk, version_number, hash, data, source, bundle_name, bundle_hash, bundle_version)
             values ($1, $2, $3, $4::text::json, $5, $6, $7, $8) returning id",
            dag_fk,
            number,
            write.hash,
            data()?,
            write.source,
            write.bundle_name,
            write.bundle_hash,
            write.bundle_version
        )
        .fetch_one(connection)
        .await?),
        VersionWrite::Replace { id } => Ok(sqlx::query_scalar!(
            "update dag_version set id = default, hash = $2, data = $3::text::json, source = $4, bundle_name = $5,
                    bundle_hash = $6, bundle_version = $7, last_updated = now()
             where id = $1 returning id",
            id,
            write.hash,
            data()?,
            write.source,
            write.bundle_name,
            write.bundle_hash,
            write.bundle_version
        )
        .fetch_one(connection)
        .await?),
        VersionWrite::Keep { id } => {
            sqlx::query!(
                "update dag_version set source = $2, bundle_name = $3, bundle_hash = $4, bundle_version = $5
                 where id = $1 and (source, bundle_name, bundle_hash, bundle_version) is distinct from ($2, $3, $4, $5)",
                id,
                write.source,
                write.bundle_name,
                write.bundle_hash,
                write.bundle_version
            )
            .execute(connection)
            .await?;
            Ok(id)
        }
    }
}

/// Limits are 32-bit here and unsigned in the DAG; beyond two thousand million they mean the same.
fn clamp(limit: u32) -> i32 {
    i32::try_from(limit).unwrap_or(i32::MAX)
}

/// What is wrong with a file.
#[derive(Clone, Debug)]
pub struct ImportErrorWrite<'a> {
    /// For people: the diagnostics, rendered.
    pub stacktrace: &'a str,
    /// For programs: a list of `Diagnostic`.
    pub diagnostics: &'a Value,
}

/// Records a file that was compiled.
#[derive(Clone, Debug)]
pub struct FileWrite<'a> {
    pub bundle_name: &'a str,
    pub relative_fileloc: &'a str,
    /// Empty while unsettled; see [`KnownFile`].
    pub fingerprint: &'a str,
    pub dependencies: &'a [String],
    pub includes: &'a [String],
    /// Seconds.
    pub parse_duration: f64,
    pub import_error: Option<ImportErrorWrite<'a>>,
    /// DAGs of the file that this compilation did not give (their part is broken): they keep running, and say so.
    pub kept_dag_ids: &'a [String],
}

/// Writes what is known of a file and its import error, or that it has none any more.
pub async fn write_file(connection: &mut PgConnection, write: &FileWrite<'_>) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into dag_file (bundle_name, relative_fileloc, fingerprint, dependencies, includes, last_parse_duration)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (bundle_name, relative_fileloc) do update set
             fingerprint = excluded.fingerprint, dependencies = excluded.dependencies, includes = excluded.includes,
             last_parse_duration = excluded.last_parse_duration, last_parsed_time = now()",
        write.bundle_name,
        write.relative_fileloc,
        write.fingerprint,
        write.dependencies,
        write.includes,
        write.parse_duration
    )
    .execute(&mut *connection)
    .await?;
    if !write.kept_dag_ids.is_empty() {
        sqlx::query!(
            "update dag set has_import_errors = $4
             where dag_id = any($1) and bundle_name = $2 and relative_fileloc = $3",
            write.kept_dag_ids,
            write.bundle_name,
            write.relative_fileloc,
            write.import_error.is_some()
        )
        .execute(&mut *connection)
        .await?;
    }
    set_import_error(connection, write.bundle_name, write.relative_fileloc, write.import_error.as_ref()).await
}

/// Sets or clears the import error of a file (or of a folder, by its path). The id stays while the file stays broken.
pub async fn set_import_error(
    connection: &mut PgConnection,
    bundle_name: &str,
    filename: &str,
    error: Option<&ImportErrorWrite<'_>>,
) -> Result<(), StoreError> {
    match error {
        Some(error) => {
            sqlx::query!(
                "insert into import_error (bundle_name, filename, stacktrace, diagnostics) values ($1, $2, $3, $4)
                 on conflict (bundle_name, filename) do update set
                     stacktrace = excluded.stacktrace, diagnostics = excluded.diagnostics, timestamp = now()",
                bundle_name,
                filename,
                error.stacktrace,
                error.diagnostics
            )
            .execute(connection)
            .await?;
        }
        None => {
            sqlx::query!("delete from import_error where bundle_name = $1 and filename = $2", bundle_name, filename)
                .execute(connection)
                .await?;
        }
    }
    Ok(())
}

/// Settles a file whose content did not change: its fingerprint, nothing else.
pub async fn set_fingerprint(
    connection: &mut PgConnection,
    bundle_name: &str,
    relative_fileloc: &str,
    fingerprint: &str,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update dag_file set fingerprint = $3 where bundle_name = $1 and relative_fileloc = $2",
        bundle_name,
        relative_fileloc,
        fingerprint
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Marks DAGs stale that are still at home in the file named with them (`(dag_id, relative_fileloc)`), so that one which
/// moved meanwhile stays. History and versions stay; no run is scheduled any more, by time or by assets. Returns how many.
pub async fn mark_stale(
    connection: &mut PgConnection,
    bundle_name: &str,
    dags: &[(String, String)],
) -> Result<u64, StoreError> {
    let (dag_ids, files): (Vec<String>, Vec<String>) = dags.iter().cloned().unzip();
    let gone = sqlx::query_scalar!(
        "with gone as (
             select d.id from dag d
             join unnest($2::text[], $3::text[]) g (dag_id, relative_fileloc) using (dag_id, relative_fileloc)
             where d.bundle_name = $1 and not d.is_stale
             order by d.id for no key update of d)
         update dag set is_stale = true, has_import_errors = false, next_dagrun = null,
                next_dagrun_data_interval_start = null, next_dagrun_data_interval_end = null,
                next_dagrun_create_after = null
         from gone where dag.id = gone.id returning dag.id",
        bundle_name,
        &dag_ids,
        &files
    )
    .fetch_all(&mut *connection)
    .await?;
    if !gone.is_empty() {
        assets::forget(connection, &gone).await?;
    }
    Ok(gone.len() as u64)
}

/// Forgets files that are gone, with their import errors.
pub async fn forget_files(
    connection: &mut PgConnection,
    bundle_name: &str,
    files: &[String],
) -> Result<(), StoreError> {
    sqlx::query!("delete from dag_file where bundle_name = $1 and relative_fileloc = any($2)", bundle_name, files)
        .execute(&mut *connection)
        .await?;
    sqlx::query!("delete from import_error where bundle_name = $1 and filename = any($2)", bundle_name, files)
        .execute(connection)
        .await?;
    Ok(())
}

/// Tries to become the one processor of a bundle, on a connection of its own that must stay open: the lock ends with it.
/// Asked every few seconds by those who stand by.
pub async fn try_lock_bundle(connection: &mut PgConnection, bundle_name: &str) -> Result<bool, StoreError> {
    let row = sqlx::query("select pg_try_advisory_lock(hashtextextended('updraft.dag_processor:' || $1, 0))")
        .bind(bundle_name)
        .fetch_one(connection)
        .await?;
    Ok(row.try_get(0)?)
}
