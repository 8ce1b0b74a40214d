//! `POST /poll`: the heartbeat, held until there is work.

use axum::{Json, extract::State};
use serde_json::{Value, json};
use tokio::time::Instant;
use updraft_core::{spec::TaskSpec, template};
use updraft_protocol::{CancelAttempt, INLINE_LIMIT, Part, PollRequest, PollResponse, Ref, ResolvedRef, StartAttempt};
use updraft_store::{
    StoreError,
    nodes::{self, Handed, Start, TokenId},
};

use super::{ExecutorApi, attempt_token, auth::Node, error::ApiError, wire::Wire};
use crate::logs::LogKey;

/// Answers as soon as there is something to start or cancel, or draining began or ended; empty after the poll time, and at once
/// when the server shuts down.
pub(super) async fn poll(
    State(api): State<ExecutorApi>,
    Node(token): Node,
    Wire(request): Wire<PollRequest>,
) -> Result<Json<PollResponse>, ApiError> {
    let deadline = Instant::now() + api.inner.settings.lease.poll();
    let executor_id = begin(&api, token, &request).await?;
    // Before the first query, so that nothing that happens after it goes unheard.
    let mut bell = api.inner.bells.subscribe(executor_id);
    let mut drained = None;
    loop {
        bell.mark_unchanged();
        let launch = api.inner.settings.launch;
        let (have, cancelling) = (&request.have, &request.cancelling);
        let found = nodes::hand_out(&api.inner.store, executor_id, request.session, have, cancelling, launch).await?;
        let found = found.ok_or_else(ApiError::unknown_session)?;
        let starts = nodes::starts(&api.inner.store, &api.inner.dags, &found.start, INLINE_LIMIT).await?;
        forget_old_looks(&api, &found.start, &starts).await;
        let news = !starts.is_empty() || !found.cancel.is_empty() || drained.is_some_and(|was| was != found.draining);
        drained = Some(found.draining);
        if news || Instant::now() >= deadline || api.inner.shutdown.is_cancelled() {
            let cancel = found.cancel.into_iter().map(|cancel| CancelAttempt {
                attempt_id: cancel.attempt_id,
                grace_ms: cancel.grace_ms.try_into().unwrap_or_default(),
                reason: cancel.reason,
            });
            let start = starts.into_iter().map(|start| to_wire(&api, start)).collect::<Result<_, _>>()?;
            return Ok(Json(PollResponse { start, cancel: cancel.collect(), drain: found.draining }));
        }
        tokio::select! {
            _ = bell.changed() => {}
            () = tokio::time::sleep_until(deadline) => return Ok(idle(found.draining)),
            () = api.inner.shutdown.cancelled() => return Ok(idle(found.draining)),
        }
    }
}

/// Deletes the logs of all but the latest looks of sensors that are asked again. A look goes on without: the next tries again.
async fn forget_old_looks(api: &ExecutorApi, handed: &[Handed], starts: &[Start]) {
    for handed in handed.iter().filter(|handed| handed.reschedules >= nodes::LOOKS_KEPT) {
        let Some(start) = starts.iter().find(|start| start.spec.attempt_id.0 == handed.attempt_id) else { continue };
        if let Err(error) = forget(api, handed, &start.spec).await {
            tracing::warn!(%error, task_id = handed.task_id, "the logs of a sensor's old looks could not be deleted");
        }
    }
}

async fn forget(api: &ExecutorApi, handed: &Handed, spec: &TaskSpec) -> Result<(), StoreError> {
    let old = nodes::old_looks(&api.inner.store, handed).await?;
    for &attempt_id in &old {
        let key = LogKey {
            dag_id: spec.run.dag_id.to_string(),
            run_id: spec.run.run_id.to_string(),
            task_id: handed.task_id.clone(),
            map_index: handed.map_index,
            try_number: handed.try_number,
            attempt_id,
        };
        let deleted = api.inner.logs.delete(&key).await;
        deleted.map_err(|error| StoreError::Unavailable(format!("the log of an old look: {error}")))?;
    }
    nodes::forget_looks(&api.inner.store, handed.dag_run_id, &old).await
}

fn idle(drain: bool) -> Json<PollResponse> {
    Json(PollResponse { drain, ..PollResponse::default() })
}

async fn begin(api: &ExecutorApi, token: TokenId, request: &PollRequest) -> Result<i64, ApiError> {
    let runners = serde_json::to_value(&request.runners).map_err(|error| ApiError::invalid(error.to_string()))?;
    let mut stats = json!(request.stats);
    stats["free_slots"] = json!(request.free_slots);
    if let Some(desktop) = &request.desktop {
        stats["desktop"] = json!(desktop);
    }
    let lease = api.inner.settings.lease;
    let heartbeat = nodes::begin_poll(&api.inner.store, token, request.session, &runners, &stats, lease).await?;
    heartbeat.map(|heartbeat| heartbeat.executor_id).ok_or_else(ApiError::unknown_session)
}

fn to_wire(api: &ExecutorApi, start: Start) -> Result<StartAttempt, ApiError> {
    let attempt_id = start.spec.attempt_id.0;
    let spec: Value = serde_json::to_value(&start.spec).map_err(updraft_store::StoreError::from)?;
    Ok(StartAttempt {
        attempt_id,
        spec,
        token: attempt_token::make(&api.inner.settings.attempt_secret, attempt_id),
        refs: start.refs.into_iter().map(resolved).collect(),
    })
}

/// A reference and its value as the protocol has them.
pub(super) fn resolved(value: nodes::ResolvedRef) -> ResolvedRef {
    let reference = match value.reference {
        template::Ref::XCom { task_id, key, map_index, part } => {
            let part = part.map(|part| match part {
                template::Part::Length => Part::Length,
                template::Part::Item(position) => Part::Item(position),
                template::Part::All => Part::All,
            });
            Ref::XCom { task_id, key, map_index, part }
        }
        template::Ref::XComOf { dag_id, run_id, include_prior_dates, task_id, key, map_index } => {
            Ref::XComOf { dag_id, run_id, include_prior_dates, task_id, key, map_index }
        }
        template::Ref::Variable { key } => Ref::Variable { key },
        template::Ref::Connection { conn_id } => Ref::Connection { conn_id },
    };
    ResolvedRef { reference, value: value.value }
}

/// A reference as templates have it.
pub(super) fn to_core(reference: Ref) -> template::Ref {
    match reference {
        Ref::XCom { task_id, key, map_index, part } => {
            let part = part.map(|part| match part {
                Part::Length => template::Part::Length,
                Part::Item(position) => template::Part::Item(position),
                Part::All => template::Part::All,
            });
            template::Ref::XCom { task_id, key, map_index, part }
        }
        Ref::XComOf { dag_id, run_id, include_prior_dates, task_id, key, map_index } => {
            template::Ref::XComOf { dag_id, run_id, include_prior_dates, task_id, key, map_index }
        }
        Ref::Variable { key } => template::Ref::Variable { key },
        Ref::Connection { conn_id } => template::Ref::Connection { conn_id },
    }
}
