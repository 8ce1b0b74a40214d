//! `schedule`: presets, cron, intervals, timetable objects, assets.

use chrono_tz::Tz;

use super::{
    Context, duration,
    node::{Mapping, Mark, Node, Style},
    object::{Family, Object, object},
    scalar,
    suggest::did_you_mean,
};
use crate::{
    dag::{AssetExpression, RunImmediately, Schedule, Step},
    timetable::cron::{self, Cron, PRESETS},
};

/// Keys of a schedule written as a mapping.
pub(super) const KEYS: &[&str] = &["cron", "timezone", "data_interval", "every", "assets", "any", "all"];

/// Arguments of `relativedelta` that are no length of time.
const ABSOLUTE: &[&str] =
    &["year", "month", "day", "weekday", "yearday", "nlyearday", "leapdays", "hour", "minute", "second", "microsecond"];

impl Context<'_> {
    /// The schedule of a DAG in `zone`; `None` after an error.
    pub(super) fn schedule(&self, node: &Node, zone: Tz) -> Option<Schedule> {
        if node.is_null() {
            return Some(Schedule::None);
        }
        if let Some(found) = object(node) {
            return self.timetable(node, &found, zone);
        }
        if let Some(entries) = node.as_mapping() {
            return self.schedule_mapping(node, entries, zone);
        }
        if node.as_sequence().is_some() {
            return Some(assets(self.asset_group(node, true)?, None));
        }
        let scalar = node.as_scalar()?;
        if scalar.style == Style::Plain && scalar::as_bool(&scalar.text).is_some() {
            let message = format!("`schedule: {}` is a truth value, not a schedule", scalar.text);
            let help = "write a preset (`\"@daily\"`), a cron expression, a duration, or nothing".to_owned();
            self.findings.error_help("invalid_schedule", node.mark, message, Some(help));
            return None;
        }
        self.schedule_text(&scalar.text, node.mark, zone)
    }

    fn schedule_text(&self, text: &str, mark: Mark, zone: Tz) -> Option<Schedule> {
        let text = text.trim();
        match text.to_ascii_lowercase().as_str() {
            "" | "none" | "null" => return Some(Schedule::None),
            "@once" => return Some(Schedule::Once),
            "@continuous" => return Some(Schedule::Continuous),
            _ => {}
        }
        if !text.starts_with('@') {
            match duration::parse(text) {
                Ok(delta) if delta.is_zero() => {
                    self.findings.error("invalid_schedule", mark, "a schedule cannot repeat after no time");
                    return None;
                }
                Ok(duration) => return Some(self.delta(Step { months: 0, duration }, None)),
                Err(_) => {}
            }
            if !text.contains(['*', ' ', '/']) {
                let help = did_you_mean(&format!("@{text}"), presets()).unwrap_or_else(|| {
                    "write a preset (`\"@daily\"`), a cron expression, or a duration (`6 hours`)".to_owned()
                });
                self.findings.error_help("invalid_schedule", mark, format!("`{text}` is no schedule"), Some(help));
                return None;
            }
        }
        let expression = self.cron(text, mark)?;
        Some(if self.settings.create_cron_data_intervals {
            Schedule::CronInterval { expression, timezone: zone }
        } else {
            Schedule::cron(expression, zone)
        })
    }

    /// A bare length of time as a schedule. `create_cron_data_intervals` decides here, too (Airflow 3.3.2 asks it where it has
    /// `create_delta_data_intervals` for that); `interval` is what the file itself says.
    fn delta(&self, delta: Step, interval: Option<bool>) -> Schedule {
        if interval.unwrap_or(self.settings.create_cron_data_intervals) {
            Schedule::DeltaInterval { delta }
        } else {
            Schedule::Delta { delta, interval: None }
        }
    }

    /// A checked cron expression, presets written out.
    fn cron(&self, text: &str, mark: Mark) -> Option<String> {
        let text = text.trim();
        if text.starts_with('@') {
            if let Some(expression) = cron::preset(text) {
                return Some(expression.to_owned());
            }
            let all: Vec<&str> = presets().collect();
            let help = did_you_mean(text, presets()).unwrap_or_else(|| format!("the presets are {}", all.join(", ")));
            self.findings.error_help("invalid_cron", mark, format!("there is no preset `{text}`"), Some(help));
            return None;
        }
        if let Err(error) = Cron::parse(text) {
            self.findings.error_help("invalid_cron", mark, format!("`{text}`: {error}"), Some(error.help()));
            return None;
        }
        let fields: Vec<&str> = text.split_whitespace().collect();
        if fields.len() == 6 && fields[5] == "*" {
            self.findings.warning_help(
                "invalid_cron",
                mark,
                "the sixth field of a cron expression is the second, so `*` means every second of the minute",
                Some("leave the sixth field out, or write 0".to_owned()),
            );
        }
        Some(fields.join(" "))
    }

    fn crons(&self, node: &Node) -> Option<Vec<String>> {
        match self.items(node) {
            Some(items) => items.iter().map(|item| self.cron(&self.text("cron", item)?, item.mark)).collect(),
            None => Some(vec![self.cron(&self.text("cron", node)?, node.mark)?]),
        }
    }

    fn schedule_mapping(&self, node: &Node, entries: &Mapping, zone: Tz) -> Option<Schedule> {
        if entries.contains_key("__or__") || entries.contains_key("__and__") {
            return Some(assets(self.asset(node)?, None));
        }
        if let Some(old) = entries.get("datasets") {
            self.findings.warning_help(
                "deprecated_key",
                old.key,
                "`schedule: {datasets: …}` is of Airflow 2",
                Some("write the list of assets, or `__and__`/`__or__` over them, as the schedule itself".to_owned()),
            );
            if let Some(file) = entries.get("file") {
                return Some(assets(self.named_assets(file, &old.value)?, None));
            }
            let expression = if old.value.as_sequence().is_some() {
                self.asset_group(&old.value, true)?
            } else {
                self.asset(&old.value)?
            };
            return Some(assets(expression, None));
        }
        let mut good = true;
        for (key, entry) in entries {
            if !KEYS.contains(&&**key) {
                let help = did_you_mean(key, KEYS.iter().copied())
                    .unwrap_or_else(|| format!("the keys are {}", KEYS.join(", ")));
                self.findings.error_help(
                    "invalid_schedule",
                    entry.key,
                    format!("a schedule has no key `{key}`"),
                    Some(help),
                );
                good = false;
            }
        }
        let present = |names: &[&str]| names.iter().filter(|name| entries.contains_key(**name)).count();
        if !good || present(&["cron", "every"]) > 1 || present(&["assets", "any", "all"]) > 1 || present(KEYS) == 0 {
            if good {
                let help = "write one of `cron` and `every`, and one of `assets`, `any` and `all`".to_owned();
                self.findings.error_help("invalid_schedule", node.mark, "the schedule says two things", Some(help));
            }
            return None;
        }
        let get = |name: &str| entries.get(name).map(|entry| &entry.value);
        let timezone = get("timezone").map_or(Some(zone), |node| self.timezone("timezone", node))?;
        let interval = get("data_interval").and_then(|node| self.boolean("data_interval", node));
        let time = if let Some(cron) = get("cron") {
            let expressions = self.crons(cron)?;
            // Several expressions have no intervals between them: the server's setting is about single ones.
            let interval = interval.unwrap_or(self.settings.create_cron_data_intervals && expressions.len() == 1);
            Some(match (interval, expressions.len()) {
                (true, 1) => Schedule::CronInterval { expression: expressions[0].clone(), timezone },
                (true, _) => {
                    self.findings.error("invalid_schedule", cron.mark, "`data_interval` needs one cron expression");
                    return None;
                }
                (false, _) => {
                    let run_immediately = RunImmediately::default();
                    Schedule::Cron { expressions, timezone, interval: None, run_immediately }
                }
            })
        } else if let Some(every) = get("every") {
            let delta = Step { months: 0, duration: self.duration("every", every)? };
            if delta.duration.is_zero() {
                self.findings.error("invalid_schedule", every.mark, "a schedule cannot repeat after no time");
                return None;
            }
            Some(self.delta(delta, interval))
        } else {
            None
        };
        let expression = match (get("assets").or_else(|| get("all")), get("any")) {
            (Some(all), _) => Some(self.asset_group(all, true)?),
            (None, Some(any)) => Some(self.asset_group(any, false)?),
            (None, None) => None,
        };
        match expression {
            Some(expression) => Some(assets(expression, time)),
            None if time.is_none() => {
                self.findings.error("invalid_schedule", node.mark, "the schedule names neither a time nor assets");
                None
            }
            None => time,
        }
    }

    fn timetable(&self, node: &Node, found: &Object<'_>, zone: Tz) -> Option<Schedule> {
        match found.family() {
            Some(Family::RelativeDelta) if self.is_absolute(found) => Some(Schedule::None),
            Some(Family::TimeDelta | Family::RelativeDelta) => Some(self.delta(self.step(node)?, None)),
            Some(Family::Asset | Family::AssetAlias | Family::AssetAll | Family::AssetAny | Family::AssetRef) => {
                Some(assets(self.asset(node)?, None))
            }
            Some(Family::Timetable) => self.timetable_class(found, zone),
            _ => {
                self.unfit_object("schedule", found, "a schedule");
                None
            }
        }
    }

    fn timetable_class(&self, found: &Object<'_>, zone: Tz) -> Option<Schedule> {
        if matches!(found.class(), "CronPartitionTimetable" | "PartitionedAssetTimetable" | "PartitionedAtRuntime") {
            return self.partitioned(found);
        }
        let missing = |name: &str| {
            let message = format!("`{}` needs the argument `{name}`", found.path);
            self.findings.error("invalid_type_arguments", found.path_mark, message);
        };
        let timezone = match found.kwarg("timezone").or_else(|| found.args.get(1)) {
            Some(node) if object(node).is_some() || node.as_text().is_some() => self.timezone("timezone", node)?,
            _ => zone,
        };
        let known: &[&str] = match found.class() {
            "CronTriggerTimetable" | "MultipleCronTriggerTimetable" => {
                &["cron", "crons", "timezone", "interval", "run_immediately"]
            }
            "CronDataIntervalTimetable" => &["cron", "timezone"],
            "DeltaTriggerTimetable" => &["delta", "interval"],
            "DeltaDataIntervalTimetable" => &["delta"],
            "EventsTimetable" => &["event_dates", "restrict_to_events", "presorted", "description"],
            _ => &["timetable", "assets", "datasets"],
        };
        for (name, mark, _) in &found.kwargs {
            if !known.contains(name) {
                let message = format!("`{}` takes no argument `{name}`", found.path);
                let help = did_you_mean(name, known.iter().copied());
                self.findings.error_help("invalid_type_arguments", *mark, message, help);
                return None;
            }
            if *name == "restrict_to_events" {
                self.without_effect(*mark, &format!("`{name}`"));
            }
        }
        match found.class() {
            "CronTriggerTimetable" | "MultipleCronTriggerTimetable" => {
                let expressions = match found.kwarg("cron").or_else(|| found.kwarg("crons")) {
                    Some(cron) => self.crons(cron)?,
                    None => found
                        .args
                        .iter()
                        .take(if found.class() == "CronTriggerTimetable" { 1 } else { usize::MAX })
                        .map(|arg| self.cron(&self.text("cron", arg)?, arg.mark))
                        .collect::<Option<_>>()?,
                };
                if expressions.is_empty() {
                    missing("cron");
                    return None;
                }
                let interval = self.interval_of(found)?;
                let run_immediately = match found.kwarg("run_immediately") {
                    Some(node) => self.run_immediately(node)?,
                    None => RunImmediately::default(),
                };
                Some(Schedule::Cron { expressions, timezone, interval, run_immediately })
            }
            "CronDataIntervalTimetable" => {
                let Some(cron) = found.first_or("cron") else {
                    missing("cron");
                    return None;
                };
                Some(Schedule::CronInterval { expression: self.cron(&self.text("cron", cron)?, cron.mark)?, timezone })
            }
            "DeltaTriggerTimetable" | "DeltaDataIntervalTimetable" => {
                let Some(delta) = found.first_or("delta") else {
                    missing("delta");
                    return None;
                };
                let delta = self.step(delta)?;
                Some(if found.class() == "DeltaTriggerTimetable" {
                    Schedule::Delta { delta, interval: self.interval_of(found)? }
                } else {
                    Schedule::DeltaInterval { delta }
                })
            }
            "EventsTimetable" => {
                let Some(dates) = found.first_or("event_dates").and_then(|dates| self.items(dates)) else {
                    missing("event_dates");
                    return None;
                };
                let mut dates: Vec<_> =
                    dates.iter().map(|date| self.instant("event_dates", date)).collect::<Option<_>>()?;
                dates.sort_unstable();
                Some(Schedule::Events { dates })
            }
            _ => {
                let time = found.kwarg("timetable").or_else(|| found.args.first());
                let assets_node =
                    found.kwarg("assets").or_else(|| found.kwarg("datasets")).or_else(|| found.args.get(1));
                let (Some(time), Some(assets_node)) = (time, assets_node) else {
                    missing(if time.is_none() { "timetable" } else { "assets" });
                    return None;
                };
                let time = self.schedule(time, zone)?;
                let expression = if assets_node.as_sequence().is_some() {
                    self.asset_group(assets_node, true)?
                } else {
                    self.asset(assets_node)?
                };
                Some(assets(expression, Some(time)))
            }
        }
    }

    /// A `relativedelta` that names a place on the calendar (`day=1`) rather than a length of time; a warning says so.
    fn is_absolute(&self, found: &Object<'_>) -> bool {
        let absolute = found.kwargs.iter().find(|(name, _, node)| ABSOLUTE.contains(name) && !node.is_null());
        if let Some((name, mark, _)) = absolute {
            self.findings.warning_help(
                "unsupported_schedule",
                *mark,
                format!(
                    "`{name}` of a `relativedelta` is a place on the calendar: the DAG runs only when it is triggered"
                ),
                Some("write cron, such as `0 0 1 * *` for the first of each month".to_owned()),
            );
        }
        absolute.is_some()
    }

    /// A timetable of partitioned runs. What it is called with is not read but for the time it shows.
    fn partitioned(&self, found: &Object<'_>) -> Option<Schedule> {
        self.findings.warning_help(
            "unsupported_schedule",
            found.path_mark,
            format!("`{}` makes partitioned runs, and partitions are not run yet: the DAG has no runs", found.class()),
            Some("write `{cron: …}` or a list of assets for runs without partitions".to_owned()),
        );
        let expression = match found.class() {
            "CronPartitionTimetable" => match found.first_or("cron") {
                Some(cron) => Some(self.cron(&self.text("cron", cron)?, cron.mark)?),
                None => None,
            },
            _ => None,
        };
        Some(Schedule::Partitioned { timetable: found.class().to_owned(), expression })
    }

    /// `interval` of a trigger timetable. The outer `None` after an error; no time at all is none, as in Airflow, where it is
    /// the default.
    #[expect(clippy::option_option, reason = "an error, no interval, and an interval are three things")]
    fn interval_of(&self, found: &Object<'_>) -> Option<Option<Step>> {
        let Some(node) = found.kwarg("interval").filter(|node| !node.is_null()) else { return Some(None) };
        if object(node).is_none_or(|found| found.family() == Some(Family::TimeDelta))
            && self.duration("interval", node)?.is_zero()
        {
            return Some(None);
        }
        self.step(node).map(Some)
    }

    fn run_immediately(&self, node: &Node) -> Option<RunImmediately> {
        if let Some(scalar) = node.as_scalar()
            && scalar.style == Style::Plain
            && let Some(value) = scalar::as_bool(&scalar.text)
        {
            return Some(if value { RunImmediately::Always } else { RunImmediately::IfRecent });
        }
        if node.is_null() {
            return Some(RunImmediately::IfRecent);
        }
        self.duration("run_immediately", node).map(RunImmediately::Within)
    }

    /// A step of a schedule: a duration, or months and years of a `relativedelta`.
    fn step(&self, node: &Node) -> Option<Step> {
        let Some(found) = object(node).filter(|found| found.family() == Some(Family::RelativeDelta)) else {
            let duration = self.duration("schedule", node)?;
            if duration.is_zero() {
                self.findings.error("invalid_schedule", node.mark, "a schedule cannot repeat after no time");
                return None;
            }
            return Some(Step { months: 0, duration });
        };
        let (months, seconds) = self.relativedelta(&found)?;
        let duration = duration::from_seconds(seconds).filter(|_| (0..=12_000).contains(&months));
        match duration {
            Some(duration) if months > 0 || !duration.is_zero() => Some(Step { months: months as i32, duration }),
            _ => {
                self.findings.error(
                    "invalid_schedule",
                    node.mark,
                    "the step of a schedule must be a positive length of time",
                );
                None
            }
        }
    }
}

/// A schedule by assets, with a time beside it or without.
fn assets(expression: AssetExpression, time: Option<Schedule>) -> Schedule {
    Schedule::Assets { expression, timetable: time.map(Box::new) }
}

fn presets() -> impl Iterator<Item = &'static str> {
    ["@once", "@continuous"].into_iter().chain(PRESETS.iter().map(|(name, _)| *name))
}
