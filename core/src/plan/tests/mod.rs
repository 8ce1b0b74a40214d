//! Claims about `plan`, on small DAGs; the tables of Airflow's semantics one file each.

mod branch;
mod mapping;
mod past;
mod policy;
mod run;
mod sensor;
mod setup;
mod tables;

use std::time::Duration;

use proptest::prelude::*;

use super::{
    testing::{Sim, finished, start, task},
    *,
};
use crate::{
    dag::TriggerRule,
    spec::{FailureClass, Outcome},
    state::TaskInstanceState as S,
};

fn empty(id: &str, upstream: &[&str]) -> crate::dag::Task {
    crate::dag::Task { operator: crate::operator::OperatorKind::Empty, ..task(id, upstream) }
}

fn chain() -> Sim {
    let mut sim = Sim::new(vec![task("a", &[]), task("b", &["a"])]);
    sim.begin();
    sim
}

#[test]
fn roots_are_ready_at_once_and_the_rest_waits() {
    let sim = chain();
    assert_eq!((sim.state_of("a"), sim.state_of("b")), (S::Scheduled, S::None));
    assert_eq!(sim.ti("a").try_number, 1);
    assert_eq!(sim.ti("a").scheduled_dttm, Some(start()));
}

#[test]
fn the_plan_that_ends_a_task_readies_its_downstream() {
    let mut sim = chain();
    sim.succeed("a");
    assert_eq!((sim.state_of("a"), sim.state_of("b")), (S::Success, S::Scheduled));
    sim.succeed("b");
    assert_eq!(sim.run_state(), DagRunState::Success);
    assert_eq!(sim.state.run.end_date, Some(start()));
}

#[test]
fn empty_tasks_never_leave_the_scheduler() {
    let tasks = vec![empty("start", &[]), empty("x", &["start"]), empty("y", &["start"]), empty("end", &["x", "y"])];
    let mut sim = Sim::new(tasks);
    let plan = sim.begin();
    assert!(plan.attempts.is_empty());
    assert_eq!(sim.run_state(), DagRunState::Success);
    assert_eq!(sim.ti("end").try_number, 1);
    assert_eq!(sim.ti("end").queued_dttm, None);
}

#[test]
fn a_run_without_instances_succeeds() {
    let mut sim = Sim::new(vec![]);
    sim.begin();
    assert_eq!(sim.run_state(), DagRunState::Success);
}

#[test]
fn a_failure_reaches_the_leaves_and_fails_the_run() {
    let mut sim = Sim::new(vec![task("a", &[]), task("b", &["a"]), task("c", &["b"])]);
    sim.begin();
    sim.fail("a");
    assert_eq!((sim.state_of("b"), sim.state_of("c")), (S::UpstreamFailed, S::UpstreamFailed));
    assert_eq!(sim.run_state(), DagRunState::Failed);
    assert_eq!(sim.ti("a").failure.as_ref().map(|f| f.class), Some(FailureClass::ExitCode));
}

#[test]
fn only_the_leaves_decide_the_run() {
    let mut handler = task("handler", &["a"]);
    handler.trigger_rule = TriggerRule::AllDone;
    let mut sim = Sim::new(vec![task("a", &[]), handler]);
    sim.begin();
    sim.fail("a");
    sim.succeed("handler");
    assert_eq!(sim.run_state(), DagRunState::Success);
}

#[test]
fn a_retry_waits_its_delay_and_is_a_new_attempt_with_the_old_try_archived() {
    let mut a = task("a", &[]);
    a.retries = 1;
    a.retry_delay = Duration::from_secs(60);
    let mut sim = Sim::new(vec![a]);
    sim.begin();
    let first = sim.attempt("a");
    let wake_at = sim.fail("a").wake_at;
    assert_eq!(sim.state_of("a"), S::UpForRetry);
    assert_eq!(wake_at, Some(start() + Duration::from_secs(60)));
    assert!(sim.wait(59).is_empty());
    assert_eq!(sim.wait(1).archive, [Key::unmapped(0)]);
    assert_eq!(sim.state_of("a"), S::Scheduled);
    assert_eq!(sim.last.forget_xcoms, [Key::unmapped(0)]);
    assert_ne!(sim.attempt("a"), first);
    assert_eq!(sim.ti("a").try_number, 2);
    sim.fail("a");
    assert_eq!(sim.run_state(), DagRunState::Failed);
}

#[test]
fn a_retry_without_delay_is_planned_after_the_failed_try_was_written() {
    let mut a = task("a", &[]);
    a.retries = 1;
    a.retry_delay = Duration::ZERO;
    let mut sim = Sim::new(vec![a]);
    sim.begin();
    let wake_at = sim.fail("a").wake_at;
    assert_eq!((sim.state_of("a"), wake_at), (S::UpForRetry, Some(start())));
    assert_eq!(sim.wait(0).archive, [Key::unmapped(0)]);
    assert_eq!(sim.state_of("a"), S::Scheduled);
}

#[test]
fn a_task_may_refuse_its_retries() {
    let mut a = task("a", &[]);
    a.retries = 3;
    let mut sim = Sim::new(vec![a]);
    sim.begin();
    let mut change = sim.change("a", finished(Outcome::Failed, start()));
    if let Event::Finished(finished) = &mut change.event {
        finished.no_retry = true;
    }
    sim.step(Scope::Changed, &[change]);
    assert_eq!(sim.state_of("a"), S::Failed);
}

#[test]
fn words_of_a_fenced_attempt_change_nothing() {
    let mut sim = chain();
    let late = sim.change("a", finished(Outcome::Failed, start()));
    sim.succeed("a");
    let plan = sim.step(Scope::Changed, &[late]);
    assert_eq!((plan.stale, plan.is_empty()), (1, true));
    assert_eq!(sim.state_of("a"), S::Success);
}

#[test]
fn the_same_end_reported_twice_counts_once() {
    let mut sim = chain();
    let end = sim.change("a", finished(Outcome::Success, start()));
    let plan = sim.step(Scope::Changed, &[end.clone(), end]);
    assert_eq!((plan.stale, plan.attempts.len()), (1, 1));
}

#[test]
fn a_finish_beats_the_loss_of_its_node() {
    let mut sim = chain();
    let lost = sim.change("a", Event::Lost { handed: true, reason: "node n1 is lost".into() });
    let end = sim.change("a", finished(Outcome::Success, start()));
    sim.step(Scope::Changed, &[lost, end]);
    assert_eq!(sim.state_of("a"), S::Success);
}

#[test]
fn a_loss_before_the_hand_out_costs_no_try() {
    let mut sim = chain();
    let old = sim.attempt("a");
    let lost = sim.change("a", Event::Lost { handed: false, reason: String::new() });
    sim.step(Scope::Changed, &[lost]);
    assert_eq!((sim.state_of("a"), sim.ti("a").try_number), (S::Scheduled, 1));
    assert_ne!(sim.attempt("a"), old);
}

#[test]
fn a_loss_after_the_hand_out_costs_a_try_and_is_fenced() {
    let mut sim = chain();
    let lost = sim.change("a", Event::Lost { handed: true, reason: "node n1 is lost".into() });
    sim.step(Scope::Changed, &[lost]);
    assert_eq!(sim.last.cancels.len(), 1);
    assert_eq!(sim.state_of("a"), S::Failed);
    assert_eq!(sim.ti("a").failure.as_ref().map(|failure| failure.class), Some(FailureClass::NodeLost));
}

#[test]
fn a_start_and_an_end_show_the_node_and_the_times() {
    let mut sim = chain();
    let at = Some(start());
    let started = Started { queued_dttm: at, at, hostname: "n2".into(), pid: Some(1), execution: None };
    let change = sim.change("a", Event::Started(started));
    sim.step(Scope::Changed, &[change]);
    assert_eq!((sim.state_of("a"), sim.ti("a").hostname.as_str()), (S::Running, "n2"));
    sim.now += Duration::from_secs(5);
    sim.succeed("a");
    assert_eq!((sim.ti("a").start_date, sim.ti("a").end_date), (at, Some(sim.now)));
}

#[test]
fn an_end_told_with_a_fast_clock_is_never_in_the_future() {
    let mut sim = chain();
    let change = sim.change("a", finished(Outcome::Success, start() + Duration::from_secs(3600)));
    sim.step(Scope::Changed, &[change]);
    assert!(sim.ti("a").end_date >= sim.ti("a").start_date);
}

#[test]
fn dagrun_timeout_skips_what_is_unfinished_and_fences_what_runs() {
    let mut sim = Sim::with(|dag| {
        dag.tasks = vec![task("a", &[]), task("b", &["a"])];
        dag.dagrun_timeout = Some(Duration::from_secs(30));
    });
    assert_eq!(sim.begin().wake_at, Some(start() + Duration::from_secs(30)));
    sim.wait(30);
    assert_eq!((sim.state_of("a"), sim.state_of("b"), sim.run_state()), (S::Skipped, S::Skipped, DagRunState::Failed));
    assert_eq!(sim.last.cancels.len(), 1);
}

#[test]
fn a_paused_dag_ends_its_running_tasks_and_begins_none() {
    let mut sim = chain();
    sim.state.run.dag_is_paused = true;
    sim.succeed("a");
    assert_eq!((sim.state_of("a"), sim.state_of("b")), (S::Success, S::None));
    sim.state.run.dag_is_paused = false;
    sim.begin();
    assert_eq!(sim.state_of("b"), S::Scheduled);
}

#[test]
fn a_rule_that_nothing_can_meet_is_a_deadlock() {
    let mut b = task("b", &["a"]);
    b.trigger_rule = TriggerRule::AllSkipped;
    let mut sim = Sim::new(vec![task("a", &[]), b]);
    let removed = Ti { state: S::Removed, ..sim.ti("a").clone() };
    sim.state.put(Key::unmapped(0), removed);
    sim.begin();
    assert_eq!((sim.state_of("b"), sim.run_state()), (S::None, DagRunState::Failed));
}

fn clear_all(sim: &mut Sim, selection: &Selection) -> Cleared {
    let mut ids = sim.ids();
    let cleared = clear(&sim.state, selection, true, "admin", sim.now, &mut ids);
    sim.commit(cleared.plan.clone());
    cleared
}

#[test]
fn clearing_grants_the_tries_anew_and_requeues_the_run() {
    let mut b = task("b", &["a"]);
    b.retries = 2;
    let mut sim = Sim::new(vec![task("a", &[]), b]);
    sim.begin();
    sim.succeed("a");
    let change = sim.change("b", finished(Outcome::Failed, start()));
    let Event::Finished(mut end) = change.event.clone() else { unreachable!() };
    end.no_retry = true;
    sim.step(Scope::Changed, &[Change { event: Event::Finished(end), ..change }]);
    let selection = Selection { tasks: Some(vec!["b".into()]), only_failed: true, ..Selection::default() };
    let cleared = clear_all(&mut sim, &selection);
    assert_eq!((cleared.instances, cleared.plan.archive), (vec![Key::unmapped(1)], vec![Key::unmapped(1)]));
    // b failed at try 1 with retries 2: cleared, it is try 1 of 3, and runs as try 2 (semantics §11.2).
    assert_eq!((sim.ti("b").try_number, sim.ti("b").max_tries), (1, 3));
    assert_eq!((sim.run_state(), sim.state.run.start_date), (DagRunState::Queued, None));
    sim.state.run.state = DagRunState::Running;
    sim.begin();
    assert_eq!((sim.state_of("a"), sim.state_of("b"), sim.ti("b").try_number), (S::Success, S::Scheduled, 2));
    assert!(sim.last.archive.is_empty(), "archived once, when it was cleared");
}

#[test]
fn a_cleared_running_task_starts_anew_only_after_its_stop() {
    let mut sim = chain();
    let old = sim.attempt("a");
    clear_all(&mut sim, &Selection { tasks: Some(vec!["a".into()]), ..Selection::default() });
    assert_eq!(sim.state_of("a"), S::Restarting);
    assert!(sim.last.cancels[0].wanted);
    sim.begin();
    assert_eq!(sim.state_of("a"), S::Restarting);
    sim.step(
        Scope::Changed,
        &[Change { task_id: "a".into(), map_index: UNMAPPED, attempt: old, event: Event::Stopped }],
    );
    assert_eq!((sim.state_of("a"), sim.ti("a").try_number), (S::Scheduled, 2));
}

#[test]
fn a_stop_that_is_never_confirmed_ends_with_its_deadline() {
    let mut sim = chain();
    clear_all(&mut sim, &Selection { tasks: Some(vec!["a".into()]), ..Selection::default() });
    let wake_at = sim.begin().wake_at.expect("the deadline wakes the run");
    sim.wait((wake_at - start()).num_seconds());
    assert_eq!(sim.state_of("a"), S::Scheduled);
}

#[test]
fn clearing_nothing_changes_nothing() {
    let mut sim = chain();
    let cleared = clear_all(&mut sim, &Selection { only_failed: true, ..Selection::default() });
    assert!(cleared.instances.is_empty() && cleared.plan.is_empty());
}

#[test]
fn a_selection_follows_the_graph() {
    let sim = Sim::new(vec![task("a", &[]), task("b", &["a"]), task("c", &["b"]), task("d", &[])]);
    let with = |up, down| Selection {
        tasks: Some(vec!["b".into()]),
        include_upstream: up,
        include_downstream: down,
        ..Selection::default()
    };
    assert_eq!(select(&sim.state, &with(false, true)), [1, 2].map(Key::unmapped));
    assert_eq!(select(&sim.state, &with(true, false)), [0, 1].map(Key::unmapped));
}

#[test]
fn marking_a_run_ends_what_runs_and_skips_the_rest() {
    let mut sim = chain();
    let change = sim.change("a", Event::Started(Started::default()));
    sim.step(Scope::Changed, &[change]);
    let mut ids = sim.ids();
    let plan = mark_run(&sim.state, DagRunState::Success, "admin", sim.now, &mut ids);
    sim.commit(plan);
    assert_eq!((sim.state_of("a"), sim.state_of("b"), sim.run_state()), (S::Success, S::Skipped, DagRunState::Success));
    assert_eq!(sim.last.cancels.len(), 1, "the node is told to stop it");
}

const RULES: [TriggerRule; 8] = [
    TriggerRule::AllSuccess,
    TriggerRule::AllDone,
    TriggerRule::OneSuccess,
    TriggerRule::OneFailed,
    TriggerRule::OneDone,
    TriggerRule::NoneFailed,
    TriggerRule::NoneSkipped,
    TriggerRule::Always,
];

proptest! {
    /// Any DAG, any order of ends, losses, stale words, clears and waits: the attempt rows stay those of the instances, every
    /// incremental plan equals one from nothing (both checked in `Sim`), and the run ends.
    #[test]
    fn every_run_ends_whatever_happens(
        shape in proptest::collection::vec((any::<u8>(), 0..RULES.len(), 0..3u32, any::<bool>()), 1..9),
        steps in proptest::collection::vec((any::<u8>(), 0..7u8), 0..60),
    ) {
        let tasks = shape.iter().enumerate().map(|(n, (edges, rule, retries, trivial))| {
            let upstream: Vec<String> = (0..n).filter(|k| k < &8 && edges >> k & 1 == 1).map(|k| format!("t{k}")).collect();
            let names: Vec<&str> = upstream.iter().map(String::as_str).collect();
            let mut task = if *trivial && n % 3 == 0 { empty(&format!("t{n}"), &names) } else { task(&format!("t{n}"), &names) };
            task.trigger_rule = RULES[*rule];
            task.retries = *retries;
            task
        }).collect();
        let mut sim = Sim::new(tasks);
        sim.begin();
        for (pick, what) in steps {
            let Some(&(index, _)) = (!sim.live.is_empty()).then(|| &sim.live[usize::from(pick) % sim.live.len()]) else {
                sim.wait(400);
                continue;
            };
            let id = sim.state.dag.tasks[index.task].task_id.to_string();
            match what {
                0 | 1 => { sim.succeed(&id); }
                2 => { sim.fail(&id); }
                3 => { sim.end(&id, Outcome::Skipped); }
                4 => {
                    let lost = sim.change(&id, Event::Lost { handed: pick % 2 == 0, reason: "gone".into() });
                    sim.step(Scope::Changed, std::slice::from_ref(&lost));
                    sim.step(Scope::Changed, &[lost]);
                }
                5 => {
                    let selection = Selection { tasks: Some(vec![id.as_str().into()]), include_downstream: true, ..Selection::default() };
                    clear_all(&mut sim, &selection);
                    if sim.run_state() == DagRunState::Queued {
                        sim.state.run.state = DagRunState::Running;
                        sim.state.run.start_date = Some(sim.now);
                    }
                    sim.begin();
                }
                _ => { sim.wait(400); }
            }
        }
        for _ in 0..200 {
            if sim.run_state().is_finished() { break }
            match sim.live.first() {
                Some(&(index, _)) => { let id = sim.state.dag.tasks[index.task].task_id.to_string(); sim.succeed(&id); }
                None => { sim.wait(400); }
            }
        }
        prop_assert!(sim.run_state().is_finished());
        prop_assert!(sim.live.is_empty());
    }
}
