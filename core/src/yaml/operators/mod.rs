//! The operators a file may name: class paths of Airflow 1, 2 and 3, short names, arguments.
//!
//! The class path decides, since its last part is not enough (`EmailOperator` and a user's own).

use crate::operator::OperatorKind;

mod runnable;
mod waiting;

/// The type of an argument's value in long form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Bool,
    Int,
    Number,
    /// Stored as seconds.
    Duration,
    /// Stored as `{"seconds": …}`, as a timedelta argument is shown.
    Delta,
    TextMap,
    Map,
    /// A list of texts; a single text becomes a list of one.
    TextList,
    List,
    /// Text, or a list of texts.
    TextOrList,
    ExitCodes,
    Any,
}

/// One argument of an operator.
pub(super) struct Arg {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) required: bool,
    /// Rendered before the task runs.
    pub(super) template: bool,
    /// What stands there when the file says nothing, as JSON text; empty: the key is left out.
    pub(super) default: &'static str,
    /// Loads, but the runner does not act on it yet.
    pub(super) idle: bool,
}

/// One operator.
pub(super) struct Operator {
    /// The current class path.
    pub(super) class: &'static str,
    pub(super) kind: OperatorKind,
    /// Short names.
    pub(super) aliases: &'static [&'static str],
    /// The argument that the value of a short form is.
    pub(super) main: Option<&'static str>,
    /// Other modules that the class is found in and Airflow 3 still has.
    pub(super) modules: &'static [&'static str],
    /// Class paths that only older versions had.
    pub(super) old: &'static [&'static str],
    pub(super) args: &'static [Arg],
    /// Takes the arguments of every sensor, too.
    pub(super) sensor: bool,
    /// Extensions of files that a text argument may name, and that argument.
    pub(super) template_files: &'static [(&'static str, &'static [&'static str])],
}

pub(super) const fn arg(name: &'static str, kind: Kind) -> Arg {
    Arg { name, kind, required: false, template: false, default: "", idle: false }
}

impl Arg {
    pub(super) const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub(super) const fn template(mut self) -> Self {
        self.template = true;
        self
    }

    pub(super) const fn default(mut self, json: &'static str) -> Self {
        self.default = json;
        self
    }

    pub(super) const fn idle(mut self) -> Self {
        self.idle = true;
        self
    }
}

/// Arguments of every sensor.
pub(super) const SENSOR: &[Arg] = &[
    arg("poke_interval", Kind::Duration).default("60.0"),
    arg("timeout", Kind::Duration).default("604800.0"),
    arg("mode", Kind::Text).default("\"poke\""),
    arg("soft_fail", Kind::Bool).default("false"),
    arg("exponential_backoff", Kind::Bool).default("false"),
    arg("max_wait", Kind::Duration),
    arg("silent_fail", Kind::Bool),
    arg("never_fail", Kind::Bool),
    arg("deferrable", Kind::Bool),
];

/// TaskFlow: `decorator:` with one of these paths.
pub(super) const DECORATORS: &[&str] = &[
    "airflow.decorators.task",
    "airflow.sdk.task",
    "airflow.sdk.definitions.decorators.task",
    "airflow.decorators.python.python_task",
];

/// The class that TaskFlow tasks have.
pub(super) const DECORATED: &str = "airflow.providers.standard.decorators.python._PythonDecoratedOperator";

impl Operator {
    pub(super) fn arg(&self, name: &str) -> Option<&'static Arg> {
        self.args().find(|arg| arg.name == name)
    }

    pub(super) fn args(&self) -> impl Iterator<Item = &'static Arg> + use<> {
        self.args.iter().chain(if self.sensor { SENSOR } else { &[] })
    }

    fn class_name(&self) -> &'static str {
        self.class.rsplit('.').next().unwrap_or(self.class)
    }
}

/// What a name in `operator` stands for.
pub(super) enum Found {
    /// Known; with whether the path is one that Airflow 3 no longer has.
    Known(&'static Operator, bool),
    /// A word or path near one we know.
    Misspelt(String),
    /// A class path of something else.
    Foreign,
    /// A word without dots that is no short name.
    NoSuchWord,
}

pub(super) fn all() -> impl Iterator<Item = &'static Operator> {
    runnable::OPERATORS.iter().chain(waiting::OPERATORS)
}

/// The operator with this short name.
pub(super) fn by_alias(word: &str) -> Option<&'static Operator> {
    all().find(|operator| operator.aliases.contains(&word))
}

pub(super) fn aliases() -> impl Iterator<Item = &'static str> {
    all().flat_map(|operator| operator.aliases.iter().copied())
}

/// Looks a short name or class path up.
pub(super) fn find(name: &str) -> Found {
    if let Some(operator) = by_alias(name) {
        return Found::Known(operator, false);
    }
    let Some((module, class)) = name.rsplit_once('.') else {
        return super::suggest::nearest(name, aliases())
            .map_or(Found::NoSuchWord, |near| Found::Misspelt(near.to_owned()));
    };
    // `…Async` sensors of Airflow 2 are the plain sensors: ours never hold a slot.
    let plain = class.strip_suffix("Async").filter(|plain| plain.ends_with("Sensor"));
    for operator in all() {
        if operator.class == name || (operator.modules.contains(&module) && operator.class_name() == class) {
            return Found::Known(operator, false);
        }
        if operator.old.contains(&name) {
            return Found::Known(operator, true);
        }
        if let Some(plain) = plain
            && operator.class_name() == plain
            && (operator.class.rsplit_once('.').is_some_and(|(own, _)| own == module)
                || operator.modules.contains(&module))
        {
            return Found::Known(operator, true);
        }
    }
    let paths: Vec<String> = all()
        .flat_map(|operator| {
            let modules = operator.modules.iter().map(|module| format!("{module}.{}", operator.class_name()));
            modules.chain([operator.class.to_owned()])
        })
        .collect();
    super::suggest::nearest_within(name, 3, paths.iter().map(String::as_str))
        .map_or(Found::Foreign, |near| Found::Misspelt(near.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_what_the_node_renders() {
        for operator in runnable::OPERATORS {
            let mut ours: Vec<&str> = operator.args().filter(|arg| arg.template).map(|arg| arg.name).collect();
            let mut nodes = operator.kind.template_fields().to_vec();
            ours.sort_unstable();
            nodes.sort_unstable();
            assert_eq!(ours, nodes, "{}", operator.class);
        }
    }

    #[test]
    fn keeps_defaults_and_names_in_order() {
        for operator in all() {
            for arg in operator.args().filter(|arg| !arg.default.is_empty()) {
                assert!(
                    serde_json::from_str::<serde_json::Value>(arg.default).is_ok(),
                    "{} of {}",
                    arg.name,
                    operator.class
                );
            }
            assert!(operator.main.is_none_or(|main| operator.arg(main).is_some()), "{}", operator.class);
            let mut names: Vec<&str> = operator.args.iter().map(|arg| arg.name).collect();
            names.sort_unstable();
            assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "an argument of {} stands twice", operator.class);
        }
        let mut words: Vec<&str> = aliases().collect();
        words.sort_unstable();
        assert!(words.windows(2).all(|pair| pair[0] != pair[1]), "a short name stands twice");
    }

    #[test]
    fn knows_old_and_new_paths() {
        for (path, old) in [
            ("airflow.operators.bash_operator.BashOperator", true),
            ("airflow.operators.bash.BashOperator", false),
            ("airflow.providers.standard.operators.bash.BashOperator", false),
            ("airflow.sensors.time_sensor.TimeSensorAsync", true),
            ("noop", false),
        ] {
            assert!(matches!(find(path), Found::Known(_, is_old) if is_old == old), "{path}");
        }
        assert!(matches!(find("airflow.operators.bash.BashOperatr"), Found::Misspelt(_)));
        assert!(matches!(find("my.company.operators.bash.BashOperator"), Found::Foreign));
    }
}
