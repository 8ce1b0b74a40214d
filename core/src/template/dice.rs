//! Random numbers that are the attempt's own: another try gets others, a second render of the same text the same.

use minijinja::{Error, State, Value};
use sha2::{Digest, Sha256};

/// How many were drawn in this render.
struct Drawn(u64);

/// The next 32 random bytes of this render.
pub(super) fn roll(state: &mut State) -> Result<[u8; 32], Error> {
    let drawn = state.get_or_insert_extension(Drawn(0)).0;
    if let Some(drawn) = state.get_extension_mut::<Drawn>() {
        drawn.0 += 1;
    }
    let attempt = state.lookup("ti").map_or_else(|| Ok(Value::from("")), |ti| ti.get_attr("id"))?;
    let mut hash = Sha256::new();
    hash.update(attempt.as_str().unwrap_or_default());
    hash.update(drawn.to_be_bytes());
    Ok(hash.finalize().into())
}

/// A number from 0 up to, not including, 1.
pub(super) fn fraction(state: &mut State) -> Result<f64, Error> {
    let bytes = roll(state)?;
    let bits = bytes.iter().take(8).fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    // The 53 bits a float holds.
    Ok((bits >> 11) as f64 / (1_u64 << 53) as f64)
}

/// A UUID of version 4.
pub(super) fn uuid(state: &mut State) -> Result<String, Error> {
    let bytes = roll(state)?;
    let mut first = [0; 16];
    first.copy_from_slice(&bytes[..16]);
    Ok(uuid::Builder::from_random_bytes(first).into_uuid().to_string())
}
