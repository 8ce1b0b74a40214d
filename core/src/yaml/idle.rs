//! What loads and has no effect, as docs/dag-files.md lists it.

use std::{fmt::Write, path::Path};

use indexmap::IndexMap;

use super::{
    base::{BASE_ARGS, Place},
    dag, groups, operators,
};
use crate::operator::OperatorKind;

fn listed(names: impl Iterator<Item = &'static str>) -> String {
    let mut names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    names.sort_unstable();
    names.join(", ")
}

/// The table of the page, made from the loader's own.
fn table() -> String {
    let mut rows = vec![
        ("a DAG".to_owned(), listed(dag::WITHOUT_EFFECT.iter().copied())),
        ("a group".to_owned(), listed(groups::WITHOUT_EFFECT.iter().copied())),
        (
            "every task".to_owned(),
            listed(BASE_ARGS.iter().filter(|base| base.place == Place::Idle).map(|base| base.name)),
        ),
    ];
    let mut by_list: IndexMap<String, Vec<&str>> = IndexMap::new();
    for operator in operators::all().filter(|operator| operator.kind != OperatorKind::Unsupported) {
        let class = operator.class.rsplit('.').next().unwrap_or(operator.class);
        // Of TaskFlow the functions are named, not the classes.
        if !class.contains("Decorated") {
            let list = listed(operator.args().filter(|arg| arg.idle).map(|arg| arg.name));
            by_list.entry(list).or_default().push(class);
        }
    }
    for (list, classes) in by_list {
        if !list.is_empty() {
            rows.push((listed(classes.into_iter()), list));
        }
    }
    rows.push(("`EventsTimetable`".to_owned(), listed(["restrict_to_events"].into_iter())));
    let mut text = String::from("| of | without effect |\n| --- | --- |\n");
    for (of, names) in rows {
        writeln!(text, "| {of} | {names} |").expect("a text takes all");
    }
    text
}

#[test]
fn the_documentation_lists_all_that_has_no_effect() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/dag-files.md");
    let page = std::fs::read_to_string(page).unwrap();
    let table = table();
    assert!(page.contains(&table), "docs/dag-files.md needs this table:\n{table}");
}
