//! Which operator a task has, and its arguments brought into one mapping: class paths, short names, short forms.

use std::sync::Arc;

use super::{
    Context,
    base::is_base,
    callbacks::callback_of,
    findings::related,
    groups::Declared,
    keys,
    node::{Content, Entry, Mapping, Mark, Node, Style},
    object::object,
    operators::{self, Found, Operator},
    suggest::nearest,
};

/// The operator of a task, and how it was named.
pub(super) struct Chosen {
    pub(super) operator: Option<&'static Operator>,
    pub(super) class: String,
    pub(super) mark: Mark,
    /// One key of the task named it and holds its arguments.
    pub(super) short: bool,
    /// TaskFlow: the other keys are arguments of the function.
    pub(super) decorated: bool,
}

impl Context<'_> {
    /// Finds the operator; an error says why there is none.
    pub(super) fn choose(&self, declared: &Declared, entries: &Mapping) -> Option<Chosen> {
        if let Some(entry) = entries.get("operator") {
            let name = self.text("operator", &entry.value)?;
            return self.named_operator(&name, entry.value.mark);
        }
        if let Some(entry) = entries.get("decorator") {
            let name = self.text("decorator", &entry.value)?;
            let Some(operator) = operators::decorated(&name) else {
                if let Some(near) = super::suggest::nearest_within(&name, 3, operators::decorators()) {
                    let message = format!("there is no decorator `{name}`");
                    let help = format!("did you mean `{near}`?");
                    self.findings.error_help("unknown_operator", entry.value.mark, message, Some(help));
                    return None;
                }
                return Some(Chosen {
                    operator: None,
                    class: name,
                    mark: entry.value.mark,
                    short: false,
                    decorated: true,
                });
            };
            return Some(Chosen {
                operator: Some(operator),
                class: operator.class.to_owned(),
                mark: entry.value.mark,
                short: false,
                decorated: true,
            });
        }
        let mut short: Vec<(&Arc<str>, &Entry)> =
            entries.iter().filter(|(key, _)| operators::by_alias(key).is_some()).collect();
        if short.len() > 1 {
            // Beside another short form, `email` is the argument that every task has.
            short.retain(|(key, _)| &***key != "email");
        }
        if short.len() > 1 {
            let (first, second) = (short[0].0, short[1].0);
            self.findings.error_related(
                "conflicting_operator",
                short[1].1.key,
                format!("a task has one operator, and this one names `{first}` and `{second}`"),
                Some("make two tasks of it".to_owned()),
                vec![related(short[0].1.key, "the first")],
            );
            return None;
        }
        if let Some((alias, entry)) = short.first() {
            let operator = operators::by_alias(alias)?;
            return Some(Chosen {
                operator: Some(operator),
                class: operator.class.to_owned(),
                mark: entry.key,
                short: true,
                decorated: false,
            });
        }
        let known = |key: &str| is_base(key) || keys::has(keys::TASK, key) || callback_of(key).is_some();
        let misspelt = entries.keys().filter(|key| !known(key)).find_map(|key| nearest(key, operators::aliases()));
        let help = if let Some(alias) = misspelt {
            format!("did you mean `{alias}:`?")
        } else if entries.contains_key("bash_command") {
            "write `bash: echo …`, or add `operator: bash`".to_owned()
        } else if entries.keys().any(|key| key.starts_with("python_callable")) {
            "add `operator: python`".to_owned()
        } else {
            "write `bash: echo …`, or `operator:` with a class path or short name".to_owned()
        };
        let message = format!("the task `{}` names no operator", declared.name);
        self.findings.error_help("missing_operator", declared.mark, message, Some(help));
        None
    }

    fn named_operator(&self, name: &str, mark: Mark) -> Option<Chosen> {
        match operators::find(name) {
            Found::Known(operator, old) => {
                if old {
                    self.findings.warning_help(
                        "deprecated_operator",
                        mark,
                        format!("`{name}` is a path of older versions"),
                        Some(format!("write `{}`", operator.aliases.first().copied().unwrap_or(operator.class))),
                    );
                }
                let class = operator.class.to_owned();
                Some(Chosen { operator: Some(operator), class, mark, short: false, decorated: false })
            }
            Found::Misspelt(near) => {
                let help = Some(format!("did you mean `{near}`?"));
                self.findings.error_help("unknown_operator", mark, format!("there is no operator `{name}`"), help);
                None
            }
            Found::NoSuchWord => {
                let known: Vec<&str> = operators::aliases().collect();
                let help = Some(format!("write a class path, or one of {}", known.join(", ")));
                self.findings.error_help("unknown_operator", mark, format!("there is no operator `{name}`"), help);
                None
            }
            Found::Foreign => {
                Some(Chosen { operator: None, class: name.to_owned(), mark, short: false, decorated: false })
            }
        }
    }

    /// The task's own keys, with those inside the short form and `partial` beside the others.
    pub(super) fn flatten(&self, entries: &Mapping, chosen: &Chosen) -> Mapping {
        let mut own = entries.clone();
        if chosen.short
            && let Some((alias, entry)) = entries.iter().find(|(_, entry)| entry.key == chosen.mark)
            && let Some(operator) = chosen.operator
        {
            own.shift_remove(alias);
            match &entry.value.content {
                Content::Mapping(inner) if object(&entry.value).is_none() => {
                    self.insert_all(&mut own, inner, &format!("`{alias}` and beside it"));
                }
                _ if entry.value.is_null() => {}
                _ => match operator.main {
                    Some(main) => self.insert_main(&mut own, main, alias, entry),
                    None if *alias == "wait_for_task".into() => self.insert_external_task(&mut own, entry),
                    None => {
                        self.wrong_type_help(alias, &entry.value, "empty", Some(format!("`{alias}:` takes no value")));
                    }
                },
            }
        }
        if let Some(partial) = own.get("partial").cloned()
            && let Some(inner) = self.mapping("partial", &partial.value)
        {
            self.insert_all(&mut own, inner, "the task and `partial`");
        }
        own
    }

    fn insert_all(&self, own: &mut Mapping, inner: &Mapping, places: &str) {
        for (key, entry) in inner {
            if let Some(first) = own.get(key) {
                self.findings.error_related(
                    "duplicate_argument",
                    entry.key,
                    format!("`{key}` stands in {places}"),
                    Some("remove one of the two".to_owned()),
                    vec![related(first.key, "the other")],
                );
            } else {
                own.insert(key.clone(), entry.clone());
            }
        }
    }

    fn insert_main(&self, own: &mut Mapping, main: &str, alias: &str, entry: &Entry) {
        if let Some(other) = own.get(main) {
            self.findings.error_related(
                "duplicate_argument",
                other.key,
                format!("`{alias}: …` is `{main}`, which stands here again"),
                Some("remove one of the two".to_owned()),
                vec![related(entry.key, "the short form")],
            );
        } else {
            own.insert(main.into(), entry.clone());
        }
    }

    /// `wait_for_task: dag:task`; without a task id it waits for the whole run.
    fn insert_external_task(&self, own: &mut Mapping, entry: &Entry) {
        let Some(text) = self.text("wait_for_task", &entry.value) else { return };
        let (dag, task) = text.split_once(':').map_or((text.as_str(), None), |(dag, task)| (dag, Some(task)));
        let put = |text: &str| Entry { key: entry.key, value: Node::scalar(entry.value.mark, text, Style::Quoted) };
        own.insert("external_dag_id".into(), put(dag));
        if let Some(task) = task {
            own.insert("external_task_id".into(), put(task));
        }
    }
}
