//! Which crate may use which (DESIGN §2), and what `core` must not know.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

/// The direct dependencies of each crate of the workspace, without those for tests.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = |value: &serde_json::Value| value["name"].as_str().unwrap().to_owned();
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            let used = package["dependencies"].as_array().unwrap().iter().filter(|used| used["kind"].is_null());
            (name(package), used.map(name).collect())
        })
        .collect()
}

#[test]
fn crates_use_each_other_in_one_direction_only() {
    let allowed: &[(&str, &[&str])] = &[
        ("updraft-core", &[]),
        ("updraft-protocol", &[]),
        ("updraft-store", &["updraft-core"]),
        ("updraft-scheduler", &["updraft-core", "updraft-store"]),
        ("updraft-webserver", &["updraft-core", "updraft-protocol", "updraft-store"]),
        ("updraft-executor", &["updraft-core", "updraft-protocol"]),
    ];
    let dependencies = dependencies();
    for (name, allowed) in allowed {
        let ours = dependencies[*name].iter().filter(|used| used.starts_with("updraft"));
        for used in ours {
            assert!(allowed.contains(&used.as_str()), "{name} must not use {used}");
        }
    }
    assert_eq!(dependencies.len(), allowed.len() + 1, "a new crate needs its line here");
}

#[test]
fn core_does_no_io() {
    for banned in ["tokio", "sqlx", "axum", "reqwest", "tokio-util"] {
        assert!(!dependencies()["updraft-core"].contains(banned), "core must not use {banned}");
    }
}

#[test]
fn only_store_speaks_sql_and_executors_have_no_database() {
    for (name, used) in dependencies() {
        assert!(name == "updraft-store" || !used.contains("sqlx"), "{name} must leave SQL to updraft-store");
    }
}
