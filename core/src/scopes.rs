//! Setup, teardown and mapped groups: what a task depends on beyond its direct upstreams (semantics §2.2, §3.4, §13.5).

use std::collections::BTreeSet;

use crate::dag::{Dag, MapInput, Mapping, TaskIndex};

/// Derived from a DAG once; indexed like its tasks.
#[derive(Debug)]
pub struct Scopes {
    /// Setups that must be successful though they are no direct upstreams. Empty for teardowns.
    indirect_setups: Vec<Vec<TaskIndex>>,
    /// For a teardown: the tasks between its setups and itself.
    teardown_scope: Vec<Vec<TaskIndex>>,
    /// The tasks whose results a task is mapped over; of a member of a mapped group they need not be upstream.
    mapped_over: Vec<Vec<TaskIndex>>,
    /// Whether a template says how many instances there are.
    is_mapped_by_template: Vec<bool>,
    /// Who looks at a task by one of the lists above.
    watchers: Vec<Vec<TaskIndex>>,
    /// The nearest mapped group a task is in.
    mapped_group: Vec<Option<usize>>,
    /// The tasks that decide the run's final state.
    leaves: Vec<TaskIndex>,
    depends_on_past: bool,
}

impl Scopes {
    pub(crate) fn new(dag: &Dag) -> Self {
        let count = dag.tasks.len();
        let mut indirect_setups = vec![Vec::new(); count];
        let mut teardown_scope = vec![Vec::new(); count];
        if dag.tasks.iter().any(|task| task.is_setup) {
            for task in 0..count {
                if dag.tasks[task].is_teardown {
                    teardown_scope[task] = between_setups_and(dag, task);
                } else {
                    let direct: BTreeSet<TaskIndex> = dag.upstream(task).collect();
                    let relevant = relevant_setups(dag, task).into_iter();
                    indirect_setups[task] = relevant.filter(|setup| !direct.contains(setup)).collect();
                }
            }
        }
        let mapped_group: Vec<Option<usize>> = (0..count).map(|task| mapped_group(dag, task)).collect();
        let mapped_over: Vec<Vec<TaskIndex>> =
            (0..count).map(|task| sources(dag, mapping(dag, task, mapped_group[task]))).collect();
        let is_mapped_by_template = (0..count)
            .map(|task| {
                let inputs = mapping(dag, task, mapped_group[task]).map(|mapping| &mapping.inputs);
                inputs.is_some_and(|inputs| inputs.values().any(|input| matches!(input, MapInput::Template(_))))
            })
            .collect();
        let mut watchers = vec![Vec::new(); count];
        for task in 0..count {
            for &watched in indirect_setups[task].iter().chain(&teardown_scope[task]).chain(&mapped_over[task]) {
                watchers[watched].push(task);
            }
        }
        Self {
            indirect_setups,
            teardown_scope,
            mapped_over,
            is_mapped_by_template,
            watchers,
            mapped_group,
            leaves: effective_leaves(dag),
            depends_on_past: dag.tasks.iter().any(|task| task.depends_on_past),
        }
    }

    pub fn indirect_setups(&self, task: TaskIndex) -> &[TaskIndex] {
        &self.indirect_setups[task]
    }

    pub fn teardown_scope(&self, task: TaskIndex) -> &[TaskIndex] {
        &self.teardown_scope[task]
    }

    pub fn mapped_over(&self, task: TaskIndex) -> &[TaskIndex] {
        &self.mapped_over[task]
    }

    pub fn is_mapped_by_template(&self, task: TaskIndex) -> bool {
        self.is_mapped_by_template[task]
    }

    pub fn watchers(&self, task: TaskIndex) -> &[TaskIndex] {
        &self.watchers[task]
    }

    /// The position in [`Dag::task_groups`] of the mapped group a task is in.
    pub fn mapped_group(&self, task: TaskIndex) -> Option<usize> {
        self.mapped_group[task]
    }

    /// Whether the instances of both correspond index by index.
    pub fn share_mapped_group(&self, one: TaskIndex, other: TaskIndex) -> bool {
        self.mapped_group[one].is_some() && self.mapped_group[one] == self.mapped_group[other]
    }

    /// Whether some task looks at the run before.
    pub fn depends_on_past(&self) -> bool {
        self.depends_on_past
    }

    /// The tasks whose states decide the run's (semantics §2.2).
    pub fn leaves(&self) -> &[TaskIndex] {
        &self.leaves
    }
}

impl Dag {
    /// What makes the instances of a task: its own mapping, or that of the mapped group it is in.
    pub fn mapping(&self, task: TaskIndex) -> Option<&Mapping> {
        mapping(self, task, self.scopes().mapped_group(task))
    }

    /// The setups and teardowns that belong to a task: cleared with it (semantics §11.1).
    pub fn setups_and_teardowns_of(&self, task: TaskIndex) -> Vec<TaskIndex> {
        let mut found: BTreeSet<TaskIndex> = BTreeSet::new();
        for setup in relevant_setups(self, task) {
            found.insert(setup);
            found.extend(self.downstream(setup).filter(|&down| self.tasks[down].is_teardown && down != task));
        }
        if self.tasks[task].is_setup {
            found.extend(self.downstream(task).filter(|&down| self.tasks[down].is_teardown));
        }
        found.remove(&task);
        found.into_iter().collect()
    }

    /// The tasks of a group and of the groups inside it; `None`: the DAG has no such group.
    pub fn group_tasks(&self, group_id: &str) -> Option<BTreeSet<TaskIndex>> {
        let members = || (0..self.tasks.len()).filter(|&task| self.is_in_group(task, group_id)).collect();
        self.task_groups.contains_key(group_id).then(members)
    }

    /// The tasks of a group that have no upstream in it.
    pub fn group_roots(&self, group_id: &str) -> Vec<TaskIndex> {
        let members = self.group_tasks(group_id).unwrap_or_default();
        members.iter().copied().filter(|&task| !self.upstream(task).any(|up| members.contains(&up))).collect()
    }

    fn is_in_group(&self, task: TaskIndex, group_id: &str) -> bool {
        let mut group = self.tasks[task].task_group.as_deref();
        while let Some(id) = group {
            if id == group_id {
                return true;
            }
            group = self.task_groups.get(id).and_then(|group| group.parent.as_deref());
        }
        false
    }
}

/// Setups upstream of a task that have no teardown, or one that the task precedes (Airflow:
/// `get_upstreams_only_setups_and_teardowns`).
fn relevant_setups(dag: &Dag, task: TaskIndex) -> Vec<TaskIndex> {
    let downstream: BTreeSet<TaskIndex> = dag.all_downstream(task).into_iter().collect();
    dag.all_upstream(task)
        .into_iter()
        .filter(|&setup| {
            let mut teardowns = dag.downstream(setup).filter(|&down| dag.tasks[down].is_teardown).peekable();
            dag.tasks[setup].is_setup
                && (teardowns.peek().is_none() || teardowns.any(|down| downstream.contains(&down)))
        })
        .collect()
}

fn between_setups_and(dag: &Dag, teardown: TaskIndex) -> Vec<TaskIndex> {
    let upstream: BTreeSet<TaskIndex> = dag.all_upstream(teardown).into_iter().collect();
    let setups = dag.upstream(teardown).filter(|&up| dag.tasks[up].is_setup);
    let scope: BTreeSet<TaskIndex> =
        setups.flat_map(|setup| dag.all_downstream(setup)).filter(|task| upstream.contains(task)).collect();
    scope.into_iter().collect()
}

fn mapping(dag: &Dag, task: TaskIndex, group: Option<usize>) -> Option<&Mapping> {
    let own = dag.tasks[task].mapping.as_ref();
    own.or_else(|| dag.task_groups[group?].mapping.as_ref())
}

/// The tasks whose results a mapping goes through, each once.
fn sources(dag: &Dag, mapping: Option<&Mapping>) -> Vec<TaskIndex> {
    let inputs = mapping.into_iter().flat_map(|mapping| mapping.inputs.values());
    let sources: BTreeSet<TaskIndex> = inputs
        .filter_map(|input| match input {
            MapInput::XCom { task_id, .. } => dag.index_of(task_id.as_str()),
            MapInput::Literal(_) | MapInput::Template(_) => None,
        })
        .collect();
    sources.into_iter().collect()
}

fn mapped_group(dag: &Dag, task: TaskIndex) -> Option<usize> {
    let mut group = dag.tasks[task].task_group.as_deref();
    while let Some(id) = group {
        let (position, _, found) = dag.task_groups.get_full(id)?;
        if found.mapping.is_some() {
            return Some(position);
        }
        group = found.parent.as_deref();
    }
    None
}

/// Every downstream is a teardown that does not fail the run, and the task is no such teardown; only teardowns: those without
/// downstream.
fn effective_leaves(dag: &Dag) -> Vec<TaskIndex> {
    let is_quiet = |task: TaskIndex| dag.tasks[task].is_teardown && !dag.tasks[task].on_failure_fail_dagrun;
    let leaves: Vec<TaskIndex> =
        (0..dag.tasks.len()).filter(|&task| !is_quiet(task) && dag.downstream(task).all(is_quiet)).collect();
    if leaves.is_empty() { dag.leaves().collect() } else { leaves }
}
