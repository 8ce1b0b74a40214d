//! What open browsers cost a server while a DAG runs: the time its processes use with them, less that without.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::StreamExt;
use tokio::task::JoinSet;

use crate::{instance::Instance, runs::until};

const BROWSERS: usize = 1_000;
/// Tasks of the chain, each of some 0.4 s.
const TASKS: usize = 40;

/// One line. Both ends of every connection are on this machine; the server's processes alone are counted.
pub(crate) async fn measure(instance: &Instance, quick: bool) -> Vec<String> {
    let browsers = if quick { BROWSERS / 10 } else { BROWSERS };
    let mut yaml = "tasks:\n".to_owned();
    for number in 0..TASKS {
        let upstream = if number == 0 { String::new() } else { format!(", depends_on: t{}", number - 1) };
        yaml += &format!("  t{number}: {{bash: sleep 0.4{upstream}}}\n");
    }
    fs::write(instance.folder().join("dags/watched.yaml"), yaml).unwrap();
    until(instance, "updraft", "select count(*) = 1 from dag where dag_id = 'watched'").await;

    let alone = instance.share_of_a_core(run(instance, "alone")).await;
    let sent = Arc::new(AtomicU64::new(0));
    let mut readers = JoinSet::new();
    for _ in 0..browsers {
        let (mut body, sent) = (instance.api.stream("/ui/events").await.bytes_stream(), Arc::clone(&sent));
        readers.spawn(async move {
            while let Some(Ok(_)) = body.next().await {
                sent.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    // To open them is not to have them open.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = sent.load(Ordering::Relaxed);
    let watched = instance.share_of_a_core(run(instance, "watched")).await;
    let pieces = (sent.load(Ordering::Relaxed) - before) as f64 / browsers as f64;
    assert!(pieces >= 2.0, "the browsers were told nothing");
    readers.abort_all();
    vec![format!(
        "{browsers} open browsers while a DAG runs: {:.1} % of a core (aim: < 5 %) beside {alone:.1} % without them; \
         {pieces:.0} pieces each",
        watched - alone
    )]
}

async fn run(instance: &Instance, run_id: &str) {
    instance.api.trigger("watched", run_id).await;
    let path = format!("/api/v2/dags/watched/dagRuns/{run_id}");
    // Seldom: what asking costs is counted too.
    while instance.get(&path).await["state"] != "success" {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
