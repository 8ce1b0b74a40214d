//! Tests of connections where they are enabled: something answers, refuses, keeps silent.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, Method, StatusCode, header},
    response::Redirect,
    routing::get,
};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::watch,
    time::{Instant, timeout},
};

use crate::support::TestServer;

const TEST: &str = "/api/v2/connections/test";

async fn server(limit: Duration) -> TestServer {
    // The binary chooses the library of cryptography in its `main`.
    let _ = rustls::crypto::ring::default_provider().install_default();
    TestServer::with(|config| config.test_connection = Some(limit)).await
}

async fn enabled() -> TestServer {
    server(Duration::from_secs(30)).await
}

/// Whether the test went well, and its message.
async fn test(server: &TestServer, body: Value) -> (bool, String) {
    let answer = server.call(Method::POST, TEST, body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let answer = answer.json();
    (answer["status"].as_bool().unwrap(), answer["message"].as_str().unwrap().to_owned())
}

/// A site that keeps the fields of the last request's header.
async fn site() -> (SocketAddr, watch::Receiver<HeaderMap>) {
    let (seen, last) = watch::channel(HeaderMap::new());
    let root = async |State(seen): State<Arc<watch::Sender<HeaderMap>>>, headers: HeaderMap| {
        seen.send_replace(headers);
        "hello"
    };
    let router = Router::new().route("/", get(root)).with_state(Arc::new(seen));
    (serve(router).await, last)
}

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

/// A port at which nothing listens.
async fn closed() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn a_site_is_asked_with_the_login_and_the_extra_headers() {
    let (server, (address, last)) = (enabled().await, site().await);
    let body = json!({"connection_id": "new", "conn_type": "http", "host": "127.0.0.1", "port": address.port(),
                      "login": "me", "password": "hunter2",
                      "extra": r#"{"X-Token": "swordfish", "timeout": 3, "headers": {"X-Other": "2"}}"#});
    let (status, message) = test(&server, body).await;
    assert!(status, "{message}");
    assert_eq!(message, format!("Connection successfully tested: {address} answered 200 OK"));
    let headers = last.borrow().clone();
    assert_eq!(headers[header::AUTHORIZATION], "Basic bWU6aHVudGVyMg==");
    assert_eq!(
        (&headers["x-token"], &headers["x-other"], headers.get("timeout")),
        (&"swordfish".parse().unwrap(), &"2".parse().unwrap(), None)
    );

    let trail = server.read("/api/v2/eventLogs?event=test_connection").await;
    assert_eq!(trail["total_entries"], 1);
    assert!(!trail.to_string().contains("hunter2") && !trail.to_string().contains("swordfish"), "{trail}");
}

#[tokio::test]
async fn what_the_form_masks_or_leaves_out_is_taken_from_the_stored_connection() {
    let (server, (address, last)) = (enabled().await, site().await);
    let stored = json!({"connection_id": "site", "conn_type": "http", "host": "nowhere.invalid", "port": address.port(),
                        "login": "me", "password": "hunter2", "extra": r#"{"api_token": "swordfish", "X-Old": "1"}"#});
    let answer = server.call(Method::POST, "/api/v2/connections", stored).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let masked = json!({"connection_id": "site", "conn_type": "http", "host": "127.0.0.1", "password": "***",
                        "extra": r#"{"api_token": "***", "X-New": "1"}"#});
    let absent = json!({"connection_id": "site", "conn_type": "http", "host": "127.0.0.1"});
    for (body, x_new) in [(masked, true), (absent, false)] {
        let (status, message) = test(&server, body).await;
        assert!(status, "{message}");
        let headers = last.borrow().clone();
        assert_eq!(headers[header::AUTHORIZATION], "Basic bWU6aHVudGVyMg==");
        assert_eq!(headers["api_token"], "swordfish");
        assert_eq!((headers.contains_key("x-new"), headers.contains_key("x-old")), (x_new, !x_new));
    }
    let kept = server.read("/api/v2/connections/site").await;
    assert_eq!(kept["host"], "nowhere.invalid", "a test changes nothing");
}

#[tokio::test]
async fn a_site_that_refuses_fails_and_a_redirect_is_not_followed() {
    let server = enabled().await;
    let (elsewhere, last) = site().await;
    let redirects = Router::new().route("/", get(async move || Redirect::to(&format!("http://{elsewhere}/"))));
    for (router, expected) in
        [(Router::new(), (false, "answered 404 Not Found")), (redirects, (true, "answered 303 See Other"))]
    {
        let address = serve(router).await;
        let body = json!({"connection_id": "c", "conn_type": "http", "host": format!("http://{address}")});
        let (status, message) = test(&server, body).await;
        assert_eq!((status, message.ends_with(expected.1)), (expected.0, true), "{message}");
    }
    assert!(last.borrow().is_empty(), "the other site was not asked");
    let body =
        json!({"connection_id": "c", "conn_type": "http", "host": "127.0.0.1", "extra": r#"{"a b": "hunter2"}"#});
    assert_eq!(test(&server, body).await, (false, "the extra `a b` cannot be sent as a header".to_owned()));
}

#[tokio::test]
async fn a_closed_port_refuses_every_type() {
    let (server, port) = (enabled().await, closed().await);
    for conn_type in ["http", "postgres", "ssh"] {
        let body = json!({"connection_id": "c", "conn_type": conn_type, "host": "127.0.0.1", "port": port,
                          "login": "me", "password": "hunter2"});
        let (status, message) = test(&server, body).await;
        assert!(!status && message.contains("Connection refused"), "{conn_type}: {message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[tokio::test]
async fn a_type_that_is_not_spoken_is_said_to_be_reached_and_no_more() {
    let server = enabled().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let body = json!({"connection_id": "c", "conn_type": "ssh", "host": "127.0.0.1", "port": port});
    let expected = format!("reached 127.0.0.1:{port}; this type is not spoken here");
    assert_eq!(test(&server, body).await, (true, expected));
}

#[tokio::test]
async fn a_server_that_keeps_silent_is_not_waited_for() {
    let server = server(Duration::from_millis(200)).await;
    // Connections are taken by the kernel, and nobody reads.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for conn_type in ["http", "postgres"] {
        let body = json!({"connection_id": "c", "conn_type": conn_type, "host": "127.0.0.1", "port": port});
        let begun = Instant::now();
        let answer = timeout(Duration::from_secs(20), test(&server, body)).await.expect("an answer");
        assert_eq!(answer, (false, "nothing was answered within 0.2 s".to_owned()), "{conn_type}");
        assert!(begun.elapsed() >= Duration::from_millis(200));
    }
}

#[tokio::test]
async fn a_postgres_is_logged_in_to() {
    let server = enabled().await;
    let options = server.store.pool().connect_options();
    let socket = options.get_socket().map(|socket| socket.display().to_string());
    let body = |schema: &str| {
        json!({"connection_id": "c", "conn_type": "postgres", "host": socket.as_deref().unwrap_or(options.get_host()),
               "port": options.get_port(), "login": options.get_username(), "password": "hunter2", "schema": schema})
    };
    let (status, message) = test(&server, body(options.get_database().unwrap())).await;
    assert_eq!((status, &*message), (true, "Connection successfully tested: logged in, and `select 1` was answered"));
    assert_eq!(test(&server, body("nope")).await, (false, "database \"nope\" does not exist".to_owned()));
}

#[tokio::test]
async fn nodes_test_none() {
    let server = enabled().await;
    let body = json!({"connection_id": "c", "conn_type": "http"});
    let answer = server.call(Method::POST, "/api/v2/connections/enqueue-test", body).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.starts_with("Connections are not tested on nodes"), "{detail}");
}
