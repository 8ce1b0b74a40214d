//! `/ui`: what the dashboard needs beyond Airflow's API. Ours to change with the dashboard.

pub(crate) mod calendar;
pub(crate) mod config;
pub(crate) mod dags;
pub(crate) mod events;
pub(crate) mod executors;
pub(crate) mod grid;
pub(crate) mod home;
pub(crate) mod import_errors;
pub(crate) mod log_bytes;
pub(crate) mod me;
pub(crate) mod needs;
pub(crate) mod notifications;
pub(crate) mod pools;
pub(crate) mod schedule;
pub(crate) mod search;
pub(crate) mod structure;
pub(crate) mod tokens;
pub(crate) mod tries;
pub(crate) mod users;
pub(crate) mod why;

use serde_json::Value;
use updraft_core::explain::Reason;

use crate::{api::words::listed, error::ApiError};

/// A reason with its code and parameters; where these do not say it all, also a `message`.
fn reason_json(reason: &Reason) -> Result<Value, ApiError> {
    let mut value = serde_json::to_value(reason).map_err(ApiError::internal)?;
    if let Some(message) = reason.told() {
        value["message"] = message.into();
    }
    Ok(value)
}

/// The middle of some numbers, of an even count the mean of the two.
fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    let upper = *numbers.get(middle)?;
    Some(if numbers.len().is_multiple_of(2) { f64::midpoint(numbers[middle - 1], upper) } else { upper })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(Vec::new()), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), Some(2.5));
    }
}
