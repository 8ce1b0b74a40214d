//! Tokens: JWT, HS512, Airflow's claims.

use std::time::Duration;

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, errors::ErrorKind};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Principal;
use crate::{Config, error::ApiError, time};

/// `[api_auth] jwt_audience`.
const AUDIENCE: &str = "apache-airflow";
/// Clocks of two webservers may differ by this much (`[api_auth] jwt_leeway`), seconds.
const LEEWAY: u64 = 10;

/// Instants are seconds since 1970.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    sub: String,
    role: String,
    teams: Vec<String>,
    jti: Uuid,
    /// The user's at the login (`store::identity::users`); none of whom everybody is where all are admins. Not Airflow's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epoch: Option<Uuid>,
    aud: String,
    iat: i64,
    nbf: i64,
    exp: i64,
}

/// A login, as its token says. Whether it still counts, and the role, the database says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) name: String,
    pub(super) jti: Uuid,
    pub(super) epoch: Option<Uuid>,
    pub(super) expires_at: DateTime<Utc>,
}

/// Which of the two login endpoints a token comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lifetime {
    Normal,
    Cli,
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Expired,
    Invalid,
}

/// The keys of this deployment.
pub(super) struct Keys {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    normal: Duration,
    cli: Duration,
}

impl Keys {
    pub(super) fn new(config: &Config) -> Self {
        let secret = config.jwt_secret.expose_secret().as_bytes();
        let mut validation = Validation::new(Algorithm::HS512);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "nbf", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY;
        Self {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
            validation,
            normal: config.jwt_expiration,
            cli: config.jwt_cli_expiration,
        }
    }

    /// How long a new token is valid.
    pub(super) const fn lifetime(&self, lifetime: Lifetime) -> Duration {
        match lifetime {
            Lifetime::Normal => self.normal,
            Lifetime::Cli => self.cli,
        }
    }

    /// A new token of `principal`.
    pub(super) fn issue(
        &self,
        principal: &Principal,
        epoch: Option<Uuid>,
        lifetime: Lifetime,
    ) -> Result<String, ApiError> {
        let now = time::now().timestamp();
        let claims = Claims {
            sub: principal.name.clone(),
            role: principal.role.as_str().to_owned(),
            teams: Vec::new(),
            jti: Uuid::new_v4(),
            epoch,
            aud: AUDIENCE.to_owned(),
            iat: now,
            nbf: now,
            exp: now + self.lifetime(lifetime).as_secs() as i64,
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS512), &claims, &self.encoding).map_err(ApiError::internal)
    }

    /// The login that a token stands for.
    pub(super) fn verify(&self, token: &str) -> Result<Login, Refused> {
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation)
            .map_err(|error| match error.kind() {
                ErrorKind::ExpiredSignature => Refused::Expired,
                _ => Refused::Invalid,
            })?
            .claims;
        let expires_at = DateTime::from_timestamp(claims.exp, 0).ok_or(Refused::Invalid)?;
        Ok(Login { name: claims.sub, jti: claims.jti, epoch: claims.epoch, expires_at })
    }
}

#[cfg(test)]
mod tests {
    use updraft_core::identity::Role;

    use super::*;
    use crate::LogPlace;

    fn keys(lifetime: Duration) -> Keys {
        let mut config =
            Config::new("secret".to_owned().into(), "a".to_owned().into(), LogPlace::Folder("logs".into()));
        config.jwt_expiration = lifetime;
        Keys::new(&config)
    }

    fn admin() -> Principal {
        Principal::person("admin".to_owned(), Role::Admin)
    }

    #[test]
    fn a_token_names_who_it_was_made_for() {
        let keys = keys(Duration::from_mins(1));
        let epoch = Some(Uuid::from_u128(1));
        let token = keys.issue(&admin(), epoch, Lifetime::Normal).unwrap();
        let login = keys.verify(&token).unwrap();
        assert_eq!((login.name.as_str(), login.epoch), ("admin", epoch));
    }

    #[test]
    fn an_expired_token_is_told_from_a_wrong_one() {
        let keys = keys(Duration::from_mins(1));
        let now = time::now().timestamp();
        let claims = Claims {
            sub: "admin".to_owned(),
            role: "admin".to_owned(),
            teams: Vec::new(),
            jti: Uuid::new_v4(),
            epoch: None,
            aud: AUDIENCE.to_owned(),
            iat: now - 100,
            nbf: now - 100,
            exp: now - 50,
        };
        let header = Header::new(Algorithm::HS512);
        let expired = jsonwebtoken::encode(&header, &claims, &keys.encoding).unwrap();
        assert_eq!(keys.verify(&expired), Err(Refused::Expired));
        let foreign = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(b"other")).unwrap();
        assert_eq!(keys.verify(&foreign), Err(Refused::Invalid));
    }

    #[test]
    fn a_token_of_another_algorithm_is_refused() {
        let keys = keys(Duration::from_mins(1));
        let token = keys.issue(&admin(), None, Lifetime::Normal).unwrap();
        let claims = token.split('.').nth(1).unwrap();
        // {"alg":"none","typ":"JWT"}
        let unsigned = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{claims}.");
        assert_eq!(keys.verify(&unsigned), Err(Refused::Invalid));
    }
}
