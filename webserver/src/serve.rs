//! Connections: how many there may be, and how long a client may take to say what it wants.

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
    serve::Listener,
};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use crate::tls;

/// What connections are allowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// At once; more wait in the socket's queue until one ends.
    pub(crate) connections: usize,
    /// From the start of a connection, or the end of an answer on it, to the last header of the next request.
    pub(crate) header_timeout: Duration,
}

/// Answers requests until `shutdown`; then takes no new connections and returns when the requests under way are answered.
/// With `secure` it speaks TLS: a handshake has its place and its task like the requests after it, so a slow one holds up nobody.
pub(crate) async fn serve(
    mut listener: impl Listener<Io = TcpStream, Addr = SocketAddr>,
    secure: Option<TlsAcceptor>,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let (places, tasks) = (Arc::new(Semaphore::new(limits.connections)), TaskTracker::new());
    while let Some((stream, peer, place)) = shutdown.run_until_cancelled(accept(&mut listener, &places)).await {
        let client = Client { peer, router: router.clone(), header_timeout: limits.header_timeout };
        let (secure, shutdown) = (secure.clone(), shutdown.clone());
        tasks.spawn(async move {
            client.connection(stream, secure, &shutdown).await;
            drop(place);
        });
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// The next connection, once there is a place for it. The listener logs what fails and tries again.
async fn accept<L: Listener>(listener: &mut L, places: &Arc<Semaphore>) -> (L::Io, L::Addr, OwnedSemaphorePermit) {
    let place = Arc::clone(places).acquire_owned().await.expect("it is never closed");
    let (io, peer) = listener.accept().await;
    (io, peer, place)
}

/// Who connected, and what answers.
struct Client {
    peer: SocketAddr,
    router: Router,
    header_timeout: Duration,
}

impl Client {
    async fn connection(self, stream: TcpStream, secure: Option<TlsAcceptor>, shutdown: &CancellationToken) {
        let Some(secure) = secure else { return self.http1(stream, shutdown).await };
        let handshake = tls::handshake(&secure, stream, self.peer);
        let Some(Some(stream)) = shutdown.run_until_cancelled(handshake).await else { return };
        if tls::is_h2(&stream) { self.http2(stream, shutdown).await } else { self.http1(stream, shutdown).await }
    }

    async fn http1(self, io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, shutdown: &CancellationToken) {
        let service = TowerToHyperService::new(self.router.map_request(move |request| told(request, self.peer)));
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(self.header_timeout);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        log(ended);
    }

    /// hyper has no header timeout for h2: who begins no request for so long is told to go when those under way are answered,
    /// and who never began one is left. Pings find who is gone without a word.
    async fn http2(self, io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, shutdown: &CancellationToken) {
        let (began, requests) = watch::channel(false);
        let service = TowerToHyperService::new(self.router.map_request(move |request| {
            began.send_replace(true);
            told(request, self.peer)
        }));
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).keep_alive_interval(self.header_timeout);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));
        tokio::select! {
            ended = connection.as_mut() => return log(ended),
            () = shutdown.cancelled() => {}
            () = silence(requests.clone(), self.header_timeout) => {}
        }
        // Before its first request a client may not have said anything, not even that it goes.
        if *requests.borrow() {
            connection.as_mut().graceful_shutdown();
            log(connection.await);
        }
    }
}

/// Who asks is told to handlers as `axum::serve` tells it.
fn told(mut request: Request<Incoming>, peer: SocketAddr) -> Request {
    request.extensions_mut().insert(ConnectInfo(peer));
    request.map(Body::new)
}

/// Until no request has begun for `long`.
async fn silence(mut requests: watch::Receiver<bool>, long: Duration) {
    while matches!(timeout(long, requests.changed()).await, Ok(Ok(()))) {}
}

fn log(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use hyper::client::conn::http2::{SendRequest, handshake};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
        net::TcpListener,
        task::JoinHandle,
    };

    use super::*;

    const KEPT: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";

    struct Server {
        address: std::net::SocketAddr,
        shutdown: CancellationToken,
        task: JoinHandle<()>,
    }

    impl Server {
        async fn start(limits: Limits) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let (address, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
            let router = Router::new().route("/", get(async || "here"));
            let task = tokio::spawn(serve(listener, None, router, limits, shutdown.clone()));
            Self { address, shutdown, task }
        }

        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).await.unwrap()
        }
    }

    async fn answer(mut stream: TcpStream) -> String {
        stream.write_all(REQUEST).await.unwrap();
        read(stream).await
    }

    /// Until the server closes it.
    async fn read(mut stream: TcpStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn a_client_that_does_not_finish_its_headers_is_left() {
        let server = Server::start(Limits { connections: 10, header_timeout: Duration::from_millis(50) }).await;
        let mut slow = server.connect().await;
        slow.write_all(b"GET / HTTP/1.1\r\nHost:").await.unwrap();
        assert!(!read(slow).await.contains("here"));
        assert!(answer(server.connect().await).await.ends_with("here"));
    }

    #[tokio::test]
    async fn a_connection_too_many_waits_for_a_place() {
        let server = Server::start(Limits { connections: 1, header_timeout: Duration::from_secs(60) }).await;
        let mut first = server.connect().await;
        first.write_all(KEPT).await.unwrap();
        let mut head = [0; 12];
        first.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200");
        let second = tokio::spawn(answer(server.connect().await));
        assert!(!second.is_finished());
        drop(first);
        assert!(second.await.unwrap().ends_with("here"));
    }

    #[tokio::test]
    async fn it_ends_when_the_last_connection_is_answered() {
        let server = Server::start(Limits { connections: 10, header_timeout: Duration::from_secs(60) }).await;
        let mut idle = server.connect().await;
        idle.write_all(KEPT).await.unwrap();
        let mut head = [0; 12];
        idle.read_exact(&mut head).await.unwrap();
        server.shutdown.cancel();
        server.task.await.unwrap();
        assert!(read(idle).await.ends_with("here"));
    }

    /// The client's end of an h2 connection to a server with this timeout, and the server's task.
    fn http2(header_timeout: Duration, shutdown: &CancellationToken) -> (DuplexStream, JoinHandle<()>) {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let (router, shutdown) = (Router::new().route("/", get(async || "here")), shutdown.clone());
        let client = Client { peer: ([127, 0, 0, 1], 1).into(), router, header_timeout };
        (ours, tokio::spawn(async move { client.http2(theirs, &shutdown).await }))
    }

    /// Its connection is open while this is.
    async fn asked(io: DuplexStream) -> SendRequest<String> {
        let (mut sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
        tokio::spawn(connection);
        let answer = sender.send_request(Request::get("http://test/").body(String::new()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        sender
    }

    #[tokio::test]
    async fn who_says_nothing_over_h2_is_left() {
        let (_silent, task) = http2(Duration::from_millis(50), &CancellationToken::new());
        task.await.unwrap();
    }

    #[tokio::test]
    async fn who_asks_nothing_more_over_h2_is_told_to_go() {
        let (io, task) = http2(Duration::from_millis(50), &CancellationToken::new());
        let _open = asked(io).await;
        task.await.unwrap();
    }

    #[tokio::test]
    async fn h2_ends_at_shutdown_whether_the_client_has_asked_or_not() {
        let shutdown = CancellationToken::new();
        let (io, idle) = http2(Duration::from_secs(60), &shutdown);
        let (_silent, unasked) = http2(Duration::from_secs(60), &shutdown);
        let _open = asked(io).await;
        shutdown.cancel();
        idle.await.unwrap();
        unasked.await.unwrap();
    }
}
