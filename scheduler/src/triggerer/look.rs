//! One look at one attempt: render, read the facts that its operator asks for, decide.

use sqlx::PgConnection;
use updraft_core::{
    operator::OperatorKind,
    spec::{Failure, FailureClass},
    triggerer::{
        BadArguments, End, Look, Memory, Next, RETURN_VALUE, decide, external, hitl, sensor,
        trigger::{self, Triggered},
    },
};
use updraft_store::{
    StoreError, hitl as questions,
    nodes::inbox,
    sources::Sources,
    triggerer::{self as rows, Claimed, Finish, Loaded, Waits, Written},
    versions::DagCache,
};

use super::{
    render::{Rendered, render},
    trigger::RunToMake,
};

/// What a look leads to.
pub(super) enum Looked {
    Written(Written),
    /// A run of another DAG is to be made first.
    MakeRun(Box<RunToMake>),
}

/// A rendered attempt and what it remembers, this look included.
pub(super) struct Scene {
    pub(super) loaded: Loaded,
    pub(super) memory: Memory,
    pub(super) rendered: Rendered,
}

impl Scene {
    /// A decision about it; `None`: the DAG lost the task in between.
    pub(super) fn look<T>(&self, claimed: &Claimed, decide: impl FnOnce(&Look<'_>) -> T) -> Option<T> {
        let Loaded { dag, spec } = &self.loaded;
        let task = dag.task(spec.task_id.as_str())?;
        Some(decide(&Look { dag, task, spec, memory: &self.memory, now: claimed.now }))
    }
}

/// Takes the look.
pub(super) async fn look(
    connection: &mut PgConnection,
    (dags, sources): (&DagCache, &Sources),
    claimed: &Claimed,
    loaded: Result<Loaded, String>,
    hostname: &str,
) -> Result<Looked, StoreError> {
    let end = |end: End| Looked::Written(Looked::of_end(claimed, end, None, hostname));
    let mut loaded = match loaded {
        Ok(loaded) => loaded,
        Err(reason) => return Ok(end(End::failed(FailureClass::InvalidArguments, reason).without_retry())),
    };
    let rendered = match render(connection, sources, claimed.attempt.dag_run_id, &mut loaded.spec).await? {
        Ok(rendered) => rendered,
        Err(Failure { class, reason }) => return Ok(end(End::failed(class, reason))),
    };
    let mut memory = claimed.memory.clone().unwrap_or_else(|| Memory::new(claimed.now));
    memory.looks = memory.looks.saturating_add(1);
    let scene = Scene { loaded, memory, rendered };
    let decided = match scene.loaded.spec.operator {
        OperatorKind::ExternalTaskSensor => external_task(connection, dags, claimed, &scene).await?,
        OperatorKind::Hitl => question(connection, claimed, &scene).await?,
        OperatorKind::TriggerDagRun if scene.memory.dag_run.is_none() => match scene.look(claimed, trigger::request) {
            Some(Ok(request)) => return Ok(Looked::MakeRun(Box::new(RunToMake { request, scene }))),
            Some(Err(bad)) => Some(Err(bad)),
            None => None,
        },
        OperatorKind::TriggerDagRun => awaited(connection, claimed, &scene).await?,
        other => scene.look(claimed, |look| {
            let none = || Err(BadArguments(format!("operator {other:?} is none of the triggerer's")));
            decide(look).unwrap_or_else(none)
        }),
    };
    Ok(Looked::Written(Looked::of(claimed, scene, decided, hostname)))
}

impl Looked {
    /// From a decision to what is written.
    pub(super) fn of(
        claimed: &Claimed,
        mut scene: Scene,
        decided: Option<Result<Next, BadArguments>>,
        hostname: &str,
    ) -> Written {
        let next = match decided {
            Some(Ok(next)) => next,
            Some(Err(bad)) => Next::End(bad.into()),
            None => Next::End(broken("the DAG has no such task any more")),
        };
        let (waiting_for, until, for_input) = match next {
            Next::End(end) => return Self::of_end(claimed, end, Some(&scene), hostname),
            Next::Defer { waiting_for, until } => (waiting_for, Some(until), false),
            Next::AwaitInput { waiting_for, until } => (waiting_for, until, true),
        };
        scene.memory.waiting_for = Some(waiting_for);
        let awaits_run = scene.memory.dag_run;
        Written::Waits(Waits { for_input, until, memory: scene.memory, awaits_run })
    }

    /// From an end to the inbox row that tells it.
    pub(super) fn of_end(claimed: &Claimed, end: End, scene: Option<&Scene>, hostname: &str) -> Written {
        let task = scene.and_then(|scene| scene.loaded.dag.task(&claimed.attempt.task_id));
        let (failure_class, failure_reason) =
            end.failure.map_or((None, None), |failure| (Some(failure.class), Some(failure.reason)));
        // It may quote an argument.
        let failure_reason = failure_reason.map(|reason| match scene {
            Some(scene) => scene.rendered.mask.apply(&reason).into_owned(),
            None => reason,
        });
        let started_at = scene
            .map(|scene| scene.memory.started_at)
            .or_else(|| claimed.memory.as_ref().map(|memory| memory.started_at));
        let body = inbox::Finished {
            outcome: end.outcome,
            hostname: hostname.to_owned(),
            pid: None,
            execution: None,
            started_at: started_at.unwrap_or(claimed.now),
            ended_at: claimed.now,
            exit_code: None,
            failure_class,
            failure_reason,
            no_retry: end.no_retry,
            retry_delay_ms: None,
            decision: end.decision,
            rendered_map_index: None,
            outlet_events: None,
            rendered_fields: scene.and_then(|scene| scene.rendered.fields.clone()),
        };
        let push_result = task.is_none_or(|task| task.do_xcom_push);
        let xcoms = end.xcoms.into_iter().filter(|(key, _)| push_result || key != RETURN_VALUE).collect();
        let multiple_outputs = task.is_some_and(|task| task.multiple_outputs);
        Written::Finish(Box::new(Finish { body, xcoms, multiple_outputs }))
    }
}

/// The end of a task that the triggerer cannot work on.
pub(super) fn broken(reason: &str) -> End {
    End::failed(FailureClass::InvalidArguments, format!("the triggerer cannot work on the task: {reason}"))
}

type Decided = Option<Result<Next, BadArguments>>;

async fn external_task(
    connection: &mut PgConnection,
    dags: &DagCache,
    claimed: &Claimed,
    scene: &Scene,
) -> Result<Decided, StoreError> {
    let target = match scene.look(claimed, external::target) {
        Some(Ok(target)) => target,
        Some(Err(bad)) => return Ok(Some(Err(bad))),
        None => return Ok(None),
    };
    let facts = rows::external(connection, dags, &target).await?;
    Ok(scene.look(claimed, |look| Ok(sensor::next(look, external::found(&target, &facts.facts())))))
}

/// Asks at the first look; later the question is the stored one, whatever its templates would render to now.
async fn question(connection: &mut PgConnection, claimed: &Claimed, scene: &Scene) -> Result<Decided, StoreError> {
    let attempt = &claimed.attempt;
    let asked = questions::find(&mut *connection, attempt.dag_run_id, attempt.attempt_id).await?;
    let (question, mut answer) = match asked {
        Some(asked) => (asked.question, asked.answer),
        None => match scene.look(claimed, hitl::question) {
            Some(Ok(question)) => {
                questions::ask(&mut *connection, attempt, &question).await?;
                (question, None)
            }
            Some(Err(bad)) => return Ok(Some(Err(bad))),
            None => return Ok(None),
        },
    };
    if answer.is_none()
        && let Some(default) = hitl::default_answer(&question, claimed.now)
    {
        questions::answer(&mut *connection, attempt.dag_run_id, attempt.attempt_id, &default).await?;
        answer = Some(default);
    }
    Ok(scene.look(claimed, |look| hitl::next(look, &question, answer.as_ref())))
}

/// A later look at a task that waits for the run it made.
async fn awaited(connection: &mut PgConnection, claimed: &Claimed, scene: &Scene) -> Result<Decided, StoreError> {
    let found = match scene.memory.dag_run {
        Some(dag_run_id) => rows::awaited(connection, dag_run_id).await?,
        None => None,
    };
    let (dag_id, run_id, state) = match found {
        Some((dag_id, run_id, state)) => (dag_id, run_id.to_string(), Some(state)),
        // Deleted: its names are those it was waited for by.
        None => match &scene.memory.waiting_for {
            Some(updraft_core::triggerer::WaitingFor::DagRun { dag_id, run_id }) => {
                (dag_id.clone(), run_id.clone(), None)
            }
            _ => (String::new(), String::new(), None),
        },
    };
    let run = Triggered { dag_id: &dag_id, run_id: &run_id, state };
    Ok(scene.look(claimed, |look| trigger::next(look, run)))
}
