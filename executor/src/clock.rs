//! The node's clocks. Instants never leave the node: reports carry ages.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SecondsFormat, Utc};

/// The wall clock, for log lines and for what must survive a restart.
#[expect(clippy::disallowed_methods, reason = "the node's one wall clock")]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}

/// Milliseconds since the epoch.
pub(crate) fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis() as u64
}

/// RFC 3339 with microseconds, as Airflow's log lines have it.
pub(crate) fn timestamp() -> String {
    now().to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// When something happened: by the monotonic clock in this process' life, by the wall clock for the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    monotonic: Option<Instant>,
    pub(crate) unix_ms: u64,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self { monotonic: Some(Instant::now()), unix_ms: unix_ms() }
    }

    /// A moment of an earlier life of this node, out of the journal.
    pub(crate) fn recorded(unix_ms: u64) -> Self {
        Self { monotonic: None, unix_ms }
    }

    /// How long ago. Milliseconds; never negative, though the wall clock may have been set back.
    pub(crate) fn age_ms(&self) -> u64 {
        match self.monotonic {
            Some(instant) => instant.elapsed().as_millis() as u64,
            None => unix_ms().saturating_sub(self.unix_ms),
        }
    }
}
