//! `GET /ui/events`: what changes, as server-sent events (HTML standard §9.2).
//!
//! A reader first reads what it shows, then keeps it true by what it is told. `reset` says that this will not do: the id it came
//! back with is unknown (another webserver's, too old, of before a restart), or it was too slow, or too much happened at once.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use futures::{StreamExt, stream};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::{
    App,
    api::params::{FromQuery, Query, QueryParams},
    auth::{Credentials, Principal},
    error::ApiError,
    events::{Filter, Reader, Told},
    permission::{Action, Kind, Resource, authorize},
};

/// A proxy must not think the connection dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Whoever's login ended meanwhile is shown out within a minute: each look costs a query.
const BEATS_PER_CHECK: u32 = 4;
/// How long a browser waits before it comes back, milliseconds: not all in the same moment after a restart.
const RETRY_MS: std::ops::Range<u32> = 1_000..5_000;
/// What events are about.
const KINDS: [Kind; 5] = [Kind::Dag, Kind::DagRun, Kind::TaskInstance, Kind::Executor, Kind::ImportError];

pub(crate) struct EventsQuery {
    dag_ids: Vec<String>,
    last_event_id: Option<String>,
}

impl FromQuery for EventsQuery {
    fn read(query: &mut Query) -> Self {
        Self { dag_ids: query.texts("dag_id"), last_event_id: query.text("last_event_id") }
    }
}

/// Follow what changes: `dag`, `dag_run`, `task_instance`, `task_instances`, `executor`, `import_error` and `reset` events.
///
/// `dag_id` (several times: several DAGs) leaves out all that is not about them. Goes on behind `Last-Event-ID` (or
/// `last_event_id`, where a client cannot send the header).
#[utoipa::path(get, path = "/ui/events", tag = "Updraft", params(QueryParams<EventsQuery>),
    responses((status = 200, body = String, content_type = "text/event-stream")))]
pub(crate) async fn get_events(
    State(app): State<App>,
    principal: Principal,
    credentials: Credentials,
    QueryParams(query): QueryParams<EventsQuery>,
    headers: HeaderMap,
) -> Response {
    let header = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let position = header.or(query.last_event_id.as_deref()).and_then(|id| id.parse().ok());
    let may_read = |kind: &Kind| authorize(&principal, Action::Read, Resource { kind: *kind, dag_id: None }).is_ok();
    let kinds: Vec<Kind> = KINDS.into_iter().filter(may_read).collect();
    let filter = Filter { dag_ids: query.dag_ids, kinds: (kinds.len() < KINDS.len()).then_some(kinds) };
    let mut alive = interval_at(Instant::now() + KEEP_ALIVE, KEEP_ALIVE);
    alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let following =
        Following { reader: app.events.subscribe(position, filter), app, principal, credentials, alive, beats: 0 };
    let retry = Bytes::from(format!("retry: {}\n\n", rand::random_range(RETRY_MS)));
    let pieces = stream::unfold(following, async |mut following| Some((following.next().await?, following)));
    let body = Body::from_stream(stream::iter([retry]).chain(pieces).map(Ok::<_, Infallible>));
    let headers = [
        (header::CONTENT_TYPE.as_str(), "text/event-stream"),
        (header::CACHE_CONTROL.as_str(), "no-store"),
        // nginx holds answers back otherwise.
        ("x-accel-buffering", "no"),
    ];
    (headers, body).into_response()
}

/// An open stream.
struct Following {
    reader: Reader,
    app: App,
    principal: Principal,
    credentials: Credentials,
    alive: Interval,
    beats: u32,
}

impl Following {
    /// Whether the caller still is who it was: not logged out, not expired, not of another role, which may be told other things.
    async fn is_welcome(&self) -> bool {
        match self.app.auth.verify(&self.app.store, &self.credentials).await {
            Ok(principal) => principal == self.principal,
            // The database is away: the next time.
            Err(error) => matches!(error, ApiError::Unavailable(_)),
        }
    }

    /// What is sent next. `None`: the webserver stops, or the caller may no longer read.
    async fn next(&mut self) -> Option<Bytes> {
        tokio::select! {
            told = self.reader.next() => Some(match told? {
                Told::Events(events) => events,
                Told::Reset(position) => format!("event: reset\ndata: {{}}\nid: {position}\n\n").into(),
            }),
            _ = self.alive.tick() => {
                self.beats += 1;
                if self.beats.is_multiple_of(BEATS_PER_CHECK) && !self.is_welcome().await {
                    return None;
                }
                // The id alone is no event. Of what was left out for this reader it need not hear when it comes back.
                let id = self.reader.position().map_or_else(String::new, |position| format!("id: {position}\n"));
                Some(format!(": still here\n{id}\n").into())
            }
        }
    }
}
