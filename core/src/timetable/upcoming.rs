//! The runs to come, as far ahead as somebody wants to look.

use chrono::{DateTime, Offset, Utc};
use chrono_tz::Tz;

use super::{DagRunInfo, Restriction, next_dagrun_info};
use crate::dag::{Dag, Schedule};

/// A run to come, on the clock of its schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upcoming {
    pub run: DagRunInfo,
    /// Of `run_after`. Seconds east of UTC.
    pub utc_offset: i32,
    /// The clock was changed since the run before it (of the first: since now).
    pub is_after_change: bool,
}

/// The runs that a schedule will make, from the stored next one on; of one whose runs depend on others, the next at most.
///
/// A stored one that is past counts only when the DAG catches up, else the latest that was missed does: what would be made were the
/// DAG looked at now. Runs that are made by hand or by assets are nobody's to foresee.
pub fn upcoming(
    dag: &Dag,
    stored: Option<DagRunInfo>,
    restriction: Restriction,
    now: DateTime<Utc>,
) -> impl Iterator<Item = Upcoming> {
    let zone = zone_of(&dag.schedule, dag.timezone);
    let is_kept = |stored: &DagRunInfo| restriction.catchup || stored.run_after >= now;
    let last = stored.and_then(|stored| stored.data_interval);
    let first = stored.filter(is_kept).or_else(|| next_dagrun_info(&dag.schedule, last, &restriction, now));
    let goes_on = !matches!(dag.schedule, Schedule::Continuous | Schedule::Once);
    let next = move |run: &DagRunInfo| {
        let next = next_dagrun_info(&dag.schedule, Some(run.data_interval?), &restriction, now)?;
        (goes_on && next.run_after > run.run_after).then_some(next)
    };
    let mut before = offset(zone, now);
    std::iter::successors(first, next).map(move |run| {
        let utc_offset = offset(zone, run.run_after);
        let is_after_change = utc_offset != before;
        before = utc_offset;
        Upcoming { run, utc_offset, is_after_change }
    })
}

/// The zone whose clock a schedule follows.
pub fn zone_of(schedule: &Schedule, of_dag: Tz) -> Tz {
    match schedule {
        Schedule::Cron { timezone, .. } | Schedule::CronInterval { timezone, .. } => *timezone,
        Schedule::Assets { timetable: Some(timetable), .. } => zone_of(timetable, of_dag),
        Schedule::None
        | Schedule::Once
        | Schedule::Continuous
        | Schedule::Delta { .. }
        | Schedule::DeltaInterval { .. }
        | Schedule::Events { .. }
        | Schedule::Partitioned { .. }
        | Schedule::Assets { timetable: None, .. } => of_dag,
    }
}

/// Whether there is a zone of this name in the IANA's database.
pub fn is_zone(name: &str) -> bool {
    name.parse::<Tz>().is_ok()
}

fn offset(zone: Tz, at: DateTime<Utc>) -> i32 {
    at.with_timezone(&zone).offset().fix().local_minus_utc()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn told(dag: &Dag, stored: Option<DagRunInfo>, now: &str) -> Vec<String> {
        let restriction = super::super::restriction(dag);
        let found = upcoming(dag, stored, restriction, at(now)).take(3);
        found
            .map(|next| {
                format!("{} {} {}", next.run.run_after.format("%m-%dT%H:%M"), next.utc_offset, next.is_after_change)
            })
            .collect()
    }

    #[test]
    fn the_change_of_the_clock_is_marked_once() {
        let mut dag = Dag::new("d");
        dag.schedule = Schedule::cron("0 9 * * *", chrono_tz::Europe::Berlin);
        dag.start_date = Some(at("2026-01-01T00:00:00Z"));
        let expected = ["10-24T07:00 7200 false", "10-25T08:00 3600 true", "10-26T08:00 3600 false"];
        assert_eq!(told(&dag, Some(DagRunInfo::exact(at("2026-10-24T07:00:00Z"))), "2026-10-23T12:00:00Z"), expected);
    }

    #[test]
    fn a_stored_run_that_is_past_counts_when_the_dag_catches_up() {
        let mut dag = Dag::new("d");
        dag.schedule = Schedule::cron("0 0 * * *", Tz::UTC);
        dag.start_date = Some(at("2026-01-01T00:00:00Z"));
        let stored = Some(DagRunInfo::exact(at("2026-01-05T00:00:00Z")));
        assert_eq!(told(&dag, stored, "2026-01-09T12:00:00Z")[0], "01-09T00:00 0 false");
        dag.catchup = true;
        assert_eq!(told(&dag, stored, "2026-01-09T12:00:00Z")[0], "01-05T00:00 0 false");
    }

    #[test]
    fn without_a_schedule_nothing_comes() {
        assert!(told(&Dag::new("d"), None, "2026-01-09T12:00:00Z").is_empty());
    }
}
