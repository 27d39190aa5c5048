//! Logins that still stand, for websites that want to hear when one does no longer (OpenID Connect
//! Back-Channel Logout 1.0).
//!
//! A login ends here when its DID is frozen or deactivated on the ledger, or when the credential
//! copy behind it has lapsed and the website asked to hear of that: a person whom the authority
//! suspends gets no new copy, so this is how a suspension ends a session, within the epoch and the
//! lead (promise P8). Nothing else tells a gate of a suspension, by design: the ledger's entry of a
//! person has no link to their DIDs.
//!
//! The gate asks nodes for whole buckets of DIDs, so that none learns which people sign in here.
//! What is kept is a DID, a subject and a time for each login, in memory: after a restart earlier
//! logins are not watched, and the documentation says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realdid_core::did::{Did, DidId, NetworkName};
use realdid_core::state::did_key;
use realdid_core::trie::Prefix;
use realdid_exchange::oidc;
use realdid_light::http::{NodeClient, NodeError};
use realdid_light::{DidStanding, Freshness, LightClient};

use crate::keys::{GateKeys, random};
use crate::now_ms;

/// The most logins that are watched; the oldest make room.
const MAX_WATCHED: usize = 100_000;
/// How long a website may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How often a website that does not answer is told again before it is given up.
const MAX_TRIES: u32 = 5;
/// The bits of a bucket to begin with: the family's byte alone, so all DIDs.
const WHOLE_FAMILY_BITS: usize = 8;
/// The finest bucket that is asked for: beyond it, too few others are in it.
const FINEST_BITS: usize = 40;

/// Where and when a website hears of logins that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hearing {
    pub client_id: String,
    pub uri: String,
    /// Whether the lapse of the credential copy ends a login too.
    pub on_lapse: bool,
}

/// Logins that stand, by client and subject: a new one takes the place of the old.
pub(crate) struct Standings {
    hearings: Vec<Hearing>,
    watched: Mutex<Watched>,
    http: reqwest::Client,
}

#[derive(Default)]
struct Watched {
    logins: BTreeMap<(String, String), Standing>,
    /// What still has to be told: client, subject, tries so far.
    ended: Vec<(String, String, u32)>,
}

#[derive(Clone)]
struct Standing {
    did: Did,
    /// Unix seconds at which the credential copy lapses.
    lapses_s: u64,
}

impl Standings {
    pub fn new(hearings: Vec<Hearing>) -> Self {
        // An operator named these addresses; where one leads on to is nobody's choice of theirs.
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .build()
            .unwrap_or_default();
        Self {
            hearings,
            watched: Mutex::default(),
            http,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        // Each change is one insert or remove: a poisoned map is still a sound one.
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a login that has just succeeded.
    pub fn begin(&self, client_id: &str, subject: &str, did: Did, lapses_s: u64) {
        if !self.hearings.iter().any(|h| h.client_id == client_id) {
            return;
        }
        let mut watched = self.lock();
        if watched.logins.len() >= MAX_WATCHED {
            let first = watched
                .logins
                .iter()
                .min_by_key(|(_, standing)| standing.lapses_s)
                .map(|(key, _)| key.clone());
            first.and_then(|key| watched.logins.remove(&key));
        }
        watched.logins.insert(
            (client_id.to_owned(), subject.to_owned()),
            Standing { did, lapses_s },
        );
    }

    /// The person signed out at the website: there is nothing left to tell.
    pub fn forget(&self, client_id: &str, subject: &str) {
        let key = (client_id.to_owned(), subject.to_owned());
        self.lock().logins.remove(&key);
    }

    /// Ends what no longer stands by the ledger of one network. The websites are still to be told.
    pub async fn review(&self, nodes: &[NodeClient], light: &LightClient, freshness: Freshness) {
        let network = &light.genesis().network;
        let dids: BTreeSet<DidId> = {
            let watched = self.lock();
            let standings = watched.logins.values();
            let here = standings.filter(|standing| standing.did.network == *network);
            here.map(|standing| standing.did.id).collect()
        };
        let gone = match dids.is_empty() {
            true => BTreeSet::new(),
            false => gone(nodes, light, freshness, &dids).await,
        };
        self.end(network, &gone, freshness.now_ms / 1000);
    }

    fn end(&self, network: &NetworkName, gone: &BTreeSet<DidId>, now_s: u64) {
        let on_lapse = |client_id: &str| {
            let mut hearings = self.hearings.iter();
            hearings.any(|hearing| hearing.client_id == client_id && hearing.on_lapse)
        };
        let mut watched = self.lock();
        let mut ended = Vec::new();
        watched.logins.retain(|(client_id, subject), standing| {
            let lapsed = standing.lapses_s <= now_s;
            let ended_there = standing.did.network == *network && gone.contains(&standing.did.id);
            let tell = ended_there || (lapsed && on_lapse(client_id));
            if tell {
                ended.push((client_id.clone(), subject.clone(), 0));
            }
            // After the copy has lapsed only a new login can say more.
            !tell && !lapsed
        });
        watched.ended.extend(ended);
    }

    /// Tells the websites. Answers how many were told.
    pub async fn tell(&self, issuer: &str, keys: &GateKeys) -> usize {
        let ended = std::mem::take(&mut self.lock().ended);
        let mut told = 0;
        for (client_id, subject, tries) in ended {
            let hearing = self.hearings.iter().find(|h| h.client_id == client_id);
            let Some(hearing) = hearing else { continue };
            if self.send(hearing, &subject, issuer, keys).await {
                told += 1;
                metrics::counter!("logouts_total", "outcome" => "told").increment(1);
            } else if tries + 1 < MAX_TRIES {
                self.lock().ended.push((client_id, subject, tries + 1));
            } else {
                metrics::counter!("logouts_total", "outcome" => "given_up").increment(1);
                tracing::warn!(client_id, "a website does not take logout tokens");
            }
        }
        told
    }

    async fn send(&self, hearing: &Hearing, subject: &str, issuer: &str, keys: &GateKeys) -> bool {
        let Ok(jti) = random() else { return false };
        let jti = URL_SAFE_NO_PAD.encode(jti);
        let now_s = now_ms() / 1000;
        let token =
            oidc::logout_token(&hearing.client_id, subject, &jti, issuer, &keys.oidc, now_s);
        let Ok(token) = token else { return false };
        let sent = self
            .http
            .post(&hearing.uri)
            .form(&[("logout_token", token)])
            .send()
            .await;
        sent.is_ok_and(|response| response.status().is_success())
    }
}

/// Which of `dids` are frozen or deactivated, as far as nodes answer with proof.
async fn gone(
    nodes: &[NodeClient],
    light: &LightClient,
    freshness: Freshness,
    dids: &BTreeSet<DidId>,
) -> BTreeSet<DidId> {
    let by = light.hash_function();
    let mut gone = BTreeSet::new();
    let mut left = dids.clone();
    let mut bits = WHOLE_FAMILY_BITS;
    while let Some(did) = left.first().copied() {
        let key = did_key(by, &did);
        let Ok(prefix) = Prefix::new(&key, bits) else {
            return gone;
        };
        let (mut answer, mut too_full) = (None, false);
        for node in nodes {
            match node.bucket(&key, bits).await {
                Ok(bucket) if light.bucket(&prefix, &bucket, &freshness).is_ok() => {
                    answer = Some(bucket);
                    break;
                }
                Ok(_) => tracing::warn!("a node's bucket does not hold"),
                Err(NodeError::Answer { .. }) => too_full = true,
                Err(error) => tracing::debug!(code = error.code(), "no bucket"),
            }
        }
        let Some(answer) = answer else {
            if too_full && bits < FINEST_BITS {
                bits += 8;
                continue;
            }
            // Nobody answers: what was proved before stands until the copies lapse.
            return gone;
        };
        let shares = |did: &DidId| {
            let other = did_key(by, did);
            let whole = bits / 8;
            other.get(..whole) == key.get(..whole)
        };
        for did in left.iter().filter(|did| shares(did)) {
            let name = Did {
                network: light.genesis().network.clone(),
                id: *did,
            };
            let state = light.did(
                &name,
                None,
                &answer.answer_for(by, &did_key(by, did)),
                &freshness,
            );
            let ended = matches!(
                state.map(|state| state.standing),
                Ok(DidStanding::Anchored(record)) if record.frozen || record.deactivated
            );
            if ended {
                gone.insert(*did);
            }
        }
        left.retain(|did| !shares(did));
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standings(on_lapse: bool) -> Standings {
        Standings::new(vec![Hearing {
            client_id: "shop".to_owned(),
            uri: "http://127.0.0.1:9/logout".to_owned(),
            on_lapse,
        }])
    }

    fn ended(standings: &Standings) -> Vec<String> {
        let watched = standings.lock();
        watched.ended.iter().map(|(_, s, _)| s.clone()).collect()
    }

    #[test]
    fn a_login_ends_with_its_did_and_where_asked_with_its_copy() {
        let (dev, intl): (NetworkName, NetworkName) =
            ("dev".parse().unwrap(), "intl".parse().unwrap());
        let id = |n: u8| realdid_core::hash::Hash32([n; 32]);
        let did = |n: u8| Did {
            network: dev.clone(),
            id: id(n),
        };
        for on_lapse in [false, true] {
            let standings = standings(on_lapse);
            standings.begin("other", "nobody hears of this", did(9), 100);
            standings.begin("shop", "a", did(1), 100);
            standings.begin("shop", "b", did(2), 100);
            standings.begin("shop", "c", did(3), 300);
            standings.forget("shop", "b");
            assert_eq!(standings.lock().logins.len(), 2);
            standings.end(&dev, &BTreeSet::new(), 99);
            // another network has a DID of the same id
            standings.end(&intl, &BTreeSet::from([id(3)]), 99);
            assert!(ended(&standings).is_empty());
            standings.end(&dev, &BTreeSet::from([id(3)]), 99);
            assert_eq!(ended(&standings), ["c"]);
            // a new login carries the standing on
            standings.begin("shop", "a", did(1), 200);
            standings.end(&dev, &BTreeSet::new(), 100);
            assert_eq!(ended(&standings), ["c"]);
            standings.end(&dev, &BTreeSet::new(), 200);
            let expected: &[&str] = if on_lapse { &["c", "a"] } else { &["c"] };
            assert_eq!(ended(&standings), expected);
            assert!(standings.lock().logins.is_empty());
        }
    }
}
