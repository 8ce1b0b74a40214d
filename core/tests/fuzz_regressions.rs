//! What the fuzz targets of `tests/fuzz` once found, read again by every test run: nothing panics, and nothing takes long.
#![expect(clippy::expect_used, reason = "tests")]

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use updraft_core::{
    spec::TaskSpec,
    template::{Resolved, check_syntax, render_text, render_value},
    timetable::cron::Cron,
    yaml::{self, Settings},
};

/// Generous for an unoptimised build on a busy machine; what was found took minutes, or all memory.
const LONG: Duration = Duration::from_secs(10);

fn findings(target: &str, read: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/regressions").join(target);
    let Ok(files) = fs::read_dir(&folder) else { return };
    for file in files {
        let path = file.expect("the folder can be read").path();
        let bytes = fs::read(&path).expect("the file can be read");
        let begin = Instant::now();
        read(&bytes);
        assert!(begin.elapsed() < LONG, "{} takes {:?}", path.display(), begin.elapsed());
    }
}

#[test]
fn dag_files_are_read_to_their_end() {
    let settings = Settings::new(DateTime::<Utc>::UNIX_EPOCH);
    findings("yaml", |bytes| {
        yaml::load("fuzz.yaml", bytes, &(), &settings);
        yaml::explain("fuzz.yaml", bytes, &(), &settings);
    });
}

#[test]
fn cron_expressions_are_looked_forward_and_back() {
    let at = DateTime::<Utc>::UNIX_EPOCH.naive_utc();
    findings("cron", |bytes| {
        // The first four bytes are the instant, for libFuzzer.
        let text = String::from_utf8_lossy(bytes.get(4..).unwrap_or_default());
        if let Ok(cron) = Cron::parse(&text) {
            let _ = (cron.next(at), cron.prev(at));
        }
    });
}

#[test]
fn templates_are_bounded() {
    let spec: TaskSpec = serde_json::from_str(include_str!("../../tests/fuzz/spec.json")).expect("spec.json is a task");
    findings("template", |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let _ = check_syntax(&text);
        let _ = render_text(&text, "bash_command", &spec, &Resolved::default());
        let _ = render_value(&text, "op_kwargs", &spec, &Resolved::default());
    });
}
