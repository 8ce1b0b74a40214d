//! Users and API tokens from the command line, against a running standalone.

use std::{fs, fs::File, time::Duration};

use crate::support::{
    process::{Outcome, finish, updraft},
    standalone::Standalone,
};

/// Runs a command of the binary with something on its standard input.
async fn cli_with_input(standalone: &Standalone, input: &str, arguments: &[&str]) -> Outcome {
    let file = standalone.data_dir().join("input");
    fs::write(&file, input).unwrap();
    let mut command = updraft(&standalone.data_dir());
    command.env("UPDRAFT__CORE__DATA_DIR", standalone.data_dir());
    command.env("UPDRAFT__DATABASE__URL", standalone.database_url());
    finish(command.args(arguments).stdin(File::open(file).unwrap())).await
}

fn succeeded(outcome: Outcome) -> String {
    assert_eq!(outcome.code, Some(0), "{}{}", outcome.stdout, outcome.stderr);
    outcome.stdout
}

#[tokio::test]
async fn a_program_acts_by_a_token_until_its_user_is_deleted() {
    let server = Standalone::shared().await;
    let made = ["users", "create", "ci", "--role", "user", "--password-stdin"];
    succeeded(cli_with_input(&server, "correct horse\n", &made).await);
    let again = cli_with_input(&server, "correct horse\n", &made).await;
    assert!(again.stderr.contains("there is a user `ci` already"), "{}", again.stderr);
    let listed = succeeded(server.cli(&["users", "list", "--output", "json"]).await);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((&listed[0]["username"], &listed[1]["role"]), (&"admin".into(), &"user".into()), "{listed}");

    let login = ["--username", "ci", "--password", "correct horse"];
    let token = succeeded(server.cli(&[&["tokens", "create", "deploys"][..], &login].concat()).await);
    let token = ["--token", token.trim()];
    let arguments = ["runs", "list", "--token", token[1]];
    let runs = || server.cli(&arguments);
    succeeded(runs().await);
    let own = succeeded(server.cli(&[&["tokens", "list"][..], &token].concat()).await);
    assert!(own.contains("deploys"), "{own}");

    succeeded(server.cli(&["users", "delete", "ci"]).await);
    let refused = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let outcome = runs().await;
            if outcome.code != Some(0) {
                break outcome.stderr;
            }
        }
    });
    let refused = refused.await.expect("the token ends with its user");
    assert!(refused.contains("does not accept this token"), "{refused}");
}

#[tokio::test]
async fn the_command_line_follows_the_admins_new_password() {
    let server = Standalone::shared().await;
    let before = server.password();
    let short = cli_with_input(&server, "short", &["users", "passwd", "admin", "--password-stdin"]).await;
    assert!(short.stderr.contains("a password has 8 to 1000 characters"), "{}", short.stderr);
    succeeded(cli_with_input(&server, "battery staple\n", &["users", "passwd", "admin", "--password-stdin"]).await);
    assert_eq!(server.password(), "battery staple");
    succeeded(server.cli(&["dags", "list"]).await);
    let old = server.cli(&["dags", "list", "--password", &before]).await;
    assert!(old.stderr.contains("does not know user `admin` with this password"), "{}", old.stderr);
    let last = server.cli(&["users", "role", "admin", "viewer"]).await;
    assert!(last.stderr.contains("`admin` is the only admin"), "{}", last.stderr);
}
