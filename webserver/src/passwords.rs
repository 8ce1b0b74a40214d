//! Passwords: hashed with argon2id, and how many are hashed at once.

use std::{sync::Arc, thread};

use argon2::{
    Argon2,
    password_hash::{self, PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use crate::error::ApiError;

/// What a password is compared with when there is no such user, so that the answer takes as long. Random bits, with the
/// parameters of [`hash`]: no password is known for it.
const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$Xe0pSsYuYWhkA2yGQYw5Yw$q0O3Lw5Vw0mFqGhYkq8mW8r7mM7Zk1S0q6mT5p0v3cE";

/// Logins that wait for their turn, at most; more are told to come back.
const WAITING: usize = 64;

/// Hashes a password, as it is stored (a PHC string with a salt of its own). Takes tens of milliseconds and 19 MiB.
///
/// # Errors
/// When there is no randomness for the salt.
pub fn hash(password: &SecretString) -> Result<String, password_hash::Error> {
    let hash: PasswordHash = Argon2::default().hash_password(password.expose_secret().as_bytes())?;
    Ok(hash.to_string())
}

/// Whether a password is the one of a stored hash. Takes as long as [`hash`].
///
/// # Errors
/// When what is stored is no PHC string.
pub fn is_right(password: &SecretString, stored: &str) -> Result<bool, password_hash::phc::Error> {
    let stored = PasswordHash::new(stored)?;
    Ok(Argon2::default().verify_password(password.expose_secret().as_bytes(), &stored).is_ok())
}

/// Hashing for requests: off the runtime's threads, and never on more than half of the processors, so that a flood of logins
/// takes neither the machine nor its memory.
pub(crate) struct Passwords {
    /// Who may wait or work.
    queue: Arc<Semaphore>,
    /// Who may work.
    slots: Arc<Semaphore>,
}

impl Passwords {
    pub(crate) fn new() -> Self {
        let slots = thread::available_parallelism().map_or(1, |processors| (processors.get() / 2).max(1));
        Self { queue: Arc::new(Semaphore::new(WAITING + slots)), slots: Arc::new(Semaphore::new(slots)) }
    }

    /// [`hash`].
    pub(crate) async fn hash(&self, password: SecretString) -> Result<String, ApiError> {
        self.run(move || hash(&password)).await?.map_err(ApiError::internal)
    }

    /// [`is_right`]; `stored` is `None` for a user that does not exist, which is never right and takes as long.
    pub(crate) async fn is_right(&self, password: SecretString, stored: Option<String>) -> Result<bool, ApiError> {
        let exists = stored.is_some();
        let stored = stored.unwrap_or_else(|| NOBODYS.to_owned());
        let right = self.run(move || is_right(&password, &stored)).await?.map_err(ApiError::internal)?;
        Ok(right && exists)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
        let busy = |_| ApiError::Unavailable("Too many logins at this moment. Please try again.".to_owned());
        let place = Arc::clone(&self.queue).try_acquire_owned().map_err(busy)?;
        let turn = Arc::clone(&self.slots).acquire_owned().await.map_err(ApiError::internal)?;
        // Both are held by the work itself: a caller that goes away does not end it.
        let work = move || (work(), turn, place).0;
        tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_right_for_its_own_hash_only() {
        let hashed = hash(&"correct horse".into()).unwrap();
        assert_eq!(is_right(&"correct horse".into(), &hashed), Ok(true));
        assert_eq!(is_right(&"battery staple".into(), &hashed), Ok(false));
        assert!(is_right(&"correct horse".into(), "correct horse").is_err());
    }

    #[test]
    fn nobodys_password_costs_what_somebodys_does() {
        let parameters = |hash: &str| hash.split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(parameters(NOBODYS), parameters(&hash(&"any".into()).unwrap()));
        assert_eq!(is_right(&"any".into(), NOBODYS), Ok(false));
    }

    #[tokio::test]
    async fn more_logins_than_may_wait_are_told_to_come_back() {
        let passwords = Passwords::new();
        let taken = passwords.slots.available_permits() + WAITING;
        let _others = passwords.queue.clone().try_acquire_many_owned(taken as u32).unwrap();
        let refused = passwords.is_right("any".into(), None).await;
        assert!(matches!(refused, Err(ApiError::Unavailable(_))), "{refused:?}");
    }

    #[tokio::test]
    async fn an_unknown_user_is_never_right() {
        let passwords = Passwords::new();
        assert!(!passwords.is_right("any".into(), None).await.unwrap());
    }
}
