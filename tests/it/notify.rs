//! Notifications through the binary, from the file to the mailbox.

use std::time::Duration;

use updraft_store::testing::TestDb;

use super::support::{
    open_folder,
    process::{PATIENCE, Watched, updraft},
    standalone::Standalone,
    write,
};

#[path = "../../scheduler/tests/sinks/secure.rs"]
mod secure;
#[path = "../../scheduler/tests/sinks/mod.rs"]
mod sinks;

use secure::{Encryption, SecureSmtp};
use sinks::{HttpSink, SmtpSink};

/// Waits until `done`.
async fn until(what: &str, done: impl Fn() -> bool) {
    let waiting = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn a_file_says_who_is_told_of_a_failure_and_they_are() {
    let (mail, web) = (SmtpSink::start().await, HttpSink::start(&[]).await);
    let folder = open_folder();
    let config = format!(
        "[smtp]\nhost = \"127.0.0.1\"\nport = {}\nstarttls = false\nmail_from = \"updraft@example.org\"\n",
        mail.port
    );
    write(folder.path(), ".config/updraft/updraft.toml", &config);
    let dag = format!(
        "tasks:\n  good:\n    bash: echo 42\n  bad:\n    bash: exit 3\n    depends_on: good\n    email: [ops@example.org]\n    \
         email_on_failure: true\n    retries: 1\n    retry_delay: 0\n    email_on_retry: false\n    on_retry:\n      - http: {}\non_failure:\n  \
         - http: {{url: \"{}\", json: {{text: \"{{{{ dag.dag_id }}}} failed at {{{{ ti.task_id }}}} after \
         {{{{ ti.xcom_pull(task_ids='good') }}}}\"}}}}\n",
        web.url("/retry"),
        web.url("/run")
    );
    write(&folder.path().join("dags"), "alarm.yaml", &dag);
    let mut standalone = Standalone::start(folder, Some(TestDb::new().await)).await;
    standalone.process.lines_with("the DAG has a new version", 1).await;
    let outcome = standalone.cli(&["dags", "trigger", "alarm", "--run-id", "r1", "--wait"]).await;
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    until("an email and two calls", || mail.letters().len() == 1 && web.calls().len() == 2).await;

    let letter = mail.letters().remove(0);
    assert_eq!((letter.from.as_str(), &letter.to[..]), ("updraft@example.org", &["ops@example.org".to_owned()][..]));
    let text = letter.unfolded();
    assert!(text.contains("Subject: Updraft alert: alarm.bad failed (r1, try 2 of 2)"), "{text}");
    assert!(text.contains("The command ended with exit code 3."), "{text}");
    assert!(text.contains(&format!("{}/dags/alarm/runs/r1/tasks/bad/logs/2", standalone.url)), "{text}");
    let calls = web.calls();
    let call = |path: &str| calls.iter().find(|call| call.path == path).unwrap();
    assert_eq!(call("/retry").json["event"], "retry");
    assert_eq!(call("/retry").json["try_number"], 1);
    assert_eq!(call("/run").json["text"], "alarm failed at bad after 42");

    let listed = standalone.cli(&["notifications", "list", "alarm", "--state", "delivered", "-o", "json"]).await;
    assert_eq!(listed.code, Some(0), "{listed:#?}");
    let listed: Vec<serde_json::Value> = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(listed.len(), 3, "{listed:#?}");
    assert!(
        listed.iter().any(|notice| notice["kind"] == "email" && notice["target"] == "ops@example.org"),
        "{listed:#?}"
    );
}

#[tokio::test]
async fn connections_and_logins_of_mail_servers_are_used_and_a_wrong_password_loses_nothing() {
    // `\0updraft\0secret` and `\0other\0word`.
    let starttls = SecureSmtp::start(Encryption::StartTls, "AHVwZHJhZnQAc2VjcmV0").await;
    let implicit = SecureSmtp::start(Encryption::FromTheFirstByte, "AG90aGVyAHdvcmQ=").await;
    let web = HttpSink::start(&[("/gone", &[404, 200])]).await;
    let folder = open_folder();
    let dag = format!(
        "tasks:\n  bad:\n    bash: exit 3\n    on_failure:\n      - email: plain@example.org\n      - email: {{to: named@example.org, \
         conn_id: mail}}\n      - slack: {{conn_id: chat, text: \"{{{{ reason }}}}\"}}\n      - http: {}\n",
        web.url("/gone")
    );
    write(&folder.path().join("dags"), "alarm.yaml", &dag);
    let mut standalone =
        Standalone::start_with(folder, Some(TestDb::new().await), &[("SSL_CERT_FILE", secure::AUTHORITY)]).await;
    standalone.process.lines_with("the DAG has a new version", 1).await;
    let starttls_port = starttls.port;
    let plain = |password: &str| {
        serde_json::json!({"smtp_default": {
            "conn_type": "smtp", "host": "127.0.0.1", "port": starttls_port, "login": "updraft", "password": password,
            "extra": r#"{"disable_ssl": true, "from_email": "updraft@example.org"}"#,
        }})
    };
    let named = serde_json::json!({"mail": {
        "conn_type": "smtp", "host": "127.0.0.1", "port": implicit.port, "login": "other", "password": "word",
        "extra": r#"{"from_email": "other@example.org"}"#,
    }, "chat": {"conn_type": "slackwebhook", "host": web.url(""), "password": "/chat"}});
    let import = async |connections: serde_json::Value| {
        let file = standalone.dags_folder().with_file_name("connections.json");
        std::fs::write(&file, connections.to_string()).unwrap();
        let file = file.display().to_string();
        let imported = standalone.cli(&["connections", "import", "--overwrite", &file]).await;
        assert_eq!(imported.code, Some(0), "{imported:#?}");
    };
    import(plain("wrong")).await;
    import(named).await;
    let outcome = standalone.cli(&["dags", "trigger", "alarm", "--run-id", "r1", "--wait"]).await;
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    until("the named server has a letter", || implicit.letters().len() == 1).await;
    until("the other one refused the login", || starttls.refused() > 0).await;
    assert_eq!(implicit.letters()[0].from, "other@example.org");
    // The right one; the notice still waits for it.
    import(plain("secret")).await;
    until("the letter goes out", || starttls.letters().len() == 1).await;
    let letter = starttls.letters().remove(0);
    assert_eq!((letter.from.as_str(), &letter.to[..]), ("updraft@example.org", &["plain@example.org".to_owned()][..]));
    assert!(
        web.calls()
            .iter()
            .any(|call| call.path == "/chat" && call.json["text"] == "The command ended with exit code 3.")
    );

    let failed = async || -> Vec<serde_json::Value> {
        let listed = standalone.cli(&["notifications", "list", "alarm", "--state", "failed", "-o", "json"]).await;
        assert_eq!(listed.code, Some(0), "{listed:#?}");
        serde_json::from_str(&listed.stdout).unwrap()
    };
    let key = failed().await[0]["key"].as_str().unwrap().to_owned();
    let again = standalone.cli(&["notifications", "retry", &key]).await;
    assert_eq!(again.code, Some(0), "{again:#?}");
    until("the call comes again", || web.calls().iter().filter(|call| call.path == "/gone").count() == 2).await;
    while !failed().await.is_empty() {}
    let twice = standalone.cli(&["notifications", "retry", &key]).await;
    assert_eq!(twice.code, Some(1), "{twice:#?}");
    assert!(twice.stderr.contains("has not failed"), "{}", twice.stderr);
}

#[tokio::test]
async fn a_scheduler_killed_between_sending_and_saying_so_sends_again_with_the_same_key() {
    if !cfg!(feature = "failpoints") {
        eprintln!("skipped: built without the feature `failpoints` (`make test` has it)");
        return;
    }
    let (web, db, folder) = (HttpSink::start(&[]).await, TestDb::new().await, open_folder());
    let dag = format!(
        "schedule: \"@once\"\nstart_date: 2025-01-01\nis_paused_upon_creation: false\ntasks:\n  one:\n    empty:\n    \
         on_success:\n      - http: {}\n",
        web.url("/told")
    );
    write(&folder.path().join("dags"), "once.yaml", &dag);
    let scheduler = |failpoints: &str| {
        let mut command = updraft(folder.path());
        command.args(["scheduler", "--database-url", &db.url, "--dags-folder"]).arg(folder.path().join("dags"));
        // A claim holds for twice this long.
        command.env("UPDRAFT__NOTIFICATIONS__TIMEOUT", "1").env("UPDRAFT_FAILPOINTS", failpoints);
        Watched::spawn(&mut command)
    };
    let mut first = scheduler("outbox.sent=abort@1");
    assert_eq!(first.end().await, None, "it aborts: {}", first.said);
    assert_eq!(web.calls().len(), 1);
    let second = scheduler("");
    until("the call comes again", || web.calls().len() == 2).await;
    let calls = web.calls();
    assert!(calls[0].header("idempotency-key").is_some());
    assert_eq!(calls[0].header("idempotency-key"), calls[1].header("idempotency-key"));
    let store = db.store().await;
    let delivered = || async {
        sqlx::query_as::<_, (String, i32)>("select state, tries from outbox").fetch_one(store.pool()).await.unwrap()
    };
    tokio::time::timeout(PATIENCE, async {
        while delivered().await != ("delivered".to_owned(), 2) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the second try is noted");
    drop(second);
}

const TOLD: &str = r#"
import json, os

def told(context, where, **more):
    ti = context.get("ti")
    facts = [context["event"], ti.task_id, ti.try_number, ti.state, str(context.get("exception")), context["dag_run"].state,
             context["run_id"], more]
    print("telling", where)
    with open(where, "a") as file:
        file.write(json.dumps(facts) + "\n")

def broken(context):
    raise LookupError("nobody is on duty")
"#;

#[tokio::test]
async fn functions_of_the_dags_code_are_called_on_a_node_with_the_context() {
    let folder = open_folder();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (task, run) = (place("task.txt"), place("run.txt"));
    write(&folder.path().join("dags"), "told.py", TOLD);
    let dag = format!(
        "on_success_callback: {{callback: told.told, where: {run}, team: ops}}\ndefault_args:\n  retries: 0\ntasks:\n  good:\n    bash: \
         echo 42\n  bad:\n    bash: exit 3\n    on_failure_callback:\n      - {{callback: told.told, where: {task}}}\n      - \
         told.broken\n  after:\n    bash: echo on\n    depends_on: [good, bad]\n    trigger_rule: all_done\n"
    );
    write(&folder.path().join("dags"), "alarm.yaml", &dag);
    let mut standalone = Standalone::start(folder, Some(TestDb::new().await)).await;
    standalone.process.line_with("the DAG has a new version").await;
    let outcome = standalone.cli(&["dags", "trigger", "alarm", "--run-id", "r1", "--wait"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    let lines = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    until("both were told", || lines(&task).ends_with('\n') && lines(&run).ends_with('\n')).await;

    let read = |path: &str| serde_json::from_str::<serde_json::Value>(&lines(path)).unwrap();
    let reason = "The command ended with exit code 3.";
    assert_eq!(read(&task), serde_json::json!(["failure", "bad", 1, "failed", reason, "running", "r1", {}]));
    assert_eq!(
        read(&run),
        serde_json::json!(["success", "after", 1, "success", "None", "success", "r1", {"team": "ops"}])
    );

    let mut listed = Vec::new();
    for _ in 0..200 {
        let outcome = standalone.cli(&["notifications", "list", "alarm", "-o", "json"]).await;
        assert_eq!(outcome.code, Some(0), "{outcome:#?}");
        listed = serde_json::from_str::<Vec<serde_json::Value>>(&outcome.stdout).unwrap();
        if listed.iter().all(|notice| notice["state"] == "delivered" || notice["state"] == "failed") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let states: Vec<&str> = listed.iter().filter_map(|notice| notice["state"].as_str()).collect();
    assert_eq!(states.iter().filter(|state| **state == "delivered").count(), 2, "{listed:#?}");
    let failed = listed.iter().find(|notice| notice["state"] == "failed").expect("the one that raises");
    assert_eq!(failed["kind"], "python", "{failed:#?}");
    assert!(failed.to_string().contains("LookupError: nobody is on duty"), "{failed:#?}");
    // The callbacks' logs follow once the try's own is over, some seconds after its end.
    let mut log = standalone.cli(&["runs", "logs", "alarm", "r1", "bad"]).await;
    for _ in 0..100 {
        if log.stdout.contains("telling") && log.stdout.contains("LookupError") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        log = standalone.cli(&["runs", "logs", "alarm", "r1", "bad"]).await;
    }
    let place = |text: &str| log.stdout.find(text).unwrap_or_else(|| panic!("no `{text}` in {log:#?}"));
    assert!(place("Command exited with return code 3") < place("telling").min(place("LookupError: nobody is on duty")));
    let checked = standalone.cli(&["db", "check"]).await;
    assert_eq!(checked.code, Some(0), "{checked:#?}");
}
