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
    generations: Arc<Mutex<Generations>>,
}

struct Generations {
    young: HashMap<i64, Arc<Dag>>,
    old: HashMap<i64, Arc<Dag>>,
    /// Each generation's size, at most.
    half: usize,
}

impl Generations {
    fn get(&mut self, id: i64) -> Option<Arc<Dag>> {
        if let Some(dag) = self.young.get(&id) {
            return Some(dag.clone());
        }
        let dag = self.old.remove(&id)?;
        self.insert(id, dag.clone());
        Some(dag)
    }

    fn insert(&mut self, id: i64, dag: Arc<Dag>) {
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, dag);
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
        let generations = Generations { young: HashMap::new(), old: HashMap::new(), half: (capacity / 2).max(1) };
        Self { generations: Arc::new(Mutex::new(generations)) }
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
        // Called by the scheduler and the webserver when a version is first seen; dag_version_pkey serves it.
        let rows =
            sqlx::query!(r#"select id, data::text as "data!" from dag_version where id = any($1)"#, missing.as_slice())
                .fetch_all(executor)
                .await?;
        for row in rows {
            let dag: Dag = serde_json::from_str(&row.data)
                .map_err(|error| StoreError::Data(format!("DAG version {}: {error}", row.id)))?;
            let dag = Arc::new(dag);
            self.lock().insert(row.id, dag.clone());
            found.insert(row.id, dag);
        }
        Ok(found)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations> {
        self.generations.lock().expect("nothing panics while it holds the lock")
    }
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
