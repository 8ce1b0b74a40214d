//! `TriggerDagRunOperator`: makes a run of another DAG, and may wait for its end (Airflow 3: `operators/trigger_dagrun.py`).

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::{BadArguments, End, Look, Next, SHORTEST_INTERVAL, WaitingFor, after};
use crate::{
    dag::RunRefusal,
    ids::RunId,
    operator::TriggerDagRunArgs,
    spec::FailureClass,
    state::{DagRunState, DagRunType},
    timetable::{check_run_id, run_id_with_suffix},
};

/// The run to make.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub dag_id: String,
    pub run_id: RunId,
    /// `None`: the run has none.
    pub logical_date: Option<DateTime<Utc>>,
    /// The task names no date: any moment close to `logical_date` will do, should another run have that very one.
    pub any_moment: bool,
    pub conf: Value,
    pub when_exists: WhenExists,
    pub fail_when_paused: bool,
}

/// What to do with a run that exists already, under this id or at this logical date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenExists {
    Fail,
    /// It runs again.
    Reset,
    /// The task is skipped.
    Skip,
}

/// Reads the arguments. Without a date the run has that of the moment, with null it has none (Airflow 3: `NOTSET` and `None`). An id that is not given is made of the moment and of the attempt, so that two tasks never share one.
pub fn request(look: &Look<'_>) -> Result<Request, BadArguments> {
    let args: TriggerDagRunArgs = look.arguments()?;
    let day = look.now.with_timezone(&look.dag.timezone).date_naive();
    let logical_date = match &args.logical_date {
        None => Some(look.now),
        Some(date) => date.as_ref().map(|date| date.on(day, look.dag.timezone)),
    };
    let run_id = if let Some(id) = args.trigger_run_id.filter(|id| !id.is_empty()) {
        check_run_id(&id, DagRunType::OperatorTriggered)
            .map_err(|error| BadArguments(format!("`trigger_run_id` is `{id}`: {error}")))?;
        RunId::from(id)
    } else {
        let suffix = look.spec.attempt_id.to_string();
        run_id_with_suffix(DagRunType::OperatorTriggered, logical_date.unwrap_or(look.now), &suffix[..8])
    };
    Ok(Request {
        dag_id: args.trigger_dag_id,
        run_id,
        logical_date,
        any_moment: args.logical_date.is_none(),
        conf: conf(args.conf)?,
        when_exists: match (args.reset_dag_run, args.skip_when_already_exists) {
            (true, _) => WhenExists::Reset,
            (false, true) => WhenExists::Skip,
            (false, false) => WhenExists::Fail,
        },
        fail_when_paused: args.fail_when_dag_is_paused,
    })
}

/// A mapping, its JSON text, or nothing.
fn conf(conf: Value) -> Result<Value, BadArguments> {
    let read = match conf {
        Value::Null => Value::Object(Map::new()),
        Value::String(text) if text.trim().is_empty() => Value::Object(Map::new()),
        Value::String(text) => {
            serde_json::from_str(&text).map_err(|error| BadArguments(format!("`conf` is no JSON: {error}")))?
        }
        other => other,
    };
    if read.is_object() { Ok(read) } else { Err(BadArguments(format!("`conf` must be a mapping, it is {read}"))) }
}

/// Why no run was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    NoDag,
    Paused,
    /// It exists, and the task does not say what to do then.
    Exists,
    /// It exists, and the task wants to be skipped then.
    Skip,
    /// The conf does not fit the DAG's params.
    Conf(String),
    /// The DAG has no such runs.
    NotAllowed(RunRefusal),
}

/// The end of a task whose run could not be made.
pub fn refused(request: &Request, why: &Refused) -> End {
    let dag_id = &request.dag_id;
    let reason = match why {
        Refused::Skip => return End::skipped(),
        Refused::NoDag => format!("there is no DAG `{dag_id}`"),
        Refused::Paused => format!("DAG `{dag_id}` is paused"),
        Refused::Exists => {
            let date =
                request.logical_date.map(|date| format!(", or one with the logical date {},", date.to_rfc3339()));
            format!(
                "DAG `{dag_id}` has a run `{}`{} already; `reset_dag_run: true` runs it again, \
                 `skip_when_already_exists: true` skips this task",
                request.run_id,
                date.unwrap_or_default()
            )
        }
        Refused::NotAllowed(refusal) => refusal.to_string(),
        Refused::Conf(reason) => format!("the conf does not fit the params of DAG `{dag_id}`: {reason}"),
    };
    End::failed(FailureClass::TriggerFailed, reason)
}

/// Whose run is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Triggered<'a> {
    pub dag_id: &'a str,
    pub run_id: &'a str,
    /// `None`: it was deleted.
    pub state: Option<DagRunState>,
}

/// After the run was made, and at each later look: the end, or the wait for it.
pub fn next(look: &Look<'_>, run: Triggered<'_>) -> Result<Next, BadArguments> {
    let args: TriggerDagRunArgs = look.arguments()?;
    let with_names = |end: End| end.with("trigger_run_id", json!(run.run_id)).with("trigger_dag_id", json!(run.dag_id));
    if !args.wait_for_completion {
        return Ok(Next::End(with_names(End::success())));
    }
    let failed = |reason| Ok(Next::End(with_names(End::failed(FailureClass::DependencyFailed, reason))));
    let Some(state) = run.state else {
        return failed(format!("the run `{}` of DAG `{}` was deleted", run.run_id, run.dag_id));
    };
    let within = |states: &[String]| states.iter().any(|known| known == state.as_str());
    if within(&args.failed_states) {
        return failed(format!("the run `{}` of DAG `{}` is {state}", run.run_id, run.dag_id));
    }
    if within(&args.allowed_states) {
        return Ok(Next::End(with_names(End::success())));
    }
    if let Some(end) = look.timed_out() {
        return Ok(Next::End(with_names(end)));
    }
    let until = after(look.now, args.poke_interval.max(SHORTEST_INTERVAL));
    Ok(Next::Defer {
        waiting_for: WaitingFor::DagRun { dag_id: run.dag_id.to_owned(), run_id: run.run_id.to_owned() },
        until: look.times_out_at().map_or(until, |at| until.min(at)),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        operator::OperatorKind,
        spec::Outcome,
        triggerer::testing::{Scene, at},
    };

    fn scene() -> Scene {
        Scene::new(OperatorKind::TriggerDagRun)
    }

    fn with(args: Value) -> Value {
        let mut all = json!({"trigger_dag_id": "other"});
        all.as_object_mut().unwrap().extend(args.as_object().unwrap().clone());
        all
    }

    fn requested(args: Value) -> Result<Request, BadArguments> {
        scene().look_with(with(args), request)
    }

    #[test]
    fn a_run_has_the_ids_date_and_conf_it_is_given() {
        let made = requested(json!({"trigger_run_id": "x1", "logical_date": "2026-01-05T00:00:00Z", "conf": {"a": 1}}))
            .unwrap();
        assert_eq!((made.run_id.as_str(), made.logical_date), ("x1", Some(at("2026-01-05T00:00:00Z"))));
        assert_eq!(made.conf, json!({"a": 1}));
        assert_eq!(requested(json!({"conf": "{\"a\": 1}"})).unwrap().conf, json!({"a": 1}));
        assert!(requested(json!({"conf": [1]})).is_err() && requested(json!({"conf": "no"})).is_err());
        assert!(requested(json!({"trigger_run_id": "scheduled__1"})).is_err());
    }

    #[test]
    fn an_id_that_is_not_given_is_made_of_the_moment_and_the_attempt() {
        let made = requested(json!({})).unwrap();
        assert_eq!(made.run_id.as_str(), "operator_triggered__2026-01-02T12:00:00+00:00_00000000");
        assert_eq!((made.logical_date, made.any_moment), (Some(at("2026-01-02T12:00:00Z")), true));
    }

    #[test]
    fn a_date_that_is_null_makes_a_run_without_one() {
        let made = requested(json!({"logical_date": null})).unwrap();
        assert_eq!((made.logical_date, made.any_moment), (None, false));
        assert_eq!(made.run_id.as_str(), "operator_triggered__2026-01-02T12:00:00+00:00_00000000");
    }

    #[test]
    fn what_exists_is_reset_before_it_is_skipped_before_it_fails() {
        let when = |args| requested(args).unwrap().when_exists;
        assert_eq!(when(json!({})), WhenExists::Fail);
        assert_eq!(when(json!({"skip_when_already_exists": true})), WhenExists::Skip);
        assert_eq!(when(json!({"skip_when_already_exists": true, "reset_dag_run": true})), WhenExists::Reset);
    }

    #[test]
    fn waiting_ends_with_the_state_of_the_run() {
        let next = |args: Value, state| {
            let run = Triggered { dag_id: "other", run_id: "x1", state };
            scene().look_with(with(args), |look| super::next(look, run).unwrap())
        };
        let outcome = |next| match next {
            Next::End(end) => Some(end.outcome),
            _ => None,
        };
        let wait = json!({"wait_for_completion": true});
        assert_eq!(outcome(next(json!({}), Some(DagRunState::Queued))), Some(Outcome::Success));
        assert_eq!(outcome(next(wait.clone(), Some(DagRunState::Running))), None);
        assert_eq!(outcome(next(wait.clone(), Some(DagRunState::Success))), Some(Outcome::Success));
        assert_eq!(outcome(next(wait.clone(), Some(DagRunState::Failed))), Some(Outcome::Failed));
        assert_eq!(outcome(next(wait.clone(), None)), Some(Outcome::Failed));
        let lenient =
            json!({"wait_for_completion": "True", "failed_states": [], "allowed_states": ["success", "failed"]});
        assert_eq!(outcome(next(lenient, Some(DagRunState::Failed))), Some(Outcome::Success));
    }

    #[test]
    fn it_looks_again_at_intervals_and_gives_up_at_its_execution_timeout() {
        let mut scene = scene();
        scene.task.execution_timeout = Some(Duration::from_secs(30));
        let args = with(json!({"wait_for_completion": true, "poke_interval": 0}));
        let run = Triggered { dag_id: "other", run_id: "x1", state: Some(DagRunState::Running) };
        match scene.look_with(args.clone(), |look| next(look, run).unwrap()) {
            Next::Defer { until, .. } => assert_eq!(until, at("2026-01-02T12:00:01Z")),
            other => panic!("{other:?}"),
        }
        scene.now = at("2026-01-02T12:00:30Z");
        match scene.look_with(args, |look| next(look, run).unwrap()) {
            Next::End(end) => assert_eq!(end.failure.unwrap().class, FailureClass::ExecutionTimeout),
            other => panic!("{other:?}"),
        }
    }
}
