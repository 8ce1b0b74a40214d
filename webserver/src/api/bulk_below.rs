//! `PATCH …/dagRuns | …/taskInstances`: many changed and deleted at once that lie below a DAG.
//!
//! Nothing is created, the path may leave ids open (`~`), and each entity is told of by itself; one that does not exist
//! still stops its action, unless that says `skip`.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;

use super::bulk::{Action, BulkActionResponse, BulkBody, BulkResponse, Otherwise, Subject};
use crate::error::ApiError;

/// What the actions are done to; inside one transaction.
pub(super) trait Below<T> {
    /// The ids of one, from the DAG down.
    type Key: Ord + Clone;

    /// Why nothing is created.
    const NOT_CREATED: &'static str;

    /// The ids that an entity or the path gives; an error where both leave one open.
    fn key(&self, entity: &Subject<T>) -> Result<Self::Key, ApiError>;
    /// Locks all runs that the action concerns, and says which keys exist.
    async fn hold(&mut self, wanted: &BTreeMap<Self::Key, Subject<T>>) -> Result<BTreeSet<Self::Key>, ApiError>;
    /// The error of keys that do not exist.
    fn missing(keys: &[&Self::Key]) -> ApiError;
    /// Changes one, and names what was changed.
    async fn update(&mut self, key: &Self::Key, entity: &T, mask: Option<&[String]>) -> Result<Vec<String>, ApiError>;
    /// Deletes one, and names what is gone.
    async fn delete(&mut self, key: &Self::Key) -> Result<Vec<String>, ApiError>;
}

/// Does the actions one after the other. What a caller did wrong is told per entity; anything else ends the request.
pub(super) async fn run<T, B: Below<T>>(body: BulkBody<T>, target: &mut B) -> Result<BulkResponse, ApiError> {
    let mut response = BulkResponse::default();
    for action in body.0 {
        match action {
            Action::Create { .. } => {
                let told = response.create.get_or_insert_default();
                told.refuse(StatusCode::METHOD_NOT_ALLOWED, B::NOT_CREATED);
            }
            Action::Update { entities, mask, on_non_existence } => {
                let told = response.update.get_or_insert_default();
                let entities = entities.into_iter().map(Subject::Whole);
                let (wanted, existing) = hold(target, entities, on_non_existence, told).await?;
                for (key, entity) in wanted.iter().filter(|(key, _)| existing.contains(key)) {
                    if let Subject::Whole(entity) = entity {
                        tell(told, target.update(key, entity, mask.as_deref()).await)?;
                    }
                }
            }
            Action::Delete { entities, on_non_existence } => {
                let told = response.delete.get_or_insert_default();
                let (_, existing) = hold(target, entities, on_non_existence, told).await?;
                for key in &existing {
                    tell(told, target.delete(key).await)?;
                }
            }
        }
    }
    Ok(response)
}

/// The entities by their keys, the last of each, and those that exist: none, when one is missing that must not be.
async fn hold<T, B: Below<T>>(
    target: &mut B,
    entities: impl IntoIterator<Item = Subject<T>>,
    on_non_existence: Otherwise,
    told: &mut BulkActionResponse,
) -> Result<(BTreeMap<B::Key, Subject<T>>, BTreeSet<B::Key>), ApiError> {
    let mut wanted = BTreeMap::new();
    for entity in entities {
        match target.key(&entity) {
            Ok(key) => drop(wanted.insert(key, entity)),
            Err(error) => told.refused(error)?,
        }
    }
    let mut existing = target.hold(&wanted).await?;
    let missing: Vec<&B::Key> = wanted.keys().filter(|key| !existing.contains(key)).collect();
    if on_non_existence == Otherwise::Fail && !missing.is_empty() {
        told.refused(B::missing(&missing))?;
        existing.clear();
    }
    Ok((wanted, existing))
}

fn tell(told: &mut BulkActionResponse, outcome: Result<Vec<String>, ApiError>) -> Result<(), ApiError> {
    match outcome {
        Ok(ids) => told.done(ids),
        Err(error) => told.refused(error)?,
    }
    Ok(())
}
