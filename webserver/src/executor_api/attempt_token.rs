//! The token of an attempt: an HMAC of its id, so nothing is stored, expires or is refreshed. It is worth something while the
//! attempt's row exists, which every use checks.

use axum::http::HeaderMap;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use updraft_core::dag::hex;
use uuid::Uuid;

use super::error::ApiError;

/// The token, in hex.
pub(super) fn make(secret: &SecretString, attempt_id: Uuid) -> String {
    hex(&mac(secret, attempt_id).finalize().into_bytes())
}

/// Refuses a request that does not carry the attempt's token.
pub(super) fn check(secret: &SecretString, attempt_id: Uuid, headers: &HeaderMap) -> Result<(), ApiError> {
    let given = headers.get(updraft_protocol::ATTEMPT_TOKEN_HEADER).and_then(|value| value.to_str().ok());
    let given = given.and_then(unhex).ok_or_else(ApiError::attempt_token)?;
    // Compares in constant time.
    mac(secret, attempt_id).verify_slice(&given).map_err(|_| ApiError::attempt_token())
}

fn mac(secret: &SecretString, attempt_id: Uuid) -> Hmac<Sha256> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).expect("HMAC takes keys of any length");
    mac.update(attempt_id.as_bytes());
    mac
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let nibbles: Vec<u8> =
        text.chars().map(|character| character.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
    let (pairs, rest) = nibbles.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use updraft_protocol::ATTEMPT_TOKEN_HEADER;

    use super::*;

    #[test]
    fn a_token_opens_its_own_attempt_only() {
        let secret = SecretString::from("secret");
        let (own, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut headers = HeaderMap::new();
        assert!(check(&secret, own, &headers).is_err());
        headers.insert(ATTEMPT_TOKEN_HEADER, HeaderValue::from_str(&make(&secret, own)).unwrap());
        assert!(check(&secret, own, &headers).is_ok());
        assert!(check(&secret, other, &headers).is_err());
        assert!(check(&SecretString::from("another"), own, &headers).is_err());
        headers.insert(ATTEMPT_TOKEN_HEADER, HeaderValue::from_static("zz"));
        assert!(check(&secret, own, &headers).is_err());
    }
}
