//! Texts, most of them positions, handed to clients: signed, so that they come back as they were given and cannot be made up.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// What a position is for; one kind is never taken for another.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// Behind the last byte of a log that was read.
    Log,
    /// Beside a page of a list.
    Cursor,
    /// What a browser carries through a login by a provider.
    Login,
}

/// Two words of base64url around a dot.
pub(crate) fn seal(secret: &SecretString, purpose: Purpose, text: &str) -> String {
    let signature = mac(secret, purpose, text).finalize().into_bytes();
    format!("{}.{}", URL_SAFE_NO_PAD.encode(text), URL_SAFE_NO_PAD.encode(signature))
}

/// What was sealed; `None` for anything else.
pub(crate) fn open(secret: &SecretString, purpose: Purpose, token: &str) -> Option<String> {
    let (text, signature) = token.split_once('.')?;
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    // Compares in constant time.
    mac(secret, purpose, &text).verify_slice(&signature).ok()?;
    Some(text)
}

fn mac(secret: &SecretString, purpose: Purpose, text: &str) -> Hmac<Sha256> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).expect("HMAC takes keys of any length");
    mac.update(match purpose {
        Purpose::Log => b"log position ",
        Purpose::Cursor => b"list position ",
        Purpose::Login => b"login ",
    });
    mac.update(text.as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_sealed_for_the_purpose_opens() {
        let secret = SecretString::from("secret");
        let token = seal(&secret, Purpose::Log, "a:1");
        assert_eq!(open(&secret, Purpose::Log, &token).as_deref(), Some("a:1"));
        assert_eq!(open(&secret, Purpose::Cursor, &token), None);
        assert_eq!(open(&SecretString::from("other"), Purpose::Log, &token), None);
        assert_eq!(open(&secret, Purpose::Log, &token[1..]), None);
    }
}
