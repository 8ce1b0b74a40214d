//! How long a hand-out takes while fifty nodes poll: fifty pollers in this process that speak the nodes' protocol over real HTTP.
//!
//! Chains of tasks on a queue of their own. A poller reports what it gets as finished and polls again. Two times of each task:
//!
//! * *hand-out*: from the row of its placement (a trigger notes the time inside the transaction, hence before its commit) to the poll's
//!   answer, read and parsed here: commit, wake-up, hand-out, HTTP;
//! * *step*: from the report of its upstream leaving here to the same moment: that, and the report's commit, plan and dispatch.

use std::{
    collections::HashMap,
    fs,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use updraft_protocol::{PollRequest, PollResponse, RegisterResponse};
use uuid::Uuid;

use crate::{floors::sql, instance::Instance, runs::until, workload::percentile};

const NODES: usize = 50;
/// How many tasks are under way at once: one on an idle machine, and as many as keep two cores busy.
const CHAINS: [usize; 2] = [1, 10];

/// What the pollers note.
#[derive(Default)]
struct Notes {
    /// When an attempt's hand-out was read, seconds since the epoch.
    handed: HashMap<Uuid, f64>,
    /// When the last report of a run left.
    reported: HashMap<String, f64>,
    /// From a run's last report to its next hand-out, milliseconds.
    steps: Vec<f64>,
}

/// One line per figure.
pub(crate) async fn measure(instance: &Instance, quick: bool) -> Vec<String> {
    let length = if quick { 10 } else { 50 };
    sql(
        instance,
        "updraft",
        "create table if not exists bench_placed (attempt_id uuid primary key, at timestamptz not null);
         create or replace function bench_placed() returns trigger language plpgsql as $$
         begin
             insert into bench_placed values (new.attempt_id, clock_timestamp()) on conflict do nothing;
             return null;
         end $$;
         drop trigger if exists bench_placed on attempt;
         create trigger bench_placed after update of executor_id on attempt for each row when (new.executor_id is not null)
             execute function bench_placed()",
    );
    let notes = Arc::new(Mutex::new(Notes::default()));
    let token = fs::read_to_string(instance.folder().join("data/executor-token")).unwrap();
    let pollers: Vec<_> = (0..NODES)
        .map(|number| {
            let poller = Poller::new(&instance.api.url, token.trim(), Arc::clone(&notes));
            tokio::spawn(poller.run(number))
        })
        .collect();
    until(instance, "updraft", &format!("select count(*) = {NODES} from executor where 'pollers' = any(queues)")).await;

    let mut yaml = "max_active_runs: 100\ndefault_args: {queue: pollers}\ntasks:\n".to_owned();
    for number in 0..length {
        let upstream = if number == 0 { String::new() } else { format!(", depends_on: t{}", number - 1) };
        yaml += &format!("  t{number}: {{noop: null{upstream}}}\n");
    }
    fs::write(instance.folder().join("dags/handout.yaml"), yaml).unwrap();
    until(instance, "updraft", "select count(*) = 1 from dag where dag_id = 'handout'").await;
    let mut lines = Vec::new();
    for chains in CHAINS {
        sql(instance, "updraft", "truncate bench_placed");
        *notes.lock().unwrap() = Notes::default();
        for run in 0..chains {
            instance.api.trigger("handout", &format!("run_{chains}_{run}")).await;
        }
        let done = "select count(*) = 0 from dag_run r join dag d on d.id = r.dag_fk where d.dag_id = 'handout' and r.state <> 'success'";
        until(instance, "updraft", done).await;
        let placed = sql(instance, "updraft", "select attempt_id, extract(epoch from at) from bench_placed");
        let Notes { handed, steps, .. } = std::mem::take(&mut *notes.lock().unwrap());
        let hand_outs = placed.lines().filter_map(|line| {
            let (attempt, at) = line.split_once('|')?;
            Some((handed.get(&attempt.parse::<Uuid>().ok()?)? - at.parse::<f64>().ok()?) * 1000.0)
        });
        let what = format!("hand-out, {NODES} nodes polling, {chains} × chain of {length} (aim: p99 <= 10 ms)");
        lines.push(line(&what, hand_outs.collect()));
        lines.push(line("the same with report, plan and dispatch of its upstream", steps));
    }
    pollers.iter().for_each(tokio::task::JoinHandle::abort);

    sql(
        instance,
        "updraft",
        "drop trigger bench_placed on attempt; drop function bench_placed; drop table bench_placed",
    );
    let floor = round_trips(instance).await;
    lines.push(line("floor: a request that reads nothing, same webserver, kept connection", floor));
    lines
}

fn line(what: &str, mut ms: Vec<f64>) -> String {
    ms.sort_by(f64::total_cmp);
    let at = |share: f64| percentile(&ms, share).unwrap_or(f64::NAN);
    let (p50, p95, p99) = (at(0.50), at(0.95), at(0.99));
    format!("{what}: p50 {p50:.1} ms, p95 {p95:.1} ms, p99 {p99:.1} ms, of {}", ms.len())
}

/// Milliseconds of some requests, one after the other.
async fn round_trips(instance: &Instance) -> Vec<f64> {
    let (http, url) = (reqwest::Client::new(), format!("{}/api/v2/version", instance.api.url));
    let mut ms = Vec::new();
    for _ in 0..500 {
        let begin = Instant::now();
        http.get(&url).send().await.unwrap().bytes().await.unwrap();
        ms.push(begin.elapsed().as_secs_f64() * 1000.0);
    }
    ms
}

/// A node, as far as the protocol goes.
struct Poller {
    http: reqwest::Client,
    url: String,
    token: String,
    session: Uuid,
    notes: Arc<Mutex<Notes>>,
}

impl Poller {
    fn new(url: &str, token: &str, notes: Arc<Mutex<Notes>>) -> Self {
        let (http, session) = (reqwest::Client::new(), Uuid::new_v4());
        Self { http, url: format!("{url}/executor/v1"), token: token.to_owned(), session, notes }
    }

    async fn call<T: serde::de::DeserializeOwned>(&self, path: &str, body: &Value) -> T {
        let request = self.http.post(format!("{}/{path}", self.url)).bearer_auth(&self.token).json(body);
        let answer = request.timeout(Duration::from_secs(30)).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
        answer.json().await.unwrap()
    }

    async fn run(self, number: usize) {
        let introduction = json!({
            "name": format!("poller-{number}"), "identity": Uuid::new_v4(), "session": self.session, "hostname": "bench",
            "version": "bench", "protocol_min": 1, "protocol_max": 1, "slots": 4, "labels": {}, "queues": ["pollers"],
            "runners": [{"name": "native", "available": true}], "attempts": [],
        });
        let _: RegisterResponse = self.call("register", &introduction).await;
        let poll = PollRequest {
            session: self.session,
            have: Vec::new(),
            cancelling: Vec::new(),
            free_slots: 4,
            runners: serde_json::from_value(introduction["runners"].clone()).unwrap(),
            stats: std::collections::BTreeMap::new(),
            desktop: None,
        };
        let poll = serde_json::to_value(poll).unwrap();
        loop {
            let answer: PollResponse = self.call("poll", &poll).await;
            let read = now();
            let mut events = Vec::new();
            {
                let mut notes = self.notes.lock().unwrap();
                for start in &answer.start {
                    notes.handed.insert(start.attempt_id, read);
                    let run = start.spec["run"]["run_id"].as_str().unwrap_or_default().to_owned();
                    let upstream = notes.reported.insert(run, now());
                    notes.steps.extend(upstream.map(|left| (read - left) * 1000.0));
                    events.push(json!({
                        "attempt_id": start.attempt_id, "age_ms": 0, "kind": "finished", "outcome": "success",
                        "started": {"hostname": "bench"}, "duration_ms": 0,
                    }));
                }
            }
            if !events.is_empty() {
                let _: Value = self.call("report", &json!({"session": self.session, "events": events})).await;
            }
        }
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64()
}
