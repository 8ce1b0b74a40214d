//! What the webserver exports as metrics, and the route that tells them.

use axum::{
    Router,
    extract::{MatchedPath, Request},
    http::{Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::get,
};
use metrics::{counter, histogram};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::time::Instant;
use updraft_core::metrics::{HTTP_DURATION, HTTP_REQUESTS};

/// Prometheus' text format, version 0.0.4.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `GET /metrics`. Asks for no login, like Airflow's health endpoints: what it tells is names of DAGs, pools and nodes, and numbers.
pub fn router(metrics: PrometheusHandle) -> Router {
    let answer = async move || ([(header::CONTENT_TYPE, TEXT)], metrics.render()).into_response();
    Router::new().route("/metrics", get(answer))
}

/// Counts an answer. The route is the pattern, so that no id becomes a label.
pub(crate) async fn answered(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = word(request.method());
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    histogram!(HTTP_DURATION.name, "route" => route.clone()).record(began.elapsed());
    counter!(HTTP_REQUESTS.name, "method" => method, "route" => route, "status" => status).increment(1);
    response
}

/// A client may send any word.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
