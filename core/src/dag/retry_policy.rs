//! Which failures are worth another try (Airflow 3.3: `sdk/definitions/retry_policy.py`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::seconds;

/// `ExceptionRetryPolicy`: the first rule that fits the exception decides. It can end the tries early or set one delay, and
/// never gives a try more than `retries`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetryPolicy {
    pub rules: Vec<RetryRule>,
    /// For exceptions that fit no rule.
    #[serde(default)]
    pub default: RetryAction,
}

/// `RetryRule`: what to do about some exceptions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetryRule {
    /// Import paths of the classes.
    pub exceptions: Vec<String>,
    pub action: RetryAction,
    /// Instead of the task's own delay, once.
    #[serde(default, with = "seconds::option")]
    pub retry_delay: Option<Duration>,
    #[serde(default)]
    pub reason: Option<String>,
    /// Exceptions derived from the classes fit, too.
    pub match_subclasses: bool,
}

/// What to do about a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAction {
    Retry,
    Fail,
    /// As without a policy.
    #[default]
    Default,
}

impl RetryAction {
    pub const ALL: [Self; 3] = [Self::Retry, Self::Fail, Self::Default];

    /// Airflow's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Fail => "fail",
            Self::Default => "default",
        }
    }
}
