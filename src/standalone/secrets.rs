//! The secrets of a deployment, configured or made once and kept in the data folder.

use anyhow::Result;
use secrecy::{ExposeSecret, SecretString};
use updraft_store::crypto::Keys;

use super::data_dir::{Layout, keep, kept_secret, random_text, read_text};
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

/// The keys of encrypted values: configured, or those kept in the data folder, or none.
pub(crate) fn fernet_keys(config: &Config, layout: &Layout) -> Result<Keys> {
    let kept = match &config.core.fernet_key {
        Some(configured) => Some(configured.clone()),
        None => read_text(&layout.fernet_key())?.map(SecretString::from),
    };
    Ok(Keys::parse(kept.as_ref().map_or("", |keys| keys.expose_secret()))?)
}

/// Makes a key and keeps it where [`fernet_keys`] finds it, unless there is one or one is configured. For the processes that
/// write encrypted values; it comes before the store is opened.
pub(crate) fn prepare_fernet_key(config: &Config, layout: &Layout) -> Result<()> {
    if config.core.fernet_key.is_none() {
        kept_secret(&layout.fernet_key(), Keys::generate)?;
    }
    Ok(())
}
