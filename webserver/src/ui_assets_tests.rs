use axum::http::request::Builder;
use tower::ServiceExt;

use super::*;

const DASHBOARD: &str = "<!doctype html><title>Updraft</title>";
const REFERENCE: &str = "<!doctype html><title>Updraft's REST API</title>";

fn built(path: &str) -> Option<Asset> {
    let data: Cow<'static, [u8]> = match path {
        "index.html" => Cow::Borrowed(DASHBOARD.as_bytes()),
        "docs.html" => Cow::Borrowed(REFERENCE.as_bytes()),
        "favicon.svg" => Cow::Borrowed(b"<svg/>"),
        "static/main-abc123.js" => Cow::Owned("export const answer = 42;\n".repeat(200).into_bytes()),
        _ => return None,
    };
    Some(Asset { sha256: [data.len() as u8; 32], data })
}

fn not_built(_: &str) -> Option<Asset> {
    None
}

fn get(path: &str) -> Builder {
    Request::get(path)
}

async fn ask(lookup: Lookup, request: Builder) -> (StatusCode, HeaderMap, Vec<u8>) {
    let request = request.body(Body::empty()).unwrap();
    let response = router_for(lookup).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    (parts.status, parts.headers, bytes.to_vec())
}

#[tokio::test]
async fn every_page_of_the_dashboard_is_the_index() {
    for path in ["/", "/index.html", "/login?next=%2F", "/dags/a.b/runs/manual__2026-11-22T08:00:00+00:00", "/runs"] {
        let (status, headers, body) = ask(built, get(path)).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert_eq!(body, DASHBOARD.as_bytes(), "{path}");
        assert_eq!(headers[header::CACHE_CONTROL], "no-cache", "{path}");
        assert_eq!(headers[header::CONTENT_TYPE], "text/html; charset=utf-8", "{path}");
        assert!(headers.contains_key(header::CONTENT_SECURITY_POLICY), "{path}");
    }
}

#[tokio::test]
async fn the_reference_of_the_api_is_a_page_of_its_own_under_the_same_policy() {
    let (_, dashboard, _) = ask(built, get("/")).await;
    for path in ["/docs", "/docs.html"] {
        let (status, headers, body) = ask(built, get(path)).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert_eq!(body, REFERENCE.as_bytes(), "{path}");
        let policy = header::CONTENT_SECURITY_POLICY;
        assert_eq!(headers[&policy], dashboard[&policy], "{path}");
    }
}

/// What was embedded when this was compiled; without Node nothing was.
#[tokio::test]
async fn the_built_reference_and_all_it_names_are_served_and_it_reads_the_servers_own_document() {
    let Some(page) = embedded("docs.html") else {
        eprintln!("skipped: ui/dist was not built when this was compiled");
        return;
    };
    let page = String::from_utf8(page.data.into_owned()).unwrap();
    let mut scripts = Vec::new();
    for name in page.split('"').filter(|word| word.starts_with("/static/")) {
        let (status, headers, body) = ask(embedded, get(name)).await;
        assert_eq!(status, StatusCode::OK, "{name}");
        assert_eq!(headers[header::CACHE_CONTROL], "public, max-age=31536000, immutable", "{name}");
        scripts.extend(body);
    }
    let scripts = String::from_utf8(scripts).unwrap();
    assert!(scripts.contains("/openapi.json"), "the page does not load /openapi.json");
    // The name of SVG, in the picture of the tab, is no address.
    let addresses = page.replace("http://www.w3.org/2000/svg", "");
    assert!(!addresses.contains("http://") && !addresses.contains("https://"), "the page asks another server: {page}");
}

#[tokio::test]
async fn paths_of_the_apis_are_never_a_page() {
    for path in ["/api/v2/nothing", "/api", "/ui/why", "/auth/token", "/executor/v1/poll", "/metrics"] {
        let (status, headers, _) = ask(built, get(path).header(header::ACCEPT, "text/html")).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(headers[header::CONTENT_TYPE], "application/json", "{path}");
    }
}

#[tokio::test]
async fn hashed_files_are_cached_for_ever_and_others_are_revalidated() {
    let (status, headers, _) = ask(built, get("/static/main-abc123.js")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
    assert_eq!(headers[header::CONTENT_TYPE], "text/javascript");

    let (_, headers, _) = ask(built, get("/favicon.svg")).await;
    assert_eq!(headers[header::CACHE_CONTROL], "no-cache");
}

#[tokio::test]
async fn known_content_is_not_sent_again() {
    let (_, headers, _) = ask(built, get("/")).await;
    let etag = headers[header::ETAG].clone();
    for tag in [etag.to_str().unwrap(), "*", &format!("\"other\", {}", etag.to_str().unwrap())] {
        let (status, headers, body) = ask(built, get("/dags/x").header(header::IF_NONE_MATCH, tag)).await;
        assert_eq!(status, StatusCode::NOT_MODIFIED, "{tag}");
        assert_eq!(headers[header::ETAG], etag);
        assert!(body.is_empty());
    }
    let (status, ..) = ask(built, get("/").header(header::IF_NONE_MATCH, "\"other\"")).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn text_is_compressed_for_clients_that_accept_it() {
    let (_, headers, small) =
        ask(built, get("/static/main-abc123.js").header(header::ACCEPT_ENCODING, "gzip, br")).await;
    assert_eq!(headers[header::CONTENT_ENCODING], "gzip");
    assert_eq!(headers[header::VARY], "accept-encoding");
    let (_, headers, plain) = ask(built, get("/static/main-abc123.js")).await;
    assert!(!headers.contains_key(header::CONTENT_ENCODING));
    assert!(small.len() < plain.len() / 10);
}

#[tokio::test]
async fn unknown_paths_are_not_found_for_programs_and_a_page_for_browsers() {
    for path in ["/nothing/here", "/static/gone-123.js"] {
        let (status, _, body) = ask(built, get(path)).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert_eq!(body, br#"{"detail":"Not Found"}"#);
    }
    let (status, _, body) = ask(built, get("/nothing").header(header::ACCEPT, "text/html,*/*;q=0.8")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(body, DASHBOARD.as_bytes());
}

#[tokio::test]
async fn only_reads_are_allowed() {
    let (status, headers, _) = ask(built, Request::post("/dags")).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(headers[header::ALLOW], "GET, HEAD");
}

#[tokio::test]
async fn without_a_build_the_page_says_how_to_build_it() {
    let (status, headers, body) = ask(not_built, get("/")).await;
    let text = String::from_utf8(body).unwrap();
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers[header::CACHE_CONTROL], "no-store");
    assert!(text.contains("make ui") && text.contains("/api/v2/version"));
}

#[tokio::test]
async fn the_embedded_folder_answers_whether_or_not_it_was_built() {
    let (status, _, body) = ask(embedded, get("/")).await;
    assert_eq!(status, StatusCode::OK);
    assert!(String::from_utf8(body).unwrap().contains("Updraft"));
}
