//! Mapped tasks and groups (semantics §13).

use indexmap::IndexMap;
use serde_json::json;

use super::{
    super::*,
    Sim,
    branch::{decide, follow},
    task,
};
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

/// Of the members only the first ones are downstream of the source.
#[test]
fn a_source_that_ends_expands_the_members_behind_one_that_was_skipped_before() {
    let member = |id: &str, upstream: &[&str]| Task { task_group: Some("g".into()), ..task(id, upstream) };
    let mut sim = Sim::with(|dag: &mut Dag| {
        dag.task_groups.insert("g".to_owned(), group("g", Some(over("source"))));
        let b = Task { trigger_rule: TriggerRule::AllDone, ..member("g.b", &["g.a"]) };
        dag.tasks = vec![task("source", &[]), task("branch", &[]), member("g.a", &["source", "branch"]), b];
    });
    sim.begin();
    length(&mut sim, "source", Some(2));
    decide(&mut sim, "branch", follow(&[]));
    assert_eq!((sim.states("g.a"), sim.states("g.b")), (vec![(-1, S::Skipped)], vec![(-1, S::None)]));
    sim.succeed("source");
    assert_eq!(sim.states("g.b"), [(0, S::Scheduled), (1, S::Scheduled)]);
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

fn over_list(items: serde_json::Value) -> Mapping {
    Mapping { kind: MappingKind::Foreach, inputs: IndexMap::from([("item".to_owned(), MapInput::Literal(items))]) }
}

/// A run of `first` → `each`, one per element of a list in the file.
fn over_a_list(items: &serde_json::Value) -> Sim {
    let each = Task { mapping: Some(over_list(items.clone())), retries: 1, ..task("each", &["first"]) };
    let mut sim = Sim::new(vec![task("first", &[]), each]);
    sim.state.remove(Key::unmapped(1));
    for map_index in crate::mapping::initial_map_indexes(&sim.state.dag.clone(), 1) {
        sim.state.put(Key { task: 1, map_index }, Ti::new(AttemptId(uuid::Uuid::nil()), 1));
    }
    sim.begin();
    sim
}

/// The file was changed and the run follows it.
fn change(sim: &mut Sim, mapping: Option<Mapping>) {
    let mut dag = Dag::new("d");
    dag.tasks = sim.state.dag.tasks.clone();
    dag.tasks[1].mapping = mapping;
    sim.state.dag = std::sync::Arc::new(dag);
}

fn clear_each(sim: &mut Sim, map_index: Option<i32>) {
    let named = TaskRef { task_id: "each".into(), map_index };
    let selection = Selection { tasks: Some(vec![named]), ..Selection::default() };
    let mut ids = sim.ids();
    let cleared = clear(&sim.state, &selection, true, "admin", sim.now, &mut ids);
    sim.commit(cleared.plan);
    sim.state.run.state = DagRunState::Running;
    sim.begin();
}

/// §13.3, §14: fix the file and clear.
#[test]
fn a_changed_list_reaches_a_run_that_is_cleared() {
    let (ready, done, gone) = (S::Scheduled, S::Success, S::Removed);
    for (now, cleared, expected) in [
        (json!(["a", "b"]), None, vec![(0, ready), (1, ready), (2, gone)]),
        (json!(["a", "b"]), Some(0), vec![(0, ready), (1, done), (2, gone)]),
        (json!(["a", "b"]), Some(2), vec![(0, done), (1, done), (2, gone)]),
        (json!(["a", "b", "c", "d"]), None, vec![(0, ready), (1, ready), (2, ready), (3, ready)]),
        (json!(["a", "b", "c", "d"]), Some(1), vec![(0, done), (1, ready), (2, done), (3, ready)]),
    ] {
        let mut sim = over_a_list(&json!(["a", "b", "c"]));
        sim.succeed("first");
        for index in 0..3 {
            sim.end_mapped("each", index, Outcome::Success);
        }
        change(&mut sim, Some(over_list(now.clone())));
        clear_each(&mut sim, cleared);
        assert_eq!(sim.states("each"), expected, "{now}, cleared {cleared:?}");
    }
}

/// A run that has not come so far has the new list without being cleared; what runs of the old one is ended.
#[test]
fn a_changed_list_reaches_a_run_that_has_not_come_so_far() {
    let mut sim = over_a_list(&json!(["a", "b", "c"]));
    change(&mut sim, Some(over_list(json!(["a"]))));
    sim.succeed("first");
    assert_eq!(sim.states("each"), [(0, S::Scheduled), (1, S::Removed), (2, S::Removed)]);
    let mut sim = over_a_list(&json!(["a", "b"]));
    sim.succeed("first");
    sim.end_mapped("each", 0, Outcome::Failed);
    change(&mut sim, Some(over_list(json!(["a"]))));
    sim.wait(300);
    assert_eq!(sim.states("each"), [(0, S::Scheduled), (1, S::Removed)], "the element that ran is gone");
    assert_eq!(sim.last.cancels.len(), 1);
}

#[test]
fn an_element_that_is_back_has_its_instance_again() {
    let mut sim = over_a_list(&json!(["a", "b"]));
    change(&mut sim, Some(over_list(json!(["a"]))));
    sim.succeed("first");
    assert_eq!(sim.states("each"), [(0, S::Scheduled), (1, S::Removed)]);
    sim.end_mapped("each", 0, Outcome::Success);
    change(&mut sim, Some(over_list(json!(["a", "b"]))));
    clear_each(&mut sim, Some(0));
    assert_eq!(sim.states("each"), [(0, S::Scheduled), (1, S::Scheduled)]);
}

#[test]
fn a_task_that_is_mapped_no_more_runs_once_when_it_is_cleared() {
    let mut sim = over_a_list(&json!(["a", "b"]));
    sim.succeed("first");
    for index in 0..2 {
        sim.end_mapped("each", index, Outcome::Success);
    }
    change(&mut sim, None);
    clear_each(&mut sim, None);
    assert_eq!(sim.states("each"), [(-1, S::Scheduled), (0, S::Removed), (1, S::Removed)]);
}

/// §13.3, of a `foreach` that the scheduler renders.
#[test]
fn a_rendered_list_is_rendered_again_after_a_clear() {
    let text = "{{ params.items }}";
    let mapping = Mapping {
        kind: MappingKind::Foreach,
        inputs: IndexMap::from([("item".to_owned(), MapInput::Template(text.to_owned()))]),
    };
    let mut sim = Sim::new(vec![task("first", &[]), Task { mapping: Some(mapping), ..task("each", &["first"]) }]);
    sim.facts.context = Some(super::sensor::context(&json!([1, 2])));
    sim.begin();
    sim.succeed("first");
    assert_eq!(sim.states("each"), [(0, S::Scheduled), (1, S::Scheduled)]);
    for index in 0..2 {
        sim.end_mapped("each", index, Outcome::Success);
    }
    sim.facts.context = Some(super::sensor::context(&json!([1])));
    clear_each(&mut sim, Some(0));
    assert_eq!(sim.states("each"), [(0, S::Scheduled), (1, S::Removed)]);
    sim.end_mapped("each", 0, Outcome::Success);
    sim.facts.context = Some(super::sensor::context(&json!([1, 2, 3])));
    clear_each(&mut sim, Some(0));
    assert_eq!(sim.states("each"), [(0, S::Scheduled), (1, S::Scheduled), (2, S::Scheduled)]);
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
