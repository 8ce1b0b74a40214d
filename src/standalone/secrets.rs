//! The secrets of a deployment, configured or made once and kept in the data folder.

use anyhow::Result;
use secrecy::ExposeSecret;

use super::data_dir::{Layout, keep, kept_secret, random_text};
use crate::config::Config;

/// What the roles share, made at the first start and kept in the data folder.
pub(crate) struct Secrets {
    pub(crate) admin_password: String,
    pub(crate) jwt_secret: String,
}

impl Secrets {
    /// Configured values are written down too, so that the command line finds them and a later start without them keeps them.
    pub(crate) fn prepare(config: &Config, layout: &Layout) -> Result<Self> {
        let admin_password = match &config.auth.admin_password {
            Some(password) => keep(&layout.admin_password(), password.expose_secret().to_owned())?,
            None => kept_secret(&layout.admin_password(), || random_text(20))?,
        };
        let jwt_secret = match &config.auth.jwt_secret {
            Some(secret) => secret.expose_secret().to_owned(),
            None => kept_secret(&layout.jwt_secret(), || random_text(64))?,
        };
        Ok(Self { admin_password, jwt_secret })
    }
}
