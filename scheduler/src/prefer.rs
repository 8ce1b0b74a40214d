//! Which scheduler a run prefers: a rendezvous hash over the live ones. A preference, not ownership: it keeps a run's cache on
//! one process; whoever holds the run's lock may plan it.

use std::hash::{DefaultHasher, Hash, Hasher};

use tokio::sync::watch;
use uuid::Uuid;

/// Others touch a run only when its event or timer is older than this. Milliseconds.
pub(crate) const PATIENCE_MS: i64 = 200;

pub(crate) struct Preference {
    me: Uuid,
    live: watch::Receiver<Vec<Uuid>>,
}

impl Preference {
    pub(crate) fn new(me: Uuid, live: watch::Receiver<Vec<Uuid>>) -> Self {
        Self { me, live }
    }

    /// Whether the run prefers this scheduler.
    pub(crate) fn is_mine(&self, run: i64) -> bool {
        preferred(&self.live.borrow(), run).is_none_or(|id| id == self.me)
    }

    /// Whether other schedulers live.
    pub(crate) fn has_peers(&self) -> bool {
        self.live.borrow().iter().any(|id| *id != self.me)
    }
}

fn preferred(live: &[Uuid], run: i64) -> Option<Uuid> {
    live.iter().copied().max_by_key(|id| {
        // Its keys are fixed: every process of one build computes the same; others only disagree on a preference.
        let mut hasher = DefaultHasher::new();
        (id, run).hash(&mut hasher);
        hasher.finish()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_spread_and_move_only_from_the_scheduler_that_left() {
        let ids: Vec<Uuid> = (1..=3).map(Uuid::from_u128).collect();
        let before: Vec<_> = (0..3000).map(|run| preferred(&ids, run)).collect();
        for id in &ids {
            let share = before.iter().filter(|owner| **owner == Some(*id)).count();
            assert!((800..1200).contains(&share), "{share} of 3000");
        }
        for (run, owner) in before.iter().enumerate() {
            let after = preferred(&ids[..2], run as i64);
            assert!(*owner == Some(ids[2]) || after == *owner);
        }
    }

    #[test]
    fn a_lone_scheduler_has_every_run() {
        let (_sender, live) = watch::channel(vec![]);
        let preference = Preference::new(Uuid::from_u128(1), live);
        assert!(preference.is_mine(7) && !preference.has_peers());
    }
}
