//! The scenario files of `tests/scenarios`, each in many orders of events: whoever speaks first, the runs end as the file says.

use std::path::Path;

use chrono::{DateTime, Utc};
use serde_json::Value;
use updraft_core::{
    dag::{Dag, MapInput},
    diagnostic::Severity,
    mapping,
    plan::{Event, Key, Selection, TaskRef, clear, mark_tis},
    spec::{Decision, Outcome, RunContext},
    state::{DagRunType, TaskInstanceState},
    template::Ref,
    yaml::{self, Settings},
};

use crate::{
    Seed,
    random::Random,
    scenarios::{self, Act, End, Expected, Scenario},
    world::World,
};

/// Orders of events per scenario.
const ORDERS: u64 = 150;
const STEPS: usize = 60;

#[test]
fn scenarios_end_alike_in_whatever_order_things_happen() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/scenarios");
    let all = scenarios::all(&folder);
    assert!(all.len() > 10, "the scenarios are in {}", folder.display());
    for scenario in &all {
        let dag = dag(scenario);
        for seed in 0..ORDERS {
            let _seed = Seed(seed);
            let mut world = World::with_runs(dag.clone(), scenario.runs, Random::new(seed));
            world.script = Some(scenario.clone());
            world.plays(&scenario.expected);
            for step in &scenario.then {
                for run in 0..scenario.runs {
                    world.act(run, &step.act);
                }
                world.plays(&step.expected);
            }
        }
    }
}

fn dag(scenario: &Scenario) -> Dag {
    let settings = Settings::new(DateTime::<Utc>::UNIX_EPOCH);
    let mut loaded = yaml::load(&format!("{}.yaml", scenario.name), scenario.dag.as_bytes(), &(), &settings);
    let errors: Vec<_> = loaded.diagnostics.iter().filter(|found| found.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{}: {errors:#?}", scenario.name);
    loaded.dags.remove(0).dag
}

impl World {
    /// A while of anything but accidents and users, then to the end.
    fn plays(&mut self, expected: &Expected) {
        for _ in 0..STEPS {
            match self.random.below(100) {
                0..40 => self.an_attempt_goes_on(),
                40..60 => self.a_run_reads_its_inbox(),
                60..75 => self.dispatch(),
                75..85 => self.time_passes(),
                85..90 => self.a_stop_is_confirmed(),
                90..94 => self.a_dag_is_paused_or_goes_on(),
                _ => self.a_queued_run_starts(),
            }
        }
        self.drain();
        for job in &self.jobs {
            let found = job.state.iter().map(|(key, ti)| {
                (self.dag.tasks[key.task].task_id.to_string(), key.map_index, ti.state.to_string(), ti.try_number)
            });
            let wrong = expected.differs(&job.state.run.state.to_string(), found.collect());
            let name = self.script.as_ref().map(|script| script.name.as_str()).unwrap_or_default();
            assert!(wrong.is_none(), "{name}: {}", wrong.unwrap_or_default());
        }
    }

    fn act(&mut self, run: usize, act: &Act) {
        let (Act::Clear(chosen) | Act::MarkSuccess(chosen) | Act::MarkFailed(chosen)) = act;
        let tasks = chosen.tasks.iter().map(|task| TaskRef { task_id: task.clone(), map_index: None });
        let selection = Selection {
            tasks: Some(tasks.collect()),
            include_upstream: chosen.upstream,
            include_downstream: chosen.downstream,
            only_failed: false,
            only_running: false,
        };
        let (state, now) = (&self.jobs[run].state, self.now);
        let plan = match act {
            Act::Clear(_) => clear(state, &selection, true, "a user", now, &mut self.ids()).plan,
            Act::MarkSuccess(_) => {
                mark_tis(state, &selection, TaskInstanceState::Success, "a user", now, &mut self.ids()).plan
            }
            Act::MarkFailed(_) => {
                mark_tis(state, &selection, TaskInstanceState::Failed, "a user", now, &mut self.ids()).plan
            }
        };
        self.overrule(run, &plan);
    }

    /// What the script says of a try, as a node or the triggerer would tell it.
    pub(crate) fn end_of_script(&mut self, run: usize, key: Key) -> Event {
        let end = self.scripted(run, key);
        let outcome = match &end {
            End::Failed => Outcome::Failed,
            End::Skipped => Outcome::Skipped,
            End::Success | End::Result(_) | End::Follow(_) | End::Stop => Outcome::Success,
        };
        let decision = match end {
            End::Follow(chosen) => Some(Decision::Follow(chosen)),
            End::Stop => Some(Decision::Stop),
            End::Result(value) => {
                // The node refuses what cannot be mapped over: the task that gave it fails.
                let is_mapped = self.dag.mapping(key.task).is_some();
                if self.is_mapped_over(key) && mapping::refuse_result(Some(&value), is_mapped, 1024).is_some() {
                    return self.finished(Outcome::Failed, None, true);
                }
                self.jobs[run].results.insert(key, mapping::length(&value));
                None
            }
            End::Success | End::Failed | End::Skipped => None,
        };
        self.finished(outcome, decision, false)
    }

    fn is_mapped_over(&self, key: Key) -> bool {
        let source = &self.dag.tasks[key.task].task_id;
        let maps = |input: &MapInput| matches!(input, MapInput::XCom { task_id, .. } if task_id == source);
        let mappings = (0..self.dag.tasks.len()).filter_map(|task| self.dag.mapping(task));
        mappings.into_iter().any(|mapping| mapping.inputs.values().any(maps))
    }

    fn scripted(&self, run: usize, key: Key) -> End {
        let tries = self.jobs[run].state.ti(key).map_or(0, |ti| ti.try_number);
        let script = self.script.as_ref().expect("asked only where there is one");
        script.end(self.dag.tasks[key.task].task_id.as_str(), key.map_index, tries)
    }

    /// The facts of a run, as the store has them for templates that the scheduler renders.
    pub(crate) fn context(&self, run: usize) -> RunContext {
        let state = &self.jobs[run].state.run;
        let mut context = RunContext::of_dag(
            &self.dag,
            format!("r{run}").as_str().into(),
            DagRunType::Scheduled,
            state.logical_date.unwrap_or(self.now),
            Value::Null,
        );
        context.logical_date = state.logical_date;
        context
    }

    /// The result of a task that ended; `None` when it pushed none.
    pub(crate) fn value(&self, run: usize, reference: &Ref) -> Option<Value> {
        let Ref::XCom { task_id, part, .. } = reference else { return None };
        let key = Key::unmapped(self.dag.index_of(task_id)?);
        self.jobs[run].results.get(&key)?;
        match self.scripted(run, key) {
            End::Result(value) => part.map_or(Some(value.clone()), |part| part.of(&value)),
            _ => None,
        }
    }
}
