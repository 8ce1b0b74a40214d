//! How often a login may be tried.
//!
//! Counted are tries that did not succeed: per name and address, and per address. Never per name alone, so that nobody can lock
//! a user out from elsewhere. Each webserver counts for itself; what is counted is a rate, so nothing has to be shared exactly.
//! The algorithm is GCRA: of each key one instant is kept, the one at which all its tries will be forgotten.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv6Addr},
    sync::Mutex,
    time::{Duration, Instant},
};

/// Keys remembered at once; then the half that would be forgotten first goes. 24 bytes each.
const LIMIT: usize = 16_384;

/// `burst` tries at once, then one per `every`.
#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: u32,
    every: Duration,
}

/// A person who mistypes is not slowed; guessing gets 7,200 tries a day.
const NAME: Rate = Rate { burst: 5, every: Duration::from_secs(12) };
/// Many people share an address, and one that goes through a list of names has many names.
const ADDRESS: Rate = Rate { burst: 60, every: Duration::from_secs(1) };

/// The tries of the last minutes.
pub(super) struct Throttle {
    /// When a key's tries are forgotten.
    until: Mutex<HashMap<u64, Instant>>,
    hasher: RandomState,
}

/// A try that counts, unless it is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Try {
    name: u64,
    address: u64,
}

impl Throttle {
    pub(super) fn new() -> Self {
        Self { until: Mutex::default(), hasher: RandomState::new() }
    }

    /// Counts a try before its outcome is known, so that many at once are not let through together.
    ///
    /// # Errors
    /// How long to wait, when there were too many; the refused try does not count.
    pub(super) fn begin(&self, name: &str, address: IpAddr, now: Instant) -> Result<Try, Duration> {
        let network = network(address);
        let this = Try { name: self.hasher.hash_one((name, network)), address: self.hasher.hash_one(network) };
        let mut until = self.until.lock().expect("nothing panics under this lock");
        let keys = [(this.name, NAME), (this.address, ADDRESS)];
        let after = keys.map(|(key, rate)| until.get(&key).map_or(now, |until| now.max(*until)) + rate.every);
        for ((_, rate), after) in keys.into_iter().zip(after) {
            let most = now + rate.every * rate.burst;
            if after > most {
                return Err(after - most);
            }
        }
        for ((key, _), after) in keys.into_iter().zip(after) {
            make_room(&mut until, now);
            until.insert(key, after);
        }
        Ok(this)
    }

    /// The try succeeded, or was not looked at: it does not count.
    pub(super) fn take_back(&self, this: Try) {
        let mut until = self.until.lock().expect("nothing panics under this lock");
        for (key, rate) in [(this.name, NAME), (this.address, ADDRESS)] {
            if let Some(until) = until.get_mut(&key) {
                *until -= rate.every;
            }
        }
    }
}

fn make_room(until: &mut HashMap<u64, Instant>, now: Instant) {
    if until.len() < LIMIT {
        return;
    }
    until.retain(|_, until| *until > now);
    if until.len() >= LIMIT {
        let mut ends: Vec<Instant> = until.values().copied().collect();
        let (_, middle, _) = ends.select_nth_unstable(LIMIT / 2);
        until.retain(|_, until| *until > *middle);
    }
}

/// What one party has at least: an IPv4 address, or the 64 bits of IPv6 that a subscriber gets.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_is_slowed_at_one_address_and_nowhere_else() {
        let (throttle, now) = (Throttle::new(), Instant::now());
        let (here, there) = (address("192.0.2.1"), address("192.0.2.2"));
        for _ in 0..NAME.burst {
            throttle.begin("ada", here, now).unwrap();
        }
        assert_eq!(throttle.begin("ada", here, now), Err(NAME.every));
        throttle.begin("ada", there, now).unwrap();
        throttle.begin("bob", here, now).unwrap();
        throttle.begin("ada", here, now + NAME.every).unwrap();
        assert_eq!(throttle.begin("ada", here, now + NAME.every), Err(NAME.every));
    }

    #[test]
    fn an_address_that_goes_through_names_is_slowed() {
        let (throttle, now) = (Throttle::new(), Instant::now());
        for name in 0..ADDRESS.burst {
            throttle.begin(&name.to_string(), address("2001:db8::1"), now).unwrap();
        }
        let neighbour = address("2001:db8::2");
        assert_eq!(throttle.begin("one more", neighbour, now), Err(ADDRESS.every));
        throttle.begin("one more", address("2001:db8:0:1::1"), now).unwrap();
    }

    #[test]
    fn logins_that_succeed_do_not_count() {
        let (throttle, now) = (Throttle::new(), Instant::now());
        for _ in 0..10 * ADDRESS.burst {
            let this = throttle.begin("ci", address("192.0.2.1"), now).unwrap();
            throttle.take_back(this);
        }
    }

    #[test]
    fn memory_is_bounded_and_who_guesses_most_is_remembered() {
        let (throttle, now) = (Throttle::new(), Instant::now());
        let guesser = address("192.0.2.1");
        for _ in 0..NAME.burst {
            throttle.begin("ada", guesser, now).unwrap();
        }
        for n in 0..2 * LIMIT as u32 {
            let [a, b, c, d] = n.to_be_bytes();
            throttle.begin("ada", IpAddr::from([10 + a, b, c, d]), now).unwrap();
        }
        assert!(throttle.until.lock().unwrap().len() <= LIMIT);
        assert!(throttle.begin("ada", guesser, now).is_err());
    }
}
