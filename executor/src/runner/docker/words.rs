//! A command in one text becomes words, as docker-py and the DockerOperator do it.

/// Splits like Python's `shlex.split` (POSIX mode); a text in brackets is a Python or JSON list of words.
pub(super) fn words(text: &str) -> Result<Vec<String>, String> {
    let trimmed = text.trim();
    if trimmed.starts_with('[') && trimmed.ends_with(']') {
        return match serde_json::from_str(trimmed) {
            Ok(words) => Ok(words),
            Err(_) => split(&trimmed[1..trimmed.len() - 1], |character| character == ','),
        };
    }
    split(text, |_| false)
}

fn split(text: &str, separator: impl Fn(char) -> bool) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next() {
                        Some('\'') => break,
                        Some(inner) => word.push(inner),
                        None => return Err(format!("the command has an unclosed ': {text}")),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next() {
                        Some('"') => break,
                        Some('\\') => match characters.next() {
                            Some(inner @ ('"' | '\\')) => word.push(inner),
                            Some(inner) => word.extend(['\\', inner]),
                            None => return Err(format!("the command ends with a backslash: {text}")),
                        },
                        Some(inner) => word.push(inner),
                        None => return Err(format!("the command has an unclosed \": {text}")),
                    }
                }
            }
            '\\' => match characters.next() {
                Some(inner) => word.get_or_insert_default().push(inner),
                None => return Err(format!("the command ends with a backslash: {text}")),
            },
            character if character.is_whitespace() || separator(character) => words.extend(word.take()),
            character => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn texts_split_as_in_a_shell() {
        assert_eq!(words("echo 'a b' \"c \\\"d\\\"\" e\\ f ''").unwrap(), ["echo", "a b", "c \"d\"", "e f", ""]);
        assert_eq!(words("  ls   -l\n/tmp ").unwrap(), ["ls", "-l", "/tmp"]);
        assert_eq!(words("").unwrap(), Vec::<String>::new());
        assert!(words("echo 'open").is_err());
    }

    #[test]
    fn lists_in_a_text_are_taken_as_lists() {
        assert_eq!(words("[\"sh\", \"-c\", \"a, b\"]").unwrap(), ["sh", "-c", "a, b"]);
        assert_eq!(words("['sh', '-c', 'echo \"x\"']").unwrap(), ["sh", "-c", "echo \"x\""]);
    }
}
