//! How fast the REST API answers, over 1,000 DAGs, 10,000 runs and 1,000,000 task instances; and what a trigger costs.
//!
//! The clients are bare sockets in this process that keep their connections, so they take little of the two cores that they share
//! with the server and its Postgres. The floor is such a socket on the other side as well: it answers as many bytes and does nothing
//! else. Equal requests that come at once share an answer, so the lists are asked in two ways: all clients for the same page, and
//! each for a page of its own.

use std::{
    fs,
    net::SocketAddr,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    floors::sql,
    instance::Instance,
    runs::until,
    workload::{loaded, percentile},
};

const SEED: &str = include_str!("../data/large.sql");
/// Clients at once, besides one alone.
const CLIENTS: usize = 8;
const TRIGGERS: usize = 300;
/// Triggers whose first task is timed, one after the other.
const TIMED: usize = 100;

/// A read, and what Airflow 3.3.2 answers a second on such a machine to eight clients, with 7,000 task instances.
const READS: [(&str, &str, f64); 6] = [
    ("dags?limit=100", "/api/v2/dags?limit=100", 77.0),
    ("dagRuns?limit=100", "/api/v2/dags/~/dagRuns?limit=100", 36.0),
    ("taskInstances?limit=100", "/api/v2/dags/~/dagRuns/~/taskInstances?limit=100", 21.0),
    ("one DAG", "/api/v2/dags/large_0050", 158.0),
    ("health", "/api/v2/monitor/health", 163.0),
    ("version", "/api/v2/version", 1_392.0),
];

/// A table of the reads and lines about triggers.
pub(crate) async fn measure(instance: &Instance, quick: bool) -> Vec<String> {
    let triggers = triggers(instance).await;
    let (tasks, seconds) = if quick { (10, 1) } else { (100, 5) };
    sql(instance, "updraft", &format!("set seed.dags = 1000; set seed.runs = 10; set seed.tasks = {tasks};\n{SEED}"));
    sql(instance, "updraft", "vacuum analyze");
    let server = Server::of(instance);
    let period = Duration::from_secs(seconds);
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "request",
        "1 client/s",
        "p99 ms",
        "8 clients/s",
        "p99 ms",
        "8, own pages/s",
        "p99 ms",
        "bytes",
        "floor, 8/s",
        "× Airflow",
    ]);
    for (name, path, airflow) in READS {
        eprintln!("running {name}");
        let same = |_: usize| server.get(path);
        // What only the first requests pay: prepared statements, compiled DAGs.
        load(server.address, CLIENTS, period / 2, same).await;
        let alone = load(server.address, 1, period, same).await;
        let together = load(server.address, CLIENTS, period, same).await;
        let own = if path.contains("limit") {
            Some(load(server.address, CLIENTS, period, |n| server.get(&format!("{path}&offset={}", n * 100))).await)
        } else {
            None
        };
        let floor = floor(together.bytes, period).await;
        table.add_row([
            name.to_owned(),
            format!("{:.0}", alone.rate),
            format!("{:.1}", alone.p99),
            format!("{:.0}", together.rate),
            format!("{:.1}", together.p99),
            own.as_ref().map_or_else(|| "-".to_owned(), |own| format!("{:.0}", own.rate)),
            own.as_ref().map_or_else(|| "-".to_owned(), |own| format!("{:.1}", own.p99)),
            together.bytes.to_string(),
            format!("{floor:.0}"),
            format!("{:.0}", together.rate / airflow),
        ]);
    }
    for column in 1..10 {
        table.column_mut(column).expect("there are ten columns").set_cell_alignment(CellAlignment::Right);
    }
    let size = format!("REST API over 1000 DAGs, 10000 runs, {} task instances:", tasks * 10_000);
    [size, table.to_string()].into_iter().chain(triggers).collect()
}

/// From a trigger to the start of the run's first task, and how many triggers a second.
async fn triggers(instance: &Instance) -> Vec<String> {
    for (dag_id, is_paused) in [("rest_active", false), ("rest_paused", true)] {
        let yaml =
            format!("is_paused_upon_creation: {is_paused}\nmax_active_runs: 1000\ntasks:\n  first: {{noop: null}}\n");
        fs::write(instance.folder().join(format!("dags/{dag_id}.yaml")), yaml).unwrap();
        loaded(instance, dag_id).await;
    }
    let server = Server::of(instance);
    let mut client = Client::connect(server.address).await;
    let mut sent = Vec::new();
    for number in 0..=TIMED {
        sent.push(now());
        client.exchange(&server.trigger("rest_active", &format!("timed_{number}"))).await;
        until(instance, "updraft", &all_over("rest_active")).await;
    }
    // The first one reads the DAG.
    let mut latencies = Vec::new();
    for (number, sent) in sent.into_iter().enumerate().skip(1) {
        let path = format!("/api/v2/dags/rest_active/dagRuns/timed_{number}/taskInstances/first");
        latencies.push((instant(&instance.get(&path).await["start_date"]) - sent) * 1000.0);
    }
    latencies.sort_by(f64::total_cmp);
    let at = |share: f64| percentile(&latencies, share).unwrap_or(f64::NAN);
    let mut lines = vec![format!(
        "trigger to the start of the first task, {TIMED} one after the other: p50 {:.1} ms, p99 {:.1} ms (aim: p50 <= 15 ms; Airflow: 300)",
        at(0.5),
        at(0.99)
    )];
    for (dag_id, what) in [("rest_paused", "a paused DAG"), ("rest_active", "a DAG that runs meanwhile")] {
        let begin = Instant::now();
        let each = |client: usize| {
            let server = &server;
            async move {
                let mut connection = Client::connect(server.address).await;
                for number in (client..TRIGGERS).step_by(CLIENTS) {
                    connection.exchange(&server.trigger(dag_id, &format!("many_{number}"))).await;
                }
            }
        };
        futures::future::join_all((0..CLIENTS).map(each)).await;
        let rate = TRIGGERS as f64 / begin.elapsed().as_secs_f64();
        lines.push(format!(
            "{TRIGGERS} triggers by {CLIENTS} clients, of {what}: {rate:.0}/s (aim: 1,000; Airflow: 48)"
        ));
    }
    until(instance, "updraft", &all_over("rest_active")).await;
    lines
}

fn all_over(dag_id: &str) -> String {
    format!(
        "select count(*) = 0 from dag_run r join dag d on d.id = r.dag_fk where d.dag_id = '{dag_id}' and r.state <> 'success'"
    )
}

fn instant(value: &Value) -> f64 {
    let parsed = value.as_str().and_then(|text| text.parse::<chrono::DateTime<chrono::Utc>>().ok());
    parsed.map_or(f64::NAN, |at| at.timestamp_micros() as f64 / 1e6)
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

/// Where the instance answers, and who asks.
struct Server<'a> {
    address: SocketAddr,
    token: &'a str,
}

impl<'a> Server<'a> {
    fn of(instance: &'a Instance) -> Self {
        let address = instance.api.url.trim_start_matches("http://").parse().expect("standalone prints an address");
        Self { address, token: &instance.api.token }
    }

    fn get(&self, path: &str) -> Vec<u8> {
        self.request("GET", path, "")
    }

    fn trigger(&self, dag_id: &str, run_id: &str) -> Vec<u8> {
        let body = json!({"logical_date": null, "dag_run_id": run_id}).to_string();
        self.request("POST", &format!("/api/v2/dags/{dag_id}/dagRuns"), &body)
    }

    fn request(&self, method: &str, path: &str, body: &str) -> Vec<u8> {
        let length = body.len();
        format!(
            "{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}",
            self.token
        )
        .into_bytes()
    }
}

/// A kept connection.
struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::with_capacity(1 << 20) }
    }

    /// Sends a request and reads its answer, which must be a success. Bytes of the body.
    async fn exchange(&mut self, request: &[u8]) -> usize {
        self.stream.write_all(request).await.unwrap();
        self.buffer.clear();
        let (mut body, mut length) = (0, usize::MAX);
        while length == usize::MAX || self.buffer.len() < body + length {
            let read = self.stream.read_buf(&mut self.buffer).await.unwrap();
            assert!(read > 0, "the server closed the connection");
            if length == usize::MAX
                && let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n")
            {
                let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
                assert!(head.starts_with("http/1.1 2"), "{head}");
                let value = head.lines().find_map(|line| line.strip_prefix("content-length:"));
                length = value.expect("the body has a length").trim().parse().unwrap();
                body = end + 4;
            }
        }
        length
    }
}

/// What some clients got.
struct Load {
    /// Answers a second.
    rate: f64,
    /// Milliseconds.
    p99: f64,
    /// Of one body.
    bytes: usize,
}

/// Clients that each send their request again and again for a while.
async fn load(address: SocketAddr, clients: usize, period: Duration, request: impl Fn(usize) -> Vec<u8>) -> Load {
    let begin = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|number| {
            let request = request(number);
            tokio::spawn(async move {
                let mut client = Client::connect(address).await;
                let (mut times, mut bytes) = (Vec::new(), 0);
                while begin.elapsed() < period {
                    let sent = Instant::now();
                    bytes = client.exchange(&request).await;
                    times.push(sent.elapsed().as_secs_f64() * 1000.0);
                }
                (times, bytes)
            })
        })
        .collect();
    let (mut times, mut bytes) = (Vec::new(), 0);
    for task in tasks {
        let (some, size) = task.await.unwrap();
        times.extend(some);
        bytes = size;
    }
    let rate = times.len() as f64 / begin.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    Load { rate, p99: percentile(&times, 0.99).unwrap_or(f64::NAN), bytes }
}

/// Answers a second of as many bytes, from a socket that does nothing else.
async fn floor(bytes: usize, period: Duration) -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n{}", "x".repeat(bytes));
    let server = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    let request = b"GET / HTTP/1.1\r\nHost: floor\r\n\r\n";
    let load = load(address, CLIENTS, period, |_| request.to_vec()).await;
    server.abort();
    load.rate
}
