//! Session facts of a node that has a desktop: who is logged in there, whether the screen is locked, how large it is. An RPA task
//! that clicks needs all three, and a person wants to see why it did not. What cannot be known is left out.

use std::{collections::HashMap, ffi::OsStr, fs, path::Path, process::Stdio, time::Duration};

use tokio::process::Command;
use updraft_protocol::Desktop;

use crate::runner::process::Programs;

/// Sessions as systemd-logind writes them down.
const SESSIONS: &str = "run/systemd/sessions";
/// A program that does not answer in this time does not know.
const PATIENCE: Duration = Duration::from_secs(2);

/// The graphical session at the machine's seat, or the login screen there; `None` where there is neither. `root`: `/`, or a
/// folder that stands for it in a test.
pub(crate) async fn read(root: &Path, programs: &Programs) -> Option<Desktop> {
    let mut sessions: Vec<Session> =
        fs::read_dir(root.join(SESSIONS)).ok()?.flatten().filter_map(|entry| Session::read(&entry.path())).collect();
    // Whoever is in front of the screen, before one that was switched away; people before the login screen.
    sessions.sort_by_key(|session| (!session.is_active, session.is_greeter, session.id.clone()));
    let session = sessions.into_iter().next()?;
    let (locked, resolution) = tokio::join!(locked(&session, programs), resolution(&session, programs));
    Some(Desktop { user: (!session.is_greeter).then_some(session.user), kind: session.kind, locked, resolution })
}

/// A session with a screen.
struct Session {
    id: String,
    user: String,
    /// `x11`, `wayland` or `mir`.
    kind: String,
    is_active: bool,
    is_greeter: bool,
    /// Of X11.
    display: Option<String>,
}

impl Session {
    /// `None` when it is none of a screen.
    fn read(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let fields: HashMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
        let field = |name: &str| fields.get(name).map(|value| value.trim_matches('"').to_owned());
        let (kind, class) = (field("TYPE")?, field("CLASS")?);
        let is_greeter = class == "greeter";
        if !matches!(&*kind, "x11" | "wayland" | "mir") || !(is_greeter || class.starts_with("user")) {
            return None;
        }
        Some(Self {
            id: path.file_name()?.to_str()?.to_owned(),
            user: field("USER")?,
            kind,
            is_active: field("ACTIVE").as_deref() == Some("1"),
            is_greeter,
            display: field("DISPLAY"),
        })
    }
}

/// What the desktop told logind. One that never told is not locked as far as logind knows, so only a screen that says so counts.
async fn locked(session: &Session, programs: &Programs) -> Option<bool> {
    if session.is_greeter {
        return None;
    }
    let words = ["show-session", &session.id, "--property=LockedHint", "--value"];
    match ask(programs, "loginctl", &words, None).await?.trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// `1920x1080`: of all screens together, as the X server says. Wayland tells nobody outside the session.
async fn resolution(session: &Session, programs: &Programs) -> Option<String> {
    let display = session.display.as_deref()?;
    let said = ask(programs, "xrandr", &["--current"], Some(display)).await?;
    let (_, rest) = said.split_once("current ")?;
    let (size, _) = rest.split_once(',')?;
    let (width, height) = size.split_once(" x ")?;
    Some(format!("{}x{}", width.trim().parse::<u32>().ok()?, height.trim().parse::<u32>().ok()?))
}

async fn ask(programs: &Programs, program: &str, words: &[&str], display: Option<&str>) -> Option<String> {
    let mut command = Command::new(programs.find(OsStr::new(program))?);
    command.args(words).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    if let Some(display) = display {
        command.env("DISPLAY", display);
    }
    let output = tokio::time::timeout(PATIENCE, command.output()).await.ok()?.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A folder that stands for `/`, with these sessions and programs.
    fn machine(sessions: &[(&str, &str)], programs: &[(&str, &str)]) -> (tempfile::TempDir, Programs) {
        let root = tempfile::tempdir().unwrap();
        let (folder, bin) = (root.path().join(SESSIONS), root.path().join("bin"));
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir(&bin).unwrap();
        for (id, text) in sessions {
            fs::write(folder.join(id), text).unwrap();
        }
        for (name, text) in programs {
            fs::write(bin.join(name), format!("#!/bin/sh\n{text}\n")).unwrap();
            fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        (root, Programs::new(Some(bin.into())))
    }

    const XRANDR: &str = "echo \"Screen 0: minimum 8 x 8, current 3840 x 1080, maximum 32767 x 32767 $DISPLAY\"";

    #[tokio::test]
    async fn the_session_in_front_of_the_screen_is_told() {
        let (root, programs) = machine(
            &[
                ("2", "UID=1000\nUSER=left\nACTIVE=0\nTYPE=x11\nCLASS=user\nDISPLAY=:1\n"),
                ("3", "UID=1001\nUSER=robot\nACTIVE=1\nTYPE=x11\nCLASS=user\nDISPLAY=:0\n"),
                ("4", "UID=0\nUSER=root\nACTIVE=1\nTYPE=tty\nCLASS=user\n"),
            ],
            &[("loginctl", "[ $2 = 3 ] && echo yes"), ("xrandr", XRANDR)],
        );
        let desktop = read(root.path(), &programs).await.unwrap();
        assert_eq!(
            (desktop.user.as_deref(), &*desktop.kind, desktop.locked, desktop.resolution.as_deref()),
            (Some("robot"), "x11", Some(true), Some("3840x1080"))
        );
    }

    #[tokio::test]
    async fn what_nobody_says_is_left_out() {
        let greeter = "UID=120\nUSER=gdm\nACTIVE=1\nTYPE=wayland\nCLASS=greeter\n";
        let (root, programs) = machine(&[("c1", greeter)], &[]);
        let desktop = read(root.path(), &programs).await.unwrap();
        assert_eq!((desktop.user, &*desktop.kind, desktop.locked, desktop.resolution), (None, "wayland", None, None));
        let (root, programs) =
            machine(&[("1", "USER=root\nACTIVE=1\nTYPE=tty\nCLASS=user\n")], &[("xrandr", "exit 1")]);
        assert!(read(root.path(), &programs).await.is_none(), "a server has no desktop");
        assert!(read(&root.path().join("nowhere"), &programs).await.is_none());
    }
}
