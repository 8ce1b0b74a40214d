//! Python's `glob.glob`: `*`, `?`, `[…]`, `[!…]`; with `recursive` also `**`, which goes through folders. Names that begin with a
//! dot are found only by a pattern that does, too.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

/// The paths that a pattern means, found one by one. What cannot be read is taken for empty; `given_up` ends the search.
pub(super) fn find<'a>(
    pattern: &Path,
    recursive: bool,
    given_up: &'a AtomicBool,
) -> Box<dyn Iterator<Item = PathBuf> + 'a> {
    let mut found: Box<dyn Iterator<Item = PathBuf> + 'a> = Box::new(std::iter::once(PathBuf::new()));
    for component in pattern.components() {
        let part = component.as_os_str().to_owned();
        let text = part.to_string_lossy().into_owned();
        found = if recursive && text == "**" {
            Box::new(found.flat_map(move |at| Tree::new(at, given_up)))
        } else if text.contains(['*', '?', '[']) {
            Box::new(found.flat_map(move |at| {
                let text = text.clone();
                let matches = move |name: &OsString| {
                    let name = name.to_string_lossy();
                    name.starts_with('.') <= text.starts_with('.') && fnmatch(&text, &name)
                };
                names(&at, given_up).filter(matches).map(move |name| at.join(name))
            }))
        } else {
            Box::new(found.map(move |at| at.join(&part)))
        };
    }
    Box::new(found.filter(|path| path.symlink_metadata().is_ok()))
}

fn names<'a>(folder: &Path, given_up: &'a AtomicBool) -> impl Iterator<Item = OsString> + use<'a> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.take_while(|_| !given_up.load(Ordering::Relaxed)).map(|entry| entry.file_name())
}

/// A folder and everything below it, hidden names left out.
struct Tree<'a> {
    left: Vec<PathBuf>,
    given_up: &'a AtomicBool,
}

impl<'a> Tree<'a> {
    fn new(root: PathBuf, given_up: &'a AtomicBool) -> Self {
        Self { left: vec![root], given_up }
    }
}

impl Iterator for Tree<'_> {
    type Item = PathBuf;

    fn next(&mut self) -> Option<PathBuf> {
        let path = self.left.pop()?;
        // Links to folders are found, and not gone through: they may lead back.
        if path.as_os_str().is_empty() || path.symlink_metadata().is_ok_and(|data| data.is_dir()) {
            let visible = names(&path, self.given_up).filter(|name| !name.to_string_lossy().starts_with('.'));
            self.left.extend(visible.map(|name| path.join(name)));
        }
        Some(path)
    }
}

/// Python's `fnmatch` of one name. Takes time in proportion to both lengths.
fn fnmatch(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut read) = (0, 0);
    // Where to go on after the last star took one character more.
    let mut star: Option<(usize, usize)> = None;
    while read < name.len() {
        if pattern.get(at) == Some(&'*') {
            star = Some((at + 1, read));
            at += 1;
        } else if let Some(length) = one(&pattern[at..], name[read]) {
            at += length;
            read += 1;
        } else if let Some((after, from)) = star {
            star = Some((after, from + 1));
            at = after;
            read = from + 1;
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

/// How much of the pattern stands for this one character, if its beginning does.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern {
        ['?', ..] => Some(1),
        ['[', rest @ ..] => {
            let negated = rest.first() == Some(&'!');
            let set = &rest[usize::from(negated)..];
            // A bracket right at the beginning is one of the set; without a closing one `[` means itself.
            let Some(end) = set.iter().skip(1).position(|c| *c == ']').map(|found| found + 1) else {
                return (c == '[').then_some(1);
            };
            let set = &set[..end];
            let mut is_in = false;
            let mut at = 0;
            while at < set.len() {
                if let [from, '-', to, ..] = &set[at..] {
                    is_in |= (*from..=*to).contains(&c);
                    at += 3;
                } else {
                    is_in |= set[at] == c;
                    at += 1;
                }
            }
            (is_in != negated).then_some(end + 2 + usize::from(negated))
        }
        [own, ..] => (*own == c).then_some(1),
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_in_python() {
        for (pattern, name, expected) in [
            ("*.csv", "a.csv", true),
            ("*.csv", "a.csv.gz", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbY", false),
            ("?.t", "é.t", true),
            ("[a-c]1", "b1", true),
            ("[!a-c]1", "b1", false),
            ("[!a-c]1", "d1", true),
            ("[]x]", "]", true),
            ("[x", "[x", true),
            ("**", "anything", true),
            ("", "", true),
            ("*", "", true),
        ] {
            assert_eq!(fnmatch(pattern, name), expected, "{pattern} {name}");
        }
        assert!(!fnmatch(&"*a".repeat(50), &"a".repeat(10_000).replace("aaaa", "aaab")), "and in bounded time");
    }

    #[test]
    fn patterns_go_through_folders_only_when_recursive() {
        let root = tempfile::tempdir().unwrap();
        for path in ["in/x.csv", "in/deep/y.csv", "in/.hidden.csv", "in/.git/z.csv"] {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        std::os::unix::fs::symlink(root.path(), root.path().join("in/loop")).unwrap();
        let go = AtomicBool::new(false);
        let found = |pattern: &str, recursive| {
            let mut found: Vec<String> = find(&root.path().join(pattern), recursive, &go)
                .map(|path| path.strip_prefix(root.path()).unwrap().to_string_lossy().into_owned())
                .collect();
            found.sort();
            found
        };
        assert_eq!(found("in/*.csv", false), ["in/x.csv"]);
        assert_eq!(found("in/.*.csv", false), ["in/.hidden.csv"]);
        assert_eq!(found("in/**/*.csv", false), ["in/deep/y.csv"], "without recursion it is one folder");
        assert_eq!(found("in/**/*.csv", true), ["in/deep/y.csv", "in/x.csv"]);
        assert_eq!(found("in/x.csv", false), ["in/x.csv"]);
        assert!(found("out/*", false).is_empty() && found("in/none", true).is_empty());
    }
}
