//! The operators a file may name: class paths of Airflow 1, 2 and 3, short names, arguments.
//!
//! The class path decides, since its last part is not enough (`EmailOperator` and a user's own).

use crate::operator::OperatorKind;

mod foreign;
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
    /// A time of day or a date, stored as text.
    Moment,
    TextMap,
    Map,
    /// A list of texts; a single text becomes a list of one.
    TextList,
    List,
    /// Text, or a list of texts.
    TextOrList,
    ExitCodes,
    /// Read by a field of its own (`retry_exponential_backoff`).
    BoolOrNumber,
    /// A date of the DAG or a task, read by a field of its own.
    Date,
    /// A list of assets, read by a field of its own.
    Assets,
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
    /// Loads, but nothing acts on it.
    pub(super) idle: bool,
    /// Always its default: a file cannot say another.
    pub(super) fixed: bool,
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
    Arg { name, kind, required: false, template: false, default: "", idle: false, fixed: false }
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

    pub(super) const fn fixed(mut self) -> Self {
        self.fixed = true;
        self
    }
}

/// A row: what runs it, class, short names, the argument that a short form is, modules of Airflow 2 that 3 still has, older paths,
/// arguments.
const fn row(
    kind: OperatorKind,
    class: &'static str,
    aliases: &'static [&'static str],
    main: Option<&'static str>,
    modules: &'static [&'static str],
    old: &'static [&'static str],
    args: &'static [Arg],
) -> Operator {
    Operator { class, kind, aliases, main, modules, old, args, sensor: false, template_files: &[] }
}

impl Operator {
    const fn sensor(mut self) -> Self {
        self.sensor = true;
        self
    }

    const fn files(mut self, files: &'static [(&'static str, &'static [&'static str])]) -> Self {
        self.template_files = files;
        self
    }
}

/// Arguments of every sensor; those with a default are in [`crate::dag::Sensor`], the mode beside the operator's own.
pub(super) const SENSOR: &[Arg] = &[
    arg("poke_interval", Kind::Duration),
    arg("timeout", Kind::Duration),
    arg("mode", Kind::Text).default("\"poke\""),
    arg("soft_fail", Kind::Bool),
    arg("exponential_backoff", Kind::Bool),
    arg("max_wait", Kind::Duration),
    arg("silent_fail", Kind::Bool),
    arg("never_fail", Kind::Bool),
    arg("deferrable", Kind::Bool),
];

/// Those of them that the task keeps in its own field.
pub(super) const SENSOR_FIELDS: &[&str] =
    &["poke_interval", "timeout", "soft_fail", "exponential_backoff", "max_wait", "silent_fail", "never_fail"];

/// TaskFlow: what `decorator:` may say, and the class of its tasks. Any other dotted path is an operator that cannot run here.
const DECORATORS: &[(&str, &str)] = &[
    ("airflow.decorators.task", DECORATED),
    ("airflow.sdk.task", DECORATED),
    ("airflow.sdk.definitions.decorators.task", DECORATED),
    ("airflow.decorators.python.python_task", DECORATED),
    ("airflow.decorators.task.branch", DECORATED_BRANCH),
    ("airflow.sdk.task.branch", DECORATED_BRANCH),
    ("airflow.decorators.branch_python.branch_task", DECORATED_BRANCH),
    ("airflow.providers.standard.decorators.branch_python.branch_task", DECORATED_BRANCH),
    ("airflow.decorators.task.short_circuit", DECORATED_SHORT_CIRCUIT),
    ("airflow.sdk.task.short_circuit", DECORATED_SHORT_CIRCUIT),
    ("airflow.decorators.short_circuit.short_circuit_task", DECORATED_SHORT_CIRCUIT),
    ("airflow.providers.standard.decorators.short_circuit.short_circuit_task", DECORATED_SHORT_CIRCUIT),
    ("airflow.decorators.task.sensor", DECORATED_SENSOR),
    ("airflow.sdk.task.sensor", DECORATED_SENSOR),
    ("airflow.providers.standard.decorators.sensor.sensor_task", DECORATED_SENSOR),
];

const DECORATED: &str = "airflow.providers.standard.decorators.python._PythonDecoratedOperator";
const DECORATED_BRANCH: &str = "airflow.providers.standard.decorators.branch_python._BranchPythonDecoratedOperator";
const DECORATED_SHORT_CIRCUIT: &str =
    "airflow.providers.standard.decorators.short_circuit._ShortCircuitDecoratedOperator";
const DECORATED_SENSOR: &str = "airflow.providers.standard.decorators.sensor.DecoratedSensorOperator";

/// The operator of a TaskFlow decorator.
pub(super) fn decorated(path: &str) -> Option<&'static Operator> {
    let (_, class) = DECORATORS.iter().find(|(known, _)| *known == path)?;
    all().find(|operator| operator.class == *class)
}

/// Whether the class is one that TaskFlow makes, and that takes the function's arguments beside its own.
pub(super) fn is_decorated(operator: &Operator) -> bool {
    DECORATORS.iter().any(|(_, class)| *class == operator.class)
}

/// The decorator whose tasks have this class.
pub(super) fn decorator_of(operator: &Operator) -> Option<&'static str> {
    // The paths of the SDK are the ones to write today.
    let mut paths = DECORATORS.iter().filter(|(_, class)| *class == operator.class).map(|(path, _)| *path);
    paths.find(|path| path.starts_with("airflow.sdk."))
}

/// The paths of TaskFlow decorators.
pub(super) fn decorators() -> impl Iterator<Item = &'static str> {
    DECORATORS.iter().map(|(path, _)| *path)
}

impl Operator {
    /// The argument of this name that a file may give.
    pub(super) fn arg(&self, name: &str) -> Option<&'static Arg> {
        self.args().find(|arg| arg.name == name && !arg.fixed)
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
    runnable::OPERATORS.iter().chain(waiting::OPERATORS).chain(foreign::OPERATORS)
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
        for operator in all().filter(|operator| operator.kind != OperatorKind::Unsupported) {
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
