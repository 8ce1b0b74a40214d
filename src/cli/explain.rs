//! `updraft dags explain`: a DAG file in its long form.

use std::process::ExitCode;

use anyhow::Result;
use updraft_core::{diagnostic::Severity, yaml};

use super::{
    App,
    args::ExplainFlags,
    output::say,
    validate::{Opened, report},
};

/// Prints the long form of the DAGs that load, and what is wrong with the others.
pub(super) fn run(app: &App, flags: &ExplainFlags) -> Result<ExitCode> {
    let file = Opened::at(app, &flags.file)?;
    let (text, _) = yaml::explain(&file.name, &file.bytes, &file.files(), &file.settings);
    if !text.is_empty() {
        say(format_args!("{}", text.trim_end()))?;
    }
    let checked = file.load();
    report(&checked);
    let broken = checked.loaded.diagnostics.iter().any(|finding| finding.severity == Severity::Error);
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
