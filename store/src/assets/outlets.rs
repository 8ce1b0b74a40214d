//! The events of the tasks that succeeded in a plan.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use updraft_core::{
    asset::{Emitted, emitted},
    plan::{Plan, RunState, Transition, transitions},
    state::TaskInstanceState,
};

use super::{NewEvent, Source, emit};
use crate::{StoreError, plan::Planned};

/// Emits what the tasks with outlets that succeeded in these plans produced; returns whether there was anything.
///
/// Called by `plan::write` in its transaction. DAGs without outlets cost nothing here.
pub(crate) async fn emit_outlets(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
    planned: &[Planned<'_>],
) -> Result<bool, StoreError> {
    let of_runs: Vec<_> = planned
        .iter()
        .map(|one| (one.state.run.id, produced(one.state, one.plan)))
        .filter(|(_, produced)| !produced.is_empty())
        .collect();
    if of_runs.is_empty() {
        return Ok(false);
    }
    let ids: Vec<i64> = of_runs.iter().map(|(id, _)| *id).collect();
    let names = sqlx::query!(
        "select r.id, r.run_id, d.dag_id from dag_run r join dag d on d.id = r.dag_fk where r.id = any($1)",
        &ids
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut events = Vec::new();
    for (id, produced) in &of_runs {
        let run = names.iter().find(|run| run.id == *id);
        let run = run.ok_or_else(|| StoreError::Inconsistent(format!("run {id} went while it was locked")))?;
        for (change, emitted) in produced {
            events.extend((0..).zip(emitted).map(|(ordinal, event)| NewEvent {
                name: &event.name,
                uri: &event.uri,
                extra: event.extra.clone(),
                aliases: event.aliases.iter().map(String::as_str).collect(),
                partition_key: None,
                source: Some(Source {
                    dag_run: run.id,
                    dag_id: &run.dag_id,
                    run_id: &run.run_id,
                    task_id: change.task.task_id.as_str(),
                    map_index: change.key.map_index,
                    try_number: change.ti.try_number,
                    ordinal,
                }),
            }));
        }
    }
    Ok(!emit(connection, now, &events).await?.is_empty())
}

/// The instances that succeed in a plan and what they emit. One that a user marks successful has produced nothing: only an
/// attempt that ended, or a try that the plan itself began and ended (`empty`), counts.
fn produced<'a>(state: &'a RunState, plan: &'a Plan) -> Vec<(Transition<'a>, Vec<Emitted>)> {
    if state.dag.tasks.iter().all(|task| task.outlets.is_empty()) {
        return Vec::new();
    }
    let ran = |change: &Transition<'_>| {
        let tries = state.ti(change.key).map_or(0, |before| before.try_number);
        plan.ended.contains(&change.ti.attempt) || change.ti.try_number > tries
    };
    let successes = transitions(state, plan).instances.into_iter().filter(|change| {
        change.ti.state == TaskInstanceState::Success && !change.task.outlets.is_empty() && ran(change)
    });
    successes
        .map(|change| {
            let said = plan.outlet_events.iter().find(|(key, _)| *key == change.key).map(|(_, value)| value);
            let emitted = emitted(&change.task.outlets, said);
            (change, emitted)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;
    use updraft_core::{
        asset::AssetRef,
        dag::{Dag, Task},
        ids::AttemptId,
        operator::OperatorKind,
        plan::{Key, Run, Ti},
        state::{DagRunState, DagRunType},
    };
    use uuid::Uuid;

    use super::*;

    const KEY: Key = Key { task: 0, map_index: -1 };

    fn state(outlets: &[AssetRef], ti: Ti) -> RunState {
        let mut dag = Dag::new("d");
        let mut task = Task::new("write", OperatorKind::Bash, "x.BashOperator");
        task.outlets = outlets.to_vec();
        dag.tasks = vec![task];
        let run = Run {
            id: 1,
            state: DagRunState::Running,
            run_type: DagRunType::Manual,
            logical_date: None,
            queued_at: None,
            start_date: None,
            end_date: None,
            dag_is_paused: false,
        };
        RunState::new(run, Arc::new(dag), [(KEY, ti)])
    }

    fn running() -> Ti {
        let mut ti = Ti::new(AttemptId(Uuid::from_u128(7)), 0);
        (ti.state, ti.try_number) = (TaskInstanceState::Running, 1);
        ti
    }

    fn ends(to: TaskInstanceState) -> Plan {
        let mut ti = running();
        ti.state = to;
        Plan { tis: [(KEY, ti)].into(), ended: vec![AttemptId(Uuid::from_u128(7))], ..Plan::default() }
    }

    #[test]
    fn an_attempt_that_ended_well_emits_with_what_its_code_said() {
        let state = state(&[AssetRef::asset("a", "a"), AssetRef::asset("b", "b")], running());
        let mut plan = ends(TaskInstanceState::Success);
        plan.outlet_events = vec![(KEY, json!([{"name": "b", "extra": {"rows": 3}}]))];
        let found = produced(&state, &plan);
        let extras: Vec<usize> = found[0].1.iter().map(|event| event.extra.len()).collect();
        assert_eq!((found.len(), extras), (1, vec![0, 1]));
    }

    #[test]
    fn what_fails_or_has_no_outlet_emits_nothing() {
        let with = state(&[AssetRef::asset("a", "a")], running());
        assert!(produced(&with, &ends(TaskInstanceState::Failed)).is_empty());
        assert!(produced(&with, &ends(TaskInstanceState::Skipped)).is_empty());
        assert!(produced(&state(&[], running()), &ends(TaskInstanceState::Success)).is_empty());
    }

    #[test]
    fn what_a_user_marks_successful_emits_nothing() {
        let state = state(&[AssetRef::asset("a", "a")], running());
        let plan = Plan { ended: vec![], ..ends(TaskInstanceState::Success) };
        assert!(produced(&state, &plan).is_empty());
    }

    #[test]
    fn a_task_that_the_plan_decides_emits() {
        let before = Ti::new(AttemptId(Uuid::from_u128(7)), 0);
        let state = state(&[AssetRef::asset("a", "a")], before);
        let plan = Plan { ended: vec![], ..ends(TaskInstanceState::Success) };
        assert_eq!(produced(&state, &plan).len(), 1);
    }
}
