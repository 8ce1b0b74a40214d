//! What a scheduler weighs: `updraft scheduler` as a process of its own, with thousands of DAGs and a hundred thousand live task
//! instances.

use std::{
    fmt::Write,
    fs,
    net::TcpListener,
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

use crate::{
    api::Api,
    floors::sql,
    instance::{Instance, resident_mb},
    loader,
    runs::until,
};

/// Ready instances of each run.
const TASKS: usize = 100;
/// A database of their own on the instance's server.
const DATABASE: &str = "memory";
const PASSWORD: &str = "bench";

/// Runs whose tasks are all ready and wait for a node that does not exist.
pub(crate) async fn measure(instance: &Instance, dags: usize, runs: usize) -> String {
    let folder = tempfile::Builder::new().prefix("updraft-bench-memory-").tempdir().unwrap();
    let files = folder.path().join("dags");
    fs::create_dir(&files).unwrap();
    for number in 0..dags {
        fs::write(files.join(format!("file_{number}.yaml")), loader::file(number)).unwrap();
    }
    let mut yaml = format!("is_paused_upon_creation: false\nmax_active_runs: {runs}\ntasks:\n");
    for number in 0..TASKS {
        writeln!(yaml, "  t{number}: {{bash: 'true', queue: nowhere}}").expect("a String takes everything");
    }
    fs::write(files.join("live.yaml"), yaml).unwrap();

    sql(instance, "postgres", &format!("create database {DATABASE}"));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let command = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_updraft"));
        command
            .args(arguments)
            .env(
                "UPDRAFT__DATABASE__URL",
                format!("postgres://updraft@localhost/{DATABASE}?host={}", instance.socket_folder().display()),
            )
            .env("UPDRAFT__AUTH__ADMIN_PASSWORD", PASSWORD)
            .env("UPDRAFT__CORE__DATA_DIR", folder.path().join("data"))
            .env("UPDRAFT__CORE__DAGS_FOLDER", &files)
            .env("UPDRAFT__WEBSERVER__PORT", port.to_string())
            .env("UPDRAFT__LOGGING__LEVEL", "warn")
            .stdout(Stdio::null())
            .kill_on_drop(true);
        command
    };
    assert!(command(&["db", "migrate"]).status().await.unwrap().success(), "the schema is made");
    let _webserver = command(&["webserver"]).spawn().unwrap();
    until_it_answers(port).await;
    let scheduler = command(&["scheduler"]).spawn().unwrap();
    let api = Api::login(&format!("http://127.0.0.1:{port}"), PASSWORD).await;
    until(instance, DATABASE, &format!("select count(*) = {} from dag", dags + 1)).await;

    let before = resident(&scheduler);
    let begin = Instant::now();
    for number in 0..runs {
        api.trigger("live", &format!("run_{number}")).await;
    }
    let instances = runs * TASKS;
    until(instance, DATABASE, &format!("select count(*) = {instances} from attempt")).await;
    let seconds = begin.elapsed().as_secs_f64();
    let after = resident(&scheduler);
    format!(
        "{dags} DAGs and {instances} live instances in {runs} runs: `updraft scheduler` has {after:.0} MB resident, {before:.0} MB with \
         the DAGs alone (aim: < 150 MB); made ready in {seconds:.1} s"
    )
}

fn resident(process: &Child) -> f64 {
    resident_mb(process.id().expect("it runs"))
}

async fn until_it_answers(port: u16) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(Instant::now() < deadline, "the webserver does not answer");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
