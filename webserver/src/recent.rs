//! Answers of the last seconds, so that what every request asks costs a query only now and then.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

/// More answers than this at once are somebody guessing: all are forgotten.
const LIMIT: usize = 10_000;

/// What was answered, by what was asked, for a while.
pub(crate) struct Recent<K, V> {
    ttl: Duration,
    known: Mutex<HashMap<K, (V, Instant)>>,
}

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self { ttl, known: Mutex::default() }
    }

    /// The answer, if it is not too old.
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let known = self.lock();
        let (value, asked) = known.get(key)?;
        (asked.elapsed() < self.ttl).then(|| value.clone())
    }

    /// Keeps an answer. It counts from `asked`, when the question was put, not from when the answer came.
    pub(crate) fn keep(&self, key: K, value: V, asked: Instant) {
        let mut known = self.lock();
        if known.len() >= LIMIT {
            known.clear();
        }
        known.insert(key, (value, asked));
    }

    /// What was answered may be wrong now.
    pub(crate) fn forget_all(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, (V, Instant)>> {
        self.known.lock().expect("nothing panics under this lock")
    }
}
