//! The secrets of a deployment, configured or made once and kept in the data folder.

use anyhow::{Context, Result};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use updraft_core::identity::{Role, UserName};
use updraft_store::{Store, audit, crypto::Keys, identity::users};
use updraft_webserver::passwords;

use super::data_dir::{Layout, keep, kept_secret, random_text, read_text};
use crate::config::Config;

/// What the roles share, made at the first start and kept in the data folder.
pub(crate) struct Secrets {
    pub(crate) jwt_secret: String,
}

impl Secrets {
    pub(crate) fn prepare(config: &Config, layout: &Layout) -> Result<Self> {
        let jwt_secret = match &config.auth.jwt_secret {
            Some(secret) => secret.expose_secret().to_owned(),
            None => kept_secret(&layout.jwt_secret(), || random_text(64))?,
        };
        Ok(Self { jwt_secret })
    }
}

/// Makes the first user, an admin, where there is none; with the configured password, or with one that is made and kept in the
/// data folder. A configured one is written down there too, so that the command line finds it. Of several processes that start
/// at once one makes the user. The password, as far as this machine knows it.
pub(crate) async fn first_user(store: &Store, config: &Config, layout: &Layout) -> Result<Option<SecretString>> {
    let name = &config.auth.admin_user;
    let given = match &config.auth.admin_password {
        Some(password) => Some(password.clone()),
        None => read_text(&layout.admin_password())?.map(SecretString::from),
    };
    let mut transaction = store.begin().await?;
    if users::lock_if_none(&mut transaction).await? {
        let password = given.unwrap_or_else(|| random_text(20).into());
        let username: UserName = name.parse().context("auth.admin_user")?;
        users::create(&mut transaction, &username, &passwords::hash(&password)?, Role::Admin).await?;
        let extra = Some(json!({"username": name, "role": Role::Admin.as_str(), "by": "first start"}));
        audit::write(&mut transaction, &audit::Entry { event: "post_user", extra, ..audit::Entry::default() }).await?;
        keep(&layout.admin_password(), password.expose_secret().to_owned())?;
        transaction.commit().await.context("making the first user")?;
        return Ok(Some(password));
    }
    let user = users::credentials(&mut transaction, name).await?;
    transaction.rollback().await?;
    let (Some(given), Some(stored)) = (given, user.and_then(|user| user.password)) else { return Ok(None) };
    if passwords::is_right(&given, &stored)? {
        return Ok(Some(given));
    }
    if config.auth.admin_password.is_some() {
        tracing::warn!(
            user = name,
            "auth.admin_password is not the password of this user: it counts at the first start only; `updraft users passwd` \
             changes it"
        );
    }
    Ok(None)
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
