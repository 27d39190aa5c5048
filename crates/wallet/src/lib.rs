//! The wallet: a person's keys, credentials and record of disclosures, on the person's device.
//!
//! Start with [`vault`] (what is on disk and how it is kept), [`seed`] (where keys come from and
//! which never stay on the device) and [`change`] (making and changing DIDs).

pub mod change;
pub mod content;
pub mod files;
pub mod journal;
pub mod secret;
pub mod seed;
pub mod vault;
