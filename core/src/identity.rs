//! Who people are to Updraft: their names and their roles.

use std::{fmt, str::FromStr};

/// Airflow's roles, each with everything the one before may do (`SimpleAuthManagerRole`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    Viewer,
    User,
    Op,
    Admin,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Viewer, Self::User, Self::Op, Self::Admin];

    /// As tokens, tables, the API and the command line spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::User => "user",
            Self::Op => "op",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a role is viewer, user, op or admin")]
pub struct NoRole;

impl FromStr for Role {
    type Err = NoRole;

    /// Upper or lower case, as Airflow takes both.
    fn from_str(text: &str) -> Result<Self, NoRole> {
        Self::ALL.into_iter().find(|role| text.eq_ignore_ascii_case(role.as_str())).ok_or(NoRole)
    }
}

/// Characters of a user's name, at most.
const NAME_LENGTH: usize = 250;
/// Characters of a password, at least and at most. The most bounds what a hash of it costs.
const PASSWORD_LENGTH: std::ops::RangeInclusive<usize> = 8..=1000;

/// A user's name: what the audit trail says, so it must be readable there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserName(String);

/// Why a text cannot be a user's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a user name has 1 to {NAME_LENGTH} characters, none of them a control character, and no space at its ends")]
pub struct UnfitName;

impl UserName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserName {
    type Err = UnfitName;

    fn from_str(text: &str) -> Result<Self, UnfitName> {
        let fits = (1..=NAME_LENGTH).contains(&text.chars().count())
            && !text.contains(char::is_control)
            && text.trim() == text;
        if fits { Ok(Self(text.to_owned())) } else { Err(UnfitName) }
    }
}

/// Why a text cannot be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a password has {} to {} characters", PASSWORD_LENGTH.start(), PASSWORD_LENGTH.end())]
pub struct UnfitPassword;

/// Whether people may choose this password. Length is all that is asked, as NIST SP 800-63B recommends.
pub fn check_password(password: &str) -> Result<(), UnfitPassword> {
    if PASSWORD_LENGTH.contains(&password.chars().count()) { Ok(()) } else { Err(UnfitPassword) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_has_what_the_one_before_has() {
        assert!(Role::ALL.is_sorted());
        assert_eq!("ADMIN".parse(), Ok(Role::Admin));
        assert_eq!("root".parse::<Role>(), Err(NoRole));
    }

    #[test]
    fn a_name_is_readable_in_the_audit_trail() {
        for fit in ["ada", "ada@example.org", "Ada Lovelace", "é"] {
            assert_eq!(fit.parse::<UserName>().map(|name| name.0), Ok(fit.to_owned()));
        }
        for unfit in ["", " ada", "ada ", "a\nb", "a\0b", &"x".repeat(251)] {
            assert_eq!(unfit.parse::<UserName>(), Err(UnfitName), "{unfit:?}");
        }
    }

    #[test]
    fn a_password_is_neither_short_nor_endless() {
        assert_eq!(check_password("correct horse"), Ok(()));
        assert_eq!(check_password("short"), Err(UnfitPassword));
        assert_eq!(check_password(&"x".repeat(1001)), Err(UnfitPassword));
    }
}
