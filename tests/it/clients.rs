//! Airflow's own clients, as PyPI has them, against the binary: every operation of the Python client, every command of
//! `airflowctl`, and schemathesis' requests made from the document that the server serves.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::process::Command;
use updraft_store::testing::TestDb;

use crate::support::{
    api::Api,
    open_folder,
    process::{Outcome, finish, finish_within},
    standalone::Standalone,
    write,
};

/// The DAGs that the scripts ask about.
const DAGS: [(&str, &str); 3] = [
    ("everything.yaml", include_str!("../clients/dags/everything.yaml")),
    ("gone.yaml", include_str!("../clients/dags/gone.yaml")),
    ("waits.yaml", include_str!("../clients/dags/waits.yaml")),
];

/// A file that is an import error.
const BROKEN: (&str, &str) = ("broken.yaml", include_str!("../clients/dags/broken.yaml"));

/// The folder of the clients' programs; `None`, with a word about it, where there is none.
fn programs() -> Option<PathBuf> {
    let folder = std::env::var_os("UPDRAFT_TEST_CLIENTS").filter(|folder| *folder != OsString::new());
    if folder.is_none() {
        eprintln!(
            "skipped: no clients (UPDRAFT_TEST_CLIENTS, which tools/test-env.sh sets where pip can install them)"
        );
    }
    folder.map(PathBuf::from)
}

async fn standalone() -> Standalone {
    let folder = open_folder();
    for (name, text) in DAGS.into_iter().chain([BROKEN]) {
        write(&folder.path().join("dags"), name, text);
    }
    let mut server = Standalone::start(folder, Some(TestDb::new().await)).await;
    server.process.lines_with("the DAG has a new version", DAGS.len()).await;
    server
}

/// Runs a script of `tests/clients` with the server's URL and the admin's password.
async fn script(programs: &Path, name: &str) -> Outcome {
    let server = standalone().await;
    let home = open_folder();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name);
    let mut command = Command::new(programs.join("python"));
    command.arg(script).args([&server.url, &server.password()]);
    command.env_clear().env("HOME", home.path()).env("PYTHONDONTWRITEBYTECODE", "1").kill_on_drop(true);
    finish(&mut command).await
}

#[tokio::test]
async fn every_operation_of_the_python_client_works() {
    let Some(programs) = programs() else { return };
    let said = script(&programs, "every_operation.py").await;
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
}

#[tokio::test]
async fn every_command_of_airflowctl_works() {
    let Some(programs) = programs() else { return };
    let said = script(&programs, "every_command.py").await;
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
}

/// What the document allows is taken, what it forbids is refused, and every answer is one that it describes. Which answers to
/// allowed requests are faults is in `schemathesis.toml`. The seed is fixed; it takes about a minute.
#[tokio::test]
async fn schemathesis_finds_no_fault() {
    let Some(programs) = programs() else { return };
    let server = standalone().await;
    let token = Api::login(&server.url, &server.password()).await.token;
    let home = open_folder();
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/schemathesis.toml");
    let mut command = Command::new(programs.join("schemathesis"));
    command.arg("--no-color").arg("--config-file").arg(config).arg("run").arg(format!("{}/openapi.json", server.url));
    command.args(["--header", &format!("Authorization: Bearer {token}"), "--seed", "1"]);
    command.env_clear().env("HOME", home.path()).current_dir(home.path()).kill_on_drop(true);
    let said = finish_within(Duration::from_mins(3), &mut command).await;
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
}
