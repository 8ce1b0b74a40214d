//! The roles inside standalone: started together, watched, and ended in order.

use std::{future::Future, time::Duration};

use anyhow::{Context, Result, bail};
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

/// Tasks of this process, in two groups that end one after the other.
pub(super) struct Roles {
    /// Ends first: it reports to the others.
    executor: CancellationToken,
    rest: CancellationToken,
    tasks: JoinSet<(&'static str, Result<()>)>,
    executor_runs: bool,
}

impl Roles {
    pub(super) fn new() -> Self {
        Self {
            executor: CancellationToken::new(),
            rest: CancellationToken::new(),
            tasks: JoinSet::new(),
            executor_runs: false,
        }
    }

    pub(super) fn spawn<F>(&mut self, name: &'static str, role: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let token = if name == EXECUTOR {
            self.executor_runs = true;
            self.executor.clone()
        } else {
            self.rest.clone()
        };
        let role = role(token);
        self.tasks.spawn(async move { (name, role.await) });
    }

    /// Resolves when a role ended; for ever pending when there is none.
    pub(super) async fn any_ended(&mut self) -> (&'static str, Result<()>) {
        match self.tasks.join_next().await {
            Some(Ok((name, outcome))) => {
                if name == EXECUTOR {
                    self.executor_runs = false;
                }
                (name, outcome)
            }
            Some(Err(panicked)) => ("role", Err(anyhow::Error::new(panicked))),
            None => std::future::pending().await,
        }
    }

    /// Ends the executor, then the others; each gets at most `grace` altogether.
    pub(super) async fn stop(&mut self, grace: Duration) -> Result<()> {
        let ended = timeout(grace, async {
            let mut first = Ok(());
            self.executor.cancel();
            while self.executor_runs {
                let (name, outcome) = self.any_ended().await;
                first = first.and(outcome.with_context(|| format!("the {name} failed while stopping")));
            }
            self.rest.cancel();
            while !self.tasks.is_empty() {
                let (name, outcome) = self.any_ended().await;
                first = first.and(outcome.with_context(|| format!("the {name} failed while stopping")));
            }
            first
        })
        .await;
        let Ok(outcome) = ended else {
            self.tasks.abort_all();
            bail!("not everything ended within {grace:?} (core.shutdown_grace)")
        };
        outcome
    }
}

/// The name of the role that ends first.
pub(super) const EXECUTOR: &str = "executor";
