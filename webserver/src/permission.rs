//! Who may do what: one table, asked before every handler.

use std::fmt;

use axum::{
    extract::{RawPathParams, Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
    routing::MethodRouter,
};
use updraft_core::identity::Role;
use utoipa::openapi::{
    HttpMethod, PathItem,
    extensions::ExtensionsBuilder,
    path::{Operation, OperationBuilder, PathsBuilder},
};
use utoipa_axum::router::UtoipaMethodRouter;

use crate::{
    App,
    auth::{Credentials, Principal},
    error::ApiError,
};

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
    Backfill,
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
    Config,
    Plugin,
    Provider,
    /// Users, and what they may do.
    User,
    /// What is the caller's own: name, role, API tokens.
    Own,
}

impl Kind {
    const ALL: [Self; 20] = [
        Self::Dag,
        Self::DagRun,
        Self::Backfill,
        Self::TaskInstance,
        Self::Log,
        Self::Source,
        Self::ImportError,
        Self::Asset,
        Self::AuditLog,
        Self::Executor,
        Self::Job,
        Self::Variable,
        Self::Connection,
        Self::Pool,
        Self::XCom,
        Self::Config,
        Self::Plugin,
        Self::Provider,
        Self::User,
        Self::Own,
    ];
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

/// The permissions of a role by name (`Write:DagRun`), spelled as operations of the API's description ask for them.
pub(crate) fn granted(role: Role) -> Vec<String> {
    let all = Kind::ALL.into_iter().flat_map(|kind| [(Action::Read, kind), (Action::Write, kind)]);
    let held = all.filter(|(action, kind)| role >= least_role(*action, *kind));
    held.map(|(action, kind)| Permission::Needs(action, kind).to_string()).collect()
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

/// Airflow 3: `simple_auth_manager.py`: viewers read all but secrets, users act on DAGs, ops manage what DAGs share. Airflow has no
/// nodes and no users: ours are for ops and admins. What nobody writes yet is for admins.
const fn least_role(action: Action, kind: Kind) -> Role {
    match (action, kind) {
        (_, Kind::Own) => Role::Viewer,
        (_, Kind::User) => Role::Admin,
        (_, Kind::Variable | Kind::Connection) => Role::Op,
        (
            Action::Read,
            Kind::Dag
            | Kind::DagRun
            | Kind::Backfill
            | Kind::TaskInstance
            | Kind::Log
            | Kind::Source
            | Kind::ImportError
            | Kind::Asset
            | Kind::AuditLog
            | Kind::Executor
            | Kind::Pool
            | Kind::XCom
            | Kind::Job
            | Kind::Plugin
            | Kind::Provider,
        ) => Role::Viewer,
        (Action::Write, Kind::Dag | Kind::DagRun | Kind::TaskInstance | Kind::XCom) => Role::User,
        (Action::Read, Kind::Config) | (Action::Write, Kind::Backfill | Kind::Executor | Kind::Asset | Kind::Pool) => {
            Role::Op
        }
        (
            Action::Write,
            Kind::Log
            | Kind::Source
            | Kind::ImportError
            | Kind::AuditLog
            | Kind::Job
            | Kind::Config
            | Kind::Plugin
            | Kind::Provider,
        ) => Role::Admin,
    }
}

/// The extension of the OpenAPI document that tells an operation's permission; a test asserts that none lacks it.
pub(crate) const EXTENSION: &str = "x-permission";

/// The extension of an operation that the served document leaves out.
pub(crate) const UNLISTED: &str = "x-unlisted";

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

/// The same for a method that is answered without being described.
pub(crate) fn allow_unlisted(
    app: &App,
    permission: Permission,
    method: HttpMethod,
    path: &str,
    methods: MethodRouter<App>,
) -> UtoipaMethodRouter<App> {
    let unlisted = ExtensionsBuilder::new().add(UNLISTED, true).build();
    let operation = OperationBuilder::new().extensions(Some(unlisted)).build();
    let paths = PathsBuilder::new().path(path, PathItem::new(method, operation)).build();
    allow(app, permission, (Vec::new(), paths, methods))
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
    let principal = app.auth.verify(&app.store, &credentials).await?;
    let dag_id = params.iter().find(|(name, _)| *name == "dag_id").map(|(_, value)| value).filter(|id| *id != "~");
    authorize(&principal, action, Resource { kind, dag_id })?;
    request.extensions_mut().insert(principal);
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_is_granted_what_the_one_before_is_and_admins_all() {
        for (less, more) in Role::ALL.into_iter().zip(Role::ALL.into_iter().skip(1)) {
            let more = granted(more);
            assert!(granted(less).iter().all(|one| more.contains(one)));
        }
        assert!(granted(Role::Viewer).contains(&"Read:DagRun".to_owned()));
        assert!(!granted(Role::Viewer).contains(&"Write:DagRun".to_owned()));
        assert_eq!(granted(Role::Admin).len(), 2 * Kind::ALL.len());
    }

    #[test]
    fn a_viewer_reads_and_does_not_trigger() {
        let viewer = Principal { name: "v".to_owned(), role: Role::Viewer, is_program: false };
        let run = Resource { kind: Kind::DagRun, dag_id: Some("d") };
        authorize(&viewer, Action::Read, run).unwrap();
        assert!(authorize(&viewer, Action::Write, run).is_err());
    }
}
