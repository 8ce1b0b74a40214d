//! When a DAG's runs are due: timetables over [`Schedule`], pure and with `now` as a value.
//!
//! The rules are Airflow 3's (`airflow/timetables/`), among them which interval a run covers and what `catchup` skips.
//! [`cron`] reads expressions, [`zoned`] puts them on a zone's clock, [`run_id`] names the runs.
//!
//! An expression that [`cron::Cron::parse`] refuses yields no ticks here: the loader has refused the file before, so that
//! nothing else can come out of the database.

pub mod cron;
mod cron_text;
mod describe;
mod due;
mod run_id;
#[cfg(test)]
mod tables;
#[cfg(test)]
mod tests;
mod upcoming;
pub mod zoned;

use std::cmp::Reverse;

use chrono::{DateTime, Months, TimeDelta, Utc};

use self::zoned::ZonedCron;
pub use self::{
    describe::{description, summary},
    due::{Due, due},
    run_id::{RUN_ID_LENGTH, RunIdError, check_run_id, run_id, run_id_with_suffix},
    upcoming::{Upcoming, is_zone, upcoming, zone_of},
};
pub(crate) use self::{run_id::isoformat, zoned::localise};
use crate::dag::{Dag, RunImmediately, Schedule, Step};

/// What a run covers: start inclusive, end exclusive; equal for a point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataInterval {
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
}

impl DataInterval {
    /// A point in time.
    pub const fn exact(at: DateTime<Utc>) -> Self {
        Self { start: at, end: at }
    }
}

/// A run to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DagRunInfo {
    /// The run is created when this is reached.
    pub run_after: DateTime<Utc>,
    pub logical_date: Option<DateTime<Utc>>,
    pub data_interval: Option<DataInterval>,
}

impl DagRunInfo {
    fn interval(start: DateTime<Utc>, end: DateTime<Utc>) -> Self {
        Self { run_after: end, logical_date: Some(start), data_interval: Some(DataInterval { start, end }) }
    }

    fn exact(at: DateTime<Utc>) -> Self {
        Self::interval(at, at)
    }
}

/// Between which dates a DAG is scheduled, and whether what lies in the past is made up for. Both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restriction {
    pub earliest: Option<DateTime<Utc>>,
    pub latest: Option<DateTime<Utc>>,
    pub catchup: bool,
}

/// A DAG's own dates count for all its tasks (Airflow clips a task's dates to its DAG's); without them the tasks' do:
/// the earliest start, and the latest end if every task ends.
pub fn restriction(dag: &Dag) -> Restriction {
    let earliest = dag.start_date.or_else(|| dag.tasks.iter().filter_map(|task| task.start_date).min());
    let latest = dag.end_date.or_else(|| {
        let ends: Option<Vec<_>> = dag.tasks.iter().map(|task| task.end_date).collect();
        ends?.into_iter().max()
    });
    Restriction { earliest, latest, catchup: dag.catchup }
}

/// Runs come by themselves, at times: backfills are possible (`timetable_periodic` and `is_backfillable` of the API).
pub fn is_periodic(schedule: &Schedule) -> bool {
    match schedule {
        Schedule::None | Schedule::Once | Schedule::Continuous | Schedule::Partitioned { .. } => false,
        Schedule::Cron { .. }
        | Schedule::CronInterval { .. }
        | Schedule::Delta { .. }
        | Schedule::DeltaInterval { .. }
        | Schedule::Events { .. } => true,
        Schedule::Assets { timetable, .. } => timetable.as_deref().is_some_and(is_periodic),
    }
}

/// The class of the partitioned timetable in the schedule, if there is one: no run of such a DAG is made, whoever asks for it.
pub fn partitioned(schedule: &Schedule) -> Option<&str> {
    match schedule {
        Schedule::Partitioned { timetable, .. } => Some(timetable),
        Schedule::Assets { timetable, .. } => timetable.as_deref().and_then(partitioned),
        Schedule::None
        | Schedule::Once
        | Schedule::Continuous
        | Schedule::Cron { .. }
        | Schedule::CronInterval { .. }
        | Schedule::Delta { .. }
        | Schedule::DeltaInterval { .. }
        | Schedule::Events { .. } => None,
    }
}

/// The run that comes after `last`, the data interval of the latest scheduled or backfill run (manual runs do not move the
/// schedule). It is due when `now` reaches its `run_after`. `None`: nothing comes any more, or ever.
pub fn next_dagrun_info(
    schedule: &Schedule,
    last: Option<DataInterval>,
    restriction: &Restriction,
    now: DateTime<Utc>,
) -> Option<DagRunInfo> {
    match schedule {
        Schedule::None | Schedule::Partitioned { .. } => None,
        Schedule::Once => {
            let at = restriction.earliest.unwrap_or(now);
            (last.is_none() && !is_after_latest(at, restriction)).then(|| DagRunInfo::exact(at))
        }
        Schedule::Continuous => next_continuous(last, restriction, now),
        Schedule::Cron { expressions, timezone, interval, run_immediately } => {
            let infos = expressions.iter().filter_map(|expression| {
                let timetable = Trigger::Cron(ZonedCron::parse(expression, *timezone).ok()?, *run_immediately);
                timetable.next_dagrun_info(*interval, last, restriction, now)
            });
            if restriction.catchup {
                infos.min_by_key(|info| info.logical_date)
            } else {
                // As few runs in the past as possible: the latest of those due, else the first to come.
                infos.min_by_key(|info| match info.logical_date {
                    Some(date) if date <= now => (0, Reverse(date.timestamp_micros()), None),
                    date => (1, Reverse(0), date),
                })
            }
        }
        Schedule::Delta { delta, interval } => {
            Trigger::Delta(*delta).next_dagrun_info(*interval, last, restriction, now)
        }
        Schedule::CronInterval { expression, timezone } => {
            let timetable = Interval::Cron(ZonedCron::parse(expression, *timezone).ok()?);
            timetable.next_dagrun_info(last, restriction, now)
        }
        Schedule::DeltaInterval { delta } => Interval::Delta(*delta).next_dagrun_info(last, restriction, now),
        Schedule::Events { dates } => {
            let earliest = if restriction.catchup { restriction.earliest } else { restriction.earliest.max(Some(now)) };
            let due = |date: &&DateTime<Utc>| {
                earliest.is_none_or(|earliest| **date >= earliest) && last.is_none_or(|last| **date > last.end)
            };
            let next = dates.iter().filter(due).min()?;
            (!is_after_latest(*next, restriction)).then(|| DagRunInfo::exact(*next))
        }
        Schedule::Assets { timetable, .. } => next_dagrun_info(timetable.as_deref()?, last, restriction, now),
    }
}

/// The data interval of a run made by hand for `logical_date`.
pub fn infer_manual_data_interval(schedule: &Schedule, logical_date: DateTime<Utc>) -> DataInterval {
    let since = |start: Option<DateTime<Utc>>| DataInterval { start: start.unwrap_or(logical_date), end: logical_date };
    match schedule {
        Schedule::Cron { interval: Some(interval), .. } | Schedule::Delta { interval: Some(interval), .. } => {
            since(subtract(logical_date, *interval))
        }
        Schedule::DeltaInterval { delta } => since(subtract(logical_date, *delta)),
        Schedule::CronInterval { expression, timezone } => {
            // The last complete interval: triggered at 01:00 on the 25th, a daily DAG covers the 24th.
            let interval = || {
                let cron = ZonedCron::parse(expression, *timezone).ok()?;
                let end = cron.align_prev(logical_date)?;
                Some(DataInterval { start: cron.prev(end)?, end })
            };
            interval().unwrap_or(DataInterval::exact(logical_date))
        }
        Schedule::Assets { timetable: Some(timetable), .. } => infer_manual_data_interval(timetable, logical_date),
        Schedule::None
        | Schedule::Once
        | Schedule::Continuous
        | Schedule::Cron { interval: None, .. }
        | Schedule::Delta { interval: None, .. }
        | Schedule::Events { .. }
        | Schedule::Partitioned { .. }
        | Schedule::Assets { timetable: None, .. } => DataInterval::exact(logical_date),
    }
}

fn is_after_latest(at: DateTime<Utc>, restriction: &Restriction) -> bool {
    restriction.latest.is_some_and(|latest| at > latest)
}

/// The next run as soon as the previous one ended; the caller keeps it at one run at a time.
fn next_continuous(last: Option<DataInterval>, restriction: &Restriction, now: DateTime<Utc>) -> Option<DagRunInfo> {
    let start_date = restriction.earliest.unwrap_or(now);
    let (start, end) = match last {
        None => (start_date, start_date.max(now)),
        // The start date was moved to the future.
        Some(last) if last.end > now => (start_date, start_date + (last.end - last.start)),
        Some(last) => (last.end, now),
    };
    (!is_after_latest(end, restriction)).then(|| DagRunInfo::interval(start, end))
}

/// Timetables whose runs are made at a point in time (`timetables/trigger.py`).
enum Trigger {
    Cron(ZonedCron, RunImmediately),
    /// No grid: every instant is a tick.
    Delta(Step),
}

impl Trigger {
    fn next_dagrun_info(
        &self,
        interval: Option<Step>,
        last: Option<DataInterval>,
        restriction: &Restriction,
        now: DateTime<Utc>,
    ) -> Option<DagRunInfo> {
        let from_last_or_start = match (last, restriction.earliest) {
            (Some(last), _) => self.next(last.end),
            (None, Some(earliest)) => self.align_next(earliest),
            (None, None) => self.first_without_start_date(now),
        };
        let at = if restriction.catchup {
            from_last_or_start?
        } else {
            let from_start = restriction.earliest.and_then(|earliest| self.align_next(earliest));
            [self.align_prev(now), from_last_or_start, from_start].into_iter().flatten().max()?
        };
        if is_after_latest(at, restriction) || last.is_some_and(|last| at <= last.end) {
            return None;
        }
        let start = interval.map_or(Some(at), |interval| subtract(at, interval))?;
        Some(DagRunInfo::interval(start, at))
    }

    /// The tick just missed or the next, as [`RunImmediately`] says; without a grid, now.
    fn first_without_start_date(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let Self::Cron(cron, run_immediately) = self else { return Some(now) };
        let Some(past) = cron.align_prev(now) else { return cron.align_next(now) };
        let grace = match run_immediately {
            RunImmediately::Always => return Some(past),
            RunImmediately::Within(grace) => TimeDelta::from_std(*grace).unwrap_or(TimeDelta::MAX),
            RunImmediately::IfRecent => ((cron.align_next(now)? - past) / 10).max(TimeDelta::minutes(5)),
        };
        if now - past <= grace { Some(past) } else { cron.align_next(now) }
    }

    fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Cron(cron, _) => cron.next(after),
            Self::Delta(delta) => add(after, *delta),
        }
    }

    fn align_next(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Cron(cron, _) => cron.align_next(at),
            Self::Delta(_) => Some(at),
        }
    }

    fn align_prev(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Cron(cron, _) => cron.align_prev(at),
            Self::Delta(_) => Some(at),
        }
    }
}

/// Timetables whose runs cover an interval and are made at its end (`timetables/interval.py`).
enum Interval {
    Cron(ZonedCron),
    Delta(Step),
}

impl Interval {
    fn next_dagrun_info(
        &self,
        last: Option<DataInterval>,
        restriction: &Restriction,
        now: DateTime<Utc>,
    ) -> Option<DagRunInfo> {
        let earliest = match (restriction.catchup, restriction.earliest) {
            (false, earliest) => Some(self.skip_to_latest(earliest, now)?),
            (true, Some(earliest)) => Some(self.align_next(earliest)?),
            (true, None) => None,
        };
        let start = match last {
            None => earliest?,
            Some(last) => {
                // Aligned, since the schedule may have changed after the last run.
                let start = Some(self.align_prev(last.end)?).max(earliest)?;
                if start <= last.start { self.next(last.start)? } else { start }
            }
        };
        if is_after_latest(start, restriction) {
            return None;
        }
        let end = self.next(start)?;
        (end > start).then(|| DagRunInfo::interval(start, end))
    }

    /// The start of the latest complete interval, or the start date when that is later.
    fn skip_to_latest(&self, earliest: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let latest = match self {
            Self::Cron(cron) => {
                let last = cron.prev(now)?;
                // On a boundary the interval that ends now is complete.
                if cron.next(last)? == now { last } else { cron.prev(last)? }
            }
            Self::Delta(delta) if delta.months == 0 => subtract(floor(now, *delta)?, *delta)?,
            // Months have no common grid: step from the start date. Clamped days stay clamped (31 January, 28 February,
            // 28 March), as in Airflow.
            Self::Delta(delta) => match earliest {
                None => subtract(now, *delta)?,
                Some(earliest) => {
                    let mut start = earliest;
                    loop {
                        let end = add(start, *delta)?;
                        if end <= start || add(end, *delta)? > now {
                            break start;
                        }
                        start = end;
                    }
                }
            },
        };
        match earliest {
            None => Some(latest),
            Some(earliest) => Some(latest.max(self.align_next(earliest)?)),
        }
    }

    fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Cron(cron) => cron.next(after),
            Self::Delta(delta) => add(after, *delta),
        }
    }

    fn align_next(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Cron(cron) => cron.align_next(at),
            Self::Delta(_) => Some(at),
        }
    }

    fn align_prev(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Cron(cron) => cron.align_prev(at),
            Self::Delta(_) => Some(at),
        }
    }
}

/// Months on the calendar first, the day clamped to the month's end; then elapsed time. `None` beyond the calendar.
fn add(at: DateTime<Utc>, step: Step) -> Option<DateTime<Utc>> {
    shift_months(at, step.months)?.checked_add_signed(TimeDelta::from_std(step.duration).ok()?)
}

fn subtract(at: DateTime<Utc>, step: Step) -> Option<DateTime<Utc>> {
    shift_months(at, step.months.checked_neg()?)?.checked_sub_signed(TimeDelta::from_std(step.duration).ok()?)
}

fn shift_months(at: DateTime<Utc>, months: i32) -> Option<DateTime<Utc>> {
    let count = Months::new(months.unsigned_abs());
    if months < 0 { at.checked_sub_months(count) } else { at.checked_add_months(count) }
}

/// Down to a multiple of the step since 1970. `None` for a step of zero.
fn floor(at: DateTime<Utc>, step: Step) -> Option<DateTime<Utc>> {
    let micros = i64::try_from(step.duration.as_micros()).ok()?;
    let at = at.timestamp_micros();
    DateTime::from_timestamp_micros(at - at.checked_rem_euclid(micros)?)
}
