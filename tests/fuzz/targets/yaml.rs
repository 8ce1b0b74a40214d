//! Any bytes as a DAG file: reading them ends, and what loads can be shown, explained, written and read again.

#![no_main]

use chrono::{DateTime, Utc};
use libfuzzer_sys::fuzz_target;
use updraft_core::yaml::{Settings, describe, explain, load, to_dag_factory};

fuzz_target!(|bytes: &[u8]| {
    let settings = Settings::new(DateTime::<Utc>::UNIX_EPOCH);
    let loaded = load("fuzz.yaml", bytes, &(), &settings);
    let again = load("fuzz.yaml", bytes, &(), &settings);
    let hashes = |loaded: &updraft_core::yaml::Loaded| -> Vec<_> { loaded.dags.iter().map(|found| found.dag.hash()).collect() };
    assert_eq!(hashes(&loaded), hashes(&again), "reading twice must give the same DAGs");
    for found in &loaded.dags {
        let _ = describe(&found.dag);
        let _ = to_dag_factory(&found.dag);
        let stored = serde_json::to_string(&found.dag).expect("a DAG is stored as JSON");
        let read: updraft_core::dag::Dag = serde_json::from_str(&stored).expect("what was stored is read again");
        assert_eq!(read.hash(), found.dag.hash(), "a stored DAG must be the DAG");
    }
    let _ = explain("fuzz.yaml", bytes, &(), &settings);
});
