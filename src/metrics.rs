//! The process' metrics: collected by one recorder, told on `/metrics`.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;
use updraft_core::metrics::{ALL, BUCKETS, BUILD_INFO, Kind, PROCESS_MEMORY};

use crate::config::Config;

/// A gauge that nobody wrote for this long (of a pool that was deleted, of a lost node) is no longer told.
const FORGET_GAUGES: Duration = Duration::from_mins(2);
/// How often what was observed moves into the histograms' buckets, and the process' own gauges are read.
const UPKEEP: Duration = Duration::from_secs(5);

/// What runs for the metrics of a process; ends with it.
pub(crate) struct Metrics {
    pub(crate) handle: PrometheusHandle,
    _tasks: JoinSet<()>,
}

/// Collects metrics from here on and, with `metrics.listen`, tells them there, until `stop`. Once per process.
///
/// # Errors
/// The address cannot be listened on.
pub(crate) async fn start(config: &Config, stop: &CancellationToken) -> Result<Metrics> {
    let handle = install()?;
    let mut tasks = JoinSet::new();
    tasks.spawn(upkeep(handle.clone(), stop.clone()));
    if let Some(address) = &config.metrics.listen {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("listening on {address} for /metrics (metrics.listen is `host:port`)"))?;
        let bound = listener.local_addr().context("asking for the bound address")?;
        tracing::info!(url = %format_args!("http://{bound}/metrics"), "metrics are told");
        tasks.spawn(serve(listener, handle.clone(), stop.clone()));
    }
    Ok(Metrics { handle, _tasks: tasks })
}

/// Installs the recorder; once per process.
///
/// # Errors
/// Another recorder was installed first.
fn install() -> Result<PrometheusHandle> {
    let recorder = PrometheusBuilder::new()
        .set_buckets(BUCKETS)
        .context("setting the histograms' buckets")?
        .idle_timeout(MetricKindMask::GAUGE, Some(FORGET_GAUGES))
        .build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).context("installing the metrics recorder")?;
    for (_, metric) in ALL {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.help.trim()),
            Kind::Gauge => describe_gauge!(metric.name, metric.help.trim()),
            Kind::Histogram => describe_histogram!(metric.name, Unit::Seconds, metric.help.trim()),
        }
    }
    Ok(handle)
}

/// Keeps the recorder's memory bounded and reads the process' own numbers, until `stop`.
async fn upkeep(handle: PrometheusHandle, stop: CancellationToken) {
    loop {
        gauge!(BUILD_INFO.name, "version" => env!("CARGO_PKG_VERSION")).set(1);
        if let Some(bytes) = resident_memory() {
            gauge!(PROCESS_MEMORY.name).set(bytes);
        }
        handle.run_upkeep();
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(UPKEEP) => {}
        }
    }
}

/// Answers `/metrics` on an address of its own until `stop`, for roles that listen on nothing else.
async fn serve(listener: TcpListener, handle: PrometheusHandle, stop: CancellationToken) {
    let server = axum::serve(listener, updraft_webserver::metrics_router(handle));
    if let Err(error) = server.with_graceful_shutdown(stop.cancelled_owned()).await {
        tracing::error!(%error, "metrics are not told any more; the role goes on");
    }
}

/// Bytes, where the kernel tells.
fn resident_memory() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? * 1024.0)
}
