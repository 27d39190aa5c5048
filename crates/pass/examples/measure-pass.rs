//! `cargo run -p realdid-pass --example measure-pass -- ID`: one bench of the scheme, with the peer and
//! the limit measured in the same process, in turns, by the kernel's account of this thread.
//!
//! Prints two lines for `cargo xtask bench`: ours, and the peer's where there is one. The peer is
//! zkryptium 0.8, an independent implementation of the same drafts, with the same messages and as
//! many pseudonym secrets. Without an id it prints all of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use getrandom::SysRng;
use rand_core::UnwrapErr;
use realdid_pass::curve::{
    Affine, Multiples, PublicPoint, Scalar, expand_message, hash_to_curve_g1, pairings_cancel,
    sum_of_multiples, sum_public,
};
use realdid_pass::{
    Claim, Context, Credential, Issued, IssuerKey, Kept, Messages, Presentation, PseudonymSecrets,
    Request, SECRETS, VERSION, verify_batch,
};
use realdid_testkit::turns::rates;
use zkryptium::bbsplus::commitment::BlindFactor;
use zkryptium::bbsplus::keys::{BBSplusPublicKey, BBSplusSecretKey};
use zkryptium::bbsplus::pseudonym::{BBSplusPseudonym, PseudonymSecret};
use zkryptium::schemes::algorithms::BbsBls12381Sha256;
use zkryptium::schemes::generics::{BlindSignature, Commitment, PoKSignature};

const PEER: &str = "zkryptium 0.8.0";
const MESSAGES: usize = 10;
const SHOWN: [usize; 2] = [0, 4];
const BATCH: usize = 64;
const TERMS: &[u8] = b"bench";
const BINDING: &[u8] = b"nonce";
const PH: &[u8] = b"rdid/1/realpass-presentation\0nonce";
const CONTEXT: &[u8] = b"rdid/1/realpass-context/service\0shop";

/// The operating system's generator; whoever runs this wants to hear if it fails.
fn system() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// A person with a credential, by ours and by the peer, under one key.
struct World {
    issuer: IssuerKey,
    secrets: PseudonymSecrets,
    kept: Kept,
    messages: Messages,
    credential: Credential,
    context: Context,
    peer: Peer,
}

struct Peer {
    secret: BBSplusSecretKey,
    public: BBSplusPublicKey,
    header: Vec<u8>,
    messages: Vec<Vec<u8>>,
    claim: Vec<u8>,
    blind: BlindFactor,
    entropy: PseudonymSecret,
    secrets: Vec<PseudonymSecret>,
    signature: [u8; 80],
}

impl Peer {
    fn new(issuer: &IssuerKey, messages: &[Vec<u8>]) -> Self {
        let secret = BBSplusSecretKey::from_bytes(issuer.secret_bytes().as_slice()).unwrap();
        let public = secret.public_key();
        let header = [b"rdid/1/realpass\0".as_slice(), &[VERSION], TERMS].concat();
        let nyms = PseudonymSecret::random_vec(SECRETS);
        let (claim, blind) =
            Commitment::<BbsBls12381Sha256>::commit_with_nym(None, nyms.clone()).unwrap();
        let claim = claim.to_bytes();
        let entropy = PseudonymSecret::random();
        let signature = BlindSignature::<BbsBls12381Sha256>::blind_sign_with_nym(
            &secret,
            &public,
            Some(&claim),
            SECRETS,
            Some(&header),
            &entropy,
            Some(messages),
        )
        .unwrap();
        let secrets = signature
            .verify_finalize_with_nym(
                &public,
                Some(&header),
                Some(messages),
                None,
                nyms,
                Some(&entropy),
                Some(&blind),
            )
            .unwrap();
        Self {
            signature: signature.to_bytes(),
            messages: messages.to_vec(),
            secret,
            public,
            header,
            claim,
            blind,
            entropy,
            secrets,
        }
    }

    fn issue(&self) {
        BlindSignature::<BbsBls12381Sha256>::blind_sign_with_nym(
            &self.secret,
            &self.public,
            Some(&self.claim),
            SECRETS,
            Some(&self.header),
            &self.entropy,
            Some(&self.messages),
        )
        .unwrap();
    }

    fn prove(&self) -> (Vec<u8>, Vec<u8>) {
        let (proof, pseudonym) = PoKSignature::<BbsBls12381Sha256>::proof_gen_with_nym(
            &self.public,
            &self.signature,
            Some(&self.header),
            Some(PH),
            &self.secrets,
            CONTEXT,
            Some(&self.messages),
            None,
            Some(&SHOWN),
            None,
            Some(&self.blind),
        )
        .unwrap();
        (proof.to_bytes(), pseudonym.to_bytes())
    }

    fn verify(&self, proof: &[u8], pseudonym: &[u8]) {
        let shown: Vec<Vec<u8>> = SHOWN.map(|index| self.messages[index].clone()).to_vec();
        PoKSignature::<BbsBls12381Sha256>::from_bytes(proof)
            .unwrap()
            .proof_verify_with_nym(
                &self.public,
                Some(&self.header),
                Some(PH),
                &BBSplusPseudonym::from_bytes(pseudonym).unwrap(),
                CONTEXT,
                SECRETS,
                Some(MESSAGES),
                Some(&shown),
                None,
                Some(&SHOWN),
                None,
            )
            .unwrap();
    }
}

impl World {
    fn new() -> Self {
        let issuer = IssuerKey::from_material(&[1; 32], TERMS, MESSAGES).unwrap();
        let texts: Vec<Vec<u8>> = (0..MESSAGES)
            .map(|index| format!("message {index}").into_bytes())
            .collect();
        let messages = Messages::new(texts.clone()).unwrap();
        let secrets = PseudonymSecrets::from_seed(&[1; 32]);
        let request = secrets.request(&mut system()).unwrap();
        let kept = issuer.enrol(&mut system(), &request).unwrap();
        let issued = issuer.issue(&request, &kept, &messages).unwrap();
        let credential =
            Credential::accept(issuer.public(), &secrets, messages.clone(), issued).unwrap();
        let peer = Peer::new(&issuer, &texts);
        Self {
            issuer,
            secrets,
            kept,
            messages,
            credential,
            context: Context::service(b"shop"),
            peer,
        }
    }

    fn present(&self) -> Vec<u8> {
        let key = self.issuer.public();
        self.credential
            .present(&mut system(), key, &self.context, &SHOWN, BINDING)
            .unwrap()
            .to_bytes()
    }

    /// Different ones, so that no branch predictor learns one by heart.
    fn present_all(&self) -> Vec<Vec<u8>> {
        (0..BATCH).map(|_| self.present()).collect()
    }

    fn verify(&self, bytes: &[u8]) {
        Presentation::from_bytes(bytes)
            .unwrap()
            .verify(self.issuer.public(), &self.context, BINDING)
            .unwrap();
    }

    fn verify_all(&self, all: &[Vec<u8>]) {
        let read: Vec<Presentation> = all
            .iter()
            .map(|bytes| Presentation::from_bytes(bytes).unwrap())
            .collect();
        let claims: Vec<Claim<'_>> = read
            .iter()
            .map(|presentation| Claim {
                presentation,
                context: &self.context,
                binding: BINDING,
            })
            .collect();
        let answers = verify_batch(&mut system(), self.issuer.public(), &claims);
        assert!(answers.iter().all(Result::is_ok));
    }
}

fn scalar(seed: usize) -> Scalar {
    Scalar::from_wide(&expand_message(&seed.to_be_bytes(), b"bench"))
}

fn point(seed: usize) -> Affine {
    hash_to_curve_g1(&seed.to_be_bytes(), b"bench").to_affine()
}

/// What verifying one proof cannot do without: T1, T2, U, and two pairings with one final
/// exponentiation, on points and tables that are ready.
struct Bare {
    staying: Vec<Multiples>,
    /// For each proof, the scalars of the points that stay, and points with their scalars.
    fixed: Vec<Vec<Scalar>>,
    free: Vec<Vec<(Affine, Scalar)>>,
    key: PublicPoint,
    generator: PublicPoint,
    left: Affine,
    right: Affine,
}

impl Bare {
    fn new() -> Self {
        // P1 + Q_1 · domain, the messages, the blind, the secrets.
        let fixed = 1 + MESSAGES + 1 + SECRETS;
        let bases: Vec<Affine> = (0..fixed).map(point).collect();
        let of_proof = |proof: usize, count: usize| (proof * 100..).take(count);
        let secret = scalar(99);
        let left = point(1);
        let right = -realdid_pass::curve::Point::from(left).mul_secret(&secret);
        Self {
            staying: Multiples::of_staying(&bases),
            fixed: (0..BATCH)
                .map(|proof| of_proof(proof, fixed).map(scalar).collect())
                .collect(),
            free: (0..BATCH)
                .map(|proof| {
                    of_proof(proof, 3)
                        .map(|seed| (point(seed), scalar(seed + 50)))
                        .collect()
                })
                .collect(),
            key: PublicPoint::generator_times_secret(&secret),
            generator: PublicPoint::generator(),
            left,
            right: right.to_affine(),
        }
    }

    fn multiply(&self, proof: usize) {
        let (fixed, free) = (&self.fixed[proof], &self.free[proof]);
        let points: Vec<Affine> = free.iter().map(|(point, _)| *point).collect();
        let passing = Multiples::of_passing(&points);
        let scalars = || free.iter().map(|(_, scalar)| *scalar);
        let t1 = sum_of_multiples(passing.iter().zip(scalars()));
        let fixed = self.staying.iter().zip(fixed.iter().copied());
        let t2 = sum_of_multiples(fixed.chain(passing.iter().zip(scalars()).take(1)));
        let u = sum_public(&free[..2]);
        assert!(!(t1 + t2 + u).is_identity());
    }

    fn pair(&self) {
        assert!(pairings_cancel(
            &self.left,
            &self.key,
            &self.right,
            &self.generator
        ));
    }
}

struct Row {
    id: &'static str,
    workload: &'static str,
    ours: f64,
    peer: Option<f64>,
    limit: Option<(&'static str, f64)>,
    goal: &'static str,
}

fn measure(id: &str, world: &World) -> Option<Row> {
    let bare = Bare::new();
    Some(match id {
        "pass_verify" => {
            let all = world.present_all();
            let mut next = (0..BATCH).cycle();
            let mut proofs = (0..BATCH).cycle();
            let (proof, pseudonym) = world.peer.prove();
            let rates = rates(&mut [
                (1, Box::new(|| world.verify(&all[next.next().unwrap()]))),
                (1, Box::new(|| world.peer.verify(&proof, &pseudonym))),
                (
                    1,
                    Box::new(|| {
                        bare.multiply(proofs.next().unwrap());
                        bare.pair();
                    }),
                ),
            ]);
            Row {
                id: "pass_verify",
                workload: "one presentation, read and verified: 10 messages of which 2 are shown, a pseudonym from 8 secrets",
                ours: rates[0],
                peer: Some(rates[1]),
                limit: Some((
                    "the multiplications and the pairings of one proof alone",
                    rates[2],
                )),
                goal: "ratio >= 8",
            }
        }
        "pass_verify_batch" => {
            let all = world.present_all();
            let mut next = (0..BATCH).cycle();
            let rates = rates(&mut [
                (BATCH, Box::new(|| world.verify_all(&all))),
                (1, Box::new(|| world.verify(&all[next.next().unwrap()]))),
            ]);
            Row {
                id: "pass_verify_batch",
                workload: "64 presentations under one key, read and verified together",
                ours: rates[0],
                peer: None,
                limit: Some(("one presentation after the other", rates[1])),
                goal: "limit_ratio >= 1.8",
            }
        }
        "pass_prove" => {
            let rates = rates(&mut [
                (
                    1,
                    Box::new(|| {
                        world.present();
                    }),
                ),
                (
                    1,
                    Box::new(|| {
                        world.peer.prove();
                    }),
                ),
            ]);
            Row {
                id: "pass_prove",
                workload: "one presentation made: 10 messages of which 2 are shown, a pseudonym from 8 secrets",
                ours: rates[0],
                peer: Some(rates[1]),
                limit: None,
                goal: "ratio >= 8",
            }
        }
        "pass_issue" => {
            let request = world.secrets.request(&mut system()).unwrap().to_bytes();
            let issue = || -> Issued {
                let request = Request::from_bytes(&request).unwrap();
                world
                    .issuer
                    .issue(&request, &world.kept, &world.messages)
                    .unwrap()
            };
            let rates = rates(&mut [
                (
                    1,
                    Box::new(|| {
                        issue().to_bytes();
                    }),
                ),
                (1, Box::new(|| world.peer.issue())),
            ]);
            Row {
                id: "pass_issue",
                workload: "one refresh: request read, commitment compared, its proof verified, 10 messages signed",
                ours: rates[0],
                peer: Some(rates[1]),
                limit: None,
                goal: "ours >= 1000",
            }
        }
        _ => return None,
    })
}

fn main() {
    const IDS: [&str; 4] = [
        "pass_verify",
        "pass_verify_batch",
        "pass_prove",
        "pass_issue",
    ];
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let world = World::new();
    for id in IDS
        .iter()
        .filter(|id| asked.is_empty() || asked.iter().any(|a| a == *id))
    {
        let row = measure(id, &world).expect("an id of the list");
        let unit = match row.id {
            "pass_issue" => "issues/cpu-s",
            "pass_prove" => "proofs/cpu-s",
            _ => "presentations/cpu-s",
        };
        if let Some(value) = row.peer {
            let peer = serde_json::json!({
                "id": row.id, "peer": PEER, "peer_value": value, "unit": unit,
            });
            println!("{peer}");
        }
        let ours = serde_json::json!({
            "id": row.id, "workload": row.workload, "unit": unit, "ours": row.ours,
            "limit": row.limit.map(|(limit, _)| limit),
            "limit_value": row.limit.map(|(_, value)| value), "goal": row.goal,
        });
        println!("{ours}");
    }
}
