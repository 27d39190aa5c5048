//! The HTTP plumbing that every part shares: listening, probes, limits, errors, configuration,
//! files and logs. Nothing here knows what an identity is.
//!
//! A part's `main` reads like this:
//!
//! ```no_run
//! # use realdid_serve::{Bound, Probes, ServeOptions, config, init_logging};
//! # #[derive(serde::Deserialize)] struct GateConfig { listen: std::net::SocketAddr }
//! # async fn main_of_gate() -> Result<(), Box<dyn std::error::Error>> {
//! init_logging("gate", false);
//! let config: GateConfig = config::load("gate.toml".as_ref(), "REALDID_GATE")?;
//! let bound = Bound::bind(ServeOptions::at(config.listen)).await?;
//! let router = axum::Router::new(); // may use bound.public_url()
//! let openapi = utoipa::openapi::OpenApi::default();
//! let probes = Probes::new(openapi).ready_when(|| async { Vec::new() });
//! bound.serve("gate", router, probes).await?;
//! # Ok(()) }
//! ```
//!
//! Start reading at [`Bound`] (binding and shutdown), then [`plumb`] (what wraps every router) and
//! [`Problem`] (how a refusal looks).

pub mod config;
pub mod files;
mod limit;
mod logging;
mod metrics;
mod openapi;
mod plumbing;
mod problem;
mod run;
mod tls;

pub use config::ConfigError;
pub use limit::{ForwardedBy, Network, RateConfig, RateLimit, limit_rate};
pub use logging::init_logging;
pub use plumbing::{DEFAULT_CSP, Probes, plumb};
pub use problem::{OAuthError, Problem};
pub use run::{Bound, ServeError, ServeOptions, exit_with_parent, shutdown_signal};
pub use tls::TlsFiles;
