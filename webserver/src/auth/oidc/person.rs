//! Who somebody is here, by what the provider says of them.

use serde_json::Value;
use updraft_core::identity::{Role, UserName};

use super::{Oidc, provider::Claims};

/// Somebody the provider vouches for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Person {
    /// The same for ever, unlike the name.
    pub(super) subject: String,
    pub(super) name: UserName,
    pub(super) role: Role,
}

/// # Errors
/// A sentence for the person.
pub(super) fn person(oidc: &Oidc, claims: &Claims) -> Result<Person, String> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let subject = text("sub").ok_or("the provider does not say who you are (sub)")?;
    let name =
        text(&oidc.name_claim).ok_or_else(|| format!("the provider does not say your name ({})", oidc.name_claim))?;
    let name = name.parse().map_err(|error| format!("your name at the provider cannot be used here: {error}"))?;
    let given = words(claims, &oidc.role_claim);
    let mapped = oidc.roles.iter().filter(|(word, _)| given.contains(&word.as_str())).map(|(_, role)| *role).max();
    let role = mapped.max(oidc.default_role).ok_or("nothing that the provider says of you gives you a role here")?;
    Ok(Person { subject: subject.to_owned(), name, role })
}

/// The texts of a claim, which is one or a list; dots lead into objects (Keycloak: `realm_access.roles`).
fn words<'a>(claims: &'a Claims, path: &str) -> Vec<&'a str> {
    // A claim may have dots in its name (`https://example.org/roles`).
    let mut found = claims.get(path);
    if found.is_none() {
        let mut steps = path.split('.');
        found = steps.next().and_then(|first| claims.get(first));
        for step in steps {
            found = found.and_then(|value| value.get(step));
        }
    }
    match found {
        Some(Value::String(word)) => vec![word],
        Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}
