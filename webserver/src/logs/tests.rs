use updraft_protocol::LogLine;

use super::*;

fn key(attempt_id: Uuid) -> LogKey {
    LogKey {
        dag_id: "d".to_owned(),
        run_id: "r".to_owned(),
        task_id: "g.t".to_owned(),
        map_index: -1,
        try_number: 1,
        attempt_id,
    }
}

/// A log in each kind of place.
fn stores(limit: u64) -> [(tempfile::TempDir, LogStore, LogKey); 2] {
    let folder = || tempfile::tempdir().unwrap();
    let local = folder();
    let logs = LogStore::open(local.path().join("logs"), limit).unwrap();
    [
        (local, logs, key(Uuid::new_v4())),
        (folder(), LogStore::in_bucket(Bucket::in_memory(), limit), key(Uuid::new_v4())),
    ]
}

#[tokio::test]
async fn repeating_a_write_changes_nothing_and_an_overlap_is_skipped() {
    for (_folder, logs, key) in stores(DEFAULT_LIMIT) {
        for _ in 0..2 {
            assert_eq!(logs.append(&key, 0, Bytes::from_static(b"one\n")).await.unwrap(), 4);
        }
        assert_eq!(logs.append(&key, 2, Bytes::from_static(b"e\ntwo\n")).await.unwrap(), 8);
        assert_eq!(&logs.read(&key, 0, 100).await.unwrap()[..], b"one\ntwo\n");
        assert_eq!(&logs.read(&key, 4, 2).await.unwrap()[..], b"tw");
        assert_eq!(logs.size(&key).await.unwrap(), 8);
    }
}

#[tokio::test]
async fn a_gap_is_refused_with_the_size() {
    for (_folder, logs, key) in stores(DEFAULT_LIMIT) {
        logs.append(&key, 0, Bytes::from_static(b"one\n")).await.unwrap();
        let refusal = logs.append(&key, 5, Bytes::from_static(b"x")).await.unwrap_err();
        assert!(matches!(refusal, AppendError::Gap { size: 4 }), "{refusal}");
    }
}

#[tokio::test]
async fn a_full_log_says_so_and_takes_no_more() {
    for (_folder, logs, key) in stores(20) {
        logs.append(&key, 0, Bytes::from_static(b"{\"event\":1}\n")).await.unwrap();
        for offset in [12, 12, 400] {
            let refusal = logs.append(&key, offset, Bytes::from_static(b"0123456789abc\n")).await;
            assert!(refusal.is_err(), "at {offset}");
        }
        let size = logs.size(&key).await.unwrap();
        let lines = logs.read_lines(&key, 0, 4096, true).await.unwrap();
        assert_eq!((lines.lines.len(), lines.next), (2, size));
        assert!(lines.lines[1].event.contains("limit of 20 bytes"), "{:?}", lines.lines[1]);
    }
}

#[tokio::test]
async fn lines_are_read_whole_and_the_rest_waits_for_its_end() {
    for (_folder, logs, key) in stores(DEFAULT_LIMIT) {
        let line = |event: &str| {
            let line = LogLine {
                timestamp: "t".to_owned(),
                level: "info".to_owned(),
                event: event.to_owned(),
                logger: "task.stdout".to_owned(),
                goes_on: false,
            };
            serde_json::to_string(&line).unwrap() + "\n"
        };
        let long = "x".repeat(300);
        let text = format!("{}{}not json\n{{\"half", line("a"), line(&long));
        logs.append(&key, 0, Bytes::from(text)).await.unwrap();
        let mut events = Vec::new();
        let mut at = 0;
        loop {
            let lines = logs.read_lines(&key, at, 100, false).await.unwrap();
            if lines.next == at {
                break;
            }
            events.extend(lines.lines.into_iter().map(|line| line.event));
            at = lines.next;
        }
        assert_eq!(events, ["a", long.as_str(), "not json"]);
        let rest = logs.read_lines(&key, at, 100, true).await.unwrap();
        assert_eq!(rest.lines[0].event, "{\"half");
    }
}

#[tokio::test]
async fn followers_hear_of_growth_only() {
    for (_folder, logs, key) in stores(DEFAULT_LIMIT) {
        let mut grew = logs.subscribe();
        logs.append(&key, 0, Bytes::from_static(b"one\n")).await.unwrap();
        assert_eq!(grew.recv().await.unwrap(), key.attempt_id);
        logs.append(&key, 0, Bytes::from_static(b"one\n")).await.unwrap();
        assert!(grew.try_recv().is_err());
    }
}

#[tokio::test]
async fn a_log_that_does_not_exist_is_empty() {
    for (_folder, logs, key) in stores(DEFAULT_LIMIT) {
        assert_eq!(logs.size(&key).await.unwrap(), 0);
        assert!(logs.read(&key, 0, 10).await.unwrap().is_empty());
        assert!(logs.read_lines(&key, 0, 10, true).await.unwrap().lines.is_empty());
    }
}

#[tokio::test]
async fn whole_lines_end_before_what_is_begun_however_long_the_last_one_is() {
    for (_folder, logs, key) in stores(DEFAULT_LIMIT) {
        assert_eq!(logs.whole_lines(&key).await.unwrap(), 0);
        logs.append(&key, 0, Bytes::from_static(b"begun")).await.unwrap();
        assert_eq!(logs.whole_lines(&key).await.unwrap(), 0);
        logs.append(&key, 5, Bytes::from_static(b" and ended\n")).await.unwrap();
        assert_eq!(logs.whole_lines(&key).await.unwrap(), 16);
        let long = Bytes::from(vec![b'x'; 3 * LAST_LINE]);
        logs.append(&key, 16, long).await.unwrap();
        assert_eq!(logs.whole_lines(&key).await.unwrap(), 16);
    }
}
