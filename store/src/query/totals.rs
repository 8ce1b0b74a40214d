//! How many rows a list has, kept as long as it was dear to count.
//!
//! Postgres counts by reading every row. A large total is therefore kept for twenty times as long as counting it took: a list is
//! counted during a twentieth of the time at most, however often it is asked for, and what is cheap to count is as good as
//! exact (a millisecond's count is kept for twenty). A small one is counted every time. A process keeps only what it counted
//! itself, so replicas need not agree.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::time::Instant;

use crate::StoreError;

/// A total is kept for this many times as long as it took to count.
const SHARE: u32 = 20;
/// But no longer than this.
const LONGEST: Duration = Duration::from_secs(10);
/// Fewer rows than this are counted every time,
const EXACT_BELOW: i64 = 1_000;
/// unless finding them took this long.
const DEAR: Duration = Duration::from_millis(100);
/// Questions whose totals are kept.
const CAPACITY: usize = 1_000;

/// The totals that one process has counted. Cheap to clone; the default keeps none.
#[derive(Clone, Debug, Default)]
pub struct Totals(Option<Arc<Kept>>);

#[derive(Debug)]
struct Kept {
    share: u32,
    longest: Duration,
    totals: Mutex<HashMap<String, Arc<Total>>>,
}

/// The answer to one question.
#[derive(Debug, Default)]
struct Total {
    last: Mutex<Option<Counted>>,
    /// Held while somebody counts.
    counting: tokio::sync::Mutex<()>,
}

#[derive(Clone, Copy, Debug)]
struct Counted {
    rows: i64,
    at: Instant,
    kept: Duration,
}

impl Totals {
    /// Keeps none.
    pub(crate) const NONE: Self = Self(None);

    /// Keeps large totals for twenty times as long as they took to count, ten seconds at most.
    pub fn kept() -> Self {
        Self::kept_for(SHARE, LONGEST)
    }

    /// Keeps large totals for `share` times as long as they took to count, and no longer than `longest`.
    pub fn kept_for(share: u32, longest: Duration) -> Self {
        Self(Some(Arc::new(Kept { share, longest, totals: Mutex::default() })))
    }

    /// The total of a question, counted now unless it is known.
    ///
    /// One caller counts at a time. Who comes meanwhile takes the last total, unless that is older than twice the time it is
    /// kept: then it waits.
    pub(super) async fn get<F>(
        &self,
        question: impl FnOnce() -> String,
        count: impl FnOnce() -> F,
    ) -> Result<i64, StoreError>
    where
        F: Future<Output = Result<i64, StoreError>>,
    {
        let Some(kept) = &self.0 else { return count().await };
        let total = kept.total(question());
        if let Some(rows) = total.younger_than(1) {
            return Ok(rows);
        }
        let _counting = match total.counting.try_lock() {
            Ok(counting) => counting,
            Err(_) => match total.younger_than(2) {
                Some(rows) => return Ok(rows),
                None => total.counting.lock().await,
            },
        };
        if let Some(rows) = total.younger_than(1) {
            return Ok(rows);
        }
        let at = Instant::now();
        let rows = count().await?;
        *lock(&total.last) = Some(Counted { rows, at, kept: kept.time(rows, at.elapsed()) });
        Ok(rows)
    }
}

impl Kept {
    /// For how long a total is kept that took this long to count.
    fn time(&self, rows: i64, took: Duration) -> Duration {
        if rows < EXACT_BELOW && took < DEAR {
            return Duration::ZERO;
        }
        took.saturating_mul(self.share).min(self.longest)
    }

    fn total(&self, question: String) -> Arc<Total> {
        let mut totals = lock(&self.totals);
        if totals.len() >= CAPACITY && !totals.contains_key(&question) {
            totals.retain(|_, total| total.younger_than(2).is_some());
            if totals.len() >= CAPACITY {
                totals.clear();
            }
        }
        Arc::clone(totals.entry(question).or_default())
    }
}

impl Total {
    /// The last count, unless it is older than so many times what it is kept for.
    fn younger_than(&self, times: u32) -> Option<i64> {
        let last = (*lock(&self.last))?;
        (last.at.elapsed() < last.kept.saturating_mul(times)).then_some(last.rows)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it holds the lock")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    /// A list that has one row more whenever it is counted.
    struct List(AtomicI64);

    impl Default for List {
        fn default() -> Self {
            Self(AtomicI64::new(EXACT_BELOW))
        }
    }

    impl List {
        async fn total(&self, totals: &Totals) -> i64 {
            let count = || async {
                // The others come now.
                tokio::task::yield_now().await;
                Ok(self.0.fetch_add(1, Ordering::SeqCst) + 1)
            };
            totals.get(|| "question".to_owned(), count).await.unwrap()
        }

        async fn three_at_once(&self, totals: &Totals) -> [i64; 3] {
            let totals = futures::join!(self.total(totals), self.total(totals), self.total(totals));
            totals.into()
        }
    }

    /// A total of 7 that is kept for a minute and this old.
    fn aged(seconds: u64) -> Totals {
        let totals = Totals::kept_for(u32::MAX, Duration::from_hours(1));
        let at = Instant::now().checked_sub(Duration::from_secs(seconds)).expect("the machine is up for minutes");
        let counted = Counted { rows: 7, at, kept: Duration::from_mins(1) };
        *lock(&totals.0.as_ref().unwrap().total("question".to_owned()).last) = Some(counted);
        totals
    }

    #[test]
    fn a_large_total_is_kept_for_twenty_times_as_long_as_it_took_and_ten_seconds_at_most() {
        let Totals(Some(kept)) = Totals::kept() else { panic!("it keeps totals") };
        assert_eq!(kept.time(5_000, Duration::from_millis(1)), Duration::from_millis(20));
        assert_eq!(kept.time(1_000_000, Duration::from_secs(2)), Duration::from_secs(10));
        assert_eq!(kept.time(999, Duration::from_millis(1)), Duration::ZERO);
        assert_eq!(kept.time(3, Duration::from_millis(100)), Duration::from_secs(2), "few rows of many");
    }

    #[tokio::test]
    async fn a_question_is_counted_once_for_all_who_ask_it_at_once() {
        let (list, totals) = (List::default(), Totals::kept_for(u32::MAX, Duration::from_hours(1)));
        assert_eq!(list.three_at_once(&totals).await, [1_001; 3]);
        assert_eq!(list.total(&totals).await, 1_001, "it is kept");
    }

    #[tokio::test]
    async fn one_counts_anew_while_the_others_take_the_last_total() {
        assert_eq!(List::default().three_at_once(&aged(30)).await, [7; 3], "younger than a minute");
        assert_eq!(List::default().three_at_once(&aged(90)).await, [1_001, 7, 7]);
        assert_eq!(List::default().three_at_once(&aged(150)).await, [1_001; 3], "older than two minutes: all wait");
    }

    #[tokio::test]
    async fn without_a_place_every_page_counts() {
        let list = List::default();
        assert_eq!((list.total(&Totals::NONE).await, list.total(&Totals::NONE).await), (1_001, 1_002));
    }
}
