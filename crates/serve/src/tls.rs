//! HTTPS without a proxy in front: TLS 1.2 and 1.3 by rustls, with a certificate from files.
//!
//! Handshakes run beside each other and beside accepting, bounded in number and time, so that a
//! peer that never finishes one holds up nobody.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::ServeError;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The most handshakes at a time; further connections wait in the kernel.
const MAX_HANDSHAKES: usize = 256;
/// The pause after the kernel refused a connection: most often, it is out of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// A certificate chain and its private key, both PEM. Read once, at the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl TlsFiles {
    /// Relative paths as seen from `folder`.
    pub fn within(&mut self, folder: &Path) {
        self.cert = folder.join(&self.cert);
        self.key = folder.join(&self.key);
    }

    /// The chain, DER, as it stands in the file.
    pub fn chain(&self) -> Result<Vec<Vec<u8>>, ServeError> {
        let chain = self.certificates()?;
        Ok(chain.iter().map(|one| one.as_ref().to_vec()).collect())
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, ServeError> {
        CertificateDer::pem_file_iter(&self.cert)
            .and_then(Iterator::collect)
            .ok()
            .filter(|chain: &Vec<_>| !chain.is_empty())
            .ok_or_else(|| ServeError::TlsFile {
                path: self.cert.clone(),
            })
    }

    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, ServeError> {
        let unreadable = |path: &Path| ServeError::TlsFile {
            path: path.to_owned(),
        };
        let chain = self.certificates()?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|_| unreadable(&self.key))?;
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|_| ServeError::TlsPair {
                cert: self.cert.clone(),
            })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// Connections whose handshake is done.
pub(crate) struct TlsListener {
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
}

impl TlsListener {
    pub fn new(listener: TcpListener, acceptor: TlsAcceptor) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (sender, ready) = mpsc::channel(MAX_HANDSHAKES);
        tokio::spawn(accept(listener, acceptor, sender));
        Ok(Self { ready, address })
    }
}

/// Accepts until nobody takes connections any more.
async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    sender: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    let places = Arc::new(Semaphore::new(MAX_HANDSHAKES));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = sender.closed() => return,
        };
        let Ok((stream, peer)) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let (acceptor, sender) = (acceptor.clone(), sender.clone());
        tokio::spawn(async move {
            let _place = place;
            match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                // Nobody takes it any more: the server is stopping.
                Ok(Ok(stream)) => _ = sender.send((stream, peer)).await,
                _ => tracing::debug!("a TLS handshake failed"),
            }
        });
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // The accepting task ends only with this listener.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}
