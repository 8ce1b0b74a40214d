//! The rhythm of a fleet: everything that follows from the one number that people set.

use std::time::Duration;

/// How long a node may be silent before it is taken for lost.
///
/// What is derived from it adds up to less than the lease, whatever it is: a poll that is held, plus a gap in the stamps that is not
/// yet noticed as one, plus a node's longest pause before it tries again, plus a heartbeat that was not worth writing. So a node that
/// can be heard is never lost, and a fleet that nobody could hear is not either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease(Duration);

impl Default for Lease {
    fn default() -> Self {
        Self(Duration::from_secs(30))
    }
}

impl Lease {
    pub const fn new(length: Duration) -> Self {
        Self(length)
    }

    pub const fn length(self) -> Duration {
        self.0
    }

    /// A poll is held at most this long.
    pub fn poll(self) -> Duration {
        (self.0 / 3).min(Duration::from_secs(10))
    }

    /// Webservers say this often that nodes can be heard; a heartbeat is written when the last one is older.
    pub fn stamp(self) -> Duration {
        (self.0 / 15).min(Duration::from_secs(2))
    }

    /// Without a stamp for this long nobody listens, and nobody is silent.
    pub fn deaf_after(self) -> Duration {
        self.stamp() * 3
    }

    /// A node's longest pause before it tries again to reach a server.
    pub fn retry(self) -> Duration {
        (self.0 / 6).min(Duration::from_secs(5))
    }

    /// A node waits this long for the answer to a poll beyond the time that it may be held: a connection that leads nowhere any more is
    /// given up, and another tried, within the lease.
    pub fn patience(self) -> Duration {
        (self.0 / 2).min(Duration::from_secs(15))
    }

    /// A node compares its attempts with the server's this often.
    pub fn reconcile(self) -> Duration {
        self.0.min(Duration::from_secs(30))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_lease_a_node_that_can_be_heard_is_heard_within_it() {
        for seconds in [1, 3, 10, 30, 300, 86_400] {
            let lease = Lease::new(Duration::from_secs(seconds));
            let silence = lease.poll() + lease.deaf_after() + lease.retry() + lease.stamp();
            assert!(silence * 5 <= lease.length() * 4, "{silence:?} of {seconds} s");
            assert!(lease.poll() + lease.patience() < lease.length());
        }
    }

    #[test]
    fn the_usual_lease_has_the_usual_rhythm() {
        let lease = Lease::default();
        let seconds = [lease.poll(), lease.stamp(), lease.deaf_after(), lease.retry(), lease.reconcile()];
        assert_eq!(seconds.map(|one| one.as_secs()), [10, 2, 6, 5, 30]);
    }
}
