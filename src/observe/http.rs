//! The thread that answers: `/metrics`, `/status`, `/healthz`, `/readyz`.
//!
//! Whoever connects can cost the job one thread's time and little of that. What is bounded, and where a client ends that
//! does not keep to it:
//!
//! | | bound | then |
//! |---|---|---|
//! | connections at once | [`CONNECTIONS`] | closed unanswered |
//! | connections taken a second | one each [`BREATH`] | they wait in the system's queue |
//! | time for a request's head | [`HEAD_TIME`] | closed |
//! | size of a request's head | [`HEAD_BYTES`] | 431 |
//! | a connection's whole life | [`LIFE`] | closed |
//! | request bodies | never read | |
//!
//! A connection serves one request: a scrape a second costs a handshake more, and no connection can be held open for nothing.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Semaphore, oneshot};

use super::Observer;
use super::status::Status;
use crate::cluster::outcome::Phase;

/// Connections at once: several scrapers and people, and no more memory than a few megabytes.
const CONNECTIONS: usize = 32;

/// Between two connections taken: at most 200 a second, whose answers are a few per cent of a core.
const BREATH: Duration = Duration::from_millis(5);

/// Time for a request's head. Slower is no client of ours: heads are one packet.
const HEAD_TIME: Duration = Duration::from_secs(2);

/// Largest head of a request: the least that hyper takes, and twenty times what a scraper sends.
const HEAD_BYTES: usize = 8 << 10;

/// A connection's whole life: an answer of some 100 KB over a slow line fits.
const LIFE: Duration = Duration::from_secs(10);

/// Between two tries where the system gives no connection (no more file descriptors).
const REST: Duration = Duration::from_millis(200);

/// The content type of the Prometheus text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Why the status can't be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address is in use, not of this machine, or not allowed.
    #[error(
        "--status: {address} can't be listened at\n  expected: a free port of this machine; port 0 takes any\n  now: nothing was started"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The system gives no thread.
    #[error("--status: the thread that answers could not be started\n  now: nothing was started")]
    Thread(#[source] io::Error),
}

/// What answers. Dropping it ends the thread.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

/// Listens at `address` and answers from a thread of its own. With a token, `/metrics` and `/status` ask for it; whether the
/// process is alive and ready is told to everyone.
///
/// # Errors
/// [`ServeError`]: nothing listens then.
pub fn serve(
    observer: &Arc<Observer>,
    address: SocketAddr,
    token: Option<String>,
) -> Result<Server, ServeError> {
    let listen = |source| ServeError::Listen { address, source };
    let listener = TcpListener::bind(address).map_err(listen)?;
    listener.set_nonblocking(true).map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ServeError::Thread)?;
    let (stop, stopped) = oneshot::channel();
    let answering = Arc::new(Answering {
        observer: Arc::clone(observer),
        token,
    });
    let thread = std::thread::Builder::new()
        .name("status".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, answering) => {}
                    _ = stopped => {}
                }
            });
        })
        .map_err(ServeError::Thread)?;
    observer.set_served_at(&address.to_string());
    Ok(Server {
        address,
        stop: Some(stop),
        thread: Some(thread),
    })
}

impl Server {
    /// Where it listens: with the port that was chosen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Takes connections until it is dropped, and all that are open with it.
async fn accept(listener: TcpListener, answering: Arc<Answering>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            let error = error.to_string();
            tracing::warn!(
                action = "status-not-served",
                error,
                "the status is not served"
            );
            return;
        }
    };
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(REST).await;
            continue;
        };
        if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
            let answering = Arc::clone(&answering);
            tokio::spawn(async move {
                let answer = service_fn(move |request: Request<Incoming>| {
                    let answer = answering.answer(&request);
                    async move { Ok::<_, Infallible>(answer) }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_TIME)
                    .max_buf_size(HEAD_BYTES)
                    .keep_alive(false)
                    .serve_connection(TokioIo::new(stream), answer);
                // What a client did wrong, or that it went away, is its own affair.
                drop(tokio::time::timeout(LIFE, connection).await);
                drop(place);
            });
        } else {
            answering.observer.metrics.turned_away.inc();
        }
        tokio::time::sleep(BREATH).await;
    }
}

/// What is needed for an answer.
struct Answering {
    observer: Arc<Observer>,
    token: Option<String>,
}

impl Answering {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        let asks_for_change = matches!(path, "/stop" | "/rescale");
        let is_get = matches!(*request.method(), Method::GET | Method::HEAD);
        let answer = if is_get == asks_for_change {
            let words = "only GET, and POST of /stop and /rescale\n";
            text(StatusCode::METHOD_NOT_ALLOWED, words)
        } else if (asks_for_change || matches!(path, "/metrics" | "/status")) && !self.may(request)
        {
            let mut answer = text(
                StatusCode::UNAUTHORIZED,
                "a token is asked for: authorization: Bearer TOKEN\n",
            );
            let scheme = hyper::header::HeaderValue::from_static("Bearer");
            answer.headers_mut().insert(WWW_AUTHENTICATE, scheme);
            answer
        } else if asks_for_change && !is_meant(request) {
            let words = "another process answers here now\n";
            text(StatusCode::MISDIRECTED_REQUEST, words)
        } else {
            match path {
                "/metrics" => with_type(StatusCode::OK, METRICS_TYPE, self.observer.text()),
                "/status" => {
                    let mut status = serde_json::to_string(&Status::of(&self.observer))
                        .expect("a status is numbers, texts and lists");
                    status.push('\n');
                    with_type(StatusCode::OK, "application/json", status)
                }
                "/stop" => self.change(None),
                "/rescale" => match shape(request) {
                    Some(shape) => self.change(Some(shape)),
                    None => text(
                        StatusCode::BAD_REQUEST,
                        "expected: /rescale?processes=N&workers=T, each at least 1\n",
                    ),
                },
                "/life" => {
                    let interrupt = self.observer.interrupt.get();
                    let ends = interrupt.is_some_and(|interrupt| interrupt.is_draining());
                    let does = if ends { "ends" } else { "runs" };
                    let nonce = self.observer.nonce.get().map_or("-", String::as_str);
                    let name = &self.observer.plan.name;
                    let words = format!("{name} {nonce} {does}\n");
                    text(StatusCode::OK, &words)
                }
                "/healthz" => text(StatusCode::OK, "alive\n"),
                "/readyz" if self.observer.progress.phase() == Phase::Loading => {
                    text(StatusCode::SERVICE_UNAVAILABLE, "loading\n")
                }
                "/readyz" => text(StatusCode::OK, "ready\n"),
                _ => text(
                    StatusCode::NOT_FOUND,
                    "paths: /metrics /status /life /healthz /readyz, POST /stop /rescale\n",
                ),
            }
        };
        let path = match path {
            "/metrics" | "/status" | "/life" | "/healthz" | "/readyz" | "/stop" | "/rescale" => {
                path
            }
            _ => "other",
        };
        let code = answer.status();
        let requests = &self.observer.metrics.requests;
        requests.with_label_values(&[path, code.as_str()]).inc();
        answer
    }

    /// Asks the job to commit what it has and end, and to go on with `next` processes and workers.
    fn change(&self, next: Option<(usize, usize)>) -> Response<Full<Bytes>> {
        if next.is_some() && self.observer.process > 0 {
            return text(StatusCode::CONFLICT, "only process 0 takes this\n");
        }
        let interrupt = self.observer.interrupt.get();
        if interrupt.is_some_and(|interrupt| interrupt.drain(next)) {
            text(
                StatusCode::ACCEPTED,
                "the job commits what it has and ends\n",
            )
        } else {
            text(
                StatusCode::CONFLICT,
                "the job is bounded: it ends with its input\n",
            )
        }
    }

    /// Whether the request holds the token, where there is one.
    fn may(&self, request: &Request<Incoming>) -> bool {
        let Some(token) = &self.token else {
            return true;
        };
        let given = request
            .headers()
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map_or("", |(_, given)| given.trim());
        same(given.as_bytes(), token.as_bytes())
    }
}

/// The numbers of a query `processes=N&workers=T`.
fn shape<B>(request: &Request<B>) -> Option<(usize, usize)> {
    let number = |name| value(request, name)?.parse().ok().filter(|it| *it > 0);
    Some((number("processes")?, number("workers")?))
}

/// Whether a request is for this process: one that says `pid=N` is for that alone.
fn is_meant<B>(request: &Request<B>) -> bool {
    value(request, "pid").is_none_or(|pid| pid.parse() == Ok(std::process::id()))
}

/// A value of a request's query.
fn value<'a, B>(request: &'a Request<B>, name: &str) -> Option<&'a str> {
    let query = request.uri().query()?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// Whether two texts are the same, in a time that tells nothing of how much of them is.
fn same(given: &[u8], token: &[u8]) -> bool {
    let mut differs = u8::from(given.len() != token.len());
    for (at, byte) in token.iter().enumerate() {
        differs |= byte ^ given.get(at).copied().unwrap_or(!byte);
    }
    std::hint::black_box(differs) == 0
}

fn text(code: StatusCode, words: &str) -> Response<Full<Bytes>> {
    with_type(code, "text/plain; charset=utf-8", words.to_owned())
}

fn with_type(code: StatusCode, content_type: &str, body: String) -> Response<Full<Bytes>> {
    Response::builder()
        .status(code)
        .header(CONTENT_TYPE, content_type)
        .header(CACHE_CONTROL, "no-store")
        .body(Full::new(Bytes::from(body)))
        .expect("the header values are plain text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_for_whom_it_names() {
        let of = |path: String| Request::post(path).body(()).unwrap();
        let own = std::process::id();
        assert!(is_meant(&of("/stop".to_owned())));
        assert!(is_meant(&of(format!("/stop?pid={own}"))));
        for other in ["1", "", "x"] {
            assert!(!is_meant(&of(format!("/stop?pid={other}"))), "{other}");
        }
        let shaped = of(format!("/rescale?pid={own}&processes=3&workers=2"));
        assert_eq!(shape(&shaped), Some((3, 2)));
        assert_eq!(
            shape(&of("/rescale?processes=0&workers=2".to_owned())),
            None
        );
    }

    #[test]
    fn only_the_whole_token_is_the_token() {
        assert!(same(b"secret", b"secret"));
        for wrong in ["", "secre", "secret2", "Secret", "terces"] {
            assert!(!same(wrong.as_bytes(), b"secret"), "{wrong}");
        }
    }
}
