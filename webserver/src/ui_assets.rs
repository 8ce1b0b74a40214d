//! Serves the dashboard and the API's reference: the files of `ui/dist`, embedded at build time, `index.html` for every page the
//! dashboard routes itself, and `docs.html` at `/docs`.
//!
//! A build without Node has no `ui/dist`; then every page is a small plain one that says how to build the dashboard, and the
//! API works as ever. This module never answers for another router: the prefixes in [`API_PREFIXES`] get a 404 here.

use std::borrow::Cow;

use axum::{
    Json, Router,
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use rust_embed::RustEmbed;
use serde_json::json;
use tower_http::compression::CompressionLayer;

/// First path segments that belong to other routers; a path below them that nobody answered is a 404 and never a page.
pub const API_PREFIXES: &[&str] = &["api", "auth", "executor", "metrics", "ui"];

/// First path segments of the pages of the dashboard (`ui/src/paths.ts`); the empty one is `/`.
const PAGES: &[&str] = &[
    "",
    "about",
    "assets",
    "audit",
    "config",
    "connections",
    "dags",
    "import-errors",
    "login",
    "nodes",
    "pools",
    "runs",
    "tokens",
    "users",
    "variables",
];

/// The dashboard.
const INDEX: &str = "index.html";
/// The API's reference.
const DOCS: &str = "docs.html";

/// Vite writes files here whose name contains a hash of their content, so they may be cached for ever.
const HASHED: &str = "static/";

const NOT_BUILT: &str = include_str!("ui_not_built.html");

/// Scripts only from our own files. Mantine writes its colour variables into a `<style>` element, hence `unsafe-inline` there.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                                       object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

#[derive(RustEmbed)]
#[folder = "../ui/dist"]
#[allow_missing = true]
struct Dist;

/// One file of the build, and the hash of its content.
struct Asset {
    data: Cow<'static, [u8]>,
    sha256: [u8; 32],
}

/// Where files come from: the embedded folder, or a table in tests.
type Lookup = fn(&str) -> Option<Asset>;

fn embedded(path: &str) -> Option<Asset> {
    Dist::get(path).map(|file| Asset { sha256: file.metadata.sha256_hash(), data: file.data })
}

/// The dashboard as a router, to be used as the fallback of the router of the APIs: `apis.fallback_service(ui_assets::router())`.
///
/// Answers GET and HEAD. Pages are revalidated by ETag, hashed files are immutable, text is compressed when the client
/// accepts gzip. Unknown paths are a 404 in Airflow's shape, or the dashboard's own "not found" page for a browser.
pub fn router() -> Router {
    router_for(embedded)
}

fn router_for(lookup: Lookup) -> Router {
    Router::new()
        .fallback(
            move |request: Request| async move { answer(lookup, request.method(), request.uri(), request.headers()) },
        )
        .layer(CompressionLayer::new())
}

fn answer(lookup: Lookup, method: &Method, uri: &Uri, headers: &HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    let first = path.split('/').next().unwrap_or_default();
    if API_PREFIXES.contains(&first) {
        return not_found();
    }
    if method != Method::GET && method != Method::HEAD {
        let allow = [(header::ALLOW, "GET, HEAD")];
        return (StatusCode::METHOD_NOT_ALLOWED, allow, Json(json!({"detail": "Method Not Allowed"}))).into_response();
    }
    match path {
        "docs" | DOCS => return page(lookup, DOCS, StatusCode::OK, headers),
        INDEX => return page(lookup, INDEX, StatusCode::OK, headers),
        _ => {}
    }
    if let Some(file) = lookup(path) {
        static_file(path, file, headers)
    } else if PAGES.contains(&first) {
        page(lookup, INDEX, StatusCode::OK, headers)
    } else if accepts_html(headers) {
        page(lookup, INDEX, StatusCode::NOT_FOUND, headers)
    } else {
        not_found()
    }
}

fn static_file(path: &str, file: Asset, headers: &HeaderMap) -> Response {
    let cache = if path.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    let mime = mime_guess::from_path(path).first_or_octet_stream();
    let etag = etag(&file.sha256);
    revalidated(headers, &etag, cache).unwrap_or_else(|| {
        let content_type = HeaderValue::from_str(mime.as_ref()).expect("a guessed media type is a valid header value");
        with_headers(StatusCode::OK, content_type, etag, cache, file.data)
    })
}

fn page(lookup: Lookup, name: &str, status: StatusCode, headers: &HeaderMap) -> Response {
    const CACHE: &str = "no-cache";
    const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
    let mut response = match lookup(name) {
        None => (
            status,
            [(header::CONTENT_TYPE, HTML), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))],
            NOT_BUILT,
        )
            .into_response(),
        Some(file) => {
            let etag = etag(&file.sha256);
            let unchanged = if status == StatusCode::OK { revalidated(headers, &etag, CACHE) } else { None };
            unchanged.unwrap_or_else(|| with_headers(status, HTML, etag, CACHE, file.data))
        }
    };
    for (name, value) in PAGE_HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

const PAGE_HEADERS: [(HeaderName, &str); 3] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::REFERRER_POLICY, "same-origin"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
];

fn with_headers(
    status: StatusCode,
    content_type: HeaderValue,
    etag: HeaderValue,
    cache: &'static str,
    data: Cow<'static, [u8]>,
) -> Response {
    let body = match data {
        Cow::Borrowed(bytes) => Body::from(bytes),
        Cow::Owned(bytes) => Body::from(bytes),
    };
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::ETAG, etag),
        (header::CACHE_CONTROL, HeaderValue::from_static(cache)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (status, headers, body).into_response()
}

/// Weak, because the compressed and the plain body of a file share it.
fn etag(sha256: &[u8; 32]) -> HeaderValue {
    use std::fmt::Write as _;
    let mut text = String::from("W/\"");
    for byte in &sha256[..16] {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
    }
    text.push('"');
    HeaderValue::try_from(text).expect("hexadecimal digits in quotes are a valid header value")
}

/// The 304 answer, if the client already has this very content.
fn revalidated(headers: &HeaderMap, etag: &HeaderValue, cache: &'static str) -> Option<Response> {
    let known = headers.get(header::IF_NONE_MATCH)?.to_str().ok()?;
    let current = etag.to_str().ok()?.trim_start_matches("W/");
    let matches = known.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == current);
    matches.then(|| {
        let headers = [(header::ETAG, etag.clone()), (header::CACHE_CONTROL, HeaderValue::from_static(cache))];
        (StatusCode::NOT_MODIFIED, headers).into_response()
    })
}

fn accepts_html(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .any(|accept| accept.to_str().is_ok_and(|accept| accept.contains("text/html")))
}

fn not_found() -> Response {
    (StatusCode::NOT_FOUND, Json(json!({"detail": "Not Found"}))).into_response()
}

#[cfg(test)]
#[path = "ui_assets_tests.rs"]
mod tests;
