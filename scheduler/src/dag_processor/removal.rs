//! What is gone, and when that is believed.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use tokio::time::Instant;

/// Something that was there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Thing {
    File(String),
    Dag(String),
}

/// Remembers since when what is missing.
#[derive(Debug, Default)]
pub(super) struct Missing {
    since: HashMap<Thing, Instant>,
}

/// What one look says about what is gone.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Gone for long enough.
    pub(super) gone: BTreeSet<Thing>,
    /// When the rest will have been.
    pub(super) look_again_in: Option<Duration>,
}

/// Whether so many DAGs are gone at once that it looks like an accident (a mount that is not there, a half-done checkout):
/// more than 20 % of the DAGs and more than five of them, or all of them and more than one.
pub(super) fn is_suspicious(missing: usize, all: usize) -> bool {
    missing * 5 > all && (missing > 5 || (missing == all && missing > 1))
}

impl Missing {
    /// Weighs what is missing now. Nothing is believed at its first look; `delay` must have passed since then.
    pub(super) fn weigh(&mut self, missing: BTreeSet<Thing>, delay: Duration, now: Instant) -> Verdict {
        let still: HashSet<&Thing> = missing.iter().collect();
        self.since.retain(|thing, _| still.contains(thing));
        let mut verdict = Verdict::default();
        for thing in missing {
            let since = self.since.get(&thing);
            let wait = since.map_or(delay, |since| delay.saturating_sub(now - *since));
            if since.is_some() && wait.is_zero() {
                verdict.gone.insert(thing);
            } else {
                self.since.entry(thing).or_insert(now);
                verdict.look_again_in = Some(verdict.look_again_in.map_or(wait, |other| other.min(wait)));
            }
        }
        for thing in &verdict.gone {
            self.since.remove(thing);
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_secs(1);

    fn dag(name: &str) -> BTreeSet<Thing> {
        BTreeSet::from([Thing::Dag(name.to_owned())])
    }

    #[test]
    fn believes_at_the_second_look_after_the_delay() {
        let (mut missing, start) = (Missing::default(), Instant::now());
        assert_eq!(
            missing.weigh(dag("a"), DELAY, start),
            Verdict { gone: BTreeSet::new(), look_again_in: Some(DELAY) }
        );
        let half = missing.weigh(dag("a"), DELAY, start + DELAY / 2);
        assert_eq!(half, Verdict { gone: BTreeSet::new(), look_again_in: Some(DELAY / 2) });
        assert_eq!(missing.weigh(dag("a"), DELAY, start + DELAY), Verdict { gone: dag("a"), look_again_in: None });
    }

    #[test]
    fn never_believes_the_first_look_and_forgets_what_came_back() {
        let (mut missing, start) = (Missing::default(), Instant::now());
        assert!(missing.weigh(dag("a"), Duration::ZERO, start).gone.is_empty());
        assert!(missing.weigh(BTreeSet::new(), Duration::ZERO, start).gone.is_empty());
        assert!(missing.weigh(dag("a"), Duration::ZERO, start).gone.is_empty());
        assert_eq!(missing.weigh(dag("a"), Duration::ZERO, start).gone, dag("a"));
    }

    #[test]
    fn losing_a_fifth_is_suspicious_losing_a_few_is_not() {
        for (missing, all, expected) in
            [(1, 1, false), (1, 3, false), (2, 2, true), (2, 3, false), (5, 10, false), (6, 29, true), (6, 30, false)]
        {
            assert_eq!(is_suspicious(missing, all), expected, "{missing} of {all}");
        }
    }
}
