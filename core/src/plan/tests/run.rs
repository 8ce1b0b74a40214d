//! The run's own state: final states, deadlock, fail_fast, marks (semantics §2, §11.4).

use indexmap::IndexMap;
use serde_json::json;

use super::{super::*, Sim, finished, start, task};
use crate::{
    dag::{MapInput, Mapping, MappingKind, Task, TriggerRule},
    operator::OperatorKind,
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

/// What cannot begin fails for good as well, in the plan that finds out.
#[test]
fn fail_fast_hears_of_a_task_that_cannot_even_begin() {
    let unsupported = Task { operator: OperatorKind::Unsupported, ..task("bad", &["first"]) };
    let teardown = Task { is_teardown: true, trigger_rule: TriggerRule::AllDone, ..task("teardown", &["waiting"]) };
    let mut sim = Sim::with(|dag| {
        dag.fail_fast = true;
        dag.tasks =
            vec![task("first", &[]), unsupported, task("running", &[]), task("waiting", &["running"]), teardown];
    });
    sim.begin();
    let started = sim.change("running", Event::Started(Started::default()));
    sim.step(Scope::Changed, &[started]);
    sim.succeed("first");
    let states = ["bad", "running", "waiting", "teardown"].map(|id| sim.state_of(id));
    assert_eq!(states, [S::Failed, S::Failed, S::Skipped, S::Scheduled]);
    assert_eq!((sim.last.cancels.len(), sim.run_state()), (1, R::Running));
}

/// a is capped at one: its retry is due while another element runs.
#[test]
fn a_due_retry_that_may_not_begin_is_no_timer() {
    let mapping = Mapping {
        kind: MappingKind::Foreach,
        inputs: IndexMap::from([("item".to_owned(), MapInput::Literal(json!([1, 2])))]),
    };
    let each = Task { max_active_tis_per_dagrun: Some(1), retries: 1, mapping: Some(mapping), ..task("each", &[]) };
    let mut sim = Sim::new(vec![each]);
    sim.state.remove(Key::unmapped(0));
    for map_index in 0..2 {
        sim.state.put(Key { task: 0, map_index }, Ti::new(AttemptId(uuid::Uuid::nil()), 1));
    }
    sim.begin();
    sim.end_mapped("each", 0, Outcome::Failed);
    assert_eq!(sim.states("each"), [(0, S::UpForRetry), (1, S::Scheduled)]);
    let plan = sim.wait(300);
    assert_eq!((plan.is_empty(), plan.wake_at), (true, None), "only the other element's end can free it");
    sim.end_mapped("each", 1, Outcome::Success);
    assert_eq!(sim.states("each"), [(0, S::Scheduled), (1, S::Success)]);
}

/// b waits for its retry; what it depends on waits for ever.
fn retry_behind_a_deadlock() -> Sim {
    let stuck = Task { trigger_rule: TriggerRule::AllSkipped, ..task("stuck", &["gone"]) };
    let mut sim = Sim::new(vec![task("gone", &[]), stuck, Task { retries: 1, ..task("b", &["stuck"]) }]);
    let removed = Ti { state: S::Removed, end_date: Some(start()), ..sim.ti("gone").clone() };
    sim.state.put(Key::unmapped(0), removed);
    let waits = Ti {
        state: S::UpForRetry,
        try_number: 1,
        end_date: Some(start()),
        next_retry_at: Some(start() + chrono::TimeDelta::seconds(300)),
        ..sim.ti("b").clone()
    };
    sim.state.put(Key::unmapped(2), waits);
    sim
}

/// §2.2: delays are ignored.
#[test]
fn a_retry_that_nothing_would_let_begin_is_no_reason_to_wait() {
    let mut sim = retry_behind_a_deadlock();
    sim.begin();
    assert_eq!((sim.state_of("b"), sim.run_state(), sim.last.wake_at), (S::UpForRetry, R::Failed, None));
}

#[test]
fn a_retry_that_would_begin_but_for_its_delay_is_waited_for() {
    let mut sim = Sim::new(vec![Task { retries: 1, ..task("a", &[]) }]);
    sim.begin();
    sim.fail("a");
    let due = Some(start() + chrono::TimeDelta::seconds(300));
    assert_eq!((sim.run_state(), sim.last.wake_at), (R::Running, due));
}

#[test]
fn a_due_retry_of_a_run_that_waits_for_its_turn_is_no_timer() {
    let mut sim = retry_behind_a_deadlock();
    sim.begin();
    let selection = Selection { tasks: Some(vec!["gone".into()]), ..Selection::default() };
    let mut ids = sim.ids();
    let cleared = clear(&sim.state, &selection, true, "admin", sim.now, &mut ids);
    sim.commit(cleared.plan);
    assert_eq!((sim.run_state(), sim.wait(400).wake_at), (R::Queued, None));
    sim.state.run.state = R::Running;
    sim.begin();
    assert_eq!((sim.state_of("gone"), sim.state_of("b")), (S::Scheduled, S::UpForRetry));
}

/// A clear that means nothing must not lose the timer that no plan has looked at.
#[test]
fn a_due_retry_that_nobody_looked_at_is_still_a_timer() {
    let mut sim = Sim::new(vec![Task { retries: 1, ..task("a", &[]) }]);
    sim.begin();
    sim.fail("a");
    let selection = Selection { only_failed: true, ..Selection::default() };
    let now = start() + chrono::TimeDelta::seconds(400);
    let mut ids = sim.ids();
    let cleared = clear(&sim.state, &selection, true, "admin", now, &mut ids);
    assert_eq!(cleared.plan.wake_at, Some(start() + chrono::TimeDelta::seconds(300)));
}

/// Airflow evaluates every dependency of what is up for retry, too.
#[test]
fn a_retry_is_decided_before_its_time_when_its_upstream_is() {
    let mut sim = Sim::new(vec![task("a", &[]), Task { retries: 1, ..task("b", &["a"]) }]);
    sim.begin();
    sim.succeed("a");
    let selection = Selection { tasks: Some(vec!["a".into()]), ..Selection::default() };
    let mut ids = sim.ids();
    let cleared = clear(&sim.state, &selection, true, "admin", sim.now, &mut ids);
    sim.commit(cleared.plan);
    sim.begin();
    sim.fail("b");
    assert_eq!((sim.state_of("a"), sim.state_of("b")), (S::Scheduled, S::UpForRetry));
    sim.fail("a");
    assert_eq!((sim.state_of("b"), sim.run_state()), (S::UpstreamFailed, R::Failed));
}

#[test]
fn the_run_of_a_paused_dag_does_not_time_out() {
    let mut sim = Sim::with(|dag| {
        dag.tasks = vec![task("a", &[])];
        dag.dagrun_timeout = Some(std::time::Duration::from_secs(30));
    });
    sim.begin();
    sim.state.run.dag_is_paused = true;
    sim.now += chrono::TimeDelta::seconds(60);
    let plan = sim.begin();
    assert_eq!((plan.is_empty(), plan.wake_at), (true, None));
    sim.state.run.dag_is_paused = false;
    sim.begin();
    assert_eq!((sim.state_of("a"), sim.run_state()), (S::Skipped, R::Failed));
}

/// Found by the simulator: the task failed before anybody looked at the clock.
#[test]
fn a_failure_that_is_heard_after_the_run_timed_out_is_fail_fast_all_the_same() {
    let mut sim = Sim::with(|dag| {
        dag.fail_fast = true;
        dag.dagrun_timeout = Some(std::time::Duration::from_secs(30));
        dag.tasks = vec![task("bad", &[]), task("running", &[]), task("waiting", &["running"])];
    });
    sim.begin();
    let started = sim.change("running", Event::Started(Started::default()));
    sim.step(Scope::Changed, &[started]);
    sim.now += chrono::TimeDelta::seconds(60);
    sim.fail("bad");
    assert_eq!((sim.state_of("running"), sim.state_of("waiting")), (S::Failed, S::Skipped));
    assert_eq!(sim.run_state(), R::Failed);
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
