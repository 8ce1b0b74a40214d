//! A mail server that wants encryption and a login.

use std::sync::Arc;

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use super::sinks::{GREETING, Letter, Mailbox, converse};

/// The authority that the certificate of 127.0.0.1 is from; `SSL_CERT_FILE` makes a process trust it.
pub(crate) const AUTHORITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls/ca.pem");
const CERTIFICATE: &[u8] = include_bytes!("../../../tests/data/tls/cert.pem");
const KEY: &[u8] = include_bytes!("../../../tests/data/tls/key.pem");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encryption {
    StartTls,
    FromTheFirstByte,
}

/// Takes letters only over TLS and from who says this login.
pub(crate) struct SecureSmtp {
    pub(crate) port: u16,
    mailbox: Arc<Mailbox>,
}

impl SecureSmtp {
    /// `login`: what `AUTH PLAIN` says, base64 of `\0user\0password`.
    pub(crate) async fn start(encryption: Encryption, login: &'static str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
        let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mailbox = Arc::new(Mailbox { login: Some(login), ..Mailbox::default() });
        let kept = Arc::clone(&mailbox);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, encryption, acceptor.clone(), Arc::clone(&kept)));
            }
        });
        Self { port, mailbox }
    }

    pub(crate) fn letters(&self) -> Vec<Letter> {
        self.mailbox.letters.lock().unwrap().clone()
    }

    /// How many logins were wrong.
    pub(crate) fn refused(&self) -> usize {
        *self.mailbox.refused.lock().unwrap()
    }
}

async fn serve(stream: TcpStream, encryption: Encryption, acceptor: TlsAcceptor, mailbox: Arc<Mailbox>) {
    let stream = match encryption {
        Encryption::FromTheFirstByte => stream,
        Encryption::StartTls => {
            let Some(stream) = until_starttls(stream).await else { return };
            stream
        }
    };
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    if encryption == Encryption::FromTheFirstByte && stream.write_all(GREETING).await.is_err() {
        return;
    }
    converse(stream, &mailbox).await;
}

/// The plain beginning: nothing but the wish to encrypt is heard.
async fn until_starttls(stream: TcpStream) -> Option<TcpStream> {
    let mut stream = BufReader::new(stream);
    stream.write_all(GREETING).await.ok()?;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end().get(..8).unwrap_or(line.trim_end()) {
            "STARTTLS" => {
                stream.write_all(b"220 go on\r\n").await.ok()?;
                return Some(stream.into_inner());
            }
            word if word.starts_with("EHLO") => stream.write_all(b"250-sink\r\n250 STARTTLS\r\n").await.ok()?,
            _ => stream.write_all(b"530 encrypt first\r\n").await.ok()?,
        }
    }
}
