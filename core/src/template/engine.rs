//! One template text: compile, check, evaluate. Everything that knows minijinja's insides is here.
//!
//! minijinja has no operators on objects, but `data_interval_end + macros.timedelta(hours=4)` must work. So the compiled
//! instructions are patched before they run: `+`, `-`, `*`, `/` and `~` become calls of functions that know datetimes and hand
//! everything else to minijinja's own operators. So do those whose cost depends on their values (comparisons, slices, lists),
//! which are paid for first ([`super::work`]). The same instructions tell which filters and tests a text needs.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Expression, Output, State, UndefinedBehavior, Value, context,
    machinery::{CompiledTemplate, Instruction, Instructions, TemplateConfig, eval, make_string_output},
    syntax::SyntaxConfig,
    value::{Rest, Tuple, ValueKind},
};

use serde_json::Value as Json;

use super::{
    constant, delta, filters,
    json::to_json,
    metered, native, python,
    work::{self, Budget},
};

/// Instructions a render may use; a text takes a few dozen, a loop a few per round.
const FUEL: u64 = 1_000_000;
/// The longest text a render may give, and the longest that `~` and `+` may build. Bytes.
pub(super) const OUTPUT_LIMIT: usize = 16 * 1024 * 1024;

/// Instructions for a text in which something is compared or unpacked that cannot be paid for.
const UNMETERED_FUEL: u64 = 1_000;

/// Operators that are functions here, and minijinja's own expression for them.
const OPERATORS: [(&str, &str); 12] = [
    ("__add__", "a + b"),
    ("__sub__", "a - b"),
    ("__mul__", "a * b"),
    ("__truediv__", "a / b"),
    ("__concat__", "a ~ b"),
    ("__eq__", "a == b"),
    ("__ne__", "a != b"),
    ("__gt__", "a > b"),
    ("__ge__", "a >= b"),
    ("__lt__", "a < b"),
    ("__le__", "a <= b"),
    ("__in__", "a in b"),
];

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    // Keeps the source with errors, so that they can say which name is undefined.
    environment.set_debug(true);
    environment.set_formatter(write_value);
    environment.set_unknown_method_callback(filters::method);
    metered::install(&mut environment);
    filters::install(&mut environment);
    for (index, (name, _)) in OPERATORS.into_iter().enumerate() {
        environment.add_function(name, move |left: Value, right: Value| operate(name, index, left, right));
    }
    environment.add_global(constant::ONE, 1);
    environment.add_function("__slice__", slice);
    environment.add_function("__list__", |items: Rest<Value>| held(&items).map(|()| Value::from(items.0)));
    environment
        .add_function("__tuple__", |items: Rest<Value>| held(&items).map(|()| Value::from(Tuple::from(items.0))));
    environment.add_function("__dict__", |items: Rest<Value>| {
        held(&items).map(|()| Value::from_pairs(items.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()))))
    });
    environment.add_function("__changed__", |state: &mut State, arguments: Rest<Value>| -> Result<Value, Error> {
        let [subject, values @ ..] = arguments.as_slice() else { return Err(invalid("`changed` is a method")) };
        work::weigh_arguments(values, false)?;
        subject.call_method(state, "changed", values)
    });
    environment
});

static CONFIG: LazyLock<TemplateConfig> = LazyLock::new(|| TemplateConfig {
    syntax_config: SyntaxConfig::default(),
    default_auto_escape: Arc::new(|_| AutoEscape::None),
});

/// minijinja's own operators, for everything that is no datetime.
static PLAIN: LazyLock<[Expression<'static, 'static>; 13]> = LazyLock::new(|| {
    let sources: Vec<&str> = OPERATORS.iter().map(|(_, source)| *source).chain(["a[b:c:d]"]).collect();
    std::array::from_fn(|at| ENVIRONMENT.compile_expression(sources[at]).expect("a constant expression compiles"))
});

/// A text that is a template. Anything else renders to itself.
pub(super) fn is_template(text: &str) -> bool {
    text.as_bytes().windows(2).any(|pair| matches!(pair, b"{{" | b"{%" | b"{#"))
}

/// A compiled text, patched.
pub(super) struct Compiled<'text> {
    template: CompiledTemplate<'text>,
    /// What it may include, by name.
    files: BTreeMap<String, String>,
}

impl<'text> Compiled<'text> {
    pub(super) fn new(text: &'text str) -> Result<Self, Error> {
        let mut template = CompiledTemplate::new("", text, &CONFIG)?;
        patch(&mut template.instructions);
        template.blocks.values_mut().for_each(patch);
        Ok(Self { template, files: BTreeMap::new() })
    }

    /// With files to include. Their own `+`, `-`, `*`, `/` and `~` are minijinja's.
    pub(super) fn with_files(self, files: BTreeMap<String, String>) -> Self {
        Self { files, ..self }
    }

    /// Renders to text.
    pub(super) fn render(&self, root: Value, budget: &mut Budget) -> Result<String, Error> {
        budget.within(|| self.text(root))
    }

    fn text(&self, root: Value) -> Result<String, Error> {
        let mut text = String::with_capacity(self.template.buffer_size_hint);
        self.eval(&self.template.instructions, root, &mut make_string_output(&mut text))?;
        Ok(text)
    }

    /// Renders to a value (`render_template_as_native_obj`): a text that is one expression gives the expression's value, else
    /// the rendered text read as a Python literal, if it is one.
    pub(super) fn render_native(self, root: Value, budget: &mut Budget) -> Result<Json, Error> {
        budget.within(|| to_json(&self.value(root)?))
    }

    fn value(mut self, root: Value) -> Result<Value, Error> {
        let instructions = &mut self.template.instructions;
        let last = (all(instructions).count() as u32).checked_sub(1);
        let emits = |instruction: &&Instruction| matches!(instruction, Instruction::Emit | Instruction::EmitRaw(_));
        let is_single = all(instructions).filter(emits).count() == 1
            && last.and_then(|at| instructions.get(at)).is_some_and(|last| matches!(last, Instruction::Emit));
        if is_single && let Some(emit) = last.and_then(|at| instructions.get_mut(at)) {
            *emit = Instruction::Return;
            let mut ignored = String::new();
            let value = self.eval(&self.template.instructions, root, &mut make_string_output(&mut ignored))?;
            let value = value.unwrap_or(Value::from(()));
            check_defined(&value)?;
            return Ok(match value.as_str() {
                Some(text) => native::literal(text).unwrap_or(value),
                None => value,
            });
        }
        let text = self.text(root)?;
        if text.is_empty() && all(&self.template.instructions).filter(emits).count() == 0 {
            return Ok(Value::from(()));
        }
        Ok(native::literal(&text).unwrap_or_else(|| Value::from(text)))
    }

    /// The first filter or test that does not exist.
    pub(super) fn check(&self) -> Result<(), Unknown> {
        for instructions in std::iter::once(&self.template.instructions).chain(self.template.blocks.values()) {
            for (at, instruction) in (0..).zip(all(instructions)) {
                let (kind, name) = match instruction {
                    Instruction::ApplyFilter(name, ..) => (ErrorKind::UnknownFilter, name),
                    Instruction::PerformTest(name, ..) => (ErrorKind::UnknownTest, name),
                    _ => continue,
                };
                let mut state = ENVIRONMENT.empty_state();
                let error = match kind {
                    ErrorKind::UnknownFilter => state.apply_filter(name, &[]).err(),
                    _ => state.perform_test(name, &[]).err(),
                };
                if error.is_some_and(|error| error.kind() == kind) {
                    let span = instructions.get_span(at);
                    return Err(Unknown {
                        is_filter: kind == ErrorKind::UnknownFilter,
                        name: (*name).to_owned(),
                        line: span.map(|span| u32::from(span.start_line)),
                        offset: span.map(|span| span.start_offset as usize),
                    });
                }
            }
        }
        Ok(())
    }

    fn eval(&self, root: &Instructions<'text>, value: Value, output: &mut Output) -> Result<Option<Value>, Error> {
        let fuel = fuel_for(&self.template, &self.files);
        let limited;
        let environment = if fuel == FUEL && self.files.is_empty() {
            &*ENVIRONMENT
        } else {
            let mut environment: Environment<'_> = ENVIRONMENT.clone();
            for (name, content) in &self.files {
                environment.add_template(name, content)?;
            }
            environment.set_fuel(Some(fuel));
            limited = environment;
            &limited
        };
        run(environment, root, value, &self.template.blocks, output)
    }
}

/// Ties the lifetimes together: the environment outlives nothing here, the text everything.
fn run<'run>(
    environment: &'run Environment<'run>,
    instructions: &'run Instructions<'run>,
    root: Value,
    blocks: &'run BTreeMap<&'run str, Instructions<'run>>,
    output: &mut Output,
) -> Result<Option<Value>, Error> {
    eval(environment, instructions, root, blocks, output, AutoEscape::None).map(|(value, _)| value)
}

/// A filter or test that does not exist.
pub(super) struct Unknown {
    pub(super) is_filter: bool,
    pub(super) name: String,
    pub(super) line: Option<u32>,
    /// Byte offset in the text.
    pub(super) offset: Option<usize>,
}

fn all<'a, 'text>(instructions: &'a Instructions<'text>) -> impl Iterator<Item = &'a Instruction<'text>> {
    (0..).map_while(|at| instructions.get(at))
}

fn patch(instructions: &mut Instructions<'_>) {
    let mut at = 0;
    while let Some(instruction) = instructions.get_mut(at) {
        at += 1;
        let (name, arguments) = match instruction {
            Instruction::Add => ("__add__", Some(2)),
            Instruction::Sub => ("__sub__", Some(2)),
            Instruction::Mul => ("__mul__", Some(2)),
            Instruction::Div => ("__truediv__", Some(2)),
            Instruction::StringConcat => ("__concat__", Some(2)),
            Instruction::Eq => ("__eq__", Some(2)),
            Instruction::Ne => ("__ne__", Some(2)),
            Instruction::Gt => ("__gt__", Some(2)),
            Instruction::Gte => ("__ge__", Some(2)),
            Instruction::Lt => ("__lt__", Some(2)),
            Instruction::Lte => ("__le__", Some(2)),
            Instruction::In => ("__in__", Some(2)),
            Instruction::Slice => ("__slice__", Some(4)),
            Instruction::CallMethod("changed", arguments) => ("__changed__", *arguments),
            Instruction::BuildList(Some(count)) => match u16::try_from(*count) {
                Ok(count) => ("__list__", Some(count)),
                Err(_) => continue,
            },
            Instruction::BuildTuple(Some(count)) => match u16::try_from(*count) {
                Ok(count) => ("__tuple__", Some(count)),
                Err(_) => continue,
            },
            Instruction::BuildMap(pairs) => match u16::try_from(*pairs * 2) {
                Ok(count) => ("__dict__", Some(count)),
                Err(_) => continue,
            },
            _ => continue,
        };
        *instruction = Instruction::CallFunction(name, arguments);
    }
}

/// Values are measured as they are written, but text between tags is not: where it can repeat, the fuel is cut so that even
/// then the output stays bounded.
fn fuel_for(template: &CompiledTemplate<'_>, files: &BTreeMap<String, String>) -> u64 {
    let parts = || std::iter::once(&template.instructions).chain(template.blocks.values());
    let repeats = |instructions: &&Instructions<'_>| {
        all(instructions).any(|instruction| {
            matches!(instruction, Instruction::Iterate(_) | Instruction::BuildMacro(..) | Instruction::FastRecurse)
        })
    };
    let raw = parts().filter(repeats).flat_map(all).filter_map(|instruction| match instruction {
        Instruction::EmitRaw(text) => Some(text.len()),
        _ => None,
    });
    // A file may stand in a loop, have one, or include itself.
    let may_repeat =
        |content: &String| content.contains("for") || content.contains("macro") || content.contains("include");
    let files =
        (parts().any(|part| repeats(&part)) || files.values().any(may_repeat)).then(|| files.values().map(String::len));
    let longest = raw.chain(files.into_iter().flatten()).max().unwrap_or(0);
    let unmetered = |instruction: &Instruction<'_>| {
        matches!(instruction, Instruction::CompareAndPreserve(_) | Instruction::UnpackLists(_))
    };
    let most = if parts().flat_map(all).any(unmetered) { UNMETERED_FUEL } else { FUEL };
    // Sixteen kilobytes of text in a loop still leave it 4,000 instructions.
    ((4 * OUTPUT_LIMIT / longest.max(1)) as u64).clamp(1_000, most)
}

fn operate(name: &str, index: usize, left: Value, right: Value) -> Result<Value, Error> {
    let arithmetic = match name {
        "__add__" => Some('+'),
        "__sub__" => Some('-'),
        "__mul__" => Some('*'),
        "__truediv__" => Some('/'),
        _ => None,
    };
    if let Some(result) = arithmetic.and_then(|operator| delta::arithmetic(operator, &left, &right)) {
        return result;
    }
    check_defined(&left)?;
    check_defined(&right)?;
    match (name, left.as_str(), right.as_str()) {
        ("__concat__", ..) => {
            let (left, right) = (python::text(&left), python::text(&right));
            measure(left.len() + right.len())?;
            return Ok(Value::from(left + &right));
        }
        ("__add__", Some(left), Some(right)) => measure(left.len() + right.len())?,
        ("__mul__", ..) => {
            if let Some((repeated, times)) = repetition(&left, &right) {
                return repeat(repeated, times);
            }
        }
        ("__add__", ..) => {
            let length = left.len().unwrap_or_default().saturating_add(right.len().unwrap_or_default());
            work::check_items(length)?;
            work::spend(length as u64)?;
        }
        ("__sub__" | "__truediv__", ..) => {}
        _ => {
            work::weigh(&left)?;
            work::weigh(&right)?;
        }
    }
    plain(index, context! { a => left, b => right }).and_then(work::settled)
}

/// Evaluates one of [`PLAIN`].
fn plain(index: usize, names: Value) -> Result<Value, Error> {
    // The error must point into the text, not into "a + b".
    PLAIN[index]
        .eval(names)
        .map_err(|error| Error::new(error.kind(), error.detail().unwrap_or("the operator fails").to_owned()))
}

/// What is repeated how often, in either order.
fn repetition<'a>(left: &'a Value, right: &'a Value) -> Option<(&'a Value, usize)> {
    let repeats = |value: &Value| matches!(value.kind(), ValueKind::String | ValueKind::Seq | ValueKind::Iterable);
    // Python takes a negative number as none.
    let times = |value: &Value| value.is_integer().then(|| value.as_usize().unwrap_or(0));
    match (repeats(left), repeats(right)) {
        (true, false) => Some((left, times(right)?)),
        (false, true) => Some((right, times(left)?)),
        _ => None,
    }
}

fn repeat(value: &Value, times: usize) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        measure(text.len().saturating_mul(times))?;
        return Ok(Value::from(text.repeat(times)));
    }
    let length = value.len().unwrap_or_default().saturating_mul(times);
    work::check_items(length)?;
    work::spend(length as u64)?;
    let once: Vec<Value> = value.try_iter()?.collect();
    // Nothing, however often, is nothing.
    let times = if once.is_empty() { 0 } else { times };
    let items: Vec<Value> = std::iter::repeat_n(once, times).flatten().collect();
    Ok(if value.is_tuple() { Value::from(Tuple::from(items)) } else { Value::from(items) })
}

/// `a[b:c:d]`.
fn slice(value: Value, start: Value, stop: Value, step: Value) -> Result<Value, Error> {
    check_defined(&value)?;
    work::weigh_arguments(std::slice::from_ref(&value), false)?;
    let sliced = plain(OPERATORS.len(), context! { a => value, b => start, c => stop, d => step })?;
    work::settled(sliced)
}

/// Pays for what a new list or mapping holds.
fn held(items: &[Value]) -> Result<(), Error> {
    items.iter().try_for_each(work::weigh)
}

/// Pays for a text that is about to be made.
fn measure(length: usize) -> Result<(), Error> {
    check_length(length)?;
    work::spend_text(length)
}

pub(super) fn check_length(length: usize) -> Result<(), Error> {
    if length > OUTPUT_LIMIT {
        return Err(invalid(format!("the result is longer than {} MiB", OUTPUT_LIMIT / 1024 / 1024)));
    }
    Ok(())
}

/// Bytes written so far in this render.
struct Written(usize);

/// How a value looks in a text: as Python's `str` has it (`True`, `None`, `['a', 1]`).
fn write_value(output: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    check_defined(value)?;
    let text = python::text(value);
    let written = state.get_or_insert_extension(Written(0));
    let mut total = written.0;
    total += text.len();
    check_length(total)?;
    if let Some(written) = state.get_extension_mut::<Written>() {
        written.0 = total;
    }
    output.write_str(&text).map_err(|_| Error::from(ErrorKind::WriteFailure))
}

/// An error without a place; the engine adds it.
pub(super) fn invalid(detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, detail.into())
}

/// Fails when the value is undefined, with an error that names it.
pub(super) fn check_defined(value: &Value) -> Result<(), Error> {
    if !value.is_undefined() {
        return Ok(());
    }
    // Only minijinja can put the name into the error, and does so when an attribute is asked for.
    Err(value.get_attr("").err().unwrap_or_else(|| Error::from(ErrorKind::UndefinedError)))
}
