//! §2.2 (final state and deadlock), §2.4 (`dagrun_timeout`), §2.5 (`fail_fast`).

use std::time::Duration;

use super::{super::finished, *};
use crate::{dag::Task, state::DagRunState as R};

#[test]
fn section_2_2_the_leaves_decide_the_final_state() {
    let rows = [
        // The ✔ examples.
        ("a handled failure", "a; h:all_done < a", "a=F h=S", R::Success),
        ("a handler beside a leaf", "a; h:one_failed < a; ok < a", "a=F h=S", R::Failed),
        ("a teardown fails", "s!setup; w < s; t!teardown < s w", "s=S w=S t=F", R::Success),
        ("one that fails the run fails", "s!setup; w < s; t!teardown!fails < s w", "s=S w=S t=F", R::Failed),
        ("only a teardown, it fails", "t!teardown", "t=F", R::Failed),
        // The conditions.
        ("a leaf fails", "a", "a=F", R::Failed),
        ("a leaf is upstream_failed", "a; b < a", "a=F", R::Failed),
        ("a leaf is skipped", "a; b < a", "a=K", R::Success),
        ("a leaf succeeds", "a; b < a", "a=S b=S", R::Success),
        ("something is unfinished", "a; b < a", "a=S", R::Running),
        ("work before a teardown is a leaf", "s!setup; w < s; t!teardown < s w", "s=S w=F t=S", R::Failed),
        ("a setup alone before a teardown", "s!setup; t!teardown < s", "s=F", R::Failed),
    ];
    for (name, tasks, ends, expected) in rows {
        let mut sim = sim(tasks, |_| {});
        end(&mut sim, ends);
        assert_eq!(sim.run_state(), expected, "{name}: {}", picture(&sim));
    }
}

/// `b` waits for ever: its upstream is removed. Each row adds one thing that may keep the run from being a deadlock.
#[test]
fn section_2_2_a_deadlock_needs_every_condition() {
    type Edit = fn(&mut Task);
    let nothing: Edit = |_| {};
    let rows: [(&str, Edit, Option<S>, R); 14] = [
        ("nothing else", nothing, None, R::Failed),
        ("depends_on_past", |task| task.depends_on_past = true, None, R::Running),
        ("max_active_tis_per_dag", |task| task.max_active_tis_per_dag = Some(1), None, R::Running),
        ("max_active_tis_per_dagrun", |task| task.max_active_tis_per_dagrun = Some(1), None, R::Running),
        ("one deferred", nothing, Some(S::Deferred), R::Running),
        ("one awaiting input", nothing, Some(S::AwaitingInput), R::Running),
        ("one running", nothing, Some(S::Running), R::Running),
        ("one queued", nothing, Some(S::Queued), R::Running),
        ("one scheduled", nothing, Some(S::Scheduled), R::Running),
        ("one restarting", nothing, Some(S::Restarting), R::Running),
        ("one whose retry would begin", nothing, Some(S::UpForRetry), R::Running),
        ("one whose next look would begin", nothing, Some(S::UpForReschedule), R::Running),
        ("one finished", nothing, Some(S::Success), R::Failed),
        ("one removed", nothing, Some(S::Removed), R::Failed),
    ];
    for (name, edit, other, expected) in rows {
        let text = if other.is_some() { "gone; b:all_skipped < gone; other" } else { "gone; b:all_skipped < gone" };
        let mut all = tasks(text);
        edit(&mut all[1]);
        let mut sim = Sim::new(all);
        put(&mut sim, "gone", S::Removed);
        if let Some(state) = other {
            put(&mut sim, "other", state);
        }
        sim.begin();
        assert_eq!((sim.state_of("b"), sim.run_state()), (S::None, expected), "{name}");
    }
}

#[test]
fn section_2_4_a_timeout_skips_whatever_is_unfinished() {
    for &state in S::ALL {
        let mut sim = Sim::with(|dag| {
            dag.tasks = tasks("a; other");
            dag.dagrun_timeout = Some(Duration::from_secs(30));
        });
        put(&mut sim, "a", state);
        put(&mut sim, "other", S::Running);
        sim.now += Duration::from_secs(31);
        sim.begin();
        let expected = if state.is_finished() { state } else { S::Skipped };
        assert_eq!((sim.state_of("a"), sim.state_of("other")), (expected, S::Skipped), "{state}");
        assert_eq!((sim.run_state(), sim.live.len()), (R::Failed, 0), "{state}");
    }
}

#[test]
fn section_2_4_a_timeout_is_measured_from_the_start_of_a_run_that_is_visited() {
    let rows = [
        ("not yet", R::Running, false, 29, R::Running),
        ("over", R::Running, false, 31, R::Failed),
        ("its DAG is paused", R::Running, true, 31, R::Running),
        ("still queued", R::Queued, false, 31, R::Queued),
    ];
    for (name, state, paused, seconds, expected) in rows {
        let mut sim = Sim::with(|dag| {
            dag.tasks = tasks("a");
            dag.dagrun_timeout = Some(Duration::from_secs(30));
        });
        sim.state.run.state = state;
        sim.state.run.dag_is_paused = paused;
        sim.now += Duration::from_secs(seconds);
        sim.begin();
        assert_eq!(sim.run_state(), expected, "{name}");
    }
}

#[test]
fn section_2_5_fail_fast_by_the_state_of_the_others() {
    for &state in S::ALL {
        let mut sim = Sim::with(|dag| {
            dag.tasks = tasks("bad; other; t!teardown");
            dag.fail_fast = true;
        });
        put(&mut sim, "bad", S::Running);
        put(&mut sim, "other", state);
        put(&mut sim, "t", S::Running);
        let change = sim.change("bad", finished(Outcome::Failed, start()));
        sim.step(Scope::Changed, &[change]);
        let expected = match state {
            S::Running => S::Failed,
            S::Success | S::Failed | S::Removed => state,
            _ => S::Skipped,
        };
        assert_eq!((sim.state_of("other"), sim.state_of("t")), (expected, S::Running), "{state}");
    }
}
