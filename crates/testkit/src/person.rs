//! People with a RealPass of the test network's authority.
//!
//! ```text
//! let person = TestPerson::new(&net, 1);
//! net.apply(&person.anchor(&net, &did, 0))        // for the person's slot 0
//! ```

use std::sync::OnceLock;

use crate::ledger::{AUTHORITY, TestDid, TestNet, seed};
use rand_core::{TryCryptoRng, TryRng};
use realdid_core::codec::Bytes;
use realdid_core::hash::HashFunction;
use realdid_core::operation::{Body, Personhood, SignedOperation, slot_id};
use realdid_core::state::{EpochKey, PassPublicKey, issuer_id};
use realdid_pass::facts::{self, Adult, Assurance, Continuity, Facts, Kind, Region};
use realdid_pass::{Context, Credential, IssuerKey, PseudonymSecrets};

/// The authority's RealPass key, which the test network has from its first epoch on.
pub fn pass_key() -> EpochKey {
    EpochKey {
        key: PassPublicKey(issuer().public().to_bytes()),
        from_epoch: 0,
    }
}

#[allow(clippy::expect_used, reason = "fixed material that gives a key")]
fn issuer() -> &'static IssuerKey {
    static KEY: OnceLock<IssuerKey> = OnceLock::new();
    KEY.get_or_init(|| {
        let terms = facts::terms("dev", &issuer_id(HashFunction::Sha256, AUTHORITY).0);
        IssuerKey::from_material(&seed(900), &terms, facts::FACTS).expect("a fixed key")
    })
}

/// Somebody whom the authority has verified.
pub struct TestPerson {
    pass: Credential,
    n: u64,
}

#[allow(
    clippy::expect_used,
    reason = "an honest holder of an honest issuer, from fixed seeds"
)]
impl TestPerson {
    /// The `n`th person, with a RealPass for the network's current epoch.
    pub fn new(net: &TestNet, n: u64) -> Self {
        Self::in_epoch(net.epoch(), n)
    }

    /// The `n`th person, with a RealPass for an epoch.
    pub fn in_epoch(epoch: u64, n: u64) -> Self {
        let secrets = PseudonymSecrets::from_seed(&seed(10_000 + n));
        let facts = Facts {
            epoch,
            adult: Adult::Yes,
            region: Region::East,
            kind: Kind::Resident,
            assurance: Assurance::High,
            continuity: Continuity::Unbroken,
        };
        let mut random = TestRandom(n);
        let request = secrets.request(&mut random).expect("a request");
        let kept = issuer().enrol(&mut random, &request).expect("an enrolment");
        let messages = facts.messages().expect("messages of the closed sets");
        let issued = issuer()
            .issue(&request, &kept, &messages)
            .expect("a RealPass");
        let pass = Credential::accept(issuer().public(), &secrets, messages, issued);
        Self {
            pass: pass.expect("an honest RealPass"),
            n,
        }
    }

    /// A DID's anchor for one of the person's slots of the current period.
    pub fn anchor(&self, net: &TestNet, did: &TestDid, slot: u64) -> SignedOperation {
        let period = net.genesis.parameters.personhood_period_at(net.now.time_ms);
        self.anchor_showing(net, did, (period, slot), &[facts::EPOCH])
    }

    /// The same for a slot of any period, showing the messages at `shown`.
    pub fn anchor_showing(
        &self,
        net: &TestNet,
        did: &TestDid,
        (period, slot): (u64, u64),
        shown: &[usize],
    ) -> SignedOperation {
        let signed = net.sign(Body::Anchor(did.inception.clone()), &[&did.current]);
        let context = Context::personhood_slot(&slot_id(net.network(), period, slot));
        let binding = signed.operation.personhood_binding();
        let presentation = self.pass.present(
            &mut TestRandom(self.n),
            issuer().public(),
            &context,
            shown,
            &binding.0,
        );
        signed.on_own_account(Personhood {
            issuer: net.authority.id,
            period,
            slot,
            presentation: Bytes(presentation.expect("a presentation").to_bytes()),
        })
    }
}

/// A generator that repeats: RealPass hashes what it draws with what it is for (realpass.md, B5).
pub struct TestRandom(pub u64);

impl TryRng for TestRandom {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(self.0 as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(self.0)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        let drawn = seed(self.0);
        bytes
            .iter_mut()
            .zip(drawn.iter().cycle())
            .for_each(|(byte, drawn)| *byte = *drawn);
        Ok(())
    }
}

impl TryCryptoRng for TestRandom {}
