//! What names and URIs may be, and the one spelling of a URI.

/// The longest name and URI, in characters.
pub const MAX_LENGTH: usize = 1500;

/// Why a name or a URI is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    #[error("it is empty")]
    Empty,
    #[error("it is longer than {MAX_LENGTH} characters")]
    TooLong,
    #[error("it may hold only ASCII characters")]
    NotAscii,
    #[error("the scheme `airflow` is reserved")]
    Reserved,
}

/// Checks the name of an asset or an alias (Airflow 3: `_validate_identifier`).
///
/// # Errors
/// When it is empty or blank, too long, or not ASCII.
pub fn check_name(name: &str) -> Result<(), UriError> {
    if name.trim().is_empty() {
        Err(UriError::Empty)
    } else if name.chars().count() > MAX_LENGTH {
        Err(UriError::TooLong)
    } else if name.is_ascii() {
        Ok(())
    } else {
        Err(UriError::NotAscii)
    }
}

/// The one spelling of a URI (Airflow 3: `_sanitize_uri`, without the rules that provider packages add): the scheme in lower
/// case, no user and password, no trailing slashes but a path, the query sorted, no fragment. What is no URI (`orders`), and
/// schemes that begin with `x-`, stay as they are.
///
/// # Errors
/// As [`check_name`], and for the scheme `airflow`.
pub fn normalise(uri: &str) -> Result<String, UriError> {
    check_name(uri)?;
    let Some((scheme, rest)) = split_scheme(uri) else { return Ok(uri.to_owned()) };
    if scheme.starts_with("x-") {
        return Ok(uri.to_owned());
    }
    if scheme == "airflow" {
        return Err(UriError::Reserved);
    }
    let rest = rest.split('#').next().unwrap_or_default();
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => {
            let end = rest.find('/').unwrap_or(rest.len());
            (Some(&rest[..end]), &rest[end..])
        }
        None => (None, rest),
    };
    let mut result = format!("{scheme}:");
    if let Some(authority) = authority {
        result.push_str("//");
        result.push_str(authority.rsplit('@').next().unwrap_or_default());
    }
    let path = path.trim_end_matches('/');
    result.push_str(if path.is_empty() { "/" } else { path });
    let query = sorted_query(query);
    if !query.is_empty() {
        result.push('?');
        result.push_str(&query);
    }
    Ok(result)
}

/// The scheme in lower case and what follows its colon.
fn split_scheme(uri: &str) -> Option<(String, &str)> {
    let (scheme, rest) = uri.split_once(':')?;
    let good = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    good.then(|| (scheme.to_ascii_lowercase(), rest))
}

/// Python's `urlencode(sorted(parse_qsl(query)))`: pairs without a value go.
fn sorted_query(query: &str) -> String {
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect();
    pairs.sort();
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    pairs.join("&")
}

/// Python's `unquote_plus`, in bytes.
fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut result = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        let code = hex.filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        match (bytes[at], code.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                result.push(byte);
                at += 2;
            }
            (b'+', _) => result.push(b' '),
            (byte, _) => result.push(byte),
        }
        at += 1;
    }
    result
}

/// Python's `quote_plus`.
fn encoded(bytes: &[u8]) -> String {
    let mut result = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => result.push(char::from(byte)),
            b' ' => result.push('+'),
            _ => result.push_str(&format!("%{byte:02X}")),
        }
    }
    result
}
