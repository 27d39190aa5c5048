//! An authority's part of issuing RealPasses, in memory, by the rules of `pass` and `exchange`.

use crate::content::RealPasses;
use crate::random::seeded;
use crate::realpass::{self, Expected, PassRefused};
use crate::secret::Secret32;
use realdid_core::did::NetworkName;
use realdid_core::hash::HashFunction;
use realdid_core::state::{
    EpochKey, Issuer, IssuerKey as DocumentKey, KeyStatus, KeyUse, PassPublicKey, ReasonCode,
    Standing, issuer_id,
};
use realdid_core::suite::Suite;
use realdid_exchange::vci::{PassAnswer, PassRequest, VciError};
use realdid_pass::facts::{self, Adult, Assurance, Continuity, Facts, Kind, Region};
use realdid_pass::{IssuerKey, Kept};
use realdid_testkit::ledger::{AUTHORITY, key_of, seed};
use serde_json::Value;

const BY: HashFunction = HashFunction::Sha256;

/// The epoch of the tests.
pub const EPOCH: u64 = 30_000_000;

pub fn network() -> NetworkName {
    "dev".parse().unwrap()
}

/// The authority's RealPass key: the one that the testkit's network has on its ledger.
pub fn key() -> IssuerKey {
    key_with(900, "dev", facts::FACTS)
}

pub fn key_with(material: u64, network: &str, messages: usize) -> IssuerKey {
    let terms = facts::terms(network, &issuer_id(BY, AUTHORITY).0);
    IssuerKey::from_material(&seed(material), &terms, messages).unwrap()
}

/// The key of an authority at `url`, with its record on the ledger.
pub fn authority_at(url: &str) -> (IssuerKey, Issuer) {
    let terms = facts::terms("dev", &issuer_id(BY, url).0);
    let key = IssuerKey::from_material(&seed(900), &terms, facts::FACTS).unwrap();
    let record = Issuer {
        url: url.to_owned(),
        ..record(&key)
    };
    (key, record)
}

/// Its record on the ledger.
pub fn record(key: &IssuerKey) -> Issuer {
    let document = DocumentKey {
        usage: KeyUse::Pid,
        key: key_of(Suite::P256, 1).public(),
        status: KeyStatus::Active,
        since: 0,
    };
    Issuer {
        url: AUTHORITY.to_owned(),
        keys: vec![document],
        tag_key: None,
        standing: Standing::Active,
        reason: ReasonCode::None,
        enrolment_quota: 0,
        sponsor_quota: 0,
        registration_quota: 0,
        pass_keys: vec![EpochKey {
            key: PassPublicKey(key.public().to_bytes()),
            from_epoch: 0,
        }],
    }
}

pub fn some_facts(epoch: u64) -> Facts {
    Facts {
        epoch,
        adult: Adult::Yes,
        region: Region::East,
        kind: Kind::Resident,
        assurance: Assurance::Substantial,
        continuity: Continuity::Unbroken,
    }
}

/// One person's record at the authority.
pub struct Desk {
    pub key: IssuerKey,
    pub kept: Option<Kept>,
}

impl Desk {
    pub fn new() -> Self {
        Self {
            key: key(),
            kept: None,
        }
    }

    /// Answers a request as an honest authority does, with these facts.
    pub fn answer(&mut self, body: &Value, facts: Facts) -> Result<Value, VciError> {
        let asked = PassRequest::parse(body.to_string().as_bytes())?;
        let kept = match &self.kept {
            Some(kept) => kept.clone(),
            None => self.key.enrol(&mut seeded().unwrap(), &asked.request)?,
        };
        let messages = facts.messages()?;
        let issued = self.key.issue(&asked.request, &kept, &messages)?;
        self.kept = Some(kept);
        Ok(PassAnswer { facts, issued }.to_body())
    }
}

pub fn passes(kit: u8) -> RealPasses {
    let kit = crate::seed::Kit::new(&[kit; 16], [kit; 32]).unwrap();
    RealPasses::new(kit.pass_seed())
}

/// The body of a request for an epoch.
pub fn request(seed: &Secret32, epoch: u64) -> Value {
    realpass::request(seed, epoch, &mut seeded().unwrap()).unwrap()
}

/// Takes an answer for [`EPOCH`] against the desk's record and nothing else, and keeps it.
pub fn take(passes: &mut RealPasses, answer: &Value, epoch: u64) -> Result<(), PassRefused> {
    let record = record(&key());
    let expected = Expected {
        network: &network(),
        epoch,
        issuer: &record,
        enrolment: None,
        pid: None,
    };
    let held = realpass::take(answer.to_string().as_bytes(), passes, &expected)?;
    passes.keep(held, epoch);
    Ok(())
}

/// A person who holds an honest RealPass of an epoch.
pub fn holder(kit: u8, epoch: u64) -> RealPasses {
    let mut passes = passes(kit);
    let answer = Desk::new()
        .answer(&request(&passes.seed, epoch), some_facts(epoch))
        .unwrap();
    take(&mut passes, &answer, epoch).unwrap();
    passes
}
