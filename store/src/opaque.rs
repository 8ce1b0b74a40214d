//! Tokens that mean nothing by themselves: made once, shown once, stored as their hash.

use sha2::{Digest, Sha256};
use updraft_core::dag::hex;

/// A new token behind a prefix, by which people and secret scanners recognise it. 256 random bits.
pub(crate) fn make(prefix: &str) -> String {
    format!("{prefix}{}", hex(&rand::random::<[u8; 32]>()))
}

/// What is stored and looked up: nobody can guess what leads to it, so a plain hash is enough.
pub(crate) fn digest(token: &str) -> String {
    hex(&Sha256::digest(token))
}
