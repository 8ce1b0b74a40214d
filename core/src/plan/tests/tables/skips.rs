//! §12.2 and §12.3: what a branch or a short circuit skips.

use indexmap::IndexMap;

use super::{super::finished, *};
use crate::{
    dag::{MapInput, Mapping, MappingKind, TaskGroup},
    spec::Decision,
};

fn decide(sim: &mut Sim, decision: Decision) {
    let mut change = sim.change("branch", finished(Outcome::Success, start()));
    if let Event::Finished(finished) = &mut change.event {
        finished.decision = Some(decision);
    }
    sim.step(Scope::Changed, &[change]);
}

fn follow(ids: &str) -> Decision {
    Decision::Follow(ids.split_whitespace().map(ToOwned::to_owned).collect())
}

fn group(id: &str) -> TaskGroup {
    TaskGroup {
        group_id: id.into(),
        parent: None,
        tooltip: String::new(),
        prefix_group_id: true,
        display_name: None,
        upstream_tasks: Vec::new(),
        mapping: None,
        downstream_tasks: Vec::new(),
        upstream_groups: Vec::new(),
        downstream_groups: Vec::new(),
    }
}

#[test]
fn section_12_2_by_what_is_chosen() {
    let fan = "branch; a < branch; b < branch; join:none_failed < branch a b";
    let rows = [
        ("one", fan, "a", "branch success, a scheduled, b skipped, join none"),
        ("both", fan, "a b", "branch success, a scheduled, b scheduled, join none"),
        ("None, or an empty list", fan, "", "branch success, a skipped, b skipped, join skipped"),
        (
            "one that is not directly downstream",
            "branch; a < branch; b < a; c < branch",
            "b",
            "branch success, a skipped, b skipped, c skipped",
        ),
        (
            "a group: its roots",
            "branch; g.x < branch; g.y < g.x; b < branch",
            "g",
            "branch success, g.x scheduled, g.y none, b skipped",
        ),
        ("no task", fan, "nowhere", "branch failed, a upstream_failed, b upstream_failed, join upstream_failed"),
    ];
    for (name, text, chosen, expected) in rows {
        let mut sim = sim(text, |dag| {
            for task in dag.tasks.iter_mut().filter(|task| task.task_id.as_str().starts_with("g.")) {
                task.task_group = Some("g".to_owned());
            }
            dag.task_groups.insert("g".to_owned(), group("g"));
        });
        decide(&mut sim, follow(chosen));
        assert_eq!(picture(&sim), expected, "{name}");
    }
}

/// Also in `branch`, where it is told what becomes of the attempts.
#[test]
fn section_12_2_by_the_state_of_what_is_not_chosen() {
    for &state in S::ALL {
        let mut sim = Sim::new(tasks("branch; b < branch"));
        put(&mut sim, "branch", S::Running);
        put(&mut sim, "b", state);
        decide(&mut sim, follow(""));
        let kept = matches!(state, S::Running | S::Success | S::Failed | S::Removed);
        assert_eq!(sim.state_of("b"), if kept { state } else { S::Skipped }, "{state}");
    }
}

#[test]
fn section_12_2_a_short_circuit_by_whether_it_ignores_the_rules() {
    let text = "branch; a < branch; b:all_done < a; t!teardown < b";
    let rows = [
        ("default", NOTHING, "branch success, a skipped, b skipped, t scheduled"),
        ("ignoring", json!(true), "branch success, a skipped, b skipped, t scheduled"),
        ("not ignoring", json!(false), "branch success, a skipped, b scheduled, t none"),
    ];
    for (name, ignores, expected) in rows {
        let mut sim = sim(text, |dag| {
            if ignores != NOTHING {
                dag.tasks[0].args.insert("ignore_downstream_trigger_rules".to_owned(), ignores.clone());
            }
        });
        decide(&mut sim, Decision::Stop);
        assert_eq!(picture(&sim), expected, "{name}");
    }
}

/// §12.3: of a mapped branch, each downstream element asks the one of its own index.
#[test]
fn section_12_3_a_mapped_branch_skips_by_index() {
    let mapping = Mapping {
        kind: MappingKind::Foreach,
        inputs: IndexMap::from([("item".to_owned(), MapInput::Literal(json!([1, 2])))]),
    };
    let mut sim = Sim::with(|dag| {
        dag.tasks = tasks("branch; a < branch; b < branch");
        for task in &mut dag.tasks {
            task.task_group = Some("g".to_owned());
        }
        dag.task_groups.insert("g".to_owned(), TaskGroup { mapping: Some(mapping), ..group("g") });
    });
    sim.begin();
    for (map_index, chosen) in [(0, "a"), (1, "b")] {
        let attempt = sim.mapped("branch", map_index).attempt;
        let mut event = finished(Outcome::Success, start());
        if let Event::Finished(finished) = &mut event {
            finished.decision = Some(follow(chosen));
        }
        sim.step(Scope::Changed, &[Change { task_id: "branch".into(), map_index, attempt, event }]);
    }
    assert_eq!(sim.states("a"), [(0, S::Scheduled), (1, S::Skipped)]);
    assert_eq!(sim.states("b"), [(0, S::Skipped), (1, S::Scheduled)]);
}
