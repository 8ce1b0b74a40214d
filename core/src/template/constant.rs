//! Constants that the compiler would make before anybody counts: minijinja evaluates `1000000 * ('x', 'y')` while it compiles.

use std::borrow::Cow;

use minijinja::{
    machinery::{Token, tokenize},
    syntax::SyntaxConfig,
};

use super::engine::is_template;

/// A constant of at most so many items or bytes may be made by the compiler.
const LARGEST: usize = 1_000_000;
/// One, but not for the compiler.
pub(super) const ONE: &str = "__one__";

/// The text, with every `*` that might make a large constant as `* __one__ *`: the same value, made when the text is rendered.
pub(super) fn postponed(text: &str) -> Cow<'_, str> {
    if !is_template(text) || !text.contains('*') {
        return Cow::Borrowed(text);
    }
    // A text that does not tokenise to its end fails when it is compiled.
    let tokens: Vec<_> = tokenize(text, false, SyntaxConfig::default()).map_while(Result::ok).collect();
    let is_end = |token: &Token<'_>| matches!(token, Token::VariableEnd | Token::BlockEnd);
    let mut places = Vec::new();
    for tag in tokens.split(|(token, _)| is_end(token)) {
        let mut stars = Vec::new();
        let (mut length, mut repeats) = (0_usize, false);
        let mut product = 1_usize;
        for (at, (token, span)) in tag.iter().enumerate() {
            match token {
                // Not those of `f(*list)`.
                Token::Mul if at > 0 && !matches!(tag[at - 1].0, Token::ParenOpen | Token::Comma) => {
                    stars.push(span.end_offset as usize);
                }
                Token::Pow => product = usize::MAX,
                Token::Int(number) => {
                    product = product.saturating_mul(usize::try_from(*number).unwrap_or(usize::MAX).max(1));
                }
                Token::Int128(_) => product = usize::MAX,
                Token::Str(_) | Token::String(_) | Token::BracketOpen | Token::Comma => repeats = true,
                _ => {}
            }
            length += (span.end_offset - span.start_offset) as usize;
        }
        if repeats && product.saturating_mul(length) > LARGEST {
            places.extend(stars);
        }
    }
    if places.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut postponed = String::with_capacity(text.len() + places.len() * (ONE.len() + 3));
    let mut done = 0;
    for place in places {
        postponed.push_str(&text[done..place]);
        postponed.extend([" ", ONE, " *"]);
        done = place;
    }
    postponed.push_str(&text[done..]);
    Cow::Owned(postponed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_become_large_is_postponed() {
        for same in ["{{ 'x' * 10 }}", "{{ 86400 * 1000000 }}", "{{ f(*a) }}", "2 * 3", "{{ x * 7 }} 1000000"] {
            assert!(matches!(postponed(same), Cow::Borrowed(_)), "{same}");
        }
        assert_eq!(postponed("{{ 1000000 * (0, 1) }} {{ 2 * 3 }}"), "{{ 1000000 * __one__ * (0, 1) }} {{ 2 * 3 }}");
        assert_eq!(postponed("{{ 'x' * 10 ** 9 }}"), "{{ 'x' * __one__ * 10 ** 9 }}");
    }
}
