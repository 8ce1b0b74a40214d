//! Tasks whose result chooses which of the tasks downstream go on.

use serde::{Deserialize, Serialize};

use super::{
    Moment, WeekDays,
    values::{flag, names, yes},
};

/// Arguments of a native `branch: "{{ … }}"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchArgs {
    /// Rendered: ids of tasks or groups directly downstream, separated by commas; nothing skips them all. With native
    /// rendering a list.
    #[serde(deserialize_with = "names::deserialize")]
    pub condition: Vec<String>,
}

impl BranchArgs {
    /// The ids to follow.
    pub fn followed(&self) -> impl Iterator<Item = &str> {
        self.condition
            .iter()
            .flat_map(|text| text.split(','))
            .map(|id| id.trim().trim_matches(['[', ']', '\'', '"']))
            .filter(|id| !id.is_empty() && !id.eq_ignore_ascii_case("none"))
    }
}

/// Arguments of a native `short_circuit: "{{ … }}"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShortCircuitArgs {
    /// Rendered: false, empty, `0`, `no` or `none` skips what is downstream; any other text goes on.
    #[serde(default)]
    pub condition: serde_json::Value,
    /// Whether everything downstream is skipped, or only what is directly downstream, and trigger rules decide on the rest.
    #[serde(default = "yes", deserialize_with = "flag")]
    pub ignore_downstream_trigger_rules: bool,
}

/// Arguments of `BranchDayOfWeekOperator`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayOfWeekBranchArgs {
    #[serde(deserialize_with = "names::deserialize")]
    pub follow_task_ids_if_true: Vec<String>,
    #[serde(deserialize_with = "names::deserialize")]
    pub follow_task_ids_if_false: Vec<String>,
    pub week_day: WeekDays,
    /// The day of the logical date (of a run without one: of `run_after`) instead of today's.
    #[serde(default, deserialize_with = "flag")]
    pub use_task_logical_date: bool,
}

/// Arguments of `BranchDateTimeOperator`: true when the moment is within the bounds, which are inclusive. With two times of
/// day and the upper before the lower, the upper is the next day's. At least one bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DateTimeBranchArgs {
    #[serde(deserialize_with = "names::deserialize")]
    pub follow_task_ids_if_true: Vec<String>,
    #[serde(deserialize_with = "names::deserialize")]
    pub follow_task_ids_if_false: Vec<String>,
    #[serde(default)]
    pub target_lower: Option<Moment>,
    #[serde(default)]
    pub target_upper: Option<Moment>,
    /// The logical date (of a run without one: `run_after`) instead of now.
    #[serde(default, deserialize_with = "flag")]
    pub use_task_logical_date: bool,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_the_ids_a_template_renders_to() {
        for value in [json!("a, b"), json!(["a", "b"]), json!("['a', 'b']")] {
            let args: BranchArgs = serde_json::from_value(json!({"condition": value})).unwrap();
            assert_eq!(args.followed().collect::<Vec<_>>(), ["a", "b"], "{value}");
        }
        for value in [json!(null), json!(""), json!("None"), json!([])] {
            let args: BranchArgs = serde_json::from_value(json!({"condition": value})).unwrap();
            assert_eq!(args.followed().count(), 0, "{value}");
        }
    }
}
