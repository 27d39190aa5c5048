//! Tests against real processes: a whole nation is started by `realdid up`, driven by the command
//! line and over HTTP as an outside program would, stopped and killed.
//!
//! One binary for all of them. Each test has a nation of its own, in a temporary folder and on
//! ports of its own, and ends it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests, their helpers included: a panic is how they fail"
)]

mod apart;
mod api;
mod border;
mod ceremony;
mod committee;
mod compromise;
mod contract;
mod crash;
mod credo;
mod displays;
mod faults;
mod foreigners;
mod journey;
mod life;
mod nation;
mod networks;
mod privacy;
mod realpass;
mod receiving;
mod refusals;
mod residency;
mod sites;
mod status;
mod suites;
mod terms;
mod wire;
