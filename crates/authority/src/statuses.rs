//! PIDs that live long, and the lists in which their statuses stand (spec/status.md, U13 to U17). Off unless the
//! configuration has `[long_lived]`: copies that live for an epoch need no status (decision 0003).
//!
//! A list is changed in the store, put on the ledger by its digest, and served once the ledger proves
//! that digest: so what is served is what the ledger has, but for a moment. Any process of an authority
//! publishes, and one does. Entries are drawn by lot, so an index does not say when it was given.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hmac::{Hmac, KeyInit, Mac};
use rand_core::Rng as _;
use realdid_core::hash::Hash32;
use realdid_core::operation::{Body, PublishList};
use realdid_credential::jose::Jwk;
use realdid_credential::pid;
use realdid_credential::sd_jwt::Terms;
use realdid_credential::status::token;
use realdid_credential::status::{Reference, StatusError, StatusList, Width, delta};
use realdid_exchange::vci::{LONG_CONFIGURATION, VciError};
use realdid_serve::Problem;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::LongLivedConfig;
use crate::issuing::IssueError;
use crate::keys::AuthorityKeys;
use crate::ledger::LedgerError;
use crate::register::Person;
use crate::service::{Authority, refused};
use crate::store::{ENTRIES, Version};
use crate::text::seeded;

/// How long a process may take to publish a version before another may try, in seconds.
const CLAIM_S: u64 = 60;
/// A day in seconds: how finely a PID that lives long says when it was issued.
const DAY_S: u64 = 86_400;
/// How many lifetimes in a cache a token is good for.
const LIVES: u64 = 3;

/// Tokens that were signed lately, by list.
#[derive(Default)]
pub(crate) struct Statuses(Mutex<BTreeMap<u64, Signed>>);

struct Signed {
    digest: Hash32,
    made_s: u64,
    jwt: Arc<str>,
}

/// Why a list was not served or not published.
#[derive(Debug, thiserror::Error)]
enum ListError {
    #[error("status.unknown: the list must be one of this authority, and on the ledger")]
    Unknown,
    #[error(transparent)]
    Status(#[from] StatusError),
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}

impl ListError {
    fn problem(&self) -> Problem {
        match self {
            Self::Unknown => Problem::not_found(
                "status.unknown",
                "the list, or the version of it, is one that this authority has put on the ledger",
                "use the address that a credential names, and fetch the whole list where a version is too old",
            ),
            Self::Status(_) | Self::Store(_) => Problem::internal(),
        }
    }
}

/// The routes of lists.
pub(crate) fn router(authority: Arc<Authority>) -> Router {
    Router::new()
        .route("/status/{list}", get(list))
        .route("/status/{list}/delta/{digest}", get(changes))
        .with_state(authority)
}

/// A whole status list.
#[utoipa::path(get, path = "/status/{list}", tag = "status",
    params(("list" = String, Path, description = "the list's number")),
    responses(
        (status = 200, description = "a status list token (JWT); ETag is the digest that is on the ledger", content_type = "application/statuslist+jwt", body = String),
        (status = 404, description = "status.unknown"),
    ))]
async fn list(
    State(authority): State<Arc<Authority>>,
    Path(list): Path<String>,
) -> Result<Response, Problem> {
    let (digest, jwt) = authority
        .list_named(&list)
        .await
        .map_err(|error| refused("status", error.problem()))?;
    let kind = HeaderValue::from_static("application/statuslist+jwt");
    Ok(with_digest(&digest, kind, jwt.to_string().into_bytes()))
}

/// What changed from an earlier version of a list to the one that is served.
#[utoipa::path(get, path = "/status/{list}/delta/{digest}", tag = "status",
    params(
        ("list" = String, Path, description = "the list's number"),
        ("digest" = String, Path, description = "the digest of the version that the reader has, in hex"),
    ),
    responses(
        (status = 200, description = "a delta (spec/status.md, U10 to U12); ETag is the digest that it leads to", content_type = "application/octet-stream", body = Vec<u8>),
        (status = 404, description = "status.unknown: fetch the whole list"),
    ))]
async fn changes(
    State(authority): State<Arc<Authority>>,
    Path((list, digest)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let (digest, delta) = authority
        .list_delta(&list, &digest)
        .await
        .map_err(|error| refused("status", error.problem()))?;
    let kind = HeaderValue::from_static("application/octet-stream");
    Ok(with_digest(&digest, kind, delta))
}

/// Nobody on the way keeps it: its lifetime is the token's, and it ends with the ledger's digest.
fn with_digest(digest: &Hash32, kind: HeaderValue, body: Vec<u8>) -> Response {
    let mut headers = HeaderMap::new();
    let mut set = |name: HeaderName, value| headers.insert(name, value);
    set(header::CONTENT_TYPE, kind);
    set(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{digest}\"")) {
        set(header::ETAG, tag);
    }
    (StatusCode::OK, headers, body).into_response()
}

/// This part of the API's description.
#[derive(utoipa::OpenApi)]
#[openapi(paths(list, changes))]
pub(crate) struct Api;

/// A digest of what the register says of somebody, which says nothing to whoever has no key of ours: the
/// store keeps it beside a credential, to know when that says something else.
pub(crate) fn data_of(keys: &AuthorityKeys, person: &Person) -> [u8; 32] {
    let sex = person.sex.code().to_string();
    let parts = [
        person.given_name.as_str(),
        &person.family_name,
        &person.birthdate,
        &sex,
        &person.nationalities.join(" "),
        &person.region,
        person.number.as_str(),
        person.assurance.text(),
    ];
    let mut out = [0; 32];
    // HMAC takes keys of any length, so this cannot fail.
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&keys.nonce[..]) {
        mac.update(b"rdid/1/pid-data\0");
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        out.copy_from_slice(&mac.finalize().into_bytes());
    }
    out
}

impl Authority {
    /// The address of a list.
    fn list_uri(&self, list: u64) -> String {
        format!("{}/status/{list}", self.url)
    }

    /// What was issued and says something else than the register says now is revoked, whenever somebody
    /// comes for a credential.
    pub(crate) async fn revoke_outdated(&self, person: &Person) -> Result<(), IssueError> {
        if self.long_lived.is_some() {
            let data = data_of(&self.keys, person);
            self.store.revoke_others(&person.reference, &data).await?;
        }
        Ok(())
    }

    /// A PID that lives long, with a status of its own.
    pub(crate) async fn make_long(
        &self,
        person: &Person,
        holder: Jwk,
        now_s: u64,
    ) -> Result<(String, u64), IssueError> {
        let LongLivedConfig { days } = self.long_lived.ok_or(VciError::UnknownConfiguration)?;
        let issued_s = now_s / DAY_S * DAY_S;
        let expires_s = issued_s.saturating_add(days.saturating_mul(DAY_S));
        let mut drawn = seeded()?;
        let data = data_of(&self.keys, person);
        let entry = self
            .store
            .take_entry(&person.reference, &data, expires_s, || drawn.next_u64())
            .await?;
        let status = Reference {
            uri: self.list_uri(entry.list),
            idx: entry.idx,
        };
        let key_id = self.keys.pid.id.to_string();
        let terms = Terms {
            iss: &self.url,
            vct: pid::LONG_VCT,
            kid: &key_id,
            iat_s: issued_s,
            exp_s: expires_s,
            x5c: &[],
        };
        let mut salt = || {
            let mut salt = [0; 16];
            drawn.fill_bytes(&mut salt);
            salt
        };
        let pid = self.pid(person, issued_s);
        let key = &self.keys.pid.key;
        let made = pid::issue_long(&pid, &terms, &status, &holder, key, &mut salt)?;
        Ok((made, expires_s))
    }

    /// Whether a configuration is that of PIDs that live long.
    pub(crate) fn is_long(configuration: &str) -> bool {
        configuration == LONG_CONFIGURATION
    }

    /// Puts on the ledger, and then serves, what has changed.
    pub(crate) async fn publish_lists(&self) -> Result<(), IssueError> {
        if self.long_lived.is_some() {
            self.store.add_list().await?;
        }
        for list in self.store.lists().await? {
            let current = self.list_now(list).await?;
            let digest = Hash32(current.digest(&self.list_uri(list)));
            let served = self.store.newest_version(list).await?;
            if served.is_some_and(|served| served.digest == digest) {
                continue;
            }
            let now_s = self.clock.now_s();
            if self.store.claim_list(list, now_s, now_s + CLAIM_S).await? {
                let published = self.publish(list, digest).await;
                match published {
                    Ok(seq) => {
                        let bytes = current.as_bytes().to_vec();
                        let version = Version { seq, digest, bytes };
                        self.store.published(list, &version).await?;
                        metrics::counter!("authority_status_versions_total").increment(1);
                    }
                    Err(error) => {
                        self.store.release_list(list).await?;
                        return Err(error.into());
                    }
                }
            }
        }
        Ok(())
    }

    /// A list as the store has it.
    async fn list_now(&self, list: u64) -> Result<StatusList, IssueError> {
        let mut current = StatusList::new(Width::Two, ENTRIES).map_err(lost)?;
        for (idx, status) in self.store.not_valid(list).await? {
            current.change(idx, status).map_err(lost)?;
        }
        Ok(current)
    }

    /// Has the ledger say that this version holds, and waits until it proves so. Answers the version's number.
    async fn publish(&self, list: u64, digest: Hash32) -> Result<u64, LedgerError> {
        let uri = self.list_uri(list);
        let id = Hash32(Sha256::digest(uri.as_bytes()).into());
        let known = self.ledger.status_list(&self.issuer_id, &id, 0).await?;
        if let Some(known) = known.record.as_ref().filter(|known| known.digest == digest) {
            // Another process, or this one before it ended.
            return Ok(known.seq);
        }
        let seq = known.record.map_or(0, |known| known.seq + 1);
        let body = Body::StatusList(PublishList {
            issuer: self.issuer_id,
            list: id,
            seq,
            digest,
        });
        let (tip, _) = self.ledger.tip().await?;
        let operation = self.ledger.sign(body, tip, &self.keys.operation);
        let height = self.ledger.submit_and_wait(&operation).await?;
        self.ledger
            .status_list(&self.issuer_id, &id, height)
            .await?;
        Ok(seq)
    }

    async fn list_named(&self, list: &str) -> Result<(Hash32, Arc<str>), ListError> {
        let list = list.parse().map_err(|_| ListError::Unknown)?;
        self.list_token(list).await
    }

    /// The token of the version that is on the ledger, and its digest. It is signed anew when a half of its
    /// lifetime in caches is over.
    async fn list_token(&self, list: u64) -> Result<(Hash32, Arc<str>), ListError> {
        let version = self.store.newest_version(list).await?;
        let version = version.ok_or(ListError::Unknown)?;
        let ttl_s = self.ledger.genesis().parameters.status_period_s.max(1);
        let now_s = self.clock.now_s();
        let kept = |signed: &BTreeMap<u64, Signed>| {
            let fresh = |signed: &&Signed| {
                signed.digest == version.digest && now_s < signed.made_s + ttl_s.div_ceil(2)
            };
            signed
                .get(&list)
                .filter(fresh)
                .map(|signed| signed.jwt.clone())
        };
        {
            // A map is only ever changed by one insert: a poisoned one is sound.
            let signed = self.statuses.0.lock();
            if let Some(jwt) = kept(&signed.unwrap_or_else(PoisonError::into_inner)) {
                return Ok((version.digest, jwt));
            }
        }
        let uri = self.list_uri(list);
        let key_id = self.keys.pid.id.to_string();
        let terms = token::Terms {
            uri: &uri,
            kid: &key_id,
            iat_s: now_s,
            exp_s: now_s + LIVES * ttl_s,
            ttl_s,
            x5c: &[],
        };
        let whole = StatusList::from_bytes(Width::Two, version.bytes)?;
        let jwt: Arc<str> = token::issue_jwt(&whole, &terms, &self.keys.pid.key)?.into();
        let signed = self.statuses.0.lock();
        signed.unwrap_or_else(PoisonError::into_inner).insert(
            list,
            Signed {
                digest: version.digest,
                made_s: now_s,
                jwt: jwt.clone(),
            },
        );
        Ok((version.digest, jwt))
    }

    /// The delta from an earlier version.
    async fn list_delta(&self, list: &str, from: &str) -> Result<(Hash32, Vec<u8>), ListError> {
        let list: u64 = list.parse().map_err(|_| ListError::Unknown)?;
        let from: Hash32 = from.parse().map_err(|_| ListError::Unknown)?;
        let old = self.store.version_of(list, &from).await?;
        let new = self.store.newest_version(list).await?;
        let (old, new) = old.zip(new).ok_or(ListError::Unknown)?;
        let of = |version: &Version| StatusList::from_bytes(Width::Two, version.bytes.clone());
        let delta = delta::make(&of(&old)?, &of(&new)?, &self.list_uri(list))?;
        Ok((new.digest, delta))
    }
}

/// The store's entries lie within their lists, and what is revoked stays so: something else was written there.
fn lost(_: StatusError) -> IssueError {
    IssueError::Stopped
}
