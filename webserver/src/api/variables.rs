//! `/variables`: list, get, create, change, delete, many at once.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgConnection;
use updraft_core::{
    redact::{MASK, is_sensitive, redact},
    template::python_text,
};
use updraft_store::{
    crypto::Keys,
    query::filter::{Page, Pattern},
    variables::{self, Change, Variable},
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

/// Characters of a key, at most.
const KEY_LENGTH: usize = 250;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct VariablePath {
    /// May contain slashes.
    variable_key: String,
}

pub(crate) struct VariablesQuery {
    key: Pattern,
    page: Page,
}

impl FromQuery for VariablesQuery {
    fn read(query: &mut Query) -> Self {
        Self { page: query.page(variables::ORDER_BY, &["id"]), key: query.pattern("variable_key") }
    }
}

/// A variable as callers write it.
pub(crate) struct VariableBody {
    key: String,
    /// A text is stored as it is, anything else as its JSON.
    value: String,
    /// `None`: the body does not have it.
    #[expect(clippy::option_option, reason = "in JSON, absent and null are two things")]
    description: Option<Option<String>>,
}

type BulkVariables = BulkBody<VariableBody>;

described!(VariableBody, BulkVariables);

impl FromBody for VariableBody {
    fn read(body: &mut Body) -> Self {
        body.conceal(&["value"]);
        body.require("key");
        refuse_team(body);
        let has_description = body.has("description");
        let description = body.text("description");
        Self {
            key: body.short_text("key", KEY_LENGTH).unwrap_or_default(),
            value: stored(body.required_json("value")),
            description: has_description.then_some(description),
        }
    }
}

/// What is kept of a value (Airflow: lists and mappings as indented JSON, the rest by `str`).
fn stored(value: Value) -> String {
    match value {
        Value::String(text) => text,
        value @ (Value::Array(_) | Value::Object(_)) => format!("{value:#}"),
        value => python_text(&value),
    }
}

impl bulk::Entity for VariableBody {
    const NOUN: &'static str = "variables with these keys";

    fn id(&self) -> &str {
        &self.key
    }
}

/// A variable; what its name or its keys promise to be secret is `***`.
#[derive(Serialize, ToSchema)]
pub(crate) struct VariableResponse {
    key: String,
    /// Null when it cannot be decrypted.
    value: Option<String>,
    description: Option<String>,
    is_encrypted: bool,
    team_name: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct VariableCollectionResponse {
    variables: Vec<VariableResponse>,
    total_entries: i64,
}

impl From<Variable> for VariableResponse {
    fn from(variable: Variable) -> Self {
        let value = match variable.value {
            Ok(value) => Some(shown(&variable.key, value)),
            Err(error) => {
                tracing::error!(key = variable.key, %error, "a variable cannot be decrypted");
                None
            }
        };
        Self { key: variable.key, value, description: variable.description, is_encrypted: true, team_name: None }
    }
}

/// The value without its secrets.
fn shown(key: &str, value: String) -> String {
    if is_sensitive(key) {
        return MASK.to_owned();
    }
    match serde_json::from_str::<Value>(&value) {
        Ok(parsed @ (Value::Array(_) | Value::Object(_))) => {
            let mut hidden = parsed.clone();
            redact(&mut hidden, key);
            if hidden == parsed { value } else { hidden.to_string() }
        }
        _ => value,
    }
}

/// List variables.
#[utoipa::path(get, path = "/variables", tag = "Variable", params(QueryParams<VariablesQuery>),
    responses((status = 200, body = VariableCollectionResponse)))]
pub(crate) async fn get_variables(
    State(app): State<App>,
    QueryParams(query): QueryParams<VariablesQuery>,
) -> Result<Json<VariableCollectionResponse>, ApiError> {
    let keys = &app.store.sources().keys;
    let found = variables::page(&mut *app.connection().await?, keys, &query.key, &query.page).await?;
    let variables = found.rows.into_iter().map(Into::into).collect();
    Ok(Json(VariableCollectionResponse { variables, total_entries: found.total }))
}

/// One variable.
#[utoipa::path(get, path = "/variables/{*variable_key}", tag = "Variable", params(VariablePath),
    responses((status = 200, body = VariableResponse), (status = 404)))]
pub(crate) async fn get_variable(
    State(app): State<App>,
    PathParams(path): PathParams<VariablePath>,
) -> Result<Json<VariableResponse>, ApiError> {
    Ok(Json(find(&app, &mut *app.connection().await?, &path.variable_key).await?.into()))
}

/// Create a variable.
#[utoipa::path(post, path = "/variables", tag = "Variable", request_body = VariableBody,
    responses((status = 201, body = VariableResponse), (status = 409)))]
pub(crate) async fn post_variable(
    State(app): State<App>,
    principal: Principal,
    JsonBody(body): JsonBody<VariableBody>,
) -> Result<(StatusCode, Json<VariableResponse>), ApiError> {
    let mut transaction = app.store.begin().await?;
    let keys = &app.store.sources().keys;
    let description = body.description.as_ref().and_then(Option::as_deref);
    if !variables::insert(&mut transaction, keys, &body.key, &body.value, description).await? {
        return Err(ApiError::Conflict(format!("The Variable with key: `{}` already exists", body.key)));
    }
    let extra = json!({"key": body.key, "value": MASK, "description": description, "method": "POST"});
    note(&mut transaction, "post_variable", &principal, extra).await?;
    let variable = find(&app, &mut transaction, &body.key).await?;
    app.commit(transaction).await?;
    Ok((StatusCode::CREATED, Json(variable.into())))
}

/// Change a variable.
#[utoipa::path(patch, path = "/variables/{*variable_key}", tag = "Variable",
    params(VariablePath, QueryParams<UpdateMask>), request_body = VariableBody,
    responses((status = 200, body = VariableResponse), (status = 400), (status = 404)))]
pub(crate) async fn patch_variable(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<VariablePath>,
    QueryParams(mask): QueryParams<UpdateMask>,
    JsonBody(body): JsonBody<VariableBody>,
) -> Result<Json<VariableResponse>, ApiError> {
    if body.key != path.variable_key {
        return Err(ApiError::BadRequest("Invalid body, key from request body doesn't match uri parameter".to_owned()));
    }
    let mut transaction = app.store.begin().await?;
    if !change(&mut transaction, &app.store.sources().keys, &body, mask.fields()).await? {
        return Err(missing(&body.key));
    }
    let extra = json!({"key": body.key, "value": MASK, "update_mask": mask.fields(), "method": "PATCH"});
    note(&mut transaction, "patch_variable", &principal, extra).await?;
    let variable = find(&app, &mut transaction, &body.key).await?;
    app.commit(transaction).await?;
    Ok(Json(variable.into()))
}

/// Delete a variable.
#[utoipa::path(delete, path = "/variables/{*variable_key}", tag = "Variable", params(VariablePath),
    responses((status = 204), (status = 404)))]
pub(crate) async fn delete_variable(
    State(app): State<App>,
    principal: Principal,
    PathParams(path): PathParams<VariablePath>,
) -> Result<StatusCode, ApiError> {
    let mut transaction = app.store.begin().await?;
    if !variables::delete(&mut transaction, &path.variable_key).await? {
        return Err(missing(&path.variable_key));
    }
    let extra = json!({"key": path.variable_key, "method": "DELETE"});
    note(&mut transaction, "delete_variable", &principal, extra).await?;
    app.commit(transaction).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Create, change and delete many variables.
#[utoipa::path(patch, path = "/variables", tag = "Variable", request_body = BulkVariables,
    responses((status = 200, body = BulkResponse)))]
pub(crate) async fn bulk_variables(
    State(app): State<App>,
    principal: Principal,
    JsonBody(body): JsonBody<BulkVariables>,
) -> Result<Json<BulkResponse>, ApiError> {
    let mut transaction = app.store.begin().await?;
    let mut target = Target { connection: &mut transaction, keys: &app.store.sources().keys };
    let response = bulk::run(body, &mut target).await?;
    note(&mut transaction, "bulk_variables", &principal, response.done()).await?;
    app.commit(transaction).await?;
    Ok(Json(response))
}

struct Target<'a> {
    connection: &'a mut PgConnection,
    keys: &'a Keys,
}

impl bulk::Target<VariableBody> for Target<'_> {
    async fn existing(&mut self, ids: &[String]) -> Result<Vec<String>, ApiError> {
        Ok(variables::existing(self.connection, ids).await?)
    }

    async fn create(&mut self, body: &VariableBody) -> Result<(), ApiError> {
        let description = body.description.as_ref().and_then(Option::as_deref);
        if !variables::insert(self.connection, self.keys, &body.key, &body.value, description).await? {
            let whole = Change { value: Some(&body.value), description: Some(description) };
            variables::update(self.connection, self.keys, &body.key, whole).await?;
        }
        Ok(())
    }

    async fn update(&mut self, body: &VariableBody, mask: Option<&[String]>) -> Result<(), ApiError> {
        change(self.connection, self.keys, body, mask).await?;
        Ok(())
    }

    async fn delete(&mut self, id: &str) -> Result<(), ApiError> {
        variables::delete(self.connection, id).await?;
        Ok(())
    }
}

/// Writes what the body has and the mask allows; a value that comes back masked stays.
async fn change(
    connection: &mut PgConnection,
    keys: &Keys,
    body: &VariableBody,
    mask: Option<&[String]>,
) -> Result<bool, ApiError> {
    let allows = |field: &str| mask.is_none_or(|mask| mask.iter().any(|name| name == field));
    let is_masked = body.value == MASK && is_sensitive(&body.key);
    let change = Change {
        value: Some(body.value.as_str()).filter(|_| (allows("value") || allows("val")) && !is_masked),
        description: body.description.as_ref().map(Option::as_deref).filter(|_| allows("description")),
    };
    Ok(variables::update(connection, keys, &body.key, change).await?)
}

async fn find(app: &App, connection: &mut PgConnection, key: &str) -> Result<Variable, ApiError> {
    let found = variables::get(connection, &app.store.sources().keys, key).await?;
    let found = found.ok_or_else(|| missing(key))?;
    match found.value {
        Ok(_) => Ok(found),
        Err(error) => Err(variables::unreadable(key, error).into()),
    }
}

fn missing(key: &str) -> ApiError {
    ApiError::not_found(format!("The Variable with key: `{key}` was not found"))
}
