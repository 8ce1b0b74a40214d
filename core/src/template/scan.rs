//! Literal references in template texts: what the hand-out can bring along without rendering anything.

use minijinja::{
    machinery::{Token, tokenize},
    syntax::SyntaxConfig,
};

use super::{Part, Ref, engine::is_template};

/// Adds the XComs, variables and connections that `text` names literally. A reference in a branch not taken is found too;
/// one made from an expression is not, and is asked for while rendering.
pub(super) fn scan(text: &str, own_task_id: Option<&str>, found: &mut Vec<Ref>) {
    if !is_template(text) {
        return;
    }
    // A text that does not tokenise to its end fails when it is rendered.
    let tokens: Vec<Token<'_>> =
        tokenize(text, false, SyntaxConfig::default()).map_while(Result::ok).map(|(token, _)| token).collect();
    for at in 0..tokens.len() {
        if at > 0 && matches!(tokens[at - 1], Token::Dot) {
            continue;
        }
        match &tokens[at..] {
            [
                Token::Ident("ti" | "task_instance"),
                Token::Dot,
                Token::Ident("xcom_pull"),
                Token::ParenOpen,
                rest @ ..,
            ] => {
                xcom_pull(rest, own_task_id, found);
            }
            [Token::Ident("var"), Token::Dot, Token::Ident("value" | "json"), Token::Dot, rest @ ..] => {
                if let Some(key) = attribute_or_get(rest) {
                    add(found, Ref::Variable { key });
                }
            }
            [Token::Ident("conn"), Token::Dot, rest @ ..] => {
                if let Some(conn_id) = attribute_or_get(rest) {
                    add(found, Ref::Connection { conn_id });
                }
            }
            _ => {}
        }
    }
}

fn add(found: &mut Vec<Ref>, reference: Ref) {
    if !found.contains(&reference) {
        found.push(reference);
    }
}

fn string(token: &Token<'_>) -> Option<String> {
    match token {
        Token::Str(text) => Some((*text).to_owned()),
        Token::String(text) => Some(text.to_string()),
        _ => None,
    }
}

/// `name` of `.name`, or `'name'` of `.get('name'…`.
fn attribute_or_get(rest: &[Token<'_>]) -> Option<String> {
    match rest {
        [Token::Ident("get"), Token::ParenOpen, name, ..] => string(name),
        [Token::Ident(name), ..] => Some((*name).to_owned()),
        _ => None,
    }
}

/// The arguments of `xcom_pull(`, when those that choose the XCom are literals.
fn xcom_pull(rest: &[Token<'_>], own_task_id: Option<&str>, found: &mut Vec<Ref>) {
    let (mut task_ids, mut key, mut map_index) = (Vec::new(), "return_value".to_owned(), None);
    let (mut tokens, mut position) = (rest, 0);
    loop {
        let (name, value) = match tokens {
            [] => return,
            [Token::ParenClose, ..] => break,
            [Token::Comma, after @ ..] => {
                tokens = after;
                position += 1;
                continue;
            }
            [Token::Ident(name), Token::Assign, value @ ..] => (*name, value),
            value => (["task_ids", "dag_id", "key"].get(position).copied().unwrap_or("other"), value),
        };
        let end = argument_end(value);
        let (argument, after) = value.split_at(end);
        match (name, argument) {
            ("task_ids", [one]) => match string(one) {
                Some(task_id) => task_ids.push(task_id),
                // `none`: the task's own.
                None if matches!(one, Token::Ident("none" | "None")) => {}
                None => return,
            },
            (
                "task_ids",
                [Token::BracketOpen | Token::ParenOpen, list @ .., Token::BracketClose | Token::ParenClose],
            ) => {
                for item in list.iter().filter(|token| !matches!(token, Token::Comma)) {
                    match string(item) {
                        Some(task_id) => task_ids.push(task_id),
                        None => return,
                    }
                }
            }
            ("key", [one]) => match string(one) {
                Some(text) => key = text,
                None => return,
            },
            ("map_indexes", [Token::Int(index)]) => match i32::try_from(*index) {
                Ok(index) => map_index = Some(index),
                Err(_) => return,
            },
            ("default", _) | ("dag_id", [Token::Ident("none" | "None")]) => {}
            _ => return,
        }
        tokens = after;
    }
    if task_ids.is_empty() {
        task_ids.extend(own_task_id.map(str::to_owned));
    }
    for task_id in task_ids {
        let part = map_index.is_none().then_some(Part::All);
        add(found, Ref::XCom { task_id, key: key.clone(), map_index, part });
    }
}

/// How many tokens the argument at the front has.
fn argument_end(tokens: &[Token<'_>]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => depth += 1,
            Token::ParenClose | Token::Comma if depth == 0 => return at,
            Token::ParenClose | Token::BracketClose | Token::BraceClose => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    tokens.len()
}
