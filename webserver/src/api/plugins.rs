//! `GET /plugins`, `/plugins/importErrors` and `/providers`: always empty, since no Python runs in the server that plugins and
//! provider packages could extend.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use super::params::{FromQuery, Query, QueryParams};

/// The window of a list that is empty.
pub(crate) struct Window;

impl FromQuery for Window {
    fn read(query: &mut Query) -> Self {
        query.window();
        Self
    }
}

/// No plugins.
#[derive(Default, Serialize, ToSchema)]
pub(crate) struct PluginCollectionResponse {
    #[schema(value_type = Vec<schema::PluginResponse>)]
    plugins: [(); 0],
    total_entries: i64,
}

/// No import errors of plugins.
#[derive(Default, Serialize, ToSchema)]
pub(crate) struct PluginImportErrorCollectionResponse {
    #[schema(value_type = Vec<schema::PluginImportErrorResponse>)]
    import_errors: [(); 0],
    total_entries: i64,
}

/// No provider packages.
#[derive(Default, Serialize, ToSchema)]
pub(crate) struct ProviderCollectionResponse {
    #[schema(value_type = Vec<schema::ProviderResponse>)]
    providers: [(); 0],
    total_entries: i64,
}

/// List plugins.
#[utoipa::path(get, path = "/plugins", tag = "Plugin", params(QueryParams<Window>),
    responses((status = 200, body = PluginCollectionResponse,
        extensions(("x-without-feature" = json!("plugins"))))))]
pub(crate) async fn get_plugins(QueryParams(Window): QueryParams<Window>) -> Json<PluginCollectionResponse> {
    Json(PluginCollectionResponse::default())
}

/// List what kept plugins from being loaded.
#[utoipa::path(get, path = "/plugins/importErrors", tag = "Plugin",
    responses((status = 200, body = PluginImportErrorCollectionResponse,
        extensions(("x-without-feature" = json!("plugins"))))))]
pub(crate) async fn import_errors() -> Json<PluginImportErrorCollectionResponse> {
    Json(PluginImportErrorCollectionResponse::default())
}

/// List provider packages.
#[utoipa::path(get, path = "/providers", tag = "Provider", params(QueryParams<Window>),
    responses((status = 200, body = ProviderCollectionResponse,
        extensions(("x-without-feature" = json!("provider packages"))))))]
pub(crate) async fn get_providers(QueryParams(Window): QueryParams<Window>) -> Json<ProviderCollectionResponse> {
    Json(ProviderCollectionResponse::default())
}

/// What the elements of these lists would be, for the OpenAPI document alone.
#[expect(dead_code, reason = "the lists are empty; their clients know the shapes")]
mod schema {
    use utoipa::ToSchema;

    use crate::api::words;

    #[derive(ToSchema)]
    pub(super) struct PluginResponse {
        name: String,
        macros: Vec<String>,
        flask_blueprints: Vec<String>,
        fastapi_apps: Vec<FastAPIAppResponse>,
        fastapi_root_middlewares: Vec<FastAPIRootMiddlewareResponse>,
        external_views: Vec<ExternalViewResponse>,
        react_apps: Vec<ReactAppResponse>,
        appbuilder_views: Vec<AppBuilderViewResponse>,
        appbuilder_menu_items: Vec<AppBuilderMenuItemResponse>,
        global_operator_extra_links: Vec<String>,
        operator_extra_links: Vec<String>,
        source: String,
        listeners: Vec<String>,
        timetables: Vec<String>,
    }

    #[derive(ToSchema)]
    pub(super) struct PluginImportErrorResponse {
        source: String,
        error: String,
    }

    #[derive(ToSchema)]
    pub(super) struct ProviderResponse {
        package_name: String,
        description: String,
        version: String,
        documentation_url: Option<String>,
    }

    #[derive(ToSchema)]
    struct FastAPIAppResponse {
        app: String,
        url_prefix: String,
        name: String,
    }

    #[derive(ToSchema)]
    struct FastAPIRootMiddlewareResponse {
        middleware: String,
        name: String,
    }

    #[derive(ToSchema)]
    struct ExternalViewResponse {
        name: String,
        icon: Option<String>,
        icon_dark_mode: Option<String>,
        url_route: Option<String>,
        category: Option<String>,
        nav_top_level: Option<bool>,
        href: String,
        #[schema(value_type = words::ExternalViewDestination, required = false)]
        destination: String,
    }

    #[derive(ToSchema)]
    struct ReactAppResponse {
        name: String,
        icon: Option<String>,
        icon_dark_mode: Option<String>,
        url_route: Option<String>,
        category: Option<String>,
        nav_top_level: Option<bool>,
        bundle_url: String,
        #[schema(value_type = words::ReactAppDestination, required = false)]
        destination: String,
    }

    #[derive(ToSchema)]
    struct AppBuilderViewResponse {
        name: Option<String>,
        category: Option<String>,
        view: Option<String>,
        label: Option<String>,
    }

    #[derive(ToSchema)]
    struct AppBuilderMenuItemResponse {
        name: String,
        href: String,
        category: Option<String>,
    }
}
