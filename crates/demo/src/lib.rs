//! A demo service: an ordinary website that lets people sign in with OpenID Connect.
//!
//! It is what a service's developer would write in an afternoon. It knows an issuer's address, a
//! client id and a secret, and nothing of RealDID: signing in is `realdid_sign_in`, a stock OpenID
//! Connect relying party, and everything the site learns about a person is the ID token's `sub` and
//! the claims that it asked for. [`pages`] has what a visitor sees. One of the services is a platform
//! ([`stage`]): it tells its gate how many followers its accounts have, by the calls of docs/displays.md.

mod config;
mod pages;
mod stage;

pub use config::{DemoConfig, Theme};
pub use pages::router;

use std::io;
use std::net::SocketAddr;

use thiserror::Error;
use tokio::net::TcpListener;

/// Why a demo service could not run.
#[derive(Debug, Error)]
pub enum DemoError {
    #[error(transparent)]
    SignIn(#[from] realdid_sign_in::SignInError),
    #[error(
        "port.in_use: nothing else may listen on {listen}; fault: this machine's operator; \
         do: stop the program on port {} or choose another", listen.port()
    )]
    PortInUse { listen: SocketAddr },
    #[error("demo.data: {} must hold the profiles as this service wrote them; fault: operator; do: restore or remove it", path.display())]
    Data { path: std::path::PathBuf },
    #[error(
        "demo.listen: {listen} must be an address that this user may listen on ({kind}); \
         fault: this machine's operator; do: correct it"
    )]
    Unbindable {
        listen: SocketAddr,
        kind: io::ErrorKind,
    },
}

/// Serves the demo service on `config.listen` until Ctrl-C or SIGTERM.
pub async fn run(config: DemoConfig) -> Result<(), DemoError> {
    let listen = config.listen;
    let router = router(config)?;
    let refuse = |error: io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => DemoError::PortInUse { listen },
        kind => DemoError::Unbindable { listen, kind },
    };
    let listener = TcpListener::bind(listen).await.map_err(refuse)?;
    axum::serve(listener, router)
        .with_graceful_shutdown(stop_signal())
        .await
        .map_err(refuse)
}

async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut stream) => {
                stream.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminate => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

#[cfg(test)]
mod tests;
