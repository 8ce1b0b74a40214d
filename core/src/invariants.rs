//! What must hold of a run, of a plan and of what is placed, whatever happened before. For tests and for reading: pure functions that
//! return each violation in words.
//!
//! They are written from the tables of Airflow's semantics and not from `plan`, so that a mistake there is not repeated here:
//! trigger rules are judged anew from the states of the upstreams, the leaves from the edges. The simulator
//! (`core/tests/simulator`) asks them after every step; what SQL can say of a snapshot is in `updraft db check`.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};

use crate::{
    dag::{Dag, MapInput, TaskIndex, TriggerRule},
    dispatch::{Capacity, Class},
    ids::AttemptId,
    operator::Place,
    plan::{Facts, Key, Past, Plan, RunState, Ti, UNMAPPED, trigger_rule::Verdict},
    state::{
        DagRunState,
        TaskInstanceState::{self, Failed, Removed, Skipped, Success, UpstreamFailed},
    },
};

/// What holds of a run at any moment. `live`: the attempt rows it has.
pub fn of_run(state: &RunState, live: &[(Key, AttemptId)]) -> Vec<String> {
    let mut broken = Vec::new();
    let mut attempts: BTreeMap<Key, Vec<AttemptId>> = BTreeMap::new();
    for (key, attempt) in live {
        attempts.entry(*key).or_default().push(*attempt);
    }
    for (key, ti) in state.iter() {
        let has = attempts.remove(&key).unwrap_or_default();
        let expected: Vec<AttemptId> = ti.state.has_attempt().then_some(ti.attempt).into_iter().collect();
        let mut say = |what: &str| broken.push(format!("{} is {} {what}", name(&state.dag, key), ti.state));
        if has != expected {
            say(&format!("and has the attempts {has:?} instead of {expected:?}"));
        }
        if ti.state.has_attempt() && ti.try_number < 1 {
            say("before its first try");
        }
        if (ti.state == TaskInstanceState::Restarting) != ti.stopping.is_some() {
            say("which does not go with what it is stopping");
        }
        let waits = matches!(ti.state, TaskInstanceState::UpForRetry | TaskInstanceState::UpForReschedule);
        if waits && ti.next_retry_at.is_none() {
            say("without a time to begin again");
        }
        if ti.state.is_finished() && ti.end_date.is_none() {
            say("without an end");
        }
        // A deadlock, or a clear that leaves the run alone, ends with instances that wait; nothing else is left behind.
        let waits = waits || ti.state == TaskInstanceState::None;
        if state.run.state.is_finished() && !ti.state.is_finished() && !waits {
            say(&format!("in a run that is {}", state.run.state));
        }
    }
    for key in attempts.keys() {
        broken.push(format!("an attempt of {}, which the run does not have", name(&state.dag, *key)));
    }
    for task in 0..state.dag.tasks.len() {
        broken.extend(indexes(state, task));
        broken.extend(cap(state, task));
    }
    broken
}

/// A task is one instance, or as many as its mapping has elements, counted without gaps. A version that maps a task anew, or no
/// more, leaves removed ones of the other kind.
fn indexes(state: &RunState, task: TaskIndex) -> Option<String> {
    let instances = state.instances(task);
    let found: Vec<i32> = instances.iter().map(|(map_index, _)| map_index).collect();
    let counted = found.iter().copied().filter(|index| *index >= 0);
    let has_gaps = !counted.clone().eq(0..counted.count() as i32);
    let lives = |wanted: fn(i32) -> bool| instances.iter().any(|(index, ti)| wanted(index) && !ti.state.is_finished());
    let is_both = lives(|index| index < 0) && lives(|index| index >= 0);
    let is_mapped = state.dag.mapping(task).is_some();
    let is_counted_alone = !is_mapped && lives(|index| index >= 0);
    (has_gaps || is_both || is_counted_alone)
        .then(|| format!("{} has the map indexes {found:?}", state.dag.tasks[task].task_id))
}

fn cap(state: &RunState, task: TaskIndex) -> Option<String> {
    let limit = state.dag.tasks[task].max_active_tis_per_dagrun?;
    let active = active(state, task);
    (active > limit as usize).then(|| {
        format!("{} has {active} active instances of max_active_tis_per_dagrun {limit}", state.dag.tasks[task].task_id)
    })
}

fn active(state: &RunState, task: TaskIndex) -> usize {
    let is_active = |ti: &Ti| ti.state.has_attempt() || ti.state == TaskInstanceState::Restarting;
    state.instances(task).iter().filter(|(_, ti)| is_active(ti)).count()
}

/// What holds of what `plan` decided: `after` is `before` with the plan applied, `facts` are those the plan was made with. Not for the
/// plans of a clear or a mark, by which a user overrules the rules.
///
/// * What begins may: its rule, setups, teardown scope, past, branches and cap allow it now.
/// * What may begin begins: an instance is left undecided only for a reason. What waits for its next try is decided all the same.
/// * What a branch that just ended did not choose is skipped, unless it runs or ran (semantics §12.2).
/// * With `fail_fast`, a failure leaves nothing but teardowns to do (semantics §2.5).
/// * The run ends exactly when it must, in the state of semantics §2.2.
/// * What changes nothing does not ask to be asked again at once.
pub fn of_plan(before: &RunState, plan: &Plan, after: &RunState, facts: &Facts, now: DateTime<Utc>) -> Vec<String> {
    let mut broken = Vec::new();
    for (&key, ti) in &plan.tis {
        let was = before.ti(key);
        let begins = plan.attempts.iter().any(|new| new.key == key) && !was.is_some_and(|was| was.state.has_attempt());
        let decided_here = ti.state == Success
            && after.dag.tasks[key.task].operator.place() == Place::Plan
            && was.is_none_or(|was| was.try_number < ti.try_number);
        if (begins || decided_here)
            && let Some(hold) = hold(after, facts.past.as_ref(), key, Moment::Begun)
        {
            broken.push(format!("{} began although {hold}", name(&after.dag, key)));
        }
    }
    broken.extend(not_chosen(before, plan, after));
    broken.extend(fail_fast(before, plan, after));
    let decides = before.run.state == DagRunState::Running
        && !before.run.dag_is_paused
        && before.run.logical_date.is_none_or(|date| date <= now)
        && plan.needs.is_empty();
    if plan.is_empty() && plan.wake_at.is_some_and(|at| at <= now) {
        broken.push("the plan writes nothing and is to be made again at once".to_owned());
    }
    if !decides {
        return broken;
    }
    if after.run.state == DagRunState::Running {
        for (key, ti) in after.iter() {
            let due = |ti: &Ti| ti.next_retry_at.is_none_or(|at| at <= now);
            let was_due = before.ti(key).is_some_and(|was| was.state == ti.state && due(ti));
            let may_begin = ti.state == TaskInstanceState::None || (waits_for_time(ti.state) && was_due);
            if may_begin && hold(after, facts.past.as_ref(), key, Moment::Waiting).is_none() {
                broken.push(format!("{} is {} though nothing holds it", name(&after.dag, key), ti.state));
            }
            if waits_for_time(ti.state) && is_decided(after, key) {
                broken.push(format!("{} is {} though its upstreams decided it", name(&after.dag, key), ti.state));
            }
        }
    }
    broken.extend(ending(before, after, facts, now));
    broken
}

const fn waits_for_time(state: TaskInstanceState) -> bool {
    matches!(state, TaskInstanceState::UpForRetry | TaskInstanceState::UpForReschedule)
}

/// Semantics §12.2, of the branches that ended with this plan: of their direct downstreams those not chosen are skipped, unless they
/// ran before, or are elements that are gone. A mapped branch skips nothing by itself.
fn not_chosen(before: &RunState, plan: &Plan, after: &RunState) -> Vec<String> {
    let mut broken = Vec::new();
    let ended = plan.tis.iter().filter(|(key, ti)| {
        let was = before.ti(**key).is_some_and(|was| was.state.is_finished());
        ti.state == Success && !was && after.dag.mapping(key.task).is_none()
    });
    for (&branch, ti) in ended {
        let Some(decision) = &ti.skipmixin else { continue };
        for task in after.dag.downstream(branch.task) {
            let id = &after.dag.tasks[task].task_id;
            // Of a mapping the branch may have been what was waited for: it is expanded no more.
            for (map_index, ti) in after.instances(task).iter().filter(|_| decision.skips(id)) {
                let key = Key { task, map_index };
                let may_stay = match ti.state {
                    TaskInstanceState::Running | Success | Failed | Skipped | Removed => true,
                    // It ran when the branch ended, and went on to wait: what waited then is skipped.
                    TaskInstanceState::Deferred | TaskInstanceState::AwaitingInput => plan.tis.contains_key(&key),
                    _ => false,
                };
                if !may_stay {
                    broken.push(format!("{} was not chosen and is {}", name(&after.dag, key), ti.state));
                }
            }
        }
    }
    broken
}

/// Semantics §2.5, of a plan in which an instance failed for good.
fn fail_fast(before: &RunState, plan: &Plan, after: &RunState) -> Option<String> {
    let failed = |(key, ti): (&Key, &Ti)| ti.state == Failed && before.ti(*key).is_none_or(|was| was.state != Failed);
    if !after.dag.fail_fast || !plan.needs.is_empty() || !plan.tis.iter().any(failed) {
        return None;
    }
    let to_do = |state: TaskInstanceState| !state.is_finished() || state == UpstreamFailed;
    let left = after.iter().find(|(key, ti)| !after.dag.tasks[key.task].is_teardown && to_do(ti.state));
    left.map(|(key, ti)| format!("fail_fast left {} {}", name(&after.dag, key), ti.state))
}

/// Whether the states of its upstreams decide an instance that has not begun.
fn is_decided(state: &RunState, key: Key) -> bool {
    let of_group = key.map_index == UNMAPPED
        && state.dag.mapping(key.task).is_some()
        && state.dag.tasks[key.task].mapping.is_none();
    let verdict = if of_group { Verdict::Run } else { verdict(state, key) };
    !matches!(verdict, Verdict::Run | Verdict::Wait) || skipped_by(state, key).is_some()
}

/// The direct upstream that decided, now or before a clear, to skip an instance (semantics §12.3).
fn skipped_by(state: &RunState, key: Key) -> Option<TaskIndex> {
    let dag = &state.dag;
    let id = &dag.tasks[key.task].task_id;
    dag.upstream(key.task).find(|&up| {
        let map_index = if dag.mapping(up).is_some() { key.map_index } else { UNMAPPED };
        let upstream = state.ti(Key { task: up, map_index }).filter(|ti| ti.state.is_finished());
        upstream.and_then(|ti| ti.skipmixin.as_ref()).is_some_and(|decision| decision.skips(id))
    })
}

/// Semantics §2.2 and §2.4 of a run that was running until this plan.
fn ending(before: &RunState, after: &RunState, facts: &Facts, now: DateTime<Utc>) -> Option<String> {
    let dag = &after.dag;
    let run = &after.run;
    let unfinished: Vec<Key> = after.iter().filter(|(_, ti)| !ti.state.is_finished()).map(|(key, _)| key).collect();
    let timed_out = run.state.is_finished()
        && dag.dagrun_timeout.zip(run.start_date).is_some_and(|(after, start)| start + after <= now);
    if timed_out {
        let wrong = run.state != DagRunState::Failed || !unfinished.is_empty();
        return wrong.then(|| "a run that timed out must fail, with nothing unfinished".to_owned());
    }
    let failed =
        leaves(dag).into_iter().any(|task| after.instances(task).iter().any(|(_, ti)| ti.state.is_failure_like()));
    let expected = if failed { DagRunState::Failed } else { DagRunState::Success };
    if unfinished.is_empty() {
        return (run.state != expected)
            .then(|| format!("all is over and the run is {} instead of {expected}", run.state));
    }
    let waits_for_others = |key: &Key| {
        let task = &dag.tasks[key.task];
        task.depends_on_past || task.max_active_tis_per_dag.is_some() || task.max_active_tis_per_dagrun.is_some()
    };
    // A retry whose time has not come would begin then, unless something else holds it as well.
    let waits_in_vain = |key: &Key| {
        let just_failed = |ti: &Ti| before.ti(*key).is_none_or(|was| was.state != ti.state);
        after.ti(*key).is_some_and(|ti| match ti.state {
            TaskInstanceState::None => true,
            TaskInstanceState::UpForRetry | TaskInstanceState::UpForReschedule => {
                let due = !just_failed(ti) && ti.next_retry_at.is_none_or(|at| at <= now);
                due || hold(after, facts.past.as_ref(), *key, Moment::Waiting).is_some()
            }
            _ => false,
        })
    };
    let deadlocked = unfinished.iter().all(waits_in_vain) && !unfinished.iter().any(waits_for_others);
    let expected = if deadlocked { DagRunState::Failed } else { DagRunState::Running };
    (run.state != expected).then(|| {
        format!("{} unfinished instances and the run is {} instead of {expected}", unfinished.len(), run.state)
    })
}

/// The tasks that decide the run, from the edges: every downstream is a teardown that does not fail the run, and the task is none;
/// of nothing but such teardowns, those without downstream.
fn leaves(dag: &Dag) -> Vec<TaskIndex> {
    let mut downstream: Vec<Vec<TaskIndex>> = vec![Vec::new(); dag.tasks.len()];
    for (task, spec) in dag.tasks.iter().enumerate() {
        for up in spec.upstream.iter().filter_map(|id| dag.index_of(id.as_str())) {
            downstream[up].push(task);
        }
    }
    let quiet: Vec<bool> = dag.tasks.iter().map(|task| task.is_teardown && !task.on_failure_fail_dagrun).collect();
    let all = 0..dag.tasks.len();
    let effective: Vec<TaskIndex> =
        all.clone().filter(|&task| !quiet[task] && !downstream[task].iter().any(|&down| !quiet[down])).collect();
    if effective.is_empty() { all.filter(|&task| downstream[task].is_empty()).collect() } else { effective }
}

/// When a hold is asked for: a task that just began counts in its own cap.
#[derive(Clone, Copy, PartialEq)]
enum Moment {
    Waiting,
    Begun,
}

/// What keeps an instance from beginning, in words. A verdict that decides the instance (skip, upstream_failed) is a hold for one that
/// began and none for one that waits: it should have been decided.
fn hold(state: &RunState, past: Option<&Past>, key: Key, moment: Moment) -> Option<String> {
    let dag = &state.dag;
    let task = &dag.tasks[key.task];
    let unexpanded = key.map_index == UNMAPPED && dag.mapping(key.task).is_some();
    let of_group = unexpanded && task.mapping.is_none();
    let verdict = if of_group { with_group(state, key) } else { verdict(state, key) };
    match (skipped_by(state, key), moment) {
        (Some(up), Moment::Begun) => return Some(format!("{} decided to skip it", dag.tasks[up].task_id)),
        (Some(_), Moment::Waiting) => return None,
        (None, _) => {}
    }
    match (verdict, moment) {
        (Verdict::Run, _) => {}
        (_, Moment::Begun) | (Verdict::Wait, Moment::Waiting) => {
            return Some(format!("its rule {:?} says {verdict:?}", task.trigger_rule));
        }
        (_, Moment::Waiting) => return None,
    }
    if unexpanded {
        let sources = dag.mapping(key.task).into_iter().flat_map(|mapping| mapping.inputs.values());
        let unfinished = sources
            .filter_map(|input| match input {
                MapInput::XCom { task_id, .. } => dag.index_of(task_id.as_str()),
                MapInput::Literal(_) | MapInput::Template(_) => None,
            })
            .any(|source| state.instances(source).iter().any(|(_, ti)| !ti.state.is_finished()));
        let asks = moment == Moment::Begun || unfinished;
        return asks.then(|| "it is mapped and not expanded".to_owned());
    }
    for &between in dag.scopes().teardown_scope(key.task) {
        if relevant(state, key, between).iter().any(|state| !state.is_finished()) {
            return Some(format!("{} is not over, which it tears down", dag.tasks[between].task_id));
        }
    }
    // Where the plan did not ask for the past, it did not come so far.
    if task.depends_on_past && state.run.logical_date.is_some() {
        match past {
            Some(past) if past_allows(dag, key.task, past) => {}
            Some(_) => return Some("the run before did not end well for it".to_owned()),
            None if moment == Moment::Begun => return Some("nobody looked at the run before".to_owned()),
            None => return Some("the run before was not looked at".to_owned()),
        }
    }
    let limit = task.max_active_tis_per_dagrun.map_or(usize::MAX, |limit| limit as usize);
    let others = active(state, key.task)
        - usize::from(moment == Moment::Begun && state.ti(key).is_some_and(|ti| ti.state.has_attempt()));
    (others >= limit).then(|| format!("{others} instances are active and {limit} may be"))
}

/// Whether a member of a mapped group that is not expanded may be: at once, but for a template, which is rendered when its group's
/// first members may begin.
fn with_group(state: &RunState, key: Key) -> Verdict {
    let dag = &state.dag;
    let mut inputs = dag.mapping(key.task).into_iter().flat_map(|mapping| mapping.inputs.values());
    if !inputs.any(|input| matches!(input, MapInput::Template(_))) {
        return Verdict::Run;
    }
    let before = dag.upstream(key.task).filter(|&up| dag.scopes().share_mapped_group(key.task, up));
    let before: Vec<Option<&Ti>> = before.map(|up| state.ti(Key::unmapped(up))).collect();
    if before.iter().flatten().any(|ti| !ti.state.is_finished()) {
        Verdict::Wait
    } else if before.contains(&None) {
        Verdict::Run
    } else {
        verdict(state, key)
    }
}

/// Setups and trigger rule (semantics §3).
fn verdict(state: &RunState, key: Key) -> Verdict {
    let dag = &state.dag;
    let trigger_rule = dag.tasks[key.task].trigger_rule;
    if trigger_rule == TriggerRule::Always {
        return Verdict::Run;
    }
    let setups: Vec<TaskInstanceState> =
        dag.scopes().indirect_setups(key.task).iter().flat_map(|&setup| relevant(state, key, setup)).collect();
    let succeeded = setups.iter().filter(|state| **state == Success).count();
    if setups.iter().any(|state| state.is_failure_like()) {
        return Verdict::UpstreamFailed;
    }
    if setups.contains(&Skipped) {
        return Verdict::Skip;
    }
    if setups.contains(&Removed) && key.map_index >= 0 && key.map_index as usize >= succeeded {
        return Verdict::Remove;
    }
    let upstreams: Vec<(TaskInstanceState, bool)> = dag
        .upstream(key.task)
        .flat_map(|up| relevant(state, key, up).into_iter().map(move |state| (state, dag.tasks[up].is_setup)))
        .collect();
    // A setup that is not over keeps a task from beginning; its other upstreams may decide it all the same. For a mapped instance
    // the setup's elements that are gone are none to wait for.
    let is_ready = |state: &TaskInstanceState| *state == Success || (*state == Removed && key.map_index >= 0);
    match rule(trigger_rule, &upstreams, key.map_index) {
        Verdict::Run if !setups.iter().all(is_ready) => Verdict::Wait,
        verdict => verdict,
    }
}

/// The states of the instances of `other` that concern an instance: inside one mapped group the same index, else all.
fn relevant(state: &RunState, key: Key, other: TaskIndex) -> Vec<TaskInstanceState> {
    let groups = state.dag.scopes();
    let same_group =
        groups.mapped_group(key.task).is_some() && groups.mapped_group(key.task) == groups.mapped_group(other);
    if same_group && key.map_index >= 0 {
        let same = state.ti(Key { task: other, map_index: key.map_index });
        return same.or_else(|| state.ti(Key::unmapped(other))).map(|ti| ti.state).into_iter().collect();
    }
    state.instances(other).iter().map(|(_, ti)| ti.state).collect()
}

/// Semantics §3.2, said of the set of upstream states rather than of their counts.
fn rule(rule: TriggerRule, upstreams: &[(TaskInstanceState, bool)], map_index: i32) -> Verdict {
    let any = |wanted: &[TaskInstanceState]| upstreams.iter().any(|(state, _)| wanted.contains(state));
    let all = |wanted: &[TaskInstanceState]| upstreams.iter().all(|(state, _)| wanted.contains(state));
    let done = upstreams.iter().all(|(state, _)| state.is_finished());
    let successes = upstreams.iter().filter(|(state, _)| *state == Success).count();
    let first =
        |cases: &[(bool, Verdict)]| cases.iter().find(|(holds, _)| *holds).map_or(Verdict::Wait, |(_, then)| *then);
    if upstreams.is_empty() {
        return Verdict::Run;
    }
    match rule {
        TriggerRule::Always => Verdict::Run,
        TriggerRule::AllSuccess => first(&[
            (any(&[Failed, UpstreamFailed]), Verdict::UpstreamFailed),
            (any(&[Skipped]), Verdict::Skip),
            (any(&[Removed]) && any(&[Success]) && map_index >= successes as i32, Verdict::Remove),
            (all(&[Success, Removed]), Verdict::Run),
        ]),
        TriggerRule::AllFailed => {
            first(&[(any(&[Success, Skipped]), Verdict::Skip), (all(&[Failed, UpstreamFailed, Removed]), Verdict::Run)])
        }
        TriggerRule::AllDone => first(&[(done, Verdict::Run)]),
        TriggerRule::AllDoneMinOneSuccess => first(&[
            (any(&[Skipped]), Verdict::Skip),
            (done && !any(&[Success]), Verdict::UpstreamFailed),
            (done, Verdict::Run),
        ]),
        TriggerRule::AllDoneSetupSuccess => {
            let setups = || upstreams.iter().filter(|(_, is_setup)| *is_setup).map(|(state, _)| *state);
            first(&[
                (!done, Verdict::Wait),
                (setups().next().is_none() || setups().any(|state| state == Success), Verdict::Run),
                (setups().all(|state| state == Skipped), Verdict::Skip),
                (true, Verdict::UpstreamFailed),
            ])
        }
        TriggerRule::OneSuccess => {
            first(&[(any(&[Success]), Verdict::Run), (all(&[Skipped]), Verdict::Skip), (done, Verdict::UpstreamFailed)])
        }
        TriggerRule::OneFailed => first(&[(any(&[Failed, UpstreamFailed]), Verdict::Run), (done, Verdict::Skip)]),
        TriggerRule::OneDone => first(&[(any(&[Success, Failed]), Verdict::Run), (done, Verdict::Skip)]),
        TriggerRule::NoneFailed => {
            first(&[(any(&[Failed, UpstreamFailed]), Verdict::UpstreamFailed), (done, Verdict::Run)])
        }
        TriggerRule::NoneFailedMinOneSuccess => first(&[
            (any(&[Failed, UpstreamFailed]), Verdict::UpstreamFailed),
            (all(&[Skipped]), Verdict::Skip),
            (done && !any(&[Success]), Verdict::UpstreamFailed),
            (done, Verdict::Run),
        ]),
        TriggerRule::NoneSkipped => first(&[(any(&[Skipped]), Verdict::Skip), (done, Verdict::Run)]),
        TriggerRule::AllSkipped => {
            first(&[(any(&[Success, Failed, UpstreamFailed]), Verdict::Skip), (all(&[Skipped]), Verdict::Run)])
        }
    }
}

/// Semantics §5, for a run with a logical date.
fn past_allows(dag: &Dag, task: TaskIndex, past: &Past) -> bool {
    let spec = &dag.tasks[task];
    let Some(previous) = past.previous.as_ref().filter(|_| !past.is_first_of_backfill) else { return true };
    if dag.catchup && previous.logical_date.zip(spec.start_date).is_some_and(|(date, start)| date < start) {
        return true;
    }
    let ended_well = |id| {
        previous.states.get(id).is_none_or(|states| states.iter().all(|&state| matches!(state, Success | Skipped)))
    };
    if !previous.states.contains_key(&spec.task_id) {
        return spec.ignore_first_depends_on_past && !past.seen.contains(&spec.task_id);
    }
    let mut concerned = vec![&spec.task_id];
    if spec.wait_for_downstream {
        concerned.extend(dag.downstream(task).map(|down| &dag.tasks[down].task_id));
    }
    concerned.into_iter().all(ended_well)
}

/// What holds of what is placed, after every pass of dispatch: no pool over its slots, no node over its own, no cap exceeded.
/// `max_active_tasks` says a run's limit.
pub fn of_capacity<S: std::hash::BuildHasher>(
    capacity: &Capacity,
    classes: &HashMap<i64, Class, S>,
    max_active_tasks: impl Fn(i64) -> u32,
) -> Vec<String> {
    let mut broken = Vec::new();
    for (name, pool) in &capacity.pools {
        if pool.slots >= 0 && pool.used > pool.slots {
            broken.push(format!("pool {name} uses {} of {} slots", pool.used, pool.slots));
        }
    }
    for node in capacity.nodes.iter().filter(|node| node.used > node.slots) {
        broken.push(format!("node {} has {} attempts on {} slots", node.name, node.used, node.slots));
    }
    if capacity.placed > capacity.parallelism {
        broken.push(format!("{} attempts are placed of parallelism {}", capacity.placed, capacity.parallelism));
    }
    for cap in classes.values().filter_map(|class| class.cap.as_ref()) {
        let active = capacity.caps.get(&cap.of).copied().unwrap_or(0);
        if active > cap.limit {
            broken.push(format!("{} has {active} active of max_active_tis_per_dag {}", cap.of, cap.limit));
        }
    }
    for (&run, &active) in &capacity.runs {
        let limit = max_active_tasks(run);
        if active > limit {
            broken.push(format!("run {run} has {active} placed of max_active_tasks {limit}"));
        }
    }
    broken.sort_unstable();
    broken
}

fn name(dag: &Dag, key: Key) -> String {
    let id = &dag.tasks[key.task].task_id;
    if key.map_index == UNMAPPED { id.to_string() } else { format!("{id}[{}]", key.map_index) }
}
