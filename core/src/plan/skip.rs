//! What a branch or a short circuit skips (semantics §12.2, §12.3; Airflow: `SkipMixin`).

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Key, Work, run_state::SkipMixin};
use crate::{
    dag::{Dag, TaskIndex},
    ids::TaskId,
    operator::OperatorKind,
    spec::Decision,
};

/// The consequence of a decision.
#[derive(Debug, Default)]
pub(super) struct Skips {
    /// Tasks to skip now.
    pub(super) tasks: Vec<TaskIndex>,
    /// What is kept for later clears.
    pub(super) record: Option<SkipMixin>,
}

/// What a decision of an instance skips, or why it is no decision of this DAG.
///
/// A mapped branch skips nothing by itself: each of its downstreams asks the instance of its own index when it may begin.
pub(super) fn decide(dag: &Dag, key: Key, decision: &Decision) -> Result<Skips, String> {
    let task = &dag.tasks[key.task];
    let (skipped, record) = match decision {
        Decision::Follow(ids) => {
            let followed = followed(dag, &task.task_id, ids)?;
            let behind: BTreeSet<TaskIndex> = followed.iter().flat_map(|&task| dag.all_downstream(task)).collect();
            let skipped: Vec<TaskIndex> =
                dag.downstream(key.task).filter(|task| !followed.contains(task) && !behind.contains(task)).collect();
            // What is also behind a followed task is not skipped, so it counts as followed.
            let kept = dag.downstream(key.task).filter(|task| !skipped.contains(task));
            (skipped.clone(), SkipMixin::Followed(ids_of(dag, followed.iter().copied().chain(kept))))
        }
        Decision::Stop => {
            // Airflow: a short circuit ignores them unless told otherwise, an approval does not.
            let ignores_rules = task
                .args
                .get("ignore_downstream_trigger_rules")
                .and_then(Value::as_bool)
                .unwrap_or(task.operator != OperatorKind::Hitl);
            let all = if ignores_rules { dag.all_downstream(key.task) } else { dag.downstream(key.task).collect() };
            let skipped: Vec<TaskIndex> = all.into_iter().filter(|&task| !dag.tasks[task].is_teardown).collect();
            let record = SkipMixin::Skipped(ids_of(dag, skipped.iter().copied()));
            (skipped, record)
        }
    };
    let tasks = if dag.mapping(key.task).is_some() { Vec::new() } else { skipped };
    Ok(Skips { tasks, record: Some(record) })
}

/// Whether a decision skips anything: then its task leaves no `return_value` (semantics §12.2). An invalid one skips nothing.
pub fn is_skipping(dag: &Dag, task: TaskIndex, decision: &Decision) -> bool {
    decide(dag, Key::unmapped(task), decision).is_ok_and(|skips| !skips.tasks.is_empty())
}

/// The chosen tasks; a group stands for its first ones.
fn followed(dag: &Dag, branch: &TaskId, ids: &[String]) -> Result<BTreeSet<TaskIndex>, String> {
    let mut found = BTreeSet::new();
    for id in ids {
        match dag.index_of(id) {
            Some(task) => drop(found.insert(task)),
            None if dag.task_groups.contains_key(id) => found.extend(dag.group_roots(id)),
            None => {
                return Err(format!(
                    "the branch `{branch}` chose `{id}`, which is neither a task nor a task group of the DAG"
                ));
            }
        }
    }
    Ok(found)
}

fn ids_of(dag: &Dag, tasks: impl Iterator<Item = TaskIndex>) -> Vec<TaskId> {
    let sorted: BTreeSet<TaskIndex> = tasks.collect();
    sorted.into_iter().map(|task| dag.tasks[task].task_id.clone()).collect()
}

impl Work<'_> {
    /// Whether a direct upstream decided, now or before a clear, that this instance is skipped (Airflow:
    /// `NotPreviouslySkippedDep`). A mapped upstream is asked at the same index.
    pub(super) fn was_skipped_by_upstream(&self, key: Key) -> bool {
        let dag = &self.state.dag;
        let id = &dag.tasks[key.task].task_id;
        dag.upstream(key.task).any(|task| {
            let map_index = if dag.mapping(task).is_some() { key.map_index } else { super::UNMAPPED };
            self.ti(Key { task, map_index }).is_some_and(|ti| {
                ti.state.is_finished() && ti.skipmixin.as_ref().is_some_and(|decision| decision.skips(id))
            })
        })
    }
}
