//! `GET /about`, `POST /register` and `POST /reconcile`.

use axum::{Json, extract::State};
use serde_json::json;
use updraft_protocol::{
    AboutResponse, AttemptReport, NodeAttemptState as Wired, ReconcileRequest, ReconcileResponse, RegisterRequest,
    RegisterResponse, RunRef, VERSION,
};
use updraft_store::nodes::{self, NewNode, NodeAttempt, NodeAttemptState, Reconciled, Registration};

use super::{ExecutorApi, auth::Node, error::ApiError, wire::Wire};

/// Characters of a node's name, at most.
const NAME_LIMIT: usize = 250;

/// Who answers, to whoever has a node's token.
pub(super) async fn about(Node(_): Node) -> Json<AboutResponse> {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Json(AboutResponse { version, protocol_min: VERSION, protocol_max: VERSION })
}

pub(super) async fn register(
    State(api): State<ExecutorApi>,
    Node(token): Node,
    Wire(request): Wire<RegisterRequest>,
) -> Result<Json<RegisterResponse>, ApiError> {
    if request.protocol_min > VERSION || request.protocol_max < VERSION {
        return Err(ApiError::protocol(request.protocol_min, request.protocol_max));
    }
    let name = request.name.trim();
    if name.is_empty() || name.chars().count() > NAME_LIMIT || name.chars().any(char::is_control) {
        return Err(ApiError::invalid(format!(
            "a node's name has 1 to {NAME_LIMIT} characters and no control characters"
        )));
    }
    let node = NewNode {
        name: name.to_owned(),
        identity: request.identity,
        session: request.session,
        hostname: request.hostname,
        version: request.version,
        slots: i32::try_from(request.slots).unwrap_or(i32::MAX),
        weight: i32::try_from(request.weight).unwrap_or(i32::MAX).max(1),
        leaves: request.slots == 0,
        labels: json!(request.labels),
        queues: request.queues,
        runners: json!(request.runners),
    };
    let settings = &api.inner.settings;
    let attempts = attempts(&request.attempts);
    match nodes::register(&api.inner.store, token, &node, &attempts, settings.lease).await? {
        Registration::Registered { executor_id, reconciled } => {
            let (name, lost) = (node.name, reconciled.lost.len());
            if node.leaves {
                tracing::info!(executor_id, name, lost, "a node ends");
            } else {
                tracing::info!(executor_id, name, lost, "a node registered");
            }
            Ok(Json(RegisterResponse {
                executor_id,
                protocol: VERSION,
                lease_ms: settings.lease.length().as_millis() as u64,
                poll_ms: settings.lease.poll().as_millis() as u64,
                reconcile_ms: settings.lease.reconcile().as_millis() as u64,
                reconcile: to_wire(reconciled),
            }))
        }
        Registration::NameTaken => Err(ApiError::name_taken(&node.name)),
    }
}

pub(super) async fn reconcile(
    State(api): State<ExecutorApi>,
    Node(token): Node,
    Wire(request): Wire<ReconcileRequest>,
) -> Result<Json<ReconcileResponse>, ApiError> {
    let attempts = attempts(&request.attempts);
    let reconciled = nodes::reconcile(&api.inner.store, token, request.session, &attempts).await?;
    let reconciled = reconciled.ok_or_else(ApiError::unknown_session)?;
    if !reconciled.lost.is_empty() {
        tracing::warn!(lost = ?reconciled.lost, "a node does not know attempts that were handed to it");
    }
    let mut answer = to_wire(reconciled);
    if !request.runs.is_empty() {
        let runs: Vec<(String, String)> = request.runs.into_iter().map(|run| (run.dag_id, run.run_id)).collect();
        let over = nodes::over(&api.inner.store, &runs).await?;
        answer.over = over.into_iter().map(|(dag_id, run_id)| RunRef { dag_id, run_id }).collect();
    }
    Ok(Json(answer))
}

fn attempts(reports: &[AttemptReport]) -> Vec<NodeAttempt> {
    reports
        .iter()
        .map(|report| NodeAttempt {
            attempt_id: report.attempt_id,
            state: match report.state {
                Wired::Received => NodeAttemptState::Received,
                Wired::Running => NodeAttemptState::Running,
                Wired::Finished => NodeAttemptState::Finished,
                Wired::Stopping => NodeAttemptState::Stopping,
            },
        })
        .collect()
}

fn to_wire(reconciled: Reconciled) -> ReconcileResponse {
    ReconcileResponse { stop: reconciled.stop, report_again: reconciled.report_again, over: Vec::new() }
}
