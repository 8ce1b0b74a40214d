//! A registry of one image, as far as a pull speaks to it (Docker Registry HTTP API v2). On 127.0.0.1, where the daemon wants no
//! TLS. The image is the test image with one more layer, so that a pull has something to load.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{sync::watch, task::JoinHandle};
use uuid::Uuid;

use crate::docker::{IMAGE, docker};

pub(crate) struct Registry {
    /// `127.0.0.1:port`.
    pub(crate) host: String,
    /// The image's full name here.
    pub(crate) image: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    manifest: Vec<u8>,
    config: Vec<u8>,
    layers: Vec<Vec<u8>>,
    /// What `Authorization` has to be.
    login: Option<String>,
    asked: Mutex<Vec<String>>,
    open: watch::Sender<bool>,
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.server.abort();
        docker(&["rmi", "-f", &self.image]);
    }
}

impl Registry {
    /// `login`: name and password, when it wants them.
    pub(crate) async fn start(login: Option<(&str, &str)>) -> Self {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let (config, layers) = image();
        let blob =
            |media: &str, bytes: &[u8]| json!({"mediaType": media, "size": bytes.len(), "digest": digest(bytes)});
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": blob("application/vnd.docker.container.image.v1+json", &config),
            "layers": layers.iter().map(|layer| blob("application/vnd.docker.image.rootfs.diff.tar.gzip", layer)).collect::<Vec<_>>(),
        });
        let shared = Arc::new(Shared {
            manifest: serde_json::to_vec(&manifest).unwrap(),
            config,
            layers,
            login: login.map(|(name, password)| format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))),
            asked: Mutex::default(),
            open: watch::Sender::new(true),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { image: format!("{host}/updraft/test:{}", Uuid::new_v4().simple()), host, shared, server }
    }

    /// Keeps the layers back, or lets them go.
    pub(crate) fn hold(&self, hold: bool) {
        self.shared.open.send_replace(!hold);
    }

    /// How often the image was looked up by its name: once for each pull.
    pub(crate) fn pulls(&self) -> usize {
        let asked = self.shared.asked.lock().unwrap();
        let tag = self.image.rsplit(':').next().unwrap();
        asked.iter().filter(|asked| asked.starts_with("HEAD ") && asked.ends_with(&format!("/manifests/{tag}"))).count()
    }
}

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", updraft_core::dag::hex(&Sha256::digest(bytes)))
}

/// The configuration and the layers, compressed, of the test image with a layer more.
fn image() -> (Vec<u8>, Vec<Vec<u8>>) {
    let saved = std::process::Command::new("docker").args(["save", IMAGE]).output().unwrap().stdout;
    let file = |name: &str| -> Vec<u8> {
        let mut archive = tar::Archive::new(saved.as_slice());
        let mut entry =
            archive.entries().unwrap().map(Result::unwrap).find(|entry| entry.path().unwrap().ends_with(name)).unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        bytes
    };
    let manifest: Value = serde_json::from_slice(&file("manifest.json")).unwrap();
    let mut config: Value = serde_json::from_slice(&file(manifest[0]["Config"].as_str().unwrap())).unwrap();
    let mut layers: Vec<Vec<u8>> =
        manifest[0]["Layers"].as_array().unwrap().iter().map(|layer| file(layer.as_str().unwrap())).collect();
    let mut more = tar::Builder::new(Vec::new());
    let text = Uuid::new_v4().to_string();
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    more.append_data(&mut header, "pulled", text.as_bytes()).unwrap();
    layers.push(more.into_inner().unwrap());
    config["rootfs"]["diff_ids"] = layers.iter().map(|layer| json!(digest(layer))).collect();
    config.as_object_mut().unwrap().remove("history");
    let compressed = layers.iter().map(|layer| {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gz, layer).unwrap();
        gz.finish().unwrap()
    });
    (serde_json::to_vec(&config).unwrap(), compressed.collect())
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let login = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if let Some(wanted) = shared.login.as_deref().filter(|wanted| login != Some(*wanted)) {
        assert!(!wanted.is_empty());
        let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"test\"")];
        let body = axum::Json(json!({"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}));
        return (StatusCode::UNAUTHORIZED, challenge, body).into_response();
    }
    shared.asked.lock().unwrap().push(format!("{} {path}", request.method()));
    if path == "/v2/" {
        return axum::Json(json!({})).into_response();
    }
    if path.contains("/manifests/") {
        let headers = [
            (header::CONTENT_TYPE, MANIFEST.to_owned()),
            ("docker-content-digest".parse().unwrap(), digest(&shared.manifest)),
        ];
        return (headers, shared.manifest.clone()).into_response();
    }
    let blobs = shared.layers.iter().chain([&shared.config]);
    match blobs.into_iter().find(|blob| path.ends_with(&digest(blob))) {
        Some(blob) => {
            if *blob != shared.config {
                shared.open.subscribe().wait_for(|open| *open).await.unwrap();
            }
            blob.clone().into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
