//! Operations of all kinds in the proportions of a busy day, and the state that they find.
//!
//! They come in hands of twenty: 4 anchors, 3 rotations and the quarrel over one DID (a recovery, its
//! cancellation, a freeze, the end), 3 enrolments with a suspension, a reset and its cancellation, a
//! registration, and of the rarer kinds one by turns. Two kinds are left out, since what they cost is
//! a pairing: anchors by RealPass and checkpoints of other networks.

use super::traffic::{Traffic, bytes, key, suite};
use crate::fail::Fail;
use realdid_core::did::{Keys, commitment};
use realdid_core::genesis::Parameters;
use realdid_core::hash::Hash32;
use realdid_core::operation::{AnchorBatch, Body, Decision, Show, SignedOperation};
use realdid_core::state::{
    DidRecord, EpochKey, PassPublicKey, ReasonCode, Service, Standing, did_key, governance_key,
    issuer_key, service_key,
};
use realdid_core::{codec, governance::NOTICE_BLOCKS};
use realdid_ledger::state::Change;

/// Operations in a hand.
pub const HAND: u64 = 20;

/// An issuer's people, with the parameters of their network and the epoch in which all happens.
pub struct Kinds {
    pub traffic: Traffic,
    pub parameters: Parameters,
    epoch: u64,
}

impl Kinds {
    pub fn new(parameters: Parameters, start_ms: u64) -> Result<Self, Fail> {
        let mut traffic = Traffic::new()?;
        let epoch = parameters.epoch_at(start_ms);
        traffic.issuer.pass_keys = vec![EpochKey {
            // The ledger never computes with it here.
            key: PassPublicKey([7; 96]),
            from_epoch: epoch,
        }];
        Ok(Self {
            traffic,
            parameters,
            epoch,
        })
    }

    /// The state before the first of so many hands: every DID that changes, and others up to `keys`.
    pub fn before(&self, hands: u64, keys: u64) -> Result<Vec<Change>, Fail> {
        let (by, issuer) = (self.traffic.network.hash_function(), &self.traffic.issuer);
        let shown_on = Service {
            seq: 0,
            digest: bytes("registration", u64::MAX),
            issuer: issuer.id(by),
            standing: Standing::Active,
            reason: ReasonCode::None,
        };
        let mut before = vec![
            (issuer_key(by, &issuer.id(by)), Some(codec::encode(issuer))),
            (
                governance_key(by),
                Some(codec::encode(&self.traffic.governance())),
            ),
            (
                service_key(by, &shown_service()),
                Some(codec::encode(&shown_on)),
            ),
        ];
        let mut put = |(id, record): (Hash32, DidRecord)| {
            before.push((did_key(by, &id), Some(codec::encode(&record))));
        };
        for n in 0..3 * hands {
            put(self.traffic.anchored(n)?);
        }
        for n in 0..hands {
            put(self.quarrelled(n)?);
        }
        for n in 4 * hands..keys {
            put(self.traffic.bystander(n));
        }
        Ok(before)
    }

    /// The `n`th DID over which its parties quarrel.
    fn quarrelled(&self, n: u64) -> Result<(Hash32, DidRecord), Fail> {
        let (_, mut record) = self.traffic.bystander(n);
        record.keys = Keys {
            current: vec![key("quarrel", n, suite(n))?.public()],
            next: commitment(&key("quarrel next", n, suite(n))?.public()),
            recovery: commitment(&key("quarrel words", n, suite(n))?.public()),
        };
        Ok((bytes("quarrelled", n), record))
    }

    /// The `n`th operation, for a block at `height`.
    pub fn operation(&self, n: u64, height: u64) -> Result<SignedOperation, Fail> {
        let (hand, nth) = (n / HAND, n % HAND);
        let traffic = &self.traffic;
        let by_issuer = |body| traffic.sign(body, traffic.by(n));
        let issuer = traffic.issuer.id(traffic.network.hash_function());
        let quarrelled = bytes("quarrelled", hand);
        let party = |which| key(which, hand, suite(hand));
        let tag = |at: u64| bytes("tag", 3 * hand + at);
        Ok(match nth {
            0..4 => traffic.anchor(4 * hand + nth)?,
            4..7 => traffic.rotate(3 * hand + nth - 4)?,
            7 => {
                let keys = Keys {
                    current: vec![key("quarrel won", hand, suite(hand))?.public()],
                    next: bytes("next", hand),
                    recovery: bytes("recovery", hand),
                };
                traffic.sign(Body::Recover(quarrelled, 1, keys), &party("quarrel words")?)
            }
            8 => traffic.sign(Body::Cancel(quarrelled, 2), &party("quarrel")?),
            9 => traffic.sign(Body::Freeze(quarrelled, 3), &party("quarrel words")?),
            10 => traffic.sign(Body::Deactivate(quarrelled, 4), &party("quarrel next")?),
            11..14 => traffic.enrol(3 * hand + nth - 11, self.epoch),
            14 => {
                let (suspended, why) = (Standing::Suspended, ReasonCode::LostDevice);
                by_issuer(Body::EnrolmentStanding(issuer, tag(0), 1, suspended, why))
            }
            15 => by_issuer(Body::ResetPass(issuer, tag(1), 1)),
            16 => by_issuer(Body::CancelReset(issuer, tag(1), 2)),
            17 => traffic.register(hand),
            18 => {
                let (suspended, why) = (Standing::Suspended, ReasonCode::LegalOrder);
                let service = bytes("service", hand);
                by_issuer(Body::ServiceStanding(issuer, service, 1, suspended, why))
            }
            _ => self.rare(hand, height)?,
        })
    }

    /// One of the rarer kinds, by turns.
    fn rare(&self, hand: u64, height: u64) -> Result<SignedOperation, Fail> {
        let traffic = &self.traffic;
        let by = traffic.network.hash_function();
        let by_issuer = |body| traffic.sign(body, traffic.by(hand));
        let issuer = traffic.issuer.id(by);
        let registering = &traffic.issuer.keys[traffic.issuer.keys.len() - 1];
        Ok(match hand % 5 {
            0 => by_issuer(Body::Batch(AnchorBatch {
                issuer,
                key: registering.id(),
                root: bytes("batch", hand),
                count: 1_000,
            })),
            1 => by_issuer(Body::PassTotal(issuer, self.epoch, hand + 1)),
            2 => by_issuer(Body::Display(Show {
                issuer,
                service: shown_service(),
                digest: bytes("display", hand),
                withdrawal: bytes("withdrawal", hand),
            })),
            3 => by_issuer(Body::WithdrawDisplay(
                bytes("display", hand - 1),
                ReasonCode::LegalOrder,
            )),
            _ => {
                let from = height + NOTICE_BLOCKS + 1;
                let decision = Decision::Parameters(from, self.parameters.clone());
                traffic.govern(hand / 5 + 1, decision)
            }
        })
    }
}

/// The service on which names are shown.
fn shown_service() -> Hash32 {
    bytes("service", u64::MAX)
}
