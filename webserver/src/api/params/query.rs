//! Query strings: paging, ordering, ranges and patterns as every list of Airflow's API reads them.

use axum::{extract::FromRequestParts, http::request::Parts};
use chrono::{DateTime, NaiveDate, Utc};
use secrecy::SecretString;
use serde_json::json;
use updraft_store::query::{
    filter::{Order, OrderBy, Page, Pattern, Range},
    totals::Totals,
};
use utoipa::{
    IntoParams,
    openapi::{
        KnownFormat, ObjectBuilder, RefOr, Required, Schema, SchemaFormat, Type,
        path::{Parameter, ParameterBuilder, ParameterIn},
        schema::ArrayBuilder,
    },
};

use super::{
    cursor::CursorPage,
    findings::{Place, exceeds, expected, parse_bool, parse_date, parse_float, parse_int, parse_time},
};
use crate::{
    App, Config,
    error::{ApiError, FieldError},
};

/// Sort keys of one request, at most.
const ORDER_LIMIT: usize = 10;

/// What a handler reads from its query string.
pub(crate) trait FromQuery: Sized {
    /// Asks for each parameter once. Unknown ones are ignored, as Airflow does.
    fn read(query: &mut Query) -> Self;
}

/// The extractor: `QueryParams<ListDags>`.
pub(crate) struct QueryParams<T>(pub(crate) T);

impl<T: FromQuery> FromRequestParts<App> for QueryParams<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let mut query = Query::parse(parts.uri.query().unwrap_or_default(), app);
        let read = T::read(&mut query);
        query.finish()?;
        Ok(Self(read))
    }
}

impl<T: FromQuery> IntoParams for QueryParams<T> {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut query = Query { notes: Some(Vec::new()), default_limit: Config::PAGE_LIMIT, ..Query::default() };
        T::read(&mut query);
        query.notes.unwrap_or_default()
    }
}

/// A parsed query string and what was found wrong with it so far.
#[derive(Default)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
    default_limit: i64,
    maximum_limit: i64,
    /// What lists have counted lately.
    totals: Totals,
    /// Signs cursors.
    secret: SecretString,
    errors: Vec<FieldError>,
    /// A finding that is not FastAPI's; counts only when there is none of those.
    refusal: Option<ApiError>,
    /// Set: nothing is read, parameters are noted for the OpenAPI document.
    notes: Option<Vec<Parameter>>,
}

impl Query {
    fn parse(text: &str, app: &App) -> Self {
        let pairs: Vec<(String, String)> = form_urlencoded::parse(text.as_bytes())
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        let storable =
            |(name, value): &(String, String)| Place::new("query", name, value.as_str()).storable(value).err();
        Self {
            errors: pairs.iter().filter_map(storable).collect(),
            pairs,
            default_limit: app.config.page_limit,
            maximum_limit: app.config.maximum_page_limit,
            totals: app.totals.clone(),
            secret: app.config.jwt_secret.clone(),
            ..Self::default()
        }
    }

    fn finish(self) -> Result<(), ApiError> {
        if !self.errors.is_empty() {
            return Err(ApiError::Invalid(self.errors));
        }
        self.refusal.map_or(Ok(()), Err)
    }

    /// The last value of a parameter.
    fn last(&self, name: &str) -> Option<String> {
        self.pairs.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }

    fn note(&mut self, name: &str, required: bool, schema: impl Into<RefOr<Schema>>) {
        // The first word about a parameter counts: a reader that builds on another says more than that one.
        if let Some(notes) = self.notes.as_mut().filter(|notes| notes.iter().all(|note| note.name != name)) {
            let required = if required { Required::True } else { Required::False };
            let builder = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Query).required(required);
            notes.push(builder.schema(Some(schema)).build());
        }
    }

    fn parsed<T>(&mut self, name: &str, parse: impl FnOnce(&str, Place) -> Result<T, FieldError>) -> Option<T> {
        let text = self.last(name)?;
        let place = Place::new("query", name, text.as_str());
        parse(&text, place).map_err(|error| self.errors.push(error)).ok()
    }

    /// Refuses the request unless something worse is found.
    pub(crate) fn refuse(&mut self, error: ApiError) {
        self.refusal.get_or_insert(error);
    }

    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        self.note(name, false, simple(Type::String));
        self.last(name)
    }

    /// A text that is `default` when it is not given.
    pub(crate) fn text_or(&mut self, name: &str, default: &str) -> String {
        self.note(name, false, simple(Type::String).default(Some(default.into())));
        self.last(name).unwrap_or_else(|| default.to_owned())
    }

    /// A parameter that must be there.
    pub(crate) fn required_text(&mut self, name: &str) -> String {
        self.note(name, true, simple(Type::String));
        self.last(name).unwrap_or_else(|| {
            self.missing(name);
            String::new()
        })
    }

    fn missing(&mut self, name: &str) {
        self.errors.push(Place::new("query", name, serde_json::Value::Null).error("missing", "Field required"));
    }

    /// A parameter that may be given several times.
    pub(crate) fn texts(&mut self, name: &str) -> Vec<String> {
        self.note(name, false, ArrayBuilder::new().items(simple(Type::String)));
        self.values(name)
    }

    fn values(&self, name: &str) -> Vec<String> {
        self.pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
    }

    pub(crate) fn int(&mut self, name: &str) -> Option<i64> {
        self.note(name, false, simple(Type::Integer));
        self.parsed(name, parse_int)
    }

    /// An integer of the width of a column; what does not fit is a finding.
    pub(crate) fn small_int(&mut self, name: &str) -> Option<i32> {
        self.note(name, false, simple(Type::Integer));
        self.parsed(name, |text, place| narrow(parse_int(text, place.clone())?, place))
    }

    /// The same, and not below `least`.
    pub(crate) fn small_int_from(&mut self, name: &str, least: i32) -> Option<i32> {
        self.note(name, false, at_least(least));
        self.parsed(name, |text, place| {
            let number = narrow(parse_int(text, place.clone())?, place.clone())?;
            if number < least { Err(place.too_small(least.into())) } else { Ok(number) }
        })
    }

    /// The same, with a default; `least` is `i32::MIN` where any number will do.
    pub(crate) fn small_int_or(&mut self, name: &str, least: i32, default: i32) -> i32 {
        let bounded = if least == i32::MIN { simple(Type::Integer) } else { at_least(least) };
        self.note(name, false, bounded.default(Some(default.into())));
        self.small_int_from(name, least).unwrap_or(default)
    }

    pub(crate) fn small_ints(&mut self, name: &str) -> Vec<i32> {
        self.note(name, false, ArrayBuilder::new().items(simple(Type::Integer)));
        let mut numbers = Vec::new();
        for (index, text) in self.values(name).into_iter().enumerate() {
            let mut place = Place::new("query", name, text.as_str());
            place.loc.push(index.into());
            match parse_int(&text, place.clone()).and_then(|number| narrow(number, place)) {
                Ok(number) => numbers.push(number),
                Err(error) => self.errors.push(error),
            }
        }
        numbers
    }

    pub(crate) fn flag(&mut self, name: &str) -> Option<bool> {
        self.note(name, false, simple(Type::Boolean));
        self.parsed(name, parse_bool)
    }

    /// A flag that is `default` when it is not given.
    pub(crate) fn flag_or(&mut self, name: &str, default: bool) -> bool {
        self.note(name, false, simple(Type::Boolean).default(Some(default.into())));
        self.flag(name).unwrap_or(default)
    }

    pub(crate) fn time(&mut self, name: &str) -> Option<DateTime<Utc>> {
        self.note(name, false, date_time());
        self.parsed(name, |text, place| parse_time(text, false, place))
    }

    /// A calendar day.
    pub(crate) fn date(&mut self, name: &str) -> Option<NaiveDate> {
        self.note(name, false, simple(Type::String).format(Some(SchemaFormat::KnownFormat(KnownFormat::Date))));
        self.parsed(name, parse_date)
    }

    /// Four bounds: `name_gte`, `name_gt`, `name_lte`, `name_lt`.
    pub(crate) fn times(&mut self, name: &str) -> Range<DateTime<Utc>> {
        Range {
            gte: self.time(&format!("{name}_gte")),
            gt: self.time(&format!("{name}_gt")),
            lte: self.time(&format!("{name}_lte")),
            lt: self.time(&format!("{name}_lt")),
        }
    }

    fn float(&mut self, name: &str) -> Option<f64> {
        self.note(name, false, simple(Type::Number));
        self.parsed(name, parse_float)
    }

    /// A number above 0 that must be there; 0 with a finding.
    pub(crate) fn positive(&mut self, name: &str) -> f64 {
        self.note(name, true, simple(Type::Number).exclusive_minimum(Some(0)));
        if self.last(name).is_none() {
            self.missing(name);
        }
        let number = self.parsed(name, |text, place| {
            let number = parse_float(text, place.clone())?;
            if number <= 0.0 {
                return Err(place.error_with("greater_than", "Input should be greater than 0", json!({"gt": 0})));
            }
            Ok(number)
        });
        number.unwrap_or_default()
    }

    pub(crate) fn floats(&mut self, name: &str) -> Range<f64> {
        Range {
            gte: self.float(&format!("{name}_gte")),
            gt: self.float(&format!("{name}_gt")),
            lte: self.float(&format!("{name}_lte")),
            lt: self.float(&format!("{name}_lt")),
        }
    }

    /// The pair `name_pattern` and `name_prefix_pattern`.
    pub(crate) fn pattern(&mut self, name: &str) -> Pattern {
        Pattern { pattern: self.text(&format!("{name}_pattern")), prefix: self.text(&format!("{name}_prefix_pattern")) }
    }

    /// A pattern of its own name, without a prefix twin.
    pub(crate) fn search(&mut self, name: &str) -> Pattern {
        Pattern { pattern: self.text(name), prefix: None }
    }

    /// Words of a closed list, each possibly several times; Airflow answers a wrong one with a text.
    /// `silent` words are accepted and not advertised.
    pub(crate) fn words(&mut self, name: &str, valid: &[&str], silent: &[&str]) -> Vec<String> {
        let words = self.texts(name);
        if words.iter().any(|word| !valid.contains(&word.as_str()) && !silent.contains(&word.as_str())) {
            let text = format!("Invalid value for {name}. Valid values are {}", valid.join(", "));
            self.refuse(ApiError::InvalidText(text));
        }
        words
    }

    /// A word of a closed list that Airflow declares as an enum: a wrong one is FastAPI's finding.
    pub(crate) fn choice(&mut self, name: &str, valid: &[&str]) -> Option<String> {
        self.one_of(name, valid, "enum")
    }

    /// The same for one that it declares as a `Literal`.
    pub(crate) fn literal(&mut self, name: &str, valid: &[&str]) -> Option<String> {
        self.one_of(name, valid, "literal_error")
    }

    fn one_of(&mut self, name: &str, valid: &[&str], kind: &'static str) -> Option<String> {
        self.note(name, false, simple(Type::String).enum_values(Some(valid.iter().copied())));
        self.parsed(name, |text, place| {
            if valid.contains(&text) {
                return Ok(text.to_owned());
            }
            let expected = expected(valid);
            Err(place.error_with(kind, format!("Input should be {expected}"), json!({ "expected": expected })))
        })
    }

    fn natural(&mut self, name: &str, default: i64) -> i64 {
        self.note(name, false, at_least(0).default(Some(default.into())));
        let number = self.parsed(name, |text, place| {
            let number = parse_int(text, place.clone())?;
            if number < 0 { Err(place.too_small(0)) } else { Ok(number) }
        });
        number.unwrap_or(default)
    }

    /// `limit`, `offset` and `order_by`; names that `allowed` does not list are refused with 400.
    pub(crate) fn page(&mut self, allowed: OrderBy, default: &[&str]) -> Page {
        Page { order: self.order(allowed, default), ..self.window() }
    }

    /// `limit` and `offset` of a list whose order is not the caller's.
    pub(crate) fn window(&mut self) -> Page {
        let limit = self.natural("limit", self.default_limit).min(self.maximum_limit);
        Page { limit, offset: self.natural("offset", 0), totals: self.totals.clone(), ..Page::default() }
    }

    /// The same, and `cursor`: then the page is sought, and `offset` ignored.
    pub(crate) fn cursor_page(&mut self, allowed: OrderBy, default: &[&str]) -> CursorPage {
        let page = self.page(allowed, default);
        let order = self.values("order_by").join(",");
        let token = self.text("cursor");
        CursorPage::new(page, order, token.as_deref(), &self.secret).unwrap_or_else(|error| {
            self.refuse(error);
            CursorPage::default()
        })
    }

    fn order(&mut self, allowed: OrderBy, default: &[&str]) -> Vec<Order> {
        let keys = ArrayBuilder::new().items(simple(Type::String)).default(Some(json!(default)));
        self.note("order_by", false, keys);
        let mut names = self.values("order_by");
        if names.len() > ORDER_LIMIT {
            let place = Place::new("query", "order_by", names.clone());
            let msg = format!("List should have at most {ORDER_LIMIT} items after validation, not {}", names.len());
            let ctx = json!({"field_type": "List", "max_length": ORDER_LIMIT, "actual_length": names.len()});
            self.errors.push(place.error_with("too_long", msg, ctx));
        }
        if names.is_empty() {
            names = default.iter().map(ToString::to_string).collect();
        }
        let mut order = Vec::with_capacity(names.len());
        for name in names {
            match order_of(allowed, &name) {
                Ok(one) => order.push(one),
                Err(error) => self.refuse(error),
            }
        }
        order
    }
}

/// One sort key: a name of the whitelist, `-` before it for descending.
pub(super) fn order_of(allowed: OrderBy, name: &str) -> Result<Order, ApiError> {
    let (column, descending) = name.strip_prefix('-').map_or((name, false), |column| (column, true));
    let known = allowed.iter().find(|(known, ..)| *known == column);
    known.map(|(_, expression, kind)| Order { expression, kind, descending }).ok_or_else(|| {
        let text = format!("Ordering with '{column}' is disallowed or the attribute does not exist on the model");
        ApiError::BadRequest(text)
    })
}

fn simple(kind: Type) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(kind)
}

fn at_least(least: i32) -> ObjectBuilder {
    simple(Type::Integer).minimum(Some(least))
}

fn date_time() -> ObjectBuilder {
    simple(Type::String).format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
}

fn narrow(number: i64, place: Place) -> Result<i32, FieldError> {
    i32::try_from(number).map_err(|_| exceeds(place))
}
