//! RealPass.
#![allow(dead_code)]
mod bbs;
mod blind;
mod curve;
mod error;
mod nym;
mod octets;
mod suite;
#[cfg(test)]
mod vectors_tests;
