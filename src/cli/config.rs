//! `updraft config`.

use std::process::ExitCode;

use anyhow::Result;

use super::{
    App,
    args::{ConfigCommand, Output},
    output::say,
};
use crate::config;

pub(super) fn run(app: &App, command: &ConfigCommand) -> Result<ExitCode> {
    match command {
        ConfigCommand::Show { output } => {
            let rows = config::show(&app.loaded);
            match output.output {
                Output::Json => say(format_args!("{}", serde_json::to_string_pretty(&rows)?))?,
                Output::Table => {
                    let key = rows.iter().map(|row| row.key.len()).max().unwrap_or_default();
                    let value = rows.iter().map(|row| row.value.len()).max().unwrap_or_default().min(48);
                    for row in rows {
                        say(format_args!("{:key$} = {:value$}  # {}", row.key, row.value, row.source))?;
                    }
                }
            }
        }
        ConfigCommand::Default => say(format_args!("{}", config::DEFAULTS.trim_end()))?,
        ConfigCommand::Reference => say(format_args!("{}", config::reference().trim_end()))?,
    }
    Ok(ExitCode::SUCCESS)
}
