//! Who gets in.

use axum::{
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use serde_json::json;

use crate::support::{PASSWORD, TestServer};

fn post(path: &str, content_type: &str, body: &str) -> Request<Body> {
    let builder = Request::builder().method(Method::POST).uri(path).header(header::CONTENT_TYPE, content_type);
    builder.body(Body::from(body.to_owned())).unwrap()
}

#[tokio::test]
async fn a_password_gives_a_token_by_json_and_by_form() {
    let server = TestServer::empty().await;
    let form = post("/auth/token", "application/x-www-form-urlencoded", "username=admin&password=correct+horse");
    let answer = server.send(form).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    for path in ["/auth/token", "/auth/token/cli"] {
        let answer = server.call(Method::POST, path, json!({"username": "admin", "password": PASSWORD})).await;
        assert_eq!(answer.status, StatusCode::CREATED);
        let token = answer.json()["access_token"].as_str().unwrap().to_owned();
        assert_eq!(token.split('.').count(), 3);
    }
}

#[tokio::test]
async fn a_wrong_name_or_password_is_401() {
    let server = TestServer::empty().await;
    for body in [json!({"username": "admin", "password": "x"}), json!({"username": "x", "password": PASSWORD})] {
        let answer = server.call(Method::POST, "/auth/token", body).await;
        assert_eq!(
            (answer.status, answer.json()),
            (StatusCode::UNAUTHORIZED, json!({"detail": "Invalid credentials"}))
        );
    }
}

#[tokio::test]
async fn an_unfit_login_body_is_told_apart() {
    let server = TestServer::empty().await;
    let empty = server.call(Method::POST, "/auth/token", json!({"username": "", "password": ""})).await;
    assert_eq!(empty.status, StatusCode::BAD_REQUEST);
    let missing = server.call(Method::POST, "/auth/token", json!({"username": "admin"})).await;
    assert_eq!(missing.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(missing.json()["detail"].is_string());
    let more =
        server.call(Method::POST, "/auth/token", json!({"username": "a", "password": "b", "role": "admin"})).await;
    assert_eq!(more.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(more.json()["detail"].as_str().unwrap().contains("role"));
    let other = server.send(post("/auth/token", "text/plain", "admin")).await;
    assert_eq!(other.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let all_admins = server.get("/auth/token").await;
    assert_eq!(all_admins.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_token_may_come_in_the_cookie_and_the_header_wins() {
    let server = TestServer::empty().await;
    let bearer = server.request(Method::GET, "/api/v2/dags", None);
    let token = bearer.headers()[header::AUTHORIZATION].to_str().unwrap().replace("Bearer ", "");
    let with = |headers: &[(header::HeaderName, String)]| {
        let builder = headers.iter().fold(Request::builder().uri("/api/v2/dags"), |b, (k, v)| b.header(k, v));
        builder.body(Body::empty()).unwrap()
    };
    let cookie = (header::COOKIE, format!("_token={token}"));
    assert_eq!(server.send(with(std::slice::from_ref(&cookie))).await.status, StatusCode::OK);
    let broken = (header::AUTHORIZATION, "Bearer nonsense".to_owned());
    let answer = server.send(with(&[cookie, broken])).await;
    assert_eq!((answer.status, answer.json()), (StatusCode::FORBIDDEN, json!({"detail": "Invalid JWT token"})));
}
