//! Many runs in one statement: what timetables and backfills make.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use updraft_core::{
    state::DagRunType,
    timetable::{DagRunInfo, run_id},
};

use super::instances::{self, Blueprint, Occasion};
use crate::StoreError;

/// What the runs of a batch have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'a> {
    pub(crate) run_type: DagRunType,
    /// Airflow's `DagRunTriggeredByType`.
    pub(crate) triggered_by: &'a str,
    pub(crate) user: Option<&'a str>,
    pub(crate) backfill_id: Option<i64>,
    pub(crate) conf: Option<&'a Value>,
}

/// One run to make, `queued`, named by its type and `run_after`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned<'a> {
    pub(crate) dag_fk: i64,
    pub(crate) version: i64,
    pub(crate) info: DagRunInfo,
    pub(crate) blueprint: &'a Blueprint,
    /// Its place in the backfill.
    pub(crate) ordinal: Option<i32>,
}

/// Inserts the runs with their instances. The answer is in their order; `None` is a run whose logical date or id exists.
///
/// Called under the locks of the runs' `dag` rows.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    origin: &Origin<'_>,
    runs: &[Planned<'_>],
) -> Result<Vec<Option<i64>>, StoreError> {
    if runs.is_empty() {
        return Ok(Vec::new());
    }
    let dags: Vec<i64> = runs.iter().map(|run| run.dag_fk).collect();
    let ids: Vec<String> = runs.iter().map(|run| run_id(origin.run_type, run.info.run_after).to_string()).collect();
    let tags: Vec<i64> = runs.iter().map(|_| rand::random()).collect();
    let dates: Vec<_> = runs.iter().map(|run| run.info.logical_date).collect();
    let starts: Vec<_> = runs.iter().map(|run| run.info.data_interval.map(|of| of.start)).collect();
    let ends: Vec<_> = runs.iter().map(|run| run.info.data_interval.map(|of| of.end)).collect();
    let after: Vec<_> = runs.iter().map(|run| run.info.run_after).collect();
    let versions: Vec<i64> = runs.iter().map(|run| run.version).collect();
    let ordinals: Vec<_> = runs.iter().map(|run| run.ordinal).collect();
    let made = sqlx::query!(
        r#"
        insert into dag_run (dag_fk, run_id, tag, state, run_type, logical_date, data_interval_start, data_interval_end,
                             run_after, queued_at, triggered_by, triggering_user_name, dag_version_id, bundle_version,
                             bundle_hash, backfill_id, backfill_ordinal)
        select n.dag_fk, n.run_id, n.tag, 'queued', $10, n.logical_date, n.data_interval_start, n.data_interval_end,
               n.run_after, clock_timestamp(), $11, $12, n.version, v.bundle_version,
               case when v.bundle_version is not null then v.bundle_hash end, $13, n.ordinal
        from unnest($1::bigint[], $2::text[], $3::bigint[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[],
                    $7::timestamptz[], $8::bigint[], $9::integer[])
             as n(dag_fk, run_id, tag, logical_date, data_interval_start, data_interval_end, run_after, version, ordinal)
        join dag_version v on v.id = n.version
        on conflict do nothing
        returning id, dag_fk, run_id
        "#,
        &dags,
        &ids,
        &tags,
        &dates as &[Option<DateTime<Utc>>],
        &starts as &[Option<DateTime<Utc>>],
        &ends as &[Option<DateTime<Utc>>],
        &after,
        &versions,
        &ordinals as &[Option<i32>],
        origin.run_type.as_str(),
        origin.triggered_by,
        origin.user,
        origin.backfill_id
    )
    .fetch_all(&mut *connection)
    .await?;
    let made: HashMap<(i64, String), i64> = made.into_iter().map(|row| ((row.dag_fk, row.run_id), row.id)).collect();
    let keys: Vec<Option<i64>> = dags.into_iter().zip(ids).map(|key| made.get(&key).copied()).collect();
    if let Some(conf) = origin.conf {
        let keys: Vec<i64> = keys.iter().copied().flatten().collect();
        sqlx::query!("insert into dag_run_conf (dag_run_id, conf) select unnest($1::bigint[]), $2", &keys, conf)
            .execute(&mut *connection)
            .await?;
    }
    let new: Vec<(Occasion, &Blueprint)> = runs
        .iter()
        .zip(&keys)
        .filter_map(|(run, key)| {
            let (run_type, logical_date) = (origin.run_type, run.info.logical_date);
            Some((Occasion { dag_run_id: (*key)?, run_type, logical_date }, run.blueprint))
        })
        .collect();
    instances::insert(connection, &new).await?;
    Ok(keys)
}
