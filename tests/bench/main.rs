//! How fast the engine is, beside floors measured in the same run: `make bench`, or `cargo bench --bench engine`.
//!
//! Starts a throw-away standalone (private Postgres with its durable defaults), runs each workload, and prints one table.
//! Figures are throughput (tasks ended per second, from the trigger to the end of the last run) and the time from the end of a
//! task's last upstream to its start. For process tasks that time comes from clocks read inside the tasks; for the others from
//! the node's or the scheduler's instants in the API.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a bench that cannot go on panics")]

#[path = "../support/airflow.rs"]
mod airflow;
#[path = "../support/api.rs"]
mod api;
mod events;
mod floors;
mod handout;
mod instance;
mod loader;
mod memory;
mod plan;
mod rest;
mod runs;
mod windmill;
mod workload;

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};

use self::{
    floors::Containers,
    instance::Instance,
    workload::{Kind, Measured, Shape, Workload},
};

/// Measures something, and says for each thing what came out.
type Measure<'a> = &'a dyn Fn() -> Vec<(String, String)>;

#[tokio::main]
async fn main() {
    // `cargo bench` appends `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let only: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    rustls::crypto::ring::default_provider().install_default().expect("no other provider is installed");

    // These need no instance.
    let pure: [(&str, Measure<'_>); 2] = [("plan", &plan::measure), ("loader", &|| loader::measure(quick))];
    for (name, measure) in pure {
        if only.is_empty() || only.iter().any(|word| *word == name) {
            eprintln!("running {name}");
            for (name, value) in measure() {
                println!("{name:60} {value}");
            }
        }
    }
    if !only.is_empty() && only.iter().all(|word| pure.iter().any(|(name, _)| word == name)) {
        return;
    }
    let instance = Instance::start().await;
    println!("first start on an empty data folder: {:.2} s", instance.start_seconds);
    let instance = instance.restart().await;
    println!("start on an existing data folder:    {:.2} s", instance.start_seconds);

    let docker = floors::docker_answers().await;
    if !docker {
        println!("no Docker daemon answers: Docker tasks are left out");
    }
    let mut rows = Vec::new();
    for workload in workloads(quick) {
        let skipped = workload.kind.is_docker() && !docker;
        let chosen = only.is_empty() || only.iter().any(|word| workload.name().contains(word.as_str()));
        if chosen && !skipped {
            eprintln!("running {}", workload.name());
            let measured = workload.run(&instance).await;
            rows.push((workload, measured));
        }
    }
    let chosen = |name: &str| {
        let chosen = only.is_empty() || only.iter().any(|word| name.contains(word.as_str()));
        if chosen {
            eprintln!("running {name}");
        }
        chosen
    };
    let mut lines = Vec::new();
    if chosen("making of runs") {
        lines.extend(runs::measure(&instance, quick).await);
    }
    if chosen("hand-out") {
        lines.extend(handout::measure(&instance, quick).await);
    }
    if chosen("events") {
        lines.extend(events::measure(&instance, quick).await);
    }
    if chosen("windmill") {
        lines.extend(windmill::measure(&instance, quick).await);
    }
    eprintln!("measuring the floors");
    let containers = if docker { Some(Containers::measure().await) } else { None };
    let floors = floors::measure(&instance, containers);
    let idle = instance.idle(Duration::from_secs(if quick { 3 } else { 10 })).await;
    if chosen("rest api") {
        lines.extend(rest::measure(&instance, quick).await);
    }
    print(&rows);
    println!();
    for line in lines {
        println!("{line}");
    }
    for (name, value) in floors {
        println!("floor: {name:52} {value}");
    }
    for line in containers.into_iter().flat_map(|containers| beside(&rows, containers)) {
        println!("{line}");
    }
    println!("idle: {idle}");
}

/// How the fans of containers compare with the bare daemon, and what is wanted.
fn beside(rows: &[(Workload, Measured)], containers: Containers) -> Vec<String> {
    let wanted = [
        (Kind::Docker, containers.bridged, 0.9),
        (Kind::DockerOffline, containers.offline, 0.9),
        (Kind::DockerShared, containers.bridged, 4.0),
    ];
    let line = |(kind, floor, wanted): (Kind, f64, f64)| {
        let is_fan = |workload: &Workload| workload.kind == kind && matches!(workload.shape, Shape::Fan(_));
        let (workload, measured) = rows.iter().find(|(workload, _)| is_fan(workload))?;
        let ratio = measured.tasks as f64 / measured.seconds / floor;
        Some(format!("ratio: {:52} {ratio:.2} × the bare API (wanted: {wanted:.1})", workload.name()))
    };
    wanted.into_iter().filter_map(line).collect()
}

fn workloads(quick: bool) -> Vec<Workload> {
    let mut all = Vec::new();
    for kind in [Kind::Noop, Kind::Process, Kind::Docker, Kind::DockerOffline, Kind::DockerShared, Kind::Empty] {
        let slow = kind.is_docker();
        let (chain, fan, runs) = if quick { (20, 100, 5) } else { (50, 500, 20) };
        let fan = if slow { fan / 5 } else { fan };
        let runs = if slow { (runs / 5).max(2) } else { runs };
        let chain = if slow { chain / 2 } else { chain };
        all.push(Workload { kind, shape: Shape::Chain(chain), runs: 1 });
        all.push(Workload { kind, shape: Shape::Fan(fan), runs: 1 });
        all.push(Workload { kind, shape: Shape::Chain(10), runs });
    }
    all
}

fn print(rows: &[(Workload, Measured)]) {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["workload", "tasks", "seconds", "tasks/s", "p50 ms", "p95 ms", "p99 ms"]);
    for (workload, measured) in rows {
        let gap = |share: f64| measured.gap_ms(share).map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1}"));
        table.add_row([
            workload.name(),
            measured.tasks.to_string(),
            format!("{:.2}", measured.seconds),
            format!("{:.0}", measured.tasks as f64 / measured.seconds),
            gap(0.50),
            gap(0.95),
            gap(0.99),
        ]);
    }
    for column in 1..7 {
        table.column_mut(column).expect("there are seven columns").set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
}
