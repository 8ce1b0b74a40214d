//! `flow: start >> [a, b] >> end`: chains of names, `<<` backwards.
//!
//! Grammar: `chain = side { (">>" | "<<") side }`, `side = name | "[" name { "," name } "]"`.

use super::{
    Context,
    node::{Mark, Node},
};

/// An edge that a chain says: upstream name, downstream name, where.
pub(super) type FlowEdge = (String, String, Mark);

impl Context<'_> {
    /// The edges of a `flow`: a chain, or a list of chains.
    pub(super) fn flow(&self, node: &Node) -> Vec<FlowEdge> {
        let mut edges = Vec::new();
        let chains = node.as_sequence().unwrap_or(std::slice::from_ref(node));
        for chain in chains {
            let Some(text) = self.text("flow", chain) else { continue };
            match parse(&text) {
                Ok(sides) => {
                    for (left, right) in sides {
                        for from in &left {
                            edges.extend(right.iter().map(|to| (from.clone(), to.clone(), chain.mark)));
                        }
                    }
                }
                Err(message) => self.findings.error_help(
                    "invalid_flow",
                    chain.mark,
                    format!("`{text}` is no chain of tasks: {message}"),
                    Some("write `start >> [a, b] >> end`; names are tasks or groups".to_owned()),
                ),
            }
        }
        edges
    }
}

type Side = Vec<String>;

/// Neighbouring sides of a chain as (upstream, downstream).
fn parse(text: &str) -> Result<Vec<(Side, Side)>, String> {
    let mut edges = Vec::new();
    let (mut left, mut rest) = side(text)?;
    while !rest.is_empty() {
        let backwards = rest.starts_with("<<");
        let Some(after) = rest.strip_prefix(">>").or_else(|| rest.strip_prefix("<<")) else {
            return Err(format!("`{rest}` begins with no arrow"));
        };
        let (right, more) = side(after)?;
        edges.push(if backwards { (right.clone(), left) } else { (left, right.clone()) });
        left = right;
        rest = more;
    }
    Ok(edges)
}

fn side(text: &str) -> Result<(Side, &str), String> {
    let text = text.trim_start();
    if let Some(inner) = text.strip_prefix('[') {
        let Some((names, rest)) = inner.split_once(']') else { return Err("a bracket is not closed".to_owned()) };
        let names: Side = names.split(',').map(|name| name.trim().trim_matches(['"', '\'']).to_owned()).collect();
        if names.iter().any(|name| !is_name(name)) {
            return Err("between the brackets must be names".to_owned());
        }
        return Ok((names, rest.trim_start()));
    }
    let end = text.find(|c: char| c.is_whitespace() || matches!(c, '>' | '<' | '[' | ']' | ',')).unwrap_or(text.len());
    if !is_name(&text[..end]) {
        return Err(if text.is_empty() {
            "a name is missing at its end".to_owned()
        } else {
            format!("a name is missing before `{text}`")
        });
    }
    Ok((vec![text[..end].to_owned()], text[end..].trim_start()))
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(text: &str) -> Result<Vec<String>, String> {
        parse(text).map(|sides| sides.iter().map(|(from, to)| format!("{}>{}", from.join("+"), to.join("+"))).collect())
    }

    #[test]
    fn reads_chains() {
        assert_eq!(edges("a >> [b, c] >> d"), Ok(vec!["a>b+c".to_owned(), "b+c>d".to_owned()]));
        assert_eq!(edges("e << d"), Ok(vec!["d>e".to_owned()]));
        assert_eq!(edges("a>>b.c"), Ok(vec!["a>b.c".to_owned()]));
        assert_eq!(edges("a"), Ok(Vec::new()));
    }

    #[test]
    fn refuses_what_is_no_chain() {
        for text in ["a >> >> b", "a >>", ">> a", "a b", "a >> [b", "a >> [b,,c]", "", "a > b"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
