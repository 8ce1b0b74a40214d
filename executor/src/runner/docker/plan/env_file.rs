//! The text of a `.env` file, as python-dotenv reads it.

use indexmap::IndexMap;

/// The variables of the text; a later one wins. Of a name without a value there is none.
///
/// # Errors
/// The line that is no assignment, in words that do not repeat its value.
pub(super) fn read(text: &str) -> Result<IndexMap<String, String>, String> {
    let mut variables = IndexMap::new();
    let mut rest = text;
    let mut line = 1;
    loop {
        let skipped = rest.len() - rest.trim_start().len();
        line += rest[..skipped].matches('\n').count();
        rest = &rest[skipped..];
        if rest.is_empty() {
            return Ok(variables);
        }
        if rest.starts_with('#') {
            rest = &rest[line_end(rest)..];
            continue;
        }
        rest = rest.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])).map_or(rest, str::trim_start);
        let end = rest.find(['=', '\n']).unwrap_or(rest.len());
        let name = rest[..end].trim().trim_matches('\'');
        if name.is_empty() || name.contains(|character: char| character.is_whitespace() || character == '#') {
            return Err(format!("line {line} is no `NAME=value`"));
        }
        let Some(value) = rest[end..].strip_prefix('=') else {
            rest = &rest[end..];
            continue;
        };
        let value = value.trim_start_matches([' ', '\t']);
        let (text, after) = if let Some(quote @ ('\'' | '"')) = value.chars().next() {
            let close = closing(&value[1..], quote)
                .ok_or_else(|| format!("the value of `{name}` in line {line} has no closing {quote}"))?;
            let inner = &value[1..=close];
            let text = if quote == '"' { expand(&unescape(inner), &variables) } else { single(inner) };
            let after = &value[close + 2..];
            let tail = after[..line_end(after)].trim();
            if !tail.is_empty() && !tail.starts_with('#') {
                return Err(format!("something follows the value of `{name}` in line {line}"));
            }
            line += inner.matches('\n').count();
            (text, &after[line_end(after)..])
        } else {
            let end = line_end(value);
            let bare = &value[..end];
            let bare = if bare.starts_with('#') { "" } else { bare.split(" #").next().unwrap_or(bare) };
            (expand(bare.trim_end(), &variables), &value[end..])
        };
        variables.insert(name.to_owned(), text);
        rest = after;
    }
}

fn line_end(text: &str) -> usize {
    text.find('\n').unwrap_or(text.len())
}

/// Where the quote that is not escaped stands.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, character)| {
        let found = character == quote && !escaped;
        escaped = character == '\\' && !escaped;
        found.then_some(at)
    })
}

fn single(text: &str) -> String {
    text.replace("\\'", "'").replace("\\\\", "\\")
}

fn unescape(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            result.push(character);
            continue;
        }
        match characters.next() {
            Some('n') => result.push('\n'),
            Some('t') => result.push('\t'),
            Some('r') => result.push('\r'),
            Some(plain @ ('"' | '\\' | '\'')) => result.push(plain),
            Some(other) => result.extend(['\\', other]),
            None => result.push('\\'),
        }
    }
    result
}

/// `${NAME}` and `${NAME:-default}`, of what stands above: the node's own environment is not the task's.
fn expand(text: &str, known: &IndexMap<String, String>) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((inner, tail)) = after.split_once('}') else { break };
        let (name, default) = inner.split_once(":-").unwrap_or((inner, ""));
        result.push_str(before);
        result.push_str(known.get(name).map_or(default, String::as_str));
        rest = tail;
    }
    result + rest
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn files_are_read_as_dotenv_reads_them() {
        let text = "# a comment\nexport A=1\nB = two words # and why\nC='single ${A}'\nD=\"a\\tb ${A} ${Z:-z}\"\n\nE=\nF\nG=x#y\nH=\"two\nlines\"\n";
        let variables = read(text).unwrap();
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "single ${A}"),
            ("D", "a\tb 1 z"),
            ("E", ""),
            ("G", "x#y"),
            ("H", "two\nlines"),
        ];
        assert_eq!(variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_broken_line_is_named_without_its_secret() {
        for text in ["A=1\nno assignment", "A=1\nB='open hunter2", "A=1\nB=\"x\" hunter2"] {
            let wrong = read(text).unwrap_err();
            assert!(wrong.contains("line 2") && !wrong.contains("hunter2"), "{wrong}");
        }
    }
}
