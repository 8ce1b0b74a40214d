//! `GET /config`, whole or one option: the configuration of the webserver's process, secrets masked.

use axum::{
    Json,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::params::{FromQuery, PathParams, Query, QueryParams};
use crate::{App, accept::Format, config::Setting, error::ApiError};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct OptionPath {
    section: String,
    option: String,
}

pub(crate) struct ConfigQuery {
    section: Option<String>,
}

impl FromQuery for ConfigQuery {
    fn read(query: &mut Query) -> Self {
        Self { section: query.text("section") }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Config)]
pub(crate) struct ConfigResponse {
    sections: Vec<ConfigSection>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ConfigSection {
    name: String,
    options: Vec<ConfigOption>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ConfigOption {
    key: String,
    /// `***` for a secret.
    value: String,
}

impl ConfigResponse {
    /// The settings by section, in their order.
    fn new<'a>(settings: impl Iterator<Item = &'a Setting>) -> Self {
        let mut sections: Vec<ConfigSection> = Vec::new();
        for Setting { section, option, value, .. } in settings {
            let option = ConfigOption { key: option.clone(), value: value.clone() };
            match sections.last_mut() {
                Some(last) if last.name == *section => last.options.push(option),
                _ => sections.push(ConfigSection { name: section.clone(), options: vec![option] }),
            }
        }
        Self { sections }
    }

    /// As Airflow writes it for people (`Config.text_format`).
    fn text(&self) -> String {
        let section = |ConfigSection { name, options }: &ConfigSection| {
            let options = options.iter().map(|ConfigOption { key, value }| format!("{key} = {value}\n"));
            std::iter::once(format!("[{name}]\n")).chain(options).collect::<Vec<_>>().concat()
        };
        self.sections.iter().map(section).collect::<Vec<_>>().join("\n")
    }

    fn answer(self, format: Format) -> Response {
        match format {
            Format::Json => Json(self).into_response(),
            Format::Text => self.text().into_response(),
        }
    }
}

/// The configuration, or one section of it.
#[utoipa::path(get, path = "/config", tag = "Config", params(QueryParams<ConfigQuery>),
    responses((status = 200, content((ConfigResponse = "application/json"), (String = "text/plain"))), (status = 404), (status = 406)))]
pub(crate) async fn get_config(
    State(app): State<App>,
    QueryParams(query): QueryParams<ConfigQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let format = Format::of(&headers)?;
    let settings = exposed(&app)?.iter();
    let found = match &query.section {
        None => ConfigResponse::new(settings),
        Some(section) => ConfigResponse::new(settings.filter(|setting| setting.section == *section)),
    };
    match query.section {
        Some(section) if found.sections.is_empty() => Err(ApiError::not_found(format!("Section {section} not found."))),
        _ => Ok(found.answer(format)),
    }
}

/// One option of the configuration.
#[utoipa::path(get, path = "/config/section/{section}/option/{option}", tag = "Config", params(OptionPath),
    responses((status = 200, content((ConfigResponse = "application/json"), (String = "text/plain"))), (status = 404), (status = 406)))]
pub(crate) async fn get_config_value(
    State(app): State<App>,
    PathParams(OptionPath { section, option }): PathParams<OptionPath>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let format = Format::of(&headers)?;
    let setting = exposed(&app)?.iter().find(|setting| setting.section == section && setting.option == option);
    let setting = setting.ok_or_else(|| ApiError::not_found(format!("Option [{section}/{option}] not found.")))?;
    Ok(ConfigResponse::new(std::iter::once(setting)).answer(format))
}

/// What is shown, if anything is.
pub(crate) fn exposed(app: &App) -> Result<&[Setting], ApiError> {
    app.config.exposed.as_deref().ok_or_else(|| {
        ApiError::Forbidden(
            "Your Airflow administrator chose not to expose the configuration, most likely for security reasons."
                .into(),
        )
    })
}
