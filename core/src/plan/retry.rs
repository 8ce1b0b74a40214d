//! When the next try of a failed task begins (semantics §4, Airflow 3: `TaskInstance.next_retry_datetime`).

use std::time::Duration;

use chrono::{DateTime, Utc};
use sha1::{Digest, Sha1};

use crate::dag::Task;

/// Airflow's `[core] max_task_retry_delay`.
const MAX_SECONDS: f64 = 86_400.0;

/// Whether another try may follow try `try_number` (counted from 1).
pub fn is_eligible(try_number: i32, max_tries: i32) -> bool {
    max_tries != 0 && try_number <= max_tries
}

/// The delay after try `try_number`: constant, or exponential with `retry_exponential_backoff` as the multiplier and
/// Airflow's jitter, which is deterministic in the instance.
pub fn delay(dag_id: &str, task: &Task, logical_date: Option<DateTime<Utc>>, try_number: i32) -> Duration {
    let multiplier = task.retry_exponential_backoff;
    if multiplier <= 0.0 || (multiplier - 1.0).abs() < f64::EPSILON {
        return task.retry_delay;
    }
    let delay = jittered(
        &format!("{dag_id}#{}#{}#{try_number}", task.task_id, date_text(logical_date)),
        // C's `pow`, as Python's `**` has it; repeated multiplication rounds elsewhere, and the next whole second may be another.
        total_seconds(task.retry_delay) * multiplier.powf(f64::from(try_number - 1)),
    );
    // A zero is no limit: Airflow asks whether there is one by the truth of a timedelta.
    task.max_retry_delay.filter(|max| !max.is_zero()).map_or(delay, |max| delay.min(max))
}

/// How long a sensor waits before it is asked again, after it was asked `asked` times (from 1): constant, or with
/// `exponential_backoff` the interval doubled each time from the third, with the same jitter and at most `max_wait` (semantics
/// §12.4, Airflow: `BaseSensorOperator._get_next_poke_interval`).
pub fn poke_interval(dag_id: &str, task: &Task, logical_date: Option<DateTime<Utc>>, asked: i32) -> Duration {
    let sensor = task.sensor.unwrap_or_default();
    if !sensor.exponential_backoff {
        return sensor.poke_interval;
    }
    let delay = jittered(
        &format!("{dag_id}#{}#{}#{asked}", task.task_id, date_text(logical_date)),
        sensor.poke_interval.as_secs_f64() * 2_f64.powi(asked - 2),
    );
    sensor.max_wait.map_or(delay, |max| delay.min(max))
}

/// `timedelta.total_seconds()`: whole microseconds divided once, which rounds once.
fn total_seconds(delay: Duration) -> f64 {
    delay.as_micros() as f64 / 1e6
}

/// `seconds` rounded up to b, plus a hash of `key` modulo b: in [b, 2b), at most a day.
fn jittered(key: &str, seconds: f64) -> Duration {
    let grown = seconds.ceil();
    let base = if grown.is_finite() { grown.max(1.0) } else { MAX_SECONDS };
    // Beyond 2^53 the cap below decides anyway.
    let modulus = base.min(9e15) as u64;
    Duration::from_secs_f64((base + jitter(key, modulus) as f64).min(MAX_SECONDS))
}

fn date_text(logical_date: Option<DateTime<Utc>>) -> String {
    logical_date.map_or_else(|| "None".to_owned(), python_text)
}

/// Airflow's jitter: the SHA-1 of a text, as a number below `modulus` (at least 1).
fn jitter(text: &str, modulus: u64) -> u64 {
    let rest = |rest: u128, byte: &u8| (rest * 256 + u128::from(*byte)) % u128::from(modulus);
    // Below `modulus`, hence it fits.
    Sha1::digest(text).iter().fold(0, rest) as u64
}

/// `str(datetime)` in Python: microseconds only when there are any.
fn python_text(date: DateTime<Utc>) -> String {
    let micros = date.timestamp_subsec_micros();
    if micros == 0 {
        date.format("%Y-%m-%d %H:%M:%S+00:00").to_string()
    } else {
        date.format("%Y-%m-%d %H:%M:%S%.6f+00:00").to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::task;

    #[test]
    fn as_many_tries_as_retries_plus_one() {
        assert!(!is_eligible(1, 0));
        assert!(is_eligible(1, 1));
        assert!(!is_eligible(2, 1));
    }

    #[test]
    fn a_constant_delay_has_no_jitter_and_no_cap() {
        let mut task = task("a", &[]);
        task.retry_delay = Duration::from_secs(300);
        task.max_retry_delay = Some(Duration::from_secs(60));
        assert_eq!(delay("d", &task, None, 3), Duration::from_secs(300));
    }

    #[test]
    fn backoff_stays_between_base_and_twice_the_base_and_is_deterministic() {
        let mut task = task("a", &[]);
        task.retry_delay = Duration::from_secs(300);
        task.retry_exponential_backoff = 2.0;
        let date = Some("2024-01-01T00:00:00Z".parse().unwrap());
        for (try_number, low, high) in [(1, 300, 600), (2, 600, 1200), (3, 1200, 2400)] {
            let seconds = delay("d", &task, date, try_number).as_secs();
            assert!((low..high).contains(&seconds), "try {try_number}: {seconds}");
            assert_eq!(delay("d", &task, date, try_number).as_secs(), seconds);
        }
        task.max_retry_delay = Some(Duration::from_secs(400));
        assert_eq!(delay("d", &task, date, 3), Duration::from_secs(400));
    }

    #[test]
    fn backoff_never_exceeds_a_day_and_never_overflows() {
        let mut task = task("a", &[]);
        task.retry_exponential_backoff = 10.0;
        assert_eq!(delay("d", &task, None, 4000), Duration::from_secs(86_400));
    }

    #[test]
    fn the_jitter_is_airflows_to_the_digit() {
        // python3: int(hashlib.sha1(b"d#a#2024-01-01 00:00:00+00:00#1").hexdigest(), 16) % 300
        let mut task = task("a", &[]);
        task.retry_delay = Duration::from_secs(300);
        task.retry_exponential_backoff = 2.0;
        let date = Some("2024-01-01T00:00:00Z".parse().unwrap());
        assert_eq!(delay("d", &task, date, 1), Duration::from_secs(300 + 59));
    }
}
