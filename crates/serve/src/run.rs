//! Binding, serving and stopping.
//!
//! Bind first, then build the router, then serve: only a bound socket knows its port when `:0` was
//! asked for, and a part needs its own address to name itself in what it signs.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt as _;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::limit::RateConfig;
use crate::plumbing::{Probes, plumb};
use crate::tls::{TlsFiles, TlsListener};

/// How long open connections may take to finish after a stop was asked for.
const DRAIN: Duration = Duration::from_secs(3);

/// Where and how a part is served.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Loopback unless the operator says otherwise; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How others reach this part, without a trailing slash. `None`: `http://` and the bound address.
    pub public_url: Option<String>,
    /// Exit at once when standard input ends, because the parent that held it is gone.
    pub supervised: bool,
    /// HTTPS with this certificate; plain HTTP without.
    pub tls: Option<TlsFiles>,
    pub body_limit_bytes: usize,
    pub request_timeout: Duration,
    /// What each source may ask of the whole part; without it there is no limit.
    pub rate: Option<RateConfig>,
}

impl ServeOptions {
    /// The defaults: bodies up to 256 kB, 30 s for a request, any number of them.
    pub fn at(listen: SocketAddr) -> Self {
        Self {
            listen,
            public_url: None,
            supervised: false,
            tls: None,
            body_limit_bytes: 256 * 1024,
            request_timeout: Duration::from_secs(30),
            rate: None,
        }
    }
}

/// Why a part could not be served. Displays as the command line's one-line error.
#[derive(Debug, Error)]
pub enum ServeError {
    #[error(
        "{}: nothing else may listen on {listen}; fault: this machine's operator; \
         do: stop the program on port {} or choose another with --listen or --port-base",
        self.code(), listen.port()
    )]
    PortInUse { listen: SocketAddr },
    #[error(
        "{}: this user must be allowed to listen on {listen}; fault: this machine's operator; \
         do: choose a port above 1023",
        self.code()
    )]
    PortForbidden { listen: SocketAddr },
    #[error(
        "{}: {listen} must be an address of this machine ({kind}); fault: this machine's operator; \
         do: correct --listen",
        self.code()
    )]
    Unbindable {
        listen: SocketAddr,
        kind: io::ErrorKind,
    },
    #[error(
        "{}: the listening socket must stay usable ({kind}); fault: this machine; do: start again",
        self.code()
    )]
    Broken { kind: io::ErrorKind },
    #[error(
        "{}: {} must be a readable PEM file of a certificate chain or its key; fault: operator; \
         do: correct --tls-cert and --tls-key",
        self.code(), path.display()
    )]
    TlsFile { path: PathBuf },
    #[error(
        "{}: the key must be that of the first certificate in {}; fault: operator; \
         do: give the chain and the key that belong together",
        self.code(), cert.display()
    )]
    TlsPair { cert: PathBuf },
}

impl ServeError {
    /// Stable, dotted code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::PortInUse { .. } => "port.in_use",
            Self::PortForbidden { .. } => "port.forbidden",
            Self::Unbindable { .. } => "port.unbindable",
            Self::Broken { .. } => "port.broken",
            Self::TlsFile { .. } => "tls.file",
            Self::TlsPair { .. } => "tls.pair",
        }
    }

    fn binding(listen: SocketAddr, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::PortInUse { listen },
            io::ErrorKind::PermissionDenied => Self::PortForbidden { listen },
            kind => Self::Unbindable { listen, kind },
        }
    }
}

/// A socket that listens but does not answer yet.
pub struct Bound {
    acceptor: Option<tokio_rustls::TlsAcceptor>,
    listener: TcpListener,
    address: SocketAddr,
    options: ServeOptions,
}

/// Without the certificate's key.
impl std::fmt::Debug for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bound({})", self.address)
    }
}

impl Bound {
    pub async fn bind(options: ServeOptions) -> Result<Self, ServeError> {
        let listen = options.listen;
        let acceptor = options.tls.as_ref().map(TlsFiles::acceptor).transpose()?;
        let refuse = |error| ServeError::binding(listen, &error);
        let listener = TcpListener::bind(listen).await.map_err(refuse)?;
        let address = listener.local_addr().map_err(refuse)?;
        Ok(Self {
            acceptor,
            listener,
            address,
            options,
        })
    }

    /// The address with its real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The configured public URL without a trailing slash, or the scheme and the bound address.
    pub fn public_url(&self) -> String {
        match &self.options.public_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None if self.acceptor.is_some() => format!("https://{}", self.address),
            None => format!("http://{}", self.address),
        }
    }

    /// Serves until SIGTERM or Ctrl-C, then lets open requests finish for a few seconds.
    pub async fn serve(
        self,
        part: &'static str,
        router: Router,
        probes: Probes,
    ) -> Result<(), ServeError> {
        self.serve_until(part, router, probes, shutdown_signal())
            .await
    }

    /// As [`Bound::serve`], with the caller's own signal to stop.
    pub async fn serve_until(
        self,
        part: &'static str,
        router: Router,
        probes: Probes,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServeError> {
        if self.options.supervised {
            exit_with_parent();
        }
        let service = plumb(part, router, probes, &self.options)
            .into_make_service_with_connect_info::<SocketAddr>();
        let (stopping, stopped) = oneshot::channel();
        let stop = async move {
            stop.await;
            // The receiver is gone only when serving has already ended.
            let _ = stopping.send(());
        };
        tracing::info!(part, address = %self.address, tls = self.acceptor.is_some(), "listening");
        if let Some(rate) = &self.options.rate
            && rate.trusted_proxies.is_empty()
            && self.address.ip().is_loopback()
            && self.acceptor.is_none()
            && self
                .options
                .public_url
                .as_ref()
                .is_some_and(|url| url.starts_with("https:"))
        {
            tracing::warn!(
                part,
                "the proxy in front is not in trusted_proxies: sources cannot be told apart, and none is limited"
            );
        }
        let broken = |error: io::Error| ServeError::Broken { kind: error.kind() };
        let served = async move {
            match self.acceptor {
                None => {
                    axum::serve(self.listener, service)
                        .with_graceful_shutdown(stop)
                        .await
                }
                Some(acceptor) => {
                    // `tap_io` is what lets a listener of ours tell the peer's address.
                    let listener = TlsListener::new(self.listener, acceptor)?.tap_io(|_| {});
                    axum::serve(listener, service)
                        .with_graceful_shutdown(stop)
                        .await
                }
            }
        };
        tokio::select! {
            done = served => done.map_err(broken)?,
            () = drained(stopped) => tracing::warn!(part, "connections cut that did not finish"),
        }
        tracing::info!(part, "stopped");
        Ok(())
    }
}

/// Ends [`DRAIN`] after the stop was asked for; never, if serving ended without one.
async fn drained(stopped: oneshot::Receiver<()>) {
    if stopped.await.is_err() {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(DRAIN).await;
}

/// Ends at SIGTERM or Ctrl-C.
pub async fn shutdown_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut stream) => {
                stream.recv().await;
            }
            // Without a handler the signal's default action ends the process: just as good.
            Err(_) => std::future::pending().await,
        }
    };
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = terminate => {}
        () = interrupt => {}
    }
}

/// Exits the process at once when standard input reaches its end. A supervisor that keeps the other
/// end of the pipe open, even one that is killed with SIGKILL, so never leaves orphans behind.
///
/// Exiting without ceremony is safe: whatever was acknowledged is already on disk (P10).
pub fn exit_with_parent() {
    std::thread::spawn(|| {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        std::process::exit(0);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn loopback() -> ServeOptions {
        ServeOptions::at(([127, 0, 0, 1], 0).into())
    }

    fn probes() -> Probes {
        Probes::new(utoipa::openapi::OpenApi::default())
    }

    async fn request(address: SocketAddr, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_real_port_is_known_before_serving() {
        let bound = Bound::bind(loopback()).await.unwrap();
        let address = bound.address();
        assert_ne!(address.port(), 0);
        assert_eq!(bound.public_url(), format!("http://{address}"));
        let (stop, stopped) = oneshot::channel::<()>();
        let router = Router::new().route("/", get(|| async { "hello" }));
        let serving = tokio::spawn(bound.serve_until("test", router, probes(), async {
            let _ = stopped.await;
        }));
        assert!(request(address, "/").await.ends_with("hello"));
        assert!(
            request(address, "/healthz")
                .await
                .starts_with("HTTP/1.1 200")
        );
        stop.send(()).unwrap();
        serving.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_port_in_use_is_refused_with_its_number_and_the_fix() {
        let first = Bound::bind(loopback()).await.unwrap();
        let error = Bound::bind(ServeOptions::at(first.address()))
            .await
            .unwrap_err();
        assert_eq!(error.code(), "port.in_use");
        let line = error.to_string();
        assert!(line.contains(&first.address().port().to_string()), "{line}");
        assert!(line.contains("--listen"), "{line}");
        assert_eq!(line.lines().count(), 1);
    }

    #[tokio::test]
    async fn an_idle_connection_does_not_hold_up_a_stop() {
        let bound = Bound::bind(loopback()).await.unwrap();
        let address = bound.address();
        let (stop, stopped) = oneshot::channel::<()>();
        let router = Router::new().route(
            "/slow",
            get(|| async { tokio::time::sleep(Duration::from_secs(25)).await }),
        );
        let serving = tokio::spawn(bound.serve_until("test", router, probes(), async {
            let _ = stopped.await;
        }));
        let slow = tokio::spawn(async move { request(address, "/slow").await });
        tokio::time::sleep(Duration::from_millis(100)).await;
        stop.send(()).unwrap();
        tokio::time::timeout(DRAIN + Duration::from_secs(5), serving)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        slow.abort();
    }

    /// A certificate for localhost, in two files.
    fn certificate(folder: &std::path::Path, name: &str) -> (TlsFiles, String) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let files = TlsFiles {
            cert: folder.join(format!("{name}.pem")),
            key: folder.join(format!("{name}.key")),
        };
        std::fs::write(&files.cert, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        (files, made.cert.pem())
    }

    #[tokio::test]
    async fn https_by_a_certificate_from_files() {
        let folder = tempfile::tempdir().unwrap();
        let (files, pem) = certificate(folder.path(), "a");
        let mut options = loopback();
        options.tls = Some(files);
        let bound = Bound::bind(options).await.unwrap();
        assert!(bound.public_url().starts_with("https://"));
        let url = format!("https://localhost:{}/", bound.address().port());
        let (stop, stopped) = oneshot::channel::<()>();
        let peer = |axum::extract::ConnectInfo(peer): axum::extract::ConnectInfo<SocketAddr>| async move {
            peer.ip().to_string()
        };
        let router = Router::new().route("/", get(peer));
        let address = bound.address();
        let serving = tokio::spawn(bound.serve_until("test", router, probes(), async {
            let _ = stopped.await;
        }));
        // whoever never finishes a handshake holds up nobody
        let silent = tokio::net::TcpStream::connect(address).await.unwrap();
        let client = |trusted: bool| {
            let builder = reqwest::Client::builder();
            let root = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
            match trusted {
                true => builder.tls_certs_only([root]),
                false => builder,
            }
            .build()
            .unwrap()
        };
        let answer = client(true).get(&url).send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "127.0.0.1");
        assert!(client(false).get(&url).send().await.is_err());
        drop(silent);
        stop.send(()).unwrap();
        serving.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_certificate_that_cannot_be_served_is_refused_before_anything_listens() {
        let folder = tempfile::tempdir().unwrap();
        let (a, _) = certificate(folder.path(), "a");
        let (b, _) = certificate(folder.path(), "b");
        let code = |cert: &std::path::Path, key: &std::path::Path| {
            let files = TlsFiles {
                cert: cert.to_owned(),
                key: key.to_owned(),
            };
            files.acceptor().err().map(|error| error.code())
        };
        assert_eq!(code(&a.cert, &a.key), None);
        assert_eq!(code(&a.cert, &b.key), Some("tls.pair"));
        assert_eq!(code(&a.key, &a.key), Some("tls.file"));
        assert_eq!(code(&a.cert, &a.cert), Some("tls.file"));
        assert_eq!(code(&folder.path().join("none"), &a.key), Some("tls.file"));
    }

    #[tokio::test]
    async fn a_configured_public_url_wins() {
        let mut options = loopback();
        options.public_url = Some("https://gate.example/".to_owned());
        let bound = Bound::bind(options).await.unwrap();
        assert_eq!(bound.public_url(), "https://gate.example");
    }

    /// This test starts itself again as the child.
    #[test]
    fn a_supervised_part_ends_with_its_parent() {
        const CHILD: &str = "REALDID_SERVE_TEST_CHILD";
        if std::env::var_os(CHILD).is_some() {
            exit_with_parent();
            std::thread::sleep(Duration::from_secs(60));
            panic!("outlived the parent");
        }
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "run::tests::a_supervised_part_ends_with_its_parent",
            ])
            .env(CHILD, "1")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(300));
        assert!(
            child.try_wait().unwrap().is_none(),
            "must live while the pipe is open"
        );
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
    }
}
