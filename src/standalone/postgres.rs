//! The private Postgres of standalone: made once, started with us, stopped by us, and taken over when an earlier standalone
//! was killed and left it running.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::{fs::OpenOptionsExt, net::UnixStream},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::AsyncWriteExt,
    process::Child,
    time::{Instant, sleep, timeout},
};

use super::{
    data_dir::{Layout, blocked_for},
    owner::Owner,
    programs::{self, Programs},
};

/// The role and the database of the private cluster. Whoever can open the socket is this role.
const NAME: &str = "updraft";

/// A socket's path may have at most 107 bytes; the file name takes 17 of them.
const LONGEST_SOCKET_FOLDER: usize = 88;

/// Crash recovery of a large cluster takes its time; a start that takes longer is broken.
const START_LIMIT: Duration = Duration::from_mins(2);

/// A running private Postgres.
#[derive(Debug)]
pub(crate) struct PrivatePostgres {
    pid: Pid,
    /// None: an earlier standalone started it.
    child: Option<Child>,
    cluster: PathBuf,
    socket_folder: PathBuf,
}

impl PrivatePostgres {
    /// Starts the cluster in the data folder, made first if there is none, or takes over the one that is running.
    pub(crate) async fn start(layout: &Layout, bin_dirs: &[PathBuf], path: &[PathBuf]) -> Result<Self> {
        let owner = Owner::find()?;
        if let Some(folder) = blocked_for(&layout.0, owner.uid, owner.gid) {
            bail!(
                "the private Postgres runs as user `{}`, who may not pass through {}; choose a data folder elsewhere with \
                 --data-dir (for example /var/lib/updraft), or use an existing server with --database-url",
                owner.name,
                folder.display()
            );
        }
        let cluster = layout.postgres();
        let wanted = match fs::read_to_string(cluster.join("PG_VERSION")) {
            Ok(text) => Some(text.trim().parse().with_context(|| format!("reading {}/PG_VERSION", cluster.display()))?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("reading {}/PG_VERSION", cluster.display())),
        };
        let programs = programs::find(bin_dirs, path, wanted)?;
        if wanted.is_none() {
            create(&owner, &programs, &cluster).await?;
        }
        let socket_folder = owner.private_folder(&socket_folder(layout))?;
        if let Some(running) = Postmaster::find(&cluster)? {
            if running.usable(&socket_folder) {
                tracing::info!(pid = running.pid.as_raw(), "took over the private Postgres that was left running");
                return Ok(Self { pid: running.pid, child: None, cluster, socket_folder });
            }
            tracing::warn!(pid = running.pid.as_raw(), "restarting the private Postgres that was left running");
            stop(running.pid, &cluster, Signal::SIGINT).await?;
        }
        start(&owner, &programs, layout, cluster, socket_folder).await
    }

    /// The connection URL, for `Store::connect`.
    pub(crate) fn url(&self) -> String {
        url(&self.socket_folder)
    }

    /// The URL of the server that runs in the data folder, if one does.
    pub(crate) fn running_url(layout: &Layout) -> Result<Option<String>> {
        let running = Postmaster::find(&layout.postgres())?.filter(|running| running.ready);
        Ok(running.map(|running| url(&running.socket_folder)))
    }

    /// Stops the server: `fast` rolls back what is open and writes a checkpoint; otherwise it just ends, as in a crash, and
    /// recovers at the next start.
    pub(crate) async fn stop(mut self, fast: bool) -> Result<()> {
        stop(self.pid, &self.cluster, if fast { Signal::SIGINT } else { Signal::SIGQUIT }).await?;
        if let Some(child) = &mut self.child {
            child.wait().await.context("waiting for the private Postgres")?;
        }
        Ok(())
    }

    /// Resolves when the server ended by itself: nothing can go on then.
    pub(crate) async fn ended(&mut self) -> String {
        if let Some(child) = &mut self.child {
            return match child.wait().await {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            };
        }
        while is_postmaster(self.pid, &self.cluster) {
            sleep(Duration::from_secs(1)).await;
        }
        "it is gone".into()
    }
}

fn url(socket_folder: &Path) -> String {
    let folder = socket_folder.display().to_string();
    format!("postgres://{NAME}@{}/{NAME}", folder.replace('%', "%25").replace('/', "%2F"))
}

/// Makes the cluster beside its final place, so that an interrupted start leaves nothing that looks like one.
async fn create(owner: &Owner, programs: &Programs, cluster: &Path) -> Result<()> {
    tracing::info!(folder = %cluster.display(), version = programs.major, "making the private Postgres");
    let fresh = cluster.with_extension("new");
    match fs::remove_dir_all(&fresh) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("removing {}", fresh.display())),
    }
    owner.private_folder(&fresh)?;
    let output = owner
        .command(&programs.initdb(), &fresh)
        .args(["--username", NAME, "--auth-local", "trust", "--auth-host", "reject"])
        .args(["--encoding", "UTF8", "--no-locale", "--no-instructions", "--pgdata"])
        .arg(&fresh)
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| format!("running {}", programs.initdb().display()))?;
    if !output.status.success() {
        bail!("initdb failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    let mut single = owner
        .command(&programs.postgres(), &fresh)
        .args(["--single", "-D"])
        .arg(&fresh)
        .arg("postgres")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("running {}", programs.postgres().display()))?;
    let mut input = single.stdin.take().expect("stdin is piped");
    input.write_all(format!("create database {NAME}\n").as_bytes()).await.context("creating the database")?;
    drop(input);
    let output = single.wait_with_output().await.context("creating the database")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() || said.contains("ERROR:") {
        bail!("creating the database failed ({}): {}", output.status, said.trim());
    }
    fs::rename(&fresh, cluster).with_context(|| format!("renaming {} to {}", fresh.display(), cluster.display()))
}

/// What differs from Postgres' defaults. No TCP; logging to the file that is our child's stderr.
fn settings(socket_folder: &Path) -> Vec<String> {
    [
        "listen_addresses=",
        "max_connections=200",
        "shared_buffers=128MB",
        // Bulk plans touch warm pages; spinning disks are not where this runs.
        "random_page_cost=1.1",
        "jit=off",
        // /dev/shm is 64 MB in a default container, and no query of ours gains from parallel workers.
        "max_parallel_workers_per_gather=0",
        "max_wal_size=2GB",
        "checkpoint_timeout=15min",
        "wal_compression=on",
        "wal_level=minimal",
        "max_wal_senders=0",
        "autovacuum_naptime=15s",
        "log_line_prefix=%m [%p] ",
        "log_checkpoints=off",
        "timezone=UTC",
        "log_timezone=UTC",
    ]
    .iter()
    .map(|setting| (*setting).to_owned())
    .chain([format!("unix_socket_directories={}", socket_folder.display())])
    .collect()
}

async fn start(
    owner: &Owner,
    programs: &Programs,
    layout: &Layout,
    cluster: PathBuf,
    socket_folder: PathBuf,
) -> Result<PrivatePostgres> {
    let log_file = layout.0.join("postgres.log");
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&log_file)
        .with_context(|| format!("opening {}", log_file.display()))?;
    let log_begin = log.metadata().map_or(0, |metadata| metadata.len());
    let mut command = owner.command(&programs.postgres(), &cluster);
    command.arg("-D").arg(&cluster);
    for setting in settings(&socket_folder) {
        command.arg("-c").arg(setting);
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::from(log.try_clone().context("duplicating the log file's handle")?))
        .stderr(Stdio::from(log))
        .spawn()
        .with_context(|| format!("running {}", programs.postgres().display()))?;
    let pid = Pid::from_raw(child.id().context("the private Postgres ended at once")?.cast_signed());
    let deadline = Instant::now() + START_LIMIT;
    loop {
        if let Some(running) = Postmaster::find(&cluster)?
            && running.pid == pid
            && running.usable(&socket_folder)
        {
            return Ok(PrivatePostgres { pid, child: Some(child), cluster, socket_folder });
        }
        if let Some(status) = child.try_wait().context("waiting for the private Postgres")? {
            bail!(
                "the private Postgres ended at its start ({status}): {}",
                tail_since(&log_file, log_begin).unwrap_or_else(|error| error.to_string())
            );
        }
        if Instant::now() > deadline {
            stop(pid, &cluster, Signal::SIGQUIT).await?;
            bail!("the private Postgres was not ready after {START_LIMIT:?}; see {}", log_file.display());
        }
        sleep(Duration::from_millis(10)).await;
    }
}

fn tail_since(file: &Path, begin: u64) -> io::Result<String> {
    let bytes = fs::read(file)?;
    let said = String::from_utf8_lossy(&bytes[(begin as usize).min(bytes.len())..]).trim().to_owned();
    Ok(if said.is_empty() { format!("nothing in {}", file.display()) } else { said })
}

/// In the data folder when its path is short enough for a socket, else in /tmp under a name made of that path.
fn socket_folder(layout: &Layout) -> PathBuf {
    let inside = layout.0.join("socket");
    if inside.as_os_str().len() <= LONGEST_SOCKET_FOLDER {
        return inside;
    }
    // FNV-1a: the name must be the same at the next start, and std's hasher does not promise that.
    let hash = inside
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    PathBuf::from(format!("/tmp/updraft-{}-{hash:016x}", nix::unistd::geteuid()))
}

/// What `postmaster.pid` says, when that process is alive and serves this cluster.
struct Postmaster {
    pid: Pid,
    socket_folder: PathBuf,
    ready: bool,
}

impl Postmaster {
    fn find(cluster: &Path) -> Result<Option<Self>> {
        let file = cluster.join("postmaster.pid");
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("reading {}", file.display())),
        };
        // pid, data folder, start time, port, socket folder, address, shared memory key, status
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let Some(pid) = lines.first().and_then(|line| line.parse().ok()).map(Pid::from_raw) else { return Ok(None) };
        if !is_postmaster(pid, cluster) {
            return Ok(None);
        }
        Ok(Some(Self {
            pid,
            socket_folder: lines.get(4).copied().unwrap_or_default().into(),
            ready: lines.get(7).copied() == Some("ready"),
        }))
    }

    /// Ready, and at the socket that we would make.
    fn usable(&self, socket_folder: &Path) -> bool {
        self.ready
            && self.socket_folder == socket_folder
            && UnixStream::connect(socket_folder.join(".s.PGSQL.5432")).is_ok()
    }
}

/// A process of that number lives and works in the cluster's folder; numbers are reused after a reboot.
fn is_postmaster(pid: Pid, cluster: &Path) -> bool {
    fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder == cluster)
}

/// Signals and waits; a server that does not end in time is ended as in a crash, which it survives.
async fn stop(pid: Pid, cluster: &Path, signal: Signal) -> Result<()> {
    let gone = async {
        while is_postmaster(pid, cluster) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::pin!(gone);
    for signal in [signal, Signal::SIGQUIT, Signal::SIGKILL] {
        match kill(pid, signal) {
            Ok(()) => {}
            Err(Errno::ESRCH) => return Ok(()),
            Err(error) => return Err(error).with_context(|| format!("stopping the private Postgres (process {pid})")),
        }
        if timeout(Duration::from_secs(10), &mut gone).await.is_ok() {
            return Ok(());
        }
        tracing::warn!(pid = pid.as_raw(), %signal, "the private Postgres did not end within 10 s");
    }
    bail!("the private Postgres (process {pid}) cannot be stopped")
}
