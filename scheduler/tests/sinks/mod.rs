//! Where notices arrive: an SMTP server and an HTTP server, each a few lines of protocol.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// An email as the server took it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Letter {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    /// Headers and body.
    pub(crate) text: String,
}

impl Letter {
    /// The text without quoted-printable's soft line breaks and escapes.
    pub(crate) fn unfolded(&self) -> String {
        self.text.replace("=\r\n", "").replace("=3D", "=")
    }
}

/// Where letters go, and who may bring them.
#[derive(Default)]
pub(crate) struct Mailbox {
    /// What `AUTH PLAIN` must say before anything else is heard; `None`: everybody may write.
    pub(crate) login: Option<&'static str>,
    pub(crate) letters: Mutex<Vec<Letter>>,
    /// How many logins were wrong.
    pub(crate) refused: Mutex<usize>,
}

pub(crate) struct SmtpSink {
    pub(crate) port: u16,
    mailbox: Arc<Mailbox>,
}

impl SmtpSink {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mailbox: Arc<Mailbox> = Arc::default();
        let kept = Arc::clone(&mailbox);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mailbox = Arc::clone(&kept);
                tokio::spawn(async move {
                    if stream.write_all(GREETING).await.is_ok() {
                        converse(stream, &mailbox).await;
                    }
                });
            }
        });
        Self { port, mailbox }
    }

    pub(crate) fn letters(&self) -> Vec<Letter> {
        self.mailbox.letters.lock().unwrap().clone()
    }
}

pub(crate) const GREETING: &[u8] = b"220 sink\r\n";

/// What follows the greeting, until the other side has said enough.
pub(crate) async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, mailbox: &Mailbox) {
    let mut stream = BufReader::new(stream);
    let (mut letter, mut known) = (Letter::default(), mailbox.login.is_none());
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        let word = line.trim_end();
        let address = || word.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        let answer: &[u8] = match word.get(..4).unwrap_or(word) {
            "EHLO" if mailbox.login.is_some() => b"250-sink\r\n250 AUTH PLAIN\r\n",
            "EHLO" => b"250-sink\r\n250 8BITMIME\r\n",
            "AUTH" if mailbox.login.is_some() => {
                known = word.strip_prefix("AUTH PLAIN ") == mailbox.login;
                if !known {
                    *mailbox.refused.lock().unwrap() += 1;
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
                let _ = stream.flush().await;
                while !letter.text.ends_with("\r\n.\r\n") {
                    if stream.read_line(&mut letter.text).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                mailbox.letters.lock().unwrap().push(letter.clone());
                b"250 taken\r\n"
            }
            _ => b"500 what?\r\n",
        };
        if stream.write_all(answer).await.is_err() || stream.flush().await.is_err() || word == "QUIT" {
            return;
        }
    }
}

/// A request as the server took it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) path: String,
    headers: HashMap<String, String>,
    pub(crate) json: Value,
}

impl Call {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

type Answers = Arc<Mutex<HashMap<String, VecDeque<u16>>>>;

pub(crate) struct HttpSink {
    port: u16,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl HttpSink {
    /// Answers 200, and on these paths these statuses, one after the other; the last stays.
    pub(crate) async fn start(answers: &[(&str, &[u16])]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let sink = Self { port, calls: Arc::default() };
        let calls = Arc::clone(&sink.calls);
        let answers: Answers = Arc::new(Mutex::new(
            answers.iter().map(|(path, statuses)| ((*path).to_owned(), statuses.iter().copied().collect())).collect(),
        ));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&calls), Arc::clone(&answers)));
            }
        });
        sink
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }
}

/// Reads a request whole; `None` when the connection ends before it does.
pub(crate) async fn request(lines: &mut (impl AsyncBufRead + Unpin)) -> Option<Call> {
    let mut first = String::new();
    if lines.read_line(&mut first).await.unwrap_or(0) == 0 {
        return None;
    }
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).await.unwrap_or(0) == 0 {
            return None;
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    lines.read_exact(&mut body).await.ok()?;
    Some(Call { path, headers, json: serde_json::from_slice(&body).unwrap_or_default() })
}

/// One request per connection.
async fn serve(stream: TcpStream, calls: Arc<Mutex<Vec<Call>>>, answers: Answers) {
    let (read, mut write) = stream.into_split();
    let Some(call) = request(&mut BufReader::new(read)).await else { return };
    let status = match answers.lock().unwrap().get_mut(&call.path) {
        Some(statuses) if statuses.len() > 1 => statuses.pop_front().unwrap(),
        Some(statuses) => statuses[0],
        None => 200,
    };
    calls.lock().unwrap().push(call);
    let text = format!("the sink says {status}");
    let answer = format!(
        "HTTP/1.1 {status} X\r\nlocation: /elsewhere\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{text}",
        text.len()
    );
    let _ = write.write_all(answer.as_bytes()).await;
}
