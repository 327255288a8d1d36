//! A server that takes messages over HTTP, counts and keeps them, and answers as it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::stream::folder::LOOK;

/// How long anything may take.
const DEADLINE: Duration = Duration::from_mins(1);

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answers {
    /// With this status.
    With(u16),
    /// Not at all.
    Never,
}

/// A message that it has answered well.
#[derive(Debug, Clone)]
pub(super) struct Message {
    headers: Vec<(String, String)>,
    pub(super) text: String,
    pub(super) body: Value,
}

impl Message {
    /// A header, by its name in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

struct State {
    answers: Answers,
    tries: usize,
    messages: Vec<Message>,
}

/// The server; it ends with the process.
pub(super) struct Receiver {
    at: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Receiver {
    /// One that answers well.
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            answers: Answers::With(200),
            tries: 0,
            messages: Vec::new(),
        }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || serve(connection, &state));
            }
        });
        Self { at, state }
    }

    /// Its address.
    pub(super) fn url(&self) -> String {
        format!("http://{}/hook", self.at)
    }

    /// How it answers from now on.
    pub(super) fn answers(&self, answers: Answers) {
        self.state.lock().unwrap().answers = answers;
    }

    /// How many messages came.
    pub(super) fn tries(&self) -> usize {
        self.state.lock().unwrap().tries
    }

    /// What it has answered well.
    pub(super) fn messages(&self) -> Vec<Message> {
        self.state.lock().unwrap().messages.clone()
    }

    /// Waits until so many messages came.
    pub(super) fn await_tries(&self, least: usize) {
        let deadline = Instant::now() + DEADLINE;
        while self.tries() < least {
            assert!(Instant::now() < deadline, "{} tries", self.tries());
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until it has answered so many; gives them.
    pub(super) fn await_messages(&self, least: usize) -> Vec<Message> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let messages = self.messages();
            if messages.len() >= least {
                return messages;
            }
            assert!(Instant::now() < deadline, "{messages:?}");
            std::thread::sleep(LOOK);
        }
    }
}

/// The requests of one connection, one after another.
fn serve(connection: TcpStream, state: &Mutex<State>) {
    let mut to = connection.try_clone().unwrap();
    let mut from = BufReader::new(connection);
    loop {
        let (mut headers, mut line) = (Vec::new(), String::new());
        if from.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        loop {
            line.clear();
            if from.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(0, |(_, value)| value.parse().unwrap());
        let mut body = vec![0; length];
        if from.read_exact(&mut body).is_err() {
            return;
        }
        let text = String::from_utf8(body).unwrap();
        let body = serde_json::from_str(&text).unwrap();
        let answers = {
            let mut state = state.lock().unwrap();
            state.tries += 1;
            if state.answers == Answers::With(200) {
                let message = Message {
                    headers,
                    text,
                    body,
                };
                state.messages.push(message);
            }
            state.answers
        };
        match answers {
            Answers::With(status) => {
                let answer = format!("HTTP/1.1 {status} Told\r\ncontent-length: 0\r\n\r\n");
                if to.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
            // Whoever waits for it goes away at last.
            Answers::Never => drop(from.read(&mut [0])),
        }
    }
}
