//! Runs as they were after this process' last plan. A copy counts only while it carries the tag of the row under its lock.

use std::collections::HashMap;

use updraft_core::plan::RunState;

pub(crate) struct RunCache {
    runs: HashMap<i64, Entry>,
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
        Self { runs: HashMap::new(), instances: 0, limit, clock: 0 }
    }

    /// Takes a run out, if its copy is current. A failed plan thus leaves nothing behind.
    pub(crate) fn take(&mut self, run: i64, tag: i64) -> Option<RunState> {
        let entry = self.runs.remove(&run)?;
        self.instances -= entry.state.len();
        (entry.tag == tag).then_some(entry.state)
    }

    /// Keeps a run after its plan was committed; finished ones are dropped.
    pub(crate) fn put(&mut self, tag: i64, state: RunState) {
        if state.run.state.is_finished() {
            return;
        }
        self.clock += 1;
        self.instances += state.len();
        let id = state.run.id;
        if let Some(old) = self.runs.insert(id, Entry { tag, state, used: self.clock }) {
            self.instances -= old.state.len();
        }
        while self.instances > self.limit && self.runs.len() > 1 {
            let oldest = self.runs.iter().min_by_key(|(_, entry)| entry.used).map(|(id, _)| *id);
            if let Some(entry) = oldest.and_then(|id| self.runs.remove(&id)) {
                self.instances -= entry.state.len();
            }
        }
    }

    /// Forgets everything: after a reconnect, what was committed is not known.
    pub(crate) fn clear(&mut self) {
        self.runs.clear();
        self.instances = 0;
    }
}
