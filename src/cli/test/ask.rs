//! Questions to the person at the terminal.

use std::{
    fmt::Write as _,
    io::{self, BufRead, IsTerminal},
};

use serde_json::{Map, Value};
use tokio::sync::mpsc;
use updraft_core::triggerer::hitl::{self, Question, User};

/// Whether somebody is there to answer.
pub(super) fn is_attended() -> bool {
    io::stdin().is_terminal()
}

/// Lines of the standard input, from now on: call it when there is something to answer, once.
pub(super) fn lines() -> mpsc::UnboundedReceiver<String> {
    let (sender, lines) = mpsc::unbounded_channel();
    // Reading cannot be interrupted: the thread ends with the process.
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// The question as it is shown.
pub(super) fn shown(name: &str, question: &Question) -> String {
    let mut text = format!("{name}: {}\n", question.subject);
    for line in question.body.iter().flat_map(|body| body.lines()) {
        let _ = writeln!(text, "  {line}");
    }
    for (field, param) in &question.params {
        let _ = writeln!(text, "  {field} = {} (write `{field}=value` to change it)", param["value"]);
    }
    let options = question.options.iter().enumerate();
    let options: Vec<String> = options.map(|(index, option)| format!("{}) {option}", index + 1)).collect();
    let defaults = question.defaults.as_ref().map(|defaults| format!(", nothing: {}", defaults.join(", ")));
    let many = if question.multiple { ", several with commas between them" } else { "" };
    let _ = write!(text, "  {}{many}{}", options.join("  "), defaults.unwrap_or_default());
    text
}

/// What a line says to a question.
#[derive(Debug, PartialEq)]
pub(super) enum Said {
    Field(String, Value),
    Chosen(Vec<String>),
    /// It does not fit: what is wrong.
    Wrong(String),
}

/// Reads a line: `field=value`, or options by their number or text.
pub(super) fn read(question: &Question, line: &str, by: &User) -> Said {
    let line = line.trim();
    if let Some((field, value)) = line.split_once('=')
        && question.params.contains_key(field.trim())
    {
        let value = value.trim();
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        return Said::Field(field.trim().to_owned(), value);
    }
    let chosen = match &question.defaults {
        Some(defaults) if line.is_empty() => defaults.clone(),
        _ => {
            line.split(',').map(str::trim).filter(|word| !word.is_empty()).map(|word| option(question, word)).collect()
        }
    };
    match hitl::check(question, &chosen, &Map::new(), &answerer(question, by)) {
        Ok(()) => Said::Chosen(chosen),
        Err(wrong) => Said::Wrong(wrong.to_string()),
    }
}

/// Who answers here stands for whoever may.
fn answerer(question: &Question, by: &User) -> User {
    question.assigned_users.first().unwrap_or(by).clone()
}

fn option(question: &Question, word: &str) -> String {
    let by_text = question.options.iter().find(|option| option.eq_ignore_ascii_case(word));
    let by_number = || word.parse::<usize>().ok().and_then(|number| question.options.get(number.checked_sub(1)?));
    by_text.or_else(by_number).cloned().unwrap_or_else(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn question() -> Question {
        Question {
            subject: "Ship?".into(),
            body: Some("To production.".into()),
            options: vec!["Approve".into(), "Reject".into()],
            defaults: Some(vec!["Reject".into()]),
            multiple: false,
            params: json!({"where": {"value": "eu", "schema": {}}}).as_object().unwrap().clone(),
            assigned_users: vec![User { id: "7".into(), name: "boss".into() }],
            deadline: None,
        }
    }

    #[test]
    fn a_line_chooses_by_number_or_text_and_nothing_is_the_default() {
        let me = User { id: "me".into(), name: "me".into() };
        let said = |line: &str| read(&question(), line, &me);
        let chosen = |option: &str| Said::Chosen(vec![option.to_owned()]);
        assert_eq!(said("1"), chosen("Approve"));
        assert_eq!(said(" approve "), chosen("Approve"));
        assert_eq!(said(""), chosen("Reject"));
        assert_eq!(said("where = us"), Said::Field("where".into(), json!("us")));
        assert!(matches!(said("3"), Said::Wrong(_)));
        assert!(matches!(said("1, 2"), Said::Wrong(_)), "one only");
    }

    #[test]
    fn a_question_is_shown_with_its_fields_and_options() {
        let text = "ask: Ship?\n  To production.\n  where = \"eu\" (write `where=value` to change it)\n  \
                    1) Approve  2) Reject, nothing: Reject";
        assert_eq!(shown("ask", &question()), text);
    }
}
