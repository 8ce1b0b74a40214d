//! Mapped tasks: from one instance to one per element (semantics §13), and `when`, which like a `foreach` template is
//! evaluated here, by the function that renders on the nodes.

use std::collections::HashMap;

use serde_json::Value;

use super::{Key, Need, Ti, UNMAPPED, Work, trigger_rule::Verdict};
use crate::{
    dag::MapInput,
    ids::MapIndex,
    mapping::{self, MAX_LITERAL_LENGTH},
    spec::{CodeRef, FailureClass, Launch, TaskSpec},
    state::{TaskInstanceState, TiEvent},
    template::{self, RenderError, Resolved},
    triggerer::branch::is_truthy,
};

/// A way to render a text to a value.
type Render = fn(&str, &str, &TaskSpec, &Resolved) -> Result<Value, RenderError>;

/// How many instances there are.
enum Length {
    Known(usize),
    /// Nothing was pushed, or what was pushed is neither a list nor a mapping.
    Unknown,
    /// It is asked for.
    Asked,
    Failed(String),
}

impl Work<'_> {
    /// The one instance of a mapped task before its length is known.
    pub(super) fn evaluate_unexpanded(&mut self, key: Key) {
        let verdict = match self.decided(key, self.may_expand(key)) {
            Verdict::Run => self.mapped_upstreams(key),
            decided => decided,
        };
        if verdict != Verdict::Run {
            return self.write_verdict(key, verdict);
        }
        if !self.its_time_has_come(key) {
            return;
        }
        match self.length(key) {
            Length::Asked => {}
            Length::Unknown => self.write_verdict(key, Verdict::UpstreamFailed),
            Length::Known(0) => self.write_verdict(key, Verdict::Skip),
            Length::Known(length) if length > self.max_map_length() => {
                let limit = self.max_map_length();
                let reason = format!("{length} instances; the limit is {limit} (`max_map_length`)");
                self.fail_undecided(key, FailureClass::InvalidArguments, reason);
            }
            Length::Failed(reason) => self.fail_undecided(key, FailureClass::TemplateError, reason),
            Length::Known(length) => self.expand(key, length),
        }
    }

    fn max_map_length(&self) -> usize {
        self.state.dag.max_map_length as usize
    }

    /// The tasks whose results are mapped over: all finished, and none badly (semantics §13.4).
    fn mapped_upstreams(&self, key: Key) -> Verdict {
        let mut verdict = Verdict::Run;
        for &source in self.state.dag.scopes().mapped_over(key.task) {
            let mut unfinished = false;
            self.each(source, |map_index, ti| match ti.state {
                state if !state.is_finished() => unfinished = true,
                // Of an expanded task, the results there are are mapped over.
                _ if map_index != UNMAPPED => {}
                state if state.is_failure_like() => verdict = Verdict::UpstreamFailed,
                TaskInstanceState::Skipped if verdict == Verdict::Run => verdict = Verdict::Skip,
                _ => {}
            });
            if unfinished && verdict == Verdict::Run {
                verdict = Verdict::Wait;
            }
        }
        verdict
    }

    fn expand(&mut self, key: Key, length: usize) {
        self.plan.tis.remove(&key);
        self.plan.unexpanded.push(key);
        // Of another version there may be removed ones.
        for map_index in 0..length as i32 {
            self.add(Key { task: key.task, map_index });
        }
        self.revised.insert(key.task);
        self.look(key.task);
        self.look_downstream(key.task);
    }

    fn create(&mut self, key: Key, ti: Ti) {
        self.plan.created.insert(key);
        self.plan.tis.insert(key, ti);
    }

    /// Before an instance of a mapped task begins: the task may have more elements by now, or fewer. Whether the instance itself may
    /// begin. A list in the file is looked at each time, for the run may have got another version of the file; a result or a
    /// rendered value only by an instance that was cleared, for else it is what the task was expanded with.
    pub(super) fn revise(&mut self, key: Key) -> bool {
        if key.map_index < 0 || self.revised.contains(&key.task) {
            return true;
        }
        let Some(mapping) = self.state.dag.mapping(key.task) else { return self.is_mapped_no_more(key) };
        let is_literal = mapping.inputs.values().all(|input| matches!(input, MapInput::Literal(_)));
        let is_cleared = |ti: &Ti| ti.try_number > 0 && ti.state == TaskInstanceState::None;
        if !is_literal && !self.ti(key).is_some_and(is_cleared) {
            return true;
        }
        let limit = if is_literal { MAX_LITERAL_LENGTH } else { self.max_map_length() };
        let length = match self.length(key) {
            Length::Known(length) if length <= limit => length as i32,
            Length::Asked => return false,
            // The instances that there are run as they were.
            Length::Known(_) | Length::Unknown | Length::Failed(_) => return true,
        };
        self.revised.insert(key.task);
        for gone in self.keys(key.task, |map_index, _| map_index >= length) {
            self.outgrow(gone, "the task has fewer elements by now");
        }
        for map_index in 0..length {
            self.add(Key { task: key.task, map_index });
        }
        self.ti(key).is_some_and(|ti| !ti.state.is_finished())
    }

    /// Of a task that another version of the file maps no more, one instance without an index takes the place of the others.
    fn is_mapped_no_more(&mut self, key: Key) -> bool {
        for gone in self.keys(key.task, |map_index, _| map_index >= 0) {
            self.outgrow(gone, "the task is not mapped any more");
        }
        self.add(Key::unmapped(key.task));
        false
    }

    /// An element that is gone takes its instance with it, whatever its state (semantics §13.3).
    fn outgrow(&mut self, key: Key, reason: &str) {
        let Some(ti) = self.ti(key).filter(|ti| ti.state != TaskInstanceState::Removed) else { return };
        if !ti.state.is_finished() {
            return self.end(key, TiEvent::TaskRemoved, reason);
        }
        self.step(key, TiEvent::TaskRemoved, |_| {});
    }

    /// An element that is new, or back, has an instance; one whose upstreams' elements are gone stays removed.
    fn add(&mut self, key: Key) {
        match self.ti(key).map(|ti| ti.state) {
            None => {
                let attempt = (self.ids)();
                self.create(key, Ti::new(attempt, self.state.dag.tasks[key.task].retries));
            }
            Some(TaskInstanceState::Removed) if self.verdict(key, &self.upstreams(key)) != Verdict::Remove => {
                self.step(key, TiEvent::TaskRestored, |ti| {
                    ti.start_date = None;
                    ti.end_date = None;
                });
            }
            Some(_) => return,
        }
        self.look(key.task);
    }

    /// How many instances a mapped task has, as far as it is known.
    fn length(&mut self, key: Key) -> Length {
        let Some(mapping) = self.state.dag.mapping(key.task) else { return Length::Unknown };
        let mut lengths: HashMap<&str, usize> = HashMap::new();
        let mut asked = false;
        for (name, input) in &mapping.inputs {
            match input {
                MapInput::Literal(value) => match mapping::length(value) {
                    Some(length) => drop(lengths.insert(name, length)),
                    None => return Length::Unknown,
                },
                MapInput::XCom { task_id, key } => match self.facts.lengths.get(&(task_id.clone(), key.clone())) {
                    Some(Some(length)) => drop(lengths.insert(name, *length)),
                    Some(None) => return Length::Unknown,
                    None => {
                        self.plan.needs.insert(Need::Length { task_id: task_id.clone(), key: key.clone() });
                        asked = true;
                    }
                },
                MapInput::Template(text) => match self.render(key, name, text, template::render_map_input) {
                    Some(Ok(value)) => {
                        let Some(length) = mapping::length(&value) else {
                            let reason = format!("`{name}` must render to a list or a mapping; it gave {value}");
                            return Length::Failed(self.facts.values.mask().apply(&reason).into_owned());
                        };
                        lengths.insert(name, length);
                    }
                    Some(Err(reason)) => return Length::Failed(reason),
                    None => asked = true,
                },
            }
        }
        if asked {
            return Length::Asked;
        }
        mapping::total(mapping, |name| lengths.get(name).copied()).map_or(Length::Unknown, Length::Known)
    }

    /// Whether the task's `when` lets it begin; `None`: values are asked for.
    pub(super) fn when(&mut self, key: Key) -> Option<Result<bool, String>> {
        let Some(text) = self.state.dag.tasks[key.task].when.clone() else { return Some(Ok(true)) };
        Some(self.render(key, "when", &text, template::render_value)?.map(|value| is_truthy(&value)))
    }

    /// Renders a template of the scheduler's to a value; what it needs and is not there is asked for.
    fn render(&mut self, key: Key, field: &str, text: &str, how: Render) -> Option<Result<Value, String>> {
        let Some(context) = self.facts.context.clone() else {
            self.plan.needs.insert(Need::Context);
            return None;
        };
        let ti = self.ti(key)?;
        let launch = Launch {
            attempt_id: ti.attempt,
            map_index: MapIndex(key.map_index),
            try_number: ti.try_number + 1,
            max_tries: ti.max_tries,
        };
        let dag = &self.state.dag;
        let spec = TaskSpec::new(launch, dag, &dag.tasks[key.task], &context, CodeRef::default());
        match how(text, field, &spec, &self.facts.values) {
            Ok(value) => Some(Ok(value)),
            Err(RenderError::Missing(refs)) => {
                self.plan.needs.extend(refs.into_iter().map(Need::Value));
                None
            }
            Err(RenderError::Failed(failure)) => Some(Err(failure.to_string())),
        }
    }
}
