//! An HTTP server that says what it is told to, word by word.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use super::sinks::{Call, request};

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

type Script = Arc<Mutex<HashMap<String, VecDeque<Answer>>>>;

pub(crate) struct Scripted {
    port: u16,
    calls: Arc<Mutex<Vec<Call>>>,
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

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }
}

/// One request per connection.
async fn serve(stream: TcpStream, calls: Arc<Mutex<Vec<Call>>>, script: Script) {
    let (read, mut write) = stream.into_split();
    let Some(call) = request(&mut BufReader::new(read)).await else { return };
    let answer = match script.lock().unwrap().get_mut(&call.path) {
        Some(answers) if answers.len() > 1 => answers.pop_front().unwrap(),
        Some(answers) => answers[0],
        None => Answer::text(404, "no such path"),
    };
    calls.lock().unwrap().push(call);
    let Answer { status, headers, body } = answer;
    let text =
        format!("HTTP/1.1 {status} X\r\n{headers}connection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let _ = write.write_all(text.as_bytes()).await;
}
