//! Backfills (semantics §10): which runs one comprises, in which order, and what becomes of runs that exist already.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    dag::{Dag, RunRefusal},
    state::{DagRunState, DagRunType},
    timetable::{self, DagRunInfo, Restriction},
};

/// Runs of one backfill, at most: more is a slip of the dates, or is better done in parts.
pub const MAX_RUNS: usize = 100_000;

/// Which existing runs a backfill runs again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReprocessBehavior {
    #[default]
    None,
    Failed,
    Completed,
}

impl ReprocessBehavior {
    pub const ALL: [Self; 3] = [Self::Failed, Self::Completed, Self::None];

    /// The word of the API and in SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Failed => "failed",
            Self::Completed => "completed",
        }
    }

    /// The behaviour of a word, if it is one.
    pub fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|behavior| behavior.as_str() == text)
    }
}

/// What is asked for. Both dates inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    pub from_date: DateTime<Utc>,
    pub to_date: DateTime<Utc>,
    pub run_backwards: bool,
    pub reprocess: ReprocessBehavior,
    /// Of its runs at once.
    pub max_active_runs: i32,
}

/// Why a backfill cannot be. The texts are for its author.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    #[error(
        "{0} has no schedule that a backfill could follow: only cron, interval and event timetables have past dates"
    )]
    NoSchedule(String),
    #[error(transparent)]
    NotAllowed(#[from] RunRefusal),
    #[error("from_date must not be later than to_date")]
    DatesReversed,
    #[error("Backfill cannot be executed for future dates.")]
    Future,
    #[error("max_active_runs must be at least 1")]
    NoRunsAtOnce,
    #[error("Backfill cannot be run in reverse when the Dag has tasks where depends_on_past=True: {0}")]
    BackwardsButDependsOnPast(String),
    #[error(
        "Dag has tasks for which depends_on_past=True: {0}. You must set reprocess behavior to reprocess completed or reprocess \
         failed."
    )]
    DependsOnPast(String),
    #[error("the backfill would have more than {MAX_RUNS} runs: choose dates that lie closer together")]
    TooMany,
    #[error("there are no runs to create between from_date and to_date")]
    Empty,
}

/// The runs of a backfill in the order in which they are processed; empty when the dates hold none, which is
/// [`Refusal::Empty`] for who creates it.
///
/// The DAG's own start and end date and its catchup do not count; a run whose data interval ends in the future is left out.
pub fn runs(dag: &Dag, request: &Request, now: DateTime<Utc>) -> Result<Vec<DagRunInfo>, Refusal> {
    check(dag, request, now)?;
    let restriction = Restriction { earliest: Some(request.from_date), latest: Some(request.to_date), catchup: true };
    let mut runs = Vec::new();
    let mut last = None;
    while let Some(info) = timetable::next_dagrun_info(&dag.schedule, last, &restriction, now) {
        // Later ones end later still.
        if info.data_interval.is_none_or(|interval| interval.end > now) {
            break;
        }
        if runs.len() == MAX_RUNS {
            return Err(Refusal::TooMany);
        }
        last = info.data_interval;
        runs.push(info);
    }
    if request.run_backwards {
        runs.reverse();
    }
    Ok(runs)
}

fn check(dag: &Dag, request: &Request, now: DateTime<Utc>) -> Result<(), Refusal> {
    dag.may_run(DagRunType::Backfill)?;
    if !timetable::is_periodic(&dag.schedule) {
        return Err(Refusal::NoSchedule(dag.dag_id.to_string()));
    }
    if request.from_date > request.to_date {
        return Err(Refusal::DatesReversed);
    }
    if request.from_date > now {
        return Err(Refusal::Future);
    }
    if request.max_active_runs < 1 {
        return Err(Refusal::NoRunsAtOnce);
    }
    let on_past: Vec<&str> = dag
        .tasks
        .iter()
        .filter(|task| task.depends_on_past || task.wait_for_downstream)
        .map(|task| task.task_id.as_str())
        .collect();
    if on_past.is_empty() {
        return Ok(());
    }
    if request.run_backwards {
        return Err(Refusal::BackwardsButDependsOnPast(on_past.join(", ")));
    }
    if request.reprocess == ReprocessBehavior::None {
        return Err(Refusal::DependsOnPast(on_past.join(", ")));
    }
    Ok(())
}

/// What a backfill does at one of its dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    Create,
    /// The run is cleared, queued and becomes the backfill's.
    Reprocess,
    Skip(SkipReason),
}

/// Why a date got no run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    InFlight,
    AlreadyExists,
    /// The id that the run would have belongs to a run of another date, or the run was deleted at that moment.
    Unknown,
}

impl SkipReason {
    /// Airflow's `exception_reason`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InFlight => "in flight",
            Self::AlreadyExists => "already exists",
            Self::Unknown => "unknown",
        }
    }
}

/// What to do at a date, by the state of the run that it has.
pub fn treatment(existing: Option<DagRunState>, reprocess: ReprocessBehavior) -> Treatment {
    use DagRunState::{Failed, Queued, Running, Success};
    use ReprocessBehavior as R;
    match (existing, reprocess) {
        (None, R::None | R::Failed | R::Completed) => Treatment::Create,
        (Some(Queued | Running), R::None | R::Failed | R::Completed) => Treatment::Skip(SkipReason::InFlight),
        (Some(Success), R::None | R::Failed) | (Some(Failed), R::None) => Treatment::Skip(SkipReason::AlreadyExists),
        (Some(Success), R::Completed) | (Some(Failed), R::Failed | R::Completed) => Treatment::Reprocess,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        asset::AssetExpression,
        dag::{Schedule, Step, Task},
        operator::OperatorKind,
    };

    fn utc(text: &str) -> DateTime<Utc> {
        format!("{text}Z").parse().unwrap()
    }

    fn daily() -> Dag {
        let mut dag = Dag::new("d");
        dag.schedule = Schedule::cron("0 0 * * *", chrono_tz::UTC);
        dag
    }

    fn request(from: &str, to: &str) -> Request {
        Request {
            from_date: utc(from),
            to_date: utc(to),
            run_backwards: false,
            reprocess: ReprocessBehavior::None,
            max_active_runs: 10,
        }
    }

    fn dates(dag: &Dag, request: &Request) -> Result<Vec<String>, Refusal> {
        let runs = runs(dag, request, utc("2024-05-15T10:20:00"))?;
        Ok(runs.iter().map(|run| run.logical_date.unwrap().format("%m-%dT%H:%M").to_string()).collect())
    }

    /// §10, the table: existing run at that logical date × reprocess behaviour.
    #[test]
    fn an_existing_run_is_treated_by_its_state_and_the_behaviour() {
        use DagRunState::{Failed, Queued, Running, Success};
        use SkipReason::{AlreadyExists, InFlight};
        use Treatment::{Create, Reprocess, Skip};
        for (existing, none, failed, completed) in [
            (None, Create, Create, Create),
            (Some(Queued), Skip(InFlight), Skip(InFlight), Skip(InFlight)),
            (Some(Running), Skip(InFlight), Skip(InFlight), Skip(InFlight)),
            (Some(Success), Skip(AlreadyExists), Skip(AlreadyExists), Reprocess),
            (Some(Failed), Skip(AlreadyExists), Reprocess, Reprocess),
        ] {
            assert_eq!(treatment(existing, ReprocessBehavior::None), none, "{existing:?} none");
            assert_eq!(treatment(existing, ReprocessBehavior::Failed), failed, "{existing:?} failed");
            assert_eq!(treatment(existing, ReprocessBehavior::Completed), completed, "{existing:?} completed");
        }
    }

    #[test]
    fn every_tick_between_the_dates_is_a_run_whatever_the_dag_says_of_its_own_dates() {
        let mut dag = daily();
        dag.start_date = Some(utc("2024-05-03T00:00:00"));
        dag.end_date = Some(utc("2024-05-04T00:00:00"));
        dag.catchup = false;
        let expected = ["05-01T00:00", "05-02T00:00", "05-03T00:00", "05-04T00:00", "05-05T00:00"];
        assert_eq!(dates(&dag, &request("2024-05-01T00:00:00", "2024-05-05T00:00:00")).unwrap(), expected);
        let mut backwards = request("2024-05-01T00:00:00", "2024-05-05T00:00:00");
        backwards.run_backwards = true;
        let mut expected = expected;
        expected.reverse();
        assert_eq!(dates(&dag, &backwards).unwrap(), expected);
    }

    #[test]
    fn an_interval_that_ends_in_the_future_is_left_out() {
        let mut dag = daily();
        assert_eq!(
            dates(&dag, &request("2024-05-14T00:00:00", "2024-06-01T00:00:00")).unwrap(),
            ["05-14T00:00", "05-15T00:00"]
        );
        dag.schedule = Schedule::CronInterval { expression: "0 0 * * *".to_owned(), timezone: chrono_tz::UTC };
        assert_eq!(dates(&dag, &request("2024-05-14T00:00:00", "2024-06-01T00:00:00")).unwrap(), ["05-14T00:00"]);
        assert_eq!(dates(&dag, &request("2024-05-15T00:00:00", "2024-06-01T00:00:00")).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let on_past = |wait: bool| {
            let mut dag = daily();
            let mut task = Task::new("t", OperatorKind::Empty, "EmptyOperator");
            (task.depends_on_past, task.wait_for_downstream) = (!wait, wait);
            dag.tasks.push(task);
            dag
        };
        let with_schedule = |schedule| {
            let mut dag = Dag::new("d");
            dag.schedule = schedule;
            dag
        };
        let good = request("2024-05-01T00:00:00", "2024-05-05T00:00:00");
        let backwards = Request { run_backwards: true, reprocess: ReprocessBehavior::Completed, ..good };
        let every_second =
            Schedule::Delta { delta: Step { months: 0, duration: std::time::Duration::from_secs(1) }, interval: None };
        let no_schedule = || Refusal::NoSchedule("d".to_owned());
        for (dag, request, expected) in [
            (with_schedule(Schedule::None), good, no_schedule()),
            (with_schedule(Schedule::Once), good, no_schedule()),
            (with_schedule(Schedule::Continuous), good, no_schedule()),
            (
                with_schedule(Schedule::Assets { expression: AssetExpression::Any(vec![]), timetable: None }),
                good,
                no_schedule(),
            ),
            (daily(), Request { from_date: good.to_date, to_date: good.from_date, ..good }, Refusal::DatesReversed),
            (daily(), request("2024-05-16T00:00:00", "2024-05-17T00:00:00"), Refusal::Future),
            (daily(), Request { max_active_runs: 0, ..good }, Refusal::NoRunsAtOnce),
            (on_past(false), good, Refusal::DependsOnPast("t".to_owned())),
            (on_past(true), good, Refusal::DependsOnPast("t".to_owned())),
            (on_past(false), backwards, Refusal::BackwardsButDependsOnPast("t".to_owned())),
            (with_schedule(every_second), good, Refusal::TooMany),
        ] {
            assert_eq!(dates(&dag, &request), Err(expected));
        }
        let reprocess = Request { reprocess: ReprocessBehavior::Failed, ..good };
        assert_eq!(dates(&on_past(false), &reprocess).unwrap().len(), 5);
    }
}
