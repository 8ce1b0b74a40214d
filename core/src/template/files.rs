//! `{% include 'part.sql' %}` and its relatives: which files a text needs, all of them before it is rendered, so that what they
//! cost is known.

use std::{collections::BTreeMap, fmt, sync::Arc};

use minijinja::{
    Error, ErrorKind,
    machinery::{Token, tokenize},
    syntax::SyntaxConfig,
};

use super::{constant::postponed, engine::is_template};

/// Files that one text may bring in, directly and through others.
const MAX_FILES: usize = 50;
/// Their text altogether. Bytes.
const MAX_BYTES: usize = 1024 * 1024;

/// Reads a template file by its name; `None` when there is none within reach.
type Read = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Where template files come from. The default has none.
#[derive(Clone, Default)]
pub(super) struct Files(Option<Arc<Read>>);

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Files" } else { "no files" })
    }
}

impl Files {
    pub(super) fn new(read: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(read)))
    }

    /// The files that a text names, and those that they name. A file that is not there is left out: `ignore missing` may allow it.
    pub(super) fn of(&self, text: &str) -> Result<BTreeMap<String, String>, Error> {
        let mut found = BTreeMap::new();
        let mut wanted = names(text);
        if wanted.is_empty() {
            return Ok(found);
        }
        let Some(read) = &self.0 else {
            let detail = "a template that is rendered outside a node cannot read files";
            return Err(Error::new(ErrorKind::InvalidOperation, detail));
        };
        let mut bytes = 0;
        while let Some(name) = wanted.pop() {
            if found.contains_key(&name) {
                continue;
            }
            let Some(content) = read(&name) else { continue };
            bytes += content.len();
            if bytes > MAX_BYTES || found.len() == MAX_FILES {
                let detail = format!("the text includes more than {MAX_FILES} files or {} MiB", MAX_BYTES >> 20);
                return Err(Error::new(ErrorKind::InvalidOperation, detail));
            }
            wanted.extend(names(&content));
            found.insert(name, postponed(&content).into_owned());
        }
        Ok(found)
    }
}

/// The files that a text names literally after `include`, `import`, `from` and `extends`.
pub(super) fn names(text: &str) -> Vec<String> {
    if !is_template(text) {
        return Vec::new();
    }
    let tokens: Vec<Token<'_>> =
        tokenize(text, false, SyntaxConfig::default()).map_while(Result::ok).map(|(token, _)| token).collect();
    let mut names = Vec::new();
    for at in 1..tokens.len() {
        let is_tag = matches!(tokens[at - 1], Token::BlockStart)
            && matches!(tokens[at], Token::Ident("include" | "import" | "from" | "extends"));
        if is_tag {
            let rest = tokens[at + 1..].iter().take_while(|token| !matches!(token, Token::BlockEnd));
            names.extend(rest.filter_map(|token| match token {
                Token::Str(name) => Some((*name).to_owned()),
                Token::String(name) => Some(name.to_string()),
                _ => None,
            }));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_through_files() {
        let read = |name: &str| match name {
            "a.sql" => Some("{% include 'b.sql' %}".to_owned()),
            "b.sql" => Some("{% include 'a.sql' %} select 1".to_owned()),
            _ => None,
        };
        let files = Files::new(read);
        let text = "{% include ['no.sql', \"a.sql\"] %} {% from 'b.sql' import x %} 'c.sql' {{ 'a.sql' }}";
        assert_eq!(files.of(text).unwrap().into_keys().collect::<Vec<_>>(), ["a.sql", "b.sql"]);
        assert!(files.of("{{ ds }}").unwrap().is_empty());
        assert!(Files::default().of("{% include 'a.sql' %}").is_err(), "outside a node there are none");
        let endless = Files::new(|name: &str| Some(format!("{{% include '{name}x' %}}")));
        assert!(endless.of("{% include 'x' %}").unwrap_err().to_string().contains("more than 50 files"));
    }
}
