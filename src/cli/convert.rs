//! `updraft dags convert`: a DAG file in another tool's format.

use std::process::ExitCode;

use anyhow::Result;
use updraft_core::{diagnostic::Severity, yaml};

use super::{
    App,
    args::{ConvertFlags, Format},
    output::say,
    validate::{Opened, report},
};

/// Prints the converted DAGs, or everything that has no word in the other format.
pub(super) fn run(app: &App, flags: &ConvertFlags) -> Result<ExitCode> {
    let Format::DagFactory = flags.to;
    let checked = Opened::at(app, &flags.file)?.load();
    report(&checked);
    if checked.loaded.diagnostics.iter().any(|finding| finding.severity == Severity::Error) {
        return Ok(ExitCode::FAILURE);
    }
    let mut converted = String::new();
    let mut complete = true;
    for loaded in &checked.loaded.dags {
        match yaml::to_dag_factory(&loaded.dag) {
            Ok(text) => converted.push_str(&text),
            Err(missing) => {
                complete = false;
                for sentence in missing {
                    eprintln!("error: {sentence}");
                }
            }
        }
    }
    if !complete {
        return Ok(ExitCode::FAILURE);
    }
    say(format_args!("{}", converted.trim_end()))?;
    Ok(ExitCode::SUCCESS)
}
