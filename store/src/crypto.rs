//! Encryption at rest: Fernet (AES-128-CBC and HMAC-SHA256, <https://github.com/fernet/spec>), as Airflow has it, so that its
//! encrypted variables and connections can be taken over with its key.

use std::{fmt, sync::Arc};

use fernet::Fernet;

/// A moment no stored value is younger than. What is stored does not expire, and the clock of the machine that wrote it is
/// none of our business, while the crate would refuse a value "from the future".
const END_OF_TIME: u64 = i64::MAX as u64;

/// The keys of `core.fernet_key`: the first encrypts, all decrypt. Cheap to clone.
#[derive(Clone, Default)]
pub struct Keys(Arc<[Fernet]>);

/// A configured key that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "core.fernet_key: key {position} of {count} is not 32 bytes in URL-safe base64; make one with \
     `head -c 32 /dev/urandom | base64 | tr '+/' '-_'`"
)]
pub struct KeyError {
    /// From 1.
    pub position: usize,
    pub count: usize,
}

/// Why a value cannot be encrypted or decrypted, and what to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    #[error(
        "this process has no encryption key: set core.fernet_key (UPDRAFT__CORE__FERNET_KEY), the same for every webserver and \
         scheduler"
    )]
    NoKey,
    #[error(
        "it is encrypted with none of the keys in core.fernet_key (UPDRAFT__CORE__FERNET_KEY): add the key it was encrypted \
         with to the list, or write the value anew"
    )]
    WrongKey,
}

impl Keys {
    /// Reads a comma-separated list of keys; an empty text is no keys.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let keys: Vec<&str> = text.split(',').map(str::trim).filter(|key| !key.is_empty()).collect();
        let count = keys.len();
        let keys = keys.into_iter().enumerate();
        let keys = keys.map(|(index, key)| Fernet::new(key).ok_or(KeyError { position: index + 1, count }));
        Ok(Self(keys.collect::<Result<Vec<_>, _>>()?.into()))
    }

    /// A new random key, as `core.fernet_key` takes it.
    pub fn generate() -> String {
        Fernet::generate_key()
    }

    /// Encrypts with the first key.
    pub fn encrypt(&self, text: &str) -> Result<String, CryptoError> {
        Ok(self.0.first().ok_or(CryptoError::NoKey)?.encrypt(text.as_bytes()))
    }

    /// Decrypts with the first key that fits.
    pub fn decrypt(&self, token: &str) -> Result<String, CryptoError> {
        if self.0.is_empty() {
            return Err(CryptoError::NoKey);
        }
        let decrypted = self.0.iter().find_map(|key| key.decrypt_at_time(token, None, END_OF_TIME).ok());
        // What we encrypted was text; anything else was not written by us.
        decrypted.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or(CryptoError::WrongKey)
    }
}

/// Shows no key.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `generate.json` and `verify.json` of the specification.
    const SECRET: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";
    const TOKEN: &str =
        "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";

    #[test]
    fn the_specifications_token_is_read() {
        assert_eq!(Keys::parse(SECRET).unwrap().decrypt(TOKEN).unwrap(), "hello");
    }

    /// `invalid.json` of the specification: each breaks another part of the token.
    #[test]
    fn the_specifications_broken_tokens_are_refused() {
        let keys = Keys::parse(SECRET).unwrap();
        let broken = [
            (
                "incorrect mac",
                "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykQUFBQUFBQUFBQQ==",
            ),
            ("too short", "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPA=="),
            (
                "invalid base64",
                "%%%%%%%%%%%%%AECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykRtfsH-p1YsUD2Q==",
            ),
            (
                "payload size not multiple of block size",
                "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPOm73QeoCk9uGib28Xe5vz6oxq5nmxbx_v7mrfyudzUm",
            ),
            (
                "payload padding error",
                "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0ODz4LEpdELGQAad7aNEHbf-JkLPIpuiYRLQ3RtXatOYREu2FWke6CnJNYIbkuKNqOhw==",
            ),
            (
                "incorrect IV (causes padding error)",
                "gAAAAAAdwJ6xBQECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAkLhFLHpGtDBRLRTZeUfWgHSv49TF2AUEZ1TIvcZjK1zQ==",
            ),
        ];
        for (why, token) in broken {
            assert_eq!(keys.decrypt(token), Err(CryptoError::WrongKey), "{why}");
        }
    }

    #[test]
    fn the_first_key_encrypts_and_all_decrypt() {
        let (old, new) = (Keys::generate(), Keys::generate());
        let both = Keys::parse(&format!("{new}, {old}")).unwrap();
        let (old, new) = (Keys::parse(&old).unwrap(), Keys::parse(&new).unwrap());
        let before = old.encrypt("grüezi").unwrap();
        assert_eq!(both.decrypt(&before).unwrap(), "grüezi");
        let rotated = both.encrypt("grüezi").unwrap();
        assert_eq!(new.decrypt(&rotated).unwrap(), "grüezi");
        assert_eq!(old.decrypt(&rotated), Err(CryptoError::WrongKey));
        assert_ne!(both.encrypt("grüezi").unwrap(), rotated, "every token has an IV of its own");
    }

    #[test]
    fn without_a_key_the_error_says_what_to_set() {
        let none = Keys::parse(" ").unwrap();
        let error = none.encrypt("x").unwrap_err();
        assert_eq!(error, CryptoError::NoKey);
        assert_eq!(none.decrypt(TOKEN), Err(CryptoError::NoKey));
        assert!(error.to_string().contains("core.fernet_key"));
    }

    #[test]
    fn a_key_that_is_none_is_named_by_its_place_and_not_shown() {
        let error = Keys::parse(&format!("{SECRET},hunter2")).unwrap_err();
        assert_eq!(error, KeyError { position: 2, count: 2 });
        assert!(!error.to_string().contains("hunter2"));
        assert!(!format!("{:?}", Keys::parse(SECRET).unwrap()).contains(SECRET));
    }
}
