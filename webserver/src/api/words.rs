//! Airflow's closed lists of words, as the document names them.

use updraft_core::{backfill, state};

/// Types that exist in the document only: a field of an answer is a text, and `value_type` says which texts.
macro_rules! listed {
    ($($name:ident: $words:expr;)+) => {$(
        pub(crate) enum $name {}

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                let text = utoipa::openapi::ObjectBuilder::new().schema_type(utoipa::openapi::Type::String);
                text.enum_values(Some($words)).build().into()
            }
        }

        impl utoipa::ToSchema for $name {}
    )+};
}

listed! {
    DagRunState: state::DagRunState::ALL.iter().map(|word| word.as_str());
    DagRunType: state::DagRunType::ALL.iter().map(|word| word.as_str());
    TaskInstanceState: state::TaskInstanceState::ALL.iter().filter_map(|word| word.api());
    ReprocessBehavior: backfill::ReprocessBehavior::ALL.iter().map(|word| word.as_str());
    DagWarningType: ["asset conflict", "non-existent pool", "runtime varying value"];
    ExternalViewDestination: ["nav", "dag", "dag_run", "task", "task_instance", "base"];
    ReactAppDestination: ["nav", "dag", "dag_run", "task", "task_instance", "base", "dashboard"];
    StateStoreWriter: ["api", "task", "watcher"];
    DagRunTriggeredByType: ["cli", "operator", "rest_api", "ui", "test", "timetable", "asset", "backfill"];
}

pub(crate) use listed;
