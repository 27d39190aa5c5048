//! The wallet: a person's keys, credentials and record of disclosures, on the person's device.
//!
//! Start with [`vault`] (what is on disk and how it is kept), [`seed`] (where keys come from and
//! which never stay on the device) and [`change`] (making and changing DIDs); these and
//! [`content`] and [`journal`] wait for nothing. [`enrol`], [`issue`], [`present`], [`login`] and
//! [`dids`] are the person's errands: each holds what it hears against the ledger, through
//! [`ledger`], before it stores or shows anything; [`abroad`] is for services of other networks.
//! [`strangers`] are verifiers who are not registered, and [`authorities`] those that vouch for them. [`authorize`] and `grant` are how an issuer lets the wallet in. [`realpass`] is what is taken from an authority
//! and shown to services without telling who it is, [`schedule`] and [`keep`] when it is fetched,
//! [`anchor`] a DID on one's own account, [`batches`] where a copy stands in what its issuer committed to, [`mandate`] what one gets who acts for an organisation, [`watch`] what happens under one's tag. [`cli`] is the command line.

pub mod abroad;
pub mod anchor;
pub mod authorities;
pub mod authorize;
pub mod batches;
pub mod change;
pub mod cli;
pub mod content;
pub mod dids;
pub mod displays;
pub mod enrol;
pub mod error;
pub mod files;
mod grant;
pub mod http;
pub mod issue;
pub mod journal;
pub mod keep;
pub mod ledger;
pub mod login;
pub mod loopback;
pub mod mandate;
pub mod present;
pub mod provider;
pub mod random;
pub mod realpass;
pub mod renew;
pub mod schedule;
pub mod secret;
pub mod seed;
pub mod show;
pub mod strangers;
#[cfg(test)]
mod test_world;
pub mod unlink;
pub mod upstream;
pub mod vault;
pub mod wallet;
pub mod watch;
