//! Any text as a cron expression, from any second of 1990 to 2060: looking forward and back ends, and the two agree.

#![no_main]

use chrono::{DateTime, Duration, NaiveDateTime};
use libfuzzer_sys::fuzz_target;
use updraft_core::timetable::cron::Cron;

/// 1990-01-01, and the seconds of 70 years.
const FROM: i64 = 631_152_000;
const SPAN: u32 = 2_209_032_000;

fuzz_target!(|input: (u32, &str)| {
    let (seconds, text) = input;
    let cron = match Cron::parse(text) {
        Ok(cron) => cron,
        Err(error) => {
            assert!(!error.to_string().is_empty() && !error.help().is_empty());
            return;
        }
    };
    let at: NaiveDateTime =
        DateTime::from_timestamp(FROM + i64::from(seconds % SPAN), 0).expect("in chrono's range").naive_utc();
    if let Some(next) = cron.next(at) {
        assert!(next > at, "{text}: next of {at} is {next}");
        let back = cron.prev(next);
        assert!(back.is_none_or(|back| back <= at), "{text}: {back:?} lies between {at} and its next {next}");
        assert_eq!(cron.prev(next + Duration::seconds(1)), Some(next), "{text}: a tick is the one before the second after it");
    }
    if let Some(prev) = cron.prev(at) {
        assert!(prev < at, "{text}: prev of {at} is {prev}");
        assert!(cron.next(prev).is_none_or(|next| next >= at), "{text}: a tick lies between {prev} and {at}");
    }
});
