//! HTTPS on the webserver's port: for people, for commands and for nodes.

use std::fs;

use updraft_store::testing::TestDb;

use crate::support::{
    open_folder,
    process::{Watched, finish, updraft},
    standalone::Standalone,
};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls");

#[tokio::test]
async fn with_a_certificate_people_commands_and_nodes_speak_https() {
    let (certificate, key) = (format!("{FOLDER}/cert.pem"), format!("{FOLDER}/key.pem"));
    let env = [("UPDRAFT__WEBSERVER__SSL_CERT", certificate.as_str()), ("UPDRAFT__WEBSERVER__SSL_KEY", key.as_str())];
    let mut standalone = Standalone::start_with(open_folder(), Some(TestDb::new().await), &env).await;
    assert!(standalone.url.starts_with("https://127.0.0.1:"), "{}", standalone.url);

    // Standalone's own node and the commands beside it need to trust nobody.
    standalone.process.line_with("registered").await;
    let beside = standalone.cli(&["executors", "list"]).await;
    assert_eq!(beside.code, Some(0), "{beside:?}");

    let home = open_folder();
    let (url, password) = (standalone.url.clone(), standalone.password());
    let elsewhere = || {
        let mut command = updraft(home.path());
        command.env("UPDRAFT__CLIENT__SERVER", &url).env("UPDRAFT__CLIENT__PASSWORD", &password);
        command.args(["executors", "list"]);
        command
    };
    let stranger = finish(&mut elsewhere()).await;
    assert_ne!(stranger.code, Some(0), "{stranger:?}");
    assert!(stranger.stderr.contains("SSL_CERT_FILE"), "{stranger:?}");
    let authority = format!("{FOLDER}/ca.pem");
    let trusting = finish(elsewhere().env("SSL_CERT_FILE", &authority)).await;
    assert_eq!(trusting.code, Some(0), "{trusting:?}");

    let token = standalone.cli(&["executor", "token", "create", "elsewhere"]).await;
    assert_eq!(token.code, Some(0), "{token:?}");
    let file = home.path().join("token");
    fs::write(&file, token.stdout.trim()).unwrap();
    let mut node = updraft(home.path());
    node.env("SSL_CERT_FILE", &authority).args(["executor", "--name", "elsewhere", "--server", &url, "--token-file"]);
    let mut node = Watched::spawn(node.arg(&file));
    node.line_with("registered").await;
}

#[tokio::test]
async fn half_a_certificate_is_refused_with_what_is_missing() {
    let home = open_folder();
    let mut command = updraft(home.path());
    command.env("UPDRAFT__WEBSERVER__SSL_CERT", format!("{FOLDER}/cert.pem"));
    let outcome = finish(command.args(["standalone", "--port", "0"])).await;
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("webserver.ssl_key is not"), "{outcome:?}");
}
