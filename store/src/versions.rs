//! DAG versions as values: version id → compiled DAG.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use sqlx::PgExecutor;
use updraft_core::dag::Dag;

use crate::StoreError;

/// How many DAGs a cache holds unless told otherwise.
const CAPACITY: usize = 2_000;

/// Compiled DAGs by version id, shared by everything in a process. Cheap to clone.
///
/// An id's data never changes (a version that is updated in place gets a new id), so nothing is ever invalidated. Holds at
/// most the given number of DAGs in two generations: what was not used while the young one filled up is dropped.
#[derive(Clone)]
pub struct DagCache {
    generations: Arc<Mutex<Generations<Dag>>>,
}

/// Values by version id, in two generations.
pub(crate) struct Generations<T> {
    young: HashMap<i64, Arc<T>>,
    old: HashMap<i64, Arc<T>>,
    /// Each generation's size, at most.
    half: usize,
}

impl<T> Generations<T> {
    /// Room for `capacity` values (at least two).
    pub(crate) fn new(capacity: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half: (capacity / 2).max(1) }
    }

    pub(crate) fn get(&mut self, id: i64) -> Option<Arc<T>> {
        if let Some(value) = self.young.get(&id) {
            return Some(value.clone());
        }
        let value = self.old.remove(&id)?;
        self.insert(id, value.clone());
        Some(value)
    }

    pub(crate) fn insert(&mut self, id: i64, value: Arc<T>) {
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, value);
    }
}

impl Default for DagCache {
    fn default() -> Self {
        Self::new(CAPACITY)
    }
}

impl DagCache {
    /// A cache of at most `capacity` DAGs (at least two).
    pub fn new(capacity: usize) -> Self {
        Self { generations: Arc::new(Mutex::new(Generations::new(capacity))) }
    }

    /// The compiled DAG of a version.
    ///
    /// # Errors
    /// [`StoreError::Inconsistent`] when the version does not exist (any more: one that no run refers to is replaced when
    /// its file changes; read `dag.latest_version_id` again), [`StoreError::Data`] when another binary wrote what this one
    /// cannot read.
    pub async fn get(&self, executor: impl PgExecutor<'_>, version_id: i64) -> Result<Arc<Dag>, StoreError> {
        let found = self.get_many(executor, &[version_id]).await?;
        found
            .into_values()
            .next()
            .ok_or_else(|| StoreError::Inconsistent(format!("DAG version {version_id} does not exist")))
    }

    /// The compiled DAGs of several versions; those missing here are read in one statement, and none is issued when all
    /// are here. Versions that do not exist are absent from the answer.
    pub async fn get_many(
        &self,
        executor: impl PgExecutor<'_>,
        version_ids: &[i64],
    ) -> Result<HashMap<i64, Arc<Dag>>, StoreError> {
        let mut found = HashMap::with_capacity(version_ids.len());
        let mut missing = Vec::new();
        {
            let mut generations = self.lock();
            for &id in version_ids {
                match generations.get(id) {
                    Some(dag) => drop(found.insert(id, dag)),
                    None => missing.push(id),
                }
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        missing.sort_unstable();
        missing.dedup();
        for (id, dag) in read(executor, &missing).await? {
            let dag = Arc::new(dag);
            self.lock().insert(id, dag.clone());
            found.insert(id, dag);
        }
        Ok(found)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations<Dag>> {
        self.generations.lock().expect("nothing panics while it holds the lock")
    }
}

/// Called by the scheduler and the webserver when versions are first seen; dag_version_pkey serves it.
pub(crate) async fn read(executor: impl PgExecutor<'_>, version_ids: &[i64]) -> Result<Vec<(i64, Dag)>, StoreError> {
    let rows = sqlx::query!(r#"select id, data::text as "data!" from dag_version where id = any($1)"#, version_ids)
        .fetch_all(executor)
        .await?;
    let read = rows.into_iter().map(|row| {
        let dag = serde_json::from_str(&row.data);
        Ok((row.id, dag.map_err(|error| StoreError::Data(format!("DAG version {}: {error}", row.id)))?))
    });
    read.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dag(id: i64) -> Arc<Dag> {
        Arc::new(Dag::new(format!("dag_{id}")))
    }

    #[test]
    fn holds_no_more_than_its_capacity_and_keeps_what_is_used() {
        let cache = DagCache::new(10);
        let mut generations = cache.lock();
        generations.insert(0, dag(0));
        for id in 1..1_000 {
            assert!(generations.get(0).is_some(), "0 is used all the time");
            generations.insert(id, dag(id));
            assert!(generations.young.len() + generations.old.len() <= 10);
        }
        assert!(generations.get(1).is_none());
        assert!(generations.get(999).is_some());
    }
}
