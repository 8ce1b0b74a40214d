//! Events, and who they wait for.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::PgConnection;

use crate::StoreError;

/// The try of a task instance that emits an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Source<'a> {
    pub dag_run: i64,
    pub dag_id: &'a str,
    pub run_id: &'a str,
    pub task_id: &'a str,
    pub map_index: i32,
    pub try_number: i32,
    /// The place among the events of the try; the unique key of the event, with the rest.
    pub ordinal: i32,
}

/// An event to write. One of name and URI may be empty: then the active asset with the other is meant.
#[derive(Clone, Debug)]
pub struct NewEvent<'a> {
    pub name: &'a str,
    pub uri: &'a str,
    pub extra: Map<String, Value>,
    /// The aliases it goes through; with one, an asset that nobody named before comes to be.
    pub aliases: Vec<&'a str>,
    pub partition_key: Option<&'a str>,
    /// `None`: from the API.
    pub source: Option<Source<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    n: usize,
    name: &'a str,
    uri: &'a str,
    extra: &'a Map<String, Value>,
    aliases: &'a [&'a str],
    partition_key: Option<&'a str>,
    source_dag_id: Option<&'a str>,
    source_run_id: Option<&'a str>,
    source_task_id: Option<&'a str>,
    source_map_index: i32,
    source_dag_run: Option<i64>,
    source_try_number: Option<i32>,
    ordinal: i32,
}

/// Writes the events that happened `at` this time, and a queue row for each of their consumers. Returns the new events' ids, in
/// the order of `events`: a try that emitted before emits nothing, and an asset that is not active has no events (it says so in
/// the log). Commit, then ring [`Signal::Dags`](crate::wake::Signal::Dags).
///
/// Called by plans with finished tasks that have outlets, and by the API. No row is locked that another event may want;
/// `asset_name_uri_key`, `asset_active_name_idx`, `asset_active_uri_idx` and the primary keys of the reference tables serve it. Events with a partition key wait for nobody:
/// consumers that are not partitioned do not hear them (semantics §15).
pub async fn emit(
    connection: &mut PgConnection,
    at: DateTime<Utc>,
    events: &[NewEvent<'_>],
) -> Result<Vec<i64>, StoreError> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    if events.iter().any(|event| !event.aliases.is_empty()) {
        resolve_aliases(connection, events).await?;
    }
    let rows: Vec<Row<'_>> = events.iter().enumerate().map(row).collect();
    let written = sqlx::query!(
        r#"
        with said as (
            select n.n, n.extra, n.aliases, n.partition_key, n.source_dag_id, n.source_run_id, n.source_task_id,
                   n.source_map_index, n.source_dag_run, n.source_try_number, n.ordinal, a.id as asset_id, a.name, a.uri
            from json_to_recordset($1::text::json) as n(
                n integer, name text, uri text, extra jsonb, aliases json, partition_key text, source_dag_id text,
                source_run_id text, source_task_id text, source_map_index integer, source_dag_run bigint,
                source_try_number integer, ordinal integer)
            left join lateral (
                select a.id, a.name, a.uri from asset a where a.name = n.name and a.uri = n.uri and a.is_active
                union all
                select a.id, a.name, a.uri from asset a where n.uri = '' and a.name = n.name and a.is_active
                union all
                select a.id, a.name, a.uri from asset a where n.name = '' and a.uri = n.uri and a.is_active
                limit 1
            ) a on true
        ), numbered as materialized (
            select s.*, nextval(pg_get_serial_sequence('asset_event', 'id')) as id
            from (select * from said where asset_id is not null order by n) s
        ), new as (
            insert into asset_event (id, asset_id, extra, source_dag_id, source_run_id, source_task_id, source_map_index,
                                     source_dag_run, source_try_number, ordinal, partition_key, timestamp)
            overriding system value
            select id, asset_id, extra, source_dag_id, source_run_id, source_task_id, source_map_index, source_dag_run,
                   source_try_number, ordinal, partition_key, $2
            from numbered order by id
            on conflict on constraint asset_event_source_key do nothing
            returning id, asset_id, partition_key
        ), via as (
            insert into asset_alias_asset_event (event_id, alias_id)
            select distinct new.id, al.id
            from new join numbered using (id), json_array_elements_text(numbered.aliases) as through(name)
            join asset_alias al on al.name = through.name
            returning event_id, alias_id
        ), consumers as (
            select new.id, r.dag_fk from new join dag_schedule_asset_reference r using (asset_id)
            union
            select via.event_id, r.dag_fk from via join dag_schedule_asset_alias_reference r using (alias_id)
            union
            select n.id, r.dag_fk from numbered n join dag_schedule_asset_ref_reference r on r.name = n.name and r.uri = ''
            union
            select n.id, r.dag_fk from numbered n join dag_schedule_asset_ref_reference r on r.name = '' and r.uri = n.uri
        ), waiting as (
            insert into asset_dag_run_queue (dag_fk, event_id, asset_id, queued, created_at)
            select c.dag_fk, new.id, new.asset_id, not d.is_paused, $2
            from new join consumers c on c.id = new.id join dag d on d.id = c.dag_fk
            where new.partition_key is null and not d.is_stale
        )
        select said.n as "n!", said.asset_id as "asset_id?", numbered.id as "id?"
        from said left join numbered on numbered.n = said.n left join new on new.id = numbered.id
        where said.asset_id is null or new.id is not null
        order by said.n
        "#,
        serde_json::to_string(&rows)?,
        at
    )
    .fetch_all(connection)
    .await?;
    let mut ids = Vec::with_capacity(written.len());
    for row in written {
        if let Some(id) = row.id {
            ids.push(id);
        } else {
            let event = &events[usize::try_from(row.n).unwrap_or_default()];
            let (name, uri) = (event.name, event.uri);
            tracing::warn!(name, uri, "an event is dropped: no DAG has this asset, or another one has its name or URI");
        }
    }
    Ok(ids)
}

fn row<'a>((n, event): (usize, &'a NewEvent<'a>)) -> Row<'a> {
    let source = event.source.as_ref();
    Row {
        n,
        name: event.name,
        uri: event.uri,
        extra: &event.extra,
        aliases: &event.aliases,
        partition_key: event.partition_key,
        source_dag_id: source.map(|source| source.dag_id),
        source_run_id: source.map(|source| source.run_id),
        source_task_id: source.map(|source| source.task_id),
        source_map_index: source.map_or(-1, |source| source.map_index),
        source_dag_run: source.map(|source| source.dag_run),
        source_try_number: source.map(|source| source.try_number),
        ordinal: source.map_or(0, |source| source.ordinal),
    }
}

/// Makes the assets and aliases that events go through, ties them together, and activates those assets that may be.
async fn resolve_aliases(connection: &mut PgConnection, events: &[NewEvent<'_>]) -> Result<(), StoreError> {
    let pairs: BTreeSet<(&str, &str, &str)> = events
        .iter()
        .flat_map(|event| event.aliases.iter().map(move |alias| (event.name, event.uri, *alias)))
        .collect();
    let (mut names, mut uris, mut aliases) = (Vec::new(), Vec::new(), Vec::new());
    for (name, uri, alias) in pairs {
        names.push(name.to_owned());
        uris.push(uri.to_owned());
        aliases.push(alias.to_owned());
    }
    sqlx::query!(
        "with aliases as (
             insert into asset_alias (name) select distinct alias from unnest($3::text[]) as n(alias) order by alias
             on conflict on constraint asset_alias_name_key do nothing)
         insert into asset (name, uri) select distinct name, uri from unnest($1::text[], $2::text[]) as n(name, uri)
         order by name, uri on conflict on constraint asset_name_uri_key do nothing",
        &names,
        &uris,
        &aliases
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "with tied as (
             insert into asset_alias_asset (alias_id, asset_id)
             select al.id, a.id from unnest($1::text[], $2::text[], $3::text[]) as n(name, uri, alias)
             join asset a on a.name = n.name and a.uri = n.uri join asset_alias al on al.name = n.alias
             order by a.id, al.id on conflict do nothing),
         one as (
             -- Of several that share a name or a URI the oldest; the rest stay inactive.
             select distinct on (a.uri) a.id, a.name, a.uri from (
                 select distinct on (a.name) a.id, a.name, a.uri from asset a
                 join unnest($1::text[], $2::text[]) as n(name, uri) using (name, uri)
                 where not a.is_active order by a.name, a.id) a
             order by a.uri, a.id)
         update asset set is_active = true, updated_at = now() from one
         where asset.id = one.id
           and not exists (select from asset o where o.is_active and o.id <> one.id and (o.name = one.name or o.uri = one.uri))",
        &names,
        &uris,
        &aliases
    )
    .execute(connection)
    .await?;
    Ok(())
}
