//! One look at the folder: scan, compile what changed, write it, and settle what is gone.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, SystemTime},
};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use tokio::{task::JoinSet, time::Instant};
use updraft_core::{diagnostic::Diagnostic, yaml::Settings};
use updraft_store::{
    Store, StoreError,
    bundles::{self, Bundle},
    dags::{self, ImportErrorWrite},
    wake::Signal,
};

use super::{
    Config,
    bundle::{self, PackError},
    compile::{Compiled, compile, of_day, whole_file},
    index::{Index, fingerprint, hash_bytes},
    removal::{Missing, Thing, is_suspicious},
    render::render,
    source::{self, Scan},
};

/// Files compiled before any of them is written: bounds memory at the first look at a large folder.
const SLAB: usize = 256;
/// Files written in one transaction, which holds their `dag` rows for some tens of milliseconds.
const BATCH: usize = 32;
/// A DAG can pass from file to file within one look; more often than this it waits for the next.
const MAX_ROUNDS: usize = 4;
/// The import error of the folder itself is filed under this name.
const FOLDER: &str = ".";
/// That of the repository the folder comes from, under this one.
const REPOSITORY: &str = ".git";

/// What one look did, for logs and tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Files that were compiled, in order.
    pub compiled: Vec<String>,
    /// DAGs that got a version: a first one, a new one, or a replaced one.
    pub changed_dags: Vec<String>,
    /// Files of those that have an import error.
    pub import_errors: Vec<String>,
    /// DAGs that were marked stale.
    pub stale_dags: Vec<String>,
    /// The folder's new bundle.
    pub bundle: Option<String>,
    /// Something is unsettled: look again after this time, even if nothing rings.
    pub look_again_in: Option<Duration>,
}

/// What the processor knows of one DAG file.
#[derive(Clone, Debug, Default)]
pub(super) struct FileState {
    /// Of the last compilation; `None`: compile it.
    pub(super) fingerprint: Option<String>,
    pub(super) dependencies: Vec<String>,
    pub(super) includes: Vec<String>,
    /// The DAGs of its last compilation here, if that had no error; otherwise what it owns counts as still there.
    pub(super) defines: Option<BTreeSet<String>>,
    /// DAGs it has, but another file holds.
    pub(super) claims: BTreeSet<String>,
    /// Its stored fingerprint is empty: a restart would compile it again.
    pub(super) is_unsettled: bool,
}

/// The one processor of a bundle. Made from the database when it takes the bundle over; after any error it is dropped, and
/// with it everything it believed.
pub struct Processor {
    pub(super) store: Store,
    pub(super) config: Config,
    /// Holds the session's lock on the bundle; nothing else happens on it but the questions for the time and for wishes.
    lock: PgConnection,
    pub(super) files: BTreeMap<String, FileState>,
    /// DAG → the file that holds it.
    pub(super) owners: HashMap<String, String>,
    index: Index,
    missing: Missing,
    /// The folder's bundle, as stored; `None` while there is none (an empty folder, too large).
    pub(super) bundle: Option<String>,
    /// The folder may not be what `bundle` says any more.
    is_bundle_outdated: bool,
    /// The content that is too large, so that it is not tried at each look.
    refused_bundle: Option<String>,
    is_first: bool,
    /// The commit that the folder shows; `None`: it is no repository.
    pub(super) commit: Option<String>,
    /// The commit that the latest versions were last told.
    told_commit: Option<String>,
    has_folder_error: bool,
    has_repository_error: bool,
    seen_problems: BTreeSet<String>,
}

impl Processor {
    /// Becomes the processor of the bundle, or `None` while another session is.
    pub async fn take_over(store: Store, config: Config) -> Result<Option<Self>, StoreError> {
        let mut session = store.pool().acquire().await?;
        if !dags::try_lock_bundle(&mut session, &config.bundle_name).await? {
            return Ok(None);
        }
        // The lock is this session's: nobody else may get it from the pool, and it ends with this processor.
        let mut lock = session.detach();
        let (known, _) = dags::known_files(&mut lock, &config.bundle_name).await?;
        let (has_folder_error, has_repository_error) = (known.contains_key(FOLDER), known.contains_key(REPOSITORY));
        let mut owners = HashMap::new();
        let mut files = BTreeMap::new();
        for (path, known) in known {
            if path == FOLDER || path == REPOSITORY {
                continue;
            }
            owners.extend(known.dag_ids.into_iter().map(|dag_id| (dag_id, path.clone())));
            let state = FileState {
                fingerprint: Some(known.fingerprint).filter(|fingerprint| !fingerprint.is_empty()),
                dependencies: known.dependencies,
                includes: known.includes,
                ..FileState::default()
            };
            files.insert(path, state);
        }
        Ok(Some(Self {
            store,
            config,
            lock,
            files,
            owners,
            index: Index::default(),
            missing: Missing::default(),
            bundle: None,
            is_bundle_outdated: true,
            refused_bundle: None,
            is_first: true,
            commit: None,
            told_commit: None,
            has_folder_error,
            has_repository_error,
            seen_problems: BTreeSet::new(),
        }))
    }

    /// Looks once. Any error means: drop this processor and take over again.
    pub async fn scan_once(&mut self) -> Result<Report, StoreError> {
        let mut report = Report::default();
        // Also tells whether the session that holds the lock still lives.
        let now = dags::now(&mut self.lock).await?;
        let asked_for = dags::parse_requests(&mut self.lock, &self.config.bundle_name).await?;
        let root = self.config.dags_folder.clone();
        let scan = match blocking(move || source::scan(&root)).await? {
            Ok(scan) => scan,
            Err(error) => {
                self.complain(&[format!("the DAG folder cannot be read: {error}")]);
                self.settle(&BTreeSet::new(), &Scan::default(), true, &mut report).await?;
                return Ok(report);
            }
        };
        self.complain_of(&scan);
        let (scan, changed) = self.update_index(scan).await?;
        let mut present = self.present(&scan);
        let vanished = self.owners.values().filter(|file| !present.contains(*file) && !scan.is_unknown(file)).count();
        let suspicious = is_suspicious(vanished, self.owners.len());
        let bundle_before = self.bundle.clone();
        self.is_bundle_outdated |= !changed.is_empty();
        if self.is_bundle_outdated && !suspicious {
            self.make_bundle(&mut report).await?;
        }

        let settings = Arc::new(source::settings(&self.config.dags_folder, &self.config.rules, now));
        let key = settings_key(&settings);
        let mut todo = self.outdated(&present, &changed, &key, now);
        todo.extend(self.heirs(&present));
        todo.extend(asked_for.iter().filter(|path| present.contains(*path)).cloned());
        for _ in 0..MAX_ROUNDS {
            if todo.is_empty() {
                break;
            }
            let files: Vec<String> = std::mem::take(&mut todo).into_iter().collect();
            for slab in files.chunks(SLAB) {
                let compiled = self.compile(slab, &settings, &key).await?;
                let unknown: Vec<bool> = compiled.iter().map(|one| self.note(one)).collect();
                // What they include is no DAG file.
                present = self.present(&scan);
                let (files, included): (Vec<_>, Vec<_>) =
                    compiled.into_iter().zip(unknown).partition(|(one, _)| present.contains(&one.path));
                for (one, _) in included.iter().filter(|(_, is_unknown)| *is_unknown) {
                    self.files.remove(&one.path);
                }
                let files: Vec<Compiled> = files.into_iter().map(|(one, _)| one).collect();
                for batch in files.chunks(BATCH) {
                    self.write(batch, &present, &mut report).await?;
                }
            }
            todo = self.heirs(&present);
        }
        if self.is_first || self.bundle != bundle_before || self.commit != self.told_commit {
            let mut transaction = self.store.begin().await?;
            let (bundle, commit) = (self.bundle.as_deref(), self.commit.as_deref());
            bundles::set_latest(&mut transaction, &self.config.bundle_name, bundle, commit).await?;
            transaction.commit().await.map_err(unknown_outcome)?;
            self.told_commit.clone_from(&self.commit);
        }
        self.settle(&present, &scan, suspicious, &mut report).await?;
        let needed: BTreeSet<&str> =
            self.files.values().flat_map(|state| state.dependencies.iter().map(String::as_str)).collect();
        self.index.keep_watching(|path| needed.contains(path));
        self.is_first = false;
        if !asked_for.is_empty() {
            dags::parse_requests_done(&mut self.lock, &self.config.bundle_name, &asked_for, now).await?;
        }
        Ok(report)
    }

    /// The files that count as DAG files: what the scan found, minus what others of them include.
    fn present(&self, scan: &Scan) -> BTreeSet<String> {
        let mut included: BTreeSet<&str> = BTreeSet::new();
        for entry in scan.dag_files() {
            // Of two files that include each other the first stays.
            if !included.contains(entry.path.as_str())
                && let Some(state) = self.files.get(&entry.path)
            {
                included.extend(state.includes.iter().map(String::as_str));
            }
        }
        let paths = scan.dag_files().map(|entry| entry.path.as_str());
        paths.filter(|path| !included.contains(path)).map(str::to_owned).collect()
    }

    async fn update_index(&mut self, scan: Scan) -> Result<(Scan, BTreeSet<String>), StoreError> {
        let (mut index, root) = (std::mem::take(&mut self.index), self.config.dags_folder.clone());
        let (index, scan, changed) = blocking(move || {
            let changed = index.update(&root, &scan, SystemTime::now());
            (index, scan, changed)
        })
        .await?;
        self.index = index;
        Ok((scan, changed))
    }

    /// Files to compile: new ones, those whose content or dependencies changed, and once a day those with relative dates.
    fn outdated(
        &mut self,
        present: &BTreeSet<String>,
        changed: &BTreeSet<String>,
        key: &str,
        now: DateTime<Utc>,
    ) -> BTreeSet<String> {
        let root = &self.config.dags_folder;
        let mut outdated = BTreeSet::new();
        for path in present {
            let known = self.files.get(path).and_then(|state| Some((state, state.fingerprint.as_deref()?)));
            let Some((state, known)) = known else {
                outdated.insert(path.clone());
                continue;
            };
            let (base, day) = known.split_once('@').map_or((known, None), |(base, _)| (base, Some(known)));
            let is_another_day = day.is_some_and(|known| known != of_day(base, now));
            let is_touched = self.is_first
                || changed.contains(path)
                || state.dependencies.iter().any(|dependency| changed.contains(dependency));
            let mut is_different = || {
                let content = self.index.hash(root, path);
                let dependencies: Vec<_> =
                    state.dependencies.iter().map(|path| (path.as_str(), self.index.hash(root, path))).collect();
                fingerprint(key, path, content, dependencies.into_iter()) != base
            };
            if is_another_day || (is_touched && is_different()) {
                outdated.insert(path.clone());
            }
        }
        outdated
    }

    /// Compiles files on as many threads as there are cores; the answers come in the order of the paths.
    async fn compile(
        &self,
        paths: &[String],
        settings: &Arc<Settings>,
        key: &str,
    ) -> Result<Vec<Compiled>, StoreError> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut tasks = JoinSet::new();
        for (number, paths) in paths.chunks(paths.len().div_ceil(threads).max(1)).enumerate() {
            let (root, settings, key, paths) =
                (self.config.dags_folder.clone(), settings.clone(), key.to_owned(), paths.to_vec());
            tasks.spawn_blocking(move || {
                let compiled = paths.iter().map(|path| compile(&root, path, &settings, &key));
                (number, compiled.collect::<Vec<_>>())
            });
        }
        let mut parts = BTreeMap::new();
        while let Some(part) = tasks.join_next().await {
            let (number, part) = part.map_err(|error| StoreError::Unavailable(error.to_string()))?;
            parts.insert(number, part);
        }
        Ok(parts.into_values().flatten().collect())
    }

    /// Remembers a compilation before anything is written, so that a DAG can move between files compiled together. Returns
    /// whether the file is new.
    fn note(&mut self, compiled: &Compiled) -> bool {
        for dependency in &compiled.dependencies {
            self.index.hash(&self.config.dags_folder, dependency);
        }
        let is_new = !self.files.contains_key(&compiled.path);
        let state = self.files.entry(compiled.path.clone()).or_default();
        state.includes.clone_from(&compiled.includes);
        state.dependencies.clone_from(&compiled.dependencies);
        state.fingerprint = Some(compiled.fingerprint.clone());
        state.defines = (!compiled.has_errors()).then(|| compiled.dag_ids());
        state.claims.clear();
        is_new
    }

    /// Whether a file still has a DAG, as far as is known: a broken file keeps what it had.
    pub(super) fn holds(&self, file: &str, dag_id: &str, present: &BTreeSet<String>) -> bool {
        present.contains(file)
            && self
                .files
                .get(file)
                .is_some_and(|state| state.defines.as_ref().is_none_or(|defines| defines.contains(dag_id)))
    }

    /// Files that have a DAG which nobody holds any more: they are compiled again and take it over.
    fn heirs(&self, present: &BTreeSet<String>) -> BTreeSet<String> {
        let claims = self.files.iter().flat_map(|(path, state)| state.claims.iter().map(move |dag_id| (path, dag_id)));
        claims
            .filter(|(path, dag_id)| {
                present.contains(*path)
                    && self.owners.get(*dag_id).is_some_and(|holder| !self.holds(holder, dag_id, present))
            })
            .map(|(path, _)| path.clone())
            .collect()
    }

    /// Marks stale and forgets what has been gone for long enough.
    async fn settle(
        &mut self,
        present: &BTreeSet<String>,
        scan: &Scan,
        is_doubtful: bool,
        report: &mut Report,
    ) -> Result<(), StoreError> {
        let is_gone = |path: &str| !present.contains(path) && !scan.is_unknown(path);
        let mut missing: BTreeSet<Thing> =
            self.files.keys().filter(|path| is_gone(path)).map(|path| Thing::File(path.clone())).collect();
        let gone_dags = self
            .owners
            .iter()
            .filter(|(dag_id, file)| is_gone(file) || (present.contains(*file) && !self.holds(file, dag_id, present)));
        missing.extend(gone_dags.map(|(dag_id, _)| Thing::Dag(dag_id.clone())));
        let count = missing.iter().filter(|thing| matches!(thing, Thing::Dag(_))).count();
        let is_doubtful = is_doubtful || is_suspicious(count, self.owners.len());
        let delay = if is_doubtful { self.config.confirm } else { self.config.settle };
        let verdict = self.missing.weigh(missing, delay, Instant::now());
        report.look_again_in = match (report.look_again_in, verdict.look_again_in) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        if is_doubtful && verdict.gone.is_empty() && count > 0 {
            self.complain(&[format!(
                "{count} of {} DAGs are gone at once; they keep running until this has lasted {} s",
                self.owners.len(),
                self.config.confirm.as_secs_f32()
            )]);
        }
        if !verdict.gone.is_empty() {
            self.remove(verdict.gone, report).await?;
        }
        self.settle_files().await
    }

    async fn remove(&mut self, gone: BTreeSet<Thing>, report: &mut Report) -> Result<(), StoreError> {
        let (mut files, mut dags) = (Vec::new(), Vec::new());
        for thing in gone {
            match thing {
                Thing::File(path) => files.push(path),
                Thing::Dag(dag_id) => dags.extend(self.owners.remove(&dag_id).map(|file| (dag_id, file))),
            }
        }
        for path in &files {
            self.files.remove(path);
        }
        let mut transaction = self.store.begin().await?;
        if !dags.is_empty() {
            dags::mark_stale(&mut transaction, &self.config.bundle_name, &dags).await?;
        }
        dags::forget_files(&mut transaction, &self.config.bundle_name, &files).await?;
        transaction.commit().await.map_err(unknown_outcome)?;
        self.store.wake().ring(Signal::Dags);
        for (dag_id, file) in dags {
            tracing::info!(dag_id, file, "the DAG is gone from its file: stale");
            report.stale_dags.push(dag_id);
        }
        report.stale_dags.sort_unstable();
        Ok(())
    }

    /// Stores the fingerprints of files about which nothing is open any more, so that a restart need not compile them.
    async fn settle_files(&mut self) -> Result<(), StoreError> {
        let open: BTreeSet<&String> = self
            .owners
            .iter()
            .filter(|(dag_id, file)| {
                let defines = self.files.get(*file).and_then(|state| state.defines.as_ref());
                defines.is_some_and(|defines| !defines.contains(*dag_id))
            })
            .map(|(_, file)| file)
            .collect();
        let settled: Vec<String> = self
            .files
            .iter()
            .filter(|(path, state)| {
                state.is_unsettled && state.defines.is_some() && state.claims.is_empty() && !open.contains(path)
            })
            .map(|(path, _)| path.clone())
            .collect();
        for path in settled {
            let Some(state) = self.files.get_mut(&path) else { continue };
            let Some(fingerprint) = &state.fingerprint else { continue };
            let mut connection = self.store.pool().acquire().await?;
            dags::set_fingerprint(&mut connection, &self.config.bundle_name, &path, fingerprint).await?;
            state.is_unsettled = false;
        }
        Ok(())
    }

    /// Stores the folder's bundle when its content changed. A folder that is too large is an import error of its own, and its
    /// DAGs run without code beside them.
    async fn make_bundle(&mut self, report: &mut Report) -> Result<(), StoreError> {
        let entries = self.index.bundle();
        let hash = bundle::hash(&entries);
        if entries.is_empty() {
            (self.bundle, self.is_bundle_outdated) = (None, false);
            return self.folder_error(None).await;
        }
        if self.bundle.as_ref() == Some(&hash) || self.refused_bundle.as_ref() == Some(&hash) {
            self.is_bundle_outdated = false;
            return Ok(());
        }
        let mut connection = self.store.pool().acquire().await?;
        if !bundles::exists(&mut connection, &hash).await? {
            let (root, limit) = (self.config.dags_folder.clone(), self.config.max_bundle);
            match blocking(move || bundle::pack(&root, &entries, limit)).await? {
                Ok(content) => {
                    bundles::put(&mut connection, &Bundle { hash: hash.clone(), content }).await?;
                    report.bundle = Some(hash.clone());
                }
                Err(PackError::TooLarge) => {
                    (self.bundle, self.refused_bundle, self.is_bundle_outdated) = (None, Some(hash), false);
                    let message = format!(
                        "the DAG folder is larger than {} MiB when packed, so its files are not sent to the nodes; tasks \
                         that need them will not find them",
                        limit.div_ceil(1024 * 1024)
                    );
                    tracing::warn!(folder = %self.config.dags_folder.display(), "{message}");
                    return self.folder_error(Some(&message)).await;
                }
                Err(error @ (PackError::Changed(_) | PackError::Io(_))) => {
                    // Somebody is writing; the earlier bundle stays until the folder holds still.
                    tracing::debug!(%error, "the bundle is packed at the next look");
                    report.look_again_in = Some(self.config.settle);
                    return Ok(());
                }
            }
        }
        (self.bundle, self.refused_bundle, self.is_bundle_outdated) = (Some(hash), None, false);
        self.folder_error(None).await
    }

    async fn folder_error(&mut self, message: Option<&str>) -> Result<(), StoreError> {
        if message.is_none() && !self.has_folder_error {
            return Ok(());
        }
        let help = "move what is no code out of the folder";
        let error = message.map(|message| whole_file("bundle_too_large", message.to_owned(), Some(help)));
        self.error_of(FOLDER, error).await?;
        self.has_folder_error = message.is_some();
        Ok(())
    }

    /// The folder shows this commit now, and the repository could (not) be asked.
    pub(super) async fn follow_commit(
        &mut self,
        commit: Option<String>,
        error: Option<String>,
    ) -> Result<(), StoreError> {
        if let Some(commit) = commit.as_ref().filter(|commit| self.commit.as_ref() != Some(commit)) {
            tracing::info!(commit, "the DAG folder shows another commit");
        }
        self.commit = commit;
        if error.is_none() && !self.has_repository_error {
            return Ok(());
        }
        self.has_repository_error = error.is_some();
        let help = "see [git] in the configuration; the last commit that was read goes on";
        self.error_of(REPOSITORY, error.map(|message| whole_file("git_failed", message, Some(help)))).await
    }

    /// Files or clears an import error of the whole folder.
    async fn error_of(&mut self, name: &str, error: Option<Diagnostic>) -> Result<(), StoreError> {
        let diagnostics = error.map(|error| vec![error]);
        let mut transaction = self.store.begin().await?;
        match diagnostics {
            Some(diagnostics) => {
                let stacktrace = render(name, "", &diagnostics);
                let diagnostics = serde_json::to_value(&diagnostics)?;
                let error = ImportErrorWrite { stacktrace: &stacktrace, diagnostics: &diagnostics };
                dags::set_import_error(&mut transaction, &self.config.bundle_name, name, Some(&error)).await?;
            }
            None => dags::set_import_error(&mut transaction, &self.config.bundle_name, name, None).await?,
        }
        transaction.commit().await.map_err(unknown_outcome)?;
        self.store.wake().ring(Signal::Dags);
        Ok(())
    }

    fn complain_of(&mut self, scan: &Scan) {
        let unreadable =
            scan.unreadable.iter().map(|(folder, error)| format!("the folder `{folder}` cannot be read: {error}"));
        let names = scan.not_utf8.iter().map(|name| format!("the name `{name}` is not UTF-8, the file is left out"));
        let problems: Vec<String> = unreadable.chain(names).collect();
        self.complain(&problems);
    }

    /// Logs each problem once while it lasts.
    fn complain(&mut self, problems: &[String]) {
        for problem in problems {
            if !self.seen_problems.contains(problem) {
                tracing::warn!(folder = %self.config.dags_folder.display(), "{problem}");
            }
        }
        self.seen_problems = problems.iter().cloned().collect();
    }
}

/// Runs what reads files on a thread that may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, StoreError> {
    // Only a panic or the runtime's end gets here; both mean: start over.
    tokio::task::spawn_blocking(work).await.map_err(|error| StoreError::Unavailable(error.to_string()))
}

/// How files are compiled, as text: a change of it, or another version of the program, compiles all anew.
fn settings_key(settings: &Settings) -> String {
    // Every setting but the day, which each file is asked about by itself: a new one does not compile until it is here.
    let Settings { now: _, env, default_timezone, create_cron_data_intervals, max_map_length, root } = settings;
    let text = format!(
        "{} {env:?} {default_timezone} {create_cron_data_intervals} {max_map_length} {root:?}",
        env!("CARGO_PKG_VERSION")
    );
    updraft_core::dag::hex(&hash_bytes(text.as_bytes()))
}

/// The commit was sent: whether it happened is not known.
pub(super) fn unknown_outcome(error: sqlx::Error) -> StoreError {
    match StoreError::from(error) {
        StoreError::Unavailable(message) => StoreError::UnknownOutcome(message),
        other => other,
    }
}
