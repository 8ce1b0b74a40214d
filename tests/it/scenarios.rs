//! The scenario files of `tests/scenarios` on Postgres, with real tasks on two nodes, while two schedulers and the webserver die at
//! their failpoints and are started anew: the runs end as in the simulator, which has read the same files.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt, path::Path};

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use updraft_store::{Store, check};

use crate::{
    scenario_files::{self, Act, End, Expected, Found, Scenario},
    support::{
        fleet::{Fleet, PASSWORD},
        process::finish,
        write,
    },
};

/// Higher than any scenario maps or tries.
const INDEXES: i32 = 10;
const TRIES: i32 = 8;
const OVER: &str = "select not exists (select 1 from dag_run where state in ('queued', 'running'))";

/// Writes the program that tasks call, which ends as the scenario says of its task, map index and try.
fn write_play(fleet: &Fleet, scenarios: &[Scenario]) {
    let play = fleet.path("bin").join("play");
    let text = format!(
        "#!/bin/sh\nend=\"{}/$AIRFLOW_CTX_DAG_ID/$AIRFLOW_CTX_TASK_ID.$1.$AIRFLOW_CTX_TRY_NUMBER\"\n[ ! -e \"$end\" ] || . \"$end\"\n",
        fleet.path("ends").display()
    );
    fs::write(&play, text).unwrap();
    fs::set_permissions(&play, fs::Permissions::from_mode(0o755)).unwrap();
    for scenario in scenarios {
        let folder = fleet.path("ends").join(&scenario.name);
        fs::create_dir_all(&folder).unwrap();
        let tasks: BTreeSet<&str> = scenario.ends.keys().filter_map(|id| id.split('[').next()).collect();
        for task in tasks {
            for (map_index, try_number) in (-1..INDEXES).flat_map(|index| (1..=TRIES).map(move |n| (index, n))) {
                let words = match scenario.end(task, map_index, try_number) {
                    End::Failed => "exit 1".to_owned(),
                    End::Skipped => "exit 99".to_owned(),
                    End::Result(value) => format!("echo '{value}'"),
                    End::Success | End::Follow(_) | End::Stop => continue,
                };
                fs::write(folder.join(format!("{task}.{map_index}.{try_number}")), words + "\n").unwrap();
            }
        }
    }
}

fn write_dags(folder: &Path, scenarios: &[Scenario]) {
    for scenario in scenarios {
        let text = scenario.dag.replace("bash: play", "bash: 'play {{ ti.map_index }}'");
        write(folder, &format!("{}.yaml", scenario.name), &format!("is_paused_upon_creation: false\n{text}"));
    }
}

/// A user with a token.
struct User {
    http: Client,
    server: String,
    token: String,
}

impl User {
    async fn new(port: u16) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (http, server) = (Client::new(), format!("http://127.0.0.1:{port}"));
        let login = json!({"username": "admin", "password": PASSWORD});
        let answer = http.post(format!("{server}/auth/token")).json(&login).send().await.unwrap();
        let body: Value = answer.json().await.unwrap();
        Self { http, server, token: body["access_token"].as_str().unwrap().to_owned() }
    }

    async fn says(&self, method: Method, path: &str, body: Value) {
        let request = self.http.request(method, format!("{}/api/v2/{path}", self.server));
        let answer = request.bearer_auth(&self.token).json(&body).send().await.unwrap();
        let status = answer.status();
        assert_eq!(status, StatusCode::OK, "{path} {body}: {}", answer.text().await.unwrap());
    }

    async fn does(&self, scenario: &Scenario, run: usize, act: &Act) {
        let dag = &scenario.name;
        match act {
            Act::Clear(chosen) => {
                let body = json!({
                    "dry_run": false, "dag_run_id": format!("r{run}"), "task_ids": chosen.tasks, "only_failed": false,
                    "reset_dag_runs": true, "include_upstream": chosen.upstream, "include_downstream": chosen.downstream,
                });
                self.says(Method::POST, &format!("dags/{dag}/clearTaskInstances"), body).await;
            }
            Act::MarkSuccess(chosen) | Act::MarkFailed(chosen) => {
                let state = if matches!(act, Act::MarkSuccess(_)) { "success" } else { "failed" };
                for task in &chosen.tasks {
                    let body = json!({
                        "new_state": state, "include_upstream": chosen.upstream, "include_downstream": chosen.downstream,
                    });
                    self.says(Method::PATCH, &format!("dags/{dag}/dagRuns/r{run}/taskInstances/{task}"), body).await;
                }
            }
        }
    }
}

async fn look(store: &Store, scenario: &Scenario, run: usize, expected: &Expected, seed: u64) {
    let (id, state): (i64, String) = sqlx::query_as(
        "select r.id, r.state from dag_run r join dag d on d.id = r.dag_fk where d.dag_id = $1 and r.run_id = $2",
    )
    .bind(&scenario.name)
    .bind(format!("r{run}"))
    .fetch_one(store.pool())
    .await
    .unwrap();
    let found: Vec<Found> =
        sqlx::query_as("select task_id, map_index, state, try_number from task_instance where dag_run_id = $1")
            .bind(id)
            .fetch_all(store.pool())
            .await
            .unwrap();
    let wrong = expected.differs(&state, found);
    assert!(wrong.is_none(), "{} r{run} (seed {seed}): {}", scenario.name, wrong.unwrap_or_default());
}

#[tokio::test(flavor = "multi_thread")]
async fn scenarios_end_alike_on_postgres_with_schedulers_that_die() {
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let scenarios = scenario_files::all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios"));
    assert!(scenarios.len() > 10, "the scenarios are there");
    let mut fleet = Fleet::new(seed).await;
    write_play(&fleet, &scenarios);
    write_dags(&fleet.path("dags"), &scenarios);
    let store = fleet.db.store().await;
    fleet.begin().await;
    let loaded = format!("select count(*) = {} from dag where not is_paused", scenarios.len());
    fleet.until(&store, loaded.leak(), false).await;
    // From here on who is started anew is armed to die again.
    for name in ["s1", "s2"] {
        fleet.kill(name).await;
        fleet.start(name, true);
    }
    for scenario in &scenarios {
        for run in 0..scenario.runs {
            let (id, date) = (format!("r{run}"), format!("2026-01-{:02}T00:00:00Z", run + 1));
            let said = finish(fleet.command().args([
                "dags",
                "trigger",
                &scenario.name,
                "--run-id",
                &id,
                "--logical-date",
                &date,
            ]))
            .await;
            assert_eq!(said.code, Some(0), "{}\n{}", said.stderr, fleet.logs());
            fleet.kills += fleet.revive(true);
        }
    }
    // Nobody asks anything of the webserver but the nodes.
    fleet.kill("w").await;
    fleet.start("w", true);
    fleet.until(&store, OVER, true).await;
    for scenario in &scenarios {
        for run in 0..scenario.runs {
            look(&store, scenario, run, &scenario.expected, seed).await;
        }
    }
    fleet.kill("w").await;
    fleet.start("w", false);
    fleet.until_it_answers().await;
    let user = User::new(fleet.port).await;
    let steps = scenarios.iter().map(|scenario| scenario.then.len()).max().unwrap_or_default();
    for step in 0..steps {
        let concerned = || scenarios.iter().filter(move |scenario| scenario.then.len() > step);
        for scenario in concerned() {
            for run in 0..scenario.runs {
                user.does(scenario, run, &scenario.then[step].act).await;
            }
        }
        fleet.until(&store, OVER, true).await;
        for scenario in concerned() {
            for run in 0..scenario.runs {
                look(&store, scenario, run, &scenario.then[step].expected, seed).await;
            }
        }
    }
    println!("{} processes died", fleet.kills);
    assert!(fleet.kills >= 4, "{} processes died, which proves little (seed {seed})", fleet.kills);
    assert_eq!(check::invariants(&store).await.unwrap(), [], "seed {seed}");
}
