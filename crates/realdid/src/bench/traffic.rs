//! An issuer with a boundless quota, and operations that it and people sign.
//!
//! All keys come from fixed seeds, so two runs measure the same bytes. Where a key is only
//! committed to and never shown, its commitment is any 32 bytes.

use super::broken;
use crate::fail::Fail;
use realdid_core::did::{Inception, Keys, NetworkName, commitment};
use realdid_core::hash::{Domain, Hash32, hash};
use realdid_core::operation::{Body, Decision, Enrol, Operation, Show, SignedOperation};
use realdid_core::state::{
    DidRecord, Governance, Issuer, IssuerKey, KeyStatus, KeyUse, ReasonCode, Standing, TagKey,
};
use realdid_core::suite::{SecretKey, Suite};

/// The last height at which the operations are valid: within the window from the first block.
const EXPIRES: u64 = 5_000;

/// The suites by turns.
pub fn suite(n: u64) -> Suite {
    if n.is_multiple_of(2) {
        Suite::Ed25519
    } else {
        Suite::P256
    }
}

/// 32 bytes that look random and are the same in every run.
pub fn bytes(what: &str, n: u64) -> Hash32 {
    hash(
        Domain::Operation,
        &[b"realdid bench", what.as_bytes(), &n.to_be_bytes()],
    )
}

/// The `n`th key of a use.
pub fn key(what: &str, n: u64, suite: Suite) -> Result<SecretKey, Fail> {
    SecretKey::from_seed(suite, bytes(what, n).0).map_err(|_| broken("a fixed seed gives a key"))
}

/// A network's issuer and its people.
pub struct Traffic {
    pub network: NetworkName,
    pub issuer: Issuer,
    /// The issuer's operation keys, which sign in turn.
    operation: Vec<SecretKey>,
    /// A current key for the many that never sign.
    idle: [SecretKey; 2],
}

impl Traffic {
    /// Half Ed25519, half P-256.
    pub fn new() -> Result<Self, Fail> {
        Self::signed_by(&[suite(0), suite(1)])
    }

    /// An issuer that signs by these suites in turn.
    pub fn signed_by(suites: &[Suite]) -> Result<Self, Fail> {
        let operation = suites
            .iter()
            .zip(0..)
            .map(|(suite, n)| key("issuer", n, *suite));
        let operation: Vec<SecretKey> = operation.collect::<Result<_, Fail>>()?;
        let registration = key("registration", 0, Suite::P256)?;
        let listed = |usage, key: &SecretKey| IssuerKey {
            usage,
            key: key.public(),
            status: KeyStatus::Active,
            since: 0,
        };
        let issuer = Issuer {
            url: "https://issuer.example".to_owned(),
            keys: operation
                .iter()
                .map(|key| listed(KeyUse::Operation, key))
                .chain([listed(KeyUse::Registration, &registration)])
                .collect(),
            // The ledger never computes with it.
            tag_key: Some(TagKey(bytes("tag key", 0).0)),
            standing: Standing::Active,
            reason: ReasonCode::None,
            enrolment_quota: u64::MAX,
            sponsor_quota: u64::MAX,
            registration_quota: u64::MAX,
            pass_keys: Vec::new(),
        };
        Ok(Self {
            network: "bench"
                .parse()
                .map_err(|_| broken("bench is a network's name"))?,
            issuer,
            operation,
            idle: [key("idle", 0, suite(0))?, key("idle", 1, suite(1))?],
        })
    }

    pub fn governance(&self) -> Governance {
        Governance {
            seq: 0,
            threshold: 1,
            keys: vec![self.idle[0].public()],
        }
    }

    /// The `n`th DID's inception, and the key that signs its anchor.
    pub fn inception(&self, n: u64) -> Result<(Inception, SecretKey), Fail> {
        let current = key("current", n, suite(n))?;
        let inception = Inception {
            version: 1,
            network: self.network.clone(),
            keys: Keys {
                current: vec![current.public()],
                next: bytes("next", n),
                recovery: bytes("recovery", n),
            },
            endpoints: Vec::new(),
        };
        Ok((inception, current))
    }

    /// The `n`th DID's anchor, sponsored by the issuer.
    pub fn anchor(&self, n: u64) -> Result<SignedOperation, Fail> {
        let (inception, current) = self.inception(n)?;
        let signed = self.sign(Body::Anchor(inception), &current);
        Ok(signed.sponsored(self.issuer.id(self.network.hash_function()), self.by(n)))
    }

    /// A DID that was anchored long ago and is rotated by [`Traffic::rotate`].
    pub fn anchored(&self, n: u64) -> Result<(Hash32, DidRecord), Fail> {
        let next = key("rotating", n, suite(n))?;
        Ok((
            bytes("anchored", n),
            self.record(n, commitment(&next.public())),
        ))
    }

    /// A DID that is only there.
    pub fn bystander(&self, n: u64) -> (Hash32, DidRecord) {
        (bytes("bystander", n), self.record(n, bytes("next", n)))
    }

    fn record(&self, n: u64, next: Hash32) -> DidRecord {
        DidRecord {
            seq: 0,
            keys: Keys {
                current: vec![self.idle[n as usize % 2].public()],
                next,
                recovery: bytes("recovery", n),
            },
            endpoints: Vec::new(),
            frozen: false,
            pending: None,
            deactivated: false,
            created_ms: 0,
            updated_ms: 0,
            verified: None,
        }
    }

    /// The first rotation of the `n`th of [`Traffic::anchored`].
    pub fn rotate(&self, n: u64) -> Result<SignedOperation, Fail> {
        let keys = Keys {
            current: vec![self.idle[(n as usize + 1) % 2].public()],
            next: bytes("after", n),
            recovery: bytes("recovery", n),
        };
        let next = key("rotating", n, suite(n))?;
        Ok(self.sign(Body::Rotate(bytes("anchored", n), 1, keys), &next))
    }

    /// The `n`th person's first enrolment.
    pub fn enrol(&self, n: u64, epoch: u64) -> SignedOperation {
        let enrol = Enrol {
            issuer: self.issuer.id(self.network.hash_function()),
            tag: bytes("tag", n),
            seq: 0,
            commitment: bytes("commitment", n),
            epoch,
        };
        self.sign(Body::Enrol(enrol), self.by(n))
    }

    /// The `n`th service's registration.
    pub fn register(&self, n: u64) -> SignedOperation {
        let body = Body::Register(
            self.issuer.id(self.network.hash_function()),
            bytes("service", n),
            bytes("registration", n),
        );
        self.sign(body, self.by(n))
    }

    /// A service's registration with a digest of something.
    pub fn register_as(&self, service: Hash32, digest: Hash32) -> SignedOperation {
        let body = Body::Register(
            self.issuer.id(self.network.hash_function()),
            service,
            digest,
        );
        self.sign(body, self.by(0))
    }

    /// A display of a name at a service of this issuer.
    pub fn display(&self, show: Show) -> SignedOperation {
        self.sign(Body::Display(show), self.by(0))
    }

    /// A decision by the one who governs.
    pub fn govern(&self, seq: u64, decision: Decision) -> SignedOperation {
        let body = Body::Govern(seq, decision, ReasonCode::Scheduled);
        self.sign(body, &self.idle[0])
    }

    pub fn by(&self, n: u64) -> &SecretKey {
        &self.operation[n as usize % self.operation.len()]
    }

    pub fn sign(&self, body: Body, key: &SecretKey) -> SignedOperation {
        Operation::new(self.network.clone(), EXPIRES, body).sign(&[key])
    }
}
