//! `depends_on_past` and `wait_for_downstream`: the cases of semantics §5, in its order.

use std::collections::{BTreeMap, BTreeSet};

use super::{super::*, Sim, start, task};
use crate::{
    dag::Task,
    ids::TaskId,
    state::{DagRunState, TaskInstanceState as S},
};

fn previous(states: &[(&str, &[S])]) -> Past {
    let states: BTreeMap<TaskId, Vec<S>> = states.iter().map(|(id, states)| ((*id).into(), states.to_vec())).collect();
    let logical_date = Some(start() - chrono::TimeDelta::days(1));
    Past { previous: Some(PreviousRun { logical_date, states }), ..Past::default() }
}

/// a → b, a depends on the past.
fn sim(edit: impl FnOnce(&mut Task), catchup: bool, past: Past) -> Sim {
    let mut a = Task { depends_on_past: true, ..task("a", &[]) };
    edit(&mut a);
    let mut sim = Sim::with(|dag| {
        dag.catchup = catchup;
        dag.tasks = vec![a, task("b", &["a"]), task("c", &["b"])];
    });
    sim.state.run.logical_date = Some(start());
    sim.facts.past = Some(past);
    sim.begin();
    sim
}

#[test]
fn decides_every_case_of_airflows_table_alike() {
    let run = S::Scheduled;
    let wait = S::None;
    let first_of_backfill = Past { is_first_of_backfill: true, ..previous(&[("a", &[S::Failed])]) };
    let seen = Past { seen: BTreeSet::from(["a".into()]), ..previous(&[]) };
    let old_start = |task: &mut Task| task.start_date = Some(start());
    let ignore_first = |task: &mut Task| task.ignore_first_depends_on_past = true;
    let downstream = |task: &mut Task| task.wait_for_downstream = true;
    let none = |_: &mut Task| {};
    type Edit<'a> = &'a dyn Fn(&mut Task);
    let cases: &[(&str, Edit<'_>, bool, Past, S)] = &[
        ("1 first of a backfill", &none, false, first_of_backfill, run),
        ("2 no previous run", &none, false, Past::default(), run),
        ("3 catchup, before the task's start", &old_start, true, previous(&[("a", &[S::Failed])]), run),
        ("3 without catchup it does not count", &old_start, false, previous(&[("a", &[S::Failed])]), wait),
        ("4 no instance", &none, false, previous(&[]), wait),
        ("4 no instance, ignored, never seen", &ignore_first, false, previous(&[]), run),
        ("4 no instance, ignored, but seen", &ignore_first, false, seen, wait),
        ("5 success", &none, false, previous(&[("a", &[S::Success])]), run),
        ("5 skipped", &none, false, previous(&[("a", &[S::Skipped])]), run),
        ("5 failed", &none, false, previous(&[("a", &[S::Failed])]), wait),
        ("5 unfinished", &none, false, previous(&[("a", &[S::Running])]), wait),
        ("5 one mapped instance failed", &none, false, previous(&[("a", &[S::Success, S::Failed])]), wait),
        ("6 downstream failed", &downstream, false, previous(&[("a", &[S::Success]), ("b", &[S::Failed])]), wait),
        ("6 downstream done", &downstream, false, previous(&[("a", &[S::Success]), ("b", &[S::Success])]), run),
        (
            "6 the second level is ignored",
            &downstream,
            false,
            previous(&[("a", &[S::Success]), ("b", &[S::Success]), ("c", &[S::Failed])]),
            run,
        ),
    ];
    for (name, edit, catchup, past, expected) in cases {
        let sim = sim(|task| edit(task), *catchup, past.clone());
        assert_eq!(sim.state_of("a"), *expected, "{name}");
        assert_eq!(sim.run_state(), DagRunState::Running, "{name}: waiting is no deadlock");
    }
}

#[test]
fn a_run_without_a_logical_date_has_no_past() {
    let mut sim = Sim::new(vec![Task { depends_on_past: true, ..task("a", &[]) }]);
    sim.begin();
    assert_eq!(sim.state_of("a"), S::Scheduled);
}

#[test]
fn the_past_is_asked_for_and_later_runs_are_woken() {
    let mut sim = Sim::new(vec![Task { depends_on_past: true, ..task("a", &[]) }]);
    sim.state.run.logical_date = Some(start());
    assert_eq!(sim.begin().needs, Needs::from([Need::Past]));
    sim.facts.past = Some(Past::default());
    sim.begin();
    assert!(sim.succeed("a").wake_later_runs);
}

#[test]
fn a_word_from_an_earlier_run_has_everything_looked_at() {
    let mut sim = sim(|_| {}, false, previous(&[("a", &[S::Running])]));
    sim.facts.past = Some(previous(&[("a", &[S::Success])]));
    let look = sim.change("b", Event::Look);
    sim.step(Scope::Changed, &[look]);
    assert_eq!(sim.state_of("a"), S::Scheduled);
}
