//! Mapped tasks and groups (semantics §13).

use indexmap::IndexMap;
use serde_json::json;

use super::{super::*, Sim, task};
use crate::{
    dag::{Dag, MapInput, Mapping, MappingKind, Task, TaskGroup, TriggerRule},
    spec::Outcome,
    state::{DagRunState, TaskInstanceState as S},
};

fn over(source: &str) -> Mapping {
    let input = MapInput::XCom { task_id: source.into(), key: "return_value".into() };
    Mapping { kind: MappingKind::Expand, inputs: IndexMap::from([("x".to_owned(), input)]) }
}

fn mapped(id: &str, source: &str) -> Task {
    Task { mapping: Some(over(source)), ..task(id, &[source]) }
}

/// `source` → `m`, one per element of its result → `end`.
fn sim(end: TriggerRule) -> Sim {
    let end = Task { trigger_rule: end, ..task("end", &["m"]) };
    let mut sim = Sim::new(vec![task("source", &[]), mapped("m", "source"), end]);
    sim.begin();
    sim
}

fn length(sim: &mut Sim, source: &str, length: Option<usize>) {
    sim.facts.lengths.insert((source.into(), "return_value".to_owned()), length);
}

fn group(id: &str, mapping: Option<Mapping>) -> TaskGroup {
    TaskGroup {
        group_id: id.into(),
        parent: None,
        tooltip: String::new(),
        prefix_group_id: true,
        display_name: None,
        upstream_tasks: Vec::new(),
        mapping,
        downstream_tasks: Vec::new(),
        upstream_groups: Vec::new(),
        downstream_groups: Vec::new(),
    }
}

#[test]
fn a_mapped_task_is_one_instance_until_the_length_is_known() {
    let mut sim = sim(TriggerRule::AllSuccess);
    assert_eq!(sim.states("m"), [(-1, S::None)]);
    length(&mut sim, "source", Some(3));
    sim.succeed("source");
    assert_eq!(sim.states("m"), [(0, S::Scheduled), (1, S::Scheduled), (2, S::Scheduled)]);
    assert_eq!(sim.last.unexpanded.len(), 1);
    assert_eq!(sim.last.created.len(), 3);
    for index in [2, 0, 1] {
        assert_eq!(sim.state_of("end"), S::None);
        sim.end_mapped("m", index, Outcome::Success);
    }
    assert_eq!(sim.state_of("end"), S::Scheduled);
}

#[test]
fn plan_asks_for_the_length_and_writes_nothing_about_it_before() {
    let mut sim = sim(TriggerRule::AllSuccess);
    let plan = sim.succeed("source");
    let need = Need::Length { task_id: "source".into(), key: "return_value".into() };
    assert_eq!(plan.needs, Needs::from([need]));
    assert_eq!(sim.states("m"), [(-1, S::None)]);
    assert_eq!(sim.run_state(), DagRunState::Running);
}

#[test]
fn length_zero_is_skipped_and_so_is_what_needs_success() {
    let mut sim = sim(TriggerRule::AllSuccess);
    length(&mut sim, "source", Some(0));
    sim.succeed("source");
    assert_eq!((sim.states("m"), sim.state_of("end")), (vec![(-1, S::Skipped)], S::Skipped));
    assert_eq!(sim.run_state(), DagRunState::Success);
}

#[test]
fn an_unknown_length_of_a_finished_source_is_upstream_failed() {
    let mut sim = sim(TriggerRule::AllSuccess);
    length(&mut sim, "source", None);
    sim.succeed("source");
    assert_eq!(sim.states("m"), [(-1, S::UpstreamFailed)]);
}

#[test]
fn more_instances_than_max_map_length_fail_the_task() {
    let mut sim = sim(TriggerRule::AllSuccess);
    length(&mut sim, "source", Some(1025));
    sim.succeed("source");
    assert_eq!(sim.states("m"), [(-1, S::Failed)]);
    assert!(sim.ti("m").failure.as_ref().is_some_and(|failure| failure.reason.contains("1024")));
}

/// §13.4, whatever the trigger rule tolerates.
#[test]
fn a_bad_source_decides_the_unexpanded_task() {
    for (outcome, expected) in [(Outcome::Failed, S::UpstreamFailed), (Outcome::Skipped, S::Skipped)] {
        let m = Task { trigger_rule: TriggerRule::AllDone, ..mapped("m", "source") };
        let mut sim = Sim::new(vec![task("source", &[]), m]);
        sim.begin();
        sim.end("source", outcome);
        assert_eq!(sim.states("m"), [(-1, expected)], "{outcome:?}");
    }
}

/// §13.5 ✔: every mapped upstream instance counts.
#[test]
fn rules_count_every_instance() {
    let cases = [
        (TriggerRule::AllSuccess, Outcome::Failed, S::UpstreamFailed),
        (TriggerRule::NoneFailed, Outcome::Skipped, S::Scheduled),
        (TriggerRule::OneFailed, Outcome::Failed, S::Scheduled),
    ];
    for (rule, outcome, expected) in cases {
        let mut sim = sim(rule);
        length(&mut sim, "source", Some(3));
        sim.succeed("source");
        sim.end_mapped("m", 0, Outcome::Success);
        sim.end_mapped("m", 1, Outcome::Success);
        sim.end_mapped("m", 2, outcome);
        assert_eq!(sim.state_of("end"), expected, "{rule:?}");
    }
}

#[test]
fn a_cross_product_has_as_many_instances_as_its_lengths_multiplied() {
    let mut m = mapped("m", "source");
    let inputs = &mut m.mapping.as_mut().expect("mapped").inputs;
    inputs.insert("y".to_owned(), MapInput::Literal(json!(["a", "b"])));
    let mut sim = Sim::new(vec![task("source", &[]), m]);
    sim.begin();
    length(&mut sim, "source", Some(3));
    sim.succeed("source");
    assert_eq!(sim.states("m").len(), 6);
}

/// `g` = {a → b}, one per element of `source`; `end` after it.
fn grouped() -> Sim {
    let member = |id: &str, upstream: &[&str]| Task { task_group: Some("g".into()), ..task(id, upstream) };
    let mut sim = Sim::with(|dag: &mut Dag| {
        dag.task_groups.insert("g".to_owned(), group("g", Some(over("source"))));
        dag.tasks =
            vec![task("source", &[]), member("g.a", &["source"]), member("g.b", &["g.a"]), task("end", &["g.b"])];
    });
    sim.begin();
    length(&mut sim, "source", Some(2));
    sim.succeed("source");
    sim
}

#[test]
fn members_of_a_mapped_group_depend_on_their_own_index() {
    let mut sim = grouped();
    assert_eq!(sim.states("g.b"), [(0, S::None), (1, S::None)]);
    sim.end_mapped("g.a", 1, Outcome::Success);
    assert_eq!(sim.states("g.b"), [(0, S::None), (1, S::Scheduled)]);
    sim.end_mapped("g.a", 0, Outcome::Failed);
    assert_eq!(sim.states("g.b"), [(0, S::UpstreamFailed), (1, S::Scheduled)]);
    sim.end_mapped("g.b", 1, Outcome::Success);
    assert_eq!(sim.state_of("end"), S::UpstreamFailed, "outside the group, on all");
}

#[test]
fn clearing_one_index_clears_the_relatives_of_that_index_inside_the_group() {
    let mut sim = grouped();
    for index in [0, 1] {
        sim.end_mapped("g.a", index, Outcome::Success);
        sim.end_mapped("g.b", index, Outcome::Success);
    }
    sim.succeed("end");
    let named = TaskRef { task_id: "g.a".into(), map_index: Some(1) };
    let selection = Selection { tasks: Some(vec![named]), include_downstream: true, ..Selection::default() };
    let names: Vec<(usize, i32)> =
        select(&sim.state, &selection).into_iter().map(|key| (key.task, key.map_index)).collect();
    assert_eq!(names, [(1, 1), (2, 1), (3, -1)]);
}

/// §13.3: after a clear, indexes beyond the new length are removed and new ones added.
#[test]
fn a_cleared_source_of_another_length_adds_and_removes_instances() {
    for (again, expected) in [
        (3, vec![(0, S::Scheduled), (1, S::Scheduled), (2, S::Scheduled)]),
        (1, vec![(0, S::Scheduled), (1, S::Removed)]),
    ] {
        let mut sim = sim(TriggerRule::AllSuccess);
        length(&mut sim, "source", Some(2));
        sim.succeed("source");
        sim.end_mapped("m", 0, Outcome::Success);
        sim.end_mapped("m", 1, Outcome::Success);
        sim.succeed("end");
        let mut ids = sim.ids();
        let cleared = clear(&sim.state, &Selection::default(), true, "admin", sim.now, &mut ids);
        sim.commit(cleared.plan);
        sim.state.run.state = DagRunState::Running;
        sim.begin();
        length(&mut sim, "source", Some(again));
        sim.succeed("source");
        assert_eq!(sim.states("m"), expected, "{again} elements");
    }
}

#[test]
fn max_active_tis_per_dagrun_bounds_the_instances_that_are_ready() {
    let m = Task { max_active_tis_per_dagrun: Some(2), retries: 1, ..mapped("m", "source") };
    let mut sim = Sim::new(vec![task("source", &[]), m]);
    sim.begin();
    length(&mut sim, "source", Some(4));
    sim.succeed("source");
    let ready = |sim: &Sim| sim.states("m").iter().filter(|(_, state)| *state == S::Scheduled).count();
    assert_eq!(ready(&sim), 2);
    sim.end_mapped("m", 0, Outcome::Success);
    assert_eq!(ready(&sim), 2);
    sim.end_mapped("m", 1, Outcome::Failed);
    assert_eq!(ready(&sim), 2, "one that waits for its retry leaves its place");
    sim.wait(300);
    for index in [2, 3, 1] {
        sim.end_mapped("m", index, Outcome::Success);
    }
    assert_eq!(sim.run_state(), DagRunState::Success);
}

/// Found by the simulator.
#[test]
fn an_instance_that_waits_for_its_next_try_leaves_room_under_the_cap() {
    let m = Task { max_active_tis_per_dagrun: Some(1), retries: 1, ..mapped("m", "source") };
    let mut sim = Sim::new(vec![task("source", &[]), m]);
    sim.begin();
    length(&mut sim, "source", Some(2));
    sim.succeed("source");
    sim.end_mapped("m", 0, Outcome::Failed);
    assert_eq!(sim.states("m"), [(0, S::UpForRetry), (1, S::Scheduled)]);
}
