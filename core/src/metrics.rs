//! The catalogue of metrics: every name that any role exports, what it counts and by which labels.
//!
//! Names are Airflow's in the spelling its StatsD exporter gives them (`airflow_…`) where Airflow has one, `updraft_…` where it
//! has none. Times are seconds. No label names a task, a run or an attempt, so that the number of series is bounded by DAGs,
//! nodes and routes, not by work. The page `docs/metrics.md` is made from this table ([`reference`]); a test compares them, and
//! another that each metric is written somewhere, with just these labels.

/// What kind of number it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, from 0 at the start of the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations in seconds, with [`BUCKETS`].
    Histogram,
}

/// Which processes export it; standalone exports all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Scheduler,
    Webserver,
    Executor,
    All,
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub role: Role,
    pub labels: &'static [&'static str],
    /// One line.
    pub help: &'static str,
}

/// Upper bounds of every histogram's buckets: from a commit to a night's run. Seconds.
pub const BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0,
    43200.0,
];

macro_rules! catalogue {
    ($($(#[doc = $help:literal])+ $constant:ident = $role:ident $kind:ident $name:literal [$($label:literal),*];)+) => {
        $($(#[doc = $help])+ pub const $constant: Metric = Metric {
            name: $name,
            kind: Kind::$kind,
            role: Role::$role,
            labels: &[$($label),*],
            help: concat!($($help),+),
        };)+
        /// All of them, in the order of the page.
        pub const ALL: &[(&str, Metric)] = &[$((stringify!($constant), $constant)),+];
    };
}

catalogue! {
    /// Resident memory of the process in bytes.
    PROCESS_MEMORY = All Gauge "process_resident_memory_bytes" [];
    /// Always 1; the label says which version runs.
    BUILD_INFO = All Gauge "updraft_build_info" ["version"];

    /// Heartbeats that this scheduler wrote.
    SCHEDULER_HEARTBEAT = Scheduler Counter "airflow_scheduler_heartbeat" [];
    /// Heartbeats that this scheduler's triggerer wrote.
    TRIGGERER_HEARTBEAT = Scheduler Counter "airflow_triggerer_heartbeat" [];
    /// Heartbeats that this scheduler's DAG processor wrote.
    DAG_PROCESSOR_HEARTBEAT = Scheduler Counter "airflow_dag_processor_heartbeat" [];
    /// How long one pass took: runs planned, tasks placed, committed.
    SCHEDULER_LOOP_DURATION = Scheduler Histogram "airflow_scheduler_scheduler_loop_duration" [];
    /// Passes that failed and were tried again (the database was away, most likely).
    SCHEDULER_PASS_FAILURES = Scheduler Counter "updraft_scheduler_pass_failures" [];
    /// Runs set aside because they cannot be planned; each needs a look at the log.
    RUNS_QUARANTINED = Scheduler Counter "updraft_runs_quarantined" [];

    /// Task instances that began to run.
    TI_START = Scheduler Counter "airflow_ti_start" ["dag_id"];
    /// Task instances that ended, by their state then (`up_for_retry` also counts).
    TI_FINISH = Scheduler Counter "airflow_ti_finish" ["dag_id", "state"];
    /// Tries that ended well, by operator.
    OPERATOR_SUCCESSES = Scheduler Counter "airflow_operator_successes" ["operator"];
    /// Tries that failed, by operator.
    OPERATOR_FAILURES = Scheduler Counter "airflow_operator_failures" ["operator"];
    /// From a task's start to its end.
    TASK_DURATION = Scheduler Histogram "airflow_task_duration" ["dag_id"];
    /// From ready to a node's hands: how long tasks wait for slots.
    TASK_SCHEDULED_DURATION = Scheduler Histogram "airflow_task_scheduled_duration" ["dag_id"];
    /// From a node's hands to the start: images, environments, queues on the node.
    TASK_QUEUED_DURATION = Scheduler Histogram "airflow_task_queued_duration" ["dag_id"];
    /// Runs that succeeded: from start to end.
    DAGRUN_DURATION_SUCCESS = Scheduler Histogram "airflow_dagrun_duration_success" ["dag_id"];
    /// Runs that failed: from start to end.
    DAGRUN_DURATION_FAILED = Scheduler Histogram "airflow_dagrun_duration_failed" ["dag_id"];
    /// From the moment a run was due to its start.
    DAGRUN_SCHEDULE_DELAY = Scheduler Histogram "airflow_dagrun_schedule_delay" ["dag_id"];

    /// Free slots of a pool; -1: without a limit.
    POOL_OPEN_SLOTS = Scheduler Gauge "airflow_pool_open_slots" ["pool"];
    /// Slots of a pool whose tasks are on a node and not started.
    POOL_QUEUED_SLOTS = Scheduler Gauge "airflow_pool_queued_slots" ["pool"];
    /// Slots of a pool whose tasks run.
    POOL_RUNNING_SLOTS = Scheduler Gauge "airflow_pool_running_slots" ["pool"];
    /// Slots of a pool whose tasks wait deferred.
    POOL_DEFERRED_SLOTS = Scheduler Gauge "airflow_pool_deferred_slots" ["pool"];
    /// Slots that ready tasks of a pool ask for and do not have.
    POOL_SCHEDULED_SLOTS = Scheduler Gauge "airflow_pool_scheduled_slots" ["pool"];
    /// Free slots of a live node (the label is its name).
    EXECUTOR_OPEN_SLOTS = Scheduler Gauge "airflow_executor_open_slots" ["executor"];
    /// Attempts that a node has and has not started.
    EXECUTOR_QUEUED_TASKS = Scheduler Gauge "airflow_executor_queued_tasks" ["executor"];
    /// Attempts that run on a node.
    EXECUTOR_RUNNING_TASKS = Scheduler Gauge "airflow_executor_running_tasks" ["executor"];
    /// Nodes by state: active, draining, lost, offline.
    NODES = Scheduler Gauge "updraft_nodes" ["state"];
    /// Nodes that this scheduler found lost.
    NODES_LOST = Scheduler Counter "updraft_nodes_lost" [];
    /// Attempts that a node took and did not start in time.
    LAUNCH_TIMEOUTS = Scheduler Counter "updraft_launch_timeouts" [];

    /// Active DAGs.
    DAGBAG_SIZE = Scheduler Gauge "airflow_dagbag_size" [];
    /// Files with an import error.
    DAG_PROCESSING_IMPORT_ERRORS = Scheduler Gauge "airflow_dag_processing_import_errors" [];
    /// How long the last look at the DAG folder took.
    DAG_PROCESSING_TOTAL_PARSE_TIME = Scheduler Gauge "airflow_dag_processing_total_parse_time" [];
    /// DAG files compiled.
    DAG_PROCESSING_FILES = Scheduler Counter "updraft_dag_processing_files_compiled" [];

    /// Tries to send a notice: delivered, again (later), failed.
    NOTIFICATIONS = Scheduler Counter "updraft_notifications" ["kind", "outcome"];

    /// Requests answered.
    HTTP_REQUESTS = Webserver Counter "updraft_http_requests" ["method", "route", "status"];
    /// How long an answer took; a node's poll is held on purpose.
    HTTP_DURATION = Webserver Histogram "updraft_http_request_duration" ["route"];
    /// Open streams of events (`GET /ui/events`).
    EVENT_STREAMS = Webserver Gauge "updraft_event_streams" [];
    /// Looks at the database for them, however many they are.
    EVENT_READS = Webserver Counter "updraft_event_reads" [];
    /// What nodes reported, by the answer: ok, stale, unknown.
    REPORT_EVENTS = Webserver Counter "updraft_report_events" ["result"];
    /// How long the commit of a batch of reports took.
    REPORT_DURATION = Webserver Histogram "updraft_report_commit_duration" [];
    /// Bytes of logs taken from nodes.
    LOG_BYTES_RECEIVED = Webserver Counter "updraft_log_bytes_received" [];
    /// Logs that reached their limit.
    LOGS_FULL = Webserver Counter "updraft_logs_full" [];
    /// Requests of nodes that the log store could not serve.
    LOG_STORE_ERRORS = Webserver Counter "updraft_log_store_errors" [];
    /// Logs deleted: older than webserver.log_retention_days, or of a deleted run.
    LOGS_EXPIRED = Webserver Counter "updraft_logs_expired" [];

    /// Attempts that this node may run at once.
    NODE_SLOTS = Executor Gauge "updraft_node_slots" [];
    /// Attempts that this node has.
    NODE_RUNNING = Executor Gauge "updraft_node_running_attempts" [];
    /// Attempts that ended on this node, by outcome and, where they failed, class.
    NODE_FINISHED = Executor Counter "updraft_node_attempts_finished" ["outcome", "class"];
    /// Results that the server has not confirmed yet.
    NODE_UNREPORTED = Executor Gauge "updraft_node_unreported_results" [];
    /// Calls of the server that failed and are tried again.
    NODE_CALL_FAILURES = Executor Counter "updraft_node_call_failures" [];
    /// Bytes of logs on this node that the server does not have yet.
    SPOOL_BYTES = Executor Gauge "updraft_node_spool_bytes" [];
    /// Bytes of logs that the server took.
    LOG_BYTES_SHIPPED = Executor Counter "updraft_node_log_bytes_shipped" [];
    /// Lines of logs that were dropped: limit (of one log), spool (of all), disk (cannot be written).
    LOG_LINES_DROPPED = Executor Counter "updraft_node_log_lines_dropped" ["reason"];
    /// Containers created ahead of their tasks, by what became of them: used, changed (the task turned out to need another),
    /// unused (it ran elsewhere or not at all).
    PREWARMED_CONTAINERS = Executor Counter "updraft_node_prewarmed_containers" ["fate"];
    /// Containers removed because no live attempt owns them.
    ORPHANED_CONTAINERS = Executor Counter "updraft_orphaned_containers" [];
}

/// The page of all metrics.
pub fn reference() -> String {
    let mut page = String::from(
        "# Metrics\n\nEvery role answers `GET /metrics` in Prometheus' text format; where it listens and who may ask is in \
         [operations.md](operations.md). Standalone exports all of these. Names that begin with `airflow_` mean what they mean in \
         Airflow, in the spelling of its StatsD exporter; durations are seconds (as that exporter has them), and the labels are those \
         below: none names a task or a run, so the number of series does not grow with work. Gauges of pools, nodes and DAGs \
         are what the database says, so every scheduler exports the same: take `max`, not `sum`.\n\n\
         This page is made from `core/src/metrics.rs`; a test compares them.\n",
    );
    for (role, title) in [
        (Role::All, "Every process"),
        (Role::Scheduler, "Scheduler"),
        (Role::Webserver, "Webserver"),
        (Role::Executor, "Executor node"),
    ] {
        page.push_str(&format!("\n## {title}\n\n| metric | kind | labels | what it is |\n| --- | --- | --- | --- |\n"));
        for (_, metric) in ALL.iter().filter(|(_, metric)| metric.role == role) {
            let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            let (name, labels, help) = (metric.name, labels.join(", "), metric.help.trim());
            page.push_str(&format!("| `{name}` | {kind} | {labels} | {help} |\n"));
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;

    #[test]
    fn the_page_of_metrics_is_the_catalogue() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&page, reference()).expect("docs/metrics.md");
        }
        let text = std::fs::read_to_string(&page).expect("docs/metrics.md");
        assert!(text == reference(), "renew it: UPDATE_DOCS=1 cargo test -p updraft-core the_page_of_metrics");
    }

    #[test]
    fn names_are_unique_and_prometheus_takes_them() {
        let names: BTreeSet<&str> = ALL.iter().map(|(_, metric)| metric.name).collect();
        assert_eq!(names.len(), ALL.len());
        for (_, metric) in ALL {
            let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            assert!(plain(metric.name) && metric.labels.iter().all(|label| plain(label)), "{metric:?}");
        }
    }
}
