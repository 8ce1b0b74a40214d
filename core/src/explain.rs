//! Why a task instance is not running: codes with parameters, from plan's and dispatch's own functions, never stored.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    dag::{TaskIndex, TriggerRule},
    dispatch::{Blocked, Candidate, Capacity, Class},
    ids::TaskId,
    plan::{
        Key, RunState, SkipMixin, Ti, UNMAPPED,
        trigger_rule::{self, Upstreams, Verdict},
    },
    spec::Failure,
    state::{DagRunState, TaskInstanceState},
    triggerer::WaitingFor,
};

/// One reason. The UI and `updraft runs why` say it in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Reason {
    /// It waits for nothing: it is over.
    Finished(Over),
    Running {
        executor: Option<String>,
    },
    /// The run has no instance of the task: its dates exclude the run.
    NoInstance,
    DagPaused,
    /// The DAG is gone from its file: its runs rest until it is back.
    DagStale,
    /// The run's time has not come.
    RunNotDue {
        run_after: DateTime<Utc>,
    },
    /// The run itself waits for another run of the DAG to end.
    MaxActiveRuns {
        limit: u32,
        running: u32,
    },
    /// Queued, and nothing holds it: it starts with the next pass.
    RunStarting,
    RunFinished {
        state: DagRunState,
    },
    /// The scheduler gave up planning the run.
    RunQuarantined {
        reason: String,
    },
    UpstreamNotDone {
        trigger_rule: TriggerRule,
        waiting_for: Vec<String>,
    },
    RetryDelay {
        until: Option<DateTime<Utc>>,
        try_number: i32,
        max_tries: i32,
    },
    /// The sensor's condition does not hold yet.
    SensorWaits {
        until: Option<DateTime<Utc>>,
        asked: i32,
    },
    /// `depends_on_past`: the task (or, with `wait_for_downstream`, what follows it) has not ended well in the run before.
    EarlierRunNotDone {
        wait_for_downstream: bool,
    },
    /// `max_active_tis_per_dagrun`: that many of the task's instances are active already.
    TaskFullInRun {
        limit: u32,
        running: u32,
    },
    /// Every upstream is over, and its rule is neither met nor broken by how they ended (`all_skipped` with removed ones).
    RuleNotMet {
        trigger_rule: TriggerRule,
    },
    /// Nothing holds it: something changed just now, and the next plan decides about it.
    NotYetDecided,
    /// The run's logical date is to come.
    LogicalDateToCome {
        logical_date: DateTime<Utc>,
    },
    /// Cleared while running: its old attempt is being stopped.
    Stopping {
        deadline: Option<DateTime<Utc>>,
    },
    /// Nothing holds it: it is placed with the next pass.
    WaitingForDispatch,
    /// Placed; the node has not fetched it yet.
    WaitingForNode {
        executor: String,
        since: Option<DateTime<Utc>>,
    },
    /// The node has it and has not started it (pulling an image, for instance).
    HandedOut {
        executor: String,
        since: Option<DateTime<Utc>>,
    },
    /// The triggerer takes it up with its next pass.
    WaitingForTriggerer,
    /// It began, and waits without holding a slot.
    #[serde(untagged)]
    Waiting(WaitingFor),
    /// Dispatch's reason.
    #[serde(untagged)]
    Blocked(Blocked),
}

impl Reason {
    /// What tells reasons apart when many wait: the code, and the pool, queue or node that it is about (empty: none).
    ///
    /// How full a pool is or until when something waits differs from one to the next and is left out.
    pub fn cause(&self) -> (String, String) {
        let value = serde_json::to_value(self).expect("a reason has text keys");
        let code = value["code"].as_str().unwrap_or_default().to_owned();
        let about = ["pool", "queue", "executor"].iter().find_map(|key| value[*key].as_str());
        (code, about.unwrap_or_default().to_owned())
    }

    /// In a sentence, where the code and its parameters do not say it all.
    pub fn told(&self) -> Option<String> {
        match self {
            Self::Finished(over) => over.told(),
            Self::Blocked(blocked) => blocked.told(),
            _ => None,
        }
    }
}

/// How an instance ended, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Over {
    pub state: TaskInstanceState,
    /// Why its last try failed, where it did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure: Option<Failure>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub exit_code: Option<i64>,
    /// What it decided about the tasks behind it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub decision: Option<SkipMixin>,
    /// The branches and short circuits that skipped it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub skipped_by: Vec<TaskId>,
    /// Of an instance that its trigger rule ended: the upstreams that failed or were skipped.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub upstream: Vec<TaskId>,
}

impl Over {
    fn new(state: &RunState, key: Key, ti: &Ti) -> Self {
        let (mut skipped_by, mut upstream) = (Vec::new(), Vec::new());
        let ended_so = |task: TaskIndex, states: &[TaskInstanceState]| {
            state.instances(task).iter().any(|(_, ti)| states.contains(&ti.state))
        };
        let upstream_in = |states: &[TaskInstanceState]| {
            let found = state.dag.upstream(key.task).filter(|&task| ended_so(task, states));
            found.map(|task| state.dag.tasks[task].task_id.clone()).collect()
        };
        match ti.state {
            TaskInstanceState::Skipped => {
                skipped_by = deciders(state, key);
                if skipped_by.is_empty() {
                    upstream = upstream_in(&[TaskInstanceState::Skipped]);
                }
            }
            TaskInstanceState::UpstreamFailed => {
                upstream = upstream_in(&[TaskInstanceState::Failed, TaskInstanceState::UpstreamFailed]);
            }
            _ => {}
        }
        let (failure, exit_code, decision) = (ti.failure.clone(), ti.exit_code, ti.skipmixin.clone());
        Self { state: ti.state, failure, exit_code, decision, skipped_by, upstream }
    }

    /// In a sentence; `None`: there is nothing to say but the state.
    pub fn told(&self) -> Option<String> {
        let names = |ids: &[TaskId]| {
            let quoted: Vec<String> = ids.iter().map(|id| format!("`{id}`")).collect();
            quoted.join(", ")
        };
        if let Some(failure) = self.failure.as_ref().filter(|_| self.state == TaskInstanceState::Failed) {
            return Some(failure.reason.clone());
        }
        Some(match (self.state, &self.decision) {
            (TaskInstanceState::Success, Some(SkipMixin::Followed(ids))) if ids.is_empty() => {
                "The task follows nothing.".to_owned()
            }
            (TaskInstanceState::Success, Some(SkipMixin::Followed(ids))) => format!("The task follows {}.", names(ids)),
            (TaskInstanceState::Success, Some(SkipMixin::Skipped(ids))) if !ids.is_empty() => {
                format!("The task stops what is behind it: {}.", names(ids))
            }
            (TaskInstanceState::Skipped, _) if !self.skipped_by.is_empty() => {
                format!("The task was skipped by {}.", names(&self.skipped_by))
            }
            (TaskInstanceState::Skipped, _) if !self.upstream.is_empty() => {
                format!("The task was skipped by its trigger rule, because {} was skipped.", names(&self.upstream))
            }
            (TaskInstanceState::UpstreamFailed, _) if !self.upstream.is_empty() => {
                format!("The task did not run, because {} failed.", names(&self.upstream))
            }
            _ => return None,
        })
    }
}

/// The tasks whose decision skips an instance: a branch those directly behind it, a short circuit those that it names.
fn deciders(state: &RunState, key: Key) -> Vec<TaskId> {
    let dag = &state.dag;
    let id = &dag.tasks[key.task].task_id;
    let decides = |other: Key, ti: &Ti| {
        let same = other.map_index == UNMAPPED || other.map_index == key.map_index;
        let direct = || dag.upstream(key.task).any(|up| up == other.task);
        same && ti
            .skipmixin
            .as_ref()
            .is_some_and(|decision| decision.skips(id) && (matches!(decision, SkipMixin::Skipped(_)) || direct()))
    };
    let found = state.iter().filter(|(other, ti)| decides(*other, ti));
    found.map(|(other, _)| dag.tasks[other.task].task_id.clone()).collect()
}

/// The run's surroundings that its rows do not show.
#[derive(Clone, Debug, Default)]
pub struct RunFacts {
    pub run_after: Option<DateTime<Utc>>,
    pub max_active_runs: u32,
    pub running_runs: u32,
    pub quarantine_reason: Option<String>,
    pub dag_is_stale: bool,
}

/// The current attempt, as far as it got.
#[derive(Clone, Debug)]
pub struct AttemptFacts {
    pub candidate: Candidate,
    pub executor: Option<String>,
    pub placed_at: Option<DateTime<Utc>>,
    pub handed_at: Option<DateTime<Utc>>,
    pub started: bool,
    /// The triggerer works on it.
    pub is_triggerers: bool,
    /// What it has begun to wait for.
    pub waiting_for: Option<WaitingFor>,
}

/// Every reason that holds the instance back now, the outermost first.
pub fn explain(
    state: &RunState,
    facts: &RunFacts,
    key: Key,
    attempt: Option<&AttemptFacts>,
    capacity: &Capacity,
    class: Option<&Class>,
    now: DateTime<Utc>,
) -> Vec<Reason> {
    let Some(ti) = state.ti(key) else { return vec![Reason::NoInstance] };
    if ti.state.is_finished() {
        return vec![Reason::Finished(Over::new(state, key, ti))];
    }
    if let Some(started) = attempt.filter(|attempt| attempt.started) {
        return vec![Reason::Running { executor: started.executor.clone() }];
    }
    let mut reasons = Vec::new();
    if let Some(reason) = &facts.quarantine_reason {
        reasons.push(Reason::RunQuarantined { reason: reason.clone() });
    }
    reasons.extend(of_dag(facts.dag_is_stale, state.run.dag_is_paused));
    match state.run.state {
        DagRunState::Queued => reasons.push(of_queued_run(facts, now)),
        DagRunState::Success | DagRunState::Failed => reasons.push(Reason::RunFinished { state: state.run.state }),
        DagRunState::Running => {
            let to_come = state.run.logical_date.filter(|date| *date > now);
            reasons.extend(to_come.map(|logical_date| Reason::LogicalDateToCome { logical_date }));
        }
    }
    match ti.state {
        TaskInstanceState::UpForRetry => reasons.push(Reason::RetryDelay {
            until: ti.next_retry_at,
            try_number: ti.try_number,
            max_tries: ti.max_tries,
        }),
        TaskInstanceState::UpForReschedule => {
            reasons.push(Reason::SensorWaits { until: ti.next_retry_at, asked: ti.reschedules });
        }
        TaskInstanceState::Restarting => {
            reasons.push(Reason::Stopping { deadline: ti.stopping.map(|stopping| stopping.deadline) });
        }
        TaskInstanceState::None => {
            reasons.extend(undecided(state, key));
        }
        _ => {}
    }
    if let Some(attempt) = attempt {
        reasons.push(of_attempt(attempt, capacity, class));
    }
    if reasons.is_empty() {
        reasons.push(Reason::NotYetDecided);
    }
    reasons
}

/// What holds everything of a DAG back.
pub fn of_dag(is_stale: bool, is_paused: bool) -> Option<Reason> {
    if is_stale { Some(Reason::DagStale) } else { is_paused.then_some(Reason::DagPaused) }
}

/// What holds a queued run back, its DAG aside.
pub fn of_queued_run(facts: &RunFacts, now: DateTime<Utc>) -> Reason {
    match facts.run_after {
        Some(run_after) if run_after > now => Reason::RunNotDue { run_after },
        _ if facts.running_runs >= facts.max_active_runs => {
            Reason::MaxActiveRuns { limit: facts.max_active_runs, running: facts.running_runs }
        }
        _ => Reason::RunStarting,
    }
}

/// Why plan has not made an instance ready: what it waits for in its own run, else what outside or beside it.
fn undecided(state: &RunState, key: Key) -> Vec<Reason> {
    let dag = &state.dag;
    let task = &dag.tasks[key.task];
    let scopes = dag.scopes();
    let setups = scopes.indirect_setups(key.task).iter().filter(|_| task.trigger_rule != TriggerRule::Always);
    let before = dag.upstream(key.task).chain(setups.chain(scopes.teardown_scope(key.task)).copied());
    let mut waiting_for: Vec<String> = before
        .filter(|&other| {
            let same_index = key.map_index >= 0 && scopes.share_mapped_group(key.task, other);
            let mut instances = state.instances(other).iter();
            instances.any(|(index, ti)| !ti.state.is_finished() && (!same_index || index == key.map_index || index < 0))
        })
        .map(|other| dag.tasks[other].task_id.to_string())
        .collect();
    waiting_for.dedup();
    if !waiting_for.is_empty() {
        return vec![Reason::UpstreamNotDone { trigger_rule: task.trigger_rule, waiting_for }];
    }
    let mut reasons = Vec::new();
    if task.depends_on_past && state.run.logical_date.is_some() {
        reasons.push(Reason::EarlierRunNotDone { wait_for_downstream: task.wait_for_downstream });
    }
    let active = state.instances(key.task).iter().filter(|(_, ti)| ti.is_active()).count() as u32;
    if let Some(limit) = task.max_active_tis_per_dagrun.filter(|limit| active >= *limit) {
        reasons.push(Reason::TaskFullInRun { limit, running: active });
    }
    let mut up = Upstreams::default();
    for upstream in dag.upstream(key.task) {
        state.instances(upstream).iter().for_each(|(_, ti)| up.count(ti.state, dag.tasks[upstream].is_setup));
    }
    if trigger_rule::evaluate(task.trigger_rule, &up, key.map_index) == Verdict::Wait {
        reasons.push(Reason::RuleNotMet { trigger_rule: task.trigger_rule });
    }
    reasons
}

/// What holds an attempt back that has not started, its DAG and run aside.
pub fn of_attempt(attempt: &AttemptFacts, capacity: &Capacity, class: Option<&Class>) -> Reason {
    if let Some(waiting_for) = &attempt.waiting_for {
        return Reason::Waiting(waiting_for.clone());
    }
    if attempt.is_triggerers {
        return Reason::WaitingForTriggerer;
    }
    match (&attempt.executor, attempt.handed_at) {
        (Some(executor), Some(since)) => Reason::HandedOut { executor: executor.clone(), since: Some(since) },
        (Some(executor), None) => Reason::WaitingForNode { executor: executor.clone(), since: attempt.placed_at },
        (None, _) => class
            .and_then(|class| capacity.blocked(&attempt.candidate, class))
            .map_or(Reason::WaitingForDispatch, Reason::Blocked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dag::Task,
        plan::{
            Past,
            testing::{Sim, start, task},
        },
    };

    fn reasons(sim: &Sim, id: &str) -> Vec<Reason> {
        let index = sim.state.dag.index_of(id).unwrap();
        let facts = RunFacts { max_active_runs: 16, ..RunFacts::default() };
        explain(&sim.state, &facts, Key::unmapped(index), None, &Capacity::default(), None, sim.now)
    }

    #[test]
    fn names_the_upstreams_that_are_waited_for() {
        let mut sim = Sim::new(vec![task("a", &[]), task("b", &[]), task("c", &["a", "b"])]);
        sim.begin();
        sim.succeed("a");
        let expected = Reason::UpstreamNotDone { trigger_rule: TriggerRule::AllSuccess, waiting_for: vec!["b".into()] };
        assert_eq!(reasons(&sim, "c"), [expected]);
    }

    #[test]
    fn says_until_when_a_retry_waits() {
        let mut a = task("a", &[]);
        a.retries = 2;
        let mut sim = Sim::new(vec![a]);
        sim.begin();
        sim.fail("a");
        let until = Some(start() + std::time::Duration::from_secs(300));
        assert_eq!(reasons(&sim, "a"), [Reason::RetryDelay { until, try_number: 1, max_tries: 2 }]);
    }

    #[test]
    fn an_undecided_task_says_what_beside_its_upstreams_holds_it() {
        let past = Task { depends_on_past: true, ..task("past", &[]) };
        let mut sim = Sim::new(vec![past]);
        sim.state.run.logical_date = Some(start());
        sim.facts.past = Some(Past::default());
        assert_eq!(reasons(&sim, "past"), [Reason::EarlierRunNotDone { wait_for_downstream: false }]);
        let mut sim = Sim::new(vec![task("a", &[])]);
        let logical_date = start() + std::time::Duration::from_secs(60);
        sim.state.run.logical_date = Some(logical_date);
        assert_eq!(reasons(&sim, "a"), [Reason::LogicalDateToCome { logical_date }]);
    }

    #[test]
    fn what_a_user_made_ready_waits_for_the_next_plan_and_an_unmeetable_rule_says_so() {
        let mut all_skipped = task("b", &["a"]);
        all_skipped.trigger_rule = TriggerRule::AllSkipped;
        let mut sim = Sim::new(vec![task("a", &[]), all_skipped]);
        sim.begin();
        let mut removed = sim.ti("a").clone();
        removed.state = TaskInstanceState::Removed;
        sim.state.put(Key::unmapped(0), removed);
        assert_eq!(reasons(&sim, "b"), [Reason::RuleNotMet { trigger_rule: TriggerRule::AllSkipped }]);
        let mut skipped = sim.ti("a").clone();
        skipped.state = TaskInstanceState::Skipped;
        sim.state.put(Key::unmapped(0), skipped);
        assert_eq!(reasons(&sim, "b"), [Reason::NotYetDecided]);
    }

    #[test]
    fn a_failed_task_says_why() {
        let mut sim = Sim::new(vec![task("a", &[])]);
        sim.begin();
        sim.fail("a");
        let reasons = serde_json::to_value(reasons(&sim, "a")).unwrap();
        assert_eq!(
            reasons,
            serde_json::json!([{"code": "finished", "state": "failed", "exit_code": 1,
                                "failure": {"class": "exit_code", "reason": "exit code 1"}}])
        );
    }

    #[test]
    fn what_ended_without_running_names_who_decided_so() {
        let table = [task("pick", &[]), task("left", &["pick"]), task("right", &["pick"]), task("behind", &["right"])];
        let mut sim = Sim::new(table.to_vec());
        sim.begin();
        let end = |sim: &mut Sim, index: usize, state, skipmixin| {
            let mut ti = sim.state.ti(Key::unmapped(index)).unwrap().clone();
            (ti.state, ti.skipmixin) = (state, skipmixin);
            sim.state.put(Key::unmapped(index), ti);
        };
        end(&mut sim, 0, TaskInstanceState::Success, Some(SkipMixin::Followed(vec!["left".into()])));
        end(&mut sim, 1, TaskInstanceState::Success, None);
        end(&mut sim, 2, TaskInstanceState::Skipped, None);
        end(&mut sim, 3, TaskInstanceState::Skipped, None);
        let told = |sim: &Sim, id: &str| match &reasons(sim, id)[..] {
            [Reason::Finished(over)] => over.told(),
            other => panic!("{other:?}"),
        };
        assert_eq!(told(&sim, "pick").as_deref(), Some("The task follows `left`."));
        assert_eq!(told(&sim, "left"), None);
        assert_eq!(told(&sim, "right").as_deref(), Some("The task was skipped by `pick`."));
        let behind = "The task was skipped by its trigger rule, because `right` was skipped.";
        assert_eq!(told(&sim, "behind").as_deref(), Some(behind));
        let stop = Some(SkipMixin::Skipped(vec!["left".into(), "right".into(), "behind".into()]));
        end(&mut sim, 0, TaskInstanceState::Success, stop);
        let stopped = "The task stops what is behind it: `left`, `right`, `behind`.";
        assert_eq!(told(&sim, "pick").as_deref(), Some(stopped));
        assert_eq!(told(&sim, "behind").as_deref(), Some("The task was skipped by `pick`."));
        end(&mut sim, 2, TaskInstanceState::Failed, None);
        end(&mut sim, 3, TaskInstanceState::UpstreamFailed, None);
        assert_eq!(told(&sim, "behind").as_deref(), Some("The task did not run, because `right` failed."));
    }

    #[test]
    fn a_queued_run_of_a_paused_dag_has_two_reasons() {
        let mut sim = Sim::new(vec![task("a", &[])]);
        sim.state.run.state = DagRunState::Queued;
        sim.state.run.dag_is_paused = true;
        assert_eq!(reasons(&sim, "a"), [Reason::DagPaused, Reason::RunStarting]);
    }

    #[test]
    fn what_waits_without_a_slot_says_for_what() {
        let attempt = |is_triggerers, waiting_for| AttemptFacts {
            candidate: Candidate {
                attempt: crate::ids::AttemptId(uuid::Uuid::nil()),
                class_id: 1,
                dag_run_id: 1,
                max_active_tasks: 1,
                priority_weight: 1,
                affinity: 0,
            },
            executor: None,
            placed_at: None,
            handed_at: None,
            started: false,
            is_triggerers,
            waiting_for,
        };
        let reason = |attempt| serde_json::to_value(of_attempt(&attempt, &Capacity::default(), None)).unwrap();
        assert_eq!(reason(attempt(true, None)), serde_json::json!({"code": "waiting_for_triggerer"}));
        let person = WaitingFor::Person { subject: "Ship?".into(), deadline: None };
        assert_eq!(
            reason(attempt(true, Some(person))),
            serde_json::json!({"code": "waiting_for_person", "subject": "Ship?"})
        );
    }

    #[test]
    fn many_that_wait_for_one_pool_have_one_cause() {
        let full =
            |pool: &str, used| Reason::Blocked(Blocked::PoolFull { pool: pool.into(), used, slots: 5, needs: 1 });
        assert_eq!(full("db", 5).cause(), full("db", 6).cause());
        assert_ne!(full("db", 5).cause(), full("api", 5).cause());
        assert_eq!(Reason::DagPaused.cause(), ("dag_paused".to_owned(), String::new()));
    }

    #[test]
    fn codes_are_flat_json() {
        let blocked = Reason::Blocked(Blocked::PoolFull { pool: "db".into(), used: 5, slots: 5, needs: 1 });
        assert_eq!(
            serde_json::to_value(blocked).unwrap(),
            serde_json::json!({"code": "pool_full", "pool": "db", "used": 5, "slots": 5, "needs": 1})
        );
        assert_eq!(serde_json::to_value(Reason::DagPaused).unwrap(), serde_json::json!({"code": "dag_paused"}));
    }
}
