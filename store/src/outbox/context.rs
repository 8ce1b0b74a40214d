//! What a notice's templates, or its function, may name.

use std::{collections::BTreeSet, sync::Arc};

use updraft_core::{
    dag::{CallbackAction, Dag, Task},
    ids::{AttemptId, MapIndex},
    notify::Facts,
    operator::OperatorKind,
    spec::{Launch, TaskSpec},
    template,
};
use uuid::Uuid;

use super::Claimed;
use crate::{
    Store, StoreError,
    nodes::{Run, previous_runs, run_facts},
    versions::DagCache,
};

/// A notice and its context: of a task's the instance's, of a run's that of its last instance.
#[derive(Clone, Debug)]
pub struct Ready {
    pub notice: Claimed,
    /// Or why it cannot be sent at all.
    pub context: Result<Context, String>,
}

/// What a notice is sent with.
#[derive(Clone, Debug)]
pub struct Context {
    pub spec: TaskSpec,
    pub dag: Arc<Dag>,
}

/// Reads the contexts of claimed notices: one statement for all their runs, and one per DAG version that is not cached.
/// `log_url` makes the address of an instance's log from a context and its task, map index and try.
pub async fn contexts(
    store: &Store,
    dags: &DagCache,
    claimed: Vec<Claimed>,
    log_url: impl Fn(&TaskSpec) -> Option<String>,
) -> Result<Vec<Ready>, StoreError> {
    if claimed.is_empty() {
        return Ok(Vec::new());
    }
    let mut connection = store.pool().acquire().await?;
    let ids: BTreeSet<i64> = claimed.iter().map(|notice| notice.dag_run_id).collect();
    let mut runs = run_facts(&mut connection, dags, &ids).await?;
    let asking = claimed.iter().filter(|notice| names_previous_run(&notice.action)).map(|notice| notice.dag_run_id);
    for (id, previous) in previous_runs(&mut connection, &asking.collect()).await? {
        if let Some(run) = runs.get_mut(&id) {
            Arc::make_mut(&mut run.context).previous_success = Some(previous);
        }
    }
    let ready = claimed.into_iter().map(|notice| {
        let context = match runs.get(&notice.dag_run_id) {
            None => Err("the run was deleted".to_owned()),
            Some(run) => run.dag.clone().map(|dag| {
                let mut spec = context(run, &dag, notice.facts.clone());
                let log_url = notice.facts.ti.as_ref().and_then(|_| log_url(&spec));
                if let Some(facts) = &mut spec.callback {
                    facts.log_url = log_url;
                }
                Context { spec, dag }
            }),
        };
        Ready { notice, context }
    });
    Ok(ready.collect())
}

/// The context of what `facts` tell of.
pub(crate) fn context(run: &Run, dag: &Dag, facts: Facts) -> TaskSpec {
    let ti = facts.ti.as_ref();
    let launch = Launch {
        attempt_id: ti.map_or(AttemptId(Uuid::nil()), |ti| ti.attempt_id),
        map_index: MapIndex(ti.map_or(-1, |ti| ti.map_index)),
        try_number: ti.map_or(0, |ti| ti.try_number),
        max_tries: ti.map_or(0, |ti| ti.max_tries),
    };
    let id = ti.map_or("", |ti| ti.task_id.as_str());
    // A task that left the DAG, or a run without any: the notice goes out with what is known.
    let unknown = || Task::new(id, OperatorKind::Empty, "");
    let mut spec = match dag.task(id) {
        Some(task) => TaskSpec::new(launch, dag, task, &run.context, run.code()),
        None => TaskSpec::new(launch, dag, &unknown(), &run.context, run.code()),
    };
    // Its context is the run's as a whole: a task's own parameters are none of a run's.
    if facts.of_run {
        spec.run = Arc::clone(&run.context);
    }
    spec.callback = Some(Box::new(facts));
    spec
}

/// Whether one of the action's texts asks for the dates of the previous successful run.
fn names_previous_run(action: &CallbackAction) -> bool {
    serde_json::to_string(action).is_ok_and(|texts| template::text_names_previous_run(&texts))
}
