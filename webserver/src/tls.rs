//! TLS on the listener: rustls, HTTP/1.1 and h2, and certificates that are renewed while the webserver runs.

use std::{
    fmt, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
    time::Duration,
};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

/// Who connects and says nothing is let go after this long.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How often the files are looked at.
const RELOAD: Duration = Duration::from_secs(30);
/// HTTP/2 as ALPN calls it.
const H2: &[u8] = b"h2";

/// Where certificate and key are, PEM: the certificate first, then those between it and an authority.
#[derive(Clone, Debug)]
pub struct Tls {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Why certificate or key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the file {path} cannot be read: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("the file {path} holds no {what} in PEM: {reason}")]
    NoPem { path: PathBuf, what: &'static str, reason: String },
    #[error(
        "the key {key} is not the one of the certificate {certificate}, or is of a kind that is not supported: {reason}"
    )]
    NoPair { certificate: PathBuf, key: PathBuf, reason: rustls::Error },
}

/// What makes TLS of a connection. It looks for new certificates until `shutdown`.
///
/// # Errors
/// [`TlsError`] when the files cannot be used now; later that is a warning, and the certificate that was read last goes on.
pub(crate) fn acceptor(tls: &Tls, shutdown: CancellationToken) -> Result<TlsAcceptor, TlsError> {
    let certificates = Arc::new(Certificates::open(tls)?);
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the suites of TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_cert_resolver(certificates.clone());
    config.alpn_protocols = vec![H2.to_vec(), b"http/1.1".to_vec()];
    tokio::spawn(async move {
        while shutdown.run_until_cancelled(tokio::time::sleep(RELOAD)).await.is_some() {
            certificates.renew();
        }
    });
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// A client's connection after its handshake; nothing when that fails or takes too long.
pub(crate) async fn handshake(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    peer: SocketAddr,
) -> Option<TlsStream<TcpStream>> {
    match timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err(error)) => tracing::debug!(%error, %peer, "a TLS handshake failed"),
        Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
    }
    None
}

/// Whether the two agreed on h2.
pub(crate) fn is_h2(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(H2)
}

/// The certificate of this moment.
struct Certificates {
    tls: Tls,
    now: RwLock<Loaded>,
}

struct Loaded {
    /// As last read, whether it could be used or not.
    text: Pem,
    used: Arc<CertifiedKey>,
}

#[derive(PartialEq, Eq)]
struct Pem {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tls.fmt(f)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.now.read().expect("nothing panics under this lock").used.clone())
    }
}

impl Certificates {
    fn open(tls: &Tls) -> Result<Self, TlsError> {
        let text = Pem::read(tls)?;
        let used = Arc::new(text.parse(tls)?);
        Ok(Self { tls: tls.clone(), now: RwLock::new(Loaded { text, used }) })
    }

    /// Takes what the files hold now, if that is new and fits together. The text is compared, not the time: links and mounted
    /// secrets change without one.
    fn renew(&self) {
        let text = match Pem::read(&self.tls) {
            Ok(text) => text,
            Err(error) => return tracing::warn!(%error, "the certificate cannot be looked at; the last one goes on"),
        };
        if self.now.read().expect("nothing panics under this lock").text == text {
            return;
        }
        let parsed = text.parse(&self.tls);
        let mut now = self.now.write().expect("nothing panics under this lock");
        now.text = text;
        match parsed {
            Ok(used) => {
                now.used = Arc::new(used);
                tracing::info!(file = %self.tls.certificate.display(), "a new certificate is used");
            }
            Err(error) => tracing::warn!(%error, "the new certificate cannot be used; the last one goes on"),
        }
    }
}

impl Pem {
    fn read(tls: &Tls) -> Result<Self, TlsError> {
        let read = |path: &Path| fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source });
        Ok(Self { certificate: read(&tls.certificate)?, key: read(&tls.key)? })
    }

    fn parse(&self, tls: &Tls) -> Result<CertifiedKey, TlsError> {
        let no_pem = |path: &Path, what, reason: pem::Error| {
            let (path, reason) = (path.to_owned(), reason.to_string());
            TlsError::NoPem { path, what, reason }
        };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.certificate).collect();
        let chain = chain.and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) });
        let chain = chain.map_err(|error| no_pem(&tls.certificate, "certificate", error))?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| no_pem(&tls.key, "private key", error))?;
        CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|reason| {
            let (certificate, key) = (tls.certificate.clone(), tls.key.clone());
            TlsError::NoPair { certificate, key, reason }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: &[u8] = include_bytes!("../../tests/data/tls/cert.pem");
    const AUTHORITY: &[u8] = include_bytes!("../../tests/data/tls/ca.pem");
    const KEY: &[u8] = include_bytes!("../../tests/data/tls/key.pem");

    fn files(certificate: &[u8], key: &[u8]) -> (tempfile::TempDir, Tls) {
        let folder = tempfile::tempdir().unwrap();
        let tls = Tls { certificate: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
        fs::write(&tls.certificate, certificate).unwrap();
        fs::write(&tls.key, key).unwrap();
        (folder, tls)
    }

    #[test]
    fn files_that_cannot_be_used_are_named_with_what_is_wrong() {
        let message = |certificate: &[u8], key: &[u8]| {
            let (folder, tls) = files(certificate, key);
            let error = Certificates::open(&tls).unwrap_err().to_string();
            error.replace(&format!("{}/", folder.path().display()), "")
        };
        assert!(message(b"nothing", KEY).starts_with("the file cert.pem holds no certificate in PEM"));
        assert!(message(CERTIFICATE, b"nothing").starts_with("the file key.pem holds no private key in PEM"));
        assert!(message(AUTHORITY, KEY).starts_with("the key key.pem is not the one of the certificate cert.pem"));
        let (_folder, tls) = files(CERTIFICATE, KEY);
        let absent = Tls { key: "/nowhere/key.pem".into(), ..tls };
        assert!(
            Certificates::open(&absent)
                .unwrap_err()
                .to_string()
                .starts_with("the file /nowhere/key.pem cannot be read")
        );
    }

    #[test]
    fn a_new_certificate_is_taken_when_it_fits_its_key() {
        let (_folder, tls) = files(CERTIFICATE, KEY);
        let certificates = Certificates::open(&tls).unwrap();
        let chain = || certificates.now.read().unwrap().used.cert.len();
        assert_eq!(chain(), 1);
        fs::write(&tls.certificate, AUTHORITY).unwrap();
        certificates.renew();
        assert_eq!(chain(), 1, "half of a new pair is not used");
        fs::write(&tls.certificate, [CERTIFICATE, AUTHORITY].concat()).unwrap();
        certificates.renew();
        assert_eq!(chain(), 2);
        fs::remove_file(&tls.key).unwrap();
        certificates.renew();
        assert_eq!(chain(), 2);
    }
}
