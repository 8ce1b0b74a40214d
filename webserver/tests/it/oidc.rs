//! Login by a provider: one on a port of this test, which signs with real keys and checks what it is sent.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, Request, StatusCode, header},
    routing::{get, post},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use updraft_core::identity::Role;
use updraft_webserver::Oidc;

use crate::support::{Answer, TestServer};

const KEYS: [&[u8]; 2] =
    [include_bytes!("../../../tests/data/oidc/first.der"), include_bytes!("../../../tests/data/oidc/second.der")];

/// What the provider knows.
struct Provider {
    url: String,
    /// Which key signs; only that one is published.
    key: AtomicUsize,
    /// How often the keys were asked for.
    reads: AtomicUsize,
    /// What it says of the person, over what every token has.
    claims: Mutex<Value>,
    /// Challenge and nonce of each code that it gave.
    codes: Mutex<HashMap<String, (String, String)>>,
}

impl Provider {
    async fn start() -> Arc<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let provider = Arc::new(Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            key: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
            claims: Mutex::new(json!({"preferred_username": "ada", "groups": ["platform", "all"]})),
            codes: Mutex::default(),
        });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        provider
    }

    fn says(&self, claims: Value) {
        *self.claims.lock().unwrap() = claims;
    }

    /// The person agrees: the code with which the browser is sent back.
    fn agree(&self, asked: &HashMap<String, String>) -> String {
        assert_eq!((asked["response_type"].as_str(), asked["code_challenge_method"].as_str()), ("code", "S256"));
        assert_eq!(asked["redirect_uri"], "https://updraft.example.org/auth/oidc/callback");
        assert_eq!(asked["scope"], "openid profile");
        let code = format!("code {}", self.codes.lock().unwrap().len());
        self.codes.lock().unwrap().insert(code.clone(), (asked["code_challenge"].clone(), asked["nonce"].clone()));
        code
    }
}

async fn discovery(State(provider): State<Arc<Provider>>) -> Json<Value> {
    let at = |path: &str| format!("{}{path}", provider.url);
    Json(json!({"issuer": provider.url, "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"),
                "jwks_uri": at("/keys")}))
}

async fn keys(State(provider): State<Arc<Provider>>) -> Json<Value> {
    provider.reads.fetch_add(1, Ordering::Relaxed);
    let number = provider.key.load(Ordering::Relaxed);
    let mut key = Jwk::from_encoding_key(&EncodingKey::from_rsa_der(KEYS[number]), Algorithm::RS256).unwrap();
    key.common.key_id = Some(number.to_string());
    Json(json!({"keys": [{"kty": "of another time"}, key]}))
}

async fn token(State(provider): State<Arc<Provider>>, headers: HeaderMap, body: Bytes) -> (StatusCode, Json<Value>) {
    let sent: HashMap<String, String> = form_urlencoded::parse(&body).into_owned().collect();
    let basic = format!("Basic {}", STANDARD.encode("updraft:the+secret"));
    assert_eq!(headers[header::AUTHORIZATION], basic);
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&sent["code_verifier"]));
    // A code is good once, and for who can tell what its challenge was made of.
    let Some((_, nonce)) =
        provider.codes.lock().unwrap().remove(&sent["code"]).filter(|(known, _)| *known == challenge)
    else {
        return (StatusCode::BAD_REQUEST, Json(json!({"error": "invalid_grant"})));
    };
    let mut claims =
        json!({"iss": provider.url, "aud": "updraft", "sub": "4711", "exp": 32_503_680_000_u64, "nonce": nonce});
    for (name, value) in provider.claims.lock().unwrap().as_object().unwrap() {
        claims[name] = value.clone();
    }
    let number = provider.key.load(Ordering::Relaxed);
    let mut head = Header::new(Algorithm::RS256);
    head.kid = Some(number.to_string());
    let token = jsonwebtoken::encode(&head, &claims, &EncodingKey::from_rsa_der(KEYS[number])).unwrap();
    (StatusCode::OK, Json(json!({"id_token": token, "access_token": "x", "token_type": "Bearer"})))
}

async fn server(provider: &Provider) -> TestServer {
    let oidc = Oidc {
        issuer: provider.url.clone(),
        client_id: "updraft".to_owned(),
        client_secret: Some("the secret".into()),
        scopes: vec!["openid".to_owned(), "profile".to_owned()],
        name_claim: "preferred_username".to_owned(),
        role_claim: "groups".to_owned(),
        roles: vec![("platform".to_owned(), Role::Op), ("root".to_owned(), Role::Admin)],
        default_role: None,
        base_url: "https://updraft.example.org/".to_owned(),
    };
    TestServer::with(|config| config.oidc = Some(oidc)).await
}

/// The cookie of this name that an answer sets.
fn cookie(answer: &Answer, name: &str) -> String {
    let lines = answer.headers.get_all(header::SET_COOKIE).iter().map(|line| line.to_str().unwrap());
    let line = lines.filter_map(|line| line.split(';').next()).find(|line| line.starts_with(&format!("{name}=")));
    line.unwrap_or_else(|| panic!("no cookie {name}: {} {}", answer.status, answer.text())).to_owned()
}

async fn visit(server: &TestServer, path: &str, cookie: &str) -> Answer {
    let request = Request::builder().uri(path).header(header::COOKIE, cookie).body(Body::empty()).unwrap();
    server.send(request).await
}

/// A browser that is sent to the provider: what it carries, and what the provider is asked.
async fn begin(server: &TestServer, provider: &Provider) -> (String, HashMap<String, String>) {
    let answer = visit(server, "/auth/oidc/login?next=/dags/etl", "").await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
    let place = answer.headers[header::LOCATION].to_str().unwrap();
    let asked = place.strip_prefix(&format!("{}/authorize?", provider.url)).expect("the provider's page");
    (cookie(&answer, "_oidc"), form_urlencoded::parse(asked.as_bytes()).into_owned().collect())
}

/// The browser comes back.
async fn end(server: &TestServer, carried: &str, state: &str, code: &str) -> Answer {
    let query =
        form_urlencoded::Serializer::new(String::new()).extend_pairs([("state", state), ("code", code)]).finish();
    visit(server, &format!("/auth/oidc/callback?{query}"), carried).await
}

async fn log_in(server: &TestServer, provider: &Provider) -> Answer {
    let (carried, asked) = begin(server, provider).await;
    end(server, &carried, &asked["state"], &provider.agree(&asked)).await
}

#[tokio::test]
async fn the_providers_word_makes_a_user_with_the_role_of_this_moment() {
    let provider = Provider::start().await;
    let server = server(&provider).await;
    let answer = log_in(&server, &provider).await;
    assert_eq!(
        (answer.status, &answer.headers[header::LOCATION]),
        (StatusCode::SEE_OTHER, &"/dags/etl".parse().unwrap())
    );
    let login = cookie(&answer, "_token");
    assert_eq!(cookie(&answer, "_oidc"), "_oidc=", "it is used up");
    let me = visit(&server, "/ui/me", &login).await.json();
    assert_eq!((&me["username"], &me["role"]), (&json!("ada"), &json!("op")));
    let logs = server.read("/api/v2/eventLogs").await;
    assert_eq!((&logs["event_logs"][0]["event"], &logs["event_logs"][0]["owner"]), (&json!("login"), &json!("ada")));

    // The same person, called otherwise and with more rights.
    provider.says(json!({"preferred_username": "lovelace", "groups": ["root"]}));
    let login = cookie(&log_in(&server, &provider).await, "_token");
    let me = visit(&server, "/ui/me", &login).await.json();
    assert_eq!((&me["username"], &me["role"]), (&json!("lovelace"), &json!("admin")));
    assert_eq!(server.read("/ui/users").await["total_entries"], 2, "the admin and one more");
}

#[tokio::test]
async fn a_user_of_the_provider_has_no_password() {
    let provider = Provider::start().await;
    let server = server(&provider).await;
    log_in(&server, &provider).await;
    for password in ["", "null", "ada"] {
        let answer = server.call(Method::POST, "/auth/token", json!({"username": "ada", "password": password})).await;
        assert!(answer.status.is_client_error(), "{password:?}: {}", answer.status);
    }
}

#[tokio::test]
async fn a_new_key_of_the_provider_is_learnt_at_once_and_keys_are_not_asked_for_again_and_again() {
    let provider = Provider::start().await;
    let server = server(&provider).await;
    let reads = || provider.reads.load(Ordering::Relaxed);
    cookie(&log_in(&server, &provider).await, "_token");
    cookie(&log_in(&server, &provider).await, "_token");
    assert_eq!(reads(), 1);
    provider.key.store(1, Ordering::Relaxed);
    cookie(&log_in(&server, &provider).await, "_token");
    assert_eq!(reads(), 2);
    // At whoever's word: no more for some seconds.
    provider.key.store(0, Ordering::Relaxed);
    assert_eq!(log_in(&server, &provider).await.status, StatusCode::FORBIDDEN);
    assert_eq!(reads(), 2);
}

#[tokio::test]
async fn who_has_no_role_or_anothers_name_is_not_let_in() {
    let provider = Provider::start().await;
    let server = server(&provider).await;
    let refused = async |claims: Value| {
        provider.says(claims);
        let answer = log_in(&server, &provider).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text());
        answer.json()["detail"].as_str().unwrap().to_owned()
    };
    let stranger = refused(json!({"preferred_username": "eve", "groups": ["all"]})).await;
    assert_eq!(stranger, "Not logged in: nothing that the provider says of you gives you a role here");
    let nameless = refused(json!({"groups": ["root"]})).await;
    assert_eq!(nameless, "Not logged in: the provider does not say your name (preferred_username)");
    // Whoever may choose a name at the provider must not become the admin of here.
    let admin = refused(json!({"preferred_username": "admin", "groups": ["platform"]})).await;
    assert_eq!(admin, "Not logged in: another user is called admin here");
}

#[tokio::test]
async fn a_token_that_is_not_for_this_login_does_not_count() {
    let provider = Provider::start().await;
    let server = server(&provider).await;
    let of_ada = json!({"preferred_username": "ada", "groups": ["platform"]});
    let wrong = [
        json!({"aud": "another"}),
        json!({"aud": ["updraft", "another"]}),
        json!({"azp": "another"}),
        json!({"iss": "https://evil.example"}),
        json!({"exp": 1_000}),
        json!({"nonce": "another"}),
    ];
    for claims in wrong {
        let mut said = of_ada.clone();
        said.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        provider.says(said);
        let answer = log_in(&server, &provider).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{claims}: {}", answer.text());
        assert!(answer.json()["detail"].as_str().unwrap().contains("the ID token does not count"), "{claims}");
    }
    provider.says(of_ada);
    cookie(&log_in(&server, &provider).await, "_token");
}

#[tokio::test]
async fn only_the_browser_that_began_a_login_ends_it_and_once() {
    let provider = Provider::start().await;
    let server = server(&provider).await;
    let (carried, asked) = begin(&server, &provider).await;
    let (others, _) = begin(&server, &provider).await;
    let code = provider.agree(&asked);
    for (carried, state) in [(others.as_str(), asked["state"].as_str()), ("", &asked["state"]), (&carried, "another")] {
        let answer = end(&server, carried, state, &code).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text());
    }
    cookie(&end(&server, &carried, &asked["state"], &code).await, "_token");
    let again = end(&server, &carried, &asked["state"], &code).await;
    let detail = "Not logged in: the provider gives no token for the code: invalid_grant";
    assert_eq!((again.status, again.json()), (StatusCode::FORBIDDEN, json!({ "detail": detail })));
    let denied = visit(&server, "/auth/oidc/callback?error=access_denied", &carried).await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn without_a_provider_there_is_no_such_login_and_a_dead_one_is_503() {
    let server = TestServer::empty().await;
    assert_eq!(visit(&server, "/auth/oidc/login", "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(visit(&server, "/ui/login", "").await.json(), json!({"oidc": false}));
    let provider = Provider {
        url: "http://127.0.0.1:1".to_owned(),
        key: AtomicUsize::new(0),
        reads: AtomicUsize::new(0),
        claims: Mutex::default(),
        codes: Mutex::default(),
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = self::server(&provider).await;
    assert_eq!(visit(&server, "/ui/login", "").await.json(), json!({"oidc": true}));
    assert_eq!(visit(&server, "/auth/oidc/login", "").await.status, StatusCode::SERVICE_UNAVAILABLE);
    let elsewhere = visit(&server, "/auth/oidc/login?next=https://evil.example/", "").await;
    assert_eq!(elsewhere.status, StatusCode::BAD_REQUEST);
}
