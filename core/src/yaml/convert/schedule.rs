//! Schedules as Airflow's timetables.

use serde_json::{Map, Value, json};

use super::{Converter, number, timedelta};
use crate::dag::{AssetExpression, AssetRef, RunImmediately, Schedule, Step};

impl Converter<'_> {
    pub(super) fn schedule(&mut self, schedule: &Schedule) -> Value {
        let zone = |zone: &chrono_tz::Tz| zone.name().to_owned();
        match schedule {
            Schedule::None => Value::Null,
            Schedule::Once => json!("@once"),
            Schedule::Continuous => json!("@continuous"),
            Schedule::Cron { expressions, timezone, interval: None, run_immediately: RunImmediately::IfRecent }
                if expressions.len() == 1 && *timezone == self.dag.timezone =>
            {
                json!(expressions[0])
            }
            Schedule::Cron { expressions, timezone, interval, run_immediately } => {
                let mut result = json!({ "timezone": zone(timezone) });
                if let [one] = &expressions[..] {
                    result["__type__"] = json!("airflow.timetables.trigger.CronTriggerTimetable");
                    result["cron"] = json!(one);
                } else {
                    result["__type__"] = json!("airflow.timetables.trigger.MultipleCronTriggerTimetable");
                    result["__args__"] = json!(expressions);
                }
                if let Some(interval) = interval {
                    result["interval"] = step(*interval);
                }
                match run_immediately {
                    RunImmediately::IfRecent => {}
                    RunImmediately::Always => result["run_immediately"] = json!(true),
                    RunImmediately::Within(grace) => {
                        result["run_immediately"] = timedelta(grace.as_secs_f64());
                    }
                }
                result
            }
            Schedule::CronInterval { expression, timezone } => json!({
                "__type__": "airflow.timetables.interval.CronDataIntervalTimetable",
                "cron": expression,
                "timezone": zone(timezone),
            }),
            Schedule::Delta { delta, interval: None } => step(*delta),
            Schedule::Delta { delta, interval: Some(interval) } => json!({
                "__type__": "airflow.timetables.trigger.DeltaTriggerTimetable",
                "delta": step(*delta),
                "interval": step(*interval),
            }),
            Schedule::DeltaInterval { delta } => json!({
                "__type__": "airflow.timetables.interval.DeltaDataIntervalTimetable",
                "delta": step(*delta),
            }),
            Schedule::Events { dates } => {
                let dates: Vec<Value> = dates
                    .iter()
                    .map(|at| json!({ "__type__": "pendulum.parse", "__args__": [at.to_rfc3339()] }))
                    .collect();
                json!({ "__type__": "airflow.timetables.events.EventsTimetable", "event_dates": dates })
            }
            Schedule::Partitioned { timetable, .. } => {
                self.native_only(
                    &format!("DAG `{}`", self.dag.dag_id),
                    &format!("timetable `{timetable}`, which is not read"),
                );
                Value::Null
            }
            Schedule::Assets { expression, timetable: None } => {
                let said = self.assets(expression);
                // A list is what dag-factory wants for one asset, too.
                if matches!(expression, AssetExpression::One(_)) { json!([said]) } else { said }
            }
            Schedule::Assets { expression, timetable: Some(time) } => json!({
                "__type__": "airflow.timetables.assets.AssetOrTimeSchedule",
                "timetable": self.timetable(time),
                "assets": self.assets(expression),
            }),
        }
    }

    /// A schedule that stands inside another, where no text can.
    fn timetable(&mut self, schedule: &Schedule) -> Value {
        match self.schedule(schedule) {
            Value::String(cron) => json!({
                "__type__": "airflow.timetables.trigger.CronTriggerTimetable",
                "cron": cron,
                "timezone": self.dag.timezone.name(),
            }),
            other => other,
        }
    }

    pub(super) fn assets(&mut self, expression: &AssetExpression) -> Value {
        let (class, members) = match expression {
            AssetExpression::One(asset) => return self.asset(asset),
            AssetExpression::All(members) => ("airflow.sdk.AssetAll", members),
            AssetExpression::Any(members) => ("airflow.sdk.AssetAny", members),
        };
        let members: Vec<Value> = members.iter().map(|member| self.assets(member)).collect();
        json!({ "__type__": class, "__args__": members })
    }

    pub(super) fn asset(&mut self, asset: &AssetRef) -> Value {
        let mut said = Map::new();
        let mut say = |name: &str, value: Value| said.insert(name.to_owned(), value);
        match asset {
            AssetRef::Asset { name, uri, group, extra } => {
                say("__type__", json!("airflow.sdk.Asset"));
                say("name", json!(name));
                say("uri", json!(uri));
                if group != "asset" {
                    say("group", json!(group));
                }
                if !extra.is_empty() {
                    say("extra", Value::Object(extra.clone()));
                }
            }
            AssetRef::Alias { name, .. } => {
                say("__type__", json!("airflow.sdk.AssetAlias"));
                say("name", json!(name));
            }
            AssetRef::Ref { .. } => {
                self.native_only(&format!("DAG `{}`", self.dag.dag_id), "reference to an asset of another DAG");
            }
        }
        Value::Object(said)
    }
}

fn step(step: Step) -> Value {
    if step.months == 0 {
        return timedelta(step.duration.as_secs_f64());
    }
    json!({
        "__type__": "dateutil.relativedelta.relativedelta",
        "months": step.months,
        "seconds": number(step.duration.as_secs_f64()),
    })
}
