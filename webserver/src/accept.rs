//! Content negotiation: which of the media types that a handler makes the caller wants (RFC 9110, section 12.5.1).

use axum::http::{HeaderMap, header};

use crate::error::ApiError;

/// What those operations answer with that have a body for programs and one for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    /// `text/plain`.
    Text,
}

impl Format {
    /// JSON unless the caller likes text better.
    ///
    /// # Errors
    /// [`ApiError::NotAcceptable`] when it takes neither.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        negotiate(headers, &[("application/json", Self::Json), ("text/plain", Self::Text)])
            .ok_or(ApiError::NotAcceptable("Only application/json or text/plain is supported"))
    }
}

/// The offer that `Accept` likes best; of those it likes equally, the first. No header takes the first; `None`: it takes none.
pub(crate) fn negotiate<T: Copy>(headers: &HeaderMap, offers: &[(&str, T)]) -> Option<T> {
    let texts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges: Vec<Range<'_>> = texts.flat_map(|text| text.split(',')).filter_map(Range::parse).collect();
    if ranges.is_empty() {
        return offers.first().map(|(_, offer)| *offer);
    }
    // The most specific range that names a type decides about it.
    let quality = |media: &str| {
        let decisive = ranges.iter().filter(|range| range.takes(media)).max_by_key(|range| range.specificity());
        decisive.map_or(0, |range| range.quality)
    };
    let mut best = None;
    for (media, offer) in offers {
        let quality = quality(media);
        if quality > best.map_or(0, |(quality, _)| quality) {
            best = Some((quality, *offer));
        }
    }
    best.map(|(_, offer)| offer)
}

/// One element of an `Accept` header.
struct Range<'a> {
    /// `type/subtype`, either of them possibly `*`.
    media: &'a str,
    /// Thousandths; 0 refuses.
    quality: u16,
}

impl<'a> Range<'a> {
    /// `None`: no media range at all. Parameters other than `q` are not looked at.
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().filter(|media| media.contains('/'))?;
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let quality = quality.and_then(|text| text.parse().ok()).unwrap_or(1.0_f32).clamp(0.0, 1.0);
        Some(Self { media, quality: (quality * 1000.0).round() as u16 })
    }

    fn takes(&self, media: &str) -> bool {
        match self.media.split_once('/') {
            Some(("*", "*")) => true,
            Some((kind, "*")) => media.split('/').next().is_some_and(|other| other.eq_ignore_ascii_case(kind)),
            _ => self.media.eq_ignore_ascii_case(media),
        }
    }

    fn specificity(&self) -> u8 {
        match self.media.split_once('/') {
            Some(("*", _)) => 0,
            Some((_, "*")) => 1,
            _ => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const OFFERS: &[(&str, char)] = &[("application/json", 'j'), ("application/x-ndjson", 'n'), ("text/plain", 't')];

    #[test]
    fn the_best_liked_offer_wins_and_a_refused_one_never() {
        let table = [
            (None, Some('j')),
            (Some(""), Some('j')),
            (Some("*/*"), Some('j')),
            (Some("text/plain"), Some('t')),
            (Some("TEXT/*"), Some('t')),
            (Some("text/plain, application/json"), Some('j')),
            (Some("text/plain, */*;q=0.1"), Some('t')),
            (Some("application/json;q=0.2, application/x-ndjson;q=0.9"), Some('n')),
            (Some("application/json;q=0, */*"), Some('n')),
            (Some("application/*;q=0.5;version=1, text/plain;q=0.4"), Some('j')),
            (Some("text/html"), None),
            (Some("application/json;q=0"), None),
        ];
        for (accept, expected) in table {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            }
            assert_eq!(negotiate(&headers, OFFERS), expected, "{accept:?}");
        }
    }

    #[test]
    fn headers_that_are_repeated_count_as_one() {
        let mut headers = HeaderMap::new();
        headers.append(header::ACCEPT, HeaderValue::from_static("application/json;q=0.5"));
        headers.append(header::ACCEPT, HeaderValue::from_static("text/plain"));
        assert_eq!(negotiate(&headers, OFFERS), Some('t'));
    }
}
