//! Files, waited for.

use serde::{Deserialize, Serialize};

use super::values::flag;

/// Arguments of `FileSensor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSensorArgs {
    /// A path or glob on the node; relative to the path in the extra of `fs_conn_id`, if that connection exists.
    pub filepath: String,
    #[serde(default = "fs_default")]
    pub fs_conn_id: String,
    /// `**` in the glob goes through folders, and a folder counts when a file is anywhere below it.
    #[serde(default, deserialize_with = "flag")]
    pub recursive: bool,
}

fn fs_default() -> String {
    "fs_default".to_owned()
}
