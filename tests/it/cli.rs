//! The command line as a user sees it: exit code, stdout, stderr.

use crate::support::{open_folder, process::run};

#[tokio::test]
async fn version_and_help_need_nothing() {
    let home = open_folder();
    let version = run(home.path(), &["version"]).await;
    assert_eq!((version.code, version.stdout), (Some(0), format!("updraft {}\n", env!("CARGO_PKG_VERSION"))));
    let help = run(home.path(), &["--help"]).await;
    insta::assert_snapshot!(help.stdout);
}

#[tokio::test]
async fn config_show_names_the_origin_of_each_value() {
    let home = open_folder();
    crate::support::write(home.path(), ".config/updraft/updraft.toml", "[webserver]\nport = 9000\n");
    let shown = run(home.path(), &["config", "show"]).await;
    let text = shown.stdout.replace(&home.path().display().to_string(), "HOME");
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn a_broken_configuration_is_one_clear_error() {
    let home = open_folder();
    crate::support::write(home.path(), "u.toml", "[webserver]\nport = 9000\nprot = 1\n");
    let file = home.path().join("u.toml").display().to_string();
    let outcome = run(home.path(), &["config", "show", "--config", &file]).await;
    assert_eq!(outcome.code, Some(1));
    assert_eq!(
        outcome.stderr,
        format!(
            "error: the configuration is not usable: {file}: there is no key `webserver.prot`; did you mean `webserver.port`?\n"
        )
    );
}

#[tokio::test]
async fn the_configuration_page_is_current() {
    let home = open_folder();
    let reference = run(home.path(), &["config", "reference"]).await.stdout;
    let page = include_str!("../../docs/configuration.md");
    assert_eq!(page, reference, "renew it: target/debug/updraft config reference > docs/configuration.md");
}

#[tokio::test]
async fn commands_that_need_a_database_say_where_to_get_one() {
    let home = open_folder();
    let outcome = run(home.path(), &["db", "check"]).await;
    assert_eq!(outcome.code, Some(1));
    insta::assert_snapshot!(outcome.stderr);
}
