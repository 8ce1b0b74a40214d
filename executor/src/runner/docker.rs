//! Containers.

use updraft_protocol::RunnerStatus;

/// The Docker daemon of this machine.
pub(crate) struct Docker {}

impl Docker {
    /// Whether containers can be started now.
    #[expect(clippy::unused_self, reason = "replaced next")]
    pub(crate) fn status(&self) -> RunnerStatus {
        RunnerStatus {
            name: "docker".to_owned(),
            available: false,
            reason: Some("not supported by this build".to_owned()),
        }
    }
}
