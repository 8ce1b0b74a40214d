//! `deadline`: what must have ended by when, and what happens otherwise (semantics §16).

use super::{
    Context,
    callbacks::SENDERS,
    node::{Entry, Mapping, Mark, Node},
    suggest::did_you_mean,
    values::Zone,
};
use crate::dag::{CallbackAction, Deadline, DeadlineReference};

const KEYS: &[&str] = &["reference", "interval", "max_runs", "callback", "email", "http", "slack"];
const REFERENCES: &[&str] = &["logical_date", "queued_at", "average_runtime"];
/// Airflow's.
const MAX_RUNS: u32 = 10;

impl Context<'_> {
    /// A deadline, or a list of them.
    pub(super) fn deadlines(&self, node: &Node, zone: Zone) -> Vec<Deadline> {
        let items = match self.items(node) {
            Some(items) => items,
            None if node.is_null() => &[],
            None => std::slice::from_ref(node),
        };
        items.iter().filter_map(|item| self.deadline(item, zone)).collect()
    }

    fn deadline(&self, node: &Node, zone: Zone) -> Option<Deadline> {
        let entries = self.mapping("deadline", node)?;
        for (name, entry) in entries.iter().filter(|(name, _)| !KEYS.contains(&&***name)) {
            let help =
                did_you_mean(name, KEYS.iter().copied()).unwrap_or_else(|| format!("the keys are {}", KEYS.join(", ")));
            let message = format!("a deadline has no key `{name}`");
            self.findings.error_help("unknown_argument", entry.key, message, Some(help));
        }
        let needed = |name: &str| {
            let found = entries.get(name).filter(|entry| !entry.value.is_null());
            if found.is_none() {
                let message = format!("a deadline needs `{name}`");
                let help = "write `{reference: queued_at, interval: 2h, email: a@example.org}`".to_owned();
                self.findings.error_help("missing_argument", node.mark, message, Some(help));
            }
            found
        };
        let reference = self.reference(needed("reference")?, entries, zone)?;
        let interval = self.duration("interval", &needed("interval")?.value)?;
        let action = self.consequence(node.mark, entries)?;
        Some(Deadline { reference, interval, action })
    }

    fn reference(&self, entry: &Entry, entries: &Mapping, zone: Zone) -> Option<DeadlineReference> {
        let max_runs = entries
            .get("max_runs")
            .and_then(|entry| self.integer_in("max_runs", &entry.value, 1..=1000))
            .map_or(MAX_RUNS, |runs| runs as u32);
        let word = self.text("reference", &entry.value)?;
        match word.as_str() {
            "logical_date" => Some(DeadlineReference::LogicalDate),
            "queued_at" => Some(DeadlineReference::QueuedAt),
            "average_runtime" => Some(DeadlineReference::AverageRuntime { max_runs }),
            _ if word.starts_with(|c: char| c.is_ascii_digit()) => {
                self.date("reference", &entry.value, zone).map(|date| DeadlineReference::Fixed(date.at))
            }
            _ => {
                let help = did_you_mean(&word, REFERENCES.iter().copied())
                    .unwrap_or_else(|| format!("write a date, or one of {}", REFERENCES.join(", ")));
                let message = format!("there is no reference `{word}` for a deadline");
                self.findings.error_help("invalid_value", entry.value.mark, message, Some(help));
                None
            }
        }
    }

    fn consequence(&self, mark: Mark, entries: &Mapping) -> Option<CallbackAction> {
        let mut actions: Vec<CallbackAction> =
            entries.get("callback").map(|entry| self.callback_value("callback", &entry.value)).unwrap_or_default();
        for name in SENDERS {
            actions.extend(entries.get(*name).and_then(|entry| self.sender(name, entry)));
        }
        let named = KEYS[3..].iter().filter(|name| entries.contains_key(**name)).count();
        if named != 1 {
            let message = "a deadline has one of `callback`, `email`, `http` and `slack`";
            let (kind, help) = if named == 0 {
                ("missing_argument", "add one of them")
            } else {
                ("conflicting_keys", "make two deadlines of it")
            };
            self.findings.error_help(kind, mark, message, Some(help.to_owned()));
            return None;
        }
        actions.pop()
    }
}
