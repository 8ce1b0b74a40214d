//! Run ids: `<type>__<run_after>`, and what a user may give instead.

use chrono::{DateTime, SecondsFormat, Timelike, Utc};

use crate::{ids::RunId, state::DagRunType};

/// The longest run id, in characters.
pub const RUN_ID_LENGTH: usize = 250;

/// Why a run id is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunIdError {
    #[error("a run id has 1 to {RUN_ID_LENGTH} characters")]
    Length,
    #[error("a run id consists of letters, digits and `_.~:+-`; `{0}` is not among them")]
    Character(char),
    #[error("a run id does not contain `..`")]
    DoubleDot,
    #[error("the prefix `{prefix}__` is reserved for {prefix} runs")]
    ReservedPrefix { prefix: DagRunType },
}

/// `scheduled__2026-01-15T00:00:00+00:00`; microseconds only when there are any.
pub fn run_id(run_type: DagRunType, run_after: DateTime<Utc>) -> RunId {
    RunId::new(format!("{run_type}__{}", isoformat(run_after)))
}

/// The same with `_<suffix>` behind it: Airflow appends eight random letters to the id of a run without a logical date,
/// since several may be made in one moment. Randomness is the caller's.
pub fn run_id_with_suffix(run_type: DagRunType, run_after: DateTime<Utc>, suffix: &str) -> RunId {
    RunId::new(format!("{run_type}__{}_{suffix}", isoformat(run_after)))
}

/// Checks an id that a user gives a run of this type: no other type's prefix, so that a manual run cannot take the place
/// of a scheduled one.
pub fn check_run_id(text: &str, run_type: DagRunType) -> Result<(), RunIdError> {
    if text.is_empty() || text.chars().count() > RUN_ID_LENGTH {
        return Err(RunIdError::Length);
    }
    if let Some(odd) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || "_.~:+-".contains(*c))) {
        return Err(RunIdError::Character(odd));
    }
    if text.contains("..") {
        return Err(RunIdError::DoubleDot);
    }
    let owner = DagRunType::ALL.iter().find(|owner| {
        text.strip_prefix(owner.as_str()).is_some_and(|rest| rest.starts_with("__")) && **owner != run_type
    });
    match owner {
        Some(prefix) => Err(RunIdError::ReservedPrefix { prefix: *prefix }),
        None => Ok(()),
    }
}

/// Python's `isoformat()` of a datetime in UTC.
pub(crate) fn isoformat(at: DateTime<Utc>) -> String {
    let format = if at.nanosecond() / 1_000 == 0 { SecondsFormat::Secs } else { SecondsFormat::Micros };
    at.to_rfc3339_opts(format, false)
}
