//! Runs that a DAG does not have, whoever asks for them.

use thiserror::Error;

use super::{AssetExpression, Dag, Schedule};
use crate::{ids::DagId, state::DagRunType, timetable};

/// Why a run cannot be made. The texts are for who asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RunRefusal {
    #[error(
        "DAG with dag_id: '{dag_id}' has the timetable {timetable}: its runs have partitions, and partitions are not run yet"
    )]
    Partitioned { dag_id: DagId, timetable: String },
    #[error("Dag with dag_id: '{dag_id}' does not allow {run_type} runs")]
    RunType { dag_id: DagId, run_type: DagRunType },
}

impl Dag {
    /// What makes runs at times: the schedule, unless runs that it makes are refused.
    pub fn timed_schedule(&self) -> &Schedule {
        if self.may_run(DagRunType::Scheduled).is_ok() { &self.schedule } else { &Schedule::None }
    }

    /// What makes runs on asset events, unless such runs are refused.
    pub fn asset_schedule(&self) -> Option<&AssetExpression> {
        match &self.schedule {
            Schedule::Assets { expression, .. } => {
                self.may_run(DagRunType::AssetTriggered).is_ok().then_some(expression)
            }
            _ => None,
        }
    }

    /// Whether runs of this type may be made (semantics §9.6, §15).
    ///
    /// # Errors
    /// The timetable is partitioned, or the DAG's `allowed_run_types` has the type not.
    pub fn may_run(&self, run_type: DagRunType) -> Result<(), RunRefusal> {
        let dag_id = || self.dag_id.clone();
        if let Some(timetable) = timetable::partitioned(&self.schedule) {
            return Err(RunRefusal::Partitioned { dag_id: dag_id(), timetable: timetable.to_owned() });
        }
        match &self.allowed_run_types {
            Some(allowed) if !allowed.contains(&run_type) => Err(RunRefusal::RunType { dag_id: dag_id(), run_type }),
            _ => Ok(()),
        }
    }
}
