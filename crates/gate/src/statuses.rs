//! The status of PIDs that live long (spec/status.md, U5 to U9): whole lists, each held against the digest that
//! its issuer has put on the ledger, and kept for the lifetime that it says.
//!
//! A list is fetched from below the URL of an issuer that governance has admitted, and from nowhere else:
//! whoever shows a credential cannot send the gate anywhere. Who is looked at nobody learns, since a list
//! is fetched whole and by no more than its lifetime.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use realdid_core::hash::Hash32;
use realdid_core::state::{Issuer, KeyStatus, KeyUse, status_list_key};
use realdid_credential::sd_jwt::{self, IssuerKey};
use realdid_credential::status::token::{self, Evidence, VerifiedList};
use realdid_credential::status::{Reference, StatusError};
use realdid_exchange::suites;
use realdid_exchange::vp::VpError;
use sha2::{Digest as _, Sha256};

use crate::follower::Follower;
use crate::refusal::Refusal;
use crate::view::View;
use crate::{GateError, now_ms};

/// The longest list that is inflated, in bytes: sixteen million entries.
const MAX_LIST_BYTES: usize = 4 << 20;
/// The longest token that is read, in bytes.
const MAX_TOKEN_BYTES: usize = 8 << 20;
/// The most lists that are kept.
const MAX_LISTS: usize = 64;
/// How long a wallet waits while a list is fetched.
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);
/// How far clocks may be apart, in seconds.
const CLOCK_SKEW_S: u64 = 10;
/// How often a list is fetched until it is the one on the ledger: a new version may come in between.
const TRIES: usize = 3;
const BETWEEN_TRIES: Duration = Duration::from_millis(300);

/// Lists by their addresses.
pub(crate) struct Statuses {
    http: reqwest::Client,
    kept: Mutex<BTreeMap<String, Arc<VerifiedList>>>,
    /// Of logins that need a list at once, one fetches it.
    fetching: tokio::sync::Mutex<()>,
}

impl Statuses {
    pub fn new() -> Result<Self, GateError> {
        let http = reqwest::Client::builder()
            .timeout(FETCH_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|_| GateError::Randomness)?;
        Ok(Self {
            http,
            kept: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        })
    }

    /// The list in which the status of a presented PID stands; none where it names none.
    pub async fn list_of(
        &self,
        (view, follower): (&View, &Follower),
        pid: &str,
        issuer: &Issuer,
    ) -> Result<Option<Arc<VerifiedList>>, Refusal> {
        // An mdoc has no tilde, and no status that is read here.
        if !pid.contains('~') {
            return Ok(None);
        }
        let claimed = sd_jwt::claimed_status(pid).map_err(VpError::from)?;
        let Some(Reference { uri, .. }) = claimed else {
            return Ok(None);
        };
        let below = uri.strip_prefix(issuer.url.as_str());
        if !below.is_some_and(|path| path.starts_with("/status/") && !path.contains("..")) {
            return Err(Refusal::STATUS_ADDRESS);
        }
        if let Some(list) = self.kept(&uri) {
            return Ok(Some(list));
        }
        let _turn = self.fetching.lock().await;
        if let Some(list) = self.kept(&uri) {
            return Ok(Some(list));
        }
        let mut list = Err(Refusal::STATUS_UNAVAILABLE);
        for _ in 0..TRIES {
            list = self.fetch((view, follower), &uri, issuer).await;
            match &list {
                Err(refusal) if refusal.code == StatusError::Digest.code() => {
                    tokio::time::sleep(BETWEEN_TRIES).await;
                }
                _ => break,
            }
        }
        let list = Arc::new(list?);
        // A map is only ever changed by one insert or remove: a poisoned one is sound.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let now_s = now_ms() / 1000;
        kept.retain(|_, list| list.good_until_s() > now_s);
        if kept.len() < MAX_LISTS {
            kept.insert(uri, Arc::clone(&list));
        }
        Ok(Some(list))
    }

    fn kept(&self, uri: &str) -> Option<Arc<VerifiedList>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let good = |list: &&Arc<VerifiedList>| list.good_until_s() > now_ms() / 1000;
        kept.get(uri).filter(good).cloned()
    }

    async fn fetch(
        &self,
        (view, follower): (&View, &Follower),
        uri: &str,
        issuer: &Issuer,
    ) -> Result<VerifiedList, Refusal> {
        let jwt = self.token(uri).await.ok_or(Refusal::STATUS_UNAVAILABLE)?;
        // After the list: what the ledger says now is not older than what was served.
        let digest = digest_on_ledger((view, follower), uri, issuer).await?;
        let issuer_keys: Vec<IssuerKey> = issuer
            .keys
            .iter()
            .filter_map(|known| {
                let signs = known.usage == KeyUse::Pid
                    && !matches!(known.status, KeyStatus::Compromised(_));
                let key = suites::verifying_key(&known.key).ok().filter(|_| signs)?;
                Some(IssuerKey {
                    iss: issuer.url.clone(),
                    kid: known.id().to_string(),
                    key,
                })
            })
            .collect();
        let evidence = Evidence {
            iss: &issuer.url,
            issuer_keys: &issuer_keys,
            uri,
            now_s: now_ms() / 1000,
            clock_skew_s: CLOCK_SKEW_S,
            max_bytes: MAX_LIST_BYTES,
            // U9: what the ledger has no digest of is no list.
            ledger: Some(
                digest
                    .ok_or_else(|| Refusal::of_status(StatusError::Digest))?
                    .0,
            ),
        };
        token::verify_jwt(&jwt, &evidence).map_err(Refusal::of_status)
    }

    /// What the issuer serves, bounded.
    async fn token(&self, uri: &str) -> Option<String> {
        let request = self.http.get(uri);
        let request = request.header("accept", "application/statuslist+jwt");
        let mut response = request.send().await.ok()?.error_for_status().ok()?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.ok()? {
            if body.len() + chunk.len() > MAX_TOKEN_BYTES {
                return None;
            }
            body.extend_from_slice(&chunk);
        }
        String::from_utf8(body).ok()
    }
}

/// The digest of the version that holds; none where the ledger has no such list.
async fn digest_on_ledger(
    (view, follower): (&View, &Follower),
    uri: &str,
    issuer: &Issuer,
) -> Result<Option<Hash32>, Refusal> {
    let by = view.snapshot().light.hash_function();
    let (issuer, list) = (issuer.id(by), Hash32(Sha256::digest(uri.as_bytes()).into()));
    let mut found = None;
    let key = status_list_key(by, &issuer, &list);
    let asked = follower.ask_now(view, &key, |answer| {
        let (snapshot, answer) = view.anchored(answer)?;
        let freshness = view.freshness(now_ms());
        let light = &snapshot.light;
        let proved = light.status_list(&issuer, &list, &answer, &freshness)?;
        found = proved.value.map(|list| list.digest);
        Ok(())
    });
    asked.await?;
    Ok(found)
}
