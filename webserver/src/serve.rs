//! Connections: how many there may be, and how long a client may take to say what it wants.

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
    serve::Listener,
};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

/// What connections are allowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// At once; more wait in the socket's queue until one ends.
    pub(crate) connections: usize,
    /// From the start of a connection, or the end of an answer on it, to the last header of the next request.
    pub(crate) header_timeout: Duration,
}

/// Answers requests until `shutdown`; then takes no new connections and returns when the requests under way are answered.
pub(crate) async fn serve(
    mut listener: impl Listener<Addr = SocketAddr>,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let (places, tasks) = (Arc::new(Semaphore::new(limits.connections)), TaskTracker::new());
    while let Some((io, peer, place)) = shutdown.run_until_cancelled(accept(&mut listener, &places)).await {
        tasks.spawn(connection(TokioIo::new(io), peer, router.clone(), limits.header_timeout, place, shutdown.clone()));
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

async fn connection<I>(
    io: TokioIo<I>,
    peer: SocketAddr,
    router: Router,
    header_timeout: Duration,
    _place: OwnedSemaphorePermit,
    shutdown: CancellationToken,
) where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    // Who asks is told to handlers as `axum::serve` tells it.
    let told = move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.map(Body::new)
    };
    let service = TowerToHyperService::new(router.map_request(told));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(header_timeout);
    let mut connection = pin!(builder.serve_connection(io, service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    const KEPT: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";

    struct Server {
        address: std::net::SocketAddr,
        shutdown: CancellationToken,
        task: tokio::task::JoinHandle<()>,
    }

    impl Server {
        async fn start(limits: Limits) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let (address, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
            let router = Router::new().route("/", get(async || "here"));
            let task = tokio::spawn(serve(listener, router, limits, shutdown.clone()));
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
}
