//! Large values: files in the log folder, or objects in the log store, which all webservers and schedulers of a deployment see. The
//! database keeps where.
//!
//! No file is lost track of: before it is written its place stands in `object_garbage`, due later; the statement that makes a
//! row name the place takes it out again, and a trigger puts it back when the row goes. [`sweep`] deletes what is due.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;
use uuid::Uuid;

use crate::{
    Store, StoreError,
    bucket::{Bucket, BucketError},
};

/// Where large values are kept, and from which size. Cheap to clone.
#[derive(Clone, Default)]
pub struct Objects(Option<Arc<Kept>>);

struct Kept {
    place: Place,
    /// Bytes of a value's JSON text; larger ones become files.
    inline_limit: usize,
}

/// Where.
enum Place {
    Folder(PathBuf),
    Bucket(Bucket),
}

impl Objects {
    /// Values whose JSON is larger than `inline_limit` bytes become files under `root`. Without a folder
    /// ([`Objects::default`]) everything stays in the database.
    pub fn new(root: impl Into<PathBuf>, inline_limit: usize) -> Self {
        Self(Some(Arc::new(Kept { place: Place::Folder(root.into()), inline_limit })))
    }

    /// The same, in an object store.
    pub fn in_bucket(bucket: Bucket, inline_limit: usize) -> Self {
        Self(Some(Arc::new(Kept { place: Place::Bucket(bucket), inline_limit })))
    }

    /// Whether a value of so many bytes becomes a file.
    pub(crate) fn takes(&self, bytes: usize) -> bool {
        self.0.as_ref().is_some_and(|kept| bytes > kept.inline_limit)
    }

    /// Reads a file as JSON.
    ///
    /// # Errors
    /// [`StoreError::Data`] naming the file and what to set, [`StoreError::Unavailable`] while the object store does not answer.
    pub(crate) async fn get(&self, place: &str) -> Result<Value, StoreError> {
        let bytes = match self.place(place)? {
            Place::Folder(root) => {
                let path = root.join(place);
                tokio::fs::read(&path).await.map_err(|error| {
                    StoreError::Data(format!(
                        "the value kept in {} cannot be read: {error}; webserver.log_folder must be one (shared) folder for all \
                         webservers and schedulers",
                        path.display()
                    ))
                })?
            }
            Place::Bucket(bucket) => {
                let found = bucket.get(place, None).await.map_err(away)?;
                let missing = || {
                    StoreError::Data(format!(
                        "the value kept in {place} is not in {bucket:?}; webserver.log_store must be the same for all webservers \
                         and schedulers"
                    ))
                };
                found.ok_or_else(missing)?.to_vec()
            }
        };
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Writes a file: whole or not at all, and durable.
    async fn put(&self, place: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        let path = match self.place(place)? {
            Place::Folder(root) => root.join(place),
            Place::Bucket(bucket) => return bucket.put(place, bytes.into()).await.map_err(away),
        };
        let shown = path.display().to_string();
        let written = tokio::task::spawn_blocking(move || write(&path, &bytes)).await;
        let written = written.unwrap_or_else(|error| Err(io::Error::other(error)));
        written.map_err(|error| {
            // A full disk or a mount that is away: the same call may work later.
            StoreError::Unavailable(format!("{shown} cannot be written: {error}"))
        })
    }

    /// Deletes a file; one that is not there is deleted already.
    async fn delete(&self, place: &str) -> Result<(), StoreError> {
        let path = match self.place(place)? {
            Place::Folder(root) => root.join(place),
            Place::Bucket(bucket) => return bucket.delete(place).await.map_err(away),
        };
        match tokio::fs::remove_file(&path).await {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(StoreError::Unavailable(format!("{} cannot be deleted: {error}", path.display()))),
        }
    }

    fn place(&self, place: &str) -> Result<&Place, StoreError> {
        let kept = self.0.as_ref().ok_or_else(|| {
            StoreError::Data(format!("the value kept in {place} cannot be read: this process has no log folder"))
        })?;
        Ok(&kept.place)
    }
}

fn away(error: BucketError) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

/// Shows the folder.
impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_ref().map(|kept| &kept.place) {
            None => f.write_str("Objects"),
            Some(Place::Folder(root)) => f.debug_tuple("Objects").field(root).finish(),
            Some(Place::Bucket(bucket)) => f.debug_tuple("Objects").field(bucket).finish(),
        }
    }
}

/// Keeps a large value as a file and returns its place, which the caller writes into a row within ten minutes, together with
/// [`claim`].
pub(crate) async fn keep(store: &Store, bytes: Vec<u8>) -> Result<String, StoreError> {
    let id = Uuid::new_v4().simple().to_string();
    let place = format!("xcom/{}/{id}.json", &id[..2]);
    sqlx::query!("insert into object_garbage (place, due) values ($1, now() + interval '10 minutes')", place)
        .execute(store.pool())
        .await?;
    store.sources().objects.put(&place, bytes).await?;
    Ok(place)
}

/// Deletes the files that no row names any more; how many. Called by webservers every minute; any number may at once.
///
/// # Errors
/// The first file that cannot be deleted; it and those after it are tried again at the next call.
pub async fn sweep(store: &Store) -> Result<usize, StoreError> {
    let due = sqlx::query_scalar!("select place from object_garbage where due <= now() order by due limit 1000")
        .fetch_all(store.pool())
        .await?;
    let mut gone = Vec::with_capacity(due.len());
    let mut outcome = Ok(());
    for place in due {
        match store.sources().objects.delete(&place).await {
            Ok(()) => gone.push(place),
            Err(error) => {
                outcome = Err(error);
                break;
            }
        }
    }
    sqlx::query!("delete from object_garbage where place = any($1)", &gone).execute(store.pool()).await?;
    outcome.map(|()| gone.len())
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::other("a place is in a folder"))?;
    std::fs::create_dir_all(folder)?;
    let fresh = path.with_extension("new");
    let file = std::fs::File::create(&fresh)?;
    io::Write::write_all(&mut &file, bytes)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    // The name is durable when its folder is.
    std::fs::File::open(folder)?.sync_all()
}
