//! Who may do what: one table, asked before every handler.

use std::fmt;

use axum::{
    extract::{RawPathParams, Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
    routing::MethodRouter,
};
use utoipa::openapi::{extensions::ExtensionsBuilder, path::Operation};
use utoipa_axum::router::UtoipaMethodRouter;

use crate::{
    App,
    auth::{Credentials, Principal},
    error::ApiError,
};

/// Airflow's roles, each with everything the one before may do (`SimpleAuthManagerRole`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Viewer,
    User,
    Op,
    Admin,
}

impl Role {
    /// The claim's spelling.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::User => "user",
            Self::Op => "op",
            Self::Admin => "admin",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Viewer, Self::User, Self::Op, Self::Admin].into_iter().find(|role| role.as_str() == text.to_lowercase())
    }
}

/// What is asked of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Read,
    Write,
}

/// What it is asked of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Dag,
    DagRun,
    TaskInstance,
    Log,
    Source,
    ImportError,
    Asset,
    AuditLog,
    Executor,
    Job,
    Variable,
    Connection,
    Pool,
    XCom,
}

/// A resource of a request; the DAG is named so that teams can be a lookup later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resource<'a> {
    pub(crate) kind: Kind,
    /// `None`: not about one DAG (`~`, a list, a node).
    pub(crate) dag_id: Option<&'a str>,
}

/// What a route asks before its handler runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permission {
    /// Nothing: login, version, health, the API's description.
    Public,
    Needs(Action, Kind),
}

impl Permission {
    pub(crate) const fn read(kind: Kind) -> Self {
        Self::Needs(Action::Read, kind)
    }

    pub(crate) const fn write(kind: Kind) -> Self {
        Self::Needs(Action::Write, kind)
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Public => f.write_str("public"),
            Self::Needs(action, kind) => write!(f, "{action:?}:{kind:?}"),
        }
    }
}

/// The one decision: may `principal` do `action` to `resource`.
///
/// # Errors
/// [`ApiError::Forbidden`], Airflow's word for it.
pub(crate) fn authorize(principal: &Principal, action: Action, resource: Resource<'_>) -> Result<(), ApiError> {
    if principal.role >= least_role(action, resource.kind) {
        return Ok(());
    }
    tracing::info!(user = principal.name, ?action, kind = ?resource.kind, dag_id = resource.dag_id, "forbidden");
    Err(ApiError::Forbidden("Forbidden".into()))
}

/// Airflow 3: `simple_auth_manager.py`: viewers read DAGs, users act on them, ops see the machinery.
const fn least_role(action: Action, kind: Kind) -> Role {
    match (action, kind) {
        (
            Action::Read,
            Kind::Dag
            | Kind::DagRun
            | Kind::TaskInstance
            | Kind::Log
            | Kind::Source
            | Kind::ImportError
            | Kind::Asset
            | Kind::Executor
            | Kind::Pool
            | Kind::XCom
            | Kind::Job,
        ) => Role::Viewer,
        (Action::Write, Kind::Dag | Kind::DagRun | Kind::TaskInstance | Kind::XCom) => Role::User,
        (Action::Read, Kind::AuditLog)
        | (Action::Write, Kind::Executor | Kind::Asset | Kind::Pool)
        | (_, Kind::Variable | Kind::Connection) => Role::Op,
        (Action::Write, Kind::Log | Kind::Source | Kind::ImportError | Kind::AuditLog | Kind::Job) => Role::Admin,
    }
}

/// The extension of the OpenAPI document that tells an operation's permission; a test asserts that none lacks it.
pub(crate) const EXTENSION: &str = "x-permission";

/// Declares what routes ask: checks it before the handlers and writes it into the OpenAPI document.
pub(crate) fn allow(
    app: &App,
    permission: Permission,
    (schemas, mut paths, methods): UtoipaMethodRouter<App>,
) -> UtoipaMethodRouter<App> {
    for item in paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        for operation in operations.into_iter().flatten() {
            declare(operation, permission);
        }
    }
    let methods = match permission {
        Permission::Public => methods,
        Permission::Needs(action, kind) => methods.route_layer(from_fn_with_state((app.clone(), action, kind), guard)),
    };
    (schemas, paths, methods)
}

/// The same for methods that are answered without being described.
pub(crate) fn allow_unlisted(app: &App, action: Action, kind: Kind, methods: MethodRouter<App>) -> MethodRouter<App> {
    methods.route_layer(from_fn_with_state((app.clone(), action, kind), guard))
}

fn declare(operation: &mut Operation, permission: Permission) {
    let extensions = ExtensionsBuilder::new().add(EXTENSION, permission.to_string()).build();
    operation.extensions.get_or_insert_default().merge(extensions);
    if permission == Permission::Public {
        operation.security = Some(Vec::new());
    }
}

async fn guard(
    State((app, action, kind)): State<(App, Action, Kind)>,
    credentials: Credentials,
    params: RawPathParams,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let principal = app.auth.verify(&credentials)?;
    let dag_id = params.iter().find(|(name, _)| *name == "dag_id").map(|(_, value)| value).filter(|id| *id != "~");
    authorize(&principal, action, Resource { kind, dag_id })?;
    request.extensions_mut().insert(principal);
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_viewer_reads_and_does_not_trigger() {
        let viewer = Principal { name: "v".to_owned(), role: Role::Viewer };
        let run = Resource { kind: Kind::DagRun, dag_id: Some("d") };
        authorize(&viewer, Action::Read, run).unwrap();
        assert!(authorize(&viewer, Action::Write, run).is_err());
    }
}
