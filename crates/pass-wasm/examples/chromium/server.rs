//! A server on loopback for one page: a handful of files, and one place to hand the result in.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Largest result that is taken.
const MOST_BYTES: usize = 16 << 20;

type File = (&'static str, &'static str, Vec<u8>);

pub struct Server {
    listener: TcpListener,
    files: Vec<File>,
}

impl Server {
    /// On a port that the system chooses.
    pub fn new(files: Vec<File>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { listener, files }
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.listener.local_addr().unwrap())
    }

    /// Serves until something is posted to `/done`, the time is over or the browser has ended.
    pub fn wait_for_done(
        &self,
        patience: Duration,
        mut browser_runs: impl FnMut() -> bool,
    ) -> Option<Vec<u8>> {
        let until = Instant::now() + patience;
        while Instant::now() < until && browser_runs() {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    if let Ok(Some(done)) = self.answer(stream) {
                        return Some(done);
                    }
                }
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        None
    }

    fn answer(&self, stream: TcpStream) -> std::io::Result<Option<Vec<u8>>> {
        stream.set_nonblocking(false)?;
        // A browser opens connections that it may need: they must not hold up the others.
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        let mut reader = BufReader::new(stream).take(MOST_BYTES as u64);
        let mut first = String::new();
        reader.read_line(&mut first)?;
        let mut length = 0;
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
                break;
            }
            let (name, value) = header.split_once(':').unwrap_or_default();
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut words = first.split(' ');
        let (method, path) = (words.next(), words.next().unwrap_or_default());
        let mut done = None;
        if (method, path) == (Some("POST"), "/done") {
            let mut body = vec![0; std::cmp::min(length, MOST_BYTES)];
            reader.read_exact(&mut body)?;
            done = Some(body);
        }
        let file = self.files.iter().find(|(name, _, _)| *name == path);
        let (status, kind, body) = match (file, &done) {
            (Some((_, kind, body)), _) => ("200 OK", *kind, body.as_slice()),
            (None, Some(_)) => ("204 No Content", "text/plain", &[][..]),
            (None, None) => ("404 Not Found", "text/plain", &[][..]),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
             Content-Security-Policy: default-src 'self'; script-src 'self' 'wasm-unsafe-eval'\r\n\
             Cache-Control: no-store\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let mut stream = reader.into_inner().into_inner();
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        Ok(done)
    }
}
