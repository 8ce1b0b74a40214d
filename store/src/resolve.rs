//! From references of templates to values: XComs, variables, connections. Loaded together, so that many tasks cost three
//! statements at most.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::Value;
use sqlx::PgConnection;
use updraft_core::template::{Ref, Resolved};

use crate::{
    StoreError, connections,
    sources::Sources,
    variables,
    xcom::{self, XComRef},
};

/// What became of one reference.
#[derive(Debug)]
pub(crate) enum Answer {
    /// How many bytes the value has as text, and the value; `None`: there is none.
    Known { bytes: usize, value: Option<Value> },
    /// Larger than the limit, and not read.
    TooLarge,
    /// It exists and cannot be read: a [`StoreError::Secret`]'s text.
    Unreadable(String),
}

impl Answer {
    /// The value.
    ///
    /// # Errors
    /// [`StoreError::Secret`] when it cannot be read. A value that was not read for its size is an error of the caller.
    pub(crate) fn value(self) -> Result<Option<Value>, StoreError> {
        match self {
            Self::Known { value, .. } => Ok(value),
            Self::TooLarge => Err(StoreError::Inconsistent("a value was left out though no limit was set".to_owned())),
            Self::Unreadable(error) => Err(StoreError::Secret(error)),
        }
    }
}

/// The references of one run as values, for templates that the server itself evaluates: `when`, `foreach`, callbacks, the
/// triggerer. XComs of a mapped task without a map index come as a list, ordered by map index.
///
/// # Errors
/// [`StoreError::Secret`] when a variable or connection exists and cannot be decrypted; the text says what to set.
pub async fn resolve_for_server(
    connection: &mut PgConnection,
    sources: &Sources,
    dag_run_id: i64,
    refs: &[Ref],
) -> Result<Resolved, StoreError> {
    let wanted = refs.iter().map(|reference| (dag_run_id, reference.clone())).collect();
    let answers = answers(connection, sources, wanted, usize::MAX).await?;
    answers.into_iter().map(|((_, reference), answer)| Ok((reference, answer.value()?))).collect()
}

/// Answers all references, each with the run it is asked in. An XCom whose text is larger than `limit` bytes is not read.
pub(crate) async fn answers(
    connection: &mut PgConnection,
    sources: &Sources,
    wanted: HashSet<(i64, Ref)>,
    limit: usize,
) -> Result<HashMap<(i64, Ref), Answer>, StoreError> {
    let mut xcoms = HashSet::new();
    let (mut keys, mut ids, mut elsewhere) = (BTreeSet::new(), BTreeSet::new(), HashMap::new());
    for (run, reference) in &wanted {
        match reference {
            Ref::XCom { task_id, key, map_index, part } => {
                let reference =
                    XComRef { task_id: task_id.clone(), key: key.clone(), map_index: *map_index, part: *part };
                xcoms.insert((*run, reference));
            }
            Ref::XComOf { .. } => {
                let found = xcom::load_elsewhere(&mut *connection, &sources.objects, *run, reference).await?;
                elsewhere.insert((*run, reference.clone()), found);
            }
            Ref::Variable { key } => {
                keys.insert(key.clone());
            }
            Ref::Connection { conn_id } => {
                ids.insert(conn_id.clone());
            }
        }
    }
    let mut xcoms = xcom::load(&mut *connection, &sources.objects, xcoms, limit).await?;
    let mut secrets = load_variables(&mut *connection, sources, keys).await?;
    secrets.extend(load_connections(connection, sources, ids).await?);
    let answer = |(run, reference): (i64, Ref)| {
        let answer = match &reference {
            Ref::XCom { task_id, key, map_index, part } => {
                let reference =
                    XComRef { task_id: task_id.clone(), key: key.clone(), map_index: *map_index, part: *part };
                match xcoms.remove(&(run, reference)) {
                    Some(loaded) => Answer::Known { bytes: loaded.bytes, value: loaded.value },
                    None => Answer::TooLarge,
                }
            }
            Ref::XComOf { .. } => match elsewhere.remove(&(run, reference.clone())) {
                Some(value) => {
                    let bytes = value.as_ref().map_or(0, |value| value.to_string().len());
                    if bytes > limit { Answer::TooLarge } else { Answer::Known { bytes, value } }
                }
                None => Answer::Known { bytes: 0, value: None },
            },
            secret @ (Ref::Variable { .. } | Ref::Connection { .. }) => match secrets.get(secret) {
                Some(Ok(value)) => Answer::Known { bytes: value.to_string().len(), value: Some(value.clone()) },
                Some(Err(error)) => Answer::Unreadable(error.clone()),
                None => Answer::Known { bytes: 0, value: None },
            },
        };
        ((run, reference), answer)
    };
    Ok(wanted.into_iter().map(answer).collect())
}

type Secrets = HashMap<Ref, Result<Value, String>>;

/// From the environment, else the table.
async fn load_variables(
    connection: &mut PgConnection,
    sources: &Sources,
    keys: BTreeSet<String>,
) -> Result<Secrets, StoreError> {
    let mut found = Secrets::new();
    let mut stored = Vec::new();
    for key in keys {
        match sources.environment.variable(&key) {
            Some(value) => {
                found.insert(Ref::Variable { key }, Ok(value.into()));
            }
            None => stored.push(key),
        }
    }
    for variable in variables::get_many(connection, &sources.keys, &stored).await? {
        let value = variable.value.map(Value::String);
        let value = value.map_err(|error| variables::unreadable(&variable.key, error).to_string());
        found.insert(Ref::Variable { key: variable.key }, value);
    }
    Ok(found)
}

/// From the environment, else the table.
async fn load_connections(
    connection: &mut PgConnection,
    sources: &Sources,
    ids: BTreeSet<String>,
) -> Result<Secrets, StoreError> {
    let mut found = Secrets::new();
    let mut stored = Vec::new();
    for conn_id in ids {
        match sources.environment.connection(&conn_id) {
            Ok(Some(fields)) => {
                found.insert(Ref::Connection { conn_id }, Ok(serde_json::to_value(fields)?));
            }
            Ok(None) => stored.push(conn_id),
            Err(error) => {
                found.insert(Ref::Connection { conn_id }, Err(error.to_string()));
            }
        }
    }
    for row in connections::get_many(connection, &sources.keys, &stored).await? {
        let conn_id = row.conn_id.clone();
        let value = match row.whole() {
            Ok(fields) => Ok(serde_json::to_value(fields)?),
            Err(error) => Err(error.to_string()),
        };
        found.insert(Ref::Connection { conn_id }, value);
    }
    Ok(found)
}
