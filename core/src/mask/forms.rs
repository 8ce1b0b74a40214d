//! How a secret may appear in a text: as it is, quoted, escaped, encoded.

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose};
use serde_json::Value;

use super::SHORTEST;

/// A longer form is looked for in parts, which bounds what a stream has to hold back. Bytes.
const PART: usize = 512;
/// The last part is at least so long: a few letters are in every text.
const LAST_PART: usize = 16;
/// A shorter piece of base64 is in too many innocent words.
const SHORTEST_BASE64: usize = 6;

/// Every form of a secret that fits into one line, in parts of bounded length. A secret of several lines is looked for as a whole
/// (escaped, it is one line) and line by line.
pub(super) fn of(secret: &str) -> BTreeSet<String> {
    let lines = secret.lines().map(str::trim).filter(|line| line.len() >= SHORTEST && secret.contains('\n'));
    let mut forms = BTreeSet::new();
    for text in lines.chain([secret]) {
        let all = [text.to_owned()].into_iter().chain(escaped(text)).chain(in_urls(text)).chain(in_shells(text));
        for form in all.chain(in_base64(text.as_bytes())).filter(|form| !form.contains('\n')) {
            parts(&form, &mut forms);
        }
    }
    forms
}

/// Inside a JSON text or a Python literal.
fn escaped(text: &str) -> Vec<String> {
    let quoted = Value::from(text).to_string();
    let json = quoted[1..quoted.len() - 1].to_owned();
    // Python's `json.dumps` writes ASCII only, Go's encoder escapes what HTML could take for markup.
    let ascii = json.chars().fold(String::new(), |mut out, letter| {
        if letter.is_ascii() {
            out.push(letter);
        } else {
            letter.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        }
        out
    });
    let go = json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    let slashes = json.replace('/', "\\/");
    let repr = json.replace("\\\"", "\"");
    let repr_quoted = repr.replace('\'', "\\'");
    vec![json, ascii, go, slashes, repr, repr_quoted]
}

/// Part of a URL or a form: what is left as it is differs between encoders, and so does the case of the digits.
fn in_urls(text: &str) -> Vec<String> {
    // RFC 3986; Python's `quote`; JavaScript's `encodeURIComponent`.
    let mut forms: Vec<String> = ["", "/", "!'()*"].iter().map(|kept| percent_encoded(text, kept)).collect();
    forms.push(forms[0].replace("%20", "+"));
    let lower: Vec<String> = forms.iter().map(|form| lower_digits(form)).collect();
    forms.extend(lower);
    forms
}

fn percent_encoded(text: &str, kept: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.as_bytes().contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        encoded
    })
}

/// `%2F` as `%2f`.
fn lower_digits(encoded: &str) -> String {
    let mut digits = 0;
    let lower = |letter: char| {
        let is_digit = digits > 0;
        digits = if letter == '%' { 2 } else { digits - i32::from(is_digit) };
        if is_digit { letter.to_ascii_lowercase() } else { letter }
    };
    encoded.chars().map(lower).collect()
}

/// In quotes of a shell: as people and `set -x` write them, as Python's `shlex.quote` does, and with `printf %q`'s backslashes.
fn in_shells(text: &str) -> Vec<String> {
    let backslashes = text.chars().fold(String::new(), |mut out, letter| {
        if letter.is_ascii() && !letter.is_ascii_alphanumeric() && !"_-./:,@%+=".contains(letter) {
            out.push('\\');
        }
        out.push(letter);
        out
    });
    let double = text.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$").replace('`', "\\`");
    vec![text.replace('\'', "'\\''"), text.replace('\'', "'\"'\"'"), backslashes, double]
}

/// Anywhere inside base64, of either alphabet: the text may begin at each of three places of a group of letters, and the letters
/// at its ends depend on its neighbours too.
fn in_base64(text: &[u8]) -> Vec<String> {
    let mut forms = Vec::new();
    for (before, first) in [(0, 0), (1, 2), (2, 3)] {
        let bytes: Vec<u8> = std::iter::repeat_n(0, before).chain(text.iter().copied()).collect();
        let whole = bytes.len() * 8 / 6;
        if whole < first + SHORTEST_BASE64 {
            continue;
        }
        for engine in [&general_purpose::STANDARD, &general_purpose::URL_SAFE] {
            let encoded = engine.encode(&bytes);
            forms.push(encoded[first..whole].to_owned());
            // Where the encoded bytes end with the secret.
            forms.push(encoded[first..].to_owned());
            // `base64` and PEM break lines at these widths.
            if before == 0 {
                for width in [64, 76].into_iter().filter(|width| encoded.len() > *width) {
                    let lines = encoded.as_bytes().chunks(width).filter(|line| line.len() >= LAST_PART);
                    forms.extend(lines.map(|line| String::from_utf8_lossy(line).into_owned()));
                }
            }
        }
    }
    forms
}

fn parts(form: &str, into: &mut BTreeSet<String>) {
    let mut rest = form;
    while rest.len() > PART + LAST_PART {
        let mut end = PART;
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        into.insert(rest[..end].to_owned());
        rest = &rest[end..];
    }
    into.insert(rest.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_escapes_and_encodings_are_those_that_programs_write() {
        let forms = of("p'a\"s/s wörd&");
        for form in [
            "p'a\"s/s wörd&",
            "p'a\\\"s/s wörd&",             // serde, JavaScript
            "p'a\\\"s/s w\\u00f6rd&",       // json.dumps
            "p'a\\\"s/s wörd\\u0026",       // Go
            "p'a\\\"s\\/s wörd&",           // PHP
            "p\\'a\"s/s wörd&",             // repr
            "p%27a%22s%2Fs%20w%C3%B6rd%26", // quote(safe='')
            "p%27a%22s/s%20w%C3%B6rd%26",   // quote
            "p%27a%22s%2Fs+w%C3%B6rd%26",   // quote_plus
            "p'a%22s%2Fs%20w%C3%B6rd%26",   // encodeURIComponent
            "p%27a%22s%2fs%20w%c3%b6rd%26", // lower-case digits
            "p'\\''a\"s/s wörd&",           // '…'\''…'
            "p'\"'\"'a\"s/s wörd&",         // shlex.quote
            "p\\'a\\\"s/s\\ wörd\\&",       // printf %q
            "cCdhInMvcyB3w7ZyZCY=",         // base64 of it alone
        ] {
            assert!(forms.contains(form), "{form} is not among {forms:#?}");
        }
    }

    #[test]
    fn short_secrets_have_no_base64_and_long_ones_are_in_parts() {
        assert_eq!(of("abc").into_iter().collect::<Vec<_>>(), ["abc"]);
        let long = "0123456789".repeat(200);
        assert!(of(&long).iter().all(|form| form.len() <= PART + LAST_PART && form.len() >= LAST_PART));
    }
}
