//! A folder in an object store: S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage.
//!
//! A thin layer that knows names and bytes and says which store failed; what lies there is `objects`' and the webserver's logs'.

use std::{fmt, ops::Range, sync::Arc};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{
    Error, ObjectStore, ObjectStoreExt, buffered::BufWriter, memory::InMemory, parse_url_opts, path::Path,
};
use tokio::io::AsyncWriteExt;
use url::Url;

/// The kinds of store, by the scheme of their URL.
const SCHEMES: &[&str] = &["s3", "gs", "az", "azure", "abfs", "abfss", "https"];

/// Why an object store could not be used.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// The configuration names none.
    #[error(
        "`{url}` names no object store ({reason}); write s3://bucket/folder, gs://bucket/folder or az://container/folder"
    )]
    Url { url: String, reason: String },
    /// The store did not do what it was asked.
    #[error("the object store {url}: {source}")]
    Store { url: String, source: Error },
    /// The upload of a large object broke.
    #[error("the object store {url}: {source}")]
    Upload { url: String, source: std::io::Error },
}

/// A place in an object store. Cheap to clone.
#[derive(Clone)]
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    url: String,
}

impl Bucket {
    /// `options` are `object_store`'s configuration keys (`aws_access_key_id`, `aws_endpoint`, `google_service_account`,
    /// `azure_storage_account_name`, …), in upper or lower case; a later one wins, and what the store does not know is ignored.
    ///
    /// # Errors
    /// [`BucketError::Url`] for a URL of no such store, or options that contradict each other.
    pub fn open(url: &str, options: impl IntoIterator<Item = (String, String)>) -> Result<Self, BucketError> {
        let wrong = |reason: String| BucketError::Url { url: url.to_owned(), reason };
        let parsed = Url::parse(url).map_err(|error| wrong(error.to_string()))?;
        if !SCHEMES.contains(&parsed.scheme()) {
            return Err(wrong(format!("no store is called `{}`", parsed.scheme())));
        }
        let options = options.into_iter().map(|(name, value)| (name.to_lowercase(), value));
        let (store, prefix) = parse_url_opts(&parsed, options).map_err(|error| wrong(error.to_string()))?;
        Ok(Self { store: Arc::from(store), prefix, url: url.to_owned() })
    }

    /// One that ends with the process, for tests.
    pub fn in_memory() -> Self {
        Self { store: Arc::new(InMemory::new()), prefix: Path::default(), url: "memory:".to_owned() }
    }

    /// Writes an object, whole or not at all; over one of the same name.
    pub async fn put(&self, name: &str, bytes: Bytes) -> Result<(), BucketError> {
        self.store.put(&self.path(name)?, bytes.into()).await.map(drop).map_err(|error| self.failed(error))
    }

    /// An object, or a range of its bytes; `None` when there is none of that name.
    pub async fn get(&self, name: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>, BucketError> {
        let path = self.path(name)?;
        let read = match range {
            Some(range) => self.store.get_range(&path, range).await,
            None => match self.store.get(&path).await {
                Ok(found) => found.bytes().await,
                Err(error) => Err(error),
            },
        };
        match read {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// The objects of a folder: their names in it, and their sizes.
    pub async fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, BucketError> {
        let folder = self.path(folder)?;
        let found = self.store.list(Some(&folder)).try_collect::<Vec<_>>().await;
        let found = found.map_err(|error| self.failed(error))?;
        let name = |path: &Path| path.filename().unwrap_or_default().to_owned();
        Ok(found.iter().map(|object| (name(&object.location), object.size)).collect())
    }

    /// Deletes an object; one that is not there is deleted already.
    pub async fn delete(&self, name: &str) -> Result<(), BucketError> {
        match self.store.delete(&self.path(name)?).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Writes an object in pieces, for what is larger than memory should hold; there is nothing of it before [`Upload::finish`].
    pub fn upload(&self, name: &str) -> Result<Upload<'_>, BucketError> {
        Ok(Upload { writer: BufWriter::new(Arc::clone(&self.store), self.path(name)?), bucket: self })
    }

    fn path(&self, name: &str) -> Result<Path, BucketError> {
        let whole = if self.prefix.as_ref().is_empty() { name.to_owned() } else { format!("{}/{name}", self.prefix) };
        Path::parse(whole).map_err(|error| BucketError::Url { url: self.url.clone(), reason: error.to_string() })
    }

    fn failed(&self, source: Error) -> BucketError {
        BucketError::Store { url: self.url.clone(), source }
    }
}

/// Shows where; the options, which have secrets, are not kept.
impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bucket").field(&self.url).finish()
    }
}

/// An object in the making.
pub struct Upload<'a> {
    writer: BufWriter,
    bucket: &'a Bucket,
}

impl Upload<'_> {
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), BucketError> {
        self.writer.put(bytes).await.map_err(|error| self.bucket.failed(error))
    }

    /// Now it is there.
    pub async fn finish(mut self) -> Result<(), BucketError> {
        let ended = self.writer.shutdown().await;
        ended.map_err(|source| BucketError::Upload { url: self.bucket.url.clone(), source })
    }

    /// It is not wanted; what was sent of it goes.
    pub async fn abort(mut self) -> Result<(), BucketError> {
        self.writer.abort().await.map_err(|error| self.bucket.failed(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_no_store_is_refused_with_what_to_write() {
        for url in ["/var/log", "file:///var/log", "ftp://host/x", "s4://bucket"] {
            let error = Bucket::open(url, []).unwrap_err().to_string();
            assert!(error.contains(url) && error.contains("s3://bucket/folder"), "{error}");
        }
    }

    #[tokio::test]
    async fn objects_are_put_read_listed_and_deleted_by_name() {
        let bucket = Bucket::in_memory();
        bucket.put("f/a=1%2F~x/00", Bytes::from_static(b"hello")).await.unwrap();
        bucket.put("f/a=1%2F~x/05", Bytes::from_static(b"!")).await.unwrap();
        assert_eq!(bucket.list("f/a=1%2F~x").await.unwrap(), [("00".to_owned(), 5), ("05".to_owned(), 1)]);
        assert_eq!(bucket.get("f/a=1%2F~x/00", Some(1..3)).await.unwrap().unwrap(), "el");
        bucket.delete("f/a=1%2F~x/00").await.unwrap();
        bucket.delete("f/a=1%2F~x/00").await.unwrap();
        assert_eq!(bucket.get("f/a=1%2F~x/00", None).await.unwrap(), None);
        assert!(bucket.list("g").await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn an_upload_is_there_when_it_is_finished() {
        let bucket = Bucket::in_memory();
        let mut upload = bucket.upload("big").unwrap();
        let piece = Bytes::from(vec![7; 6 << 20]);
        for _ in 0..3 {
            upload.write(piece.clone()).await.unwrap();
        }
        assert_eq!(bucket.get("big", None).await.unwrap(), None);
        upload.finish().await.unwrap();
        assert_eq!(bucket.get("big", None).await.unwrap().unwrap().len(), 18 << 20);
    }
}
