//! A mail server that wants encryption and a login.

use std::sync::{Arc, Mutex};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use super::sinks::Letter;

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
    state: Arc<State>,
}

struct State {
    acceptor: TlsAcceptor,
    encryption: Encryption,
    /// `AUTH PLAIN` of the right user and password.
    login: &'static str,
    letters: Mutex<Vec<Letter>>,
    refused: Mutex<usize>,
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
        let state =
            Arc::new(State { acceptor, encryption, login, letters: Mutex::default(), refused: Mutex::default() });
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { port, state }
    }

    pub(crate) fn letters(&self) -> Vec<Letter> {
        self.state.letters.lock().unwrap().clone()
    }

    /// How many logins were wrong.
    pub(crate) fn refused(&self) -> usize {
        *self.state.refused.lock().unwrap()
    }
}

async fn serve(stream: TcpStream, state: Arc<State>) {
    let stream = match state.encryption {
        Encryption::FromTheFirstByte => stream,
        Encryption::StartTls => {
            let Some(stream) = until_starttls(stream).await else { return };
            stream
        }
    };
    if let Ok(stream) = state.acceptor.accept(stream).await {
        converse(stream, &state).await;
    }
}

/// The plain beginning: nothing but the wish to encrypt is heard.
async fn until_starttls(stream: TcpStream) -> Option<TcpStream> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 sink\r\n").await.ok()?;
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

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, state: &State) {
    let mut stream = BufReader::new(stream);
    let (mut letter, mut known) = (Letter::default(), false);
    if state.encryption == Encryption::FromTheFirstByte && stream.write_all(b"220 sink\r\n").await.is_err() {
        return;
    }
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        let word = line.trim_end();
        let address = || word.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        let answer: &[u8] = match word.get(..4).unwrap_or(word) {
            "EHLO" => b"250-sink\r\n250 AUTH PLAIN\r\n",
            "AUTH" => {
                known = word.strip_prefix("AUTH PLAIN ") == Some(state.login);
                if !known {
                    *state.refused.lock().unwrap() += 1;
                }
                if known { b"235 welcome\r\n" } else { b"535 wrong password\r\n" }
            }
            "QUIT" => b"221 bye\r\n",
            _ if !known => b"530 who are you?\r\n",
            "MAIL" => {
                letter = Letter { from: address(), ..Letter::default() };
                b"250 ok\r\n"
            }
            "RCPT" => {
                letter.to.push(address());
                b"250 ok\r\n"
            }
            "DATA" => {
                let _ = stream.write_all(b"354 go on\r\n").await;
                while !letter.text.ends_with("\r\n.\r\n") {
                    if stream.read_line(&mut letter.text).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                state.letters.lock().unwrap().push(letter.clone());
                b"250 taken\r\n"
            }
            _ => b"500 what?\r\n",
        };
        if stream.write_all(answer).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}
