//! `updraft dags test`: one run of a DAG in the foreground, without server and database. The scheduler's own decisions
//! ([`updraft_core::plan`]) drive the real node, which talks to a small server in this process ([`server`]). Tasks that need no
//! node are looked at here ([`triggerer`]); what they ask people is asked at the terminal ([`ask`]).

mod ask;
mod engine;
mod server;
mod triggerer;

use std::{path::Path, process::ExitCode, sync::Arc};

use anyhow::{Context, Result, bail};
use secrecy::SecretString;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use updraft_core::{dag::Dag, diagnostic::Severity};
use updraft_scheduler::dag_processor;

use self::{engine::Engine, server::Shared};
use super::{App, args::TestFlags, validate};
use crate::{shutdown::Shutdown, wiring};

/// Runs the DAG to its end. The exit code says how it ended.
pub(super) async fn run(app: &App, flags: TestFlags) -> Result<ExitCode> {
    let conf: Value = match &flags.conf {
        Some(text) => serde_json::from_str(text).context("--conf is no JSON object")?,
        None => Value::Object(serde_json::Map::new()),
    };
    anyhow::ensure!(conf.is_object(), "--conf is no JSON object: {conf}");
    let Some((dag, root, relative_fileloc)) = choose(app, &flags)? else { return Ok(ExitCode::FAILURE) };
    let (bundle_hash, bundle) =
        dag_processor::pack_folder(&root).with_context(|| format!("packing {}", root.display()))?;

    let shutdown = Shutdown::on_signals()?;
    let folder = tempfile::tempdir().context("making a temporary folder")?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("listening on a loopback port")?;
    let url = format!("http://{}", listener.local_addr().context("asking for the bound port")?);
    let environment = wiring::secrets_environment(app);
    let engine = Engine::new(dag, conf, bundle_hash, relative_fileloc, environment, !ask::is_attended());
    let shared = Arc::new(Shared::new(engine, bundle));

    let stop = CancellationToken::new();
    let serving = tokio::spawn(server::serve(listener, shared.clone(), stop.clone()));
    let node = wiring::executor(app, url, SecretString::from("local"), folder.path().to_owned());
    let node_stop = CancellationToken::new();
    let node = tokio::spawn(updraft_executor::run(node, node_stop.clone()));

    let ended = tokio::select! {
        ended = shared.run_to_end() => ended,
        () = shutdown.orderly.cancelled() => None,
    };
    node_stop.cancel();
    tokio::select! {
        outcome = node => outcome.context("the node panicked")??,
        () = shutdown.forced.cancelled() => bail!("stopped without waiting"),
    }
    stop.cancel();
    serving.await.context("the local server panicked")??;
    match ended {
        Some(true) => Ok(ExitCode::SUCCESS),
        Some(false) => Ok(ExitCode::FAILURE),
        None => bail!("interrupted; the tasks that were running have been stopped"),
    }
}

/// The DAG that is meant, the DAG root, and the file's path in it; `None` when the file has errors, which are shown.
fn choose(app: &App, flags: &TestFlags) -> Result<Option<(Arc<Dag>, std::path::PathBuf, String)>> {
    let mut checked = validate::check(app, &flags.file)?;
    if checked.len() != 1 {
        bail!("{} is a folder; name one DAG file", flags.file.display());
    }
    let file = checked.remove(0);
    validate::report(&file);
    let broken = file.loaded.diagnostics.iter().any(|finding| finding.severity == Severity::Error);
    let names: Vec<String> = file.loaded.dags.iter().map(|loaded| loaded.dag.dag_id.to_string()).collect();
    let chosen = match &flags.dag_id {
        Some(wanted) => file.loaded.dags.into_iter().find(|loaded| loaded.dag.dag_id.as_str() == wanted),
        None if broken || names.len() > 1 => None,
        None => file.loaded.dags.into_iter().next(),
    };
    let Some(chosen) = chosen else {
        if broken {
            return Ok(None);
        }
        bail!(
            "{} defines {}; name one of them",
            flags.file.display(),
            if names.is_empty() { "no DAG".into() } else { names.join(", ") }
        );
    };
    let absolute = std::fs::canonicalize(&flags.file).with_context(|| format!("reading {}", flags.file.display()))?;
    let root = std::fs::canonicalize(&file.root).with_context(|| format!("reading {}", file.root.display()))?;
    let relative = absolute.strip_prefix(&root).unwrap_or(Path::new(&flags.file)).to_string_lossy().into_owned();
    Ok(Some((Arc::new(chosen.dag), root, relative)))
}
