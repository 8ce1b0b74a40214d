//! Sizes as docker-py writes them.

use serde_json::Value;
use updraft_core::{dag::parse_bytes, spec::Failure};

use super::invalid;

/// docker-py's `parse_bytes`: a number, or one with a unit (`512m`, `1gb`). `field`: whose value it is.
pub(super) fn bytes(field: &str, limit: &Value) -> Result<i64, Failure> {
    parse_bytes(limit)
        .and_then(|bytes| i64::try_from(bytes).ok())
        .ok_or_else(|| invalid(format!("`{field}` is a number of bytes or one with a unit (`512m`), not {limit}.")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes("mem_limit", &json!(1024)).unwrap(), 1024);
        assert_eq!(bytes("mem_limit", &json!("512m")).unwrap(), 512 << 20);
        assert_eq!(bytes("mem_limit", &json!("1.5 GB")).unwrap(), 3 << 29);
        assert!(bytes("shm_size", &json!("lots")).unwrap_err().reason.contains("shm_size"));
        assert!(bytes("mem_limit", &json!([1])).is_err());
    }
}
