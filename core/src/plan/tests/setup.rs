//! Setup and teardown (semantics §2.2, §3.4, §11.1).

use super::{super::*, Sim, task};
use crate::{
    dag::{Task, TriggerRule},
    spec::Outcome,
    state::{DagRunState as R, TaskInstanceState as S},
};

fn setup(id: &str) -> Task {
    Task { is_setup: true, ..task(id, &[]) }
}

fn teardown(id: &str, upstream: &[&str]) -> Task {
    Task { is_teardown: true, trigger_rule: TriggerRule::AllDoneSetupSuccess, ..task(id, upstream) }
}

/// s → w → t, and s → t.
fn sim() -> Sim {
    let mut sim = Sim::new(vec![setup("s"), task("w", &["s"]), teardown("t", &["s", "w"])]);
    sim.begin();
    sim
}

fn states(sim: &Sim, ids: &[&str]) -> Vec<S> {
    ids.iter().map(|id| sim.state_of(id)).collect()
}

#[test]
fn a_failed_setup_fails_work_teardown_and_run() {
    let mut sim = sim();
    sim.fail("s");
    assert_eq!(states(&sim, &["w", "t"]), [S::UpstreamFailed, S::UpstreamFailed]);
    assert_eq!(sim.run_state(), R::Failed);
}

#[test]
fn a_skipped_setup_skips_all_and_the_run_succeeds() {
    let mut sim = sim();
    sim.end("s", Outcome::Skipped);
    assert_eq!(states(&sim, &["w", "t"]), [S::Skipped, S::Skipped]);
    assert_eq!(sim.run_state(), R::Success);
}

#[test]
fn a_failed_teardown_leaves_the_run_successful_unless_it_says_otherwise() {
    for (fails, expected) in [(false, R::Success), (true, R::Failed)] {
        let t = Task { on_failure_fail_dagrun: fails, ..teardown("t", &["s", "w"]) };
        let mut sim = Sim::new(vec![setup("s"), task("w", &["s"]), t]);
        sim.begin();
        sim.succeed("s");
        sim.succeed("w");
        sim.fail("t");
        assert_eq!(sim.run_state(), expected);
    }
}

#[test]
fn a_dag_of_nothing_but_a_teardown_fails_with_it() {
    let mut sim = Sim::new(vec![teardown("t", &[])]);
    sim.begin();
    sim.fail("t");
    assert_eq!(sim.run_state(), R::Failed);
}

#[test]
fn of_two_setups_one_failure_stops_the_work_and_not_the_teardown() {
    let mut sim = Sim::new(vec![setup("s1"), setup("s2"), task("w", &["s1", "s2"]), teardown("t", &["s1", "s2", "w"])]);
    sim.begin();
    sim.fail("s1");
    sim.succeed("s2");
    assert_eq!(states(&sim, &["w", "t"]), [S::UpstreamFailed, S::Scheduled]);
}

#[test]
fn failed_work_is_torn_down_and_fails_the_run() {
    let mut sim = sim();
    sim.succeed("s");
    sim.fail("w");
    assert_eq!(sim.state_of("t"), S::Scheduled);
    sim.succeed("t");
    assert_eq!(sim.run_state(), R::Failed);
}

#[test]
fn what_is_behind_work_and_teardown_fails_with_the_teardown() {
    let mut sim = Sim::new(vec![setup("s"), task("w", &["s"]), teardown("t", &["s", "w"]), task("after", &["w", "t"])]);
    sim.begin();
    sim.succeed("s");
    sim.succeed("w");
    sim.fail("t");
    assert_eq!(sim.state_of("after"), S::UpstreamFailed);
}

#[test]
fn an_indirect_setup_that_fails_late_stops_the_work_before_it_begins() {
    // w2 has no edge from s, but stands between it and its teardown.
    let mut rule = task("w2", &["w1"]);
    rule.trigger_rule = TriggerRule::AllDone;
    let mut sim = Sim::new(vec![setup("s"), task("w1", &["s"]), rule, teardown("t", &["s", "w2"])]);
    sim.begin();
    sim.fail("s");
    assert_eq!(states(&sim, &["w1", "w2"]), [S::UpstreamFailed, S::UpstreamFailed]);
}

/// §3.4: every indirect setup must be success; here a branch leaves w1 out while s still runs.
#[test]
fn work_waits_for_a_setup_that_is_not_its_direct_upstream() {
    let w2 = Task { trigger_rule: TriggerRule::NoneFailed, ..task("w2", &["w1"]) };
    let mut sim =
        Sim::new(vec![setup("s"), task("branch", &[]), task("w1", &["s", "branch"]), w2, teardown("t", &["s", "w2"])]);
    sim.begin();
    let mut change = sim.change("branch", super::finished(Outcome::Success, sim.now));
    if let Event::Finished(finished) = &mut change.event {
        finished.decision = Some(crate::spec::Decision::Follow(vec![]));
    }
    sim.step(Scope::Changed, &[change]);
    assert_eq!(states(&sim, &["w1", "w2"]), [S::Skipped, S::None]);
    sim.succeed("s");
    assert_eq!(states(&sim, &["w2"]), [S::Scheduled]);
}

/// §3.4: it is not waited for all of them, where one decides; and §3.1: `always` asks for nothing.
#[test]
fn one_setup_that_ended_badly_decides_at_once_and_always_does_not_ask() {
    for (outcome, rule, expected) in [
        (Outcome::Failed, TriggerRule::AllDone, S::UpstreamFailed),
        (Outcome::Skipped, TriggerRule::AllDone, S::Skipped),
        (Outcome::Success, TriggerRule::AllDone, S::None),
        (Outcome::Failed, TriggerRule::Always, S::Scheduled),
    ] {
        let w2 = Task { trigger_rule: rule, ..task("w2", &["w1"]) };
        let w1 = task("w1", &["s1", "s2"]);
        let mut sim = Sim::new(vec![setup("s1"), setup("s2"), w1, w2, teardown("t", &["s1", "s2", "w2"])]);
        sim.begin();
        sim.end("s1", outcome);
        assert_eq!(sim.state_of("w2"), expected, "{outcome:?} {rule:?}");
    }
}

/// A setup that is not over keeps work from beginning, not from being decided by its rule.
#[test]
fn a_rule_decides_while_a_setup_is_waited_for() {
    let mut sim = Sim::new(vec![
        setup("s"),
        task("bad", &[]),
        task("w1", &["s"]),
        task("w2", &["w1", "bad"]),
        teardown("t", &["s", "w2"]),
    ]);
    sim.begin();
    sim.fail("bad");
    assert_eq!(states(&sim, &["s", "w2"]), [S::Scheduled, S::UpstreamFailed]);
}

#[test]
fn a_teardown_waits_for_everything_between_its_setup_and_itself() {
    // `late` is not the teardown's direct upstream, but of its scope.
    let mut done = task("done", &["late", "w"]);
    done.trigger_rule = TriggerRule::OneDone;
    let mut sim =
        Sim::new(vec![setup("s"), task("w", &["s"]), task("late", &["s"]), done, teardown("t", &["s", "done"])]);
    sim.begin();
    sim.succeed("s");
    sim.succeed("w");
    sim.succeed("done");
    assert_eq!(sim.state_of("t"), S::None);
    sim.succeed("late");
    assert_eq!(sim.state_of("t"), S::Scheduled);
}

#[test]
fn clearing_work_clears_its_setup_and_teardown_and_clearing_a_setup_its_teardown() {
    let sim = sim();
    let select = |id: &str| {
        let selection = Selection { tasks: Some(vec![id.into()]), ..Selection::default() };
        select(&sim.state, &selection).into_iter().map(|key| key.task).collect::<Vec<_>>()
    };
    assert_eq!((select("w"), select("s"), select("t")), (vec![0, 1, 2], vec![0, 2], vec![2]));
}

#[test]
fn marking_a_run_leaves_teardowns_alone_and_the_run_goes_on() {
    let mut sim = sim();
    sim.succeed("s");
    let mut ids = sim.ids();
    let plan = mark_run(&sim.state, R::Failed, "admin", sim.now, &mut ids);
    sim.commit(plan);
    assert_eq!((sim.state_of("w"), sim.state_of("t"), sim.run_state()), (S::Skipped, S::None, R::Running));
    sim.begin();
    assert_eq!(sim.state_of("t"), S::Scheduled);
}
