//! The event stream of a running deployment.

use futures::StreamExt;
use serde_json::{Value, json};

use crate::support::{api::Api, standalone::Standalone};

const DAG: &str = "schedule: null\ntasks:\n  nap: {bash: sleep 1}\n";

/// Reads events until one is `last`, a name and fields of its data; all that came, with their data.
async fn until(api: &Api, last: (&str, Value)) -> Vec<(String, Value)> {
    let answer = api.stream("/ui/events").await;
    let mut body = answer.bytes_stream();
    let (mut text, mut told) = (String::new(), Vec::new());
    let mut is_triggered = false;
    loop {
        while let Some((block, rest)) = text.split_once("\n\n") {
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            let event = field("event: ").zip(field("data: "));
            text = rest.to_owned();
            let Some((name, data)) = event else { continue };
            let data: Value = serde_json::from_str(&data).unwrap();
            if !is_triggered {
                // Whoever was told to read has missed nothing from then on.
                assert_eq!(name, "reset");
                is_triggered = true;
                api.trigger("nap", "r1").await;
            }
            let is_last = name == last.0 && last.1.as_object().unwrap().iter().all(|(key, value)| data[key] == *value);
            told.push((name, data));
            if is_last {
                return told;
            }
        }
        let piece = body.next().await.expect("the stream goes on").unwrap();
        text.push_str(std::str::from_utf8(&piece).unwrap());
    }
}

#[tokio::test]
async fn a_run_is_told_from_its_trigger_to_its_end() {
    let standalone = Standalone::with_dags(&[("nap.yaml", DAG)]).await;
    let api = Api::login(&standalone.url, &standalone.password()).await;
    let told = until(&api, ("dag_run", json!({"dag_run_id": "r1", "state": "success"}))).await;
    let of = |kind: &str| -> Vec<&str> {
        let mut states: Vec<&str> = told
            .iter()
            .filter(|(name, data)| name == kind && data["dag_run_id"] == "r1")
            .filter_map(|(_, data)| data["state"].as_str())
            .collect();
        states.dedup();
        states
    };
    // Of states that last for moments only, some may be told together.
    assert_eq!(of("dag_run").last_chunk(), Some(&["running", "success"]), "{told:#?}");
    assert_eq!(of("task_instance").last_chunk(), Some(&["running", "success"]), "{told:#?}");
}
