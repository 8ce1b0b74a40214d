//! What a decision costs, without a database: `plan` on big runs after one event, and the memory of many live runs. Beside the floor
//! of going through the same rows once.

use std::{hint::black_box, sync::Arc, time::Instant};

use chrono::{DateTime, Utc};
use indexmap::IndexMap;
use serde_json::{Value, json};
use updraft_core::{
    dag::{Dag, MapInput, Mapping, MappingKind, Task},
    ids::AttemptId,
    mapping,
    operator::OperatorKind,
    plan::{Change, Event, Facts, Finished, Key, Run, RunState, Scope, Started, Ti, plan},
    spec::Outcome,
    state::{DagRunState, DagRunType},
};
use uuid::Uuid;

const TASKS: usize = 10_000;
const RUNS: usize = 1_000;
const TASKS_OF_EACH: usize = 100;

pub(crate) fn measure() -> Vec<(String, String)> {
    let mut rows = Vec::new();
    let shapes: [(&str, Dag, &str, i32); 4] = [
        ("a chain of 10,000", chain(), "t0", -1),
        ("1 → 10,000 → 1, one of the many ends", fan(), "m5000", -1),
        ("1 → 10,000 → 1, the first ends", fan(), "first", -1),
        ("a task mapped to 1,000 instances, one ends", mapped(), "m", 500),
    ];
    for (name, dag, ends, map_index) in shapes {
        let mut state = run(1, &Arc::new(dag));
        begin(&mut state);
        if ends.starts_with('m') && map_index < 0 {
            let first = end(&state, "first", -1);
            apply(&mut state, &first);
        }
        let change = end(&state, ends, map_index);
        let plan = median(|| drop(black_box(decide(&state, std::slice::from_ref(&change), Scope::Changed))));
        let floor = median(|| {
            black_box(state.iter().filter(|(_, ti)| !ti.state.is_finished()).count());
        });
        rows.push((
            format!("plan: {name}"),
            format!(
                "{plan:.3} ms (aim: <= 1 ms); going through its {} rows once: {floor:.3} ms, ratio {:.2}",
                state.len(),
                plan / floor
            ),
        ));
    }
    rows.push(memory());
    rows
}

/// 100,000 live instances: 1,000 runs of a DAG with 100 tasks, all started.
fn memory() -> (String, String) {
    let dag = Arc::new(chain_of(TASKS_OF_EACH));
    let before = resident_kib();
    let runs: Vec<RunState> = (0..RUNS)
        .map(|number| {
            let mut state = run(number as i64, &dag);
            begin(&mut state);
            state
        })
        .collect();
    let used = (resident_kib() - before) as f64 / 1024.0;
    let instances: usize = runs.iter().map(RunState::len).sum();
    let floor = (instances * size_of::<Ti>()) as f64 / 1_048_576.0;
    (
        format!("memory: {instances} live instances in {RUNS} runs"),
        format!("{used:.1} MB; their bare structs: {floor:.1} MB, ratio {:.2}", used / floor),
    )
}

fn resident_kib() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says how much is resident");
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Milliseconds, of 31 times.
fn median(mut work: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..31)
        .map(|_| {
            let begin = Instant::now();
            work();
            begin.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[15]
}

fn task(id: &str, upstream: &[String]) -> Task {
    let class = "airflow.providers.standard.operators.bash.BashOperator";
    Task {
        upstream: upstream.iter().map(|id| id.as_str().into()).collect(),
        ..Task::new(id, OperatorKind::Bash, class)
    }
}

fn chain() -> Dag {
    chain_of(TASKS)
}

fn chain_of(count: usize) -> Dag {
    let mut dag = Dag::new("chain");
    dag.tasks = (0..count)
        .map(|number| {
            task(
                &format!("t{number}"),
                &number.checked_sub(1).map(|up| format!("t{up}")).into_iter().collect::<Vec<_>>(),
            )
        })
        .collect();
    dag
}

fn fan() -> Dag {
    let mut dag = Dag::new("fan");
    let many: Vec<String> = (0..TASKS).map(|number| format!("m{number}")).collect();
    dag.tasks.push(task("first", &[]));
    dag.tasks.extend(many.iter().map(|id| task(id, &["first".to_owned()])));
    dag.tasks.push(task("last", &many));
    dag
}

fn mapped() -> Dag {
    let mut dag = Dag::new("mapped");
    let input = MapInput::Literal(Value::Array(vec![json!(1); 1000]));
    let mapping = Mapping { kind: MappingKind::Foreach, inputs: IndexMap::from([("item".to_owned(), input)]) };
    dag.tasks.push(Task { mapping: Some(mapping), ..task("m", &[]) });
    dag.tasks.push(task("last", &["m".to_owned()]));
    dag
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_768_478_400, 0).expect("a date")
}

fn run(id: i64, dag: &Arc<Dag>) -> RunState {
    let row = Run {
        id,
        state: DagRunState::Running,
        run_type: DagRunType::Manual,
        logical_date: None,
        queued_at: Some(now()),
        start_date: Some(now()),
        end_date: None,
        dag_is_paused: false,
    };
    let keys = (0..dag.tasks.len())
        .flat_map(|task| mapping::initial_map_indexes(dag, task).map(move |map_index| Key { task, map_index }));
    let tis: Vec<(Key, Ti)> = keys.map(|key| (key, Ti::new(AttemptId(Uuid::nil()), 0))).collect();
    RunState::new(row, dag.clone(), tis)
}

fn decide(state: &RunState, changes: &[Change], scope: Scope) -> updraft_core::plan::Plan {
    let mut next = 0;
    plan(state, changes, scope, &Facts::default(), now(), &mut || {
        next += 1;
        AttemptId(Uuid::from_u128(next))
    })
}

fn begin(state: &mut RunState) {
    let first = decide(state, &[], Scope::All);
    state.apply(&first);
}

fn apply(state: &mut RunState, change: &Change) {
    let next = decide(state, std::slice::from_ref(change), Scope::Changed);
    state.apply(&next);
}

/// An instance's good end.
fn end(state: &RunState, task_id: &str, map_index: i32) -> Change {
    let task = state.dag.index_of(task_id).expect("the DAG has the task");
    let attempt = state.ti(Key { task, map_index }).expect("the run has the instance").attempt;
    let finished = Finished {
        started: Started::default(),
        at: Some(now()),
        outcome: Outcome::Success,
        exit_code: Some(0),
        failure: None,
        no_retry: false,
        retry_delay: None,
        decision: None,
        rendered_fields: None,
        rendered_map_index: None,
        outlet_events: None,
    };
    Change { task_id: task_id.into(), map_index, attempt, event: Event::Finished(Box::new(finished)) }
}
