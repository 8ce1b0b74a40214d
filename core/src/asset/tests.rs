use chrono::TimeDelta;

use super::*;

fn one(name: &str) -> AssetExpression {
    AssetExpression::One(AssetRef::asset(name, name))
}

fn all(members: &[AssetExpression]) -> AssetExpression {
    AssetExpression::All(members.to_vec())
}

fn any(members: &[AssetExpression]) -> AssetExpression {
    AssetExpression::Any(members.to_vec())
}

/// A consumer that looks after each event, as the scheduler does.
struct Consumer {
    expression: AssetExpression,
    waiting: Vec<Waiting>,
    clock: i64,
    is_paused: bool,
}

impl Consumer {
    fn new(expression: AssetExpression) -> Self {
        Self { expression, waiting: Vec::new(), clock: 0, is_paused: false }
    }

    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(self.clock)
    }

    /// The events of the run it makes after this one, if any.
    fn hears(&mut self, name: &str) -> Option<Vec<i64>> {
        self.clock += 1;
        let (name, uri) = (name.to_owned(), name.to_owned());
        let at = self.now();
        self.waiting.push(Waiting { event_id: self.clock, name, uri, aliases: vec![], queued: !self.is_paused, at });
        let due = due(&self.expression, &self.waiting)?;
        assert_eq!(due.run_after, at, "the newest event is the one just heard");
        self.waiting.retain(|event| !due.events.contains(&event.event_id));
        Some(due.events)
    }

    /// The runs it makes over a sequence of events, each by the events it takes.
    fn runs(mut self, events: &str) -> Vec<Vec<i64>> {
        events.chars().filter_map(|name| self.hears(&name.to_string())).collect()
    }
}

/// The rows marked ✔ in semantics §15: expression, events in order, and what each run takes (events count from 1).
#[test]
fn expressions_fire_as_in_the_table() {
    let (a, b, c) = (one("A"), one("B"), one("C"));
    let table: &[(AssetExpression, &str, &[&[i64]])] = &[
        (any(&[a.clone(), b.clone()]), "AAB", &[&[1], &[2], &[3]]),
        (all(&[a.clone(), b.clone()]), "AAB", &[&[1, 2, 3]]),
        (all(&[a.clone(), any(&[b.clone(), c.clone()])]), "AAB", &[&[1, 2, 3]]),
        (all(&[a.clone(), any(&[b.clone(), c.clone()])]), "AABC", &[&[1, 2, 3]]),
        (all(&[a.clone(), any(&[b.clone(), c.clone()])]), "AABCA", &[&[1, 2, 3], &[4, 5]]),
        (a.clone(), "AA", &[&[1], &[2]]),
        (a.clone(), "B", &[]),
        (any(&[a.clone(), all(&[b.clone(), c.clone()])]), "BCAB", &[&[1, 2], &[3]]),
        (all(&[]), "A", &[]),
        (any(&[]), "A", &[]),
    ];
    for (expression, events, runs) in table {
        let have = Consumer::new(expression.clone()).runs(events);
        assert_eq!(have, *runs, "{expression:?} after {events}");
    }
}

#[test]
fn events_of_a_pause_queue_nothing_and_are_taken_along_by_the_next_run() {
    let mut consumer = Consumer::new(one("A"));
    consumer.is_paused = true;
    assert_eq!(consumer.hears("A"), None);
    consumer.is_paused = false;
    assert_eq!(due(&consumer.expression, &consumer.waiting), None, "unpausing alone makes no run");
    assert_eq!(consumer.hears("A"), Some(vec![1, 2]));
}

#[test]
fn an_event_of_a_pause_after_the_newest_queued_one_is_left_for_the_run_after() {
    let mut consumer = Consumer::new(all(&[one("A"), one("B")]));
    assert_eq!(consumer.hears("A"), None);
    consumer.is_paused = true;
    assert_eq!(consumer.hears("B"), None);
    let mut waiting = consumer.waiting;
    // B's queue row is made good by an event of its own that is older than the pause.
    waiting.push(Waiting { event_id: 9, queued: true, at: waiting[0].at, ..waiting[1].clone() });
    assert_eq!(due(&consumer.expression, &waiting).map(|due| due.events), Some(vec![1, 9]));
}

#[test]
fn an_alias_is_met_by_an_event_through_it_and_a_reference_by_name_or_uri() {
    let event = |aliases: &[&str]| Waiting {
        event_id: 1,
        name: "orders".to_owned(),
        uri: "s3://lake/orders".to_owned(),
        aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
        queued: true,
        at: DateTime::UNIX_EPOCH,
    };
    let alias = AssetExpression::One(AssetRef::Alias { name: "daily".to_owned(), group: "asset".to_owned() });
    assert!(due(&alias, &[event(&["daily"])]).is_some());
    assert!(due(&alias, &[event(&[])]).is_none(), "the asset alone is not the alias");
    let by = |name: Option<&str>, uri: Option<&str>| {
        AssetExpression::One(AssetRef::Ref { name: name.map(str::to_owned), uri: uri.map(str::to_owned) })
    };
    assert!(due(&by(Some("orders"), None), &[event(&[])]).is_some());
    assert!(due(&by(None, Some("s3://lake/orders")), &[event(&[])]).is_some());
    assert!(due(&by(Some("s3://lake/orders"), None), &[event(&[])]).is_none());
}

#[test]
fn expressions_are_stored_as_airflow_stores_them() {
    let expression = any(&[
        one("a"),
        all(&[one("b"), AssetExpression::One(AssetRef::Ref { name: None, uri: Some("u".to_owned()) })]),
    ]);
    let json = serde_json::to_value(&expression).unwrap();
    let asset = |name: &str| json!({"asset": {"name": name, "uri": name, "group": "asset"}});
    assert_eq!(json, json!({"any": [asset("a"), {"all": [asset("b"), {"asset_ref": {"uri": "u"}}]}]}));
    assert_eq!(serde_json::from_value::<AssetExpression>(json).unwrap(), expression);
}

/// As Airflow 3.3.2's `_sanitize_uri` without provider packages; the first row is ✔ in semantics §15.
#[test]
fn uris_have_one_spelling() {
    for (written, want) in [
        ("s3://a", "s3://a/"),
        ("s3://a/", "s3://a/"),
        ("s3://lake/one", "s3://lake/one"),
        ("s3://lake/one//", "s3://lake/one"),
        ("S3://Lake/One", "s3://Lake/One"),
        ("https://user:word@host:8080/x", "https://host:8080/x"),
        ("https://host/x?b=2&a=1&empty=#part", "https://host/x?a=1&b=2"),
        ("https://host?q=a%20b+c", "https://host/?q=a+b+c"),
        ("https://host/x?q=100%", "https://host/x?q=100%25"),
        ("file:///tmp/x", "file:///tmp/x"),
        ("x-mine://A/?B=1", "x-mine://A/?B=1"),
        ("orders", "orders"),
        ("a folder/file", "a folder/file"),
        ("1:30", "1:30"),
    ] {
        assert_eq!(normalise(written).as_deref(), Ok(want), "{written}");
    }
}

#[test]
fn a_uri_that_cannot_be_stored_is_refused() {
    assert_eq!(normalise(""), Err(UriError::Empty));
    assert_eq!(normalise("  "), Err(UriError::Empty));
    assert_eq!(normalise("airflow://x"), Err(UriError::Reserved));
    assert_eq!(normalise("s3://заказы"), Err(UriError::NotAscii));
    assert_eq!(normalise(&"x".repeat(MAX_LENGTH + 1)), Err(UriError::TooLong));
}
