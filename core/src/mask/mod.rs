//! Secrets do not get into logs, rendered fields or reasons: neither on a node nor where the server renders.

mod forms;

use std::{borrow::Cow, collections::BTreeSet, fmt, ops::Range, sync::OnceLock};

use aho_corasick::AhoCorasick;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    redact::{MASK, is_sensitive},
    template::Ref,
};

/// Shorter texts are not masked: they would blot out innocent words.
const SHORTEST: usize = 5;
/// What a task declares as its secrets is masked also when it is this short.
const SHORTEST_DECLARED: usize = 3;

/// The secret texts of one attempt. Written down (a node's journal has to know them after a restart) they are the texts.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Mask {
    secrets: BTreeSet<String>,
    #[serde(skip)]
    finder: OnceLock<Option<Finder>>,
}

/// Finds every form of every secret in one pass, however many there are.
#[derive(Clone)]
struct Finder {
    forms: AhoCorasick,
    /// Bytes of the longest form.
    longest: usize,
}

impl Mask {
    /// The secrets among what templates fetched: passwords of connections, variables with a telling name.
    pub fn of<'a>(values: impl IntoIterator<Item = (&'a Ref, &'a Value)>) -> Self {
        let mut mask = Self::default();
        for (reference, value) in values {
            match reference {
                Ref::Variable { key } => collect(value, is_sensitive(key), &mut mask.secrets),
                Ref::Connection { .. } => collect(value, false, &mut mask.secrets),
                Ref::XCom { .. } | Ref::XComOf { .. } => {}
            }
        }
        mask
    }

    /// Texts that are secrets whatever they are called, such as a task's `secrets`.
    pub fn of_texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let long = texts.into_iter().filter(|text| text.len() >= SHORTEST_DECLARED);
        Self { secrets: long.map(str::to_owned).collect(), finder: OnceLock::new() }
    }

    /// Both.
    #[must_use]
    pub fn with(&self, more: &Self) -> Self {
        if more.secrets.is_subset(&self.secrets) {
            // Keeps what was made to find them.
            return self.clone();
        }
        Self { secrets: self.secrets.union(&more.secrets).cloned().collect(), finder: OnceLock::new() }
    }

    /// The text with every secret replaced by `***`, in whatever form it is there; overlapping and neighbouring ones by one.
    #[must_use]
    pub fn apply<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let hidden = self.find(text);
        if hidden.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut masked = String::with_capacity(text.len());
        let mut end = 0;
        for range in hidden {
            masked.push_str(&text[end..range.start]);
            masked.push_str(MASK);
            end = range.end;
        }
        masked.push_str(&text[end..]);
        Cow::Owned(masked)
    }

    /// The parts of the text that are some form of a secret, in order, none touching another.
    fn find(&self, text: &str) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        // The plain search jumps over innocent text, which nearly all is.
        let Some(finder) = self.finder().filter(|finder| finder.forms.is_match(text)) else { return found };
        for form in finder.forms.find_overlapping_iter(text) {
            let mut range = form.range();
            // They come by their ends, so only the last ones can touch.
            while let Some(last) = found.pop_if(|last| last.end >= range.start) {
                range = last.start.min(range.start)..last.end.max(range.end);
            }
            found.push(range);
        }
        found
    }

    fn finder(&self) -> Option<&Finder> {
        let make = || {
            let forms: BTreeSet<String> = self.secrets.iter().flat_map(|secret| forms::of(secret)).collect();
            let longest = forms.iter().map(String::len).max()?;
            let forms =
                AhoCorasick::new(forms).expect("the forms of an attempt's secrets are far from the limit of states");
            Some(Finder { forms, longest })
        };
        self.finder.get_or_init(make).as_ref()
    }

    /// The same for every text inside a JSON value; values under a telling name are hidden whole.
    pub fn apply_json(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Cow::Owned(masked) = self.apply(text) {
                    *text = masked;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.apply_json(item)),
            Value::Object(fields) => {
                for (name, field) in fields {
                    if is_sensitive(name) && field.is_string() {
                        *field = Value::String(MASK.to_owned());
                    } else {
                        self.apply_json(field);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// Tells how many, not which.
impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mask({} secrets)", self.secrets.len())
    }
}

/// Masks one text that comes in pieces: what comes out is what [`Mask::apply`] makes of the whole, wherever it is cut. Holds
/// back less than the longest form of a secret.
#[derive(Debug, Default)]
pub struct Masked {
    held: String,
    /// Bytes at the beginning of `held` that belong to a secret which began before it.
    hidden: usize,
    /// The last byte that came out was a secret's: its `***` stands for what follows and is hidden too.
    is_open: bool,
}

impl Masked {
    /// Takes the next piece; gives what can be said by now.
    pub fn feed(&mut self, mask: &Mask, piece: &str) -> String {
        self.held.push_str(piece);
        let reach = mask.finder().map_or(0, |finder| finder.longest - 1);
        let mut end = self.held.len().saturating_sub(reach);
        while !self.held.is_char_boundary(end) {
            end -= 1;
        }
        self.say(mask, end)
    }

    /// The text is over; gives the rest. The next piece begins another.
    pub fn finish(&mut self, mask: &Mask) -> String {
        let rest = self.say(mask, self.held.len());
        *self = Self::default();
        rest
    }

    /// Says what is before `end`. No form of a secret that covers any of it goes beyond what is held.
    fn say(&mut self, mask: &Mask, end: usize) -> String {
        let mut said = String::new();
        if end == 0 {
            return said;
        }
        let began_before = (self.hidden > 0).then_some(0..self.hidden);
        let mut at = 0;
        let mut is_open = self.is_open;
        let mut hidden_to = 0;
        for range in began_before.into_iter().chain(mask.find(&self.held)).filter(|range| range.start < end) {
            if range.start > at {
                said.push_str(&self.held[at..range.start]);
                is_open = false;
            }
            if !is_open {
                said.push_str(MASK);
            }
            is_open = true;
            hidden_to = range.end.max(hidden_to);
            at = hidden_to.min(end);
        }
        if at < end {
            said.push_str(&self.held[at..end]);
            is_open = false;
        }
        self.held.drain(..end);
        self.hidden = hidden_to.saturating_sub(end);
        self.is_open = is_open;
        said
    }
}

fn collect(value: &Value, secret: bool, secrets: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            // Variables and a connection's `extra` are often JSON in a text.
            if let Ok(inner @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(text) {
                collect(&inner, secret, secrets);
            }
            if secret && text.len() >= SHORTEST {
                secrets.insert(text.clone());
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, secret, secrets)),
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| collect(field, secret || is_sensitive(name), secrets));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn mask() -> Mask {
        let connection = json!({"login": "reader", "password": "hunter@22", "extra": "{\"api_key\": \"k-12345\"}"});
        let token = json!("xoxb-1");
        let (db, slack) =
            (Ref::Connection { conn_id: "db".to_owned() }, Ref::Variable { key: "slack_token".to_owned() });
        Mask::of([(&db, &connection), (&slack, &token)])
    }

    #[test]
    fn declared_secrets_are_hidden_in_every_form_they_take() {
        let mask = Mask::of_texts(["abc", "a\"b c", "-----BEGIN KEY-----\nline-two-of-it", "no", ""]);
        assert_eq!(mask.apply("abc a\"b c a%22b%20c a\\\"b c line-two-of-it no"), "*** *** *** *** *** no");
        let both = mask.with(&Mask::of_texts(["abcdef"]));
        assert_eq!(both.apply("abcdef abc"), "*** ***", "the longer one first");
    }

    #[test]
    fn passwords_keys_and_telling_variables_are_hidden() {
        assert_eq!(mask().apply("reader:hunter%4022@db hunter@22 k-12345 xoxb-1"), "reader:***@db *** *** ***");
        let mut value = json!({"env": {"URL": "x:hunter@22", "MY_PASSWORD": "other"}, "n": 3});
        mask().apply_json(&mut value);
        assert_eq!(value, json!({"env": {"URL": "x:***", "MY_PASSWORD": "***"}, "n": 3}));
    }

    #[test]
    fn secrets_are_not_shown_by_debug_and_outlive_the_journal() {
        let mask = mask();
        assert_eq!(format!("{mask:?}"), "Mask(3 secrets)");
        let read: Mask = serde_json::from_value(serde_json::to_value(&mask).unwrap()).unwrap();
        assert_eq!(read.apply("hunter@22"), "***");
    }

    #[test]
    fn base64_hides_a_secret_wherever_it_begins() {
        let mask = Mask::of_texts(["hunter@22"]);
        for (before, after) in [("", ""), ("u", ":"), ("us", "rest"), ("reader:", ""), ("x=", "&y")] {
            let text = format!("{before}hunter@22{after}");
            for engine in [&general_purpose::STANDARD, &general_purpose::URL_SAFE_NO_PAD] {
                let encoded = engine.encode(&text);
                let masked = mask.apply(&encoded).into_owned();
                assert!(masked.contains("***") && masked.len() < encoded.len() - 5, "{encoded} became {masked}");
            }
        }
    }

    #[test]
    fn secrets_that_overlap_leave_nothing_between_them() {
        let mask = Mask::of_texts(["abcdef", "efghij", "cde"]);
        assert_eq!(mask.apply("x abcdefghij y abcdefabcdef z"), "x *** y *** z");
    }

    /// A secret and a text that has it, or some form or a part of it, in many places.
    fn secret_and_text() -> impl Strategy<Value = (String, String)> {
        let secret = prop_oneof!["[a-b%/'\"\\\\ ö]{5,9}", "[a-z]{600}", "[ab]{3}\n[a-b&]{6}"];
        secret.prop_flat_map(|secret| {
            let forms: Vec<String> = forms::of(&secret).into_iter().collect();
            let piece = prop_oneof![
                prop::sample::select(forms.clone()),
                prop::sample::select(forms).prop_map(|form| form.chars().skip(1).collect()),
                "[a-b%ö ]{0,6}",
            ];
            let text = prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat());
            (Just(secret), text)
        })
    }

    proptest! {
        #[test]
        fn a_text_in_pieces_becomes_what_the_whole_becomes(
            (secret, text) in secret_and_text(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let mask = Mask::of_texts([secret.as_str()]);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.retain(|cut| text.is_char_boundary(*cut));
            cuts.sort_unstable();
            let (mut masked, mut at, mut stream) = (String::new(), 0, Masked::default());
            for cut in cuts.into_iter().chain([text.len()]) {
                masked += &stream.feed(&mask, &text[at..cut]);
                at = cut;
            }
            masked += &stream.finish(&mask);
            prop_assert_eq!(&masked, &*mask.apply(&text));
            for form in forms::of(&secret) {
                prop_assert!(!masked.contains(&form), "{} is left in {}", form, masked);
            }
        }
    }
}
