//! The run's own state: final states, deadlock, fail_fast, marks (semantics §2, §11.4).

use super::{super::*, Sim, finished, start, task};
use crate::{
    dag::{Task, TriggerRule},
    spec::Outcome,
    state::{DagRunState as R, TaskInstanceState as S},
};

/// §2.2 ✔.
#[test]
fn a_failure_that_is_handled_by_no_leaf_alone_fails_the_run() {
    let on_failure = Task { trigger_rule: TriggerRule::OneFailed, ..task("onfail", &["a"]) };
    let mut sim = Sim::new(vec![task("a", &[]), on_failure, task("ok", &["a"])]);
    sim.begin();
    sim.fail("a");
    sim.succeed("onfail");
    assert_eq!((sim.state_of("ok"), sim.run_state()), (S::UpstreamFailed, R::Failed));
}

#[test]
fn fail_fast_fails_what_runs_and_skips_what_waits() {
    let mut sim = Sim::with(|dag| {
        dag.fail_fast = true;
        dag.tasks = vec![task("bad", &[]), task("running", &[]), task("waiting", &["running"])];
    });
    sim.begin();
    let started = sim.change("running", Event::Started(Started::default()));
    sim.step(Scope::Changed, &[started]);
    sim.fail("bad");
    assert_eq!((sim.state_of("running"), sim.state_of("waiting")), (S::Failed, S::Skipped));
    assert_eq!((sim.run_state(), sim.last.cancels.len()), (R::Failed, 1));
}

/// Found by the simulator: the new attempt of what no node had was cancelled and then written.
#[test]
fn fail_fast_in_the_plan_that_places_anew_leaves_no_attempt_behind() {
    let mut sim = Sim::with(|dag| {
        dag.fail_fast = true;
        dag.tasks = vec![task("bad", &[]), task("unplaced", &[])];
    });
    sim.begin();
    let lost = sim.change("unplaced", Event::Lost { handed: false, reason: "gone".into() });
    let failed = sim.change("bad", finished(Outcome::Failed, sim.now));
    sim.step(Scope::Changed, &[lost, failed]);
    assert_eq!((sim.last.attempts.len(), sim.last.cancels.len(), sim.run_state()), (0, 0, R::Failed));
}

/// Found by the simulator.
#[test]
fn a_start_that_is_heard_after_the_wait_for_a_person_began_is_stale() {
    let mut sim = Sim::new(vec![task("a", &[])]);
    sim.begin();
    let waits = sim.change("a", Event::AwaitingInput);
    let late = sim.change("a", Event::Started(Started::default()));
    sim.step(Scope::Changed, &[waits, late]);
    assert_eq!((sim.state_of("a"), sim.last.stale), (S::AwaitingInput, 1));
}

#[test]
fn a_capped_task_is_no_deadlock() {
    let capped = Task { max_active_tis_per_dag: Some(1), trigger_rule: TriggerRule::AllSkipped, ..task("b", &["a"]) };
    let mut sim = Sim::new(vec![task("a", &[]), capped]);
    let removed = Ti { state: S::Removed, ..sim.ti("a").clone() };
    sim.state.put(Key::unmapped(0), removed);
    sim.begin();
    assert_eq!((sim.state_of("b"), sim.run_state()), (S::None, R::Running));
}

#[test]
fn a_run_whose_logical_date_is_to_come_waits_for_it() {
    let mut sim = Sim::new(vec![task("a", &[])]);
    let date = start() + chrono::TimeDelta::hours(1);
    sim.state.run.logical_date = Some(date);
    assert_eq!(sim.begin().wake_at, Some(date));
    assert_eq!(sim.state_of("a"), S::None);
    sim.wait(3600);
    assert_eq!(sim.state_of("a"), S::Scheduled);
}

/// §11.4 ✔: a failed, b and c upstream_failed; mark a success → b and c undecided, the run queued.
#[test]
fn marking_a_failure_successful_clears_what_failed_because_of_it() {
    let mut sim = Sim::new(vec![task("a", &[]), task("b", &["a"]), task("c", &["b"])]);
    sim.begin();
    sim.fail("a");
    assert_eq!(sim.run_state(), R::Failed);
    let selection = Selection { tasks: Some(vec!["a".into()]), ..Selection::default() };
    let mut ids = sim.ids();
    let marked = mark_tis(&sim.state, &selection, S::Success, "admin", sim.now, &mut ids);
    assert_eq!(marked.instances, [Key::unmapped(0)]);
    sim.commit(marked.plan);
    assert_eq!((sim.state_of("a"), sim.state_of("b"), sim.state_of("c")), (S::Success, S::None, S::None));
    assert_eq!(sim.run_state(), R::Queued);
    let again = mark_tis(&sim.state, &selection, S::Success, "admin", sim.now, &mut ids);
    assert!(again.instances.is_empty());
}

#[test]
fn marking_a_running_task_fences_it() {
    let mut sim = Sim::new(vec![task("a", &[]), task("b", &["a"])]);
    sim.begin();
    let selection = Selection { tasks: Some(vec!["a".into()]), ..Selection::default() };
    let mut ids = sim.ids();
    let marked = mark_tis(&sim.state, &selection, S::Success, "admin", sim.now, &mut ids);
    assert_eq!(marked.plan.cancels.len(), 1);
    sim.commit(marked.plan);
    sim.begin();
    assert_eq!((sim.state_of("a"), sim.state_of("b")), (S::Success, S::Scheduled));
}

#[test]
fn transitions_name_every_change_of_state() {
    let mut sim = Sim::new(vec![task("a", &[])]);
    sim.begin();
    let before = sim.state.clone();
    let plan = sim.succeed("a").clone();
    let found = transitions(&before, &plan);
    let instances: Vec<(S, S)> = found.instances.iter().map(|change| (change.from, change.ti.state)).collect();
    assert_eq!((instances, found.run), (vec![(S::Scheduled, S::Success)], Some((R::Running, R::Success))));
}
