//! What tasks and assets remember: small JSON values by key. A task's stay through its tries and go with its run, or when they
//! expire; an asset's stay. (Semantics §16.)

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, PgConnection};

use crate::{
    Store, StoreError,
    query::{
        filter::{Filter, Listing, Page, list},
        task_instances::TiPath,
    },
};

/// Rows of one sweep, at most.
const SWEEP: i64 = 1_000;

/// One value.
#[derive(Clone, Debug, FromRow)]
pub struct Entry {
    pub key: String,
    pub value: Value,
    pub updated_at: DateTime<Utc>,
    /// `None`: never; an asset's never does.
    pub expires_at: Option<DateTime<Utc>>,
}

/// When a value of a task goes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    Never,
    At(DateTime<Utc>),
    /// So many days from now.
    Days(i32),
}

const TASK_SELECT: &str = "s.key, s.value, s.updated_at, s.expires_at";
const TASK_FROM: &str = "task_state_store s join dag_run r on r.id = s.dag_run_id join dag d on d.id = r.dag_fk";
const ASSET_SELECT: &str = "s.key, s.value, s.updated_at, null::timestamptz as expires_at";
const ASSET_FROM: &str = "asset_state_store s";

/// One page of a task instance's values, by key; `dag_run_run_id_key` and `task_state_store_pkey` serve it.
pub async fn of_task(
    connection: &mut PgConnection,
    path: TiPath<'_>,
    page: &Page,
) -> Result<Listing<Entry>, StoreError> {
    list(connection, (TASK_SELECT, TASK_FROM), page, &[("s.key", "text")], |sql| named(sql, path)).await
}

/// One value of a task instance.
pub async fn task_value(
    connection: &mut PgConnection,
    path: TiPath<'_>,
    key: &str,
) -> Result<Option<Entry>, StoreError> {
    let mut sql = Filter::on(&format!("select {TASK_SELECT} from {TASK_FROM}"));
    named(&mut sql, path);
    sql.equals("s.key", Some(key.to_owned()));
    sql.fetch_optional(connection).await
}

fn named(sql: &mut Filter, path: TiPath<'_>) {
    sql.equals("d.dag_id", Some(path.dag_id.to_owned()));
    sql.equals("r.run_id", Some(path.run_id.to_owned()));
    sql.equals("s.task_id", Some(path.task_id.to_owned()));
    sql.equals("s.map_index", Some(path.map_index));
    sql.and().push("(s.expires_at is null or s.expires_at > now())");
}

/// The inside key of the run that has this task instance, or with `any` one of the task's; `None`: there is none. The run is not
/// deleted before the transaction ends.
pub async fn hold_instance(
    connection: &mut PgConnection,
    path: TiPath<'_>,
    any: bool,
) -> Result<Option<i64>, StoreError> {
    Ok(sqlx::query_scalar!(
        "select r.id from dag_run r join dag d on d.id = r.dag_fk
         where d.dag_id = $1 and r.run_id = $2
           and exists (select from task_instance t
                       where t.dag_run_id = r.id and t.task_id = $3 and ($5 or t.map_index = $4))
         for key share of r",
        path.dag_id,
        path.run_id,
        path.task_id,
        path.map_index,
        any
    )
    .fetch_optional(connection)
    .await?)
}

/// Writes a value of a task instance, a new one or over that of the same key. The run is held ([`hold_instance`]).
pub async fn put_task_value(
    connection: &mut PgConnection,
    dag_run_id: i64,
    path: TiPath<'_>,
    key: &str,
    value: &Value,
    expiry: Expiry,
) -> Result<(), StoreError> {
    let (at, days) = match expiry {
        Expiry::Never => (None, None),
        Expiry::At(at) => (Some(at), None),
        Expiry::Days(days) => (None, Some(days)),
    };
    sqlx::query!(
        "insert into task_state_store (dag_run_id, task_id, map_index, key, value, expires_at)
         values ($1, $2, $3, $4, $5, coalesce($6, now() + make_interval(days => $7)))
         on conflict (dag_run_id, task_id, map_index, key)
         do update set value = excluded.value, expires_at = excluded.expires_at, updated_at = now()",
        dag_run_id,
        path.task_id,
        path.map_index,
        key,
        value,
        at,
        days
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Changes a value of a task instance, not when it expires; `false` when there is none.
pub async fn change_task_value(
    connection: &mut PgConnection,
    dag_run_id: i64,
    path: TiPath<'_>,
    key: &str,
    value: &Value,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "update task_state_store set value = $5, updated_at = now()
         where dag_run_id = $1 and task_id = $2 and map_index = $3 and key = $4
           and (expires_at is null or expires_at > now())",
        dag_run_id,
        path.task_id,
        path.map_index,
        key,
        value
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Deletes one value of a task instance or, without a key, all; with `any` those of every instance of the task.
pub async fn delete_of_task(
    connection: &mut PgConnection,
    dag_run_id: i64,
    path: TiPath<'_>,
    key: Option<&str>,
    any: bool,
) -> Result<(), StoreError> {
    sqlx::query!(
        "delete from task_state_store
         where dag_run_id = $1 and task_id = $2 and ($5 or map_index = $3) and ($4::text is null or key = $4)",
        dag_run_id,
        path.task_id,
        path.map_index,
        key,
        any
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes values that expired, at most a thousand in a call; how many. Called by webservers every minute;
/// `task_state_store_expires_idx` serves it.
pub async fn sweep(store: &Store) -> Result<usize, StoreError> {
    let mut connection = store.pool().acquire().await?;
    let done = sqlx::query!(
        "delete from task_state_store where ctid = any(array(
             select ctid from task_state_store where expires_at <= now() limit $1 for update skip locked))",
        SWEEP
    )
    .execute(&mut *connection)
    .await?;
    Ok(done.rows_affected() as usize)
}

/// One page of an asset's values, by key (`asset_state_store_pkey`).
pub async fn of_asset(connection: &mut PgConnection, asset_id: i64, page: &Page) -> Result<Listing<Entry>, StoreError> {
    list(connection, (ASSET_SELECT, ASSET_FROM), page, &[("s.key", "text")], |sql| {
        sql.equals("s.asset_id", Some(asset_id));
    })
    .await
}

/// One value of an asset.
pub async fn asset_value(connection: &mut PgConnection, asset_id: i64, key: &str) -> Result<Option<Entry>, StoreError> {
    let mut sql = Filter::on(&format!("select {ASSET_SELECT} from {ASSET_FROM}"));
    sql.equals("s.asset_id", Some(asset_id));
    sql.equals("s.key", Some(key.to_owned()));
    sql.fetch_optional(connection).await
}

/// Whether there is such an asset; assets never go.
pub async fn asset_exists(connection: &mut PgConnection, asset_id: i64) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(r#"select exists (select from asset where id = $1) as "exists!""#, asset_id)
        .fetch_one(connection)
        .await?)
}

/// Writes a value of an asset, a new one or over that of the same key.
pub async fn put_asset_value(
    connection: &mut PgConnection,
    asset_id: i64,
    key: &str,
    value: &Value,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into asset_state_store (asset_id, key, value) values ($1, $2, $3)
         on conflict (asset_id, key) do update set value = excluded.value, updated_at = now()",
        asset_id,
        key,
        value
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes one value of an asset or, without a key, all.
pub async fn delete_of_asset(
    connection: &mut PgConnection,
    asset_id: i64,
    key: Option<&str>,
) -> Result<(), StoreError> {
    sqlx::query!("delete from asset_state_store where asset_id = $1 and ($2::text is null or key = $2)", asset_id, key)
        .execute(connection)
        .await?;
    Ok(())
}
