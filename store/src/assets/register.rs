//! What a DAG says of assets → references, and which assets are active.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value, json};
use sqlx::PgConnection;
use updraft_core::{asset::AssetRef, dag::Dag};

use crate::StoreError;

/// An asset that stays inactive, because another one with its name or its URI is active: its events are dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    pub name: String,
    pub uri: String,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a> {
    name: &'a str,
    uri: &'a str,
}

/// The group of an asset, and its extra where the DAG gives one.
type Described<'a> = (&'a str, Option<&'a Map<String, Value>>);

/// What a DAG names, by what it does with it; sorted, because rows are locked in this order.
#[derive(Default)]
struct Named<'a> {
    assets: BTreeMap<Key<'a>, Described<'a>>,
    aliases: BTreeMap<&'a str, &'a str>,
    schedule: BTreeSet<Key<'a>>,
    schedule_aliases: BTreeSet<&'a str>,
    /// Name and URI, one of them empty.
    schedule_refs: BTreeSet<(&'a str, &'a str)>,
    outlets: BTreeSet<(Key<'a>, &'a str)>,
    inlets: BTreeSet<(Key<'a>, &'a str)>,
}

impl<'a> Named<'a> {
    fn of(dag: &'a Dag) -> Self {
        let mut named = Self::default();
        if let Some(expression) = dag.asset_schedule() {
            for leaf in expression.leaves() {
                match leaf {
                    AssetRef::Ref { name, uri } => {
                        let refers = (name.as_deref().unwrap_or_default(), uri.as_deref().unwrap_or_default());
                        named.schedule_refs.insert(refers);
                    }
                    AssetRef::Alias { name, .. } => {
                        named.schedule_aliases.insert(name);
                        named.define(leaf);
                    }
                    AssetRef::Asset { .. } => {
                        let key = named.define(leaf);
                        named.schedule.extend(key);
                    }
                }
            }
        }
        for task in &dag.tasks {
            for asset in &task.outlets {
                let key = named.define(asset);
                named.outlets.extend(key.map(|key| (key, task.task_id.as_str())));
            }
            for asset in &task.inlets {
                let key = named.define(asset);
                named.inlets.extend(key.map(|key| (key, task.task_id.as_str())));
            }
        }
        named
    }

    /// Notes an asset or alias; of several definitions in one DAG the one that says more counts.
    fn define(&mut self, asset: &'a AssetRef) -> Option<Key<'a>> {
        match asset {
            AssetRef::Asset { name, uri, group, extra } => {
                let key = Key { name, uri };
                let entry = self.assets.entry(key).or_insert((group, None));
                if !extra.is_empty() {
                    *entry = (group, Some(extra));
                }
                Some(key)
            }
            AssetRef::Alias { name, group } => {
                self.aliases.insert(name, group);
                None
            }
            AssetRef::Ref { .. } => None,
        }
    }
}

/// Brings the references of a locked DAG to what this version says; assets that nobody names any more become inactive, and those
/// that may be become active.
///
/// Called by the DAG processor for each DAG it writes, four statements at most for a DAG that names assets and one for others;
/// `…_dag_idx` of each reference table and `asset_name_uri_key` serve it.
pub async fn register(connection: &mut PgConnection, dag_fk: i64, dag: &Dag) -> Result<Vec<Conflict>, StoreError> {
    let named = Named::of(dag);
    define(connection, &named).await?;
    let dropped = sync_references(connection, dag_fk, &named).await?;
    drop_queue(connection, &[dag_fk]).await?;
    if dropped.is_empty() && named.assets.is_empty() {
        return Ok(Vec::new());
    }
    deactivate(connection, &dropped).await?;
    activate(connection, &named, &dropped).await
}

/// Drops the references of DAGs that are gone, and what waits for them.
pub async fn forget(connection: &mut PgConnection, dag_fks: &[i64]) -> Result<(), StoreError> {
    let dropped = sqlx::query_scalar!(
        r#"
        with aliases as (delete from dag_schedule_asset_alias_reference where dag_fk = any($1)),
             refs as (delete from dag_schedule_asset_ref_reference where dag_fk = any($1)),
             waiting as (delete from asset_dag_run_queue where dag_fk = any($1)),
             schedules as (delete from dag_schedule_asset_reference where dag_fk = any($1) returning asset_id),
             outlets as (delete from task_outlet_asset_reference where dag_fk = any($1) returning asset_id),
             inlets as (delete from task_inlet_asset_reference where dag_fk = any($1) returning asset_id)
        select asset_id as "id!" from schedules union select asset_id from outlets union select asset_id from inlets
        "#,
        dag_fks
    )
    .fetch_all(&mut *connection)
    .await?;
    if dropped.is_empty() {
        return Ok(());
    }
    deactivate(connection, &dropped).await?;
    activate(connection, &Named::default(), &dropped).await?;
    Ok(())
}

async fn define(connection: &mut PgConnection, named: &Named<'_>) -> Result<(), StoreError> {
    if !named.assets.is_empty() {
        let rows: Vec<Value> = named
            .assets
            .iter()
            .map(|(key, (group, extra))| json!({"name": key.name, "uri": key.uri, "group": group, "extra": extra}))
            .collect();
        // A bare URI in a schedule takes nothing away from what the producer says of the asset.
        sqlx::query!(
            r#"
            insert into asset (name, uri, "group", extra)
            select n.name, n.uri, n."group", coalesce(n.extra, '{}')
            from json_to_recordset($1::text::json) as n(name text, uri text, "group" text, extra jsonb)
            order by n.name, n.uri
            on conflict on constraint asset_name_uri_key do update
            set "group" = case when excluded."group" = 'asset' then asset."group" else excluded."group" end,
                extra = case when excluded.extra = '{}' then asset.extra else excluded.extra end,
                updated_at = now()
            where (excluded."group" <> 'asset' and excluded."group" <> asset."group")
               or (excluded.extra <> '{}' and excluded.extra <> asset.extra)
            "#,
            Value::from(rows).to_string()
        )
        .execute(&mut *connection)
        .await?;
    }
    if !named.aliases.is_empty() {
        let (names, groups): (Vec<String>, Vec<String>) =
            named.aliases.iter().map(|(name, group)| ((*name).to_owned(), (*group).to_owned())).unzip();
        sqlx::query!(
            r#"
            insert into asset_alias (name, "group") select * from unnest($1::text[], $2::text[])
            on conflict on constraint asset_alias_name_key do update set "group" = excluded."group"
            where asset_alias."group" <> excluded."group"
            "#,
            &names,
            &groups
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Row<'a> {
    kind: &'static str,
    name: &'a str,
    uri: &'a str,
    task_id: &'a str,
}

/// Deletes references the DAG has no more and inserts new ones. Returns the assets that lost one.
async fn sync_references(
    connection: &mut PgConnection,
    dag_fk: i64,
    named: &Named<'_>,
) -> Result<Vec<i64>, StoreError> {
    let row = |kind, key: Key<'_>, task_id| json!(Row { kind, name: key.name, uri: key.uri, task_id });
    let rows: Vec<Value> = (named.schedule.iter().map(|key| row("schedule", *key, "")))
        .chain(named.outlets.iter().map(|(key, task)| row("outlet", *key, task)))
        .chain(named.inlets.iter().map(|(key, task)| row("inlet", *key, task)))
        .chain(named.schedule_aliases.iter().map(|name| row("alias", Key { name, uri: "" }, "")))
        .chain(named.schedule_refs.iter().map(|(name, uri)| row("ref", Key { name, uri }, "")))
        .collect();
    let dropped = sqlx::query_scalar!(
        r#"
        with said as (
            select n.kind, n.name, n.uri, n.task_id, a.id as asset_id, al.id as alias_id
            from json_to_recordset($2::text::json) as n(kind text, name text, uri text, task_id text)
            left join asset a on n.kind in ('schedule', 'outlet', 'inlet') and a.name = n.name and a.uri = n.uri
            left join asset_alias al on n.kind = 'alias' and al.name = n.name
        ), aliases as (
            insert into dag_schedule_asset_alias_reference (alias_id, dag_fk)
            select alias_id, $1 from said where kind = 'alias' on conflict do nothing
        ), aliases_gone as (
            delete from dag_schedule_asset_alias_reference r
            where dag_fk = $1 and not exists (select from said s where s.alias_id = r.alias_id)
        ), refs as (
            insert into dag_schedule_asset_ref_reference (name, uri, dag_fk)
            select name, uri, $1 from said where kind = 'ref' on conflict do nothing
        ), refs_gone as (
            delete from dag_schedule_asset_ref_reference r
            where dag_fk = $1 and not exists (select from said s where s.kind = 'ref' and s.name = r.name and s.uri = r.uri)
        ), schedules as (
            insert into dag_schedule_asset_reference (asset_id, dag_fk)
            select asset_id, $1 from said where kind = 'schedule' on conflict do nothing
        ), schedules_gone as (
            delete from dag_schedule_asset_reference r
            where dag_fk = $1 and not exists (select from said s where s.kind = 'schedule' and s.asset_id = r.asset_id)
            returning asset_id
        ), outlets as (
            insert into task_outlet_asset_reference (asset_id, dag_fk, task_id)
            select asset_id, $1, task_id from said where kind = 'outlet' on conflict do nothing
        ), outlets_gone as (
            delete from task_outlet_asset_reference r
            where dag_fk = $1
              and not exists (select from said s where s.kind = 'outlet' and s.asset_id = r.asset_id and s.task_id = r.task_id)
            returning asset_id
        ), inlets as (
            insert into task_inlet_asset_reference (asset_id, dag_fk, task_id)
            select asset_id, $1, task_id from said where kind = 'inlet' on conflict do nothing
        ), inlets_gone as (
            delete from task_inlet_asset_reference r
            where dag_fk = $1
              and not exists (select from said s where s.kind = 'inlet' and s.asset_id = r.asset_id and s.task_id = r.task_id)
            returning asset_id
        )
        select asset_id as "id!" from schedules_gone union select asset_id from outlets_gone
        union select asset_id from inlets_gone
        "#,
        dag_fk,
        Value::from(rows).to_string()
    )
    .fetch_all(connection)
    .await?;
    Ok(dropped)
}

/// Takes events out of the queue of DAGs whose schedule names their asset no more.
async fn drop_queue(connection: &mut PgConnection, dag_fks: &[i64]) -> Result<(), StoreError> {
    sqlx::query!(
        "delete from asset_dag_run_queue q using asset a
         where q.dag_fk = any($1) and a.id = q.asset_id
           and not exists (select from dag_schedule_asset_reference r where r.dag_fk = q.dag_fk and r.asset_id = q.asset_id)
           and not exists (select from dag_schedule_asset_ref_reference r
                           where r.dag_fk = q.dag_fk and (r.name = a.name or r.uri = a.uri))
           and not exists (select from dag_schedule_asset_alias_reference r
                           join asset_alias_asset_event e on e.alias_id = r.alias_id
                           where r.dag_fk = q.dag_fk and e.event_id = q.event_id)",
        dag_fks
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Makes those of these assets inactive that no DAG names any more. What an alias stood for stays: only tasks know its assets.
async fn deactivate(connection: &mut PgConnection, assets: &[i64]) -> Result<(), StoreError> {
    sqlx::query!(
        "with unnamed as (
             select a.id from asset a
             where a.id = any($1) and a.is_active
               and not exists (select from dag_schedule_asset_reference r where r.asset_id = a.id)
               and not exists (select from task_outlet_asset_reference r where r.asset_id = a.id)
               and not exists (select from task_inlet_asset_reference r where r.asset_id = a.id)
               and not exists (select from asset_alias_asset l where l.asset_id = a.id)
             order by a.id for no key update)
         update asset set is_active = false, updated_at = now() from unnamed where asset.id = unnamed.id",
        assets
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Activates what the DAG names, and what had to wait for an asset that lost its last reference; the older one first. Returns
/// the DAG's assets that stay inactive.
async fn activate(
    connection: &mut PgConnection,
    named: &Named<'_>,
    dropped: &[i64],
) -> Result<Vec<Conflict>, StoreError> {
    let (names, uris): (Vec<String>, Vec<String>) =
        named.assets.keys().map(|key| (key.name.to_owned(), key.uri.to_owned())).unzip();
    let candidates = sqlx::query!(
        "select a.id, a.name, a.uri from asset a join unnest($1::text[], $2::text[]) n (name, uri) using (name, uri)
         where not a.is_active
         union
         select a.id, a.name, a.uri from asset a join asset gone on gone.name = a.name or gone.uri = a.uri
         where gone.id = any($3) and not gone.is_active and not a.is_active
           and (exists (select from dag_schedule_asset_reference r where r.asset_id = a.id)
                or exists (select from task_outlet_asset_reference r where r.asset_id = a.id)
                or exists (select from task_inlet_asset_reference r where r.asset_id = a.id))
         order by id",
        &names,
        &uris,
        dropped
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut conflicts = Vec::new();
    for row in candidates {
        let (Some(id), Some(name), Some(uri)) = (row.id, row.name, row.uri) else { continue };
        // One by one: two of them may want the same name.
        let done = sqlx::query!(
            "update asset set is_active = true, updated_at = now()
             where id = $1 and not exists (select from asset o where o.is_active and o.id <> $1 and (o.name = $2 or o.uri = $3))",
            id,
            name,
            uri
        )
        .execute(&mut *connection)
        .await?;
        if done.rows_affected() == 0 && named.assets.contains_key(&Key { name: &name, uri: &uri }) {
            conflicts.push(Conflict { name, uri });
        }
    }
    Ok(conflicts)
}
