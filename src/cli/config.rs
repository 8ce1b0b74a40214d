//! `updraft config`.

use std::process::ExitCode;

use anyhow::Result;

use super::{
    App,
    args::{ConfigCommand, Output},
};
use crate::config;

pub(super) fn run(app: &App, command: ConfigCommand) -> Result<ExitCode> {
    match command {
        ConfigCommand::Show { output } => {
            let rows = config::show(&app.loaded);
            match output.output {
                Output::Json => println!("{}", serde_json::to_string_pretty(&rows)?),
                Output::Table => {
                    let key = rows.iter().map(|row| row.key.len()).max().unwrap_or_default();
                    let value = rows.iter().map(|row| row.value.len()).max().unwrap_or_default().min(48);
                    for row in rows {
                        println!("{:key$} = {:value$}  # {}", row.key, row.value, row.source);
                    }
                }
            }
        }
        ConfigCommand::Default => print!("{}", config::DEFAULTS),
        ConfigCommand::Reference => print!("{}", config::reference()),
    }
    Ok(ExitCode::SUCCESS)
}
