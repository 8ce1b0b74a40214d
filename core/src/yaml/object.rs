//! `{__type__: dotted.path, __args__: […], key: value}`: a closed list of constructors, never an import.

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use serde_json::{Map, Value, json};

use super::{
    Context, date,
    node::{Mark, Node},
};

/// What a `__type__` path stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    TimeDelta,
    RelativeDelta,
    DateTime,
    Date,
    Time,
    TimeZone,
    /// By class name: `CronTriggerTimetable`, …
    Timetable,
    Asset,
    AssetAlias,
    AssetAll,
    AssetAny,
    /// `AssetNameRef`, `AssetUriRef`.
    AssetRef,
    Param,
    /// A model of the Kubernetes client: its JSON.
    Kubernetes,
    KubernetesSecret,
    Docker,
    /// `ObjectStoragePath`: its URL.
    Url,
    List,
    Dict,
    /// `ArgNotSet`: the key is left out.
    NotSet,
    /// An enum value of a provider, or a notifier: kept as data.
    Enum,
    Notifier,
}

/// A mapping with `__type__`, taken apart.
pub(super) struct Object<'n> {
    pub(super) path: &'n str,
    pub(super) path_mark: Mark,
    pub(super) args: &'n [Node],
    pub(super) kwargs: Vec<(&'n str, Mark, &'n Node)>,
}

/// The object a node is, if it is one.
pub(super) fn object(node: &Node) -> Option<Object<'_>> {
    let entries = node.as_mapping()?;
    let path = entries.get("__type__")?;
    Some(Object {
        path: path.value.as_text().unwrap_or(""),
        path_mark: path.value.mark,
        args: entries.get("__args__").and_then(|args| args.value.as_sequence()).unwrap_or(&[]),
        kwargs: entries
            .iter()
            .filter(|(key, _)| !matches!(&***key, "__type__" | "__args__"))
            .map(|(key, entry)| (&**key, entry.key, &entry.value))
            .collect(),
    })
}

impl<'n> Object<'n> {
    pub(super) fn class(&self) -> &'n str {
        self.path.rsplit('.').next().unwrap_or("")
    }

    pub(super) fn family(&self) -> Option<Family> {
        let (module, class) = self.path.rsplit_once('.')?;
        let timetable = matches!(
            module,
            "airflow.timetables.trigger"
                | "airflow.timetables.interval"
                | "airflow.timetables.events"
                | "airflow.timetables.simple"
                | "airflow.timetables.assets"
                | "airflow.timetables.datasets"
                | "airflow.sdk"
                | "airflow.sdk.definitions.timetables.trigger"
                | "airflow.sdk.definitions.timetables.interval"
                | "airflow.sdk.definitions.timetables.events"
                | "airflow.sdk.definitions.timetables.simple"
                | "airflow.sdk.definitions.timetables.assets"
        ) && matches!(
            class,
            "CronTriggerTimetable"
                | "MultipleCronTriggerTimetable"
                | "DeltaTriggerTimetable"
                | "CronDataIntervalTimetable"
                | "DeltaDataIntervalTimetable"
                | "EventsTimetable"
                | "CronPartitionTimetable"
                | "PartitionedAssetTimetable"
                | "PartitionedAtRuntime"
                | "AssetOrTimeSchedule"
                | "DatasetOrTimeSchedule"
        );
        let asset_module = module == "airflow.sdk"
            || module == "airflow.datasets"
            || module.starts_with("airflow.sdk.definitions.asset");
        Some(match (module, class) {
            ("datetime", "timedelta") | ("pendulum", "duration") => Family::TimeDelta,
            ("dateutil.relativedelta", "relativedelta") => Family::RelativeDelta,
            ("datetime" | "pendulum", "datetime") | ("pendulum", "parse") => Family::DateTime,
            ("datetime" | "pendulum", "date") => Family::Date,
            ("datetime" | "pendulum", "time") => Family::Time,
            ("datetime" | "pendulum", "timezone") => Family::TimeZone,
            _ if timetable => Family::Timetable,
            (_, "Asset" | "Dataset") if asset_module => Family::Asset,
            (_, "AssetAlias" | "DatasetAlias") if asset_module => Family::AssetAlias,
            (_, "AssetAll" | "DatasetAll") if asset_module => Family::AssetAll,
            (_, "AssetAny" | "DatasetAny") if asset_module => Family::AssetAny,
            (_, "AssetNameRef" | "AssetUriRef") if asset_module => Family::AssetRef,
            ("airflow.sdk" | "airflow.models.param" | "airflow.sdk.definitions.param", "Param") => Family::Param,
            ("airflow.providers.cncf.kubernetes.secret" | "airflow.kubernetes.secret", "Secret") => {
                Family::KubernetesSecret
            }
            ("docker.types", "Mount" | "Ulimit" | "DeviceRequest") => Family::Docker,
            ("airflow.sdk" | "airflow.io.path", "ObjectStoragePath") => Family::Url,
            ("builtins", "list" | "tuple" | "set") => Family::List,
            ("builtins", "dict") => Family::Dict,
            ("airflow.sdk.definitions._internal.types", "ArgNotSet") => Family::NotSet,
            (module, class)
                if class.starts_with("V1")
                    && (module == "kubernetes.client" || module.starts_with("kubernetes.client.models")) =>
            {
                Family::Kubernetes
            }
            (module, _) if module.starts_with("airflow.providers.") && module.contains(".notifications") => {
                Family::Notifier
            }
            (module, _)
                if module.starts_with("airflow.providers.") && self.args.len() == 1 && self.kwargs.is_empty() =>
            {
                Family::Enum
            }
            _ => return None,
        })
    }

    pub(super) fn kwarg(&self, name: &str) -> Option<&'n Node> {
        self.kwargs.iter().find(|(key, ..)| *key == name).map(|(.., node)| *node)
    }

    /// The first positional argument, or the keyword.
    pub(super) fn first_or(&self, name: &str) -> Option<&'n Node> {
        self.args.first().or_else(|| self.kwarg(name))
    }
}

impl Context<'_> {
    /// An object that cannot stand here: unknown, or of another kind.
    pub(super) fn unfit_object(&self, key: &str, found: &Object<'_>, wanted: &str) {
        if found.family().is_none() {
            self.unsupported_type(found);
        } else {
            let message = format!("`{key}` must be {wanted}, and this is `{}`", found.path);
            self.findings.error("wrong_type", found.path_mark, message);
        }
    }

    pub(super) fn unsupported_type(&self, found: &Object<'_>) {
        self.findings.error_help(
            "unsupported_type",
            found.path_mark,
            format!("`{}` is none of the types that may stand in a DAG file", found.path),
            Some("nothing is imported while a file is read; see docs/diagnostics.md for the list".to_owned()),
        );
    }

    fn bad_argument(&self, mark: Mark, message: String) {
        self.findings.error("invalid_type_arguments", mark, message);
    }

    /// Seconds of a `timedelta`; may be negative.
    pub(super) fn timedelta(&self, found: &Object<'_>) -> Option<f64> {
        const UNITS: [(&str, f64); 7] = [
            ("days", 86_400.0),
            ("seconds", 1.0),
            ("microseconds", 1e-6),
            ("milliseconds", 1e-3),
            ("minutes", 60.0),
            ("hours", 3600.0),
            ("weeks", 604_800.0),
        ];
        let mut total = 0.0;
        if found.args.len() > UNITS.len() {
            self.bad_argument(found.args[UNITS.len()].mark, format!("`{}` takes at most 7 arguments", found.path));
            return None;
        }
        for (value, (name, factor)) in found.args.iter().zip(UNITS) {
            total += self.number(name, value)? * factor;
        }
        for (name, mark, value) in &found.kwargs {
            let Some((_, factor)) = UNITS.iter().find(|(unit, _)| unit == name) else {
                let message = format!("`{}` takes no argument `{name}`", found.path);
                let help = "it takes days, seconds, microseconds, milliseconds, minutes, hours and weeks".to_owned();
                self.findings.error_help("invalid_type_arguments", *mark, message, Some(help));
                return None;
            };
            total += self.number(name, value)? * factor;
        }
        Some(total)
    }

    /// Months and seconds of a `relativedelta`; either may be negative.
    pub(super) fn relativedelta(&self, found: &Object<'_>) -> Option<(i64, f64)> {
        let (mut months, mut seconds) = (0i64, 0.0f64);
        for (name, mark, value) in &found.kwargs {
            let number = self.number(name, value)?;
            match *name {
                "years" => months += (number * 12.0) as i64,
                "months" => months += number as i64,
                "weeks" => seconds += number * 604_800.0,
                "days" => seconds += number * 86_400.0,
                "hours" => seconds += number * 3600.0,
                "minutes" => seconds += number * 60.0,
                "seconds" => seconds += number,
                "microseconds" => seconds += number * 1e-6,
                _ => {
                    let message = format!("`{}` takes no argument `{name}` here", found.path);
                    let help =
                        "it takes years, months, weeks, days, hours, minutes, seconds and microseconds".to_owned();
                    self.findings.error_help("invalid_type_arguments", *mark, message, Some(help));
                    return None;
                }
            }
        }
        Some((months, seconds))
    }

    /// The instant of a `datetime.datetime`, `pendulum.datetime`, `pendulum.parse` or date object.
    pub(super) fn object_date(&self, found: &Object<'_>, zone: Tz) -> Option<DateTime<Utc>> {
        const PARTS: [&str; 7] = ["year", "month", "day", "hour", "minute", "second", "microsecond"];
        let zone_node = ["tz", "tzinfo", "timezone"].iter().find_map(|name| found.kwarg(name));
        let zone = match zone_node {
            Some(node) if !node.is_null() => self.timezone("tz", node)?,
            _ => zone,
        };
        if found.class() == "parse" {
            let text = found.first_or("string").and_then(Node::as_text).unwrap_or("");
            let Some(written) = date::parse(text) else {
                self.bad_argument(found.path_mark, format!("`{text}` is no date"));
                return None;
            };
            return Some(match written.offset {
                Some(offset) => written.local.and_utc() - chrono::Duration::seconds(i64::from(offset)),
                None => date::localise(written.local, zone),
            });
        }
        let mut parts = [0u32; 7];
        let mut given = [false; 7];
        let positional =
            found.args.iter().enumerate().map(|(index, node)| (PARTS.get(index).copied(), node.mark, node));
        let named = found.kwargs.iter().filter(|(name, ..)| !matches!(*name, "tz" | "tzinfo" | "timezone" | "fold"));
        for (name, mark, node) in positional.chain(named.map(|(name, mark, node)| (Some(*name), *mark, *node))) {
            let index = name.and_then(|name| PARTS.iter().position(|part| *part == name));
            let Some(index) = index else {
                self.bad_argument(mark, format!("`{}` takes no argument `{}`", found.path, name.unwrap_or("?")));
                return None;
            };
            parts[index] = u32::try_from(self.integer(PARTS[index], node)?).unwrap_or(u32::MAX);
            given[index] = true;
        }
        let [year, month, day, hour, minute, second, micro] = parts;
        let local = NaiveDate::from_ymd_opt(year.min(9999) as i32, month, day)
            .and_then(|date| date.and_hms_micro_opt(hour, minute, second, micro));
        match local {
            Some(local) if given[..3].iter().all(|given| *given) => Some(date::localise(local, zone)),
            _ => {
                self.bad_argument(
                    found.path_mark,
                    format!("`{}` needs a year, a month and a day of the calendar", found.path),
                );
                None
            }
        }
    }

    /// An object in an untyped place, as data.
    pub(super) fn object_json(&self, node: &Node, found: &Object<'_>) -> Option<Value> {
        let Some(family) = found.family() else {
            self.unsupported_type(found);
            return None;
        };
        match family {
            Family::TimeDelta => self.timedelta(found).map(|seconds| json!({ "seconds": seconds })),
            Family::DateTime | Family::Date => {
                self.object_date(found, Tz::UTC).map(|at| Value::String(super::rfc3339(at)))
            }
            Family::NotSet => None,
            Family::List => Some(Value::Array(self.items(node)?.iter().filter_map(|item| self.json(item)).collect())),
            Family::Enum | Family::Url => found.first_or("path").and_then(|first| self.json(first)),
            Family::Asset | Family::AssetAlias | Family::AssetAll | Family::AssetAny | Family::AssetRef => {
                self.asset(node).map(|expression| expression.describe())
            }
            Family::Kubernetes => Some(Value::Object(self.kwargs_json(found, camel))),
            Family::TimeZone => self.timezone("timezone", node).map(|zone| Value::String(zone.name().to_owned())),
            Family::Time => {
                let parts: Option<Vec<i64>> = ["hour", "minute", "second"]
                    .iter()
                    .enumerate()
                    .map(|(index, name)| {
                        let part = found.args.get(index).or_else(|| found.kwarg(name));
                        part.map_or(Some(0), |node| self.integer(name, node))
                    })
                    .collect();
                parts.map(|parts| Value::String(format!("{:02}:{:02}:{:02}", parts[0], parts[1], parts[2])))
            }
            Family::Dict
            | Family::KubernetesSecret
            | Family::Docker
            | Family::Param
            | Family::Notifier
            | Family::Timetable
            | Family::RelativeDelta => {
                let mut result = self.kwargs_json(found, str::to_owned);
                if matches!(family, Family::Docker) {
                    for (name, value) in ["target", "source", "type", "read_only"].iter().zip(found.args) {
                        if let Some(value) = self.json(value) {
                            result.insert((*name).to_owned(), value);
                        }
                    }
                }
                if matches!(family, Family::Notifier | Family::Timetable | Family::RelativeDelta) {
                    result.insert("__type__".to_owned(), Value::String(found.path.to_owned()));
                }
                Some(Value::Object(result))
            }
        }
    }

    fn kwargs_json(&self, found: &Object<'_>, name: impl Fn(&str) -> String) -> Map<String, Value> {
        found.kwargs.iter().filter_map(|(key, _, node)| Some((name(key), self.json(node)?))).collect()
    }
}

/// `snake_case` → `camelCase`, as the Kubernetes client does for its models.
fn camel(name: &str) -> String {
    let mut result = String::with_capacity(name.len());
    let mut upper = false;
    for c in name.chars() {
        if c == '_' {
            upper = true;
        } else if upper {
            result.extend(c.to_uppercase());
            upper = false;
        } else {
            result.push(c);
        }
    }
    result
}
