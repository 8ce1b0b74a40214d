//! The listener with a certificate.

use std::{net::SocketAddr, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;
use updraft_webserver::{ServeError, Tls};

use crate::support::TestServer;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/tls");

fn tls() -> Tls {
    Tls { certificate: format!("{FOLDER}/cert.pem").into(), key: format!("{FOLDER}/key.pem").into() }
}

async fn connect(address: SocketAddr, protocol: &[u8]) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(format!("{FOLDER}/ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    TlsConnector::from(Arc::new(config)).connect(address.ip().into(), stream).await.unwrap()
}

#[tokio::test]
async fn a_certificate_makes_it_https_with_http_1_1_and_h2() {
    let server = TestServer::empty().await;
    let mut config = server.app.config.clone();
    config.tls = Some(tls());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let beside = plain.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let serving = updraft_webserver::serve(listener, Some(plain), server.store.clone(), config, shutdown.clone());
    let serving = tokio::spawn(serving);

    // Who says nothing holds up nobody.
    let silent = TcpStream::connect(address).await.unwrap();
    let ask = b"GET /api/v2/version HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let mut answer = String::new();
    let mut stream = connect(address, b"http/1.1").await;
    stream.write_all(ask).await.unwrap();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("3.3.2"), "{answer}");

    let mut stream = connect(address, b"h2").await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    // The preface and empty settings, answered by settings (frame type 4).
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut frame = [0; 9];
    stream.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame[3], 4, "{frame:?}");
    drop(stream);

    // The private listener beside it stays plain.
    let mut stream = TcpStream::connect(beside).await.unwrap();
    stream.write_all(ask).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");

    shutdown.cancel();
    serving.await.unwrap().unwrap();
    drop(silent);
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_refuses_the_start() {
    let server = TestServer::empty().await;
    let mut config = server.app.config.clone();
    config.tls = Some(Tls { key: format!("{FOLDER}/ca.pem").into(), ..tls() });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let shutdown = CancellationToken::new();
    let error = updraft_webserver::serve(listener, None, server.store.clone(), config, shutdown).await.unwrap_err();
    assert!(matches!(error, ServeError::Tls(_)), "{error}");
    assert!(error.to_string().contains("ca.pem holds no private key"), "{error}");
}
