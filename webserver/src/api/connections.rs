//! `/connections`: list, get, create, change, delete, many at once, and the default ones.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgConnection;
use updraft_core::{
    connection::Connection,
    redact::{self, MASK},
};
use updraft_store::{
    connections::{self, Stored},
    crypto::Keys,
    query::filter::{Page, Pattern},
    sources::Sources,
};
use utoipa::{IntoParams, ToSchema};

use super::{
    bulk::{self, BulkBody, BulkResponse},
    dags::UpdateMask,
    note,
    params::{Body, FromBody, FromQuery, JsonBody, PathParams, Query, QueryParams, described},
    refuse_team,
};
use crate::{App, auth::Principal, error::ApiError};

/// Characters of an id, at most.
const ID_LENGTH: usize = 200;
const ID_PATTERN: &str = r"^[\w.-]+$";

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct ConnectionPath {
    connection_id: String,
}

pub(crate) struct ConnectionsQuery {
    id: Pattern,
    page: Page,
}

impl FromQuery for ConnectionsQuery {
    fn read(query: &mut Query) -> Self {
        Self { page: query.page(connections::ORDER_BY, &["id"]), id: query.pattern("connection_id") }
    }
}

/// A connection as callers write it.
pub(crate) struct ConnectionBody {
    connection_id: String,
    fields: Connection,
    /// Which fields the body has; the others stay as they are.
    given: Vec<&'static str>,
}

const FIELDS: [&str; 8] = ["conn_type", "description", "host", "login", "schema", "port", "password", "extra"];

type BulkConnections = BulkBody<ConnectionBody>;

described!(ConnectionBody, BulkConnections);

impl FromBody for ConnectionBody {
    fn read(body: &mut Body) -> Self {
        body.conceal(&["password", "extra"]);
        body.require("connection_id");
        body.require("conn_type");
        refuse_team(body);
        let given = FIELDS.into_iter().filter(|field| body.has(field)).collect();
        let connection_id = body.matching_text("connection_id", ID_LENGTH, ID_PATTERN, |id| {
            !id.is_empty() && id.chars().all(|c| c.is_alphanumeric() || "_.-".contains(c))
        });
        let extra = body.text("extra").filter(|extra| !extra.is_empty());
        if let Some(extra) = &extra
            && !matches!(serde_json::from_str(extra), Ok(Value::Object(_)))
        {
            let msg = "The `extra` field must be a valid JSON object (e.g., {'key': 'value'})";
            body.refuse_value("extra", extra.as_str(), msg);
        }
        let fields = Connection {
            conn_type: body.text("conn_type").unwrap_or_default(),
            description: body.text("description"),
            host: body.text("host"),
            schema: body.text("schema"),
            login: body.text("login"),
            password: body.text("password"),
            port: body.small_int("port", i32::MIN),
            extra,
        };
        Self { connection_id: connection_id.unwrap_or_default(), fields, given }
    }
}

impl ConnectionBody {
    /// The connection that the body means: what it has, over what is known under its id, as a task would find it.
    pub(super) async fn meant(&self, connection: &mut PgConnection, sources: &Sources) -> Result<Connection, ApiError> {
        let id = &self.connection_id;
        let known = match sources.environment.connection(id)? {
            Some(known) => Some(known),
            None => match connections::get(connection, &sources.keys, id).await? {
                Some(stored) if !self.rewrites_secrets(|_| true) => Some(stored.whole()?),
                stored => stored.map(|stored| stored.connection),
            },
        };
        let Some(mut fields) = known else { return Ok(self.fields.clone()) };
        self.lay_over(&mut fields, |_| true);
        Ok(fields)
    }

    fn takes(&self, field: &str, allowed: impl Fn(&str) -> bool) -> bool {
        self.given.contains(&field) && allowed(field)
    }

    /// What cannot be decrypted must be written anew, or it would be lost.
    fn rewrites_secrets(&self, allowed: impl Fn(&str) -> bool) -> bool {
        self.takes("password", &allowed) && self.takes("extra", &allowed)
    }

    /// Writes what the body has and is allowed; what comes back masked stays.
    fn lay_over(&self, fields: &mut Connection, allowed: impl Fn(&str) -> bool) {
        let new = &self.fields;
        let takes = |field| self.takes(field, &allowed);
        if takes("conn_type") {
            fields.conn_type.clone_from(&new.conn_type);
        }
        for (field, to, from) in [
            ("description", &mut fields.description, &new.description),
            ("host", &mut fields.host, &new.host),
            ("login", &mut fields.login, &new.login),
            ("schema", &mut fields.schema, &new.schema),
        ] {
            if takes(field) {
                to.clone_from(from);
            }
        }
        if takes("port") {
            fields.port = new.port;
        }
        if takes("password") && new.password.as_deref() != Some(MASK) {
            fields.password.clone_from(&new.password);
        }
        if takes("extra") {
            fields.extra = merged(new.extra.as_deref(), fields.extra.as_deref());
        }
    }
}

impl bulk::Entity for ConnectionBody {
    const NOUN: &'static str = "connections with these connection_ids";

    fn id(&self) -> &str {
        &self.connection_id
    }
}

/// A connection without its secrets.
#[derive(Serialize, ToSchema)]
pub(crate) struct ConnectionResponse {
    connection_id: String,
    conn_type: String,
    description: Option<String>,
    host: Option<String>,
    login: Option<String>,
    schema: Option<String>,
    port: Option<i32>,
    /// `***` when there is one.
    password: Option<String>,
    /// Texts under telling names are `***`.
    extra: Option<String>,
    team_name: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ConnectionCollectionResponse {
    connections: Vec<ConnectionResponse>,
    total_entries: i64,
}

impl From<Stored> for ConnectionResponse {
    fn from(stored: Stored) -> Self {
        if let Some(error) = stored.unreadable {
            tracing::error!(conn_id = stored.conn_id, %error, "a connection cannot be decrypted");
        }
        let fields = stored.connection;
        Self {
            connection_id: stored.conn_id,
            conn_type: fields.conn_type,
            description: fields.description,
            host: fields.host,
            login: fields.login,
            schema: fields.schema,
            port: fields.port,
            password: fields.password.map(|_| MASK.to_owned()),
            extra: fields.extra.map(|extra| shown(&extra)),
            team_name: None,
        }
    }
}

/// An extra without its secrets; one that is no JSON may be a secret whole.
fn shown(extra: &str) -> String {
    match serde_json::from_str::<Value>(extra) {
        Ok(mut parsed @ (Value::Object(_) | Value::Array(_))) => {
            redact::redact(&mut parsed, "extra");
            parsed.to_string()
        }
        _ => MASK.to_owned(),
    }
}

/// List connections.
#[utoipa::path(get, path = "/connections", tag = "Connection", params(QueryParams<ConnectionsQuery>),
    responses((status = 200, body = ConnectionCollectionResponse)))]
pub(crate) async fn get_connections(
    State(app): State<App>,
    QueryParams(query): QueryParams<ConnectionsQuery>,
) -> Result<Json<ConnectionCollectionResponse>, ApiError> {
    let keys = &app.store.sources().keys;
    let found = connections::page(&mut *app.connection().await?, keys, &query.id, &query.page).await?;
    let connections = found.rows.into_iter().map(Into::into).collect();
    Ok(Json(ConnectionCollectionResponse { connections, total_entries: found.total }))
}

/// One connection.
#[utoipa::path(get, path = "/connections/{connection_id}", tag = "Connection", params(ConnectionPath),
    responses((status = 200, body = ConnectionResponse), (status = 404)))]
pub(crate) async fn get_connection(
    State(app): State<App>,
    PathParams(path): PathParams<ConnectionPath>,
) -> Result<Json<ConnectionResponse>, ApiError> {
    Ok(Json(find(&app, &mut *app.connection().await?, &path.connection_id).await?.into()))
}

/// Create a connection.
#[utoipa::path(post, path = "/connections", tag = "Connection", request_body = ConnectionBody,
    responses((status = 201, body = ConnectionResponse), (status = 409)))]
pub(crate) async fn post_connection(
    State(app): State<App>,
    principal: Principal,
    JsonBody(body): JsonBody<ConnectionBody>,
) -> Result<(StatusCode, Json<ConnectionResponse>), ApiError> {
    let mut transaction = app.store.begin().await?;
    let keys = &app.store.sources().keys;
    if !connections::put(&mut transaction, keys, &body.connection_id, &body.fields, false).await? {
        return Err(ApiError::NotUnique { constraint: "connection_conn_id_key".to_owned() });
    }
    note(&mut transaction, "post_connection", &principal, audited(&body, "POST")).await?;
    let stored = find(&app, &mut transaction, &body.connection_id).await?;
    app.commit(transaction).await?;
    Ok((StatusCode::CREATED, Json(stored.into())))
}

/// Change a connection: what the body has, as far as the mask allows.
#[utoipa::path(patch, path = "/connections/{connection_id}", tag = "Connection",
    params(ConnectionPath, QueryParams<UpdateMask>), request_body = ConnectionBody,
    responses((status = 200, body = ConnectionResponse), (status = 400), (status = 404)))]
pub(crate) async fn patch_connection(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<ConnectionPath>,
    QueryParams(mask): QueryParams<UpdateMask>,
    JsonBody(body): JsonBody<ConnectionBody>,
) -> Result<Json<ConnectionResponse>, ApiError> {
    if body.connection_id != path.connection_id {
        let text = "The connection_id in the request body does not match the URL parameter";
        return Err(ApiError::BadRequest(text.to_owned()));
    }
    let mut transaction = app.store.begin().await?;
    change(&mut transaction, &app.store.sources().keys, &body, mask.fields()).await?;
    note(&mut transaction, "patch_connection", &principal, audited(&body, "PATCH")).await?;
    let stored = find(&app, &mut transaction, &body.connection_id).await?;
    app.commit(transaction).await?;
    Ok(Json(stored.into()))
}

/// Delete a connection.
#[utoipa::path(delete, path = "/connections/{connection_id}", tag = "Connection", params(ConnectionPath),
    responses((status = 204), (status = 404)))]
pub(crate) async fn delete_connection(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<ConnectionPath>,
) -> Result<StatusCode, ApiError> {
    let mut transaction = app.store.begin().await?;
    if !connections::delete(&mut transaction, &path.connection_id).await? {
        return Err(missing(&path.connection_id));
    }
    let extra = json!({"connection_id": path.connection_id, "method": "DELETE"});
    note(&mut transaction, "delete_connection", &principal, extra).await?;
    app.commit(transaction).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Create, change and delete many connections.
#[utoipa::path(patch, path = "/connections", tag = "Connection", request_body = BulkConnections,
    responses((status = 200, body = BulkResponse)))]
pub(crate) async fn bulk_connections(
    State(app): State<App>,
    principal: Principal,
    JsonBody(body): JsonBody<BulkConnections>,
) -> Result<Json<BulkResponse>, ApiError> {
    let mut transaction = app.store.begin().await?;
    let mut target = Target { connection: &mut transaction, keys: &app.store.sources().keys };
    let response = bulk::run(body, &mut target).await?;
    note(&mut transaction, "bulk_connections", &principal, response.done()).await?;
    app.commit(transaction).await?;
    Ok(Json(response))
}

/// Create the connections that operators name when a DAG names none, as far as they do not exist.
#[utoipa::path(post, path = "/connections/defaults", tag = "Connection", responses((status = 204)))]
pub(crate) async fn create_default_connections(
    State(app): State<App>,
    principal: Principal,
) -> Result<StatusCode, ApiError> {
    let mut transaction = app.store.begin().await?;
    for (id, connection) in defaults() {
        connections::put(&mut transaction, &app.store.sources().keys, id, &connection, false).await?;
    }
    note(&mut transaction, "create_default_connections", &principal, json!({"method": "POST"})).await?;
    app.commit(transaction).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Of Airflow's defaults those that an operator of ours reads; the others belong to provider packages, which do not run here.
fn defaults() -> [(&'static str, Connection); 1] {
    let extra = Some(r#"{"path": "/"}"#.to_owned());
    [("fs_default", Connection { conn_type: "fs".to_owned(), extra, ..Connection::default() })]
}

struct Target<'a> {
    connection: &'a mut PgConnection,
    keys: &'a Keys,
}

impl bulk::Target<ConnectionBody> for Target<'_> {
    async fn existing(&mut self, ids: &[String]) -> Result<Vec<String>, ApiError> {
        Ok(connections::existing(self.connection, ids).await?)
    }

    async fn create(&mut self, body: &ConnectionBody) -> Result<(), ApiError> {
        connections::put(self.connection, self.keys, &body.connection_id, &body.fields, true).await?;
        Ok(())
    }

    async fn update(&mut self, body: &ConnectionBody, mask: Option<&[String]>) -> Result<(), ApiError> {
        change(self.connection, self.keys, body, mask).await
    }

    async fn delete(&mut self, id: &str) -> Result<(), ApiError> {
        connections::delete(self.connection, id).await?;
        Ok(())
    }
}

/// Writes what the body has and the mask allows; what comes back masked stays.
async fn change(
    connection: &mut PgConnection,
    keys: &Keys,
    body: &ConnectionBody,
    mask: Option<&[String]>,
) -> Result<(), ApiError> {
    let id = &body.connection_id;
    let stored = connections::get(connection, keys, id).await?.ok_or_else(|| missing(id))?;
    let allowed = |field: &str| mask.is_none_or(|mask| mask.iter().any(|name| name == field));
    let mut fields = if body.rewrites_secrets(allowed) { stored.connection } else { stored.whole()? };
    body.lay_over(&mut fields, allowed);
    connections::put(connection, keys, id, &fields, true).await?;
    Ok(())
}

/// The new extra, with the old values where it still has their masks.
fn merged(new: Option<&str>, old: Option<&str>) -> Option<String> {
    let new = new?;
    let (Ok(mut parsed), Some(Ok(old))) = (serde_json::from_str::<Value>(new), old.map(serde_json::from_str)) else {
        return Some(new.to_owned());
    };
    let before = parsed.clone();
    redact::merge(&mut parsed, &old, "extra");
    Some(if parsed == before { new.to_owned() } else { parsed.to_string() })
}

async fn find(app: &App, connection: &mut PgConnection, id: &str) -> Result<Stored, ApiError> {
    let found = connections::get(connection, &app.store.sources().keys, id).await?.ok_or_else(|| missing(id))?;
    if found.unreadable.is_some() {
        found.clone().whole()?;
    }
    Ok(found)
}

fn missing(id: &str) -> ApiError {
    ApiError::not_found(format!("The Connection with connection_id: `{id}` was not found"))
}

/// What the audit trail keeps of a body.
pub(super) fn audited(body: &ConnectionBody, method: &str) -> Value {
    let fields = &body.fields;
    json!({
        "connection_id": body.connection_id, "conn_type": fields.conn_type, "description": fields.description,
        "host": fields.host, "login": fields.login, "schema": fields.schema, "port": fields.port,
        "password": fields.password.as_ref().map(|_| MASK), "extra": fields.extra.as_deref().map(shown), "method": method,
    })
}
