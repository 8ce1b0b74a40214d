//! `PATCH /variables | /connections | /pools`: many created, updated and deleted at once (Airflow 3: `core_api/services`).
//! Always 200; each kind of action tells what succeeded and what did not. [`super::bulk_below`] does the same to what lies
//! below a DAG.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::params::{Body, FromBody};
use crate::error::ApiError;

/// Something that bulk requests are about.
pub(crate) trait Entity: FromBody {
    /// `variables with these keys`, for errors.
    const NOUN: &'static str;

    fn id(&self) -> &str;
}

/// An entity to delete: its id alone, or in full.
pub(super) enum Subject<T> {
    Id(String),
    Whole(T),
}

/// What the actions are done to; inside one transaction.
pub(crate) trait Target<T> {
    /// Which of these exist.
    async fn existing(&mut self, ids: &[String]) -> Result<Vec<String>, ApiError>;
    /// Creates one, or overwrites the one of its id.
    async fn create(&mut self, entity: &T) -> Result<(), ApiError>;
    async fn update(&mut self, entity: &T, mask: Option<&[String]>) -> Result<(), ApiError>;
    async fn delete(&mut self, id: &str) -> Result<(), ApiError>;
}

/// What to do when it is already there, or is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Otherwise {
    Fail,
    Skip,
    Overwrite,
}

pub(super) enum Action<T> {
    Create { entities: Vec<T>, on_existence: Otherwise },
    Update { entities: Vec<T>, mask: Option<Vec<String>>, on_non_existence: Otherwise },
    Delete { entities: Vec<Subject<T>>, on_non_existence: Otherwise },
}

/// The actions, in order.
pub(crate) struct BulkBody<T>(pub(super) Vec<Action<T>>);

impl<T: FromBody> FromBody for BulkBody<T> {
    fn read(body: &mut Body) -> Self {
        let missing = |action: &mut Body| otherwise(action, "action_on_non_existence", &["fail", "skip"]);
        Self(body.tagged("actions", "action", &["create", "update", "delete"], |action, word| match word {
            "create" => Action::Create {
                on_existence: otherwise(action, "action_on_existence", &["fail", "skip", "overwrite"]),
                entities: action.objects("entities", T::read),
            },
            "update" => Action::Update {
                on_non_existence: missing(action),
                mask: Some(action.texts("update_mask")).filter(|mask| !mask.is_empty()),
                entities: action.objects("entities", T::read),
            },
            _ => Action::Delete {
                on_non_existence: missing(action),
                entities: action.objects_or_texts("entities", |entity| match entity {
                    Ok(entity) => Subject::Whole(T::read(entity)),
                    Err(id) => Subject::Id(id),
                }),
            },
        }))
    }
}

fn otherwise(action: &mut Body, name: &str, valid: &[&str]) -> Otherwise {
    match action.word_or(name, valid, "fail").as_str() {
        "skip" => Otherwise::Skip,
        "overwrite" => Otherwise::Overwrite,
        _ => Otherwise::Fail,
    }
}

/// What became of one kind of action.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct BulkActionResponse {
    /// Ids or keys.
    success: Vec<String>,
    /// `{error, status_code}`
    #[schema(value_type = Vec<Object>)]
    errors: Vec<Value>,
}

impl BulkActionResponse {
    pub(super) fn done(&mut self, mut ids: Vec<String>) {
        self.success.append(&mut ids);
    }

    /// Tells what the caller did wrong; anything else ends the request.
    pub(super) fn refused(&mut self, error: ApiError) -> Result<(), ApiError> {
        let (status, error) = match error {
            ApiError::BadRequest(text) => (StatusCode::BAD_REQUEST, text),
            ApiError::NotFound(text) => (StatusCode::NOT_FOUND, text),
            ApiError::Conflict(text) => (StatusCode::CONFLICT, text),
            error => return Err(error),
        };
        self.refuse(status, &error);
        Ok(())
    }

    pub(super) fn refuse(&mut self, status: StatusCode, error: &str) {
        self.errors.push(json!({"error": error, "status_code": status.as_u16()}));
    }
}

/// What became of each kind of action; null for those that were not asked for.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct BulkResponse {
    pub(super) create: Option<BulkActionResponse>,
    pub(super) update: Option<BulkActionResponse>,
    pub(super) delete: Option<BulkActionResponse>,
}

impl BulkResponse {
    /// Ids by kind of action, for the audit trail.
    pub(crate) fn done(&self) -> Value {
        let ids = |done: &Option<BulkActionResponse>| done.as_ref().map(|done| done.success.clone());
        json!({"create": ids(&self.create), "update": ids(&self.update), "delete": ids(&self.delete), "method": "PATCH"})
    }
}

/// Does the actions one after the other. What a caller did wrong is told per action; anything else ends the request.
pub(crate) async fn run<T: Entity>(body: BulkBody<T>, target: &mut impl Target<T>) -> Result<BulkResponse, ApiError> {
    let mut response = BulkResponse::default();
    for action in body.0 {
        let (outcome, place) = match action {
            Action::Create { entities, on_existence } => {
                (create(target, &entities, on_existence).await, &mut response.create)
            }
            Action::Update { entities, mask, on_non_existence } => {
                (update(target, &entities, mask.as_deref(), on_non_existence).await, &mut response.update)
            }
            Action::Delete { entities, on_non_existence } => {
                let id = |entity| match entity {
                    Subject::Id(id) => id,
                    Subject::Whole(entity) => T::id(&entity).to_owned(),
                };
                let ids: Vec<String> = entities.into_iter().map(id).collect();
                (delete::<T>(target, &ids, on_non_existence).await, &mut response.delete)
            }
        };
        let told = place.get_or_insert_default();
        match outcome {
            Ok(ids) => told.done(ids),
            Err(error) => told.refused(error)?,
        }
    }
    Ok(response)
}

async fn create<T: Entity>(
    target: &mut impl Target<T>,
    entities: &[T],
    on_existence: Otherwise,
) -> Result<Vec<String>, ApiError> {
    let ids: Vec<String> = entities.iter().map(|entity| entity.id().to_owned()).collect();
    let existing: BTreeSet<String> = target.existing(&ids).await?.into_iter().collect();
    if on_existence == Otherwise::Fail && !existing.is_empty() {
        return Err(ApiError::Conflict(format!("The {}: {} already exist.", T::NOUN, set(&existing))));
    }
    let mut done = Vec::new();
    for entity in entities {
        if on_existence == Otherwise::Overwrite || !existing.contains(entity.id()) {
            target.create(entity).await?;
            done.push(entity.id().to_owned());
        }
    }
    Ok(done)
}

async fn update<T: Entity>(
    target: &mut impl Target<T>,
    entities: &[T],
    mask: Option<&[String]>,
    on_non_existence: Otherwise,
) -> Result<Vec<String>, ApiError> {
    let ids: Vec<String> = entities.iter().map(|entity| entity.id().to_owned()).collect();
    let existing = found::<T>(target, &ids, on_non_existence).await?;
    let mut done = Vec::new();
    for entity in entities.iter().filter(|entity| existing.contains(entity.id())) {
        target.update(entity, mask).await?;
        done.push(entity.id().to_owned());
    }
    Ok(done)
}

async fn delete<T: Entity>(
    target: &mut impl Target<T>,
    ids: &[String],
    on_non_existence: Otherwise,
) -> Result<Vec<String>, ApiError> {
    let existing = found::<T>(target, ids, on_non_existence).await?;
    for id in &existing {
        target.delete(id).await?;
    }
    Ok(existing.into_iter().collect())
}

/// Those that exist; all, unless the others may be passed over.
async fn found<T: Entity>(
    target: &mut impl Target<T>,
    ids: &[String],
    on_non_existence: Otherwise,
) -> Result<BTreeSet<String>, ApiError> {
    let existing: BTreeSet<String> = target.existing(ids).await?.into_iter().collect();
    let missing: BTreeSet<String> = ids.iter().filter(|id| !existing.contains(*id)).cloned().collect();
    if on_non_existence == Otherwise::Fail && !missing.is_empty() {
        return Err(ApiError::not_found(format!("The {}: {} were not found.", T::NOUN, set(&missing))));
    }
    Ok(existing)
}

/// As Python shows a set.
fn set(ids: &BTreeSet<String>) -> String {
    let ids: Vec<String> = ids.iter().map(|id| format!("'{id}'")).collect();
    format!("{{{}}}", ids.join(", "))
}
