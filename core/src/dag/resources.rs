//! What a task may use of its node: `resources`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Limits for the processes of a task; what is not said is not limited.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// Of all of them together. Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Of all of them together: 1.5 is one and a half processors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    /// How many processes and threads there may be at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<u64>,
    /// Of each process, soft and hard, in the units of `setrlimit`; `None` is `unlimited`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ulimits: BTreeMap<Ulimit, Option<u64>>,
}

impl Resources {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A limit of a process (`setrlimit`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ulimit {
    /// The address space. Bytes.
    As,
    /// A core file. Bytes.
    Core,
    /// Processor time. Seconds.
    Cpu,
    /// Private memory. Bytes.
    Data,
    /// A file that is written. Bytes.
    Fsize,
    /// Locked memory. Bytes.
    Memlock,
    /// Open files.
    Nofile,
    /// Processes of the user, of all tasks together.
    Nproc,
    /// The stack. Bytes.
    Stack,
}

impl Ulimit {
    pub const ALL: &'static [Self] = &[
        Self::As,
        Self::Core,
        Self::Cpu,
        Self::Data,
        Self::Fsize,
        Self::Memlock,
        Self::Nofile,
        Self::Nproc,
        Self::Stack,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::As => "as",
            Self::Core => "core",
            Self::Cpu => "cpu",
            Self::Data => "data",
            Self::Fsize => "fsize",
            Self::Memlock => "memlock",
            Self::Nofile => "nofile",
            Self::Nproc => "nproc",
            Self::Stack => "stack",
        }
    }
}

/// docker-py's `parse_bytes`: a number, or one with a unit (`512m`, `1gb`); `None` when it is neither.
pub fn parse_bytes(value: &Value) -> Option<u64> {
    let text = match value {
        Value::Number(number) => return number.as_u64(),
        Value::String(text) => text.trim().to_lowercase(),
        _ => return None,
    };
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let factor: u64 = match &text[digits.len()..] {
        "" | "b" => 1,
        "k" | "kb" => 1 << 10,
        "m" | "mb" => 1 << 20,
        "g" | "gb" => 1 << 30,
        "t" | "tb" => 1 << 40,
        _ => return None,
    };
    let number: f64 = digits.trim().parse().ok().filter(|number| *number >= 0.0)?;
    Some((number * factor as f64) as u64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sizes_have_units() {
        for (written, bytes) in
            [(json!(1024), 1024), (json!("512m"), 512 << 20), (json!("1.5 GB"), 3 << 29), (json!("7"), 7)]
        {
            assert_eq!(parse_bytes(&written), Some(bytes), "{written}");
        }
        for wrong in [json!("lots"), json!(-1), json!("-1m"), json!([1]), json!("nan")] {
            assert_eq!(parse_bytes(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_limit_is_spelled_as_it_is_stored() {
        for limit in Ulimit::ALL {
            assert_eq!(serde_json::to_value(limit).unwrap(), limit.as_str());
        }
    }
}
