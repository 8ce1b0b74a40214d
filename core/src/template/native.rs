//! Python literals, for `render_template_as_native_obj`: what `ast.literal_eval` reads, by and large.

use minijinja::{Value, value::Tuple};

/// Nested deeper than this is no literal.
const MAX_DEPTH: usize = 64;

/// The value of a Python literal; `None` when the text is something else.
pub(super) fn literal(text: &str) -> Option<Value> {
    // literal_eval refuses leading blanks (an indented expression), but not trailing ones.
    if text.starts_with([' ', '\t']) {
        return None;
    }
    let mut reader = Reader { rest: text };
    let value = reader.value(0)?;
    reader.skip_blanks();
    reader.rest.is_empty().then_some(value)
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, token: char) -> bool {
        self.skip_blanks();
        let found = self.rest.strip_prefix(token);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.skip_blanks();
        match self.rest.chars().next()? {
            '[' => {
                self.eat('[');
                self.items(']', depth).map(|(items, _)| Value::from(items))
            }
            '(' => {
                self.eat('(');
                let (mut items, trailing_comma) = self.items(')', depth)?;
                if items.len() == 1 && !trailing_comma { items.pop() } else { Some(Value::from(Tuple::from(items))) }
            }
            '{' => {
                self.eat('{');
                self.mapping(depth)
            }
            '\'' | '"' => self.string(),
            c if c.is_ascii_digit() || "+-.".contains(c) => self.number(),
            _ => self.word(),
        }
    }

    /// Up to the closing bracket; also whether a comma came before it.
    fn items(&mut self, close: char, depth: usize) -> Option<(Vec<Value>, bool)> {
        let mut items = Vec::new();
        loop {
            if self.eat(close) {
                let trailing = !items.is_empty();
                return Some((items, trailing));
            }
            items.push(self.value(depth + 1)?);
            if !self.eat(',') {
                return self.eat(close).then_some((items, false));
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Option<Value> {
        let mut pairs = Vec::new();
        loop {
            if self.eat('}') {
                break;
            }
            let key = self.value(depth + 1)?;
            if !self.eat(':') {
                return None;
            }
            pairs.push((key, self.value(depth + 1)?));
            if !self.eat(',') {
                if self.eat('}') {
                    break;
                }
                return None;
            }
        }
        Some(Value::from_pairs(pairs))
    }

    fn string(&mut self) -> Option<Value> {
        let mut chars = self.rest.char_indices();
        let (_, quote) = chars.next()?;
        let mut text = String::new();
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.rest = &self.rest[at + c.len_utf8()..];
                    return Some(Value::from(text));
                }
                '\\' => match chars.next()?.1 {
                    'n' => text.push('\n'),
                    'r' => text.push('\r'),
                    't' => text.push('\t'),
                    c @ ('\\' | '\'' | '"') => text.push(c),
                    // Rarer escapes: better the text as it is than a wrong value.
                    _ => return None,
                },
                '\n' => return None,
                c => text.push(c),
            }
        }
        None
    }

    fn number(&mut self) -> Option<Value> {
        let end =
            self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+-._".contains(c))).unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(end);
        self.rest = rest;
        let digits = number.trim_start_matches(['+', '-']);
        if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return None;
        }
        let is_integer = digits.bytes().all(|byte| byte.is_ascii_digit());
        if is_integer {
            // Python reads 0 and 00, but not 007.
            if digits.len() > 1 && digits.starts_with('0') && digits.bytes().any(|byte| byte != b'0') {
                return None;
            }
            return number.parse::<i64>().ok().map(Value::from);
        }
        number.parse::<f64>().ok().map(Value::from)
    }

    fn word(&mut self) -> Option<Value> {
        for (word, value) in [("True", Value::from(true)), ("False", Value::from(false)), ("None", Value::from(()))] {
            if let Some(rest) = self.rest.strip_prefix(word) {
                self.rest = rest;
                return (!rest.starts_with(|c: char| c.is_alphanumeric() || c == '_')).then_some(value);
            }
        }
        None
    }
}
