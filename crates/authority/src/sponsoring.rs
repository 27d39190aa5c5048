//! Sponsoring: an enrolled person's DID is put on the ledger at the authority's expense, within a
//! quota for each person and epoch (spec/operations.md, rule O5).
//!
//! Until personhood slots exist, this is how people's DIDs get onto the ledger, and it has a
//! price that the documentation says openly: the authority sees which person anchors which DID.
//! So it sponsors anchors only, and keeps no record of which they were, only how many.

use axum::http::StatusCode;
use realdid_core::hash::Hash32;
use realdid_core::operation::{Body, SignedOperation};
use realdid_exchange::vci::VciError;
use realdid_serve::Problem;

use crate::enrolment::{ledger_problem, suspended};
use crate::issuing::IssueError;
use crate::ledger::LedgerError;
use crate::oauth::Caller;
use crate::service::Authority;
use crate::store::{StoreError, TokenKind};

/// Why an operation was not sponsored.
#[derive(Debug, thiserror::Error)]
pub enum SponsorError {
    #[error("vci.access_token: the token must be known and not expired")]
    Token,
    /// The token is not used as it is bound.
    #[error(transparent)]
    Bound(IssueError),
    #[error("enrolment.suspended: the enrolment must be active")]
    Suspended,
    /// Not canonical CBOR of an operation.
    #[error("{0}: the body must be a signed operation in canonical CBOR")]
    Codec(&'static str),
    #[error("sponsor.kind: only a person's anchor is sponsored")]
    Kind,
    #[error("op.network: the operation must be made for this network")]
    Network,
    #[error("op.signature: the anchor must be signed by one of the DID's current keys")]
    Signature,
    #[error("sponsor.quota: one person has a quota of anchors in an epoch")]
    Quota,
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SponsorError {
    /// The answer for whoever asked.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Token => Problem::new(
                StatusCode::UNAUTHORIZED,
                VciError::AccessToken.code(),
                "the token must be known and not expired",
                "send the refresh token of this authority, by the scheme of its token_type",
            ),
            Self::Bound(error) => error.answer("invalid_token").problem().clone(),
            Self::Suspended => suspended(),
            Self::Codec(code) => Problem::bad_request(
                code,
                "the body must be a signed operation in canonical CBOR",
                "send the bytes of the signed operation as application/cbor",
            ),
            Self::Kind => Problem::bad_request(
                "sponsor.kind",
                "only an anchor without endpoints and without another sponsor is sponsored",
                "send an anchor of a person's DID; other operations go to a node",
            ),
            Self::Network => Problem::bad_request(
                "op.network",
                "the operation is made for this network",
                "make the operation for the network of this authority",
            ),
            Self::Signature => Problem::bad_request(
                "op.signature",
                "the anchor is signed once, by one of the DID's current keys",
                "sign the anchor with a current key",
            ),
            Self::Quota => Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "sponsor.quota",
                "one person has a quota of anchors in an epoch",
                "wait for the next epoch",
            )
            .retry_after(60),
            Self::Ledger(error) => ledger_problem(error),
            Self::Store(_) => Problem::internal(),
        }
    }
}

impl Authority {
    /// Adds this authority's sponsorship to a person's anchor and hands it in. Answers the
    /// operation's id.
    pub async fn sponsor(&self, caller: &Caller, body: &[u8]) -> Result<Hash32, SponsorError> {
        let person = self.asking(caller, "/v1/sponsor").await;
        let person = person
            .map_err(SponsorError::Bound)?
            .ok_or(SponsorError::Token)?;
        match self.need_active(&person).await {
            Ok(()) => {}
            Err(IssueError::Store(error)) => return Err(error.into()),
            Err(_) => return Err(SponsorError::Suspended),
        }
        let signed =
            SignedOperation::decode(body).map_err(|error| SponsorError::Codec(error.code()))?;
        self.check_anchor(&signed)?;
        let parameters = &self.ledger.genesis().parameters;
        let epoch = parameters.epoch_at(self.clock.now_ms());
        if !self.store.spend(&person, epoch, self.sponsor_quota).await? {
            return Err(SponsorError::Quota);
        }
        let sponsored = signed.sponsored(self.issuer_id, &self.keys.operation);
        match self.ledger.submit(&sponsored).await {
            Ok(id) => {
                metrics::counter!("authority_sponsored_total").increment(1);
                Ok(id)
            }
            Err(error) => {
                self.store.unspend(&person, epoch).await?;
                Err(error.into())
            }
        }
    }

    /// Whose token it is, used as it is bound (spec/issuing.md, O6): the refresh token, or an access
    /// token that is still good. None where nobody knows it.
    pub(crate) async fn asking(
        &self,
        caller: &Caller,
        path: &str,
    ) -> Result<Option<String>, IssueError> {
        let Ok(token) = caller.token() else {
            return Ok(None);
        };
        let now_s = self.clock.now_s();
        for kind in [TokenKind::Refresh, TokenKind::Access] {
            if let Some(holder) = self.store.token(kind, token, now_s).await? {
                self.bound(caller, &holder.grant.jkt, path).await?;
                return Ok(Some(holder.person));
            }
        }
        Ok(None)
    }

    fn check_anchor(&self, signed: &SignedOperation) -> Result<(), SponsorError> {
        let Body::Anchor(inception) = &signed.operation.body else {
            return Err(SponsorError::Kind);
        };
        // Endpoints are for organisations, whose names would stand under this authority's domain.
        if signed.sponsor.is_some() || !inception.endpoints.is_empty() || inception.check().is_err()
        {
            return Err(SponsorError::Kind);
        }
        let network = &self.ledger.genesis().network;
        if signed.operation.network != *network || inception.network != *network {
            return Err(SponsorError::Network);
        }
        match signed.signatures.as_slice() {
            [by] if inception.keys.current.contains(&by.key) => signed
                .verify_signatures()
                .map_err(|_| SponsorError::Signature),
            _ => Err(SponsorError::Signature),
        }
    }
}
