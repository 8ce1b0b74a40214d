//! Random DAGs of everything the plan decides about.

use std::time::Duration;

use indexmap::IndexMap;
use serde_json::{Value, json};
use updraft_core::{
    dag::{Dag, MapInput, Mapping, MappingKind, Sensor, Task, TaskGroup, TriggerRule},
    operator::OperatorKind,
};

use crate::random::Random;

const RULES: [TriggerRule; 13] = [
    TriggerRule::AllSuccess,
    TriggerRule::AllFailed,
    TriggerRule::AllDone,
    TriggerRule::AllDoneMinOneSuccess,
    TriggerRule::AllDoneSetupSuccess,
    TriggerRule::OneSuccess,
    TriggerRule::OneFailed,
    TriggerRule::OneDone,
    TriggerRule::NoneFailed,
    TriggerRule::NoneFailedMinOneSuccess,
    TriggerRule::NoneSkipped,
    TriggerRule::AllSkipped,
    TriggerRule::Always,
];

const KINDS: [OperatorKind; 12] = [
    OperatorKind::Bash,
    OperatorKind::Bash,
    OperatorKind::Bash,
    OperatorKind::Bash,
    OperatorKind::Empty,
    OperatorKind::BranchPython,
    OperatorKind::ShortCircuitPython,
    OperatorKind::Branch,
    OperatorKind::PythonSensor,
    OperatorKind::TimeSensor,
    OperatorKind::Hitl,
    OperatorKind::Unsupported,
];

/// The pools tasks are in; the last one is sometimes missing.
pub(crate) const POOLS: [&str; 3] = ["default_pool", "small", "missing"];

/// A DAG of 1 to 10 tasks.
pub(crate) fn dag(random: &mut Random) -> Dag {
    let mut dag = Dag::new("d");
    let count = 1 + random.below(10);
    // Whole DAGs without the rarer things, so that each is also seen by itself.
    let (rules, maps, setups, past) = (random.chance(60), random.chance(60), random.chance(40), random.chance(15));
    dag.max_active_tasks = 1 + random.below(6) as u32;
    dag.catchup = random.chance(50);
    dag.dagrun_timeout = random.chance(8).then(|| Duration::from_secs(600 + random.below(3000) as u64));
    let mut groups: Vec<(&str, std::ops::Range<usize>)> = Vec::new();
    if maps && count > 2 && random.chance(50) {
        let first = 1 + random.below(count - 2);
        let end = (first + 2 + random.below(2)).min(count);
        groups.push(("g", first..end));
        if end + 1 < count && random.chance(50) {
            groups.push(("h", end..end + 2));
        }
    }
    // A plain group inside the mapped one.
    let nested = random.chance(40);
    for at in 0..count {
        let group = groups.iter().find(|(_, members)| members.contains(&at)).map(|(name, _)| *name);
        let in_group = group.is_some();
        let group = group.map(|name| if nested && at % 2 == 0 { format!("{name}.inner") } else { name.to_owned() });
        let id = group.as_ref().map_or_else(|| format!("t{at}"), |group| format!("{group}.t{at}"));
        let kind = *random.pick(&KINDS).expect("there are kinds");
        let mut task = Task::new(id.as_str(), kind, "x.Operator");
        task.task_group = group;
        task.upstream = (0..at).filter(|_| random.chance(35)).map(|up| dag.tasks[up].task_id.clone()).collect();
        if rules && random.chance(60) {
            task.trigger_rule = *random.pick(&RULES).expect("there are rules");
        }
        task.retries = if random.chance(40) { random.below(3) as u32 } else { 0 };
        task.retry_delay = Duration::from_secs(random.below(600) as u64);
        (*random.pick(&POOLS).expect("there are pools")).clone_into(&mut task.pool);
        task.pool_slots = 1 + random.below(2) as u32;
        task.priority_weight = random.below(5) as i32;
        task.max_active_tis_per_dagrun = random.chance(15).then(|| 1 + random.below(2) as u32);
        task.max_active_tis_per_dag = random.chance(10).then(|| 1 + random.below(2) as u32);
        if kind == OperatorKind::PythonSensor {
            let timeout = Duration::from_secs(random.below(600) as u64);
            task.sensor = Some(Sensor { timeout, soft_fail: random.chance(50), ..Sensor::default() });
        }
        if kind == OperatorKind::ShortCircuitPython && random.chance(40) {
            task.args.insert("ignore_downstream_trigger_rules".to_owned(), json!(false));
        }
        if past && random.chance(50) {
            task.depends_on_past = true;
            task.wait_for_downstream = random.chance(30);
            task.ignore_first_depends_on_past = random.chance(50);
        }
        if maps && !in_group && at > 0 && random.chance(35) {
            task.mapping = Some(mapping(random, &dag, at, &mut task.upstream));
        }
        dag.tasks.push(task);
    }
    for (name, members) in groups {
        let mut upstream = Vec::new();
        let mapping = mapping(random, &dag, members.start, &mut upstream);
        // As the loader has it: every first member depends on what the group maps over.
        let ids: Vec<_> = members.clone().map(|member| dag.tasks[member].task_id.clone()).collect();
        let roots = members.filter(|&member| !dag.tasks[member].upstream.iter().any(|up| ids.contains(up)));
        for member in roots.collect::<Vec<_>>() {
            for source in &upstream {
                if !dag.tasks[member].upstream.contains(source) {
                    dag.tasks[member].upstream.push(source.clone());
                }
            }
        }
        dag.task_groups.insert(name.to_owned(), group_of(name, None, Some(mapping)));
        let inner = format!("{name}.inner");
        dag.task_groups.insert(inner.clone(), group_of(&inner, Some(name), None));
    }
    if setups && count > 1 {
        for number in 0..=random.below(2) {
            add_setup(random, &mut dag, count, number);
        }
    }
    let plain = |task: &Task| task.trigger_rule == TriggerRule::AllSuccess || task.is_teardown;
    dag.fail_fast = dag.tasks.iter().all(plain) && random.chance(20);
    dag.check_acyclic().expect("edges go from earlier tasks to later ones");
    dag
}

/// A setup before a task and its teardown at the end; the work between may be anything. Both may belong to the mapped group of the
/// work, which then is all in it.
fn add_setup(random: &mut Random, dag: &mut Dag, count: usize, number: usize) {
    let work = random.below(count);
    let group = dag.tasks[work].task_group.clone().filter(|_| random.chance(60));
    let prefix = group.as_ref().map(|group| format!("{group}.")).unwrap_or_default();
    let new = |name: &str| Task::new(format!("{prefix}{name}{number}").as_str(), OperatorKind::Bash, "x.Operator");
    let mut setup = new("setup");
    setup.is_setup = true;
    setup.task_group.clone_from(&group);
    let root = group.as_deref().and_then(|group| group.split('.').next());
    if let Some(mapping) = root.and_then(|root| dag.task_groups[root].mapping.as_ref()) {
        let sources = mapping.inputs.values().filter_map(|input| match input {
            MapInput::XCom { task_id, .. } => Some(task_id.clone()),
            MapInput::Literal(_) | MapInput::Template(_) => None,
        });
        setup.upstream.extend(sources);
    }
    let mut teardown = new("teardown");
    teardown.is_teardown = true;
    teardown.task_group.clone_from(&group);
    teardown.trigger_rule = TriggerRule::AllDoneSetupSuccess;
    teardown.on_failure_fail_dagrun = random.chance(30);
    teardown.upstream.push(setup.task_id.clone());
    dag.tasks[work].upstream.push(setup.task_id.clone());
    let last = if group.is_some() { work } else { work + random.below(count - work) };
    teardown.upstream.push(dag.tasks[last].task_id.clone());
    if last != work && random.chance(50) {
        teardown.upstream.push(dag.tasks[work].task_id.clone());
    }
    if random.chance(20) {
        let mut after = Task::new(format!("after{number}").as_str(), OperatorKind::Bash, "x.Operator");
        after.upstream.push(teardown.task_id.clone());
        dag.tasks.push(after);
    }
    dag.tasks.push(setup);
    dag.tasks.push(teardown);
}

/// Over one or two inputs, literals or results of earlier tasks, which become upstreams.
fn mapping(random: &mut Random, dag: &Dag, before: usize, upstream: &mut Vec<updraft_core::ids::TaskId>) -> Mapping {
    let kinds = [MappingKind::Expand, MappingKind::Foreach, MappingKind::Expand, MappingKind::ExpandKwargs];
    let kind = *random.pick(&kinds).expect("there are kinds");
    let inputs = if kind == MappingKind::Expand { 1 + random.below(2) } else { 1 };
    let inputs: IndexMap<String, MapInput> = (0..inputs)
        .map(|number| {
            let input = if random.chance(60) {
                let source = dag.tasks[random.below(before)].task_id.clone();
                if !upstream.contains(&source) {
                    upstream.push(source.clone());
                }
                MapInput::XCom { task_id: source, key: "return_value".to_owned() }
            } else {
                MapInput::Literal(Value::Array(vec![json!(1); random.below(4)]))
            };
            (format!("x{number}"), input)
        })
        .collect();
    Mapping { kind, inputs }
}

fn group_of(id: &str, parent: Option<&str>, mapping: Option<Mapping>) -> TaskGroup {
    TaskGroup {
        group_id: id.to_owned(),
        parent: parent.map(ToOwned::to_owned),
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
