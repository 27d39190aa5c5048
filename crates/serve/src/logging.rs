//! Logs go to standard error; `REALDID_LOG` chooses what is logged (the syntax of
//! `tracing-subscriber`'s filter, for example `info,realdid_gate=debug`), `info` by default.
//!
//! A panic's message may hold the value that broke an assertion, and a value may be personal data;
//! so the log gets the place of the panic and its message only when the message is a constant.

use std::panic;

use tracing_subscriber::EnvFilter;

/// Starts logging for this process, as lines or as JSON objects. A second call changes nothing.
pub fn init_logging(part: &str, json: bool) {
    let filter = EnvFilter::builder()
        .with_env_var("REALDID_LOG")
        .try_from_env()
        .unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false);
    let started = if json {
        lines.json().try_init()
    } else {
        lines.try_init()
    };
    if started.is_err() {
        return;
    }
    panic::set_hook(Box::new(|info| {
        let place = info
            .location()
            .map_or_else(|| "unknown place".to_owned(), ToString::to_string);
        let message = info
            .payload()
            .downcast_ref::<&'static str>()
            .copied()
            .unwrap_or("(message withheld: it may hold a value)");
        tracing::error!(place, message, "panic: an own invariant broke");
    }));
    tracing::debug!(part, version = env!("CARGO_PKG_VERSION"), "logging starts");
}
