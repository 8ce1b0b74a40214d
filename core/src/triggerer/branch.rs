//! Operators that decide about what is downstream (semantics §12.2, §12.3). Which instances a decision skips is plan's affair.

use chrono::Days;
use serde_json::{Value, json};

use super::{BadArguments, End, Look, RETURN_VALUE};
use crate::{
    dag::{Dag, TaskIndex},
    operator::{BranchArgs, DateTimeBranchArgs, DayOfWeekBranchArgs, Moment, OperatorKind, ShortCircuitArgs},
    spec::{Decision, FailureClass},
    state::DagRunType,
    timetable::{DataInterval, Restriction, next_dagrun_info},
};

/// The end of an operator that decides at its first look.
///
/// # Errors
/// Arguments that do not fit the operator.
pub fn decide(look: &Look<'_>) -> Result<End, BadArguments> {
    Ok(match look.task.operator {
        OperatorKind::ShortCircuit => short_circuit(look, &look.arguments::<ShortCircuitArgs>()?.condition),
        OperatorKind::LatestOnly => latest_only(look),
        OperatorKind::BranchDayOfWeek => {
            let args: DayOfWeekBranchArgs = look.arguments()?;
            let day = if args.use_task_logical_date {
                // Airflow: the logical date's weekday in UTC, today's on the DAG's clock.
                look.date().date_naive()
            } else {
                look.local_day()
            };
            let is_day = args.week_day.contains(day);
            follow(look, if is_day { args.follow_task_ids_if_true } else { args.follow_task_ids_if_false })
        }
        OperatorKind::BranchDateTime => {
            let args: DateTimeBranchArgs = look.arguments()?;
            let is_between = is_between(look, &args);
            follow(look, if is_between { args.follow_task_ids_if_true } else { args.follow_task_ids_if_false })
        }
        _ => {
            let args: BranchArgs = look.arguments()?;
            follow(look, args.followed().map(str::to_owned).collect())
        }
    })
}

/// The end of a branching task that follows these ids: each must be a task or group of the DAG. As in Airflow the ids are the
/// result, unless something is skipped.
pub(super) fn follow(look: &Look<'_>, ids: Vec<String>) -> End {
    let dag = look.dag;
    let unknown: Vec<&str> = ids
        .iter()
        .map(String::as_str)
        .filter(|id| dag.index_of(id).is_none() && !dag.task_groups.contains_key(*id))
        .collect();
    if !unknown.is_empty() {
        return End::failed(
            FailureClass::InvalidArguments,
            format!("the branch follows `{}`, and the DAG has no such task or task group", unknown.join("`, `")),
        );
    }
    let skips = dag.index_of(look.task.task_id.as_str()).is_some_and(|task| skips_some(dag, task, &ids));
    let end = End::success().deciding(Decision::Follow(ids.clone()));
    if skips { end } else { end.with(RETURN_VALUE, json!(ids)) }
}

/// Whether a direct downstream is neither followed nor downstream of what is followed.
fn skips_some(dag: &Dag, task: TaskIndex, ids: &[String]) -> bool {
    let followed = |index: TaskIndex| {
        let task = &dag.tasks[index];
        ids.iter().any(|id| *id == task.task_id.as_str() || is_in_group(dag, task.task_group.as_deref(), id))
    };
    dag.downstream(task)
        .any(|next| !followed(next) && !dag.all_upstream(next).into_iter().any(|up| up != task && followed(up)))
}

/// Whether `group` is `id` or inside it.
pub(super) fn is_in_group(dag: &Dag, group: Option<&str>, id: &str) -> bool {
    let mut at = group;
    while let Some(name) = at {
        if name == id {
            return true;
        }
        at = dag.task_groups.get(name).and_then(|group| group.parent.as_deref());
    }
    false
}

/// `ShortCircuitOperator` over a template: falsy stops what is downstream, and is the result where nothing is.
fn short_circuit(look: &Look<'_>, condition: &Value) -> End {
    let has_downstream =
        look.dag.index_of(look.task.task_id.as_str()).is_some_and(|task| look.dag.downstream(task).next().is_some());
    if is_truthy(condition) || !has_downstream {
        return End::success().with(RETURN_VALUE, condition.clone());
    }
    End::success().deciding(Decision::Stop)
}

/// Python's truth of a value, and of rendered text: nothing, `0` and the words for no are false, in any case.
pub fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => {
            !["", "false", "0", "no", "none", "null", "off"].contains(&text.trim().to_lowercase().as_str())
        }
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

/// `LatestOnlyOperator`: runs made by hand proceed; a scheduled one does while the data interval after its own is not over, or
/// where intervals have no length, or nothing comes after it.
fn is_latest(look: &Look<'_>) -> bool {
    let run = &look.spec.run;
    if matches!(run.run_type, DagRunType::Manual | DagRunType::OperatorTriggered) {
        return true;
    }
    let date = look.date();
    let current =
        DataInterval { start: run.data_interval_start.unwrap_or(date), end: run.data_interval_end.unwrap_or(date) };
    let anything = Restriction { earliest: None, latest: None, catchup: true };
    let next = next_dagrun_info(&look.dag.schedule, Some(current), &anything, look.now);
    let Some(window) = next.and_then(|next| next.data_interval) else { return true };
    window.start == window.end || (window.start < look.now && look.now <= window.end)
}

/// The end of `LatestOnlyOperator`: everything downstream, or nothing.
fn latest_only(look: &Look<'_>) -> End {
    let direct: Vec<String> = look.dag.index_of(look.task.task_id.as_str()).map_or_else(Vec::new, |task| {
        look.dag.downstream(task).map(|next| look.dag.tasks[next].task_id.to_string()).collect()
    });
    follow(look, if is_latest(look) { direct } else { Vec::new() })
}

/// Whether now (or the logical date) is within the bounds, both inclusive. Times of day are those of that day; an upper one before
/// the lower is on the next. Airflow takes the day in UTC and reads the time on the DAG's clock.
fn is_between(look: &Look<'_>, args: &DateTimeBranchArgs) -> bool {
    let now = if args.use_task_logical_date { look.date() } else { look.now };
    let instant = |bound: &Moment| bound.on(now.date_naive(), look.dag.timezone);
    let moves = [&args.target_lower, &args.target_upper].into_iter().flatten().any(Moment::is_time_of_day);
    let lower = args.target_lower.as_ref().map(instant);
    let mut upper = args.target_upper.as_ref().map(instant);
    if moves && upper.is_some() && upper < lower {
        upper = upper.and_then(|upper| upper.checked_add_days(Days::new(1)));
    }
    upper.is_none_or(|upper| upper >= now) && lower.is_none_or(|lower| lower <= now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::Tz;

    use crate::{
        dag::{RunImmediately, Schedule, Task},
        spec::Outcome,
        triggerer::testing::{Scene, at},
    };

    /// `t` with the downstreams `a`, `b` and, behind both, `join`.
    fn scene() -> Scene {
        let mut scene = Scene::new(OperatorKind::Branch);
        let task = |id: &str, upstream: &[&str]| {
            let mut task = Task::new(id, OperatorKind::Empty, "x.EmptyOperator");
            task.upstream = upstream.iter().map(|id| (*id).into()).collect();
            task
        };
        scene.dag.tasks =
            vec![scene.task.clone(), task("a", &["t"]), task("b", &["t"]), task("join", &["a", "b", "t"])];
        scene
    }

    /// The end with these arguments.
    fn decided(scene: &Scene, args: Value) -> End {
        scene.look_with(args, |look| decide(look).unwrap())
    }

    #[test]
    fn a_branch_follows_the_ids_its_template_renders_to() {
        let scene = scene();
        for (condition, ids) in [
            (json!("a"), vec!["a"]),
            (json!(" a , b ,"), vec!["a", "b"]),
            (json!(["b"]), vec!["b"]),
            (json!(""), vec![]),
        ] {
            let expected = Decision::Follow(ids.into_iter().map(str::to_owned).collect());
            assert_eq!(decided(&scene, json!({"condition": condition})).decision, Some(expected), "{condition}");
        }
        assert!(scene.look_with(json!({"condition": 3}), |look| decide(look).is_err()));
    }

    #[test]
    fn the_ids_are_the_result_unless_something_is_skipped() {
        let scene = scene();
        let end = |ids: &[&str]| scene.look(|look| follow(look, ids.iter().map(ToString::to_string).collect()));
        let skipping = end(&["a"]);
        assert_eq!(skipping.decision, Some(Decision::Follow(vec!["a".into()])));
        assert!(skipping.xcoms.is_empty());
        assert_eq!(end(&["a", "b"]).xcoms, [("return_value".to_owned(), json!(["a", "b"]))]);
        assert!(end(&[]).xcoms.is_empty());
    }

    #[test]
    fn a_branch_to_a_task_that_does_not_exist_fails_naming_it() {
        let end = scene().look(|look| follow(look, vec!["a".into(), "nowhere".into()]));
        assert_eq!(end.outcome, Outcome::Failed);
        assert!(end.failure.unwrap().reason.contains("`nowhere`"));
    }

    #[test]
    fn truth_is_pythons_and_that_of_words() {
        for value in [
            json!(null),
            json!(false),
            json!(0),
            json!(0.0),
            json!(""),
            json!([]),
            json!({}),
            json!("False"),
            json!("no"),
            json!(" none "),
        ] {
            assert!(!is_truthy(&value), "{value}");
        }
        for value in [json!(true), json!(1), json!("x"), json!([0]), json!({"a": 0}), json!("True"), json!("yes")] {
            assert!(is_truthy(&value), "{value}");
        }
    }

    #[test]
    fn a_falsy_short_circuit_stops_and_has_no_result() {
        let scene = scene();
        let stopped = scene.look(|look| short_circuit(look, &json!("False")));
        assert_eq!((stopped.decision, stopped.xcoms), (Some(Decision::Stop), vec![]));
        let open = scene.look(|look| short_circuit(look, &json!("True")));
        assert_eq!((open.decision, open.xcoms), (None, vec![("return_value".to_owned(), json!("True"))]));
    }

    #[test]
    fn a_scheduled_run_is_the_latest_until_the_interval_after_it_ended() {
        let mut scene = scene();
        scene.dag.schedule = Schedule::CronInterval { expression: "0 0 * * *".into(), timezone: Tz::UTC };
        // The run of the 1st; its next interval is the 2nd to the 3rd.
        for (now, latest) in
            [("2026-01-02T00:00:01Z", true), ("2026-01-03T00:00:00Z", true), ("2026-01-03T00:00:01Z", false)]
        {
            scene.now = at(now);
            assert_eq!(scene.look(is_latest), latest, "{now}");
        }
        scene.run.run_type = DagRunType::Manual;
        assert!(scene.look(is_latest));
    }

    #[test]
    fn points_in_time_and_runs_without_a_next_count_as_the_latest() {
        let mut scene = scene();
        scene.now = at("2027-01-01T00:00:00Z");
        assert!(scene.look(is_latest), "no schedule");
        let expressions = vec!["0 0 * * *".into()];
        scene.dag.schedule = Schedule::Cron {
            expressions,
            timezone: Tz::UTC,
            interval: None,
            run_immediately: RunImmediately::default(),
        };
        scene.run.data_interval_end = scene.run.data_interval_start;
        assert!(scene.look(is_latest), "zero-length intervals");
    }

    #[test]
    fn latest_only_follows_everything_or_nothing() {
        let mut scene = scene();
        let decision = scene.look(latest_only).decision;
        assert_eq!(decision, Some(Decision::Follow(vec!["a".into(), "b".into(), "join".into()])));
        scene.dag.schedule = Schedule::CronInterval { expression: "0 0 * * *".into(), timezone: Tz::UTC };
        scene.now = at("2026-02-01T00:00:00Z");
        assert_eq!(scene.look(latest_only).decision, Some(Decision::Follow(vec![])));
    }

    /// What a two-way branch follows.
    fn way(scene: &Scene, args: Value) -> bool {
        let mut all = json!({"follow_task_ids_if_true": "a", "follow_task_ids_if_false": ["b"]});
        all.as_object_mut().unwrap().extend(args.as_object().unwrap().clone());
        decided(scene, all).decision == Some(Decision::Follow(vec!["a".into()]))
    }

    #[test]
    fn a_day_is_that_of_the_dags_zone_or_of_the_logical_date_in_utc() {
        // Friday noon in UTC, Saturday in Kiritimati; the logical date is a Thursday.
        let mut scene = scene();
        scene.task.operator = OperatorKind::BranchDayOfWeek;
        assert!(way(&scene, json!({"week_day": "FRIDAY"})));
        scene.dag.timezone = "Pacific/Kiritimati".parse().unwrap();
        assert!(way(&scene, json!({"week_day": ["Saturday", "sun"]})));
        assert!(!way(&scene, json!({"week_day": "Friday"})));
        assert!(way(&scene, json!({"week_day": "thursday", "use_task_logical_date": true})));
    }

    #[test]
    fn bounds_are_inclusive_and_an_upper_time_before_the_lower_is_on_the_next_day() {
        let mut scene = scene();
        scene.task.operator = OperatorKind::BranchDateTime;
        let table = [
            (json!({"target_lower": "11:00", "target_upper": "13:00"}), true),
            (json!({"target_lower": "12:00", "target_upper": "12:00"}), true),
            (json!({"target_lower": "12:00:01", "target_upper": "13:00"}), false),
            (json!({"target_upper": "11:59:59"}), false),
            (json!({"target_lower": "13:00"}), false),
            (json!({"target_lower": "11:00", "target_upper": "02:00"}), true),
            (json!({"target_lower": "2026-01-01T00:00:00Z", "target_upper": "2026-01-02T00:00:00Z"}), false),
            (json!({"target_lower": "2026-01-01T00:00:00Z"}), true),
            (json!({"target_lower": "2026-01-01", "target_upper": "2026-01-01", "use_task_logical_date": true}), true),
        ];
        for (args, expected) in table {
            assert_eq!(way(&scene, args.clone()), expected, "{args}");
        }
    }
}
