//! Users, API tokens, and how logins end.

use std::{net::SocketAddr, time::Duration};

use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{Method, Request, StatusCode, header},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use updraft_core::identity::Role;
use updraft_webserver::{App, Config};

use crate::support::{Answer, PASSWORD, TestServer, column};

/// A login as `username`, from a socket's address and through what proxies say.
fn login(username: &str, password: &str, from: &str, forwarded: Option<&str>) -> Request<Body> {
    let body = json!({"username": username, "password": password}).to_string();
    let mut request =
        Request::builder().method(Method::POST).uri("/auth/token").header(header::CONTENT_TYPE, "application/json");
    if let Some(forwarded) = forwarded {
        request = request.header("x-forwarded-for", forwarded);
    }
    let mut request = request.body(Body::from(body)).unwrap();
    let from: SocketAddr = format!("{from}:4711").parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(from));
    request
}

async fn read_as(server: &TestServer, token: &str, path: &str) -> Answer {
    server.send(server.request_as(token, Method::GET, path, None)).await
}

async fn make_token(server: &TestServer, login: &str, body: &Value) -> Answer {
    server.send(server.request_as(login, Method::POST, "/ui/tokens", Some(body))).await
}

#[tokio::test]
async fn an_admin_makes_changes_and_deletes_users() {
    let server = TestServer::empty().await;
    let ada = json!({"username": "ada", "password": PASSWORD, "role": "user"});
    let made = server.call(Method::POST, "/ui/users", ada.clone()).await;
    assert_eq!((made.status, &made.json()["role"]), (StatusCode::CREATED, &json!("user")), "{}", made.text());
    assert_eq!(server.call(Method::POST, "/ui/users", ada).await.status, StatusCode::CONFLICT);
    let users = server.read("/ui/users").await;
    assert_eq!(
        (column(&users["users"], "username"), users["total_entries"].as_i64()),
        (vec!["ada".into(), "admin".into()], Some(2))
    );

    let token = server.log_in("ada").await;
    let me = read_as(&server, &token, "/ui/me").await.json();
    assert_eq!((&me["username"], &me["role"]), (&json!("ada"), &json!("user")));
    let may = |permission: &str| me["permissions"].as_array().unwrap().contains(&json!(permission));
    assert!(may("Read:Pool") && may("Write:DagRun") && !may("Write:Pool") && !may("Read:User"), "{me}");
    assert_eq!(server.call(Method::PATCH, "/ui/users/ada", json!({"role": "viewer"})).await.status, StatusCode::OK);
    assert_eq!(read_as(&server, &token, "/ui/me").await.json()["role"], "viewer");
    assert_eq!(server.call(Method::DELETE, "/ui/users/ada", json!({})).await.status, StatusCode::NO_CONTENT);
    assert_eq!(read_as(&server, &token, "/ui/me").await.status, StatusCode::UNAUTHORIZED);
    // One who comes back under the same name is somebody else.
    server.add_user("ada", Role::Admin).await;
    assert_eq!(read_as(&server, &token, "/ui/me").await.status, StatusCode::UNAUTHORIZED);

    let audit = server.read("/api/v2/eventLogs?order_by=id").await;
    let events = column(&audit["event_logs"], "event");
    assert_eq!(events, ["post_user", "login", "patch_user", "delete_user"]);
    assert!(!audit.to_string().contains(PASSWORD), "{audit}");
}

#[tokio::test]
async fn an_unfit_user_is_told_what_is_wrong() {
    let server = TestServer::empty().await;
    for (body, field) in [
        (json!({"username": " ada", "password": PASSWORD, "role": "user"}), "username"),
        (json!({"username": "ada", "password": "short", "role": "user"}), "password"),
        (json!({"username": "ada", "password": PASSWORD, "role": "root"}), "role"),
        (json!({"username": "ada", "password": null, "role": "user"}), "password"),
        (json!({"username": "ada", "password": PASSWORD, "role": "user", "more": 1}), "more"),
    ] {
        let answer = server.call(Method::POST, "/ui/users", body).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{field}: {}", answer.text());
        assert_eq!(answer.json()["detail"][0]["loc"], json!(["body", field]));
        assert!(!answer.text().contains("short"), "{}", answer.text());
    }
    assert_eq!(server.call(Method::PATCH, "/ui/users/nobody", json!({})).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_last_admin_stays() {
    let server = TestServer::empty().await;
    let demote = || server.call(Method::PATCH, "/ui/users/admin", json!({"role": "op"}));
    let delete = || server.call(Method::DELETE, "/ui/users/admin", json!({}));
    for refused in [demote().await, delete().await] {
        assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.text());
    }
    server.add_user("another", Role::Admin).await;
    assert_eq!(demote().await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_api_token_acts_for_its_user_until_it_is_revoked() {
    let server = TestServer::seeded().await;
    server.add_user("ci", Role::User).await;
    let login = server.log_in("ci").await;
    let made = make_token(&server, &login, &json!({"name": "deploys", "expires_in_days": 30})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let token = made.json()["token"].as_str().unwrap().to_owned();
    assert!(token.starts_with("updraft_api_"), "{token}");

    let trigger = json!({"logical_date": null});
    let run = server.send(server.request_as(&token, Method::POST, "/api/v2/dags/etl/dagRuns", Some(&trigger))).await;
    assert_eq!((run.status, &run.json()["triggering_user_name"]), (StatusCode::OK, &json!("ci")), "{}", run.text());
    assert_eq!(read_as(&server, &token, "/api/v2/variables").await.status, StatusCode::FORBIDDEN);

    let stored: String =
        sqlx::query_scalar("select to_jsonb(t)::text from api_token t").fetch_one(server.store.pool()).await.unwrap();
    assert!(!stored.contains(&token["updraft_api_".len()..]), "only the hash is kept");
    let listed = read_as(&server, &login, "/ui/tokens").await.json();
    assert_eq!(column(&listed["tokens"], "name"), ["deploys"]);
    assert!(listed["tokens"][0]["last_used_at"].is_string(), "{listed}");
    assert!(!listed.to_string().contains(&token));

    let path = format!("/ui/tokens/{}", made.json()["id"]);
    let revoked = server.send(server.request_as(&login, Method::DELETE, &path, None)).await;
    assert_eq!(revoked.status, StatusCode::NO_CONTENT);
    let refused = read_as(&server, &token, "/ui/me").await;
    assert_eq!((refused.status, refused.json()), (StatusCode::UNAUTHORIZED, json!({"detail": "Invalid API token"})));
    let audit = server.read("/api/v2/eventLogs?owner=ci&order_by=id").await;
    assert_eq!(column(&audit["event_logs"], "event"), ["login", "post_token", "trigger_dag_run", "delete_token"]);
    assert!(!audit.to_string().contains(&token));
}

#[tokio::test]
async fn an_api_token_that_expired_is_refused() {
    let server = TestServer::empty().await;
    let login = server.log_in("admin").await;
    let made = make_token(&server, &login, &json!({"name": "short", "expires_in_days": 1})).await;
    sqlx::raw_sql("update api_token set expires_at = now()").execute(server.store.pool()).await.unwrap();
    let token = made.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(read_as(&server, &token, "/ui/me").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_token_that_leaked_cannot_outlive_its_revocation() {
    let server = TestServer::empty().await;
    let login = server.log_in("admin").await;
    let made = make_token(&server, &login, &json!({"name": "one"})).await.json();
    let refused = make_token(&server, made["token"].as_str().unwrap(), &json!({"name": "two"})).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text());
}

#[tokio::test]
async fn only_admins_see_and_revoke_the_tokens_of_others() {
    let server = TestServer::empty().await;
    for name in ["ada", "bob"] {
        server.add_user(name, Role::Op).await;
        let login = server.log_in(name).await;
        make_token(&server, &login, &json!({"name": name})).await;
    }
    let ada = server.log_in("ada").await;
    let own = read_as(&server, &ada, "/ui/tokens").await.json();
    assert_eq!((column(&own["tokens"], "username"), own["total_entries"].as_i64()), (vec!["ada".into()], Some(1)));
    let all = server.read("/ui/tokens?order_by=id").await;
    assert_eq!(column(&all["tokens"], "username"), ["ada", "bob"]);
    let bobs = format!("/ui/tokens/{}", all["tokens"][1]["id"]);
    let refused = server.send(server.request_as(&ada, Method::DELETE, &bobs, None)).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND, "not even that there is one");
    assert_eq!(server.call(Method::DELETE, &bobs, json!({})).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn another_password_ends_logins_and_not_api_tokens() {
    let server = TestServer::empty().await;
    server.add_user("ada", Role::User).await;
    let login = server.log_in("ada").await;
    let token = make_token(&server, &login, &json!({"name": "t"})).await.json()["token"].as_str().unwrap().to_owned();
    let change = server.call(Method::PATCH, "/ui/users/ada", json!({"password": "battery staple"})).await;
    assert_eq!(change.status, StatusCode::OK, "{}", change.text());
    assert_eq!(read_as(&server, &login, "/ui/me").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(read_as(&server, &token, "/ui/me").await.status, StatusCode::OK);
    assert_eq!(server.send(self::login("ada", PASSWORD, "192.0.2.1", None)).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(server.send(self::login("ada", "battery staple", "192.0.2.1", None)).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn logging_out_ends_the_login_in_header_and_cookie() {
    let server = TestServer::empty().await;
    let (first, second) = (server.log_in("admin").await, server.log_in("admin").await);
    let mut request = server.request_as(&first, Method::GET, "/api/v2/auth/logout", None);
    request.headers_mut().insert(header::COOKIE, format!("_token={second}").parse().unwrap());
    let answer = server.send(request).await;
    assert_eq!(
        (answer.status, &answer.headers[header::LOCATION]),
        (StatusCode::TEMPORARY_REDIRECT, &"/login".parse().unwrap())
    );
    assert_eq!(answer.headers[header::SET_COOKIE], "_token=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
    for token in [first, second] {
        let refused = read_as(&server, &token, "/ui/me").await;
        assert_eq!((refused.status, refused.json()), (StatusCode::UNAUTHORIZED, json!({"detail": "Token Revoked"})));
    }
    server.read("/ui/me").await;
}

/// The other webserver has asked before, and asks again only after a while.
#[tokio::test]
async fn what_ends_on_one_webserver_ends_on_all_within_seconds() {
    let server = TestServer::empty().await;
    let app = App::new(server.store.clone(), server.app.config.clone(), CancellationToken::new()).unwrap();
    let other = updraft_webserver::router(&app);
    let token = server.log_in("admin").await;
    let ask = || async {
        let request = server.request_as(&token, Method::GET, "/ui/me", None);
        other.clone().oneshot(request).await.unwrap().status()
    };
    assert_eq!(ask().await, StatusCode::OK);
    server.send(server.request_as(&token, Method::GET, "/api/v2/auth/logout", None)).await;
    let refused = tokio::time::timeout(Duration::from_secs(5), async {
        while ask().await == StatusCode::OK {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    refused.await.expect("the login ends everywhere");
}

#[tokio::test]
async fn too_many_wrong_passwords_slow_one_name_at_one_address_only() {
    let server = TestServer::with(|config| config.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()]).await;
    server.add_user("ada", Role::User).await;
    for _ in 0..5 {
        let wrong = server.send(login("ada", "wrong", "192.0.2.1", None)).await;
        assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    }
    let refused = server.send(login("ada", PASSWORD, "192.0.2.1", None)).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = refused.headers[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=13).contains(&wait), "{wait}");
    assert!(refused.json()["detail"].is_string());
    for (name, from, forwarded) in
        [("ada", "192.0.2.2", None), ("admin", "192.0.2.1", None), ("ada", "10.0.0.1", Some("192.0.2.3"))]
    {
        let answer = server.send(login(name, PASSWORD, from, forwarded)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{name} from {from}: {}", answer.text());
    }
    let through_a_proxy = server.send(login("ada", PASSWORD, "10.0.0.1", Some("192.0.2.1"))).await;
    assert_eq!(through_a_proxy.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn the_audit_trail_knows_logins_and_no_secrets() {
    let server = TestServer::empty().await;
    server.send(login("admin", PASSWORD, "192.0.2.1", None)).await;
    server.send(login("admin", "wrong horse", "192.0.2.1", None)).await;
    // Somebody's password in the wrong field.
    server.send(login("my secret password", "x", "192.0.2.1", None)).await;
    let audit = server.read("/api/v2/eventLogs?order_by=id").await;
    let rows: Vec<_> =
        audit["event_logs"].as_array().unwrap().iter().map(|row| (&row["event"], &row["owner"])).collect();
    let (admin, failed) = (json!("admin"), json!("login_failed"));
    assert_eq!(rows, [(&json!("login"), &admin), (&failed, &admin), (&failed, &Value::Null)]);
    assert!(audit["event_logs"][0]["extra"].as_str().unwrap().contains("192.0.2.1"), "{audit}");
    for secret in [PASSWORD, "wrong horse", "my secret"] {
        assert!(!audit.to_string().contains(secret), "{audit}");
    }
}

#[tokio::test]
async fn a_browser_logs_in_by_a_cookie_that_scripts_cannot_read() {
    let server = TestServer::with(|config| config.secure_cookies = true).await;
    let body = json!({"username": "admin", "password": PASSWORD});
    let answer = server.call(Method::POST, "/ui/login", body.clone()).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text());
    let cookie = answer.headers[header::SET_COOKIE].to_str().unwrap().to_owned();
    assert!(cookie.ends_with("; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax; Secure"), "{cookie}");
    let pair = cookie.split(';').next().unwrap();
    let request = Request::builder().uri("/ui/me").header(header::COOKIE, pair).body(Body::empty()).unwrap();
    assert_eq!(server.send(request).await.json()["username"], "admin");

    let mut form = server.request(Method::POST, "/ui/login", Some(&body));
    form.headers_mut().insert(header::CONTENT_TYPE, "text/plain".parse().unwrap());
    let answer = server.send(form).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "another site's form can send this");
}

#[tokio::test]
async fn where_all_are_admins_nobody_logs_in() {
    let server = TestServer::with(|config| config.all_admins = true).await;
    let anonymous = |path: &str| Request::builder().uri(path.to_owned()).body(Body::empty()).unwrap();
    let me = server.send(anonymous("/ui/me")).await.json();
    assert_eq!((&me["username"], &me["role"]), (&json!("Anonymous"), &json!("admin")));
    let made = server.send(anonymous("/auth/token")).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let token = made.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(read_as(&server, &token, "/ui/me").await.json(), me);
    let browser = server.send(anonymous("/auth/token/login?next=/dags/x")).await;
    assert_eq!(
        (browser.status, &browser.headers[header::LOCATION]),
        (StatusCode::TEMPORARY_REDIRECT, &"/dags/x".parse().unwrap())
    );
    assert!(browser.headers[header::SET_COOKIE].to_str().unwrap().starts_with("_token=ey"));
    assert_eq!(server.send(anonymous("/api/v2/auth/login")).await.headers[header::LOCATION], "/auth/token/login");
    let refused = make_token(&server, &token, &json!({"name": "nobody's"})).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text());

    // Where users log in, a token of such a time is nothing.
    let strict = Config { all_admins: false, ..server.app.config.clone() };
    let strict = App::new(server.store.clone(), strict, CancellationToken::new());
    let request = server.request_as(&token, Method::GET, "/ui/me", None);
    let answer = updraft_webserver::router(&strict.unwrap()).oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_login_leads_back_to_this_server_only() {
    let server = TestServer::empty().await;
    let to = async |next: &str| {
        let request = Request::builder().uri(format!("/api/v2/auth/login?next={next}")).header(header::HOST, "here");
        server.send(request.body(Body::empty()).unwrap()).await
    };
    assert_eq!(to("/dags/x%3Fa=b").await.headers[header::LOCATION], "/login?next=%2Fdags%2Fx%3Fa%3Db");
    for elsewhere in ["//evil.example", "https://evil.example/", "/%5Cevil.example", "/a%0D%0Ab"] {
        let answer = to(elsewhere).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{elsewhere}");
        assert_eq!(answer.json(), json!({"detail": "Invalid or unsafe next URL"}));
    }
}
