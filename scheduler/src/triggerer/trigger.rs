//! The first look of a `TriggerDagRunOperator`: the run is made and the attempt told of it in one commit.

use updraft_core::{
    state::DagRunState,
    triggerer::{
        Next,
        trigger::{self, Request, Triggered},
    },
};
use updraft_store::{StoreError, triggerer as rows, wake::Signal};
use uuid::Uuid;

use super::{
    Triggerer,
    look::{Looked, Scene},
};

/// A run to make, and for whom.
pub(super) struct RunToMake {
    pub(super) request: Request,
    pub(super) scene: Scene,
}

impl Triggerer {
    /// Locks the other DAG (and a run that is reset) before the attempt. When that is no longer due, nothing is made: it was
    /// fenced, or another scheduler was here.
    pub(super) async fn make_run(&self, attempt_id: Uuid, to_make: RunToMake) -> Result<(), StoreError> {
        let RunToMake { request, mut scene } = to_make;
        let run = &scene.loaded.spec.run;
        let by = format!("task {} of run {} of DAG {}", scene.loaded.spec.task_id, run.run_id, run.dag_id);
        let mut transaction = self.store.begin().await?;
        let made = rows::make(&mut transaction, &self.classes, &self.dags, &request, &by).await?;
        let Some(claimed) = rows::claim_one(&mut transaction, attempt_id).await? else { return Ok(()) };
        if claimed.memory.is_some() {
            return Ok(());
        }
        let decided = match &made {
            Err(why) => Some(Ok(Next::End(trigger::refused(&request, why)))),
            Ok(made) => {
                scene.memory.dag_run = Some(made.dag_run_id);
                let run = Triggered { dag_id: &request.dag_id, run_id: &made.run_id, state: Some(DagRunState::Queued) };
                scene.look(&claimed, |look| trigger::next(look, run))
            }
        };
        let written = Looked::of(&claimed, scene, decided, &self.hostname);
        self.commit(transaction, &[(&claimed, written)]).await?;
        if let Ok(made) = made {
            self.store.wake().ring(Signal::Dags);
            self.store.wake().changed(made.dag_run_id);
            if let Some(reset) = made.reset {
                reset.ring(&self.store);
            }
        }
        Ok(())
    }
}
