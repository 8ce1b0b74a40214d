//! How a sensor waits: the arguments that every sensor takes.

use super::{Context, task::Lookup};
use crate::dag::Sensor;

impl Context<'_> {
    pub(super) fn sensor(&self, lookup: &Lookup<'_>) -> Sensor {
        let span = |name: &str| lookup.get(name).and_then(|entry| self.duration(name, &entry.value));
        let flag = |name: &str| lookup.get(name).and_then(|entry| self.boolean(name, &entry.value)).unwrap_or(false);
        let default = Sensor::default();
        let sensor = Sensor {
            poke_interval: span("poke_interval").unwrap_or(default.poke_interval),
            timeout: span("timeout").unwrap_or(default.timeout),
            soft_fail: flag("soft_fail"),
            exponential_backoff: flag("exponential_backoff"),
            max_wait: span("max_wait"),
            silent_fail: flag("silent_fail"),
            never_fail: flag("never_fail"),
        };
        if let Some(entry) = lookup.get("never_fail")
            && sensor.soft_fail
            && sensor.never_fail
        {
            let help = "keep one of the two: `soft_fail` skips after the time-out, `never_fail` after any failure";
            let message = "a sensor has `soft_fail` or `never_fail`, and not both";
            self.findings.error_help("conflicting_keys", entry.key, message, Some(help.to_owned()));
        }
        if let Some(entry) = lookup.get("mode")
            && let Some(mode) = self.text("mode", &entry.value)
            && !matches!(mode.as_str(), "poke" | "reschedule")
        {
            let help = "write poke or reschedule; a waiting sensor holds no slot in either".to_owned();
            let message = format!("there is no `mode: {mode}`");
            self.findings.error_help("invalid_value", entry.value.mark, message, Some(help));
        }
        sensor
    }
}
