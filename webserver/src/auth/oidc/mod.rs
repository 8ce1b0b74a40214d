//! Login by a provider: OpenID Connect, authorization code with PKCE.
//!
//! Written on `jsonwebtoken` and `reqwest`, which are here anyway: the crate `openidconnect` would bring a second generation of
//! RustCrypto and fifty crates more. What one login needs between its two requests travels in a signed cookie, so that any webserver
//! can end what another began.

mod person;
mod provider;
pub(crate) mod routes;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use updraft_core::identity::Role;
use url::Url;

use self::{
    person::{Person, person},
    provider::{OidcError, Provider},
};
use crate::{
    sealed::{self, Purpose},
    time,
};

/// Where the provider sends browsers back to.
const CALLBACK: &str = "/auth/oidc/callback";
/// A login that takes longer begins again. Seconds.
const LOGIN_SECONDS: i64 = 600;

/// A provider, and what its word is worth here.
#[derive(Clone, Debug)]
pub struct Oidc {
    /// Its URL, below which `.well-known/openid-configuration` is.
    pub issuer: String,
    pub client_id: String,
    /// `None`: a public client, protected by PKCE alone.
    pub client_secret: Option<SecretString>,
    /// `openid` among them.
    pub scopes: Vec<String>,
    /// The claim that is the user's name here.
    pub name_claim: String,
    /// The claim whose words give roles; dots lead into objects.
    pub role_claim: String,
    /// The role that a word gives; of several the highest counts.
    pub roles: Vec<(String, Role)>,
    /// The role of everybody; without it, who has no such word is refused.
    pub default_role: Option<Role>,
    /// Under which people reach this deployment.
    pub base_url: String,
}

impl Oidc {
    fn redirect_uri(&self) -> String {
        format!("{}{CALLBACK}", self.base_url.trim_end_matches('/'))
    }

    /// Of a person, over all providers.
    fn external_id(&self, subject: &str) -> String {
        format!("{} {subject}", self.issuer.trim_end_matches('/'))
    }
}

/// Logs people in by one provider.
pub(crate) struct Logins {
    oidc: Oidc,
    provider: Provider,
    /// Signs what a browser carries from the first request to the second.
    secret: SecretString,
}

/// What a browser carries. It may see it: PKCE's verifier protects against others.
#[derive(Serialize, Deserialize)]
struct Begun {
    state: String,
    nonce: String,
    verifier: String,
    next: String,
    /// Seconds since 1970.
    until: i64,
}

impl Logins {
    pub(crate) fn new(oidc: Oidc, secret: SecretString) -> Result<Self, OidcError> {
        Ok(Self { oidc, provider: Provider::new()?, secret })
    }

    /// Where to send the browser, and what it is to carry.
    async fn begin(&self, next: &str) -> Result<(String, String), OidcError> {
        let begun = Begun {
            state: random(),
            nonce: random(),
            verifier: random(),
            next: next.to_owned(),
            until: time::now().timestamp() + LOGIN_SECONDS,
        };
        let endpoint = self.provider.endpoints(&self.oidc).await?.authorization_endpoint;
        let unfit = |error| OidcError::Provider(format!("the provider's page {endpoint} is no URL: {error}"));
        let mut url = Url::parse(&endpoint).map_err(unfit)?;
        url.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", &self.oidc.client_id),
            ("redirect_uri", &self.oidc.redirect_uri()),
            ("scope", &self.oidc.scopes.join(" ")),
            ("state", &begun.state),
            ("nonce", &begun.nonce),
            ("code_challenge", &URL_SAFE_NO_PAD.encode(Sha256::digest(&begun.verifier))),
            ("code_challenge_method", "S256"),
        ]);
        let text = serde_json::to_string(&begun).expect("texts and a number are JSON");
        Ok((url.into(), sealed::seal(&self.secret, Purpose::Login, &text)))
    }

    /// Who came back with a code, and where to go on.
    async fn end(&self, carried: &str, state: &str, code: &str) -> Result<(Person, String), OidcError> {
        let begun: Begun = self.begun(carried, state)?;
        let token = self.provider.exchange(&self.oidc, code, &begun.verifier).await?;
        let claims = self.provider.verify(&self.oidc, &token, &begun.nonce).await?;
        let person = person(&self.oidc, &claims).map_err(OidcError::Refused)?;
        Ok((person, begun.next))
    }

    /// The login that this browser began, and nobody else.
    fn begun(&self, carried: &str, state: &str) -> Result<Begun, OidcError> {
        let again = || OidcError::Refused("this login was begun elsewhere or too long ago; begin again".to_owned());
        let text = sealed::open(&self.secret, Purpose::Login, carried).ok_or_else(again)?;
        let begun: Begun = serde_json::from_str(&text).map_err(|_| again())?;
        if begun.state == state && begun.until > time::now().timestamp() { Ok(begun) } else { Err(again()) }
    }
}

/// 256 bits for URLs.
fn random() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}
