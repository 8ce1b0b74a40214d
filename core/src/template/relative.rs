//! dateutil's `relativedelta`: plural units move a datetime, singular ones set a part of it.

use std::{fmt, sync::Arc};

use minijinja::{
    Error, Value,
    value::{Kwargs, Object, ObjectRepr, from_args},
};

use super::moment::{Moment, Units};

/// The parts that are set, largest first.
const PARTS: [&str; 7] = ["year", "month", "day", "hour", "minute", "second", "microsecond"];

#[derive(Clone, Debug)]
pub(super) struct Relative {
    units: Units,
    /// In the order of [`PARTS`].
    set: [Option<u32>; 7],
}

impl Relative {
    /// `relativedelta(years=, months=, …, year=, month=, day=, …)`.
    pub(super) fn from_call(args: &[Value]) -> Result<Self, Error> {
        let (kwargs,): (Kwargs,) = from_args(args)?;
        let mut set = [None; 7];
        for (part, name) in set.iter_mut().zip(PARTS) {
            *part = kwargs.get::<Option<u32>>(name)?;
        }
        Ok(Self { units: Units::from_kwargs(&kwargs)?, set })
    }

    /// `moment + self`, or with a sign of −1 `moment - self`, which sets the same parts.
    pub(super) fn apply(&self, moment: Moment, sign: i64) -> Result<Moment, Error> {
        moment.relative(&self.units, self.set, sign)
    }
}

impl Object for Relative {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("relativedelta(…)")
    }
}
