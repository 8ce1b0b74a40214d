//! Ids that are spelled like a word of the API's paths: a task named `list`, a connection named `test`.
//!
//! The router prefers the path `…/taskInstances/list` to `…/taskInstances/{task_id}` and answers 405 to the methods that only the
//! latter has; Airflow's goes on and finds the task. With one letter of the word escaped, ours does too: an escape is no word
//! of a path, and means the same letter.

use axum::{
    extract::Request,
    http::{Method, Uri},
};

/// The ends of paths that shadow an id, and the methods that only the id has.
const WORDS: [(&str, &[Method]); 5] = [
    ("/dagRuns/list", &[Method::GET, Method::HEAD, Method::PATCH, Method::DELETE]),
    ("/taskInstances/list", &[Method::GET, Method::HEAD, Method::PATCH, Method::DELETE]),
    ("/connections/test", &[Method::GET, Method::HEAD, Method::PATCH, Method::DELETE]),
    ("/connections/defaults", &[Method::GET, Method::HEAD, Method::PATCH, Method::DELETE]),
    ("/connections/enqueue-test", &[Method::PATCH, Method::DELETE]),
];

/// Spells the id of a path so that the router takes it for one.
pub(crate) fn spell_ids<B>(mut request: Request<B>) -> Request<B> {
    let path = request.uri().path();
    let shadowed = WORDS.iter().any(|(end, methods)| path.ends_with(end) && methods.contains(request.method()));
    if shadowed && let Some(uri) = escaped(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

/// The same URI, the first letter of its last segment escaped.
fn escaped(uri: &Uri) -> Option<Uri> {
    let (front, id) = uri.path().rsplit_once('/')?;
    let letter = id.bytes().next()?;
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{front}/%{letter:02X}{}{query}", &id[1..]).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelt(method: Method, uri: &str) -> String {
        let request = Request::builder().method(method).uri(uri).body(()).unwrap();
        spell_ids(request).uri().to_string()
    }

    #[test]
    fn only_an_id_is_spelt_anew() {
        let list = "/api/v2/dags/d/dagRuns/r/taskInstances/list";
        assert_eq!(spelt(Method::POST, list), list);
        assert_eq!(spelt(Method::GET, &format!("{list}?a=b")), "/api/v2/dags/d/dagRuns/r/taskInstances/%6Cist?a=b");
        assert_eq!(spelt(Method::OPTIONS, list), list);
        assert_eq!(spelt(Method::DELETE, "/api/v2/connections/test"), "/api/v2/connections/%74est");
        assert_eq!(spelt(Method::GET, "/api/v2/connections/other"), "/api/v2/connections/other");
    }
}
