//! Timestamps as Airflow prints them, and the one clock of this crate.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type},
};

/// An instant in an answer: RFC 3339 in UTC with `Z`, microseconds only when there are some (`2024-05-01T10:00:00Z`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timestamp(pub(crate) DateTime<Utc>);

impl Timestamp {
    pub(crate) fn text(self) -> String {
        let format = if self.0.timestamp_subsec_micros() == 0 { SecondsFormat::Secs } else { SecondsFormat::Micros };
        self.0.to_rfc3339_opts(format, true)
    }

    /// Python's `isoformat()`: `+00:00` for `Z`. What run ids and `/monitor/health` use.
    pub(crate) fn isoformat(self) -> String {
        self.text().replace('Z', "+00:00")
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(instant: DateTime<Utc>) -> Self {
        Self(instant)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl PartialSchema for Timestamp {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
        ObjectBuilder::new().schema_type(Type::String).format(Some(format)).build().into()
    }
}

impl ToSchema for Timestamp {}

/// The process clock, for the expiry of tokens only: everything about runs takes its time from Postgres.
#[expect(clippy::disallowed_methods, reason = "the lifetime of a token is this process' own business")]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_show_only_when_there_are_some() {
        let whole: DateTime<Utc> = "2024-05-01T10:00:00Z".parse().unwrap();
        let half: DateTime<Utc> = "2024-05-01T10:00:00.5Z".parse().unwrap();
        assert_eq!(Timestamp(whole).text(), "2024-05-01T10:00:00Z");
        assert_eq!(Timestamp(half).text(), "2024-05-01T10:00:00.500000Z");
        assert_eq!(Timestamp(half).isoformat(), "2024-05-01T10:00:00.500000+00:00");
    }
}
