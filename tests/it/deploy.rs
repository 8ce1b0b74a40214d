//! What `deploy/` holds is taken by the programs it is for, where they are installed.

use std::{fs, path::PathBuf, process::Command};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Whether a program is here; otherwise says that a test is skipped.
fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("skipped: there is no {program}");
    }
    found
}

#[test]
fn the_systemd_units_are_what_systemd_takes() {
    if !has("systemd-analyze") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no"]);
    for entry in fs::read_dir(root().join("deploy/systemd")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("Type=notify"), "{}", path.display());
        let unit = folder.path().join(path.file_name().unwrap());
        fs::write(&unit, text.replace("/usr/bin/updraft", env!("CARGO_BIN_EXE_updraft"))).unwrap();
        verify.arg(unit);
    }
    let output = verify.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    // It speaks of the machine's other units too.
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("updraft")).collect();
    assert!(output.status.success() && ours.is_empty(), "{said}");
}

#[test]
fn a_unit_is_told_when_its_role_is_ready() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("notify");
    let notified = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    notified.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    fs::write(folder.path().join("token"), "t").unwrap();
    let mut node = Command::new(env!("CARGO_BIN_EXE_updraft"))
        .args(["executor", "--name", "n", "--server", "http://127.0.0.1:1", "--token-file"])
        .arg(folder.path().join("token"))
        .env("UPDRAFT__CORE__DATA_DIR", folder.path().join("data"))
        .env("UPDRAFT__EXECUTOR__DOCKER", "false")
        .env("NOTIFY_SOCKET", &socket)
        .spawn()
        .unwrap();
    let mut message = [0; 64];
    let length = notified.recv(&mut message);
    node.kill().unwrap();
    node.wait().unwrap();
    assert_eq!(std::str::from_utf8(&message[..length.unwrap()]).unwrap().trim(), "READY=1");
}

#[test]
fn the_compose_file_is_what_compose_takes() {
    if !has("docker-compose") {
        return;
    }
    let output = Command::new("docker-compose")
        .args(["-f", "deploy/docker/compose.yaml", "config", "--quiet"])
        .current_dir(root())
        .envs([("UPDRAFT_FERNET_KEY", "k"), ("UPDRAFT_JWT_SECRET", "s"), ("UPDRAFT_ADMIN_PASSWORD", "p")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The image is this binary and what it is linked with; no registry is asked, and no shell is in it.
#[test]
fn the_image_of_nothing_but_the_binary_runs() {
    let daemon = Command::new("docker").arg("info").output().is_ok_and(|output| output.status.success());
    if !daemon {
        eprintln!("skipped: no Docker daemon answers");
        return;
    }
    let image = format!("updraft-test-{}", std::process::id());
    let run = |program: &mut Command| {
        let output = program.output().unwrap();
        (
            output.status.success(),
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)),
        )
    };
    let build = Command::new(root().join("deploy/docker/build.sh"))
        .arg(env!("CARGO_BIN_EXE_updraft"))
        .env("UPDRAFT_IMAGE", &image)
        .output()
        .unwrap();
    let version = run(Command::new("docker").args(["run", "--rm", "--network", "none", &image]));
    let shell =
        run(Command::new("docker").args(["run", "--rm", "--network", "none", "--entrypoint", "/bin/sh", &image]));
    let removed = run(Command::new("docker").args(["rmi", "--force", &image]));
    assert!(build.status.success(), "{}", String::from_utf8_lossy(&build.stderr));
    assert_eq!(version, (true, format!("updraft {}\n", env!("CARGO_PKG_VERSION"))));
    assert!(!shell.0, "{}", shell.1);
    assert!(removed.0, "{}", removed.1);
}
