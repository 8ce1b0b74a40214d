//! What is asked of the provider: where its endpoints are, its keys, and a token for a code (OpenID Connect Core 1.0, Discovery 1.0).

use std::time::Duration;

use jsonwebtoken::{
    Algorithm, DecodingKey, Validation,
    jwk::{Jwk, PublicKeyUse},
};
use secrecy::ExposeSecret;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use tokio::{sync::Mutex, time::Instant};

use super::Oidc;

/// The provider answers within this.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Endpoints and keys are read anew after this.
const KNOWN_FOR: Duration = Duration::from_hours(1);
/// A token of a key that is not known has the keys read anew, at most this often: anybody can make such a token.
const KEYS_AT_MOST_EVERY: Duration = Duration::from_secs(10);
/// Clocks of the provider and ours may differ by this much, seconds.
const LEEWAY: u64 = 60;
/// Signatures by a key that only the provider has. Never HMAC, whose key we have too.
const ALGORITHMS: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Why nobody is logged in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OidcError {
    /// The provider is away, or not as it should be.
    #[error("{0}")]
    Provider(String),
    /// Its word does not count.
    #[error("{0}")]
    Refused(String),
}

/// What the provider says about a person: the claims of an ID token that was checked.
pub(crate) type Claims = Map<String, Value>;

pub(super) struct Provider {
    http: reqwest::Client,
    known: Mutex<Option<Known>>,
}

#[derive(Clone)]
struct Known {
    endpoints: Endpoints,
    keys: Vec<Jwk>,
    read_at: Instant,
    /// They were read for a key that was not known.
    renewed_at: Option<Instant>,
}

/// The part of the discovery document that is used.
#[derive(Clone, Deserialize)]
pub(super) struct Endpoints {
    issuer: String,
    pub(super) authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct Keys {
    /// One by one: a kind that is not known must not hide the others.
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: String,
}

impl Provider {
    pub(super) fn new() -> Result<Self, OidcError> {
        let http = reqwest::Client::builder().timeout(TIMEOUT).build();
        let http = http.map_err(|error| OidcError::Provider(format!("no HTTP client could be made: {error}")))?;
        Ok(Self { http, known: Mutex::new(None) })
    }

    pub(super) async fn endpoints(&self, oidc: &Oidc) -> Result<Endpoints, OidcError> {
        Ok(self.known(oidc, false).await?.endpoints)
    }

    /// The ID token that the provider gives for a code.
    pub(super) async fn exchange(&self, oidc: &Oidc, code: &str, verifier: &str) -> Result<String, OidcError> {
        let endpoint = self.endpoints(oidc).await?.token_endpoint;
        let redirect_uri = oidc.redirect_uri();
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &redirect_uri),
            ("client_id", &oidc.client_id),
            ("code_verifier", verifier),
        ];
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut request =
            self.http.post(endpoint).header("content-type", "application/x-www-form-urlencoded").body(body);
        if let Some(secret) = &oidc.client_secret {
            // RFC 6749 §2.3.1: both are form-encoded first.
            let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            request = request.basic_auth(encoded(&oidc.client_id), Some(encoded(secret.expose_secret())));
        }
        let answer = request.send().await.map_err(|error| away("the token endpoint", &error))?;
        if answer.status().is_client_error() {
            let text = answer.text().await.unwrap_or_default();
            let error: Value = serde_json::from_str(&text).unwrap_or_default();
            let word = error["error"].as_str().unwrap_or("no reason given");
            return Err(OidcError::Refused(format!("the provider gives no token for the code: {word}")));
        }
        Ok(read::<Tokens>("the token endpoint", answer).await?.id_token)
    }

    /// The claims of an ID token that the provider made for us, for the login with this nonce (Core §3.1.3.7).
    pub(super) async fn verify(&self, oidc: &Oidc, token: &str, nonce: &str) -> Result<Claims, OidcError> {
        let refused = |why: &str| OidcError::Refused(format!("the ID token does not count: {why}"));
        let header = jsonwebtoken::decode_header(token).map_err(|error| refused(&error.to_string()))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(refused("it is not signed by a key of the provider"));
        }
        let known = self.known(oidc, false).await?;
        let mut found = key(&known.keys, header.kid.as_deref()).cloned();
        if found.is_none() {
            // The provider has a new one, perhaps.
            found = key(&self.known(oidc, true).await?.keys, header.kid.as_deref()).cloned();
        }
        let key = found.ok_or_else(|| refused("no key of the provider signed it"))?;
        let key = DecodingKey::from_jwk(&key).map_err(|error| refused(&error.to_string()))?;
        let mut validation = Validation::new(header.alg);
        validation.set_audience(&[&oidc.client_id]);
        validation.set_issuer(&[&known.endpoints.issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.leeway = LEEWAY;
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &validation)
            .map_err(|error| refused(&error.to_string()))?
            .claims;
        if claims.get("nonce").and_then(Value::as_str) != Some(nonce) {
            return Err(refused("it is of another login (nonce)"));
        }
        let is_for_several = claims.get("aud").and_then(Value::as_array).is_some_and(|list| list.len() > 1);
        match claims.get("azp").and_then(Value::as_str) {
            Some(party) if party != oidc.client_id => Err(refused("it was made for another client (azp)")),
            None if is_for_several => Err(refused("it was made for several clients and does not say for which (azp)")),
            _ => Ok(claims),
        }
    }

    /// Endpoints and keys; `anew`: there may be a new key. One reads, the others wait for it.
    async fn known(&self, oidc: &Oidc, anew: bool) -> Result<Known, OidcError> {
        let mut known = self.known.lock().await;
        if let Some(known) = known.as_ref().filter(|known| known.read_at.elapsed() < KNOWN_FOR) {
            let just_renewed = known.renewed_at.is_some_and(|at| at.elapsed() < KEYS_AT_MOST_EVERY);
            if !anew || just_renewed {
                return Ok(known.clone());
            }
        }
        let read_at = Instant::now();
        let issuer = oidc.issuer.trim_end_matches('/');
        let endpoints: Endpoints =
            self.get("the discovery document", format!("{issuer}/.well-known/openid-configuration")).await?;
        if endpoints.issuer.trim_end_matches('/') != issuer {
            return Err(OidcError::Provider(format!(
                "the provider calls itself {}, the configuration auth.oidc_issuer calls it {}",
                endpoints.issuer, oidc.issuer
            )));
        }
        let keys: Keys = self.get("its keys", endpoints.jwks_uri.clone()).await?;
        let keys = keys.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect();
        Ok(known.insert(Known { endpoints, keys, read_at, renewed_at: anew.then_some(read_at) }).clone())
    }

    async fn get<T: DeserializeOwned>(&self, what: &str, url: String) -> Result<T, OidcError> {
        read(what, self.http.get(url).send().await.map_err(|error| away(what, &error))?).await
    }
}

/// The signing key of this id; a provider with one key may leave ids out.
fn key<'a>(keys: &'a [Jwk], id: Option<&str>) -> Option<&'a Jwk> {
    let signs = |key: &&Jwk| key.common.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature);
    let mut signing = keys.iter().filter(signs);
    match id {
        Some(id) => signing.find(|key| key.common.key_id.as_deref() == Some(id)),
        None => signing.next().filter(|_| signing.next().is_none()),
    }
}

async fn read<T: DeserializeOwned>(what: &str, answer: reqwest::Response) -> Result<T, OidcError> {
    let answer = answer.error_for_status().map_err(|error| away(what, &error))?;
    answer.json().await.map_err(|error| OidcError::Provider(format!("{what} is not what it should be: {error}")))
}

fn away(what: &str, error: &reqwest::Error) -> OidcError {
    let mut reason = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        reason = format!("{reason}: {inner}");
        cause = inner.source();
    }
    OidcError::Provider(format!("{what} cannot be had: {reason}"))
}
