//! What references are answered from beside their tables: the keys that open variables and connections, the environment, which
//! is asked for these first (Airflow 3: `secrets/environment_variables.py`), and the folder of large XComs.

use std::{collections::BTreeMap, fmt, sync::Arc};

use updraft_core::connection::Connection;

use crate::{StoreError, crypto::Keys, objects::Objects};

const VARIABLE: &str = "AIRFLOW_VAR_";
const CONNECTION: &str = "AIRFLOW_CONN_";

/// Given to a [`Store`](crate::Store) at its start. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    pub keys: Keys,
    pub environment: Environment,
    /// Where large XComs are.
    pub objects: Objects,
}

/// The variables `AIRFLOW_VAR_KEY` and `AIRFLOW_CONN_ID` of this process. Keys and ids are looked up in upper case.
#[derive(Clone, Default)]
pub struct Environment(Arc<BTreeMap<String, String>>);

impl Environment {
    /// Keeps those of `variables` that are meant.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let ours = |(name, _): &(String, String)| name.starts_with(VARIABLE) || name.starts_with(CONNECTION);
        Self(Arc::new(variables.into_iter().filter(ours).collect()))
    }

    /// A variable's value.
    pub fn variable(&self, key: &str) -> Option<&str> {
        self.get(VARIABLE, key)
    }

    /// A connection; an empty text is none.
    ///
    /// # Errors
    /// [`StoreError::Secret`] naming the environment variable when its text is no connection.
    pub fn connection(&self, conn_id: &str) -> Result<Option<Connection>, StoreError> {
        let text = self.get(CONNECTION, conn_id).filter(|text| !text.is_empty());
        let parsed = text.map(Connection::parse).transpose();
        parsed.map_err(|error| {
            let name = conn_id.to_uppercase();
            StoreError::Secret(format!(
                "the connection `{conn_id}` cannot be read from the server's environment variable {CONNECTION}{name}: {error}"
            ))
        })
    }

    fn get(&self, prefix: &str, name: &str) -> Option<&str> {
        self.0.get(&format!("{prefix}{}", name.to_uppercase())).map(String::as_str)
    }
}

/// Shows neither names nor values.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Environment({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment::new(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn keys_and_ids_are_looked_up_in_upper_case() {
        let found =
            environment(&[("AIRFLOW_VAR_API_URL", "http://x"), ("AIRFLOW_CONN_DB", "postgres://u:p@h"), ("HOME", "/")]);
        assert_eq!(found.variable("api_url"), Some("http://x"));
        assert_eq!(found.variable("home"), None);
        assert_eq!(found.connection("Db").unwrap().unwrap().password.as_deref(), Some("p"));
        assert!(found.connection("other").unwrap().is_none());
        assert_eq!(format!("{found:?}"), "Environment(2)");
    }

    #[test]
    fn an_empty_variable_is_a_value_and_an_empty_connection_is_none() {
        let found = environment(&[("AIRFLOW_VAR_E", ""), ("AIRFLOW_CONN_E", "")]);
        assert_eq!(found.variable("e"), Some(""));
        assert!(found.connection("e").unwrap().is_none());
    }

    #[test]
    fn a_text_that_is_no_connection_is_named_and_not_shown() {
        let error = environment(&[("AIRFLOW_CONN_DB", "hunter2")]).connection("db").unwrap_err().to_string();
        assert!(error.contains("AIRFLOW_CONN_DB") && !error.contains("hunter2"), "{error}");
    }
}
