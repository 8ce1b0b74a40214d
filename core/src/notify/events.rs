//! Which callbacks a change calls.
//!
//! | transition of an instance | callback |
//! | --- | --- |
//! | begins to run (also when it was over before its start was heard of) | `execute` |
//! | unfinished → success | `success` |
//! | unfinished → failed, whoever ended it | `failure` |
//! | → up_for_retry | `retry` |
//! | has an attempt → skipped, by the task itself | `skipped` |
//!
//! A trigger rule, a branch or a timeout of the run that skips a task calls nothing, nor does `upstream_failed` (Airflow 3:
//! `on_skipped_callback` is for `AirflowSkipException`). Correcting the state of what had ended calls nothing either.

use super::{Cause, Facts, Notice, RunFacts, Subject, TiFacts};
use crate::{
    dag::{Dag, Task},
    ids::TaskId,
    operator::Place,
    plan::{Plan, Run, RunState, Ti, transitions},
    state::{DagRunState, TaskInstanceState as State},
};

/// An instance whose state a plan changes.
#[derive(Clone, Copy, Debug)]
pub struct InstanceChange<'a> {
    pub task: &'a Task,
    pub map_index: i32,
    pub from: State,
    /// As it will be.
    pub ti: &'a Ti,
    /// The plan ends its attempt from our side: it did not end by itself.
    pub fenced: bool,
}

/// The notices of everything a plan changes.
pub fn of_plan(state: &RunState, plan: &Plan) -> Vec<Notice> {
    let run = plan.run.as_ref().unwrap_or(&state.run);
    let changes = transitions(state, plan);
    let mut notices = Vec::new();
    for change in changes.instances.iter().filter(|change| !change.task.callbacks.is_empty()) {
        // A new try that the same plan began and ended.
        let is_new = state.ti(change.key).is_some_and(|before| before.try_number != change.ti.try_number);
        let change = InstanceChange {
            task: change.task,
            map_index: change.key.map_index,
            from: if is_new && change.from.is_finished() { State::None } else { change.from },
            ti: change.ti,
            fenced: plan.cancels.iter().any(|cancel| cancel.key == change.key),
        };
        notices.extend(of_instance(&change, run));
    }
    if let Some((from, _)) = changes.run {
        let kept = state.iter().filter(|(key, _)| !plan.tis.contains_key(key) && !plan.unexpanded.contains(key));
        let written = plan.tis.iter().map(|(key, ti)| (*key, ti));
        let instances = kept.chain(written).map(|(key, ti)| (&state.dag.tasks[key.task].task_id, key.map_index, ti));
        notices.extend(of_run(&state.dag, from, run, instances));
    }
    notices
}

/// The notices of one instance's change, in the order of the file within each cause. `run` as it will be.
pub fn of_instance(change: &InstanceChange<'_>, run: &Run) -> Vec<Notice> {
    if change.task.callbacks.is_empty() {
        return Vec::new();
    }
    let ti = change.ti;
    let subject = || Subject::Instance {
        task_id: change.task.task_id.clone(),
        map_index: change.map_index,
        try_number: ti.try_number,
    };
    let mut notices = Vec::new();
    for cause in causes(change) {
        let rules = change.task.callbacks.iter().enumerate();
        for (rule, callback) in rules.filter(|(_, callback)| Cause::from(callback.on) == cause) {
            let facts = Facts {
                cause,
                of_run: false,
                ti: Some(facts(&change.task.task_id, change.map_index, ti)),
                run: run_facts(run),
                deadline: None,
                log_url: None,
            };
            notices.push(Notice { subject: subject(), rule, action: callback.action.clone(), facts });
        }
    }
    notices
}

/// The notices of a run that ends, with its instances as they will be.
pub fn of_run<'a>(
    dag: &Dag,
    from: DagRunState,
    run: &Run,
    instances: impl Iterator<Item = (&'a TaskId, i32, &'a Ti)>,
) -> Vec<Notice> {
    let cause = match run.state {
        DagRunState::Success => Cause::Success,
        DagRunState::Failed => Cause::Failure,
        DagRunState::Queued | DagRunState::Running => return Vec::new(),
    };
    if from.is_finished() || !dag.callbacks.iter().any(|callback| Cause::from(callback.on) == cause) {
        return Vec::new();
    }
    let ti = last(instances, cause);
    let facts = Facts { cause, of_run: true, ti, run: run_facts(run), deadline: None, log_url: None };
    let rules = dag.callbacks.iter().enumerate().filter(|(_, callback)| Cause::from(callback.on) == cause);
    rules
        .map(|(rule, callback)| Notice {
            subject: Subject::Run,
            rule,
            action: callback.action.clone(),
            facts: facts.clone(),
        })
        .collect()
}

fn causes(change: &InstanceChange<'_>) -> Vec<Cause> {
    let (from, to) = (change.from, change.ti.state);
    let mut causes = Vec::new();
    if begins(change) {
        causes.push(Cause::Execute);
    }
    match to {
        _ if from == to || from.is_finished() => {}
        State::Success => causes.push(Cause::Success),
        State::Failed => causes.push(Cause::Failure),
        State::UpForRetry => causes.push(Cause::Retry),
        State::Skipped if from.has_attempt() && !change.fenced => causes.push(Cause::Skipped),
        _ => {}
    }
    causes
}

/// Whether this is the first word of the try's start. A sensor that is asked again begins again in the same try; the outbox
/// keeps one notice of it.
fn begins(change: &InstanceChange<'_>) -> bool {
    let ti = change.ti;
    if is_under_way(change.from) || change.from.is_finished() {
        return false;
    }
    if is_under_way(ti.state) {
        return true;
    }
    match ti.state {
        // Decided in the plan: it is over as it begins.
        State::Success if change.task.operator.place() == Place::Plan => true,
        State::Success | State::Failed | State::Skipped | State::UpForRetry | State::UpForReschedule => {
            // What we ended before it began has its end for a start, or none.
            let began = ti.start_date.is_some_and(|start| !(change.fenced && ti.end_date == Some(start)));
            change.from.has_attempt() && began
        }
        _ => false,
    }
}

fn is_under_way(state: State) -> bool {
    matches!(state, State::Running | State::Deferred | State::AwaitingInput)
}

/// Airflow's "last task instance" of a run: the one that ended last, of those that succeeded or failed. Of a run that failed it is
/// the last that failed, where one did: who reads that a run failed wants to know why, and Airflow may name a teardown that
/// succeeded after it.
fn last<'a>(instances: impl Iterator<Item = (&'a TaskId, i32, &'a Ti)>, cause: Cause) -> Option<TiFacts> {
    instances
        .filter(|(.., ti)| matches!(ti.state, State::Success | State::Failed))
        .max_by_key(|(task_id, map_index, ti)| {
            let is_wanted = cause == Cause::Failure && ti.state == State::Failed;
            (is_wanted, ti.end_date, *task_id, *map_index)
        })
        .map(|(task_id, map_index, ti)| facts(task_id, map_index, ti))
}

fn facts(task_id: &TaskId, map_index: i32, ti: &Ti) -> TiFacts {
    TiFacts {
        task_id: task_id.clone(),
        map_index,
        attempt_id: ti.attempt,
        try_number: ti.try_number,
        max_tries: ti.max_tries,
        state: ti.state,
        start_date: ti.start_date,
        end_date: ti.end_date,
        hostname: ti.hostname.clone(),
        exit_code: ti.exit_code,
        failure: ti.failure.clone(),
    }
}

fn run_facts(run: &Run) -> RunFacts {
    RunFacts { state: run.state, start_date: run.start_date, end_date: run.end_date }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use uuid::Uuid;

    use super::*;
    use crate::{
        dag::{Callback, CallbackAction, CallbackEvent},
        ids::AttemptId,
        operator::OperatorKind,
        plan::testing::{Sim, start, task},
        spec::{Failure, FailureClass},
    };

    const EVENTS: [CallbackEvent; 5] = [
        CallbackEvent::Execute,
        CallbackEvent::Success,
        CallbackEvent::Failure,
        CallbackEvent::Retry,
        CallbackEvent::Skipped,
    ];

    fn http(url: &str) -> CallbackAction {
        CallbackAction::Http {
            url: url.to_owned(),
            method: "POST".to_owned(),
            json: serde_json::Value::Null,
            headers: indexmap::IndexMap::new(),
        }
    }

    /// A task with one callback for each event.
    fn watched(operator: OperatorKind) -> Task {
        let callbacks = EVENTS.iter().map(|&on| Callback { on, action: http(on.as_str()) }).collect();
        Task { operator, callbacks, ..task("t", &[]) }
    }

    /// An instance in `state`; `began`: it has a start before its end.
    fn ti(state: State, began: bool) -> Ti {
        let mut ti = Ti::new(AttemptId(Uuid::nil()), 1);
        ti.state = state;
        ti.try_number = 1;
        let end = state.is_finished() || state == State::UpForRetry;
        ti.end_date = end.then_some(start());
        ti.start_date = began.then(|| start() - TimeDelta::seconds(5));
        ti
    }

    fn told(operator: OperatorKind, from: State, ti: &Ti, fenced: bool) -> Vec<&'static str> {
        let task = watched(operator);
        let change = InstanceChange { task: &task, map_index: -1, from, ti, fenced };
        let run = Sim::new(vec![]).state.run;
        of_instance(&change, &run).iter().map(|notice| notice.facts.cause.as_str()).collect()
    }

    #[test]
    fn each_transition_calls_what_the_table_says() {
        use State as S;
        // from, to, began, fenced → causes
        let table: &[(S, S, bool, bool, &[&str])] = &[
            (S::Scheduled, S::Running, true, false, &["execute"]),
            (S::Scheduled, S::Deferred, true, false, &["execute"]),
            (S::Scheduled, S::Scheduled, false, false, &[]),
            (S::None, S::Scheduled, false, false, &[]),
            (S::Running, S::Success, true, false, &["success"]),
            (S::Deferred, S::Running, true, false, &[]),
            // Over before its start was heard of.
            (S::Scheduled, S::Success, true, false, &["execute", "success"]),
            (S::Scheduled, S::Failed, true, false, &["execute", "failure"]),
            (S::Scheduled, S::UpForRetry, true, false, &["execute", "retry"]),
            (S::Scheduled, S::Skipped, true, false, &["execute", "skipped"]),
            (S::Running, S::Failed, true, false, &["failure"]),
            (S::Running, S::UpForRetry, true, false, &["retry"]),
            (S::Running, S::Skipped, true, false, &["skipped"]),
            (S::Running, S::UpForReschedule, true, false, &[]),
            // Its node was lost, or never started it.
            (S::Running, S::Failed, true, true, &["failure"]),
            (S::Scheduled, S::UpForRetry, false, true, &["retry"]),
            // Not the task's own doing.
            (S::Running, S::Skipped, true, true, &[]),
            (S::None, S::Skipped, false, false, &[]),
            (S::None, S::UpstreamFailed, false, false, &[]),
            (S::None, S::Failed, false, false, &["failure"]),
            // Corrected by a person, cleared, removed.
            (S::Failed, S::Success, true, false, &[]),
            (S::Success, S::Failed, true, false, &[]),
            (S::Failed, S::None, false, false, &[]),
            (S::Running, S::Restarting, false, true, &[]),
            (S::Restarting, S::None, false, false, &[]),
        ];
        for &(from, to, began, fenced, expected) in table {
            assert_eq!(
                told(OperatorKind::Bash, from, &ti(to, began), fenced),
                expected,
                "{from} → {to}, began {began}, fenced {fenced}"
            );
        }
    }

    #[test]
    fn an_empty_task_with_callbacks_calls_them_though_it_never_leaves_the_plan() {
        assert_eq!(told(OperatorKind::Empty, State::None, &ti(State::Success, true), false), ["execute", "success"]);
    }

    #[test]
    fn what_is_ended_as_it_waits_did_not_begin() {
        let mut waiting = ti(State::Failed, true);
        waiting.start_date = waiting.end_date;
        assert_eq!(told(OperatorKind::Bash, State::Scheduled, &waiting, true), ["failure"]);
    }

    #[test]
    fn a_notice_carries_its_rule_its_try_and_what_was_true() {
        let mut failed = ti(State::Failed, true);
        failed.failure = Some(Failure { class: FailureClass::ExitCode, reason: "exit code 2".into() });
        let mut task = watched(OperatorKind::Bash);
        task.callbacks.push(Callback { on: CallbackEvent::Failure, action: http("again") });
        let change = InstanceChange { task: &task, map_index: 3, from: State::Running, ti: &failed, fenced: false };
        let run = Sim::new(vec![]).state.run;
        let notices = of_instance(&change, &run);
        let rules: Vec<usize> = notices.iter().map(|notice| notice.rule).collect();
        assert_eq!(rules, [2, 5]);
        let subject = Subject::Instance { task_id: "t".into(), map_index: 3, try_number: 1 };
        assert!(notices.iter().all(|notice| notice.subject == subject));
        assert_eq!(notices[0].facts.reason().as_deref(), Some("exit code 2"));
        assert_eq!(notices[1].action, http("again"));
    }

    fn ended(state: DagRunState, from: DagRunState) -> Vec<Notice> {
        let mut dag = Dag::new("d");
        dag.callbacks = vec![
            Callback { on: CallbackEvent::Success, action: http("well") },
            Callback { on: CallbackEvent::Failure, action: http("badly") },
        ];
        let mut run = Sim::new(vec![]).state.run;
        run.state = state;
        let early = ti(State::Success, true);
        let mut late = ti(State::Failed, true);
        late.end_date = Some(start() + TimeDelta::seconds(9));
        let mut skipped = ti(State::Skipped, true);
        skipped.end_date = Some(start() + TimeDelta::seconds(99));
        let ids: [TaskId; 3] = ["a".into(), "b".into(), "c".into()];
        let instances = [(&ids[0], -1, &early), (&ids[1], 4, &late), (&ids[2], -1, &skipped)];
        of_run(&dag, from, &run, instances.into_iter())
    }

    #[test]
    fn a_run_that_ends_calls_its_callbacks_with_its_last_instance() {
        let notices = ended(DagRunState::Failed, DagRunState::Running);
        let [notice] = &notices[..] else { panic!("one notice: {notices:?}") };
        assert_eq!((&notice.subject, notice.rule, &notice.action), (&Subject::Run, 1, &http("badly")));
        let ti = notice.facts.ti.as_ref().expect("an instance ended");
        assert_eq!((ti.task_id.as_str(), ti.map_index), ("b", 4));
        assert_eq!(ended(DagRunState::Success, DagRunState::Queued).len(), 1);
    }

    #[test]
    fn a_failed_run_names_the_instance_that_failed_last() {
        use State as S;
        // Each instance with its end; the cause; who is named.
        type Row<'a> = (&'a [(&'a str, S, i64)], Cause, Option<&'a str>);
        let table: &[Row<'_>] = &[
            (&[("a", S::Failed, 1), ("b", S::Success, 9)], Cause::Failure, Some("a")),
            (&[("a", S::Failed, 1), ("b", S::Failed, 5), ("c", S::Success, 9)], Cause::Failure, Some("b")),
            (&[("a", S::Failed, 1), ("b", S::UpstreamFailed, 9)], Cause::Failure, Some("a")),
            // Nothing failed: the run's timeout, or somebody marked it.
            (&[("a", S::Success, 1), ("b", S::Success, 5), ("c", S::Skipped, 9)], Cause::Failure, Some("b")),
            (&[("a", S::Skipped, 1)], Cause::Failure, None),
            // A failure that the run did not mind.
            (&[("a", S::Failed, 1), ("b", S::Success, 9)], Cause::Success, Some("b")),
            (&[("a", S::Success, 1), ("b", S::Failed, 9)], Cause::Success, Some("b")),
        ];
        for (instances, cause, expected) in table {
            let instances: Vec<(TaskId, Ti)> = instances
                .iter()
                .map(|(id, state, end)| {
                    let ended = Ti { end_date: Some(start() + TimeDelta::seconds(*end)), ..ti(*state, true) };
                    ((*id).into(), ended)
                })
                .collect();
            let named = last(instances.iter().map(|(id, ti)| (id, -1, ti)), *cause);
            assert_eq!(named.as_ref().map(|ti| ti.task_id.as_str()), *expected, "{instances:?}");
        }
    }

    #[test]
    fn a_run_that_goes_on_or_had_ended_calls_nothing() {
        assert!(ended(DagRunState::Running, DagRunState::Queued).is_empty());
        assert!(ended(DagRunState::Queued, DagRunState::Failed).is_empty());
        assert!(ended(DagRunState::Success, DagRunState::Failed).is_empty());
    }
}
