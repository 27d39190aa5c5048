//! `cargo run -p realdid-credential --example measure-credential -- ID`: one bench of the formats, with its
//! limit measured in the same process, in turns, by the kernel's account of this thread.
//!
//! Prints lines for `cargo xtask bench`: ours, and before it the peer's where the peer is a
//! program that this machine has anyway (Python's zlib).

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write as _;
use std::process::{Command, Stdio};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    ParsedPublicKey,
};
use realdid_credential::ClaimPath;
use realdid_credential::jose::{Jwk, SigningKey};
use realdid_credential::pid::{self, Assurance, Pid, Sex, VCT};
use realdid_credential::sd_jwt::{
    Binding, Evidence, IssuerEvidence, IssuerKey, ParsedSdJwt, Terms, present,
};
use realdid_credential::status::{Status, StatusList, Width, delta};
use realdid_testkit::turns::rates;
use serde_json::{Value, json};

/// Random enough for sizes and places, and the same in each run.
struct Sequence(u64);

impl Sequence {
    fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| (self.next() >> 56) as u8)
    }
}

struct Row {
    workload: &'static str,
    unit: &'static str,
    ours: f64,
    peer: Option<(String, f64)>,
    limit: Option<(&'static str, f64)>,
    goal: &'static str,
}

// ---- SD-JWT -------------------------------------------------------------------------------

/// Copies in a batch, as an authority makes them.
const COPIES: usize = 10;
/// Presentations, each of another holder key.
const PRESENTATIONS: usize = 200;
const AUDIENCE: &str = "verifier_attestation:bench";
const NONCE: &str = "bm9uY2Ugb2YgdGhlIGJlbmNobWFyaw";
const TERMS: Terms<'_> = Terms {
    iss: "https://issuer.example",
    vct: VCT,
    kid: "1",
    iat_s: 1_800_000_000,
    exp_s: 1_800_003_600,
    x5c: &[],
};

/// A person with the ten claims of a PID without a resident number.
fn person() -> Pid {
    Pid {
        given_name: "Person".to_owned(),
        family_name: "Example".to_owned(),
        birthdate: "1990-01-01".to_owned(),
        age_over_18: true,
        sex: Sex::Female,
        nationalities: vec!["XX".to_owned()],
        region: "980000".to_owned(),
        resident_number: None,
        issuing_authority: "Example Authority".to_owned(),
        issuing_country: "XX".to_owned(),
        assurance: Assurance::High,
    }
}

fn key(sequence: &mut Sequence) -> SigningKey {
    SigningKey::p256(&sequence.bytes()).unwrap()
}

/// Fresh salts, drawn from the system as many at once as a batch needs.
struct Salts {
    drawn: Vec<u8>,
}

impl Salts {
    fn next(&mut self) -> [u8; 16] {
        if self.drawn.is_empty() {
            self.drawn = vec![0; 16 * 256];
            aws_lc_rs::rand::fill(&mut self.drawn).unwrap();
        }
        let rest = self.drawn.len() - 16;
        let salt = self.drawn[rest..].try_into().unwrap();
        self.drawn.truncate(rest);
        salt
    }
}

/// What the signatures alone cost, over as many bytes.
struct Bare {
    pair: EcdsaKeyPair,
    message: Vec<u8>,
}

impl Bare {
    fn new(message_len: usize) -> Self {
        Self {
            pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            message: vec![7; message_len],
        }
    }

    fn sign(&self) -> Vec<u8> {
        let message = std::hint::black_box(&self.message);
        let signature = self.pair.sign(&SystemRandom::new(), message).unwrap();
        signature.as_ref().to_vec()
    }
}

/// The JWT's part of a copy, which is what its signature covers.
fn signed_len(copy: &str) -> usize {
    copy.split('~').next().unwrap().rfind('.').unwrap()
}

fn sdjwt_issue() -> Row {
    let mut sequence = Sequence(1);
    let issuer = key(&mut sequence);
    let holders: Vec<Jwk> = (0..COPIES)
        .map(|_| Jwk(key(&mut sequence).verifying_key()))
        .collect();
    let person = person();
    let mut salts = Salts { drawn: Vec::new() };
    let mut batch =
        || pid::issue_batch(&person, &TERMS, &holders, &issuer, &mut || salts.next()).unwrap();
    let bare = Bare::new(signed_len(&batch()[0]));
    let rates = rates(&mut [
        (COPIES, Box::new(|| _ = std::hint::black_box(batch()))),
        (1, Box::new(|| _ = std::hint::black_box(bare.sign()))),
    ]);
    Row {
        workload: "batches of 10 copies with 10 selectively disclosable claims, each copy with its own holder key",
        unit: "copies/cpu-s",
        ours: rates[0],
        peer: None,
        limit: Some(("one P-256 signature alone", rates[1])),
        goal: "limit_ratio >= 0.6 and ratio >= 8",
    }
}

fn presentations(issuer: &SigningKey, sequence: &mut Sequence) -> Vec<String> {
    let person = person();
    let asked = [&["age_equal_or_over", "18"][..], &["nationalities"]];
    let asked: Vec<ClaimPath> = asked.iter().map(|p| ClaimPath::of(p).unwrap()).collect();
    let binding = Binding {
        nonce: NONCE,
        aud: AUDIENCE,
        iat_s: TERMS.iat_s,
    };
    let mut salts = Salts { drawn: Vec::new() };
    let one = |_| {
        let holder = key(sequence);
        let holders = [Jwk(holder.verifying_key())];
        let copies =
            pid::issue_batch(&person, &TERMS, &holders, issuer, &mut || salts.next()).unwrap();
        let copy = ParsedSdJwt::parse(&copies[0]).unwrap();
        present(&copy, &asked, &binding, &holder).unwrap()
    };
    (0..PRESENTATIONS).map(one).collect()
}

fn sdjwt_verify() -> Row {
    let mut sequence = Sequence(2);
    let issuer = key(&mut sequence);
    let shown = presentations(&issuer, &mut sequence);
    let issuer_keys = [IssuerKey {
        iss: TERMS.iss.to_owned(),
        kid: TERMS.kid.to_owned(),
        key: issuer.verifying_key(),
    }];
    let evidence = Evidence {
        issuer: IssuerEvidence {
            issuer_keys: &issuer_keys,
            accepted_vcts: &[VCT],
            now_s: TERMS.iat_s,
            clock_skew_s: 10,
        },
        nonce: NONCE,
        aud: AUDIENCE,
        max_kb_age_s: 300,
    };
    // The limit: a signature of the issuer's length and one of the binding's, keys ready.
    let bare: Vec<(ParsedPublicKey, Bare, Vec<u8>)> = (0..PRESENTATIONS)
        .map(|n| {
            let (jwt, kb) = (signed_len(&shown[n]), shown[n].rsplit('~').next().unwrap());
            let len = if n.is_multiple_of(2) {
                jwt
            } else {
                kb.rfind('.').unwrap()
            };
            let bare = Bare::new(len);
            let public = bare.pair.public_key().as_ref();
            let public = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public).unwrap();
            let signature = bare.sign();
            (public, bare, signature)
        })
        .collect();
    let (mut next, mut next_bare) = ((0..PRESENTATIONS).cycle(), (0..PRESENTATIONS).cycle());
    let rates = rates(&mut [
        (
            1,
            Box::new(|| {
                let verified = pid::verify(&shown[next.next().unwrap()], &evidence).unwrap();
                assert_eq!(verified.claims.len(), 2);
            }),
        ),
        (
            1,
            Box::new(|| {
                for _ in 0..2 {
                    let (public, bare, signature) = &bare[next_bare.next().unwrap()];
                    public.verify_sig(&bare.message, signature).unwrap();
                }
            }),
        ),
    ]);
    Row {
        workload: "one presentation with 2 of 10 claims disclosed: issuer signature, disclosures, expiry, key binding, audience, nonce; each with another holder key",
        unit: "presentations/cpu-s",
        ours: rates[0],
        peer: None,
        limit: Some(("two P-256 verifications alone", rates[1])),
        goal: "limit_ratio >= 0.7 and ratio >= 3",
    }
}

// ---- status lists -------------------------------------------------------------------------

const ENTRIES: u64 = 1_400_000_000;
const URI: &str = "https://issuer.example/status/1";

/// A nation's list, one in a hundred revoked.
fn list() -> StatusList {
    let mut sequence = Sequence(3);
    let mut bytes = vec![0u8; (ENTRIES / 8) as usize];
    for byte in &mut bytes {
        for bit in 0..8 {
            *byte |= u8::from(sequence.next().is_multiple_of(100)) << bit;
        }
    }
    StatusList::from_bytes(Width::One, bytes).unwrap()
}

/// Bytes that say which of `of` are set, when one in 1/p is.
fn entropy_bytes(of: f64, p: f64) -> f64 {
    -of * (p * p.log2() + (1.0 - p) * (1.0 - p).log2()) / 8.0
}

/// The size of the same list by zlib's best level, in C.
fn zlib_size(list: &StatusList) -> f64 {
    let script = "import sys, zlib; print(len(zlib.compress(sys.stdin.buffer.read(), 9)), zlib.ZLIB_RUNTIME_VERSION)";
    let mut python = Command::new("python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is needed for its zlib");
    let mut input = python.stdin.take().unwrap();
    input.write_all(list.as_bytes()).unwrap();
    drop(input);
    let output = python.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

fn status_list() -> Row {
    let list = list();
    let ours = list.deflate().unwrap();
    assert!(StatusList::inflate(Width::One, &ours, list.as_bytes().len()).unwrap() == list);
    Row {
        workload: "a list of 1.4e9 bits, 1 % set, compressed",
        unit: "entries/byte",
        ours: ENTRIES as f64 / ours.len() as f64,
        peer: Some((
            "zlib, level 9".to_owned(),
            ENTRIES as f64 / zlib_size(&list),
        )),
        limit: Some((
            "the entropy",
            ENTRIES as f64 / entropy_bytes(ENTRIES as f64, 0.01),
        )),
        goal: "ratio >= 1",
    }
}

fn status_list_lookup() -> Row {
    let list = list();
    let mut sequence = Sequence(4);
    let mut revoked = 0u64;
    let rates = rates(&mut [(
        1000,
        Box::new(|| {
            for _ in 0..1000 {
                let status = list.at(sequence.next() % ENTRIES).unwrap();
                revoked += u64::from(status == Status::Invalid);
            }
        }),
    )]);
    assert!(revoked > 0);
    Row {
        workload: "one look-up at random in a loaded list of 1.4e9 bits, 1 % set",
        unit: "look-ups/cpu-s",
        ours: rates[0],
        peer: None,
        limit: None,
        goal: "ours >= 1000000",
    }
}

fn status_list_delta() -> Row {
    let old = list();
    let mut new = old.clone();
    let mut sequence = Sequence(5);
    let mut changes = 0u64;
    // One in ten thousand: more than a day's revocations.
    for _ in 0..ENTRIES / 10_000 {
        let idx = sequence.next() % ENTRIES;
        if new.at(idx).unwrap() == Status::Valid {
            new.change(idx, Status::Invalid).unwrap();
            changes += 1;
        }
    }
    let made = delta::make(&old, &new, URI).unwrap();
    let digest = new.digest(URI);
    let applied = delta::apply(&old, &made, URI, &digest, old.as_bytes().len()).unwrap();
    assert!(applied == new);
    let (of, changes) = (ENTRIES as f64, changes as f64);
    Row {
        workload: "the delta of one in ten thousand newly revoked of 1.4e9, its head included",
        unit: "changes/byte",
        ours: changes / made.len() as f64,
        peer: None,
        limit: Some((
            "the entropy of the change",
            changes / entropy_bytes(of, changes / of),
        )),
        goal: "limit_ratio >= 0.8334",
    }
}

fn main() {
    const BENCHES: [(&str, fn() -> Row); 5] = [
        ("sdjwt_issue", sdjwt_issue),
        ("sdjwt_verify", sdjwt_verify),
        ("status_list", status_list),
        ("status_list_lookup", status_list_lookup),
        ("status_list_delta", status_list_delta),
    ];
    let asked: Vec<String> = std::env::args().skip(1).collect();
    for (id, bench) in BENCHES {
        if !asked.is_empty() && !asked.iter().any(|a| a == id) {
            continue;
        }
        let row = bench();
        if let Some((name, value)) = &row.peer {
            let peer = json!({"id": id, "peer": name, "peer_value": value, "unit": row.unit});
            println!("{peer}");
        }
        let ours: Value = json!({
            "id": id, "workload": row.workload, "unit": row.unit, "ours": row.ours,
            "limit": row.limit.map(|(limit, _)| limit),
            "limit_value": row.limit.map(|(_, value)| value), "goal": row.goal,
        });
        println!("{ours}");
    }
}
