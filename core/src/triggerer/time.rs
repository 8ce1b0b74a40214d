//! Sensors that wait for the clock. They are timers: the next look is the very instant.

use chrono::{DateTime, Days, NaiveTime, Utc};

use super::{BadArguments, Look, WaitingFor, after, sensor::Found};
use crate::{
    operator::{DateTimeArgs, DayOfWeekArgs, OperatorKind, TimeArgs, TimeDeltaArgs},
    yaml::date::localise,
};

/// Whether the clock is where a sensor waits for it.
///
/// # Errors
/// Arguments that do not fit the operator.
pub fn found(look: &Look<'_>) -> Result<Found, BadArguments> {
    Ok(match look.task.operator {
        // The time of day, on the day the sensor began, on the DAG's clock.
        OperatorKind::TimeSensor => {
            let args: TimeArgs = look.arguments()?;
            let day = look.memory.started_at.with_timezone(&look.dag.timezone).date_naive();
            until(look, localise(day.and_time(args.target_time), look.dag.timezone))
        }
        // A while after the end of the data interval, or after `run_after` where there is none.
        OperatorKind::TimeDeltaSensor => {
            let args: TimeDeltaArgs = look.arguments()?;
            let run = &look.spec.run;
            until(look, after(run.data_interval_end.unwrap_or(run.run_after), args.delta))
        }
        OperatorKind::DayOfWeekSensor => day_of_week(look, &look.arguments()?),
        _ => {
            let args: DateTimeArgs = look.arguments()?;
            let day = look.memory.started_at.with_timezone(&look.dag.timezone).date_naive();
            until(look, args.target_time.on(day, look.dag.timezone))
        }
    })
}

fn until(look: &Look<'_>, target: DateTime<Utc>) -> Found {
    // Airflow: `utcnow() > target`; a timer that rings on the instant is not early.
    if look.now >= target {
        return Found::Yes;
    }
    Found::NotYet { waiting_for: WaitingFor::Until { until: target }, at: Some(target) }
}

/// One of the days, on the DAG's clock; or of the logical date, in UTC as Airflow has it. A logical date of another day never
/// becomes one of them: the sensor then waits for its timeout.
fn day_of_week(look: &Look<'_>, args: &DayOfWeekArgs) -> Found {
    if args.use_task_logical_date {
        let is_day = args.week_day.contains(look.date().date_naive());
        return if is_day { Found::Yes } else { until(look, DateTime::<Utc>::MAX_UTC) };
    }
    let today = look.local_day();
    if args.week_day.contains(today) {
        return Found::Yes;
    }
    let days = (1..=7).filter_map(|ahead| today.checked_add_days(Days::new(ahead)));
    let next = days.into_iter().find(|day| args.week_day.contains(*day));
    until(look, next.map_or(DateTime::<Utc>::MAX_UTC, |day| localise(day.and_time(NaiveTime::MIN), look.dag.timezone)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::triggerer::testing::{Scene, at};

    /// When the sensor looks next; `None`: it is time.
    fn target(scene: &Scene, args: Value) -> Option<DateTime<Utc>> {
        match scene.look_with(args, |look| found(look).unwrap()) {
            Found::NotYet { at, .. } => at,
            Found::Yes => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_time_of_day_is_on_the_dags_clock_on_the_day_it_began() {
        // It is 12:00 UTC on the 2nd, 15:00 in Moscow.
        let mut scene = Scene::new(OperatorKind::TimeSensor);
        assert_eq!(target(&scene, json!({"target_time": "11:59"})), None);
        assert_eq!(target(&scene, json!({"target_time": "12:30"})), Some(at("2026-01-02T12:30:00Z")));
        scene.dag.timezone = "Europe/Moscow".parse().unwrap();
        assert_eq!(target(&scene, json!({"target_time": "12:30"})), None);
        assert_eq!(target(&scene, json!({"target_time": "15:30"})), Some(at("2026-01-02T12:30:00Z")));
        // After midnight it is still the day it began.
        scene.now = at("2026-01-03T01:00:00Z");
        assert_eq!(target(&scene, json!({"target_time": "15:30"})), None);
    }

    #[test]
    fn a_delta_counts_from_the_end_of_the_data_interval_or_from_run_after() {
        let mut scene = Scene::new(OperatorKind::TimeDeltaSensor);
        assert_eq!(target(&scene, json!({"delta": 86_400.0})), Some(at("2026-01-03T00:00:00Z")));
        scene.run.data_interval_end = None;
        scene.run.run_after = at("2026-01-02T06:00:00Z");
        assert_eq!(target(&scene, json!({"delta": "1 day"})), Some(at("2026-01-03T06:00:00Z")));
        assert_eq!(target(&scene, json!({"delta": 60})), None);
    }

    #[test]
    fn a_timer_that_rings_on_the_instant_is_not_early() {
        let scene = Scene::new(OperatorKind::DateTimeSensor);
        assert_eq!(target(&scene, json!({"target_time": "2026-01-02T12:00:00Z"})), None);
        assert_eq!(target(&scene, json!({"target_time": "2026-01-02T12:00:01Z"})), Some(at("2026-01-02T12:00:01Z")));
        assert!(scene.look_with(json!({"target_time": "soon"}), |look| found(look).is_err()));
    }

    #[test]
    fn a_day_of_the_week_begins_at_midnight_of_the_dags_zone() {
        // 2 January 2026 is a Friday.
        let mut scene = Scene::new(OperatorKind::DayOfWeekSensor);
        let days = json!({"week_day": ["Sunday", "saturday"]});
        assert_eq!(target(&scene, days.clone()), Some(at("2026-01-03T00:00:00Z")));
        scene.dag.timezone = "Asia/Shanghai".parse().unwrap();
        assert_eq!(target(&scene, days.clone()), Some(at("2026-01-02T16:00:00Z")));
        scene.now = at("2026-01-02T16:00:00Z");
        assert_eq!(target(&scene, days), None);
        // The logical date is a Thursday.
        assert_eq!(target(&scene, json!({"week_day": "thu", "use_task_logical_date": true})), None);
        let never = target(&scene, json!({"week_day": "fri", "use_task_logical_date": true}));
        assert_eq!(never, Some(DateTime::<Utc>::MAX_UTC));
    }
}
