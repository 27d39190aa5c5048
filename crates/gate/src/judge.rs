//! What a wallet's answer is worth: whose ledger judges it, what that says of its issuers, and who has
//! come in.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realdid_core::did::DidId;
use realdid_core::governance::Recognised;
use realdid_core::hash::Hash32;
use realdid_core::state::{Issuer, Standing, issuer_id};
use realdid_credential::realpass::RealPassError;
use realdid_exchange::did_proof::{self, DidProofError, ReceivedProof};
use realdid_exchange::oidc::{Accounts, Login};
use realdid_exchange::vp::{
    self, AnswerTo, Expected, Presented, ResponseEvidence, ResponseRefused, VpError,
};

use crate::follower::Follower;
use crate::keys::random;
use crate::logins::Start;
use crate::now_ms;
use crate::refusal::Refusal;
use crate::returning::Person;
use crate::steps::{Entered, Inner, Via};
use crate::view::{Snapshot, View};

/// Who issued what was presented; none where nothing was, or where the ledger has no such issuer.
pub(crate) struct ClaimedIssuers {
    pub pid: Option<Issuer>,
    pub pass: Option<Issuer>,
}

/// Whose ledger judges what is presented.
pub(crate) struct Side<'a> {
    pub view: &'a View,
    pub follower: &'a Follower,
    /// What this gate's own network accepts of it, where it is another.
    pub recognised: Option<Recognised>,
}

/// A verified staple hangs on a checkpoint that may be newer than ours.
pub(crate) fn learn_from(view: &View, did: Option<&did_proof::VerifiedDid>, presented: &Presented) {
    let snapshot = view.snapshot();
    let known = snapshot.light.newest().map(|newest| newest.header.height);
    if let (Some(did), Some(proof)) = (did, &presented.did_proof)
        && known < Some(did.at.header.height)
        && let Ok(staple) = proof.unverified_staple()
    {
        // Its certificate has just been verified; what can fail is a race with the follower.
        let _ = view.advance(&staple.checkpoint);
    }
}

/// The issuer that a RealPass claims: which record of the ledger to fetch.
pub(crate) fn claimed_pass_issuer(presentation: &str) -> Option<Hash32> {
    presentation.split_once('.')?.0.parse().ok()
}

impl Inner {
    pub(crate) async fn verify(
        &self,
        id: &str,
        start: &Start,
        via: Via,
        presented: &Presented,
    ) -> Result<(Login, Option<Entered>), Refusal> {
        let side = self.side(presented)?;
        let issuers = self.claimed_issuers(&side, presented).await?;
        let list = match (&self.statuses, &presented.pid, &issuers.pid) {
            (Some(statuses), Some(pid), Some(issuer)) => {
                let at = (side.view, side.follower);
                statuses.list_of(at, pid, issuer).await?
            }
            _ => None,
        };
        let now_ms = now_ms();
        let snapshot = side.view.snapshot();
        let uri = self.response_uri(id, via);
        let (audience, answer_to) = match via {
            // Whichever of the requests it answers, it is shown to this page.
            Via::Browser if self.other_ways(start).next().is_some() => {
                let origin = &self.origin;
                (vp::audience_of(origin), AnswerTo::Browser(origin))
            }
            via => {
                let (signer, _) = self.signer(start, via)?;
                (signer.client_id(), AnswerTo::Uri(&uri))
            }
        };
        let expected = Expected {
            client_id: &audience,
            nonce: &start.nonce,
            ask: &self.ask(&start.request),
            answer_to,
            encrypt_to: start.encrypt_to.as_ref(),
            now_ms,
            max_age_s: self.login_s,
            display: None,
        };
        let evidence = ResponseEvidence {
            pid_issuer: issuers.pid.as_ref(),
            pass_issuer: issuers.pass.as_ref(),
            light: &snapshot.light,
            freshness: &side.view.freshness(now_ms),
            recognised: side.recognised.as_ref(),
            status_list: list.as_deref(),
        };
        let checked = vp::check_response(presented, &expected, &evidence).map_err(|error| {
            let own_age_ms = side.view.checkpoint_age_ms(now_ms);
            match error {
                // P9: the wallet could not have done better than the network does.
                VpError::Did(DidProofError::StapleStale)
                    if own_age_ms.is_none_or(|age_ms| age_ms > self.max_age_s * 1000) =>
                {
                    Refusal::STALE
                }
                error => error.into(),
            }
        })?;
        learn_from(side.view, checked.did.as_ref(), presented);
        let verdict = match &checked.pass {
            Some(claim) => Some(self.passes.verify(claim).await?),
            None => None,
        };
        let verified = checked.conclude(verdict)?;
        let parameters = &snapshot.light.genesis().parameters;
        let shown = verified.pass.map(|pass| Person {
            pseudonym: pass.pseudonym,
            issuer: pass.issuer,
            ends_ms: parameters.pass_ends_ms(pass.epoch),
        });
        let did = verified.did.map(|verified| verified.did);
        let service_id = self.trust.service_id();
        let (subject, person) = match (start.request.accounts, &did) {
            // G19: nobody is known again.
            (Accounts::None, _) => (URL_SAFE_NO_PAD.encode(random()?), None),
            (_, None) => return Err(ResponseRefused::Incomplete.into()),
            (Accounts::Did, Some(did)) => (self.keys.subject_of_did(&service_id, &did.id)?, None),
            (Accounts::Person, Some(did)) => {
                let person = match shown {
                    Some(person) => person,
                    // Only the home network's people come here: rule V15 asks others for more.
                    None => self.returning_person(&did.id, &snapshot, now_ms)?,
                };
                let subject = self
                    .keys
                    .subject_of_person(&service_id, &person.pseudonym)?;
                (subject, Some(person))
            }
        };
        let lapses_s = verified
            .lapses_s
            .or(person.map(|person| person.ends_ms / 1000));
        let (acr, claims) = start.request.conclude(verified.claims)?;
        let login = Login {
            request: start.request.clone(),
            subject,
            claims,
            acr,
            auth_time_s: now_ms / 1000,
        };
        let entered = did.map(|did| Entered {
            subject: login.subject.clone(),
            did,
            person,
            lapses_s: lapses_s.unwrap_or_default(),
        });
        Ok((login, entered))
    }

    /// The network whose ledger says what the presented is worth: this gate's own, or one of which
    /// this one accepts something now.
    pub(crate) fn side(&self, presented: &Presented) -> Result<Side<'_>, Refusal> {
        // What cannot be read is refused in its turn, by the home network's rules. A PID alone is judged
        // by them too.
        let proof = presented.did_proof.as_ref();
        let Some(Ok(did)) = proof.map(ReceivedProof::claimed_did) else {
            return Ok(self.home());
        };
        let home = &self.trust.home;
        if did.network == home.snapshot().light.genesis().network {
            return Ok(self.home());
        }
        let (neighbour, recognised) = self.abroad.accepted(&did.network, now_ms())?;
        Ok(Side {
            view: &neighbour.view,
            follower: &neighbour.follower,
            recognised: Some(recognised),
        })
    }

    /// This gate's own network.
    pub(crate) fn home(&self) -> Side<'_> {
        Side {
            view: &self.trust.home,
            follower: &self.follower,
            recognised: None,
        }
    }

    /// The records of whoever issued what is presented, by what it claims.
    pub(crate) async fn claimed_issuers(
        &self,
        side: &Side<'_>,
        presented: &Presented,
    ) -> Result<ClaimedIssuers, Refusal> {
        let (view, follower) = (side.view, side.follower);
        // A wallet may hear of the next committee before this gate does.
        let proof = presented.did_proof.as_ref();
        if let Some(Ok(staple)) = proof.map(ReceivedProof::unverified_staple) {
            follower.follow_anyone(view, &staple.checkpoint).await;
        }
        let pid = match &presented.pid {
            Some(pid) => {
                let url = vp::claimed_pid_issuer(pid)?;
                let by = view.snapshot().light.hash_function();
                follower.ensure_issuer(view, &issuer_id(by, &url)).await?
            }
            None => None,
        };
        let pass = match &presented.pass {
            Some(pass) => {
                let id = claimed_pass_issuer(pass).ok_or(VpError::from(RealPassError::Form))?;
                follower.ensure_issuer(view, &id).await?
            }
            None => None,
        };
        Ok(ClaimedIssuers { pid, pass })
    }

    /// The record of an issuer of this network, as fresh as the gate's limits ask; none where it is
    /// proved absent.
    pub(crate) async fn issuer(&self, id: &Hash32) -> Result<Option<Issuer>, Refusal> {
        self.follower.ensure_issuer(&self.trust.home, id).await
    }

    /// Who comes back by a DID alone, while whoever vouched for them still stands.
    fn returning_person(
        &self,
        did: &DidId,
        snapshot: &Snapshot,
        now_ms: u64,
    ) -> Result<Person, Refusal> {
        let person = self.returning.find(did, now_ms);
        let person = person.ok_or(ResponseRefused::PassNeeded)?;
        match self.trust.home.issuer(snapshot, &person.issuer, now_ms)? {
            Some(issuer) if issuer.standing == Standing::Active => Ok(person),
            _ => Err(ResponseRefused::IssuerSuspended.into()),
        }
    }
}
