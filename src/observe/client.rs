//! Asks a running job: one request, one answer, with limits on both time and size.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long one step of the exchange may take. An answer is made in milliseconds; a job under full load has its own thread
/// for it, but shares the cores.
const PATIENCE: Duration = Duration::from_secs(5);

/// Longest answer that is read: far above any status, so that a stranger at the address can't fill memory.
const MOST_BYTES: u64 = 16 << 20;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub code: u16,
    /// The body.
    pub body: String,
}

/// Gets `path` from `address`, with the token where there is one.
///
/// # Errors
/// Where nobody answers in time, or what answers does not speak HTTP.
pub fn get(address: SocketAddr, path: &str, token: Option<&str>) -> io::Result<Answer> {
    get_within(address, path, token, PATIENCE)
}

/// The same, with less patience.
///
/// # Errors
/// As of [`get`].
pub fn get_within(
    address: SocketAddr,
    path: &str,
    token: Option<&str>,
    patience: Duration,
) -> io::Result<Answer> {
    ask("GET", address, path, token, patience)
}

/// Posts nothing to `path` at `address`: asks for what the path says. As [`get`].
///
/// # Errors
/// As of [`get`].
pub fn post(address: SocketAddr, path: &str, token: Option<&str>) -> io::Result<Answer> {
    ask("POST", address, path, token, PATIENCE)
}

fn ask(
    method: &str,
    address: SocketAddr,
    path: &str,
    token: Option<&str>,
    patience: Duration,
) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let token = token.map_or_else(String::new, |token| {
        format!("authorization: Bearer {token}\r\n")
    });
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: 0\r\n{token}\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(MOST_BYTES).read_to_string(&mut answer)?;
    parse(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no answer in HTTP"))
}

fn parse(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let code = head
        .strip_prefix("HTTP/1.1 ")?
        .split_ascii_whitespace()
        .next()?;
    Some(Answer {
        code: code.parse().ok()?,
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_answer_is_told_from_one() {
        let answer = parse("HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno").unwrap();
        assert_eq!((answer.code, answer.body.as_str()), (401, "no"));
        for wrong in [
            "",
            "HTTP/1.1 200 OK",
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 x\r\n\r\n",
        ] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }
}
