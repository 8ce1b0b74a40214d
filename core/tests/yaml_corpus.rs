//! The DAG loader against the shared conformance corpus (`../shared/corpus` beside a checkout). Skipped, with a message, where
//! the corpus is not at hand.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use serde_json::Value;
use updraft_core::{
    diagnostic::Severity,
    operator::OperatorKind,
    yaml::{Files, Loaded, Settings, describe, load},
};

#[path = "yaml_corpus/normalise.rs"]
mod normalise;

struct Folder(PathBuf);

impl Files for Folder {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        std::fs::read(self.0.join(path)).ok()
    }
}

/// `None` where it is not at hand, and the test says that it is skipped.
fn corpus() -> Option<PathBuf> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let found = Some(place).filter(|place| place.join("invalid/manifest.yaml").is_file());
    if found.is_none() {
        eprintln!("skipped: there is no ../shared/corpus beside this checkout");
    }
    found
}

fn settings(root: &Path, env: BTreeMap<String, String>) -> Settings {
    let now: DateTime<Utc> = "2026-01-15T12:00:00Z".parse().expect("a date");
    let mut settings = Settings::new(now);
    settings.root = Some(root.to_string_lossy().into_owned());
    settings.env = env;
    settings.env.insert("CONFIG_ROOT_DIR".to_owned(), root.to_string_lossy().into_owned());
    settings
}

fn read(root: &Path, file: &str, env: BTreeMap<String, String>) -> Loaded {
    let bytes = std::fs::read(root.join(file)).expect("the corpus has the file");
    load(file, &bytes, &Folder(root.to_owned()), &settings(root, env))
}

/// The manifest is YAML of a very regular form; reading it with the loader under test would prove nothing.
struct Broken {
    file: String,
    severity: String,
    errors: BTreeSet<(String, u32)>,
    any_line: bool,
    loads: Vec<String>,
}

fn manifest(text: &str) -> Vec<Broken> {
    let mut result: Vec<Broken> = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        if let Some(file) = line.strip_prefix("- file: ") {
            result.push(Broken {
                file: file.to_owned(),
                severity: String::new(),
                errors: BTreeSet::new(),
                any_line: false,
                loads: Vec::new(),
            });
            continue;
        }
        let Some(entry) = result.last_mut() else { continue };
        if let Some(severity) = line.strip_prefix("severity: ") {
            severity.clone_into(&mut entry.severity);
        } else if let Some(error) = line.strip_prefix("- {kind: ") {
            let (kind, number) = error.trim_end_matches('}').split_once(", line: ").expect("kind and line");
            entry.errors.insert((kind.to_owned(), number.parse().expect("a line")));
        } else if line == "any_line: true" {
            entry.any_line = true;
        } else if let Some(loads) = line.strip_prefix("loads: [") {
            entry.loads = loads.trim_end_matches(']').split(", ").map(str::to_owned).collect();
        }
    }
    result
}

#[test]
fn answers_every_broken_file_as_the_manifest_says() {
    let Some(corpus) = corpus() else { return };
    let root = corpus.join("invalid");
    let manifest = manifest(&std::fs::read_to_string(root.join("manifest.yaml")).expect("the manifest"));
    assert!(manifest.len() > 100, "the manifest was read");
    let mut wrong = Vec::new();
    for entry in manifest {
        let loaded = read(&root, &entry.file, BTreeMap::new());
        let line = |line: u32| if entry.any_line { 0 } else { line };
        let found: BTreeSet<(String, u32)> =
            loaded.diagnostics.iter().map(|found| (found.kind.clone(), line(found.line))).collect();
        let expected: BTreeSet<(String, u32)> =
            entry.errors.iter().map(|(kind, at)| (kind.clone(), line(*at))).collect();
        if found != expected {
            wrong.push(format!("{}: expected {expected:?}, found {:#?}", entry.file, loaded.diagnostics));
        }
        // The manifest's severity is the gravest of the file's findings; an error is never toned down, nor a warning raised.
        let gravest =
            if loaded.diagnostics.iter().any(|found| found.severity == Severity::Error) { "error" } else { "warning" };
        let is_unsupported = entry.errors.iter().all(|(kind, _)| kind == "unsupported_operator");
        if gravest != entry.severity && !is_unsupported {
            wrong.push(format!("{}: is an {gravest}, expected {}", entry.file, entry.severity));
        }
        let dags: Vec<&str> = loaded.dags.iter().map(|dag| dag.dag.dag_id.as_str()).collect();
        // An operator that nobody here can run loads, and is an error only under `--strict` and when it is started.
        if is_unsupported {
            let unsupported = |loaded: &Loaded| {
                loaded
                    .dags
                    .iter()
                    .any(|dag| dag.dag.tasks.iter().any(|task| task.operator == OperatorKind::Unsupported))
            };
            if !unsupported(&loaded) {
                wrong.push(format!("{}: has no task that cannot run: {:#?}", entry.file, loaded.diagnostics));
            }
            continue;
        }
        if entry.severity == "error" && dags != entry.loads {
            wrong.push(format!("{}: loads {dags:?}, expected {:?}", entry.file, entry.loads));
        }
        if entry.severity == "warning" {
            let empty = matches!(entry.file.as_str(), "empty.yaml" | "only_comments.yaml");
            if dags.is_empty() != empty {
                wrong.push(format!("{}: loads {dags:?}", entry.file));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// Set in the processes that [`reads_every_broken_file_within_a_tenth_of_a_second_and_fifty_megabytes`] starts: the file to read.
const ALONE: &str = "UPDRAFT_TEST_READ_ALONE";

/// Each file has a process of its own, whose peak of memory the kernel knows.
#[test]
#[expect(clippy::disallowed_methods, reason = "how a test tells itself in another process what to do")]
fn reads_every_broken_file_within_a_tenth_of_a_second_and_fifty_megabytes() {
    let Some(corpus) = corpus() else { return };
    let root = corpus.join("invalid");
    if let Ok(file) = std::env::var(ALONE) {
        return read_alone(&root, &file);
    }
    let mut wrong = Vec::new();
    let manifest = manifest(&std::fs::read_to_string(root.join("manifest.yaml")).expect("the manifest"));
    assert!(manifest.len() > 100, "the manifest was read");
    for Broken { file, .. } in manifest {
        let output = std::process::Command::new(std::env::current_exe().expect("this test's program"))
            .args(["--exact", "reads_every_broken_file_within_a_tenth_of_a_second_and_fifty_megabytes", "--nocapture"])
            .env(ALONE, &file)
            .output()
            .expect("the program starts");
        let text = String::from_utf8_lossy(&output.stdout);
        let measured: Vec<u64> = text
            .lines()
            .find_map(|line| line.split_once("measured: "))
            .map(|(_, numbers)| numbers.split(' ').map(|number| number.parse().expect("a number")).collect())
            .unwrap_or_default();
        match measured[..] {
            [micros, kilobytes] if micros < 100_000 && kilobytes < 50 * 1024 => {}
            [micros, kilobytes] => wrong.push(format!("{file}: {} ms, {kilobytes} kB", micros / 1000)),
            _ => wrong.push(format!("{file}: {}\n{text}", output.status)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Prints the microseconds of the best of three reads, which leaves out what else the machine does, and the peak of memory.
#[expect(clippy::print_stdout, reason = "how it answers the process that started it")]
fn read_alone(root: &Path, file: &str) {
    let best = (0..3).map(|_| {
        let started = std::time::Instant::now();
        let loaded = read(root, file, BTreeMap::new());
        assert!(!loaded.diagnostics.is_empty());
        started.elapsed().as_micros()
    });
    let best = best.min().expect("three reads");
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    println!("measured: {best} {}", peak.trim().trim_end_matches(" kB"));
}

#[test]
fn means_what_airflow_means() {
    let Some(corpus) = corpus() else { return };
    let root = corpus.join("valid");
    let text = std::fs::read_to_string(root.join("expected.json")).expect("expected.json");
    let expected: Value = serde_json::from_str(&text).expect("expected.json is JSON");
    let env: BTreeMap<String, String> =
        serde_json::from_value(expected["environment"].clone()).expect("the environment");
    let mut wrong = Vec::new();
    let mut count = 0;
    for (file, entry) in expected["files"].as_object().expect("files") {
        let loaded = read(&root, file, env.clone());
        for found in loaded.diagnostics.iter().filter(|found| found.severity == Severity::Error) {
            wrong.push(format!("{file}: {found:?}"));
        }
        let dags = entry["dags"].as_object().expect("dags");
        let ids: BTreeSet<&str> = loaded.dags.iter().map(|dag| dag.dag.dag_id.as_str()).collect();
        if ids != dags.keys().map(String::as_str).collect() {
            wrong.push(format!("{file}: has the DAGs {ids:?}"));
        }
        for dag in &loaded.dags {
            let id = dag.dag.dag_id.as_str();
            count += 1;
            let differences = normalise::differences(&dags[id], &describe(&dag.dag), file.starts_with("native/"));
            if !differences.is_empty() {
                wrong.push(format!("{file}: {id}:\n    {}", differences.join("\n    ")));
            }
        }
    }
    assert!(count > 40, "the corpus was read");
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn reads_every_file_of_the_corpus_without_panic_when_it_is_cut_short() {
    let Some(corpus) = corpus() else { return };
    for folder in ["invalid", "valid/native", "valid/dagfactory", "valid/legacy"] {
        let root = corpus.join(folder);
        for entry in std::fs::read_dir(&root).expect("a folder").flatten() {
            let Ok(bytes) = std::fs::read(entry.path()) else { continue };
            let name = entry.file_name().to_string_lossy().into_owned();
            for cut in (0..bytes.len().min(1500)).step_by(13) {
                load(&name, &bytes[..cut], &(), &settings(&root, BTreeMap::new()));
            }
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    /// A file with random damage is answered: no panic, and what loads is a graph that can be shown and hashed.
    #[test]
    fn answers_damaged_files(
        pick in proptest::prelude::any::<proptest::sample::Index>(),
        damage in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), 0usize..DAMAGE.len(), 0usize..8), 1..6),
    ) {
        let Some(corpus) = corpus() else { return Ok(()) };
        let mut files: Vec<PathBuf> = ["invalid", "valid/native", "valid/dagfactory", "valid/legacy"]
            .iter()
            .flat_map(|folder| std::fs::read_dir(corpus.join(folder)).expect("a folder").flatten().map(|entry| entry.path()))
            .filter(|path| path.metadata().is_ok_and(|file| file.is_file() && file.len() < 6000))
            .collect();
        files.sort();
        let mut bytes = std::fs::read(pick.get(&files)).expect("a file");
        for (at, piece, removed) in damage {
            let at = at.index(bytes.len() + 1);
            let end = (at + removed).min(bytes.len());
            bytes.splice(at..end, DAMAGE[piece].bytes());
        }
        let loaded = load("a/b.yaml", &bytes, &(), &settings(&corpus, BTreeMap::new()));
        for dag in &loaded.dags {
            describe(&dag.dag);
            proptest::prop_assert_eq!(dag.dag.hash(), dag.dag.clone().hash());
            proptest::prop_assert!(dag.dag.check_acyclic().is_ok());
        }
    }
}

const DAMAGE: &[&str] = &[
    "",
    "",
    ":",
    ": ",
    "\n",
    "\n  ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    "&a ",
    "*a",
    "<<: *a\n",
    "!t ",
    "|\n",
    ">",
    "'",
    "\"",
    "%",
    "@",
    "`",
    "\t",
    "#",
    "?",
    "~",
    ".",
    "é",
    "\u{0}",
    "$HOME",
    "{{",
    "}}",
    "{%",
    ">>",
    "0x",
    "-1",
    "tasks:",
    "__type__: datetime.timedelta",
    "task_groups:",
    "depends_on: ",
    "default: ",
    "foreach: ",
    "schedule: ",
    "99999999999999999999",
];
