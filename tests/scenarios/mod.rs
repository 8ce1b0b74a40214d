//! Scenario files: a DAG, how each try of its tasks ends, and how its runs must end then. The same files go through the simulator
//! (`core/tests/simulator/scenario.rs`: any order of events, no database) and through Postgres with two schedulers that are killed at
//! their failpoints (`tests/it/scenarios.rs`).
//!
//! ```yaml
//! # What it shows, in a sentence.
//! dag: |                 # a DAG file; `play` stands for a program that ends as said below
//!   tasks:
//!     list: {bash: play, output: json}
//!     each: {bash: play, foreach: list, retries: 1, retry_delay: 0}
//! runs: 2                # of the DAG, a day apart; 1 when not given
//! ends:                  # success when not given; a list: try by try, the last one repeats
//!   list: {result: [1, 2]}
//!   each[1]: [failed, success]
//! run: success
//! tasks: list=success each[0]=success each[1]=success/2
//! then:                  # what users do after that, one after the other
//!   - clear: {tasks: [list], downstream: true}
//!     run: success
//!     tasks: list=success/2 each[0]=success/2 each[1]=success/3
//! ```

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;
use serde_json::Value;

/// How a try ends.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum End {
    Success,
    Failed,
    Skipped,
    /// Success, with this result.
    Result(Value),
    /// A branch chose these; the DAG's own template must say the same.
    Follow(Vec<String>),
    /// A short circuit stopped here; likewise.
    Stop,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Ends {
    Each(Vec<End>),
    All(End),
}

/// What a user does.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Act {
    Clear(Selection),
    MarkSuccess(Selection),
    MarkFailed(Selection),
}

/// Which instances of every run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Selection {
    pub(crate) tasks: Vec<String>,
    #[serde(default)]
    pub(crate) upstream: bool,
    #[serde(default)]
    pub(crate) downstream: bool,
}

/// How every run must look.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Expected {
    pub(crate) run: String,
    pub(crate) tasks: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Step {
    #[serde(flatten)]
    pub(crate) act: Act,
    #[serde(flatten)]
    pub(crate) expected: Expected,
}

#[derive(Clone, Debug, Deserialize)]
struct File {
    dag: String,
    #[serde(default = "one")]
    runs: usize,
    #[serde(default)]
    ends: BTreeMap<String, Ends>,
    #[serde(flatten)]
    expected: Expected,
    #[serde(default)]
    then: Vec<Step>,
}

fn one() -> usize {
    1
}

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    /// The file's name without its extension: also the DAG's id.
    pub(crate) name: String,
    pub(crate) dag: String,
    pub(crate) runs: usize,
    /// By `task` or `task[index]`; [`Self::end`] reads it.
    pub(crate) ends: BTreeMap<String, Ends>,
    pub(crate) expected: Expected,
    pub(crate) then: Vec<Step>,
}

impl Scenario {
    /// How that try of an instance ends (`map_index` −1: not mapped).
    pub(crate) fn end(&self, task: &str, map_index: i32, try_number: i32) -> End {
        let of_instance = self.ends.get(&format!("{task}[{map_index}]"));
        match of_instance.or_else(|| self.ends.get(task)) {
            None => End::Success,
            Some(Ends::All(end)) => end.clone(),
            Some(Ends::Each(ends)) => {
                let at = usize::try_from(try_number - 1).unwrap_or_default();
                ends.get(at).or_else(|| ends.last()).cloned().unwrap_or(End::Success)
            }
        }
    }
}

/// One instance as it was found: task, map index, state, try number.
pub(crate) type Found = (String, i32, String, i32);

impl Expected {
    /// What is wrong with a run, if anything is. A number of tries counts only where one is written; `*` is any state.
    pub(crate) fn differs(&self, run: &str, mut found: Vec<Found>) -> Option<String> {
        found.sort_unstable();
        let mut expected: Vec<&str> = self.tasks.split_whitespace().collect();
        expected.sort_unstable();
        let told: Vec<String> = found
            .iter()
            .map(|(task, map_index, state, tries)| {
                let id = if *map_index < 0 { task.clone() } else { format!("{task}[{map_index}]") };
                let with_tries = expected.iter().any(|text| text.starts_with(&format!("{id}=")) && text.contains('/'));
                if expected.contains(&format!("{id}=*").as_str()) {
                    format!("{id}=*")
                } else if with_tries {
                    format!("{id}={state}/{tries}")
                } else {
                    format!("{id}={state}")
                }
            })
            .collect();
        let mut sorted = told.clone();
        sorted.sort_unstable();
        (run != self.run || sorted != expected)
            .then(|| format!("the run is {run} with {}\nexpected: {} with {}", told.join(" "), self.run, self.tasks))
    }
}

/// Every scenario of this folder.
pub(crate) fn all(folder: &Path) -> Vec<Scenario> {
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("the scenarios are there").map(|file| file.expect("a file").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let read = |path: std::path::PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a scenario can be read");
        let File { dag, runs, ends, expected, then } =
            serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let name = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
        Scenario { name, dag, runs, ends, expected, then }
    };
    files.into_iter().map(read).collect()
}
