//! Waiting on the loopback interface for what a browser on this machine brings back (RFC 8252 §7.3).
//!
//! Whatever else on this machine connects is sent away: what counts must know a secret that only the
//! server has seen, in the path or in what it brings.

use crate::error::CliError;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The longest head of a request that is read, in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// How long one connection may take to send it.
const HEAD_WAIT: Duration = Duration::from_secs(5);

/// A place where a browser is waited for.
pub struct Loopback {
    listener: TcpListener,
    path: String,
    uri: String,
}

/// What a request was for whoever waits.
pub enum Brought<T> {
    /// What was waited for.
    Wanted(T),
    /// A refusal: the wait is over too.
    Refused(T),
    /// Something else: sent away.
    Nothing,
}

impl Loopback {
    /// Listens at `path` on a free port.
    pub async fn open(path: String) -> Result<Self, CliError> {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.map_err(|_| no_loopback())?;
        let port = listener.local_addr().map_err(|_| no_loopback())?.port();
        Ok(Self {
            uri: format!("http://127.0.0.1:{port}{path}"),
            listener,
            path,
        })
    }

    /// Where the browser is to come back to.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Waits for a request for our path whose query `read` takes for the end of the wait.
    pub async fn wait<T>(&self, read: impl Fn(&str) -> Brought<T>) -> Result<T, CliError> {
        loop {
            let Ok((mut stream, _)) = self.listener.accept().await else {
                return Err(no_loopback());
            };
            let head = tokio::time::timeout(HEAD_WAIT, head_of(&mut stream)).await;
            let query = head.ok().flatten();
            let query = query.as_deref().and_then(|head| query_of(head, &self.path));
            let brought = query.map_or(Brought::Nothing, &read);
            let (status, text) = match &brought {
                Brought::Wanted(_) => ("200 OK", "Done. Go back to your wallet."),
                Brought::Refused(_) => ("200 OK", "It was refused. Your wallet says why."),
                Brought::Nothing => ("404 Not Found", "Nothing is here."),
            };
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\
                 cache-control: no-store\r\nreferrer-policy: no-referrer\r\n\
                 connection: close\r\n\r\n{text}",
                text.len()
            );
            // Whether the browser shows it or not, what it brought is here.
            let _shown = stream.write_all(answer.as_bytes()).await;
            match brought {
                Brought::Wanted(brought) | Brought::Refused(brought) => return Ok(brought),
                Brought::Nothing => {}
            }
        }
    }
}

/// The head of a request, up to its empty line.
async fn head_of(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut part = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let len = stream.read(&mut part).await.ok()?;
        if len == 0 || head.len() + len > MAX_HEAD_BYTES {
            return None;
        }
        head.extend_from_slice(&part[..len]);
    }
    String::from_utf8(head).ok()
}

/// The query of a GET for `path`.
fn query_of<'a>(head: &'a str, path: &str) -> Option<&'a str> {
    let target = head.strip_prefix("GET ")?.split(' ').next()?;
    let (at, query) = target.split_once('?')?;
    (at == path).then_some(query)
}

fn no_loopback() -> CliError {
    CliError::new(
        "wallet.loopback",
        "a wallet can wait on the loopback interface",
        "this device",
        "let the wallet listen on 127.0.0.1",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_get_of_our_path_has_a_query() {
        let head = |line: &str| format!("{line} HTTP/1.1\r\nhost: a\r\n\r\n");
        let query = |line: &str| query_of(&head(line), "/cb").map(str::to_owned);
        assert_eq!(query("GET /cb?a=b&c"), Some("a=b&c".to_owned()));
        for nothing in [
            "GET /",
            "GET /cb",
            "GET /other?a=b",
            "GET /cb/?a=b",
            "POST /cb?a=b",
        ] {
            assert_eq!(query(nothing), None, "{nothing}");
        }
    }

    #[tokio::test]
    async fn a_browser_that_comes_back_ends_the_wait_and_others_do_not() {
        let at = Loopback::open("/secret".to_owned()).await.unwrap();
        let uri = at.uri().to_owned();
        let port = at.listener.local_addr().unwrap().port();
        let waits = tokio::spawn(async move {
            let read = |query: &str| match query {
                "wanted" => Brought::Wanted(1),
                "no" => Brought::Refused(2),
                _ => Brought::Nothing,
            };
            (at.wait(read).await, at.wait(read).await)
        });
        let get = async |url: String| reqwest::get(url).await.unwrap().status().as_u16();
        // a connection that says nothing holds nobody up for good, nor does one that never ends
        drop(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
        assert_eq!(
            get(format!("http://127.0.0.1:{port}/favicon.ico")).await,
            404
        );
        assert_eq!(
            get(format!("http://127.0.0.1:{port}/other?wanted")).await,
            404
        );
        assert_eq!(get(format!("{uri}?other")).await, 404);
        let mut endless = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let _closed = endless.write_all(&[b'a'; MAX_HEAD_BYTES + 1]).await;
        assert_eq!(get(format!("{uri}?wanted")).await, 200);
        assert_eq!(get(format!("{uri}?no")).await, 200);
        let (first, second) = waits.await.unwrap();
        assert_eq!((first.ok(), second.ok()), (Some(1), Some(2)));
    }
}
