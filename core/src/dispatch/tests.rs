//! What limits, and what says so.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::*;

pub(super) fn node(id: i64, slots: u32) -> Node {
    Node {
        id,
        name: format!("n{id}"),
        state: NodeState::Active,
        slots,
        used: 0,
        weight: 1,
        labels: BTreeMap::new(),
        queues: vec!["default".into()],
        runners: vec!["process".into(), "native".into()],
        last_assigned: 0,
    }
}

fn class(id: i64, pool: &str) -> Class {
    Class {
        id,
        pool: pool.into(),
        pool_slots: 1,
        queue: "default".into(),
        selector: IndexMap::new(),
        runner: "process".into(),
        cap: None,
    }
}

fn candidates(class_id: i64, run: i64, count: u128) -> Vec<Candidate> {
    (0..count)
        .map(|n| Candidate {
            attempt: AttemptId(Uuid::from_u128(u128::from(class_id.unsigned_abs()) << 64 | n)),
            class_id,
            dag_run_id: run,
            max_active_tasks: 1_000_000,
            priority_weight: 1,
            affinity: 0,
        })
        .collect()
}

fn capacity(nodes: Vec<Node>) -> Capacity {
    let pools = [("default_pool".to_owned(), Pool { slots: 128, used: 0 })].into();
    Capacity { parallelism: 1000, nodes, pools, ..Capacity::default() }
}

/// Places in turn.
fn place(capacity: &mut Capacity, classes: &HashMap<i64, Class>, candidates: &[Candidate]) -> Dispatch {
    super::place(capacity, classes, candidates, &Strategies::default(), &mut || panic!("a turn needs no chance"))
}

fn nodes_of(dispatch: &Dispatch) -> Vec<i64> {
    dispatch.placements.iter().map(|placement| placement.executor_id).collect()
}

#[test]
fn nodes_take_turns() {
    let mut capacity = capacity(vec![node(1, 10), node(2, 10), node(3, 10)]);
    let classes: HashMap<i64, Class> = [(1, class(1, "default_pool"))].into();
    let first = place(&mut capacity, &classes, &candidates(1, 1, 4));
    assert_eq!(nodes_of(&first), [1, 2, 3, 1]);
    // The turn is in the nodes' column: a second pass (another scheduler, a restart) goes on where the first ended.
    let second = place(&mut capacity, &classes, &candidates(1, 2, 2));
    assert_eq!(nodes_of(&second), [2, 3]);
}

#[test]
fn a_full_node_is_passed_over_and_the_round_goes_on() {
    let mut capacity = capacity(vec![node(1, 1), node(2, 3)]);
    let classes: HashMap<i64, Class> = [(1, class(1, "default_pool"))].into();
    let dispatch = place(&mut capacity, &classes, &candidates(1, 1, 9));
    assert_eq!(nodes_of(&dispatch), [1, 2, 2, 2]);
    assert!(matches!(capacity.class_blocked(&classes[&1]), Some(Blocked::NodesFull { slots: 4, .. })));
}

#[test]
fn a_full_pool_does_not_hide_another() {
    let mut capacity = capacity(vec![node(1, 200)]);
    capacity.pools.insert("full".into(), Pool { slots: 2, used: 2 });
    let classes: HashMap<i64, Class> = [(1, class(1, "full")), (2, class(2, "default_pool"))].into();
    assert_eq!(capacity.room(&classes[&1]), 0);
    let all: Vec<_> = candidates(1, 1, 1000).into_iter().chain(candidates(2, 2, 100)).collect();
    assert_eq!(place(&mut capacity, &classes, &all).placements.len(), 100);
}

#[test]
fn higher_priority_goes_first_and_smaller_tasks_may_pass_a_big_one() {
    let mut capacity = capacity(vec![node(1, 10)]);
    capacity.pools.insert("p".into(), Pool { slots: 3, used: 0 });
    let big = Class { pool_slots: 2, ..class(1, "p") };
    let classes: HashMap<i64, Class> = [(1, big), (2, class(2, "p"))].into();
    let mut wanted = candidates(1, 1, 2);
    for candidate in &mut wanted {
        candidate.priority_weight = 9;
    }
    wanted.extend(candidates(2, 1, 2));
    let placed: Vec<_> = place(&mut capacity, &classes, &wanted).placements.iter().map(|p| p.attempt).collect();
    assert_eq!(placed, [wanted[0].attempt, wanted[2].attempt]);
}

#[test]
fn a_capped_run_is_named_so_that_its_class_can_be_asked_again() {
    let mut capacity = capacity(vec![node(1, 10)]);
    let classes: HashMap<i64, Class> = [(1, class(1, "default_pool"))].into();
    let mut wanted = candidates(1, 7, 3);
    for candidate in &mut wanted {
        candidate.max_active_tasks = 2;
    }
    let dispatch = place(&mut capacity, &classes, &wanted);
    assert_eq!(dispatch.placements.len(), 2);
    assert_eq!(dispatch.capped_runs, [7]);
}

#[test]
fn a_callback_takes_a_node_slot_and_none_of_a_pool_or_its_run() {
    let mut capacity = capacity(vec![node(1, 3)]);
    capacity.pools.insert("p".into(), Pool { slots: 1, used: 1 });
    let classes: HashMap<i64, Class> =
        [(1, class(1, "default_pool")), (2, Class { pool_slots: 0, ..class(2, "") })].into();
    assert_eq!(capacity.room(&classes[&2]), 3);
    let limited = |task| Candidate { max_active_tasks: 1, ..task };
    let mut wanted: Vec<_> = candidates(1, 7, 1).into_iter().map(limited).collect();
    wanted.extend(candidates(2, 7, 2).into_iter().map(limited));
    wanted.extend(candidates(1, 7, 1).into_iter().map(limited));
    let dispatch = place(&mut capacity, &classes, &wanted);
    assert_eq!(dispatch.placements.len(), 3, "one task of the run, and two callbacks after it");
    assert_eq!(dispatch.placements[1].attempt, wanted[1].attempt);
    assert_eq!((capacity.runs[&7], capacity.placed), (1, 3));
    capacity.parallelism = 3;
    assert_eq!(capacity.class_blocked(&classes[&2]), Some(Blocked::Parallelism { limit: 3 }));
}

#[test]
fn parallelism_counts_what_is_placed_on_nodes_that_take_nothing_more() {
    let mut capacity = capacity(vec![node(1, 10)]);
    (capacity.parallelism, capacity.placed) = (5, 3);
    let classes: HashMap<i64, Class> = [(1, class(1, "default_pool"))].into();
    assert_eq!(capacity.room(&classes[&1]), 2, "three run on a node that drains");
    assert_eq!(place(&mut capacity, &classes, &candidates(1, 1, 9)).placements.len(), 2);
    assert_eq!(capacity.class_blocked(&classes[&1]), Some(Blocked::Parallelism { limit: 5 }));
}

#[test]
fn a_tasks_cap_is_shared_by_its_classes_and_holds_for_the_triggerer_too() {
    let mut capacity = capacity(vec![node(1, 10)]);
    let cap = |limit| Some(Cap { of: "d/t".into(), limit });
    let old = Class { cap: cap(2), ..class(1, "default_pool") };
    let new = Class { cap: cap(3), runner: TRIGGERER.into(), ..class(2, "no such pool") };
    let classes: HashMap<i64, Class> = [(1, old), (2, new)].into();
    let all: Vec<_> = candidates(1, 1, 9).into_iter().chain(candidates(2, 2, 9)).collect();
    let dispatch = place(&mut capacity, &classes, &all);
    assert_eq!((dispatch.placements.len(), dispatch.begun.len()), (2, 1));
    assert_eq!(capacity.placed, 2, "the triggerer's holds no slot");
    assert_eq!(capacity.class_blocked(&classes[&2]), Some(Blocked::MaxActiveTisPerDag { limit: 3 }));
}

#[test]
fn labels_and_queues_choose_the_node() {
    let mut gpu = node(2, 5);
    gpu.labels.insert("gpu".into(), "true".into());
    gpu.queues = vec!["ml".into()];
    let mut capacity = capacity(vec![node(1, 5), gpu]);
    let mut wanted = class(1, "default_pool");
    wanted.queue = "ml".into();
    wanted.selector.insert("gpu".into(), vec!["true".into(), "yes".into()]);
    let classes: HashMap<i64, Class> = [(1, wanted)].into();
    assert_eq!(nodes_of(&place(&mut capacity, &classes, &candidates(1, 1, 2))), [2, 2]);
}

#[test]
fn a_queue_has_its_own_strategy() {
    let mut capacity = capacity(vec![node(1, 9), node(2, 9), node(3, 9)]);
    for node in &mut capacity.nodes {
        node.queues.push("sap".into());
    }
    let sap = Class { queue: "sap".into(), ..class(2, "default_pool") };
    let classes: HashMap<i64, Class> = [(1, class(1, "default_pool")), (2, sap)].into();
    let queues = [("sap".to_owned(), Strategy::ConsistentHash)].into();
    let strategies = Strategies { default: Strategy::RoundRobin, queues };
    let mut one = |class_id: i64, run: i64| {
        let task = Candidate { affinity: affinity(1, "book"), ..candidates(class_id, run, 1).remove(0) };
        let placed = super::place(&mut capacity, &classes, &[task], &strategies, &mut || 0);
        capacity.nodes.iter_mut().for_each(|node| node.used = 0);
        placed.placements[0].executor_id
    };
    assert_eq!([one(1, 1), one(1, 2), one(1, 3)], [1, 2, 3]);
    let home = one(2, 1);
    assert_eq!([one(2, 2), one(2, 3), one(2, 4)], [home; 3]);
}

/// Selector of one label.
fn label(name: &str, value: &str) -> (String, Vec<String>) {
    (name.to_owned(), vec![value.to_owned()])
}

#[test]
fn what_lacks_is_named() {
    let mut gpu = node(2, 5);
    gpu.labels = [("gpu".to_owned(), "true".to_owned()), ("site".to_owned(), "a".to_owned())].into();
    let mut sap = node(3, 5);
    sap.labels = [("capability".to_owned(), "sap-gui".to_owned()), ("site".to_owned(), "b".to_owned())].into();
    let mut capacity = capacity(vec![node(1, 5), gpu, sap]);
    let of_queue = |queue: &str, selector: &[(String, Vec<String>)]| Class {
        queue: queue.into(),
        selector: selector.iter().cloned().collect(),
        ..class(1, "default_pool")
    };
    let blocked = |capacity: &Capacity, class: &Class| {
        capacity.class_blocked(class).map(|blocked| (serde_json::to_value(&blocked).unwrap(), blocked.told().unwrap()))
    };
    let expect = |code: serde_json::Value, told: &str| Some((code, told.to_owned()));

    assert_eq!(
        blocked(&capacity, &of_queue("sap", &[])),
        expect(
            serde_json::json!({"code": "no_node_for_queue", "queue": "sap", "live_nodes": 3}),
            "No node serves the queue `sap`; the nodes that are connected (3) serve others."
        )
    );
    let wanted = [label("gpu", "true"), label("capability", "word")];
    assert_eq!(
        blocked(&capacity, &of_queue("default", &wanted)),
        expect(
            serde_json::json!({"code": "no_node_with_labels", "queue": "default", "labels": {"capability": ["word"]}}),
            "No node of the queue `default` has capability=word."
        )
    );
    let wanted = [label("gpu", "true"), ("site".to_owned(), vec!["b".to_owned(), "c".to_owned()])];
    assert_eq!(
        blocked(&capacity, &of_queue("default", &wanted)),
        expect(
            serde_json::json!({"code": "no_node_with_labels", "queue": "default",
                               "labels": {"gpu": ["true"], "site": ["b", "c"]}}),
            "No node of the queue `default` has gpu=true and site=b|c."
        ),
        "each is there, on different nodes"
    );
    let sap = of_queue("default", &[label("capability", "sap-gui")]);
    for state in [NodeState::Draining, NodeState::Lost, NodeState::Offline] {
        capacity.nodes[2].state = state;
        assert_eq!(
            blocked(&capacity, &sap),
            expect(
                serde_json::json!({"code": "nodes_away", "nodes": [{"name": "n3", "state": state}]}),
                &format!("Every node that could take it is away: n3 is {state}.")
            )
        );
    }
    capacity.nodes[1].used = 5;
    let site = of_queue("default", &[("site".to_owned(), vec!["a".to_owned(), "b".to_owned()])]);
    assert_eq!(
        blocked(&capacity, &site),
        expect(
            serde_json::json!({"code": "nodes_full", "nodes": ["n2"], "slots": 5, "away": [{"name": "n3", "state": "offline"}]}),
            "Every node that could take it is full: n2 (5 slots); n3 is offline."
        )
    );
}

#[test]
fn a_node_that_is_not_active_gets_nothing() {
    for state in [NodeState::Draining, NodeState::Lost, NodeState::Offline] {
        let mut capacity = capacity(vec![Node { state, ..node(1, 5) }, node(2, 2)]);
        let classes: HashMap<i64, Class> = [(1, class(1, "default_pool"))].into();
        assert_eq!(capacity.room(&classes[&1]), 2);
        assert_eq!(nodes_of(&place(&mut capacity, &classes, &candidates(1, 1, 5))), [2, 2]);
    }
}

#[test]
fn docker_tasks_prefer_nodes_whose_daemon_answers_and_fail_readably_where_none_does() {
    let mut with_docker = node(2, 5);
    with_docker.runners.push("docker".into());
    let mut capacity = capacity(vec![node(1, 5), with_docker]);
    let classes: HashMap<i64, Class> = [(1, Class { runner: "docker".into(), ..class(1, "default_pool") })].into();
    assert_eq!(nodes_of(&place(&mut capacity, &classes, &candidates(1, 1, 2))), [2, 2]);
    capacity.nodes[1].state = NodeState::Draining;
    let blocked = capacity.class_blocked(&classes[&1]);
    assert!(matches!(blocked, Some(Blocked::NodesAway { .. })), "it waits for the node that has Docker: {blocked:?}");
    capacity.nodes.pop();
    assert_eq!(nodes_of(&place(&mut capacity, &classes, &candidates(1, 1, 1))), [1]);
}

#[test]
fn reasons_name_their_numbers() {
    let mut capacity = capacity(vec![node(1, 5)]);
    capacity.pools.insert("p".into(), Pool { slots: 5, used: 5 });
    let full = capacity.class_blocked(&class(1, "p"));
    assert_eq!(full, Some(Blocked::PoolFull { pool: "p".into(), used: 5, slots: 5, needs: 1 }));
    assert_eq!(capacity.class_blocked(&class(1, "no")), Some(Blocked::PoolMissing { pool: "no".into() }));
    capacity.parallelism = 0;
    let limit = capacity.class_blocked(&class(1, "default_pool"));
    assert_eq!(limit, Some(Blocked::Parallelism { limit: 0 }));
}
