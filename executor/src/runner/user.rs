//! Another user than the node's own for the process of a task: `run_as_user`.

use std::{ffi::OsString, path::PathBuf};

use nix::unistd::{Gid, Uid, User, chown, geteuid};
use updraft_core::spec::{Failure, FailureClass};

use super::{Job, failure};

/// Who a process is to be. It gets that user's own group and no other.
pub(crate) struct RunAs {
    pub(crate) name: String,
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
    home: PathBuf,
}

impl RunAs {
    /// Who the task asks for; `None` when that is who the node is.
    pub(crate) fn of(job: &Job) -> Result<Option<Self>, Failure> {
        let Some(name) = &job.spec.run_as_user else { return Ok(None) };
        let own = geteuid();
        let refused = |why: String| failure(FailureClass::InvalidArguments, format!("`run_as_user: {name}`: {why}"));
        let found = User::from_name(name).map_err(|error| {
            failure(FailureClass::NodeError, format!("This node cannot look up the user `{name}`: {error}."))
        })?;
        let user = found.ok_or_else(|| refused("this node has no such user.".to_owned()))?;
        if user.uid == own {
            return Ok(None);
        }
        if !own.is_root() {
            let me = User::from_uid(own).ok().flatten().map_or_else(|| own.to_string(), |user| user.name);
            return Err(refused(format!(
                "only a node that runs as root starts tasks as other users, and this one runs as `{me}`."
            )));
        }
        Ok(Some(Self { name: user.name, uid: user.uid, gid: user.gid, home: user.dir }))
    }

    /// Makes the attempt's own folder the user's.
    pub(crate) fn give(&self, job: &Job) -> Result<(), Failure> {
        let folder = job.folder();
        chown(&folder, Some(self.uid), Some(self.gid)).map_err(|error| {
            let reason =
                format!("The task's folder `{}` cannot be given to `{}`: {error}.", folder.display(), self.name);
            failure(FailureClass::NodeError, reason)
        })
    }

    /// What the environment says of the node's user is said of this one. What the task itself sets stays.
    pub(crate) fn rename(&self, env: &mut [(OsString, OsString)], base: &[(OsString, OsString)]) {
        for variable in env.iter_mut().filter(|variable| base.contains(variable)) {
            match variable.0.to_str() {
                Some("HOME") => variable.1 = self.home.clone().into(),
                Some("USER" | "LOGNAME") => variable.1 = self.name.clone().into(),
                _ => {}
            }
        }
    }
}
