//! Receipts of know-your-customer logins (spec/receipts.md): what a service shows to whoever audits it.
//!
//! A login of the purpose `kyc` that asked for facts of a RealPass alone leaves one. It is a file of its
//! own, named by its hash, and a line in a log that is chained as the one of displays is: none can be taken
//! out unseen. The gate checks each as an auditor will before it says yes to the login, so a receipt
//! that is kept is one that holds.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path as UrlPath, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use realdid_core::hash::Hash32;
use realdid_exchange::oidc::{self, Login};
use realdid_exchange::receipt::{
    self, Abroad, Evidence, Ledger, Receipt, ReceiptError, Trust, receipt_id,
};
use realdid_exchange::registration::Purpose;
use realdid_exchange::vp::Presented;
use realdid_serve::files;
use serde::{Deserialize, Serialize};

use crate::chain::{self, Line, Link};
use crate::follower::Follower;
use crate::http::header_text;
use crate::judge::claimed_pass_issuer;
use crate::logins::Start;
use crate::refusal::{Refusal, oauth};
use crate::steps::{Gate, Inner, Via, ask};
use crate::view::View;
use crate::{GateError, now_ms};

/// The folder of the receipts, in the gate's.
const FOLDER: &str = "kyc";
/// The log of them, in it.
const LOG_FILE: &str = "receipts.jsonl";
/// The claim by which a website learns of a receipt.
const CLAIM: &str = "receipt";

/// One receipt in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    seq: u64,
    /// Unix seconds.
    at_s: u64,
    /// The website whose login it was.
    client: String,
    /// Its id, in hex.
    receipt: String,
    previous: String,
    hash: String,
}

impl Line for Entry {
    const DOMAIN: &'static [u8] = b"rdid/1/gate-receipt\0";

    fn link(&mut self) -> Link<'_> {
        Link {
            seq: &mut self.seq,
            previous: &mut self.previous,
            hash: &mut self.hash,
        }
    }
}

/// All receipts of a gate.
pub(crate) struct Receipts {
    folder: PathBuf,
    log: Mutex<chain::Log<Entry>>,
}

impl Receipts {
    /// Opens the receipts in a gate's folder, or begins with none.
    pub fn open(dir: &Path) -> Result<Self, GateError> {
        let folder = dir.join(FOLDER);
        files::create_private_dir(&folder)?;
        let path = folder.join(LOG_FILE);
        let log = chain::Log::open(&path).map_err(|error| match error {
            chain::LogError::Broken { line } => GateError::Receipts {
                path: path.clone(),
                line,
            },
            chain::LogError::File(error) => error.into(),
        })?;
        Ok(Self {
            folder,
            log: Mutex::new(log),
        })
    }

    fn file(&self, id: &Hash32) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }

    /// Keeps a receipt of a website's login, durably. The file comes first: a line stands for one that
    /// is there.
    fn keep(&self, bytes: &[u8], client: &str, at_s: u64) -> Result<Hash32, chain::LogError> {
        let id = receipt_id(bytes);
        files::write_private(&self.file(&id), bytes)?;
        let line = Entry {
            seq: 0,
            at_s,
            client: client.to_owned(),
            receipt: id.to_string(),
            previous: String::new(),
            hash: String::new(),
        };
        // An append that failed has been taken back: a poisoned log is still a sound one.
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.append(line)?;
        Ok(id)
    }

    fn find(&self, id: &Hash32) -> Option<Vec<u8>> {
        std::fs::read(self.file(id)).ok()
    }
}

/// Whether a login leaves a receipt: it is of the purpose, and asks for predicates alone.
fn is_due(start: &Start) -> bool {
    let ask = ask(&start.request);
    let facts = ask.pass.is_some_and(|facts| !facts.is_empty());
    start.client.purpose == Purpose::Kyc.code() && facts && ask.pid.is_none()
}

impl Inner {
    /// Leaves a receipt of a login that was verified just now, where one is due, and tells the website
    /// of it. Without its receipt such a login does not end.
    pub(crate) async fn leave_receipt(
        &self,
        id: &str,
        start: &Start,
        presented: &Presented,
        login: &mut Login,
    ) -> Result<(), Refusal> {
        let Some(receipts) = self.receipts.as_ref().filter(|_| is_due(start)) else {
            return Ok(());
        };
        let evidence = self.evidence(id, start, presented).await?;
        let trust = Trust {
            home: evidence.home.genesis.digest(),
            abroad: None,
            service: Some(self.trust.service_id()),
            max_age_ms: self.max_age_s.max(self.login_s).saturating_mul(1000),
            now_ms: now_ms(),
        };
        let sealed = Receipt::seal(evidence, trust.now_ms, &self.keys.request);
        let sealed = sealed.map_err(|_| Refusal::INTERNAL)?;
        let (receipts, client) = (Arc::clone(receipts), start.client.client_id.clone());
        let kept = tokio::task::spawn_blocking(move || {
            // From its bytes, as an auditor has it: a receipt has bounds.
            let bytes = sealed.to_bytes();
            let read = Receipt::parse(&bytes).map_err(ReceiptError::from);
            let checked = read.and_then(|receipt| receipt::verify(&receipt, &trust));
            checked.map_err(|error| error.code().to_owned())?;
            let kept = receipts.keep(&bytes, &client, trust.now_ms / 1000);
            kept.map_err(|error| error.to_string())
        });
        let kept = kept.await.map_err(|_| Refusal::INTERNAL)?;
        let kept = kept.map_err(|reason| {
            tracing::error!(reason, "a receipt could not be left");
            Refusal::RECEIPT_UNWRITTEN
        })?;
        let told = kept.to_string().into();
        login.claims.insert(CLAIM.to_owned(), told);
        Ok(())
    }

    /// What the login was judged by.
    async fn evidence(
        &self,
        id: &str,
        start: &Start,
        presented: &Presented,
    ) -> Result<Evidence, Refusal> {
        let side = self.side(presented)?;
        let pass = presented.pass.clone().ok_or(Refusal::INTERNAL)?;
        let did_proof = presented.did_proof.as_ref().ok_or(Refusal::INTERNAL)?;
        let issuer = claimed_pass_issuer(&pass).ok_or(Refusal::INTERNAL)?;
        let abroad = match side.recognised {
            None => None,
            Some(_) => {
                let did = did_proof.claimed_did();
                let network = &did.map_err(|_| Refusal::INTERNAL)?.network;
                Some(Abroad {
                    ledger: ledger(side.view, side.follower).await?,
                    recognition: self.abroad.word(network).ok_or(Refusal::STALE)?,
                })
            }
        };
        // As the wallet saw it, but for the moment of signing and a nonce of the wallet's.
        let begun_s = start.expires_s.saturating_sub(self.login_s);
        let (service, registrar) = self.trust.own_answers().ok_or(Refusal::STALE)?;
        Ok(Evidence {
            request: self.signed_request(id, start, Via::Ledger, None, begun_s)?,
            pass,
            did_proof: did_proof.as_str().to_owned(),
            home: ledger(&self.trust.home, &self.follower).await?,
            registrar,
            service,
            issuer: side.view.issuer_answer(&issuer).ok_or(Refusal::STALE)?,
            abroad,
        })
    }
}

async fn ledger(view: &View, follower: &Follower) -> Result<Ledger, Refusal> {
    Ok(Ledger {
        genesis: view.snapshot().light.genesis().clone(),
        hand_overs: follower.hand_overs(view).await.ok_or(Refusal::STALE)?,
    })
}

/// A receipt, for a website of this gate.
#[utoipa::path(get, path = "/kyc/receipts/{id}", tag = "receipts",
    params(("id" = String, Path, description = "the claim `receipt` of a login")),
    responses(
        (status = 200, description = "the receipt, for `realdid verify-receipt`"),
        (status = 401, description = "invalid_client: the client by client_secret_basic"),
        (status = 404, description = "receipt.unknown"),
    ))]
pub(crate) async fn receipt_file(
    State(gate): Gate,
    UrlPath(id): UrlPath<String>,
    headers: HeaderMap,
) -> Response {
    let authorization = header_text(&headers, header::AUTHORIZATION);
    if let Err(error) = oidc::authenticate(authorization, &gate.clients) {
        return oauth(error).into_response();
    }
    let receipts = gate.receipts.as_ref();
    let found = receipts.and_then(|receipts| receipts.find(&id.parse().ok()?));
    match found {
        Some(bytes) => {
            let headers = [
                (header::CONTENT_TYPE, "application/json"),
                (header::CACHE_CONTROL, "no-store"),
            ];
            (headers, bytes).into_response()
        }
        None => Refusal::RECEIPT_UNKNOWN.problem().into_response(),
    }
}
