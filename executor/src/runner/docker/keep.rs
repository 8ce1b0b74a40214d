//! What a node keeps for the tasks of a run, and for how long.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::time::Instant;
use updraft_core::{
    ids::{DagId, RunId},
    spec::TaskSpec,
};

use super::run;
use crate::node::Node;

/// A daemon that hangs must keep the node neither from reconciling nor from ending.
const REMOVAL: Duration = Duration::from_secs(15);

/// A run, as nodes and servers name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RunKey {
    pub(crate) dag_id: DagId,
    pub(crate) run_id: RunId,
}

impl RunKey {
    pub(super) fn of(spec: &TaskSpec) -> Self {
        Self { dag_id: spec.run.dag_id.clone(), run_id: spec.run.run_id.clone() }
    }
}

/// A container that is kept for tasks of a run.
pub(super) trait Container {
    fn name(&self) -> &str;

    fn need(&self) -> &Mutex<Need>;

    /// Whether it can be removed: one that is being made cannot yet.
    fn is_removable(&self) -> bool {
        true
    }
}

/// A task's claim to a kept container; given up when dropped.
pub(super) struct User<T: Container>(pub(super) Arc<T>);

impl<T: Container> Drop for User<T> {
    fn drop(&mut self) {
        lock(self.0.need()).leave();
    }
}

/// The containers that this life of the node keeps for one purpose, by their run and what else tells them apart.
pub(super) struct Kept<K, T> {
    /// How long one stays that nobody uses, whether or not the server says that its run is over.
    idle: Duration,
    by_key: Mutex<HashMap<(RunKey, K), Arc<T>>>,
}

impl<K: Eq + Hash, T: Container> Kept<K, T> {
    pub(super) fn new(idle: Duration) -> Self {
        Self { idle, by_key: Mutex::default() }
    }

    /// The container of that key, which need not be made yet.
    pub(super) fn enter(&self, key: (RunKey, K), make: impl FnOnce() -> T) -> User<T> {
        let entered = self.enter_within(usize::MAX, key, make);
        entered.expect("there are never so many").0
    }

    /// The same, and whether it is new; `None`: there are as many as may be.
    pub(super) fn enter_within(
        &self,
        limit: usize,
        key: (RunKey, K),
        make: impl FnOnce() -> T,
    ) -> Option<(User<T>, bool)> {
        let mut by_key = lock(&self.by_key);
        let known = by_key.get(&key).cloned();
        let is_new = known.is_none();
        if is_new && by_key.len() >= limit {
            return None;
        }
        let container = known.unwrap_or_else(|| {
            let container = Arc::new(make());
            by_key.insert(key, Arc::clone(&container));
            container
        });
        lock(container.need()).enter();
        Some((User(container), is_new))
    }

    /// Takes the container of that key out.
    pub(super) fn take(&self, key: &(RunKey, K)) -> Option<Arc<T>> {
        lock(&self.by_key).remove(key)
    }

    /// It is of no use any more: the next task makes another.
    pub(super) fn forget(&self, container: &Arc<T>) {
        lock(&self.by_key).retain(|_, known| !Arc::ptr_eq(known, container));
    }

    /// The runs of which something is kept: the server says which of them are over.
    pub(super) fn runs(&self) -> HashSet<RunKey> {
        lock(&self.by_key).keys().map(|(run, _)| run.clone()).collect()
    }

    /// These runs ended: their containers go as soon as nobody uses them.
    pub(super) fn over(&self, runs: &[RunKey]) {
        for (_, container) in lock(&self.by_key).iter().filter(|((run, _), _)| runs.contains(run)) {
            lock(container.need()).end();
        }
    }

    /// Takes out what nobody needs any more; the names. `all`: the node ends.
    pub(super) fn done(&self, all: bool) -> Vec<String> {
        let done = |container: &T| all || (container.is_removable() && lock(container.need()).is_over(self.idle));
        let done = lock(&self.by_key).extract_if(|_, container| done(container)).collect::<Vec<_>>();
        done.into_iter().map(|(_, container)| container.name().to_owned()).collect()
    }

    pub(super) fn holds(&self, name: &str) -> bool {
        lock(&self.by_key).values().any(|container| container.name() == name)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no code panics while it holds this")
}

/// Whether something of a run is needed: while it has users and for a while after, unless the run is over.
#[derive(Default)]
pub(super) struct Need {
    users: usize,
    /// Since when it has none.
    idle: Option<Instant>,
    over: bool,
}

impl Need {
    fn enter(&mut self) {
        self.users += 1;
        self.idle = None;
        // A task of the run came: it was cleared, or the word of its end was about an earlier one of this name.
        self.over = false;
    }

    fn leave(&mut self) {
        self.users -= 1;
        if self.users == 0 {
            self.idle = Some(Instant::now());
        }
    }

    /// The run ended.
    fn end(&mut self) {
        self.over = true;
    }

    /// Whether it can go; without users it stays for `idle`.
    fn is_over(&self, idle: Duration) -> bool {
        self.users == 0 && (self.over || self.idle.is_some_and(|since| since.elapsed() >= idle))
    }
}

/// Removes the containers that the tasks of runs do not need any more. `all`: the node ends.
pub(crate) async fn tidy(node: &Node, all: bool) {
    let done = [node.docker.rooms.done(all), node.docker.ahead.done(all)].concat();
    let Some(docker) = node.docker.connected() else { return };
    let removal = async {
        for name in &done {
            run::remove(node, &docker, name).await;
        }
    };
    if tokio::time::timeout(REMOVAL, removal).await.is_err() {
        tracing::warn!("the Docker daemon is slow; containers of runs are removed later");
    }
}
