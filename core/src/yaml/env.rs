//! `$NAME` and `${NAME}` in scalars, for allowed names only; all else stays and reaches the shell.

use std::{collections::BTreeMap, sync::Arc};

use super::node::{Content, Node};

/// Arguments that a shell or container expands itself; in single-DAG files they are left alone.
const SHELL_KEYS: &[&str] = &["bash", "bash_command", "cmds", "arguments", "command", "wait_for_bash", "ssh"];

/// Expands every scalar below `node`. The tree is at most 64 levels deep, so recursion is bounded.
pub(super) fn expand(node: &mut Node, env: &BTreeMap<String, String>, keep_shell: bool) {
    match &mut node.content {
        Content::Scalar(scalar) => {
            if let Some(text) = expand_text(&scalar.text, env) {
                scalar.text = Arc::from(text);
            }
        }
        Content::Sequence(items) => {
            if items.iter().any(mentions_dollar) {
                for item in Arc::make_mut(items) {
                    expand(item, env, keep_shell);
                }
            }
        }
        Content::Mapping(entries) => {
            if entries.values().any(|entry| mentions_dollar(&entry.value)) {
                for (key, entry) in Arc::make_mut(entries) {
                    if !(keep_shell && SHELL_KEYS.contains(&&**key)) {
                        expand(&mut entry.value, env, keep_shell);
                    }
                }
            }
        }
    }
}

fn mentions_dollar(node: &Node) -> bool {
    match &node.content {
        Content::Scalar(scalar) => scalar.text.contains('$'),
        Content::Sequence(items) => items.iter().any(mentions_dollar),
        Content::Mapping(entries) => entries.values().any(|entry| mentions_dollar(&entry.value)),
    }
}

/// The text with its known names replaced (as `os.path.expandvars`), or `None` if nothing changed.
fn expand_text(text: &str, env: &BTreeMap<String, String>) -> Option<String> {
    let mut result = String::new();
    let (mut rest, mut changed) = (text, false);
    while let Some(at) = rest.find('$') {
        result.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (name, len) = if let Some(inner) = after.strip_prefix('{') {
            inner.find('}').map_or(("", 0), |end| (&inner[..end], end + 2))
        } else {
            let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(after.len());
            (&after[..end], end)
        };
        match env.get(name) {
            Some(value) if !name.is_empty() => {
                result.push_str(value);
                rest = &after[len..];
                changed = true;
            }
            _ => {
                result.push('$');
                rest = after;
            }
        }
    }
    result.push_str(rest);
    changed.then_some(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_known_names_only() {
        let env = BTreeMap::from([("STAGE".to_owned(), "prod".to_owned())]);
        assert_eq!(expand_text("echo $STAGE ${STAGE}x $OTHER $", &env).as_deref(), Some("echo prod prodx $OTHER $"));
        assert_eq!(expand_text("echo $STAGES ${", &env), None);
    }
}
