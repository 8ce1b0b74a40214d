//! What every request passes: a request id, a span, limits, compression, and panics answered.

use std::{any::Any, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::{DefaultBodyLimit, State},
    http::{HeaderName, Request, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use serde_json::json;
use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::{
        CompressionLayer, Predicate,
        predicate::{NotForContentType, SizeAbove},
    },
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    sensitive_headers::SetSensitiveRequestHeadersLayer,
    trace::TraceLayer,
};

use crate::{Config, error, measure};

/// Bytes of a request body at most; logs and XComs of executors have their own limit.
const BODY_LIMIT: usize = 4 << 20;
/// Answers below this many bytes are not worth compressing.
const COMPRESS_ABOVE: u64 = 1024;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Deadlines and body limits of ordinary requests; long polls and followed logs stay outside.
pub(crate) fn bounded<S: Clone + Send + Sync + 'static>(router: Router<S>, config: &Config) -> Router<S> {
    let deadline = middleware::from_fn_with_state(config.request_timeout, deadline);
    router.layer(deadline).layer(DefaultBodyLimit::max(BODY_LIMIT))
}

/// Ends a request that takes too long; what it holds is free then.
async fn deadline(State(limit): State<Duration>, request: Request<Body>, next: Next) -> Response {
    let answered = tokio::time::timeout(limit, next.run(request)).await;
    answered.unwrap_or_else(|_| {
        let detail = format!("The request was not answered within {} seconds. Please try again.", limit.as_secs_f64());
        (StatusCode::GATEWAY_TIMEOUT, Json(json!({ "detail": detail }))).into_response()
    })
}

/// The outermost layers.
pub(crate) fn wrap(router: Router) -> Router {
    let compressed = CompressionLayer::new().compress_when(
        // A followed log must leave line by line, an event when it happens.
        SizeAbove::new(COMPRESS_ABOVE)
            .and(NotForContentType::const_new("application/x-ndjson"))
            .and(NotForContentType::const_new("text/event-stream")),
    );
    router.layer(
        ServiceBuilder::new()
            .layer(SetSensitiveRequestHeadersLayer::new([header::AUTHORIZATION, header::COOKIE]))
            .layer(SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid))
            .layer(TraceLayer::new_for_http().make_span_with(span))
            .layer(PropagateRequestIdLayer::new(REQUEST_ID))
            .layer(middleware::from_fn(measure::answered))
            .layer(compressed)
            .layer(CatchPanicLayer::custom(panicked)),
    )
}

fn span(request: &Request<Body>) -> tracing::Span {
    let id = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
    tracing::debug_span!("request", method = %request.method(), path = request.uri().path(), request_id = id)
}

#[expect(clippy::needless_pass_by_value, reason = "the layer hands the panic over")]
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words");
    let detail = error::internal(&format!("a handler panicked: {text}"));
    (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({ "detail": detail }))).into_response()
}

#[cfg(test)]
mod tests {
    use axum::{body::to_bytes, routing::get};
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_request_that_takes_too_long_says_so() {
        let router = Router::new().route("/", get(std::future::pending::<()>));
        let router = router.layer(middleware::from_fn_with_state(Duration::from_millis(1), deadline));
        let response = router.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        assert_eq!(body, "{\"detail\":\"The request was not answered within 0.001 seconds. Please try again.\"}");
    }

    #[tokio::test]
    async fn a_panic_is_a_500_that_tells_nothing_but_an_id() {
        async fn breaks() {
            panic!("the secret reason");
        }
        let router = wrap(Router::new().route("/", get(breaks)));
        let response = router.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(response.headers().contains_key(REQUEST_ID));
        let body = String::from_utf8(to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap();
        assert!(body.contains("look for ID") && !body.contains("secret"), "{body}");
    }
}
