//! Which crate may use which (DESIGN §2), and what `core` must not know.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
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
fn executors_have_no_database() {
    assert!(!dependencies()["updraft-executor"].contains("sqlx"));
}

/// The roles pass connections and transactions on; statements are the store's.
#[test]
fn only_store_holds_sql() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<PathBuf> =
        ["src", "core/src", "protocol/src", "scheduler/src", "executor/src", "webserver/src"]
            .map(|path| root.join(path))
            .into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap_or_default();
                for call in ["sqlx::query", "sqlx::raw_sql", "QueryBuilder"] {
                    assert!(!code.contains(call), "{} must leave `{call}` to updraft-store", path.display());
                }
            }
        }
    }
}
