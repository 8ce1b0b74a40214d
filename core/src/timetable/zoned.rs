//! A cron expression on the wall clock of a zone, with Airflow's daylight-saving rules (`timetables/_cron.py`).
//!
//! | situation | rule |
//! | --- | --- |
//! | the hour field is `*` | the distance on the wall clock is gone in elapsed time: a repeated hour fires twice, a skipped one not at all |
//! | otherwise, a time that does not exist (gap) | moved forward by the gap |
//! | otherwise, a time that exists twice (fold) | the second one |
//!
//! The first rule makes `0 * * * 1-5` miss its first hour after a weekend on which the clock went forward, as it does in
//! Airflow: the same instants matter more here than nicer ones.

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, TimeZone, Utc};
use chrono_tz::{GapInfo, Tz};

use super::cron::{Cron, CronError};

/// Ticks as instants.
#[derive(Clone, Debug)]
pub struct ZonedCron {
    cron: Cron,
    zone: Tz,
}

impl ZonedCron {
    pub fn parse(expression: &str, zone: Tz) -> Result<Self, CronError> {
        Ok(Self { cron: Cron::parse(expression)?, zone })
    }

    /// The first tick after `after`; always later than it.
    pub fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.tick(after, Cron::next)
    }

    /// The last tick before `before`, counted on the wall clock: in a fold it may be the later of the two instants, which
    /// is not before `before`. Airflow's rule.
    pub fn prev(&self, before: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.tick(before, Cron::prev)
    }

    /// `at` if it is a tick, else the next one.
    pub fn align_next(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let next = self.next(at)?;
        Some(if self.prev(next) == Some(at) { at } else { next })
    }

    /// `at` if it is a tick, else the one before.
    pub fn align_prev(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self.prev(at) {
            Some(prev) => Some(if self.next(prev) == Some(at) { at } else { prev }),
            // The expression names years, and `at` may be its very first tick.
            None => self.align_next(at).filter(|next| *next == at),
        }
    }

    fn tick(
        &self,
        from: DateTime<Utc>,
        step: impl Fn(&Cron, NaiveDateTime) -> Option<NaiveDateTime>,
    ) -> Option<DateTime<Utc>> {
        let naive = from.with_timezone(&self.zone).naive_local();
        let tick = step(&self.cron, naive)?;
        if self.cron.covers_every_hour() { from.checked_add_signed(tick - naive) } else { localise(self.zone, tick) }
    }
}

/// The instant of a wall-clock time; `None` only at the ends of the calendar.
pub(crate) fn localise(zone: Tz, naive: NaiveDateTime) -> Option<DateTime<Utc>> {
    match zone.from_local_datetime(&naive) {
        MappedLocalTime::Single(instant) => Some(instant.to_utc()),
        MappedLocalTime::Ambiguous(_, second) => Some(second.to_utc()),
        MappedLocalTime::None => {
            // With the offset from before the gap, the wall clock shows the time moved forward by the gap.
            let (_, before) = GapInfo::new(&naive, &zone)?.begin?;
            naive.checked_sub_offset(chrono::Offset::fix(&before)).map(|utc| utc.and_utc())
        }
    }
}
