//! Runs as they were after this process' last plan. A copy counts only while it carries the tag of the row under its lock.

use std::collections::{BTreeMap, HashMap};

use updraft_core::plan::RunState;

pub(crate) struct RunCache {
    runs: HashMap<i64, Entry>,
    /// The runs by [`Entry::used`]: the first is the next to go.
    by_use: BTreeMap<u64, i64>,
    /// Task instances held, and at most to hold.
    instances: usize,
    limit: usize,
    clock: u64,
}

struct Entry {
    tag: i64,
    state: RunState,
    used: u64,
}

impl RunCache {
    pub(crate) fn new(limit: usize) -> Self {
        Self { runs: HashMap::new(), by_use: BTreeMap::new(), instances: 0, limit, clock: 0 }
    }

    /// Takes a run out, if its copy is current. A failed plan thus leaves nothing behind.
    pub(crate) fn take(&mut self, run: i64, tag: i64) -> Option<RunState> {
        self.remove(run).filter(|entry| entry.tag == tag).map(|entry| entry.state)
    }

    /// Keeps a run after its plan was committed; finished ones are dropped. Those that were longest not used make room.
    pub(crate) fn put(&mut self, tag: i64, state: RunState) {
        let id = state.run.id;
        self.remove(id);
        if state.run.state.is_finished() {
            return;
        }
        self.clock += 1;
        self.instances += state.len();
        self.by_use.insert(self.clock, id);
        self.runs.insert(id, Entry { tag, state, used: self.clock });
        while self.instances > self.limit && self.runs.len() > 1 {
            let Some((_, oldest)) = self.by_use.pop_first() else { return };
            self.remove(oldest);
        }
    }

    /// Forgets everything: after a reconnect, what was committed is not known.
    pub(crate) fn clear(&mut self) {
        self.runs.clear();
        self.by_use.clear();
        self.instances = 0;
    }

    fn remove(&mut self, run: i64) -> Option<Entry> {
        let entry = self.runs.remove(&run)?;
        self.by_use.remove(&entry.used);
        self.instances -= entry.state.len();
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use updraft_core::{
        dag::{Dag, Task},
        ids::AttemptId,
        operator::OperatorKind,
        plan::{Key, Run, Ti},
        state::{DagRunState, DagRunType},
    };
    use uuid::Uuid;

    use super::*;

    /// A running run with one instance.
    fn state(id: i64) -> RunState {
        let mut dag = Dag::new("d");
        dag.tasks.push(Task::new("t", OperatorKind::Noop, "noop"));
        let run = Run {
            id,
            state: DagRunState::Running,
            run_type: DagRunType::Manual,
            logical_date: None,
            queued_at: None,
            start_date: None,
            end_date: None,
            dag_is_paused: false,
        };
        RunState::new(run, Arc::new(dag), [(Key::unmapped(0), Ti::new(AttemptId(Uuid::nil()), 0))])
    }

    #[test]
    fn the_run_not_used_for_longest_makes_room() {
        let mut cache = RunCache::new(2);
        cache.put(1, state(1));
        cache.put(1, state(2));
        let used = cache.take(1, 1).expect("it is held");
        cache.put(1, used);
        cache.put(1, state(3));
        assert!(cache.take(2, 1).is_none(), "it was used before the others");
        assert!(cache.take(1, 2).is_none(), "another tag");
        assert!(cache.take(3, 1).is_some());
        assert_eq!((cache.instances, cache.runs.len(), cache.by_use.len()), (0, 0, 0));
    }

    #[test]
    fn a_run_that_is_put_twice_counts_once() {
        let mut cache = RunCache::new(2);
        cache.put(1, state(1));
        cache.put(2, state(1));
        assert_eq!((cache.instances, cache.runs.len(), cache.by_use.len()), (1, 1, 1));
        assert!(cache.take(1, 2).is_some());
    }
}
