//! Images: when they are pulled, how often, with whose login, and what is told meanwhile.

use std::time::Duration;

use serde_json::{Value, json};
use updraft_protocol::{Ref, ResolvedRef};
use uuid::Uuid;

use crate::{
    docker::{docker, ready, start, task},
    fake::{Fake, kinds, lines},
    registry::Registry,
};

fn of(registry: &Registry, mut args: Value) -> Value {
    args["image"] = json!(registry.image);
    args["command"] = json!(["cat", "/pulled"]);
    task(args)
}

fn connection(conn_id: &str, host: &str, password: &str) -> ResolvedRef {
    let value =
        json!({"conn_type": "docker", "host": format!("http://{host}"), "login": "robot", "password": password});
    ResolvedRef { reference: Ref::Connection { conn_id: conn_id.to_owned() }, value: Some(value) }
}

#[tokio::test]
async fn tasks_that_wait_for_one_image_share_one_pull_and_say_how_far_it_is() {
    if !ready() {
        return;
    }
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = start(&fake, dir.path()).await;
    let registry = Registry::start(None).await;
    registry.hold(true);
    let ids: Vec<Uuid> = (0..4).map(|_| fake.hand_out(of(&registry, json!({})))).collect();
    for id in &ids {
        fake.log_line(*id, &format!("Pulling image {}: 1 of 2 layers", registry.image)).await;
    }
    // The launch deadline is put off again and again.
    fake.wait("a second word of the pull", |seen| {
        let told = |id: &Uuid| kinds(seen, *id).iter().filter(|kind| **kind == "preparing").count();
        ids.iter().all(|id| told(id) >= 2).then_some(())
    })
    .await;
    registry.hold(false);
    for id in &ids {
        let report = fake.finished(*id).await;
        assert_eq!(report.outcome, "success", "{:?}", report.failure_reason);
        assert_eq!(report.return_value.unwrap().as_str().unwrap().len(), 36);
        fake.log_line(*id, &format!("Pulled image {}", registry.image)).await;
    }
    assert_eq!(registry.pulls(), 1);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_task_that_begins_a_run_has_the_images_of_the_others_fetched() {
    if !ready() {
        return;
    }
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = start(&fake, dir.path()).await;
    let registry = Registry::start(None).await;
    registry.hold(true);
    let first = fake.hand_out(json!({"operator": "noop", "images": [registry.image, "127.0.0.1:1/no/such"]}));
    assert_eq!(fake.finished(first).await.outcome, "success");
    // A task that comes meanwhile waits for the same pull.
    let meanwhile = fake.hand_out(of(&registry, json!({})));
    fake.log_line(meanwhile, "Pulling image").await;
    registry.hold(false);
    assert_eq!(fake.finished(meanwhile).await.outcome, "success");
    let later = fake.finished(fake.hand_out(of(&registry, json!({"pull": "never"})))).await;
    assert_eq!(later.outcome, "success", "{:?}", later.failure_reason);
    assert_eq!(registry.pulls(), 1);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn the_pull_policy_says_when_a_registry_is_asked() {
    if !ready() {
        return;
    }
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = start(&fake, dir.path()).await;
    let registry = Registry::start(None).await;
    let never = fake.finished(fake.hand_out(of(&registry, json!({"pull": "never"})))).await;
    assert_eq!(never.failure_class.as_deref(), Some("image_missing"));
    assert!(never.failure_reason.unwrap().contains("never"));
    assert_eq!(registry.pulls(), 0);
    for (args, pulls) in [
        (json!({}), 1),
        (json!({}), 1),
        (json!({"pull": "always"}), 2),
        (json!({"force_pull": true}), 3),
        (json!({"pull": "missing", "force_pull": true}), 3),
        (json!({"pull": "never"}), 3),
    ] {
        let report = fake.finished(fake.hand_out(of(&registry, args.clone()))).await;
        assert_eq!(report.outcome, "success", "{args}: {:?}", report.failure_reason);
        assert_eq!(registry.pulls(), pulls, "{args}");
    }
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_registry_that_wants_a_login_gets_that_of_the_connection_and_no_other_registry_does() {
    if !ready() {
        return;
    }
    // Characters whose encoding differs between the two alphabets of base64.
    let password = "a>b?c~ ü>>>???";
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = start(&fake, dir.path()).await;
    let registry = Registry::start(Some(("robot", password))).await;
    fake.change(|seen| {
        seen.values.push(connection("ours", &registry.host, password));
        seen.values.push(connection("theirs", "registry.example.com", "another-secret"));
    });
    let without = fake.finished(fake.hand_out(of(&registry, json!({})))).await;
    assert_eq!(without.failure_class.as_deref(), Some("image_missing"), "{:?}", without.failure_reason);
    let theirs = fake.hand_out(of(&registry, json!({"docker_conn_id": "theirs"})));
    assert_eq!(fake.finished(theirs).await.failure_class.as_deref(), Some("image_missing"));
    fake.log_line(theirs, "is not of registry.example.com").await;
    let unknown = fake.finished(fake.hand_out(of(&registry, json!({"docker_conn_id": "nobody"})))).await;
    assert!(unknown.failure_reason.unwrap().contains("`nobody` does not exist"));
    let ours = fake.hand_out(of(&registry, json!({"docker_conn_id": "ours"})));
    let report = fake.finished(ours).await;
    assert_eq!(report.outcome, "success", "{:?}", report.failure_reason);
    assert!(!lines(&fake.seen(), ours).iter().any(|line| line.event.contains(password)));
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_pull_that_nobody_waits_for_any_more_ends() {
    if !ready() {
        return;
    }
    let fake = Fake::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = start(&fake, dir.path()).await;
    let registry = Registry::start(None).await;
    registry.hold(true);
    let id = fake.hand_out(of(&registry, json!({})));
    fake.log_line(id, "Pulling image").await;
    fake.cancel(id, Duration::from_secs(1));
    fake.wait("stopped", |seen| kinds(seen, id).contains(&"stopped").then_some(())).await;
    registry.hold(false);
    let again = fake.finished(fake.hand_out(of(&registry, json!({})))).await;
    assert_eq!(again.outcome, "success", "{:?}", again.failure_reason);
    assert_eq!(registry.pulls(), 2, "the first pull was given up");
    assert!(docker(&["image", "inspect", &registry.image]).is_some());
    node.stop().await.unwrap();
}
