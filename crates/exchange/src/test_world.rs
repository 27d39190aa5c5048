//! A small world for tests of logins: a network whose validators are one BLS key, an authority, a
//! registrar, a registered service and a person. No consensus, but real certificates, real proofs
//! and real credentials. Also used by the tests of the gate.
#![allow(
    dead_code,
    reason = "each of the crates that share this file uses a part of it"
)]

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use realdid_core::codec;
use realdid_core::did::{Inception, Keys, commitment};
use realdid_core::hash::{Domain, Hash32, HashFunction, ListPath, hash};
use realdid_core::state::{
    Batch, EpochKey, Issuer, IssuerKey, KeyStatus, KeyUse, PassPublicKey, ReasonCode, Service,
    Standing, batch_key, did_key, issuer_key, service_key,
};
use realdid_core::suite::{SecretKey, Suite};
use realdid_core::trie::Key;
use realdid_credential::jose::{self, Jwk, SigningKey};
use realdid_credential::{mdoc, pid, sd_jwt};
use realdid_exchange::batch::{self, InBatch};
use realdid_pass::facts::{self, Adult, Assurance, Continuity, Facts, Kind, Region};
use realdid_pass::{Credential, IssuerKey as PassIssuer, PseudonymSecrets};
use realdid_testkit::chain::TestLedger;
use realdid_testkit::person::TestRandom;
use serde_json::{Value, json};

const BY: HashFunction = HashFunction::Sha256;
pub const AUTHORITY: &str = "https://authority.example";
pub const REGISTRAR: &str = "https://registrar.example";
pub const SERVICE_ID: Hash32 = Hash32([0x51; 32]);

pub fn seed(n: u64) -> [u8; 32] {
    hash(Domain::Wallet, &[b"test", &n.to_be_bytes()]).0
}

pub fn key(n: u64) -> SecretKey {
    SecretKey::from_seed(Suite::Ed25519, seed(n)).unwrap()
}

pub fn p256(n: u64) -> SecretKey {
    SecretKey::from_seed(Suite::P256, seed(n)).unwrap()
}

pub fn jose_key(key: &SecretKey) -> SigningKey {
    match key.suite() {
        Suite::P256 => SigningKey::p256(key.seed()).unwrap(),
        Suite::Ed25519 => SigningKey::ed25519(key.seed()),
        Suite::Sm2 => SigningKey::sm2(key.seed()).unwrap(),
    }
}

pub fn issuer(url: &str, usage: KeyUse, key: &SecretKey) -> Issuer {
    Issuer {
        url: url.to_owned(),
        keys: vec![IssuerKey {
            usage,
            key: key.public(),
            status: KeyStatus::Active,
            since: 0,
        }],
        tag_key: None,
        standing: Standing::Active,
        reason: ReasonCode::None,
        enrolment_quota: 10,
        sponsor_quota: 10,
        registration_quota: 10,
        pass_keys: Vec::new(),
    }
}

/// The authority's RealPass key.
pub fn pass_issuer() -> PassIssuer {
    let terms = facts::terms("dev", &realdid_core::state::issuer_id(BY, AUTHORITY).0);
    PassIssuer::from_material(&seed(900), &terms, facts::FACTS).unwrap()
}

/// The `n`th person's RealPass for an epoch.
pub fn pass(epoch: u64, n: u64) -> Credential {
    let key = pass_issuer();
    let secrets = PseudonymSecrets::from_seed(&seed(10_000 + n));
    let request = secrets.request(&mut TestRandom(n)).unwrap();
    let kept = key.enrol(&mut TestRandom(n), &request).unwrap();
    let facts = Facts {
        epoch,
        adult: Adult::Yes,
        region: Region::East,
        kind: Kind::Resident,
        assurance: Assurance::High,
        continuity: Continuity::Unbroken,
    };
    let messages = facts.messages().unwrap();
    let issued = key.issue(&request, &kept, &messages).unwrap();
    Credential::accept(key.public(), &secrets, messages, issued).unwrap()
}

/// A person's DID for one service.
pub struct TestDid {
    pub inception: Inception,
    pub current: SecretKey,
    pub next: SecretKey,
    pub recovery: SecretKey,
}

pub fn did(n: u64) -> TestDid {
    let (current, next, recovery) = (key(100 * n), key(100 * n + 1), key(100 * n + 2));
    let inception = Inception {
        version: 1,
        network: "dev".parse().unwrap(),
        keys: Keys {
            current: vec![current.public()],
            next: commitment(&next.public()),
            recovery: commitment(&recovery.public()),
        },
        endpoints: Vec::new(),
    };
    TestDid {
        inception,
        current,
        next,
        recovery,
    }
}

impl TestDid {
    pub fn state_key(&self) -> Key {
        did_key(BY, &self.inception.id())
    }

    /// Its record right after an anchor.
    pub fn record(&self, time_ms: u64) -> realdid_core::state::DidRecord {
        realdid_core::state::DidRecord {
            seq: 0,
            keys: self.inception.keys.clone(),
            endpoints: Vec::new(),
            frozen: false,
            pending: None,
            deactivated: false,
            created_ms: time_ms,
            updated_ms: time_ms,
            verified: None,
        }
    }
}

/// What the registrar says about the service.
#[derive(Clone)]
pub struct Registered {
    pub domain: String,
    pub purposes: Vec<&'static str>,
    pub claims: Vec<Value>,
    pub sandbox: bool,
}

/// Everything that a login needs.
pub struct World {
    pub now_ms: u64,
    pub ledger: TestLedger,
    pub authority_key: SecretKey,
    pub registrar_key: SecretKey,
    /// Signs the gate's requests.
    pub gate_key: SigningKey,
    pub registration: String,
    /// The key of the PID copy.
    pub holder: SecretKey,
    pub did: TestDid,
}

impl World {
    pub fn new(now_ms: u64, gate_key: SigningKey, registered: &Registered) -> Self {
        let (authority_key, registrar_key) = (p256(1), p256(2));
        let ledger = TestLedger::new(
            now_ms - 60_000,
            vec![
                Issuer {
                    pass_keys: vec![EpochKey {
                        key: PassPublicKey(pass_issuer().public().to_bytes()),
                        from_epoch: 0,
                    }],
                    ..issuer(AUTHORITY, KeyUse::Pid, &authority_key)
                },
                issuer(REGISTRAR, KeyUse::Registration, &registrar_key),
            ],
        );
        let mut world = Self {
            now_ms,
            ledger,
            authority_key,
            registrar_key,
            gate_key,
            registration: String::new(),
            holder: p256(3),
            did: did(5),
        };
        world.register(registered, Standing::Active);
        world
    }

    /// Makes a registration and puts it on the ledger.
    pub fn register(&mut self, registered: &Registered, standing: Standing) {
        let header = json!({
            "typ": "verifier-attestation+jwt",
            "kid": kid(&self.registrar_key),
        });
        let payload = json!({
            "iss": REGISTRAR,
            "sub": SERVICE_ID.to_string(),
            "cnf": {"jwk": Jwk(self.gate_key.verifying_key()).to_value()},
            "domains": [registered.domain],
            "purposes": registered.purposes,
            "claims": registered.claims,
            "name": "Example shop",
            "sandbox": registered.sandbox,
            "iat": self.now_ms / 1000 - 60,
            "exp": self.now_ms / 1000 + 3600,
            "jti": hex_of(&[9; 16]),
        });
        self.registration = jose::sign_compact(
            header.as_object().unwrap(),
            payload.to_string().as_bytes(),
            &jose_key(&self.registrar_key),
        )
        .unwrap();
        let service = Service {
            seq: 1,
            digest: hash(Domain::Registration, &[self.registration.as_bytes()]),
            issuer: realdid_core::state::issuer_id(BY, REGISTRAR),
            standing,
            reason: ReasonCode::None,
        };
        self.ledger.set(
            service_key(BY, &SERVICE_ID),
            Some(codec::encode(&service)),
            self.now_ms,
        );
    }

    /// Changes an issuer on the ledger.
    pub fn change_issuer(&mut self, url: &str, change: impl FnOnce(&mut Issuer)) {
        let mut issuer = self.issuer(url);
        change(&mut issuer);
        let key = issuer_key(BY, &realdid_core::state::issuer_id(BY, url));
        self.ledger
            .set(key, Some(codec::encode(&issuer)), self.now_ms);
    }

    /// An issuer as the ledger has it.
    pub fn issuer(&self, url: &str) -> Issuer {
        let answer = self
            .ledger
            .answer(&issuer_key(BY, &realdid_core::state::issuer_id(BY, url)));
        realdid_core::state::decode_record(&answer.value.unwrap().0).unwrap()
    }

    pub fn service(&self) -> Service {
        let answer = self.ledger.answer(&service_key(BY, &SERVICE_ID));
        realdid_core::state::decode_record(&answer.value.unwrap().0).unwrap()
    }

    /// Puts a batch on the ledger, as of a height, that has this copy among others.
    pub fn anchor_copy(&mut self, credential: &str, height: u64) -> Vec<Hash32> {
        let mut items: Vec<Hash32> = (1u8..20).map(|n| Hash32([n; 32])).collect();
        items.push(batch::item(BY, credential).unwrap());
        items.sort();
        let root = BY.list_root(&items);
        let issuer = realdid_core::state::issuer_id(BY, AUTHORITY);
        let batch = Batch {
            key: commitment(&self.authority_key.public()),
            count: items.len() as u64,
            height,
        };
        self.ledger.set(
            batch_key(BY, &issuer, &root),
            Some(codec::encode(&batch)),
            self.now_ms,
        );
        items
    }

    /// What a wallet shows of the batch that has these items, by the newest checkpoint.
    pub fn in_batch(&self, credential: &str, items: Vec<Hash32>) -> InBatch {
        let item = batch::item(BY, credential).unwrap();
        let index = items.iter().position(|known| *known == item).unwrap();
        let issuer = realdid_core::state::issuer_id(BY, AUTHORITY);
        let key = batch_key(BY, &issuer, &BY.list_root(&items));
        InBatch {
            path: ListPath::of(BY, &items, index).unwrap(),
            record: self.ledger.answer(&key),
        }
    }

    /// A PID copy of the person, as issued.
    pub fn pid(&self) -> String {
        self.pid_with(AUTHORITY, &self.authority_key, self.now_ms / 1000 + 60)
    }

    /// The same PID as an mdoc.
    pub fn mdoc(&self) -> Vec<u8> {
        self.mdoc_with(&self.authority_key, AUTHORITY, self.now_ms / 1000 + 60)
    }

    pub fn mdoc_with(&self, key: &SecretKey, uri: &str, until_s: u64) -> Vec<u8> {
        let pid = pid::Pid {
            given_name: "Wei".into(),
            family_name: "Li".into(),
            birthdate: "1990-03-07".into(),
            age_over_18: true,
            sex: pid::Sex::NotKnown,
            nationalities: vec!["CN".into()],
            region: "990100".into(),
            resident_number: None,
            issuing_authority: "Authority".into(),
            issuing_country: "CN".into(),
            assurance: pid::Assurance::Substantial,
        };
        let leaf = certificate(key, uri);
        let terms = mdoc::Terms {
            doc_type: mdoc::pid::DOC_TYPE,
            signed_s: until_s - 120,
            from_s: until_s - 120,
            until_s,
            x5chain: &[&leaf],
            status: None,
        };
        let mut count = 0u8;
        let mut random = || {
            count += 1;
            [count; 32]
        };
        let device = jose_key(&self.holder).verifying_key();
        let copies = mdoc::pid::issue_batch(&pid, &terms, &[device], &jose_key(key), &mut random);
        copies.unwrap().remove(0)
    }

    pub fn pid_with(&self, iss: &str, key: &SecretKey, exp_s: u64) -> String {
        let claims = json!({
            "given_name": "Wei",
            "birthdate": "1990-03-07",
            "age_equal_or_over": {"18": true},
            "nationalities": ["CN"],
        });
        self.pid_saying(&claims, iss, key, exp_s)
    }

    pub fn pid_saying(&self, claims: &Value, iss: &str, key: &SecretKey, exp_s: u64) -> String {
        let terms = sd_jwt::Terms {
            iss,
            vct: pid::VCT,
            kid: &kid(key),
            iat_s: exp_s - 120,
            exp_s,
            x5c: &[],
        };
        let mut salt = 0u8;
        sd_jwt::issue(
            claims.as_object().unwrap(),
            &[],
            &terms,
            &Jwk(jose_key(&self.holder).verifying_key()),
            &jose_key(key),
            &mut || {
                salt += 1;
                [salt; 16]
            },
        )
        .unwrap()
    }
}

/// The certificate of a P-256 key, under a root of the test's.
pub fn certificate(key: &SecretKey, uri: &str) -> Vec<u8> {
    const PKCS8: &[u8] = &[
        0x30, 0x41, 2, 1, 0, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a,
        0x86, 0x48, 0xce, 0x3d, 3, 1, 7, 4, 0x27, 0x30, 0x25, 2, 1, 1, 4, 0x20,
    ];
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::try_from([PKCS8, key.seed()].concat().as_slice()).unwrap();
    let mut leaf = CertificateParams::default();
    leaf.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
    leaf.signed_by(&key, &root).unwrap().der().to_vec()
}

pub fn kid(key: &SecretKey) -> String {
    commitment(&key.public()).to_string()
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
