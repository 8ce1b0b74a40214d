use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use super::schema;
use crate::yaml::{
    findings::Findings,
    node::{Content, Node, Style},
    parse, scalar,
};

static VALIDATOR: LazyLock<Validator> =
    LazyLock::new(|| jsonschema::validator_for(&schema()).expect("the schema is one"));

/// A document as an editor sees it: nothing interpreted but scalars.
fn plain(node: &Node) -> Value {
    match &node.content {
        Content::Scalar(scalar) if scalar.style == Style::Plain => scalar::resolve(&scalar.text),
        Content::Scalar(scalar) => json!(*scalar.text),
        Content::Sequence(items) => items.iter().map(plain).collect(),
        Content::Mapping(entries) => {
            entries.iter().map(|(key, entry)| (key.to_string(), plain(&entry.value))).collect::<Map<_, _>>().into()
        }
    }
}

fn documents(bytes: &[u8]) -> Vec<Value> {
    let findings = Findings::default();
    let file = findings.add_file("file.yaml");
    parse::parse(&findings, file, bytes).expect("YAML").iter().map(plain).collect()
}

fn mistakes(text: &str) -> Vec<String> {
    documents(text.as_bytes())
        .iter()
        .flat_map(|document| {
            VALIDATOR
                .iter_errors(document)
                .map(|error| format!("{} at {}", error, error.instance_path()))
                .collect::<Vec<_>>()
        })
        .collect()
}

fn files_below(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files_below(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            into.push(path);
        }
    }
}

#[test]
fn every_example_and_every_valid_file_of_the_corpus_fits() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    files_below(&manifest.join("../dags"), &mut files);
    assert!(files.len() > 4, "the examples were read");
    match Some(manifest.join("../../shared/corpus/valid")).filter(|place| place.is_dir()) {
        Some(corpus) => files_below(&corpus, &mut files),
        None => eprintln!("the corpus is not beside this checkout; only the examples were checked"),
    }
    let mut wrong = BTreeMap::new();
    for file in files {
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        // Pieces of DAGs, not DAG files.
        if name.starts_with("defaults.") || name == "common.yaml" {
            continue;
        }
        let text = std::fs::read_to_string(&file).expect("UTF-8");
        let found = mistakes(&text);
        if !found.is_empty() {
            wrong.insert(file, found);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_examples_of_the_documentation_fit() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/dag-files.md");
    let text = std::fs::read_to_string(docs).expect("docs/dag-files.md");
    for block in text.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("```").map(|(block, _)| block)) {
        assert_eq!(mistakes(block), [""; 0], "{block}");
    }
}

#[test]
fn mistakes_of_many_kinds_do_not_fit() {
    for text in [
        // Unknown keys: of a DAG, a group, a task's operator, inside of a short form, of a sensor.
        "tasks: {a: {bash: echo}}\nschedul: \"@daily\"\n",
        "tasks: {a: {bash: echo}}\ntask_groups: {g: {tooltop: x}}\n",
        "tasks: {a: {operator: bash, bash_comand: echo}}\n",
        "tasks: {a: {bash: {bash_command: echo, cdw: /}}}\n",
        "tasks: {a: {wait_for: 10m, filepath: /x}}\n",
        "d: {tasks: {a: {operator: airflow.operators.bash.BashOperator, image_name: x}}}\n",
        // Unknown words.
        "tasks: {a: {operator: bsh}}\n",
        "tasks: {a: {bash: echo, trigger_rule: all_good}}\n",
        "tasks: {a: {bash: echo, weight_rule: down}}\n",
        "tasks: {a: {bash: echo, output: xml}}\n",
        // Wrong types.
        "tasks: [a, b]\n",
        "tasks: {a: {bash: [[echo], x]}}\n",
        "tasks: {a: {bash: echo, retries: many}}\n",
        "tasks: {a: {bash: echo, retry_delay: soon}}\n",
        "tasks: {a: {bash: echo, env: [A, B]}}\n",
        "tags: nightly\ntasks: {a: {bash: echo}}\n",
        "catchup: perhaps\ntasks: {a: {bash: echo}}\n",
        "schedule: yes\ntasks: {a: {bash: echo}}\n",
        "schedule: {crn: \"0 1 * * *\"}\ntasks: {a: {bash: echo}}\n",
        "just text\n",
        // What a list item needs, a literal secret, two senders, a deadline without a reference.
        "tasks: [{bash: echo}]\n",
        "tasks: {a: {bash: echo, secrets: {PASSWORD: hunter2}}}\n",
        "on_failure: [{email: a@b.org, http: x}]\ntasks: {a: {bash: echo}}\n",
        "deadline: {interval: 1h, email: a@b.org}\ntasks: {a: {bash: echo}}\n",
        "tasks: {a: {bash: echo, matrix: {}}}\n",
    ] {
        assert!(!mistakes(text).is_empty(), "{text}");
    }
}

#[test]
fn knows_every_key_and_argument_of_the_tables() {
    let schema = schema();
    let definitions = schema["definitions"].as_object().expect("definitions");
    for operator in crate::yaml::operators::all() {
        let name = operator.class.rsplit('.').next().expect("a class");
        for arg in operator.args().filter(|arg| !arg.fixed) {
            assert!(definitions[name]["properties"].get(arg.name).is_some(), "{name}.{}", arg.name);
        }
    }
    for key in crate::yaml::keys::DAG {
        assert!(definitions["dag"]["properties"].get(key.name).is_some(), "{}", key.name);
    }
}
