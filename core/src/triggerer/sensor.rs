//! How a sensor waits (Airflow's `BaseSensorOperator`, semantics §12.4): looks at intervals, a timeout from the first start
//! of the try, a soft failure.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{End, Look, Next, SHORTEST_INTERVAL, WaitingFor, after};
use crate::{plan::retry, spec::FailureClass};

/// What a look of a sensor found.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// The condition holds.
    Yes,
    NotYet {
        waiting_for: WaitingFor,
        /// When it will hold, where that is known; otherwise it is looked at again after the interval.
        at: Option<DateTime<Utc>>,
    },
    /// It can never hold: why.
    Failed(String),
    /// What it waits for was skipped.
    Skipped,
}

/// From what was found to what happens. What is found in a look counts before the timeout that passed before it.
pub fn next(look: &Look<'_>, found: Found) -> Next {
    let sensor = look.task.sensor.unwrap_or_default();
    let soft = |end: End| if sensor.soft_fail { End::skipped() } else { end };
    let (waiting_for, at) = match found {
        Found::Yes => return Next::End(End::success()),
        Found::Skipped => return Next::End(End::skipped()),
        Found::Failed(reason) => return Next::End(soft(End::failed(FailureClass::DependencyFailed, reason))),
        Found::NotYet { waiting_for, at } => (waiting_for, at),
    };
    let timeout_at = after(look.memory.started_at, sensor.timeout);
    if timeout_at <= look.now {
        let reason = format!(
            "the sensor waited {} s, its timeout, and the condition does not hold",
            sensor.timeout.as_secs_f64()
        );
        return Next::End(soft(End::failed(FailureClass::SensorTimeout, reason).without_retry()));
    }
    if let Some(end) = look.timed_out() {
        return Next::End(end);
    }
    let until = at.unwrap_or_else(|| after(look.now, interval(look)));
    let until = until.min(timeout_at).min(look.times_out_at().unwrap_or(timeout_at));
    Next::Defer { waiting_for, until }
}

/// The sensor's own interval, but never less than a second.
fn interval(look: &Look<'_>) -> Duration {
    let looks = i32::try_from(look.memory.looks).unwrap_or(i32::MAX);
    retry::poke_interval(look.dag.dag_id.as_str(), look.task, look.spec.run.logical_date, looks).max(SHORTEST_INTERVAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dag::Sensor,
        operator::OperatorKind,
        spec::Outcome,
        triggerer::testing::{Scene, at},
    };

    fn not_yet(at: Option<DateTime<Utc>>) -> Found {
        Found::NotYet { waiting_for: WaitingFor::Until { until: DateTime::<Utc>::MAX_UTC }, at }
    }

    fn until(next: Next) -> DateTime<Utc> {
        match next {
            Next::Defer { until, .. } => until,
            other => panic!("{other:?}"),
        }
    }

    fn ended(next: Next) -> End {
        match next {
            Next::End(end) => end,
            other => panic!("{other:?}"),
        }
    }

    fn scene(sensor: Sensor) -> Scene {
        let mut scene = Scene::new(OperatorKind::ExternalTaskSensor);
        scene.task.sensor = Some(sensor);
        scene
    }

    #[test]
    fn it_looks_again_after_its_interval_and_never_more_often_than_each_second() {
        let scene = scene(Sensor::default());
        assert_eq!(scene.look(|look| until(next(look, not_yet(None)))), at("2026-01-02T12:01:00Z"));
        let hasty = self::scene(Sensor { poke_interval: Duration::ZERO, ..Sensor::default() });
        assert_eq!(hasty.look(|look| until(next(look, not_yet(None)))), at("2026-01-02T12:00:01Z"));
    }

    #[test]
    fn a_known_time_is_the_next_look() {
        let scene = scene(Sensor::default());
        let known = at("2026-01-03T00:00:00Z");
        assert_eq!(scene.look(|look| until(next(look, not_yet(Some(known))))), known);
    }

    #[test]
    fn the_timeout_counts_from_the_first_look_and_fails_without_a_retry() {
        let mut scene = scene(Sensor { timeout: Duration::from_secs(90), ..Sensor::default() });
        scene.now = scene.memory.started_at + Duration::from_secs(60);
        assert_eq!(scene.look(|look| until(next(look, not_yet(None)))), at("2026-01-02T12:01:30Z"));
        scene.now = scene.memory.started_at + Duration::from_secs(90);
        let end = scene.look(|look| ended(next(look, not_yet(None))));
        assert_eq!((end.outcome, end.no_retry), (Outcome::Failed, true));
        assert_eq!(end.failure.unwrap().class, FailureClass::SensorTimeout);
        assert_eq!(scene.look(|look| ended(next(look, Found::Yes))).outcome, Outcome::Success);
    }

    #[test]
    fn soft_fail_skips_at_the_timeout_and_when_what_it_waits_for_failed() {
        let mut scene = scene(Sensor { timeout: Duration::from_secs(1), soft_fail: true, ..Sensor::default() });
        scene.now = scene.memory.started_at + Duration::from_secs(1);
        assert_eq!(scene.look(|look| ended(next(look, not_yet(None)))), End::skipped());
        assert_eq!(scene.look(|look| ended(next(look, Found::Failed("no".into())))), End::skipped());
    }

    #[test]
    fn execution_timeout_ends_a_try_that_may_be_repeated() {
        let mut scene = scene(Sensor::default());
        scene.task.execution_timeout = Some(Duration::from_secs(30));
        assert_eq!(scene.look(|look| until(next(look, not_yet(None)))), at("2026-01-02T12:00:30Z"));
        scene.now = scene.memory.started_at + Duration::from_secs(30);
        let end = scene.look(|look| ended(next(look, not_yet(None))));
        assert_eq!((end.failure.unwrap().class, end.no_retry), (FailureClass::ExecutionTimeout, false));
    }

    #[test]
    fn backoff_grows_with_the_looks_up_to_max_wait() {
        let sensor = Sensor {
            poke_interval: Duration::from_secs(60),
            exponential_backoff: true,
            max_wait: Some(Duration::from_secs(600)),
            ..Sensor::default()
        };
        let mut scene = scene(sensor);
        let mut waits = Vec::new();
        for looks in 1..=8 {
            scene.memory.looks = looks;
            waits.push(scene.look(|look| (until(next(look, not_yet(None))) - look.now).num_seconds()));
        }
        // base·2^(n−2) plus less than as much again.
        for (wait, base) in waits.iter().zip([30, 60, 120, 240]) {
            assert!((base..2 * base).contains(wait), "{waits:?}");
        }
        assert_eq!(waits.last(), Some(&600));
    }
}
