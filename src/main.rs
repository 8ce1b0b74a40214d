//! The command line: arguments, configuration, logging, signals, and the wiring of the roles. It decides nothing about DAGs;
//! start reading at [`cli::args`], and at [`standalone`] for what `updraft standalone` does.

mod cli;
mod config;
#[cfg(feature = "failpoints")]
mod failpoints;
mod logging;
mod metrics;
mod roles;
mod shutdown;
mod standalone;
mod wiring;

use std::{io, process::ExitCode};

use clap::Parser;

fn main() -> ExitCode {
    // Every TLS client and server of the process uses ring; there is no other provider in the binary.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("error: another TLS provider was installed first");
        return ExitCode::FAILURE;
    }
    let arguments = cli::args::Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(cli::run(arguments));
    // Blocking work that ignores the shutdown must not hold the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match outcome {
        Ok(code) => code,
        // `updraft dags list | head`: the reader has what it wanted.
        Err(error)
            if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) =>
        {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
