//! Reads that many ask for at once are answered once.
//!
//! While a GET is being answered, equal ones of the same caller wait for the next answer, and that one serves all of them, as one
//! commit serves a group. It is begun when the one before it ended, so after each of them came: nobody reads anything older than
//! he would alone, nothing is kept, and replicas need not agree. A hundred browsers that look at one page cost one query at a
//! time.
//!
//! Such an answer has a weak `ETag`; a caller that has it already (`If-None-Match`) gets 304 and no body.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hasher},
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use tokio::sync::OnceCell;
use utoipa_axum::router::UtoipaMethodRouter;

use crate::{App, auth::Principal, error::ApiError};

/// Shares the answers of a GET whose bodies are made whole. Inside of `allow`: the caller is known.
pub(crate) fn shared(app: &App, (schemas, paths, methods): UtoipaMethodRouter<App>) -> UtoipaMethodRouter<App> {
    (schemas, paths, methods.route_layer(from_fn_with_state(app.clone(), share)))
}

async fn share(State(app): State<App>, request: Request, next: Next) -> Response {
    let question = Question {
        caller: request.extensions().get::<Principal>().map(|principal| principal.name.clone()),
        path: request.uri().to_string(),
    };
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let answer = app.reads.answer(question, async || Answer::read(next.run(request).await).await).await;
    answer.respond(known.as_ref())
}

/// Who asks for what; an answer may depend on either.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Question {
    caller: Option<String>,
    /// With the query string.
    path: String,
}

/// The questions that are being answered.
#[derive(Default)]
pub(crate) struct Reads(Mutex<HashMap<Question, Arc<Desk>>>);

/// Where one question is answered.
#[derive(Default)]
struct Desk {
    /// Held while an answer is made.
    turn: tokio::sync::Mutex<()>,
    /// The answer that is not begun yet, once somebody waits for it.
    next: Mutex<Option<Arc<OnceCell<Answer>>>>,
}

/// An answer that can be given several times.
#[derive(Clone, Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Reads {
    /// An answer that is begun now or later, by this caller or by another one.
    async fn answer(&self, question: Question, make: impl AsyncFnOnce() -> Answer) -> Answer {
        let visit = self.visit(question);
        let answer = Arc::clone(lock(&visit.desk.next).get_or_insert_default());
        // When the caller that makes it goes away, one of those who wait makes its own.
        let made = answer.get_or_init(async || {
            let _turn = visit.desk.turn.lock().await;
            // Who comes from now on may have written what this answer does not see.
            lock(&visit.desk.next).take_if(|next| Arc::ptr_eq(next, &answer));
            make().await
        });
        made.await.clone()
    }

    fn visit(&self, question: Question) -> Visit<'_> {
        let desk = Arc::clone(lock(&self.0).entry(question.clone()).or_default());
        Visit { reads: self, question, desk }
    }
}

/// A caller at a desk; the last one that leaves removes it.
struct Visit<'a> {
    reads: &'a Reads,
    question: Question,
    desk: Arc<Desk>,
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let mut desks = lock(&self.reads.0);
        // The map's and this one.
        if Arc::strong_count(&self.desk) == 2 {
            desks.remove(&self.question);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it holds the lock")
}

impl Answer {
    async fn read(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let (status, mut headers) = (parts.status, parts.headers);
        let body = match to_bytes(body, usize::MAX).await {
            Ok(body) => body,
            Err(error) => return Box::pin(Self::read(ApiError::internal(error).into_response())).await,
        };
        if status == StatusCode::OK {
            headers.insert(header::ETAG, tag(&body));
            // To be kept, and asked about before it is used.
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        }
        Self { status, headers, body }
    }

    /// `known`: the tags of the answers that the caller has.
    fn respond(self, known: Option<&HeaderValue>) -> Response {
        let tag = self.headers.get(header::ETAG);
        let is_known = tag.zip(known).is_some_and(|(tag, known)| {
            let tag = tag.as_bytes();
            known.as_bytes().split(|byte| *byte == b',').any(|one| one.trim_ascii() == tag)
        });
        let (status, body) = if is_known { (StatusCode::NOT_MODIFIED, Bytes::new()) } else { (self.status, self.body) };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        *response.headers_mut() = self.headers;
        if is_known {
            response.headers_mut().remove(header::CONTENT_TYPE);
            response.headers_mut().remove(header::CONTENT_LENGTH);
        }
        response
    }
}

/// Equal for equal bodies, also of other processes of the same build; of another one it costs the body once.
fn tag(body: &[u8]) -> HeaderValue {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    HeaderValue::from_str(&format!("W/\"{:016x}\"", hasher.finish())).expect("hexadecimal digits in quotes")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    fn question() -> Question {
        Question { caller: None, path: "/dags".to_owned() }
    }

    fn answer(number: usize) -> Answer {
        Answer { status: StatusCode::OK, headers: HeaderMap::new(), body: number.to_string().into() }
    }

    /// Polls a future once; it is not to be ready.
    async fn begin<T>(future: &mut (impl Future<Output = T> + Unpin)) {
        assert!(futures::poll!(future).is_pending());
    }

    #[tokio::test]
    async fn who_comes_during_an_answer_shares_the_next() {
        let (reads, made) = (Reads::default(), AtomicUsize::new(0));
        let (end, ended) = oneshot::channel::<()>();
        let mut first = Box::pin(reads.answer(question(), async || {
            ended.await.unwrap();
            answer(made.fetch_add(1, Ordering::SeqCst))
        }));
        begin(&mut first).await;
        let later = || Box::pin(reads.answer(question(), async || answer(made.fetch_add(1, Ordering::SeqCst))));
        let (mut second, mut third) = (later(), later());
        begin(&mut second).await;
        begin(&mut third).await;
        let other = Question { path: "/pools".to_owned(), ..question() };
        assert_eq!(reads.answer(other, async || answer(7)).await.body, "7", "another question does not wait");
        end.send(()).unwrap();
        let (first, second, third) = futures::join!(first, second, third);
        assert_eq!([first.body, second.body, third.body], ["0", "1", "1"]);
        assert!(lock(&reads.0).is_empty(), "nothing is kept");
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_leaves_the_answer_to_those_who_wait() {
        let reads = Reads::default();
        let (_end, ended) = oneshot::channel::<()>();
        let mut first = Box::pin(reads.answer(question(), async || {
            ended.await.unwrap();
            answer(0)
        }));
        begin(&mut first).await;
        let mut second = Box::pin(reads.answer(question(), async || answer(1)));
        begin(&mut second).await;
        drop(first);
        assert_eq!(second.await.body, "1");
        assert!(lock(&reads.0).is_empty(), "nothing is kept");
    }
}
