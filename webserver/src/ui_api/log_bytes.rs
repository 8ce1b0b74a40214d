//! `GET /ui/logs/{dag_id}/{dag_run_id}/{task_id}/{try_number}`: a try's log as nodes sent it, whole or a range of its bytes.
//!
//! For downloads and viewers that jump: whatever its size, a piece at a time is in memory. A log only grows, so a range that
//! was read stays true; what a node still sends is not waited for.

use std::ops::Range;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::{Stream, stream};

use crate::{
    App,
    api::{
        logs::{LogPath, Reader},
        params::{PathParams, QueryParams},
        tries::MapIndexQuery,
    },
    error::ApiError,
    logs::LogKey,
};

/// Bytes read at once.
const PIECE: usize = 256 << 10;

pub(crate) async fn get_log_bytes(
    State(app): State<App>,
    PathParams(path): PathParams<LogPath>,
    QueryParams(MapIndexQuery(map_index)): QueryParams<MapIndexQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let reader = Reader { app: &app, path: &path, map_index };
    let mut logs = Vec::new();
    let mut total = 0;
    for attempt in reader.find().await?.attempts {
        let key = reader.key(attempt.attempt_id);
        let size = app.logs.size(&key).await.map_err(ApiError::internal)?;
        logs.push((key, total..total + size));
        total += size;
    }
    let asked = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    let (status, range) = match asked.map_or(Asked::Whole, |range| Asked::parse(range, total)) {
        Asked::Whole => (StatusCode::OK, 0..total),
        Asked::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Asked::Nowhere => {
            let known = [(header::CONTENT_RANGE, format!("bytes */{total}"))];
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, known).into_response());
        }
    };
    let mut response = Body::from_stream(bytes(app, logs, range.clone())).into_response();
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    fields.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    fields.insert(header::CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    if status == StatusCode::PARTIAL_CONTENT {
        let shown = format!("bytes {}-{}/{total}", range.start, range.end - 1);
        fields.insert(header::CONTENT_RANGE, HeaderValue::try_from(shown).map_err(ApiError::internal)?);
    }
    Ok(response)
}

/// The bytes of a range of logs, one behind the other, each with its place in the whole.
fn bytes(
    app: App,
    logs: Vec<(LogKey, Range<u64>)>,
    range: Range<u64>,
) -> impl Stream<Item = Result<bytes::Bytes, std::io::Error>> {
    stream::try_unfold((app, logs, range), async |(app, logs, range)| {
        let Some((key, place)) =
            logs.iter().find(|(_, place)| place.contains(&range.start)).filter(|_| range.start < range.end)
        else {
            return Ok(None);
        };
        let left = range.end.min(place.end) - range.start;
        let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let piece = app.logs.read(key, range.start - place.start, most).await?;
        if piece.is_empty() {
            // It was deleted meanwhile; a short answer would look whole.
            return Err(std::io::Error::other("the log is gone"));
        }
        let rest = range.start + piece.len() as u64..range.end;
        Ok(Some((piece, (app, logs, rest))))
    })
}

/// What of `total` bytes is asked for (RFC 9110 §14.1.2).
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// All; also when the field is to be ignored, as one that is malformed, asks for several ranges, or is asked of an empty log:
    /// that there is nothing yet is no error.
    Whole,
    Part(Range<u64>),
    /// There are no such bytes.
    Nowhere,
}

impl Asked {
    fn parse(field: &str, total: u64) -> Self {
        match range(field, total) {
            _ if total == 0 => Self::Whole,
            None => Self::Whole,
            Some(range) if range.start < range.end => Self::Part(range),
            Some(_) => Self::Nowhere,
        }
    }
}

/// One range, which may be empty.
fn range(field: &str, total: u64) -> Option<Range<u64>> {
    let (from, to) = field.trim().strip_prefix("bytes=")?.split_once('-')?;
    match (from.trim(), to.trim()) {
        ("", last) => Some(total.saturating_sub(last.parse().ok()?)..total),
        (from, "") => Some(from.parse().ok()?..total),
        (from, to) => {
            let (from, to): (u64, u64) = (from.parse().ok()?, to.parse().ok()?);
            (from <= to).then(|| from..to.saturating_add(1).min(total))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_a_first_and_a_last_byte_or_an_end() {
        let table = [
            ("bytes=0-9", Asked::Part(0..10)),
            ("bytes=90-200", Asked::Part(90..100)),
            ("bytes=95-", Asked::Part(95..100)),
            ("bytes=-5", Asked::Part(95..100)),
            ("bytes=-500", Asked::Part(0..100)),
            ("bytes=100-", Asked::Nowhere),
            ("bytes=-0", Asked::Nowhere),
            ("bytes=5-3", Asked::Whole),
            ("bytes=0-1,5-6", Asked::Whole),
            ("lines=1-2", Asked::Whole),
            ("bytes=a-b", Asked::Whole),
        ];
        for (text, expected) in table {
            assert_eq!(Asked::parse(text, 100), expected, "{text}");
        }
    }

    #[test]
    fn every_range_of_an_empty_log_is_the_whole_of_it() {
        for text in ["bytes=0-", "bytes=0-9", "bytes=5-", "bytes=-5", "bytes=-0"] {
            assert_eq!(Asked::parse(text, 0), Asked::Whole, "{text}");
        }
    }
}
