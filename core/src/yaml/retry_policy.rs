//! `retry_policy`: an `ExceptionRetryPolicy` as an object. Any other policy is Python.

use super::{
    Context,
    node::{Entry, Node},
    object::{Object, object},
    suggest::did_you_mean,
};
use crate::{
    dag::{RetryAction, RetryPolicy, RetryRule},
    operator::OperatorKind,
};

impl Context<'_> {
    /// The policy of a task of this kind; `None` after an error, and where nothing can act on it, which a warning says.
    pub(super) fn retry_policy(&self, entry: &Entry, kind: OperatorKind) -> Option<RetryPolicy> {
        let node = &entry.value;
        if node.is_null() {
            return None;
        }
        let Some(found) = object(node) else {
            self.wrong_type("retry_policy", node, "an `airflow.sdk.ExceptionRetryPolicy` object");
            return None;
        };
        if !is_of_sdk(&found, "ExceptionRetryPolicy") {
            self.without_effect(
                found.path_mark,
                &format!("`retry_policy` of `{}`, which is Python and not called when a try fails,", found.path),
            );
            return None;
        }
        let is_python = matches!(
            kind,
            OperatorKind::Python
                | OperatorKind::BranchPython
                | OperatorKind::ShortCircuitPython
                | OperatorKind::PythonSensor
        );
        if !is_python {
            self.without_effect(
                entry.key,
                "`retry_policy` of a task that is no Python function, and has no exceptions,",
            );
            return None;
        }
        self.only_arguments(&found, &["rules", "default"])?;
        let Some(rules) = found.first_or("rules").and_then(|rules| self.items(rules)) else {
            let message = format!("`{}` needs the argument `rules`, a list", found.path);
            self.findings.error("invalid_type_arguments", found.path_mark, message);
            return None;
        };
        let rules = rules.iter().map(|rule| self.retry_rule(rule)).collect::<Option<_>>()?;
        let default = match found.kwarg("default") {
            Some(node) => self.retry_action(node)?,
            None => RetryAction::Default,
        };
        Some(RetryPolicy { rules, default })
    }

    fn retry_rule(&self, node: &Node) -> Option<RetryRule> {
        let Some(found) = object(node).filter(|found| is_of_sdk(found, "RetryRule")) else {
            self.wrong_type("rules", node, "a list of `airflow.sdk.RetryRule` objects");
            return None;
        };
        self.only_arguments(&found, &["exception", "action", "retry_delay", "reason", "match_subclasses"])?;
        let Some(exception) = found.first_or("exception") else {
            let message = format!("`{}` needs the argument `exception`", found.path);
            self.findings.error("invalid_type_arguments", found.path_mark, message);
            return None;
        };
        let exceptions = match self.items(exception) {
            Some(items) => items.iter().map(|item| self.exception(item)).collect::<Option<_>>()?,
            None => vec![self.exception(exception)?],
        };
        Some(RetryRule {
            exceptions,
            action: found.kwarg("action").map_or(Some(RetryAction::Retry), |node| self.retry_action(node))?,
            retry_delay: found.kwarg("retry_delay").and_then(|node| self.duration("retry_delay", node)),
            reason: found.kwarg("reason").and_then(|node| self.text("reason", node)),
            match_subclasses: found
                .kwarg("match_subclasses")
                .and_then(|node| self.boolean("match_subclasses", node))
                .unwrap_or(true),
        })
    }

    /// The import path of an exception's class.
    fn exception(&self, node: &Node) -> Option<String> {
        let path = self.text("exception", node)?;
        if path.rsplit_once('.').is_some_and(|(module, class)| !module.is_empty() && !class.is_empty()) {
            return Some(path);
        }
        let message = format!("`{path}` is no import path of an exception");
        let help = "write `builtins.ValueError` or `requests.exceptions.HTTPError`".to_owned();
        self.findings.error_help("invalid_value", node.mark, message, Some(help));
        None
    }

    /// `fail`, `RetryAction.FAIL`, or the object of either.
    fn retry_action(&self, node: &Node) -> Option<RetryAction> {
        let written = object(node).filter(|found| is_of_sdk(found, "RetryAction"));
        let word = self.text("action", written.as_ref().and_then(|found| found.args.first()).unwrap_or(node))?;
        let word = word.rsplit('.').next().unwrap_or_default().to_lowercase();
        let action = RetryAction::ALL.into_iter().find(|action| action.as_str() == word);
        if action.is_none() {
            let help = "the actions are retry, fail and default".to_owned();
            let message = format!("there is no retry action `{word}`");
            self.findings.error_help("invalid_value", node.mark, message, Some(help));
        }
        action
    }

    /// `None`, with an error, if the object has other arguments.
    fn only_arguments(&self, found: &Object<'_>, known: &[&str]) -> Option<()> {
        for (name, mark, _) in &found.kwargs {
            if !known.contains(name) {
                let message = format!("`{}` takes no argument `{name}`", found.path);
                let help = did_you_mean(name, known.iter().copied())
                    .unwrap_or_else(|| format!("it takes {}", known.join(", ")));
                self.findings.error_help("invalid_type_arguments", *mark, message, Some(help));
                return None;
            }
        }
        Some(())
    }
}

fn is_of_sdk(found: &Object<'_>, class: &str) -> bool {
    let module = found.path.rsplit_once('.').map_or("", |(module, _)| module);
    found.class() == class && matches!(module, "airflow.sdk" | "airflow.sdk.definitions.retry_policy")
}
