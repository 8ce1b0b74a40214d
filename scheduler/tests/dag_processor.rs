//! The DAG processor against a real folder and a real Postgres, one look at a time.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{fs, path::PathBuf, time::Duration};

use sqlx::{Connection, PgConnection, Row};
use tokio_util::sync::CancellationToken;
use updraft_scheduler::dag_processor::{self, Config, Processor, Report};
use updraft_store::{Store, bundles, dags, testing::TestDb, versions::DagCache, wake::Signal};

struct Bench {
    folder: tempfile::TempDir,
    store: Store,
    config: Config,
    processor: Processor,
    db: TestDb,
}

impl Bench {
    async fn new() -> Self {
        let (folder, db) = (tempfile::tempdir().unwrap(), TestDb::new().await);
        let store = db.store().await;
        let mut config = Config::new(folder.path());
        // Two looks are enough for anything; the delays have tests of their own.
        (config.settle, config.confirm) = (Duration::ZERO, Duration::ZERO);
        let processor = take_over(&store, &config).await;
        Self { folder, store, config, processor, db }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), content).unwrap();
    }

    fn remove(&self, path: &str) {
        fs::remove_file(self.path(path)).unwrap();
    }

    async fn look(&mut self) -> Report {
        self.processor.scan_once().await.unwrap()
    }

    /// Ends the processor and starts another.
    async fn restart(mut self) -> Self {
        drop(self.processor);
        self.processor = take_over(&self.store, &self.config).await;
        self
    }

    /// `dag_id file [stale] vN`, sorted.
    async fn dags(&self) -> Vec<String> {
        let rows = sqlx::query(
            "select dag_id || ' ' || relative_fileloc || case when is_stale then ' stale' else '' end
                    || ' v' || v.version_number as line
             from dag join dag_version v on v.id = latest_version_id order by dag_id",
        );
        rows.fetch_all(self.store.pool()).await.unwrap().iter().map(|row| row.get("line")).collect()
    }

    /// The bash command of a DAG's only task, as the latest version has it.
    async fn command(&self, dag_id: &str) -> String {
        let version: i64 = sqlx::query_scalar("select latest_version_id from dag where dag_id = $1")
            .bind(dag_id)
            .fetch_one(self.store.pool())
            .await
            .unwrap();
        let dag = DagCache::default().get(self.store.pool(), version).await.unwrap();
        dag.tasks[0].args["bash_command"].as_str().unwrap().to_owned()
    }

    async fn import_error(&self, file: &str) -> Option<String> {
        sqlx::query_scalar("select stacktrace from import_error where filename = $1")
            .bind(file)
            .fetch_optional(self.store.pool())
            .await
            .unwrap()
    }

    async fn text(&self, sql: &'static str) -> Option<String> {
        sqlx::query_scalar(sql).fetch_one(self.store.pool()).await.unwrap()
    }

    /// A finished scheduled run of a DAG's latest version.
    async fn add_run(&self, dag_id: &str, state: &str) {
        sqlx::query(
            "insert into dag_run (dag_fk, run_id, tag, state, run_type, logical_date, data_interval_start,
                                  data_interval_end, run_after, dag_version_id)
             select id, 'r', 1, $2, 'scheduled', '2024-03-01', '2024-03-01', '2024-03-01', '2024-03-01', latest_version_id
             from dag where dag_id = $1",
        )
        .bind(dag_id)
        .bind(state)
        .execute(self.store.pool())
        .await
        .unwrap();
    }
}

async fn take_over(store: &Store, config: &Config) -> Processor {
    // The session of a dropped processor ends a moment after its connection: ask until it has.
    loop {
        if let Some(processor) = Processor::take_over(store.clone(), config.clone()).await.unwrap() {
            return processor;
        }
        tokio::task::yield_now().await;
    }
}

/// A file with one DAG of one bash task.
fn dag(dag_id: &str, command: &str) -> String {
    format!(
        "{dag_id}:\n  schedule: '@daily'\n  catchup: true\n  start_date: 2024-01-01\n  tasks:\n    t:\n      bash: {command}\n"
    )
}

const BROKEN: &str = "a:\n  tasks:\n    t:\n      bash: x\n      depends_on: [nobody]\n";

#[tokio::test]
async fn a_new_file_is_live_after_one_look() {
    let mut bench = Bench::new().await;
    bench.write("sub/a.yml", dag("a", "echo 1"));
    let report = bench.look().await;
    assert_eq!(report.changed_dags, ["a"]);
    assert_eq!(report.look_again_in, None);
    assert_eq!(bench.dags().await, ["a sub/a.yml v1"]);
    assert_eq!(bench.command("a").await, "echo 1");
    let facts = "select concat_ws(' ', is_paused, owners, timetable_summary, next_dagrun at time zone 'utc',
                 next_dagrun_create_after at time zone 'utc') from dag";
    assert_eq!(bench.text(facts).await.unwrap(), "t airflow 0 0 * * * 2024-01-01 00:00:00 2024-01-01 00:00:00");
}

#[tokio::test]
async fn an_unchanged_folder_compiles_nothing_and_makes_no_version() {
    let mut bench = Bench::new().await;
    bench.write("a.yml", dag("a", "echo 1"));
    bench.look().await;
    assert_eq!(bench.look().await, Report::default());
    bench.write("a.yml", dag("a", "echo 1"));
    assert_eq!(bench.look().await, Report::default(), "written anew with the same content");
    bench.write("a.yml", format!("# a comment\n{}", dag("a", "echo 1")));
    let report = bench.look().await;
    assert_eq!((report.compiled.len(), report.changed_dags.len()), (1, 0), "the same DAG in another text");
    let source = bench.text("select source from dag_version").await.unwrap();
    assert!(source.starts_with("# a comment"), "the source is today's");
}

#[tokio::test]
async fn a_version_gets_a_new_number_only_when_a_run_refers_to_it() {
    let mut bench = Bench::new().await;
    let ids = "select latest_version_id || ' ' || (select count(*) from dag_version) from dag";
    bench.write("a.yml", dag("a", "echo 1"));
    bench.look().await;
    let first = bench.text(ids).await;
    bench.write("a.yml", dag("a", "echo 2"));
    bench.look().await;
    assert_eq!((bench.dags().await, bench.command("a").await), (vec!["a a.yml v1".to_owned()], "echo 2".to_owned()));
    assert_ne!(bench.text(ids).await, first, "what an id means never changes");
    bench.add_run("a", "success").await;
    bench.write("a.yml", dag("a", "echo 3"));
    bench.look().await;
    assert_eq!(bench.dags().await, ["a a.yml v2"]);
    assert_eq!(bench.command("a").await, "echo 3");
    let next = "select (next_dagrun at time zone 'utc')::text from dag";
    assert_eq!(bench.text(next).await.unwrap(), "2024-03-02 00:00:00", "the schedule goes on after the last run");
}

#[tokio::test]
async fn a_broken_file_keeps_its_last_good_version_and_touches_nothing_else() {
    let mut bench = Bench::new().await;
    bench.write("a.yml", dag("a", "echo 1"));
    bench.write("b.yml", dag("b", "echo 1"));
    bench.look().await;
    bench.write("a.yml", BROKEN);
    let report = bench.look().await;
    assert_eq!((report.import_errors, report.stale_dags.len()), (vec!["a.yml".to_owned()], 0));
    bench.look().await;
    assert_eq!(bench.dags().await, ["a a.yml v1", "b b.yml v1"]);
    assert_eq!(bench.command("a").await, "echo 1");
    let error = bench.import_error("a.yml").await.unwrap();
    assert!(error.starts_with("a.yml:5:") && error.contains("nobody"), "{error}");
    let flags = "select string_agg(dag_id || has_import_errors, ' ' order by dag_id) from dag";
    assert_eq!(bench.text(flags).await.unwrap(), "atrue bfalse");
    bench.write("a.yml", dag("a", "echo 2"));
    bench.look().await;
    assert_eq!(bench.import_error("a.yml").await, None);
    assert_eq!(bench.text(flags).await.unwrap(), "afalse bfalse");
    assert_eq!(bench.command("a").await, "echo 2");
}

#[tokio::test]
async fn a_broken_dag_does_not_take_the_others_of_its_file_down() {
    let mut bench = Bench::new().await;
    bench.write("a.yml", BROKEN.to_owned() + &dag("b", "echo 1"));
    let report = bench.look().await;
    assert_eq!((report.changed_dags, report.import_errors), (vec!["b".to_owned()], vec!["a.yml".to_owned()]));
    assert_eq!(bench.text("select has_import_errors::text from dag").await.unwrap(), "false");
    bench.write("a.yml", BROKEN);
    bench.look().await;
    bench.look().await;
    assert_eq!(bench.dags().await, ["b a.yml v1"], "a file with errors takes no DAG away");
    assert_eq!(bench.text("select has_import_errors::text from dag").await.unwrap(), "true");
}

#[tokio::test]
async fn a_relative_date_is_read_anew_every_day_and_makes_no_version() {
    let mut bench = Bench::new().await;
    let relative = |command| dag("a", command).replace("2024-01-01", "2 days");
    bench.write("a.yml", relative("echo 1"));
    bench.write("b.yml", dag("b", "echo 1"));
    bench.look().await;
    let mut bench = bench.restart().await;
    assert_eq!(bench.look().await, Report::default());
    sqlx::query("update dag_file set fingerprint = split_part(fingerprint, '@', 1) || '@2024-01-01' where fingerprint like '%@%'")
        .execute(bench.store.pool())
        .await
        .unwrap();
    let report = bench.restart().await.look().await;
    assert_eq!((report.compiled, report.changed_dags.len()), (vec!["a.yml".to_owned()], 0));
}

#[tokio::test]
async fn a_warning_is_no_import_error() {
    let mut bench = Bench::new().await;
    bench.write("a.yml", format!("{}  no_such_key: 1\n", dag("a", "echo 1")));
    let report = bench.look().await;
    assert_eq!((report.changed_dags, report.import_errors.len()), (vec!["a".to_owned()], 0));
    assert_eq!(bench.import_error("a.yml").await, None);
}

#[tokio::test]
async fn of_two_files_with_one_id_the_first_keeps_it_until_it_goes() {
    for (first, second) in [("a.yml", "b.yml"), ("b.yml", "a.yml")] {
        let mut bench = Bench::new().await;
        bench.write(first, dag("x", "echo first"));
        bench.look().await;
        bench.write(second, dag("x", "echo second"));
        let report = bench.look().await;
        assert_eq!((report.changed_dags.len(), report.import_errors), (0, vec![second.to_owned()]));
        let error = bench.import_error(second).await.unwrap();
        assert!(error.contains(first) && error.contains(second) && error.contains("duplicate_dag_id"), "{error}");
        assert_eq!(bench.command("x").await, "echo first");
        let mut bench = bench.restart().await;
        bench.look().await;
        assert_eq!(bench.command("x").await, "echo first", "also after a restart");

        bench.remove(first);
        let report = bench.look().await;
        assert_eq!(report.stale_dags.len(), 0, "the DAG moved, it is not gone");
        assert_eq!(bench.dags().await, [format!("x {second} v1")]);
        assert_eq!(bench.command("x").await, "echo second");
        assert_eq!(bench.import_error(second).await, None);
    }
}

#[tokio::test]
async fn of_two_new_files_with_one_id_the_first_by_name_wins() {
    let mut bench = Bench::new().await;
    bench.write("b.yml", dag("x", "echo b"));
    bench.write("a.yml", dag("x", "echo a"));
    assert_eq!(bench.look().await.import_errors, ["b.yml"]);
    assert_eq!(bench.dags().await, ["x a.yml v1"]);
    bench.write("a.yml", dag("y", "echo a"));
    bench.look().await;
    assert_eq!(bench.dags().await, ["x b.yml v1", "y a.yml v1"], "the first gave it up");
    bench.look().await;
    assert_eq!(bench.restart().await.look().await, Report::default(), "and all is settled");
}

#[tokio::test]
async fn a_broken_holder_keeps_its_id() {
    let mut bench = Bench::new().await;
    bench.write("a.yml", dag("a", "echo 1"));
    bench.look().await;
    bench.write("a.yml", BROKEN);
    bench.write("b.yml", dag("a", "echo 2"));
    let report = bench.look().await;
    assert_eq!(report.import_errors, ["a.yml", "b.yml"]);
    assert_eq!(bench.command("a").await, "echo 1");
}

#[tokio::test]
async fn a_deleted_file_makes_its_dags_stale_at_the_second_look() {
    let mut bench = Bench::new().await;
    for name in ["a", "b", "c"] {
        bench.write(&format!("{name}.yml"), dag(name, "echo 1"));
    }
    bench.write("broken.yml", "x: [");
    bench.look().await;
    bench.remove("a.yml");
    bench.remove("broken.yml");
    let report = bench.look().await;
    assert_eq!((report.stale_dags.len(), report.look_again_in), (0, Some(Duration::ZERO)));
    assert_eq!(bench.look().await.stale_dags, ["a"]);
    assert_eq!(bench.dags().await, ["a a.yml stale v1", "b b.yml v1", "c c.yml v1"]);
    assert_eq!(bench.import_error("broken.yml").await, None);
    bench.add_run("a", "running").await;
    bench.write("a.yml", dag("a", "echo 1"));
    bench.look().await;
    assert_eq!(bench.dags().await[0], "a a.yml v1", "back, with its version");
    let woken = bench.text("select (wake_at <= now())::text from dag_run").await;
    assert_eq!(woken.as_deref(), Some("true"), "its runs rested");
}

#[tokio::test]
async fn a_dag_that_left_its_file_goes_stale_and_a_restart_in_between_forgets_nothing() {
    let mut bench = Bench::new().await;
    bench.write("a.yml", dag("a", "echo 1") + &dag("b", "echo 1"));
    bench.write("c.yml", dag("c", "echo 1"));
    bench.look().await;
    bench.write("a.yml", dag("a", "echo 1"));
    bench.look().await;
    let mut bench = bench.restart().await;
    assert_eq!(bench.look().await.compiled, ["a.yml"], "the file was not settled");
    assert_eq!(bench.look().await.stale_dags, ["b"]);
    assert_eq!(bench.restart().await.look().await, Report::default());
}

#[tokio::test]
async fn many_dags_gone_at_once_wait_for_the_longer_delay() {
    let mut bench = Bench::new().await;
    bench.config.confirm = Duration::from_hours(1);
    let mut bench = bench.restart().await;
    for number in 0..20 {
        bench.write(&format!("{number}.yml"), dag(&format!("d{number}"), "echo 1"));
    }
    bench.look().await;
    for number in 0..6 {
        bench.remove(&format!("{number}.yml"));
    }
    bench.write("7.yml", dag("d7", "echo 2"));
    bench.look().await;
    let report = bench.look().await;
    assert_eq!(report.stale_dags.len(), 0);
    assert!(report.look_again_in.unwrap() > Duration::from_mins(50));
    assert_eq!(bench.command("d7").await, "echo 2", "the others are served meanwhile");
    bench.write("5.yml", dag("d5", "echo 1"));
    assert_eq!(bench.look().await.stale_dags, ["d0", "d1", "d2", "d3", "d4"], "five are not many");
}

#[tokio::test]
async fn a_folder_that_cannot_be_read_changes_nothing_until_confirmed() {
    let mut bench = Bench::new().await;
    bench.write("a.yml", dag("a", "echo 1"));
    bench.look().await;
    let away = bench.folder.path().with_extension("away");
    fs::rename(bench.folder.path(), &away).unwrap();
    assert_eq!(bench.look().await.stale_dags.len(), 0);
    fs::rename(&away, bench.folder.path()).unwrap();
    assert_eq!(bench.look().await, Report::default(), "back: as if nothing had been");
    fs::rename(bench.folder.path(), &away).unwrap();
    bench.look().await;
    assert_eq!(bench.look().await.stale_dags, ["a"]);
    fs::rename(&away, bench.folder.path()).unwrap();
    bench.look().await;
    assert_eq!(bench.dags().await, ["a a.yml v1"]);
}

#[tokio::test]
async fn a_changed_dependency_compiles_what_depends_on_it() {
    let mut bench = Bench::new().await;
    bench.write("x/a.yml", dag("a", "echo 1"));
    bench.write("y/b.yml", dag("b", "echo 1"));
    bench.look().await;
    bench.write("x/defaults.yml", "default_args: {owner: data}\n");
    assert_eq!(bench.look().await.compiled, ["x/a.yml"], "one that did not exist");
    bench.write("x/defaults.yml", "default_args: {owner: ops}\n");
    assert_eq!(bench.look().await.compiled, ["x/a.yml"]);
    let owners = "select string_agg(dag_id || '=' || owners, ' ' order by dag_id) from dag";
    assert_eq!(bench.text(owners).await.unwrap(), "a=ops b=airflow");
    bench.remove("x/defaults.yml");
    bench.look().await;
    assert_eq!(bench.text(owners).await.unwrap(), "a=airflow b=airflow");
    bench.write("x/defaults.yml", "default_args: {owner: ops}\n");
    let mut bench = bench.restart().await;
    assert_eq!(bench.look().await.compiled, ["x/a.yml"], "changed while nobody looked");
}

#[tokio::test]
async fn an_included_file_is_no_dag_file() {
    let mut bench = Bench::new().await;
    bench.write("common.yml", "default_args: {owner: data}\n");
    bench.write("z.yml", format!("include: [common.yml]\n{}", dag("z", "echo 1")));
    let report = bench.look().await;
    assert_eq!((report.import_errors.len(), report.look_again_in), (0, None));
    assert_eq!(bench.text("select owners from dag").await.unwrap(), "data");
    assert_eq!(bench.look().await, Report::default());
    assert_eq!(bench.restart().await.look().await, Report::default());
}

#[tokio::test]
async fn a_restart_compiles_nothing_that_did_not_change() {
    let mut bench = Bench::new().await;
    for name in ["a", "b"] {
        bench.write(&format!("{name}.yml"), dag(name, "echo 1"));
    }
    bench.write("broken.yml", BROKEN);
    bench.look().await;
    let mut bench = bench.restart().await;
    assert_eq!(bench.look().await, Report::default());
    bench.write("b.yml", dag("b", "echo 2"));
    let mut bench = bench.restart().await;
    assert_eq!(bench.look().await.compiled, ["b.yml"]);
}

#[tokio::test]
async fn a_dag_without_scheduled_runs_has_no_next_run() {
    let mut bench = Bench::new().await;
    let file =
        |keys: &str| format!("{keys}schedule: \"@daily\"\nstart_date: 2024-01-01\ntasks: {{t: {{bash: echo}}}}\n");
    let next = "select next_dagrun_create_after::text from dag";
    bench.write("a.yml", file(""));
    bench.look().await;
    assert!(bench.text(next).await.is_some());
    bench.write("a.yml", file("allowed_run_types: [manual]\n"));
    bench.look().await;
    assert_eq!(bench.text(next).await, None);
}

#[tokio::test]
async fn a_restart_with_another_rule_compiles_all_anew() {
    let mut bench = Bench::new().await;
    bench.write("a.yml", "schedule: \"@daily\"\nstart_date: 2024-01-01\ntasks: {t: {bash: echo}}\n");
    bench.look().await;
    let interval = "select next_dagrun_data_interval_end - next_dagrun_data_interval_start || '' from dag";
    assert_eq!(bench.text(interval).await.as_deref(), Some("00:00:00"));
    bench.config.rules.create_cron_data_intervals = true;
    let mut bench = bench.restart().await;
    assert_eq!(bench.look().await.compiled, ["a.yml"]);
    assert_eq!(bench.text(interval).await.as_deref(), Some("1 day"));
    bench.config.rules.max_map_length = 7;
    let mut bench = bench.restart().await;
    assert_eq!(bench.look().await.compiled, ["a.yml"]);
    assert_eq!(bench.restart().await.look().await, Report::default());
}

#[tokio::test]
async fn a_helper_changes_the_bundle_and_no_version() {
    let mut bench = Bench::new().await;
    bench.write("a.yml", dag("a", "echo 1"));
    bench.write("lib/helper.py", "x = 1\n");
    let first = bench.look().await.bundle.unwrap();
    let named = "select bundle_hash from dag_version";
    assert_eq!(bench.text(named).await.as_ref(), Some(&first));
    bench.write("lib/helper.py", "x = 2\n");
    let report = bench.look().await;
    assert_eq!((report.compiled.len(), report.changed_dags.len()), (0, 0));
    let second = report.bundle.unwrap();
    assert_ne!(first, second);
    assert_eq!(bench.text(named).await, Some(second.clone()));

    let mut connection = bench.store.pool().acquire().await.unwrap();
    let content = bundles::content(&mut connection, &second).await.unwrap().unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(content.as_slice()));
    let paths: Vec<String> =
        archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect();
    assert_eq!(paths, ["a.yml", "lib/helper.py"]);

    assert_eq!(bundles::prune(&mut connection).await.unwrap(), 0, "young ones stay");
    sqlx::query("update bundle set created_at = now() - interval '2 days'").execute(&mut *connection).await.unwrap();
    assert_eq!(bundles::prune(&mut connection).await.unwrap(), 1);
    assert!(bundles::content(&mut connection, &first).await.unwrap().is_none());
    assert!(bundles::content(&mut connection, &second).await.unwrap().is_some());
}

#[tokio::test]
async fn a_folder_too_large_to_ship_is_an_error_of_its_own_and_its_dags_load() {
    let mut bench = Bench::new().await;
    bench.write("a.yml", dag("a", "echo 1"));
    bench.write(
        "data.bin",
        (0..20_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect::<Vec<_>>(),
    );
    bench.config.max_bundle = 10_000;
    let mut bench = bench.restart().await;
    assert_eq!(bench.look().await.bundle, None);
    assert_eq!(bench.dags().await, ["a a.yml v1"]);
    assert!(bench.import_error(".").await.unwrap().contains("bundle_too_large"));
    assert_eq!(bench.look().await, Report::default());
    assert!(bench.import_error(".").await.is_some(), "as long as it lasts");
    bench.remove("data.bin");
    assert!(bench.look().await.bundle.is_some());
    assert_eq!(bench.import_error(".").await, None);
    assert!(bench.text("select bundle_hash from dag_version").await.is_some());
}

#[tokio::test]
async fn pruning_keeps_what_active_runs_may_need() {
    let mut bench = Bench::new().await;
    bench.write("a.yml", dag("a", "echo 1"));
    bench.look().await;
    bench.add_run("a", "running").await;
    bench.write("a.yml", dag("a", "echo 2"));
    bench.look().await;
    let mut connection = bench.store.pool().acquire().await.unwrap();
    sqlx::query("update bundle set created_at = now() - interval '2 days'").execute(&mut *connection).await.unwrap();
    assert_eq!(bundles::prune(&mut connection).await.unwrap(), 0);
    sqlx::query("update dag_run set state = 'success'").execute(&mut *connection).await.unwrap();
    assert_eq!(bundles::prune(&mut connection).await.unwrap(), 1);
}

#[tokio::test]
async fn huge_and_non_utf8_files_are_import_errors() {
    let mut bench = Bench::new().await;
    bench.write("good.yml", dag("good", "echo 1"));
    bench.write("huge.yml", vec![b'#'; 2 * 1024 * 1024]);
    bench.write("latin1.yml", b"a:\n  description: caf\xe9\n");
    bench.write("nul.yml", dag("n", "\"a\\0b\"") + "  description: \"a\\0b\"\n");
    let report = bench.look().await;
    assert_eq!(report.import_errors, ["huge.yml", "latin1.yml", "nul.yml"]);
    assert_eq!(bench.dags().await, ["good good.yml v1"]);
    assert!(bench.import_error("huge.yml").await.unwrap().contains("file_too_large"));
    assert!(bench.import_error("latin1.yml").await.unwrap().contains("not_utf8"));
    assert!(bench.import_error("nul.yml").await.is_some());
    assert_eq!(bench.look().await, Report::default(), "and they are not tried again");
}

#[tokio::test]
async fn one_processor_per_bundle_at_a_time() {
    let bench = Bench::new().await;
    let second = Processor::take_over(bench.store.clone(), bench.config.clone()).await.unwrap();
    assert!(second.is_none());
    let mut other = bench.config.clone();
    other.bundle_name = "other".to_owned();
    assert!(Processor::take_over(bench.store.clone(), other).await.unwrap().is_some());
    bench.restart().await;
}

#[tokio::test]
async fn an_id_held_by_another_bundle_is_an_import_error_naming_it() {
    let mut bench = Bench::new().await;
    bench.write("a.yml", dag("a", "echo 1"));
    bench.look().await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a2.yml"), dag("a", "echo 2")).unwrap();
    let mut config = Config::new(folder.path());
    config.bundle_name = "other".to_owned();
    let report = take_over(&bench.store, &config).await.scan_once().await.unwrap();
    assert_eq!(report.import_errors, ["a2.yml"]);
    assert!(bench.import_error("a2.yml").await.unwrap().contains("a.yml (bundle dags-folder)"));
    assert_eq!(bench.command("a").await, "echo 1");
}

/// Waits until the folder's processor has written something; `run` rings after each commit.
async fn rung(bell: &mut tokio::sync::broadcast::Receiver<Signal>) {
    let rung = async { while bell.recv().await.unwrap() != Signal::Dags {} };
    tokio::time::timeout(Duration::from_secs(20), rung).await.unwrap();
}

#[tokio::test]
async fn run_sees_changes_and_a_standby_takes_over() {
    let bench = Bench::new().await;
    drop(bench.processor);
    let mut config = bench.config.clone();
    // Nothing but the watch can tell.
    config.rescan = Duration::from_hours(1);
    let mut bell = bench.store.wake().subscribe();
    let (first, second) = (CancellationToken::new(), CancellationToken::new());
    let running = tokio::spawn(dag_processor::run(bench.store.clone(), config.clone(), first.clone()));
    fs::write(bench.folder.path().join("a.yml"), dag("a", "echo 1")).unwrap();
    rung(&mut bell).await;
    let standby = tokio::spawn(dag_processor::run(bench.store.clone(), config.clone(), second.clone()));
    fs::write(bench.folder.path().join("b.yml"), dag("b", "echo 1")).unwrap();
    rung(&mut bell).await;
    first.cancel();
    running.await.unwrap();
    fs::write(bench.folder.path().join("c.yml"), dag("c", "echo 1")).unwrap();
    rung(&mut bell).await;
    second.cancel();
    standby.await.unwrap();
    let count: i64 = sqlx::query_scalar("select count(*) from dag").fetch_one(bench.store.pool()).await.unwrap();
    assert_eq!(count, 3);
}

#[tokio::test]
async fn run_survives_the_loss_of_its_connections() {
    let bench = Bench::new().await;
    drop(bench.processor);
    let mut bell = bench.store.wake().subscribe();
    let stop = CancellationToken::new();
    let running = tokio::spawn(dag_processor::run(bench.store.clone(), bench.config.clone(), stop.clone()));
    fs::write(bench.folder.path().join("a.yml"), dag("a", "echo 1")).unwrap();
    rung(&mut bell).await;
    let mut other = PgConnection::connect(&bench.db.url).await.unwrap();
    sqlx::query("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")
        .execute(&mut other)
        .await
        .unwrap();
    fs::write(bench.folder.path().join("b.yml"), dag("b", "echo 1")).unwrap();
    rung(&mut bell).await;
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn of_many_files_only_the_touched_one_is_compiled() {
    let mut bench = Bench::new().await;
    for number in 0..500 {
        bench.write(&format!("d{number}.yml"), dag(&format!("d{number}"), "one"));
    }
    assert_eq!(bench.look().await.changed_dags.len(), 500);
    bench.write("d250.yml", dag("d250", "another"));
    let report = bench.look().await;
    assert_eq!((report.compiled, report.changed_dags), (vec!["d250.yml".to_owned()], vec!["d250".to_owned()]));
}

#[tokio::test]
async fn a_file_that_cannot_be_stored_does_not_take_its_batch_down() {
    let mut bench = Bench::new().await;
    for number in 0..10 {
        bench.write(&format!("d{number}.yml"), dag(&format!("d{number}"), "one"));
    }
    bench.write("d5.yml", dag("d5", "\"a\\0b\"") + "  description: \"a\\0b\"\n");
    let report = bench.look().await;
    assert_eq!((report.changed_dags.len(), report.import_errors), (9, vec!["d5.yml".to_owned()]));
    assert!(bench.import_error("d5.yml").await.is_some());
}

#[tokio::test]
async fn a_file_that_somebody_asks_for_is_read_anew_once_though_it_did_not_change() {
    let mut bench = Bench::new().await;
    bench.write("a.yml", dag("a", "echo 1"));
    bench.write("b.yml", dag("b", "echo 1"));
    bench.look().await;
    let parsed = "select last_parsed_time::text from dag_file where relative_fileloc = 'a.yml'";
    let before = bench.text(parsed).await;
    let mut connection = bench.store.pool().acquire().await.unwrap();
    for (file, known) in [("a.yml", true), ("none.yml", false)] {
        let bundle = &bench.config.bundle_name;
        assert_eq!(dags::request_parse(&mut connection, bundle, file).await.unwrap(), known, "{file}");
    }
    let report = bench.look().await;
    assert_eq!((report.compiled, report.changed_dags), (vec!["a.yml".to_owned()], Vec::new()));
    assert_ne!(bench.text(parsed).await, before);
    assert_eq!(bench.look().await.compiled, [""; 0]);
}

#[tokio::test]
async fn a_file_that_somebody_asks_for_is_read_before_the_next_rescan() {
    let mut bench = Bench::new().await;
    bench.write("a.yml", dag("a", "echo 1"));
    bench.look().await;
    // Nothing but the wish leads to another look.
    bench.config.rescan = Duration::from_hours(1);
    let Bench { folder: _folder, store, config, processor, db: _db } = bench;
    drop(processor);
    let stop = CancellationToken::new();
    let running = tokio::spawn(dag_processor::run(store.clone(), config.clone(), stop.clone()));
    let mut signals = store.wake().subscribe();
    let mut connection = store.pool().acquire().await.unwrap();
    let parsed = async || -> String {
        let sql = "select last_parsed_time::text from dag_file";
        sqlx::query_scalar(sql).fetch_one(store.pool()).await.unwrap()
    };
    let before = parsed().await;
    dags::request_parse(&mut connection, &config.bundle_name, "a.yml").await.unwrap();
    store.wake().ring(Signal::Files);
    while parsed().await == before {
        signals.recv().await.unwrap();
    }
    stop.cancel();
    running.await.unwrap();
}
