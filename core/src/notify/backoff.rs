//! When a notice that could not be sent is tried again.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(3600);

/// The wait after try `tries` (from 1) of a notice that is `age` old; doubled each time, at most an hour. `None`: it was tried
/// for `give_up_after`, it has failed.
pub fn next_try(tries: u32, age: Duration, give_up_after: Duration) -> Option<Duration> {
    if age >= give_up_after {
        return None;
    }
    let doubled = FIRST.saturating_mul(1_u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX));
    // The last try is at the very end of the time.
    Some(doubled.min(LONGEST).min(give_up_after.saturating_sub(age)).max(Duration::from_millis(100)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    #[test]
    fn the_wait_doubles_up_to_an_hour() {
        let waits: Vec<u64> =
            (1..=12).map(|tries| next_try(tries, Duration::ZERO, DAY).expect("young").as_secs()).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]);
        assert_eq!(next_try(u32::MAX, Duration::ZERO, DAY), Some(LONGEST));
    }

    #[test]
    fn the_last_try_is_at_the_end_of_the_time_and_none_follows() {
        assert_eq!(next_try(12, DAY.saturating_sub(Duration::from_secs(60)), DAY), Some(Duration::from_secs(60)));
        assert_eq!(next_try(12, DAY, DAY), None);
        assert_eq!(next_try(1, Duration::ZERO, Duration::ZERO), None);
    }
}
