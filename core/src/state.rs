//! Task-instance and DAG-run states, spelled Airflow's way, and the one transition table of a task instance.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

macro_rules! states {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// Every state, in the order of Airflow's documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word used in the API, in SQL and in the UI.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownState;
            fn from_str(text: &str) -> Result<Self, UnknownState> {
                match text { $($text => Ok(Self::$variant),)+ other => Err(UnknownState(other.to_owned())) }
            }
        }
    };
}

/// A word that is no state.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not a state")]
pub struct UnknownState(pub String);

states! {
    /// The state of a task instance. Airflow's `null` ("created, nothing decided") is [`TaskInstanceState::None`].
    TaskInstanceState {
        /// Created, nothing decided; `null` in the API.
        None = "none",
        /// Dependencies met, waits for a slot.
        Scheduled = "scheduled",
        /// Placed on an executor.
        Queued = "queued",
        Running = "running",
        /// Cleared while running; the old attempt is being stopped.
        Restarting = "restarting",
        UpForRetry = "up_for_retry",
        UpForReschedule = "up_for_reschedule",
        Deferred = "deferred",
        AwaitingInput = "awaiting_input",
        Success = "success",
        Skipped = "skipped",
        Failed = "failed",
        UpstreamFailed = "upstream_failed",
        /// The task no longer exists in the DAG version of the run.
        Removed = "removed",
    }
}

states! {
    /// The state of a DAG run.
    DagRunState {
        Queued = "queued",
        Running = "running",
        Success = "success",
        Failed = "failed",
    }
}

states! {
    /// What made a DAG run; the prefix of its generated run id.
    DagRunType {
        Scheduled = "scheduled",
        Manual = "manual",
        Backfill = "backfill",
        OperatorTriggered = "operator_triggered",
        AssetTriggered = "asset_triggered",
        AssetMaterialization = "asset_materialization",
    }
}

impl TaskInstanceState {
    /// Success, skipped, failed, upstream_failed, removed: nothing happens to the instance by itself any more.
    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Success | Self::Skipped | Self::Failed | Self::UpstreamFailed | Self::Removed)
    }

    /// Success or skipped.
    pub const fn is_success_like(self) -> bool {
        matches!(self, Self::Success | Self::Skipped)
    }

    /// Failed or upstream_failed.
    pub const fn is_failure_like(self) -> bool {
        matches!(self, Self::Failed | Self::UpstreamFailed)
    }

    /// The instance has a current attempt row: it waits for a slot or for its node, runs, or waits without a slot.
    pub const fn has_attempt(self) -> bool {
        matches!(self, Self::Scheduled | Self::Queued | Self::Running | Self::Deferred | Self::AwaitingInput)
    }

    /// The API's spelling: `null` for [`Self::None`].
    pub const fn api(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            other => Some(other.as_str()),
        }
    }
}

impl DagRunState {
    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Success | Self::Failed)
    }
}

/// What can happen to a task instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TiEvent {
    /// Its dependencies are met and it got an attempt.
    Ready,
    /// Dispatch placed the attempt on an executor.
    Placed,
    /// The node confirmed the start.
    Started,
    /// The attempt ended well (or a trivial task was decided by the scheduler).
    Succeeded,
    /// The attempt asked to be skipped, or a rule, a timeout or a user skipped the instance.
    Skip,
    /// The attempt waits for something without holding a slot.
    Deferred,
    /// The attempt waits for a person.
    AwaitsInput,
    /// A sensor's condition does not hold yet; the attempt is over, the try is not.
    Rescheduled,
    /// The attempt ended badly and tries are left.
    FailedWithRetry,
    /// The attempt ended badly and no try is left, or a user marked it.
    FailedFinally,
    /// A trigger rule can no longer be met.
    UpstreamFailed,
    /// The attempt was never handed to a node; the instance goes back to wait for a slot.
    Unplaced,
    /// Cleared by a user while it has an attempt, which a node may be running.
    ClearedWhileRunning,
    /// Cleared by a user, nothing is running.
    Cleared,
    /// The old attempt's stop is confirmed, or its deadline passed.
    StopConfirmed,
    /// The task left the DAG version the run follows, or outgrew the instance's element.
    TaskRemoved,
    /// The task came back.
    TaskRestored,
}

/// An event that the table below does not allow in that state: a bug, never an input error.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("a task instance in state {from} cannot take the event {event:?}")]
pub struct IllegalTransition {
    pub from: TaskInstanceState,
    pub event: TiEvent,
}

impl TaskInstanceState {
    /// The state after `event`, from Airflow 3's transitions (semantics §1.1) with the attempt-holding states
    /// (scheduled, queued, running) treated alike where a node's word may arrive before the display copy caught up.
    pub const fn next(self, event: TiEvent) -> Result<Self, IllegalTransition> {
        use TaskInstanceState as S;
        use TiEvent as E;
        let to = match (event, self) {
            (E::Ready, S::None | S::UpForRetry | S::UpForReschedule) => S::Scheduled,
            (E::Placed, S::Scheduled) => S::Queued,
            (E::Started, S::Scheduled | S::Queued | S::Running | S::Deferred) => S::Running,
            (E::Unplaced, S::Scheduled | S::Queued) => S::Scheduled,
            // An empty task is decided in the scheduler and never queued, hence from None and UpForRetry too;
            // a user may mark any state, and a branch skips what it did not choose.
            (E::Succeeded, _) => S::Success,
            (E::Skip, _) => S::Skipped,
            (E::FailedFinally, _) => S::Failed,
            (E::Deferred, S::Scheduled | S::Queued | S::Running | S::Deferred) => S::Deferred,
            (E::AwaitsInput, S::Scheduled | S::Queued | S::Running | S::Deferred | S::AwaitingInput) => {
                S::AwaitingInput
            }
            (E::Rescheduled, S::Scheduled | S::Queued | S::Running | S::Deferred) => S::UpForReschedule,
            (E::FailedWithRetry, S::Scheduled | S::Queued | S::Running | S::Deferred | S::AwaitingInput) => {
                S::UpForRetry
            }
            (E::UpstreamFailed, S::None | S::UpForRetry | S::UpForReschedule) => S::UpstreamFailed,
            (
                E::ClearedWhileRunning,
                S::Scheduled | S::Queued | S::Running | S::Deferred | S::AwaitingInput | S::Restarting,
            ) => S::Restarting,
            (E::Cleared, _) => S::None,
            (E::StopConfirmed, S::Restarting) => S::None,
            // What is over too: an element that its task outgrew is gone whatever became of it (semantics §13.3).
            (
                E::TaskRemoved,
                S::None
                | S::Scheduled
                | S::Queued
                | S::Running
                | S::Restarting
                | S::UpForRetry
                | S::UpForReschedule
                | S::Deferred
                | S::AwaitingInput
                | S::Success
                | S::Skipped
                | S::Failed
                | S::UpstreamFailed,
            ) => S::Removed,
            (E::TaskRestored, S::Removed) => S::None,
            _ => return Err(IllegalTransition { from: self, event }),
        };
        Ok(to)
    }
}
