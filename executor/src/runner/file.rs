//! `FileSensor`: looks for a file on this machine, once; the scheduler asks again after the sensor's interval.

mod glob;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::Value;
use updraft_core::{
    operator::FileSensorArgs,
    spec::{Failure, FailureClass},
};
use updraft_protocol::Ref;

use super::{End, Finished, Job, bash, failure};
use crate::render;

/// The connection whose absence means no base folder.
const DEFAULT_CONNECTION: &str = "fs_default";

/// One look.
pub(crate) async fn look(job: &Job, args: FileSensorArgs) -> Result<End, Failure> {
    job.progress.launched(job.started());
    let pattern = if Path::new(&args.filepath).is_absolute() {
        PathBuf::from(&args.filepath)
    } else {
        base(job, &args.fs_conn_id).await?.join(&args.filepath)
    };
    job.log.say("info", &format!("Poking for file {}", pattern.display()));
    let given_up = Arc::new(AtomicBool::new(false));
    // A walk over a large tree or a dead network mount blocks: not this thread, and not for ever.
    let mut search = tokio::task::spawn_blocking({
        let given_up = Arc::clone(&given_up);
        move || glob::find(&pattern, args.recursive, &given_up).any(|path| counts(&path, &given_up))
    });
    let timeout = async {
        match job.spec.execution_timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    let end = tokio::select! {
        found = &mut search => match found {
            Ok(true) => {
                job.log.say("info", "Success criteria met.");
                Ok(End::Finished(Finished::success(None)))
            }
            Ok(false) => Ok(End::Finished(Finished::rescheduled())),
            Err(error) => Err(failure(FailureClass::NodeError, format!("The search for the file broke off: {error}."))),
        },
        stop = job.stopped() => Ok(End::Stopped(stop)),
        () = timeout => Err(bash::timeout_failure(job)),
    };
    given_up.store(true, Ordering::Relaxed);
    end
}

/// A file, or a folder with a file anywhere below it.
fn counts(path: &Path, given_up: &AtomicBool) -> bool {
    let mut folders = vec![path.to_owned()];
    if path.is_file() {
        return true;
    }
    while let Some(folder) = folders.pop() {
        // What cannot be read counts as empty, as in Python's `os.walk`.
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if given_up.load(Ordering::Relaxed) {
                return false;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                // A link to a folder is not gone through, but it is no file either.
                Ok(kind) if kind.is_symlink() && entry.path().is_dir() => {}
                _ => return true,
            }
        }
    }
    false
}

/// The folder that a connection of type `fs` names (`path` in its extra); the root without one.
async fn base(job: &Job, conn_id: &str) -> Result<PathBuf, Failure> {
    let reference = Ref::Connection { conn_id: conn_id.to_owned() };
    let found = render::fetch(&job.node, &job.start, vec![reference]).await?;
    let Some(connection) = found.into_iter().next().and_then(|found| found.value) else {
        if conn_id == DEFAULT_CONNECTION {
            return Ok(PathBuf::from("/"));
        }
        return Err(failure(
            FailureClass::InvalidArguments,
            format!("fs_conn_id: the connection `{conn_id}` does not exist; create it, or write an absolute filepath."),
        ));
    };
    let extra = match &connection["extra"] {
        Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
        other => other.clone(),
    };
    Ok(PathBuf::from(extra["path"].as_str().unwrap_or("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_counts_when_a_file_is_anywhere_below_it() {
        let root = tempfile::tempdir().unwrap();
        let go = AtomicBool::new(false);
        std::fs::create_dir_all(root.path().join("a/b")).unwrap();
        assert!(!counts(root.path(), &go), "folders alone are nothing");
        std::fs::write(root.path().join("a/b/file"), "").unwrap();
        assert!(counts(root.path(), &go) && counts(&root.path().join("a/b/file"), &go));
        assert!(!counts(&root.path().join("none"), &go));
        assert!(!counts(root.path(), &AtomicBool::new(true)), "it stops when nobody waits for it");
    }
}
