//! Arms the failpoints named in `UPDRAFT_FAILPOINTS`, so that tests can end or hold a process exactly between two steps.
//!
//! `name=action` separated by `;`. Actions: `abort`, `sleep(MS)`; each with `@N` (only at the N-th hit, from 1) or `%P` (with
//! a probability of P percent at each hit).

use std::{
    collections::HashMap,
    process,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};

#[derive(Debug, PartialEq)]
enum Action {
    Abort,
    Sleep(Duration),
}

#[derive(Debug, PartialEq)]
enum When {
    Always,
    Nth(u64),
    Percent(f64),
}

struct Armed {
    action: Action,
    when: When,
    hits: AtomicU64,
}

/// Installs the hook for `text`, the value of `UPDRAFT_FAILPOINTS`.
pub(crate) fn arm(text: &str) -> Result<()> {
    let mut armed = HashMap::new();
    for entry in text.split(';').map(str::trim).filter(|entry| !entry.is_empty()) {
        let (name, what) =
            entry.split_once('=').with_context(|| format!("failpoint `{entry}` is not `name=action`"))?;
        let (action, when) = parse(what).with_context(|| format!("failpoint `{entry}`"))?;
        armed.insert(name.trim().to_owned(), Armed { action, when, hits: AtomicU64::new(0) });
    }
    updraft_core::failpoint::set_hook(move |name| {
        let Some(point) = armed.get(name) else { return };
        let hit = point.hits.fetch_add(1, Ordering::Relaxed) + 1;
        let now = match point.when {
            When::Always => true,
            When::Nth(n) => hit == n,
            When::Percent(percent) => rand::random::<f64>() * 100.0 < percent,
        };
        if !now {
            return;
        }
        tracing::warn!(name, hit, action = ?point.action, "failpoint");
        match point.action {
            Action::Abort => process::abort(),
            Action::Sleep(duration) => thread::sleep(duration),
        }
    });
    Ok(())
}

fn parse(text: &str) -> Result<(Action, When)> {
    let (action, when) = match (text.split_once('@'), text.split_once('%')) {
        (Some((action, n)), _) => (action, When::Nth(n.trim().parse().context("after @ comes a number")?)),
        (_, Some((action, p))) => (action, When::Percent(p.trim().parse().context("after % comes a number")?)),
        _ => (text, When::Always),
    };
    let action = match action.trim() {
        "abort" => Action::Abort,
        other => match other.strip_prefix("sleep(").and_then(|rest| rest.strip_suffix(')')) {
            Some(ms) => Action::Sleep(Duration::from_millis(ms.trim().parse().context("sleep(MILLISECONDS)")?)),
            None => bail!("there is no action `{other}`; abort and sleep(MS) are"),
        },
    };
    Ok((action, when))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_read_with_their_conditions() {
        assert_eq!(parse("abort").unwrap(), (Action::Abort, When::Always));
        assert_eq!(parse("abort@3").unwrap(), (Action::Abort, When::Nth(3)));
        assert_eq!(parse("abort%2.5").unwrap(), (Action::Abort, When::Percent(2.5)));
        assert_eq!(parse("sleep(50)@1").unwrap(), (Action::Sleep(Duration::from_millis(50)), When::Nth(1)));
        assert!(parse("explode").is_err());
    }
}
