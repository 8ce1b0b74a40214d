//! Branches, short circuits and what they skip (semantics §12.2, §12.3).

use serde_json::json;

use super::{super::*, Sim, finished, start, task};
use crate::{
    dag::{Task, TriggerRule},
    spec::{Decision, FailureClass, Outcome},
    state::{DagRunState, TaskInstanceState as S},
};

pub(super) fn decide(sim: &mut Sim, id: &str, decision: Decision) {
    let mut change = sim.change(id, finished(Outcome::Success, start()));
    if let Event::Finished(finished) = &mut change.event {
        finished.decision = Some(decision);
    }
    sim.step(Scope::Changed, &[change]);
}

pub(super) fn follow(ids: &[&str]) -> Decision {
    Decision::Follow(ids.iter().map(|&id| id.to_owned()).collect())
}

/// branch → {a → c, b, c}: c is behind a as well.
fn branching() -> Sim {
    let join = Task { trigger_rule: TriggerRule::NoneFailedMinOneSuccess, ..task("c", &["branch", "a"]) };
    let mut sim = Sim::new(vec![task("branch", &[]), task("a", &["branch"]), task("b", &["branch"]), join]);
    sim.begin();
    sim
}

#[test]
fn what_is_not_chosen_is_skipped_unless_it_is_behind_what_is() {
    let mut sim = branching();
    decide(&mut sim, "branch", follow(&["a"]));
    assert_eq!((sim.state_of("a"), sim.state_of("b"), sim.state_of("c")), (S::Scheduled, S::Skipped, S::None));
    sim.succeed("a");
    assert_eq!(sim.state_of("c"), S::Scheduled);
}

#[test]
fn following_nothing_skips_every_direct_downstream() {
    let mut sim = branching();
    decide(&mut sim, "branch", follow(&[]));
    assert_eq!((sim.state_of("a"), sim.state_of("b"), sim.state_of("c")), (S::Skipped, S::Skipped, S::Skipped));
    assert_eq!(sim.run_state(), DagRunState::Success);
}

#[test]
fn a_choice_that_is_no_task_fails_the_branch_by_name() {
    let mut sim = branching();
    decide(&mut sim, "branch", follow(&["nowhere"]));
    let failure = sim.ti("branch").failure.clone().expect("it failed");
    assert_eq!(failure.class, FailureClass::InvalidArguments);
    assert!(failure.reason.contains("`nowhere`"), "{}", failure.reason);
}

#[test]
fn a_cleared_task_stays_skipped_by_the_branch_that_skipped_it() {
    let mut sim = branching();
    decide(&mut sim, "branch", follow(&["a"]));
    let mut ids = sim.ids();
    let selection = Selection { tasks: Some(vec!["b".into()]), ..Selection::default() };
    let cleared = clear(&sim.state, &selection, true, "admin", sim.now, &mut ids);
    sim.commit(cleared.plan);
    assert_eq!(sim.state_of("b"), S::None);
    sim.begin();
    assert_eq!(sim.state_of("b"), S::Skipped);
}

/// §12.2: only what runs, succeeded or failed is left alone.
#[test]
fn what_is_not_chosen_is_skipped_whatever_it_waits_for() {
    let at = |state| {
        let mut sim = Sim::new(vec![task("branch", &[]), task("b", &["branch"])]);
        sim.begin();
        let attempt = AttemptId(uuid::Uuid::from_u128(77));
        let mut ti = Ti { state, attempt, try_number: 1, end_date: Some(start()), ..sim.ti("b").clone() };
        if state.has_attempt() {
            sim.live.push((Key::unmapped(1), attempt));
        }
        if state == S::Restarting {
            ti.stopping = Some(Stopping { attempt, deadline: stop_deadline(start()) });
        }
        ti.next_retry_at = Some(start() + std::time::Duration::from_secs(60));
        sim.state.put(Key::unmapped(1), ti);
        decide(&mut sim, "branch", follow(&[]));
        (sim.state_of("b"), sim.last.cancels.len())
    };
    for &state in S::ALL {
        let expected = match state {
            S::Running | S::Success | S::Failed | S::Removed => (state, 0),
            S::Scheduled | S::Queued | S::Deferred | S::AwaitingInput => (S::Skipped, 1),
            _ => (S::Skipped, 0),
        };
        assert_eq!(at(state), expected, "{state}");
    }
}

/// `always` was ready before the branch decided.
#[test]
fn a_task_that_is_ready_and_not_chosen_does_not_run() {
    let early = Task { trigger_rule: TriggerRule::Always, ..task("b", &["branch"]) };
    let mut sim = Sim::new(vec![task("branch", &[]), early]);
    sim.begin();
    assert_eq!(sim.state_of("b"), S::Scheduled);
    decide(&mut sim, "branch", follow(&[]));
    assert_eq!((sim.state_of("b"), sim.run_state()), (S::Skipped, DagRunState::Success));
}

/// branch → b ← x: §3.5, every dependency is asked.
#[test]
fn what_a_branch_skipped_stays_so_though_its_rule_says_otherwise() {
    for (x_ends, expected) in [(false, S::Skipped), (true, S::Skipped)] {
        let mut sim = Sim::new(vec![task("branch", &[]), task("x", &[]), task("b", &["branch", "x"])]);
        sim.begin();
        decide(&mut sim, "branch", follow(&[]));
        sim.succeed("x");
        let mut ids = sim.ids();
        let selection = Selection { tasks: Some(vec!["x".into(), "b".into()]), ..Selection::default() };
        let cleared = clear(&sim.state, &selection, true, "admin", sim.now, &mut ids);
        sim.commit(cleared.plan);
        sim.state.run.state = DagRunState::Running;
        if x_ends {
            sim.begin();
            sim.fail("x");
        } else {
            sim.begin();
        }
        assert_eq!(sim.state_of("b"), expected, "x ended: {x_ends}");
    }
}

/// A falsy short circuit with `always` at the end: only ignoring the rules reaches it.
#[test]
fn a_short_circuit_skips_everything_or_only_what_is_direct() {
    for (ignore, expected) in [(true, S::Skipped), (false, S::Scheduled)] {
        let mut stop = task("stop", &[]);
        stop.args.insert("ignore_downstream_trigger_rules".to_owned(), json!(ignore));
        let end = Task { trigger_rule: TriggerRule::AllDone, ..task("end", &["a"]) };
        let mut sim = Sim::new(vec![stop, task("a", &["stop"]), end]);
        sim.begin();
        decide(&mut sim, "stop", Decision::Stop);
        assert_eq!((sim.state_of("a"), sim.state_of("end")), (S::Skipped, expected), "{ignore}");
    }
}

#[test]
fn the_decision_is_kept_in_airflows_words() {
    let mut sim = branching();
    decide(&mut sim, "branch", follow(&["b"]));
    let kept = serde_json::to_value(&sim.ti("branch").skipmixin).expect("plain data");
    assert_eq!(kept, json!({"followed": ["b"]}));
}
