//! Code by content: the bundles that nodes fetch and run tasks from.
//!
//! A bundle's hash is made from what is in it, so a row never changes; what is in use is what a DAG version names.

use sqlx::PgConnection;

use crate::StoreError;

/// A packed bundle.
#[derive(Clone, Debug)]
pub struct Bundle {
    pub hash: String,
    /// A tar.gz.
    pub content: Vec<u8>,
}

/// Whether the bundle is stored. If so its age starts anew, so that [`prune`] keeps it until a version names it.
///
/// Called by the DAG processor whenever its folder's hash changes; `bundle_pkey` serves it.
pub async fn exists(connection: &mut PgConnection, hash: &str) -> Result<bool, StoreError> {
    let touched =
        sqlx::query!("update bundle set created_at = now() where hash = $1", hash).execute(connection).await?;
    Ok(touched.rows_affected() == 1)
}

/// Stores a bundle; one that is there already only gets a new age. Commit it before the version that names it.
pub async fn put(connection: &mut PgConnection, bundle: &Bundle) -> Result<(), StoreError> {
    let size = i64::try_from(bundle.content.len()).expect("a bundle is smaller than 8 EiB");
    sqlx::query!(
        "insert into bundle (hash, content, size) values ($1, $2, $3)
         on conflict (hash) do update set created_at = now()",
        bundle.hash,
        bundle.content,
        size
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A bundle's tar.gz, if it is stored. Called once per node and bundle.
pub async fn content(connection: &mut PgConnection, hash: &str) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(sqlx::query_scalar!("select content from bundle where hash = $1", hash).fetch_optional(connection).await?)
}

/// Makes every latest version of a bundle's live DAGs name `hash` and the commit: a file beside the DAG files changed, no DAG did
/// (Airflow: the same version, its pointer moved). Returns how many versions were changed. Runs of a repository have the code of
/// their own commit (`dag_run.bundle_hash`).
pub async fn set_latest(
    connection: &mut PgConnection,
    bundle_name: &str,
    hash: Option<&str>,
    commit: Option<&str>,
) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "update dag_version v set bundle_hash = $2, bundle_version = $3
         from dag d
         where d.bundle_name = $1 and not d.is_stale and v.id = d.latest_version_id
           and (v.bundle_hash, v.bundle_version) is distinct from ($2, $3)",
        bundle_name,
        hash,
        commit
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Deletes bundles older than 24 hours that nothing can run from any more; returns how many. Called by the janitor, hourly
/// or so: it reads every version.
///
/// A folder's runs follow the latest version, so a version of a folder that is neither the latest nor that of an active run
/// gives its bundle up; a pinned version or run (git) keeps its own.
pub async fn prune(connection: &mut PgConnection) -> Result<u64, StoreError> {
    sqlx::query!(
        "update dag_version v set bundle_hash = null
         from bundle b, dag d
         where b.hash = v.bundle_hash and b.created_at < now() - interval '24 hours'
           and d.id = v.dag_fk and d.latest_version_id is distinct from v.id and v.bundle_version is null
           and not exists (select from dag_run r
                           where r.dag_fk = d.id and r.state in ('queued', 'running') and r.dag_version_id = v.id)"
    )
    .execute(&mut *connection)
    .await?;
    let done = sqlx::query!(
        "delete from bundle b
         where b.created_at < now() - interval '24 hours'
           and not exists (select from dag_version v where v.bundle_hash = b.hash)
           and not exists (select from dag_run r where r.bundle_hash = b.hash)"
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}
