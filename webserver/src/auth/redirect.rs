//! Where a login may lead: back to this server, never to another (Airflow 3: `core_api/security.py::is_safe_url`).

use axum::http::{HeaderMap, header};

/// The place that `next` names if it is one of this server: a path, or a URL of the host that was asked. Nothing else, and no
/// text that a browser may read differently (`//host`, backslashes, control characters).
pub(super) fn safe<'a>(next: &'a str, headers: &HeaderMap) -> Option<&'a str> {
    let readable = next.is_ascii() && !next.contains(|c: char| c.is_ascii_control() || c == '\\' || c == ' ');
    let path = |text: &str| text.starts_with('/') && !text.starts_with("//");
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let ours = |url: &str| url.strip_prefix(host).is_some_and(|rest| rest.is_empty() || path(rest));
    let absolute = next.strip_prefix("http://").or_else(|| next.strip_prefix("https://"));
    let is_safe = match absolute {
        Some(url) => !host.is_empty() && ours(url),
        None => path(next),
    };
    (readable && is_safe).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_no_other_server() {
        let headers = HeaderMap::from_iter([(header::HOST, "updraft.example:8080".parse().unwrap())]);
        for next in
            ["/", "/dags/x?state=failed#top", "http://updraft.example:8080/dags", "https://updraft.example:8080"]
        {
            assert_eq!(safe(next, &headers), Some(next));
        }
        for next in [
            "",
            "dags",
            "//evil.example/",
            "/\\evil.example/",
            "https://evil.example/",
            "https://updraft.example:8080.evil.example/",
            "https://updraft.example:8080@evil.example/",
            "javascript:alert(1)",
            "/a\r\nSet-Cookie: x",
        ] {
            assert_eq!(safe(next, &headers), None, "{next:?}");
        }
        assert_eq!(safe("http:///dags", &HeaderMap::new()), None);
    }
}
