//! An HTTP server that says what it is told to, word by word.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// An answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Each with its line break.
    pub(crate) headers: &'static str,
    pub(crate) body: &'static str,
}

impl Answer {
    pub(crate) const fn text(status: u16, body: &'static str) -> Self {
        Self { status, headers: "", body }
    }
}

/// A request as the server took it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    headers: HashMap<String, String>,
    pub(crate) json: Value,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

type Script = Arc<Mutex<HashMap<String, VecDeque<Answer>>>>;

pub(crate) struct Scripted {
    port: u16,
    calls: Arc<Mutex<Vec<Asked>>>,
}

impl Scripted {
    /// On each path these answers, one after the other; the last stays. Elsewhere 404.
    pub(crate) async fn start(script: &[(&str, &[Answer])]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sink = Self { port: listener.local_addr().unwrap().port(), calls: Arc::default() };
        let calls = Arc::clone(&sink.calls);
        let answers = script.iter().map(|(path, answers)| ((*path).to_owned(), answers.iter().copied().collect()));
        let script: Script = Arc::new(Mutex::new(answers.collect()));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&calls), Arc::clone(&script)));
            }
        });
        sink
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn calls(&self) -> Vec<Asked> {
        self.calls.lock().unwrap().clone()
    }
}

/// One request per connection.
async fn serve(stream: TcpStream, calls: Arc<Mutex<Vec<Asked>>>, script: Script) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read);
    let mut first = String::new();
    if lines.read_line(&mut first).await.unwrap_or(0) == 0 {
        return;
    }
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    if lines.read_exact(&mut body).await.is_err() {
        return;
    }
    let answer = match script.lock().unwrap().get_mut(&path) {
        Some(answers) if answers.len() > 1 => answers.pop_front().unwrap(),
        Some(answers) => answers[0],
        None => Answer::text(404, "no such path"),
    };
    calls.lock().unwrap().push(Asked { path, headers, json: serde_json::from_slice(&body).unwrap_or_default() });
    let Answer { status, headers, body } = answer;
    let text =
        format!("HTTP/1.1 {status} X\r\n{headers}connection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let _ = write.write_all(text.as_bytes()).await;
}
