//! Compiled files, written in one transaction: their DAGs, versions and next runs, their import errors.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use serde_json::Value;
use updraft_core::{
    dag::Dag,
    diagnostic::{Diagnostic, Excerpted, Severity},
    failpoint,
    timetable::{self, DataInterval},
};
use updraft_store::{
    StoreError,
    dags::{self, DagWrite, FileWrite, ImportErrorWrite, LockedDag, NextDagRun, VersionWrite},
    wake::Signal,
};

use super::{
    compile::{Compiled, CompiledDag, whole_file},
    pass::{Processor, Report, unknown_outcome},
    render::render,
};

/// What a transaction did, to be believed once it is committed.
#[derive(Default)]
struct Written {
    dag_ids: Vec<String>,
    changed: Vec<String>,
    claims: BTreeSet<String>,
    is_unsettled: bool,
    has_import_error: bool,
}

impl Processor {
    /// Writes some files, in one transaction: a cold folder is thousands of them. When the database refuses one, each is written
    /// by itself, and the refused one gets an import error. Only trouble with the database itself is an error.
    pub(super) async fn write(
        &mut self,
        files: &[Compiled],
        present: &BTreeSet<String>,
        report: &mut Report,
    ) -> Result<(), StoreError> {
        let written = match self.try_write(files, present).await {
            Ok(written) => written,
            Err(error) if is_about_a_file(&error) => match files {
                [file] => vec![self.write_refusal(file, &error).await?],
                files => {
                    for file in files.chunks(1) {
                        Box::pin(self.write(file, present, report)).await?;
                    }
                    return Ok(());
                }
            },
            Err(error) => return Err(error),
        };
        self.store.wake().ring(Signal::Dags);
        for (compiled, written) in files.iter().zip(written) {
            self.believe(compiled, written, report);
        }
        Ok(())
    }

    /// What is committed.
    fn believe(&mut self, compiled: &Compiled, written: Written, report: &mut Report) {
        report.compiled.push(compiled.path.clone());
        if written.has_import_error {
            tracing::info!(file = compiled.path, "the DAG file has errors");
            report.import_errors.push(compiled.path.clone());
        }
        for dag_id in written.dag_ids {
            self.owners.insert(dag_id, compiled.path.clone());
        }
        for dag_id in &written.changed {
            tracing::info!(dag_id, file = compiled.path, "the DAG has a new version");
        }
        report.changed_dags.extend(written.changed);
        if let Some(state) = self.files.get_mut(&compiled.path) {
            state.claims = written.claims;
            state.is_unsettled = written.is_unsettled;
        }
    }

    async fn try_write(&self, files: &[Compiled], present: &BTreeSet<String>) -> Result<Vec<Written>, StoreError> {
        let mut transaction = self.store.begin().await?;
        // All rows in the order of their ids, before any of them is written.
        let ids: Vec<String> = files.iter().flat_map(Compiled::dag_ids).collect();
        let (mut locked, now) = dags::lock(&mut transaction, &ids).await?;
        let mut all = Vec::with_capacity(files.len());
        let mut seen = BTreeSet::new();
        for compiled in files {
            let ids = compiled.dag_ids();
            // An earlier file of this transaction has the same DAG: what it wrote counts.
            let twice: Vec<String> = ids.intersection(&seen).cloned().collect();
            if !twice.is_empty() {
                locked.extend(dags::lock(&mut transaction, &twice).await?.0);
            }
            seen.extend(ids);
            all.push(self.write_one(&mut transaction, compiled, present, &locked, now).await?);
        }
        failpoint!("dag_processor.before_commit");
        transaction.commit().await.map_err(unknown_outcome)?;
        failpoint!("dag_processor.after_commit");
        Ok(all)
    }

    async fn write_one(
        &self,
        connection: &mut sqlx::PgConnection,
        compiled: &Compiled,
        present: &BTreeSet<String>,
        locked: &HashMap<String, LockedDag>,
        now: DateTime<Utc>,
    ) -> Result<Written, StoreError> {
        let mut written = Written::default();
        let mut diagnostics = compiled.diagnostics.clone();
        let mut ours = Vec::new();
        for dag in &compiled.dags {
            let row = locked.get(dag.dag.dag_id.as_str());
            match row.and_then(|row| self.other_holder(row, &compiled.path, present)) {
                Some(holder) => {
                    diagnostics.push(duplicate(dag, &compiled.path, &holder));
                    written.claims.insert(dag.dag.dag_id.to_string());
                }
                None => ours.push((dag, row)),
            }
        }
        written.has_import_error = diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
        for (dag, row) in ours {
            let (write, is_new_version) = self.decide(compiled, dag, row, now);
            dags::write_dag(connection, &write).await?;
            written.dag_ids.push(dag.dag.dag_id.to_string());
            if is_new_version {
                written.changed.push(dag.dag.dag_id.to_string());
            }
        }
        let kept = self.kept(compiled);
        written.is_unsettled = !written.claims.is_empty() || !(compiled.has_errors() || kept.is_empty());
        self.write_file_row(connection, compiled, &diagnostics, &kept, !written.is_unsettled).await?;
        Ok(written)
    }

    /// DAGs at home in the file that this compilation did not give: broken ones, which keep running, or (the file has no
    /// error) ones that are about to go.
    fn kept(&self, compiled: &Compiled) -> Vec<String> {
        let given = compiled.dag_ids();
        let mut kept: Vec<String> = self
            .owners
            .iter()
            .filter(|(dag_id, file)| **file == compiled.path && !given.contains(*dag_id))
            .map(|(dag_id, _)| dag_id.clone())
            .collect();
        kept.sort_unstable();
        kept
    }

    /// The other file (or bundle) that had the DAG first and still has it.
    fn other_holder(&self, row: &LockedDag, path: &str, present: &BTreeSet<String>) -> Option<String> {
        if row.is_stale {
            return None;
        }
        if row.bundle_name != self.config.bundle_name {
            return Some(format!("{} (bundle {})", row.relative_fileloc, row.bundle_name));
        }
        let elsewhere = row.relative_fileloc != path && self.holds(&row.relative_fileloc, &row.dag_id, present);
        elsewhere.then(|| row.relative_fileloc.clone())
    }

    /// What becomes of one DAG, and whether that is another version.
    fn decide<'a>(
        &'a self,
        compiled: &'a Compiled,
        dag: &'a CompiledDag,
        row: Option<&LockedDag>,
        now: DateTime<Utc>,
    ) -> (DagWrite<'a>, bool) {
        let version = match row.and_then(|row| row.version.as_ref()) {
            None => VersionWrite::New { number: 1 },
            Some(version) if version.hash == dag.hash => VersionWrite::Keep { id: version.id },
            Some(version) if version.in_use => VersionWrite::New { number: version.version_number + 1 },
            Some(version) => VersionWrite::Replace { id: version.id },
        };
        let is_changed = !matches!(version, VersionWrite::Keep { .. });
        let must_schedule = is_changed || dag.has_relative_dates() || row.is_none_or(|row| row.is_stale);
        let last_run = row.and_then(|row| row.last_run);
        let write = DagWrite {
            dag: &dag.dag,
            hash: &dag.hash,
            id: row.map(|row| row.id),
            is_paused: dag.dag.is_paused_upon_creation.unwrap_or(self.config.dags_are_paused_at_creation),
            bundle_name: &self.config.bundle_name,
            relative_fileloc: &compiled.path,
            fileloc: self.fileloc(&compiled.path),
            owners: &dag.owners,
            timetable_summary: dag.timetable_summary.as_deref(),
            timetable_description: &dag.timetable_description,
            parse_duration: compiled.duration.as_secs_f64(),
            version,
            source: &compiled.source,
            bundle_hash: self.bundle.as_deref(),
            bundle_version: self.commit.as_deref(),
            next_dagrun: must_schedule.then(|| next_dagrun(&dag.dag, last_run, now)),
        };
        (write, is_changed)
    }

    fn fileloc(&self, path: &str) -> String {
        self.config.dags_folder.join(path).to_string_lossy().into_owned()
    }

    async fn write_file_row(
        &self,
        connection: &mut sqlx::PgConnection,
        compiled: &Compiled,
        diagnostics: &[Diagnostic],
        kept: &[String],
        is_settled: bool,
    ) -> Result<(), StoreError> {
        let has_error = diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
        let stacktrace = render(&compiled.path, &compiled.source, diagnostics);
        let shown = diagnostics.iter().cloned().map(|found| Excerpted::new(found, &compiled.source));
        let json = without_nul(serde_json::to_value(shown.collect::<Vec<_>>())?);
        let write = FileWrite {
            bundle_name: &self.config.bundle_name,
            relative_fileloc: &compiled.path,
            fingerprint: if is_settled { &compiled.fingerprint } else { "" },
            dependencies: &compiled.dependencies,
            includes: &compiled.includes,
            parse_duration: compiled.duration.as_secs_f64(),
            import_error: has_error.then_some(ImportErrorWrite { stacktrace: &stacktrace, diagnostics: &json }),
            kept_dag_ids: kept,
        };
        dags::write_file(connection, &write).await
    }

    /// The database refused what the file says (a NUL character, an id taken by another bundle at this moment): the last good
    /// versions stay, and the file says why.
    async fn write_refusal(&mut self, compiled: &Compiled, error: &StoreError) -> Result<Written, StoreError> {
        let message = format!("the DAGs of this file cannot be stored: {error}");
        let diagnostics = [whole_file("cannot_be_stored", message, None)];
        let kept: Vec<String> =
            self.owners.iter().filter(|(_, file)| **file == compiled.path).map(|(dag_id, _)| dag_id.clone()).collect();
        let mut transaction = self.store.begin().await?;
        self.write_file_row(&mut transaction, compiled, &diagnostics, &kept, false).await?;
        transaction.commit().await.map_err(unknown_outcome)?;
        if let Some(state) = self.files.get_mut(&compiled.path) {
            state.defines = None;
        }
        Ok(Written { has_import_error: true, is_unsettled: true, ..Written::default() })
    }
}

/// Whether the same transaction would fail again for any connection: it is the file's content that is refused.
fn is_about_a_file(error: &StoreError) -> bool {
    match error {
        StoreError::Constraint { .. } | StoreError::Data(_) | StoreError::Unstorable(_) => true,
        // Class 22: data exception.
        StoreError::Database(sqlx::Error::Database(error)) => error.code().is_some_and(|code| code.starts_with("22")),
        _ => false,
    }
}

fn duplicate(dag: &CompiledDag, path: &str, holder: &str) -> Diagnostic {
    let dag_id = &dag.dag.dag_id;
    let message = format!("the DAG id `{dag_id}` of `{path}` is already used by `{holder}`, which had it first");
    let help = format!("rename the DAG in one of `{holder}` and `{path}`, or remove one of the files");
    let mut diagnostic = whole_file("duplicate_dag_id", message, Some(&help));
    diagnostic.dag_id = Some(dag_id.to_string());
    (diagnostic.line, diagnostic.end_line) = (dag.line, dag.line);
    diagnostic.end_column = 1 + dag_id.as_str().chars().count() as u32;
    diagnostic
}

fn next_dagrun(dag: &Dag, last: Option<(DateTime<Utc>, DateTime<Utc>)>, now: DateTime<Utc>) -> NextDagRun {
    let last = last.map(|(start, end)| DataInterval { start, end });
    match timetable::next_dagrun_info(dag.timed_schedule(), last, &timetable::restriction(dag), now) {
        Some(info) => NextDagRun {
            logical_date: info.logical_date,
            data_interval: info.data_interval.map(|interval| (interval.start, interval.end)),
            run_after: Some(info.run_after),
        },
        None => NextDagRun::default(),
    }
}

/// Postgres' jsonb has no place for NUL characters.
fn without_nul(value: Value) -> Value {
    match value {
        Value::String(text) if text.contains('\0') => Value::String(text.replace('\0', "\u{fffd}")),
        Value::Array(items) => Value::Array(items.into_iter().map(without_nul).collect()),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, value)| (name, without_nul(value))).collect())
        }
        other => other,
    }
}
