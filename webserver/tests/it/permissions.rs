//! Every route, described or not, and whom it lets in.

use std::fmt::Write;

use axum::{
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use serde_json::Value;
use updraft_core::identity::Role;

use crate::support::TestServer;

/// What stands beside the declared routes: the document, and what only executor nodes may ask.
const BESIDE: &[(&str, &str, &str)] = &[("get", "/openapi.json", "public"), ("post", "/executor/v1/poll", "nodes")];

/// The snapshot is the table of permissions: a change of it is a change of who may do what.
#[tokio::test]
async fn each_route_lets_in_whom_the_table_says() {
    let server = TestServer::empty().await;
    let mut tokens = Vec::new();
    for role in Role::ALL {
        server.add_user(&format!("a {role}"), role).await;
        tokens.push((role, server.log_in(&format!("a {role}")).await));
    }
    let mut table = String::new();
    for (path, method, permission) in declared(&server) {
        let uri = path.replace(['{', '}'], "").replace("map_index", "0").replace("try_number", "1");
        let anonymous = lets_in(&server, &method, &uri, None).await;
        let mut row = format!("{:6} {path} ({permission}):", method.to_uppercase());
        if permission == "public" {
            assert!(anonymous, "{method} {path}");
            writeln!(table, "{row} all").unwrap();
            continue;
        }
        assert!(!anonymous, "{method} {path} lets in who has no token");
        for (role, token) in &tokens {
            if lets_in(&server, &method, &uri, Some(token)).await {
                write!(row, " {role}").unwrap();
            }
        }
        writeln!(table, "{row}").unwrap();
    }
    insta::assert_snapshot!("permissions", table);
}

#[tokio::test]
async fn no_route_lacks_a_permission() {
    let server = TestServer::empty().await;
    for (path, method, permission) in declared(&server) {
        assert!(!permission.is_empty(), "{method} {path} declares no permission");
    }
}

/// Path, method and permission of each route, sorted.
fn declared(server: &TestServer) -> Vec<(String, String, String)> {
    let document = serde_json::to_value(updraft_webserver::routes(&server.app)).unwrap();
    let mut routes: Vec<_> =
        BESIDE.iter().map(|(m, p, who)| ((*p).to_owned(), (*m).to_owned(), (*who).to_owned())).collect();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let permission = operation["x-permission"].as_str().unwrap_or_default();
            routes.push((path.clone(), method.clone(), permission.to_owned()));
        }
    }
    routes.sort();
    routes
}

/// Whether the request came past the guard; what it is answered then does not matter.
async fn lets_in(server: &TestServer, method: &str, uri: &str, token: Option<&str>) -> bool {
    let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
    let mut request = Request::builder().method(method).uri(uri.replace(' ', "%20"));
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let response = server.answer(request.body(Body::empty()).unwrap()).await;
    match response.status() {
        StatusCode::UNAUTHORIZED => false,
        // Some handlers refuse everybody, in other words.
        StatusCode::FORBIDDEN => {
            let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
            serde_json::from_slice::<Value>(&body).unwrap()["detail"] != "Forbidden"
        }
        _ => true,
    }
}
