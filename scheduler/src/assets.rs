//! Creates the runs that assets ask for.

use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use updraft_store::{Store, assets, versions::DagCache, wake::Signal};

use crate::SchedulerError;

/// Looks at the latest after this long, should a wake-up be lost.
const SWEEP: Duration = Duration::from_secs(5);

pub(crate) async fn run(store: Store, dags: DagCache, stop: CancellationToken) -> Result<(), SchedulerError> {
    let mut bell = store.wake().subscribe();
    loop {
        match assets::create_due(&store, &dags).await {
            Ok(0) => {}
            // They start where all runs start, in `timetables`.
            Ok(_) => store.wake().ring(Signal::Dags),
            Err(error) => tracing::warn!(%error, "runs that assets ask for could not be created"),
        }
        let timer = tokio::time::sleep(SWEEP);
        tokio::pin!(timer);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = &mut timer => break,
                heard = bell.recv() => match heard {
                    Ok(Signal::Dags | Signal::Everything) | Err(RecvError::Lagged(_)) => break,
                    Ok(_) => {}
                    Err(RecvError::Closed) => return Ok(()),
                },
            }
        }
    }
}
