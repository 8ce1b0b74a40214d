//! What becomes of a DAG whose stored next run is due (semantics §9.6).

use chrono::{DateTime, TimeDelta, Utc};

use super::{DagRunInfo, DataInterval, Restriction, next_dagrun_info};
use crate::dag::Schedule;

/// A stored next run older than this is worked out anew when the DAG does not catch up: it was paused, or nobody scheduled.
const OUTDATED: TimeDelta = TimeDelta::seconds(60);

/// The run to make now, and what is stored as the one after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    pub run: Option<DagRunInfo>,
    pub next: Option<DagRunInfo>,
}

/// Decides for one DAG. `stored` is its next run as stored when it was not yet due, `last` what its latest scheduled or backfill
/// run covers. At most one run: what is due behind it comes with the next look.
///
/// The pointer moves past the run also when one with its logical date exists already, so that it is passed over.
pub fn due(
    schedule: &Schedule,
    restriction: &Restriction,
    stored: DagRunInfo,
    last: Option<DataInterval>,
    now: DateTime<Utc>,
) -> Due {
    // A continuous run covers the time up to its making, which was not known when it was stored.
    let is_continuous = matches!(schedule, Schedule::Continuous);
    let keeps = !is_continuous && (restriction.catchup || now - stored.run_after <= OUTDATED);
    let run = if keeps { Some(stored) } else { next_dagrun_info(schedule, last, restriction, now) };
    let run = run.filter(|run| run.run_after <= now);
    let covered = run.and_then(|run| run.data_interval).or(last);
    Due { run, next: next_dagrun_info(schedule, covered, restriction, now) }
}
