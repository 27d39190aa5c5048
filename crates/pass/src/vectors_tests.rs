//! The drafts' own fixtures (spec/vectors/bbs, bbs-blind, bbs-nym): every file, every value.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::bbs::{Proof, PublicKey, SecretKey, Setting, Signature, random_scalars_for_proof};
use crate::blind::{CommitmentBases, CommitmentWithProof, all_messages, blind_sign};
use crate::curve::{Affine, Point, Scalar, WIDE_BYTES, expand_message};
use crate::nym::{self, Claimed, ContextPoint, Showing, combined_header};
use crate::suite::{Interface, hash_to_scalar, p1};

const SEED: &[u8] = b"3.141592653589793238462643383279";
const COMMIT_DST: &[u8] =
    b"BBS_BLS12381G1_XMD:SHA-256_SSWU_RO_H2G_HM2S_COMMIT_MOCK_RANDOM_SCALARS_DST_";
const PROOF_DST: &[u8] =
    b"BBS_BLS12381G1_XMD:SHA-256_SSWU_RO_H2G_HM2S_PROOF_MOCK_RANDOM_SCALARS_DST_";
const CORE_PROOF_DST: &[u8] =
    b"BBS_BLS12381G1_XMD:SHA-256_SSWU_RO_H2G_HM2S_MOCK_RANDOM_SCALARS_DST_";

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../spec/vectors")
        .join(name)
}

/// One fixture, or a part of one.
struct Fixture(Value);

impl Fixture {
    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        Self(serde_json::from_str(&text).unwrap())
    }

    fn all(name: &str) -> Vec<(String, Self)> {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(folder(name))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        paths
            .into_iter()
            .map(|path| (path.display().to_string(), Self::read(&path)))
            .collect()
    }

    fn bytes(&self, pointer: &str) -> Vec<u8> {
        match self.0.pointer(pointer) {
            None | Some(Value::Null) => Vec::new(),
            Some(value) => {
                // The trace of one fixture has a letter after its last digit.
                let digits = value
                    .as_str()
                    .unwrap()
                    .trim_end_matches(|c: char| !c.is_ascii_hexdigit());
                hex::decode(digits).unwrap()
            }
        }
    }

    fn array<const N: usize>(&self, pointer: &str) -> [u8; N] {
        self.bytes(pointer).try_into().unwrap()
    }

    fn scalar(&self, pointer: &str) -> Scalar {
        match self.0.pointer(pointer) {
            None | Some(Value::Null) => Scalar::default(),
            Some(_) => Scalar::from_bytes(&self.array(pointer)).unwrap(),
        }
    }

    fn point(&self, pointer: &str) -> Affine {
        Affine::from_bytes(&self.array(pointer)).unwrap()
    }

    fn list(&self, pointer: &str) -> Vec<Vec<u8>> {
        match self.0.pointer(pointer) {
            None | Some(Value::Null) => Vec::new(),
            Some(value) => value
                .as_array()
                .unwrap()
                .iter()
                .map(|item| hex::decode(item.as_str().unwrap()).unwrap())
                .collect(),
        }
    }

    fn scalars(&self, pointer: &str) -> Vec<Scalar> {
        self.list(pointer)
            .into_iter()
            .map(|bytes| Scalar::from_bytes(&bytes.try_into().unwrap()).unwrap())
            .collect()
    }

    fn indexes(&self, pointer: &str) -> Vec<usize> {
        let values = self.0.pointer(pointer).unwrap().as_array().unwrap();
        values
            .iter()
            .map(|value| value.as_u64().unwrap() as usize)
            .collect()
    }

    /// A map from index to message, in the order of the indexes.
    fn revealed(&self, pointer: &str) -> Vec<(usize, Vec<u8>)> {
        let mut out: Vec<(usize, Vec<u8>)> = match self.0.pointer(pointer) {
            Some(Value::Object(map)) => map
                .iter()
                .map(|(index, text)| {
                    let message = hex::decode(text.as_str().unwrap()).unwrap();
                    (index.parse().unwrap(), message)
                })
                .collect(),
            _ => Vec::new(),
        };
        out.sort();
        out
    }

    fn is_valid(&self) -> bool {
        self.0.pointer("/result/valid").unwrap().as_bool().unwrap()
    }

    fn public_key(&self, pointer: &str) -> PublicKey {
        PublicKey::from_bytes(&self.array(pointer)).unwrap()
    }

    fn signature(&self) -> Signature {
        Signature::from_bytes(&self.array("/signature")).unwrap()
    }
}

fn to_scalars(interface: Interface, messages: &[Vec<u8>]) -> Vec<Scalar> {
    messages
        .iter()
        .map(|message| interface.message_to_scalar(message))
        .collect()
}

/// `seeded_random_scalars` (core draft, section 8.1).
fn mocked(seed: &[u8], dst: &[u8], count: usize) -> Vec<Scalar> {
    fn cut<const N: usize>(seed: &[u8], dst: &[u8]) -> Vec<Scalar> {
        expand_message::<N>(seed, dst)
            .chunks_exact(WIDE_BYTES)
            .map(|chunk| Scalar::from_wide(chunk.try_into().unwrap()))
            .collect()
    }
    // The length is an input of the hash, so each count has its own.
    macro_rules! by_count {
        ($($count:literal)*) => {
            match count {
                $($count => cut::<{ $count * WIDE_BYTES }>(seed, dst),)*
                _ => panic!("{count} random scalars"),
            }
        };
    }
    by_count!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32)
}

#[test]
fn generators_are_the_fixtures() {
    let core = Fixture::read(&folder("bbs/bls12-381-sha-256/generators.json"));
    let blind = Fixture::read(&folder("bbs-blind/bls12-381-sha-256/generators.json"));
    let nym = Fixture::read(&folder("bbs-nym/bls12-381-sha-256/generators.json"));
    let cases = [
        (&core, "", Interface::Core, false),
        (&blind, "/generators", Interface::Blind, false),
        (&blind, "/blindGenerators", Interface::Blind, true),
        (&nym, "/generators", Interface::Nym, false),
        (&nym, "/blindGenerators", Interface::Nym, true),
    ];
    for (fixture, prefix, interface, of_the_prover) in cases {
        let messages = fixture.list(&format!("{prefix}/MsgGenerators"));
        let ours = if of_the_prover {
            interface.blind_generators(messages.len() + 1)
        } else {
            interface.generators(messages.len() + 1)
        };
        assert!(fixture.point(&format!("{prefix}/P1")) == p1());
        assert!(fixture.point(&format!("{prefix}/Q1")) == ours[0]);
        assert!(!messages.is_empty());
        for (theirs, ours) in messages.iter().zip(&ours[1..]) {
            assert_eq!(hex::encode(theirs), hex::encode(ours.to_bytes()));
        }
    }
}

#[test]
fn keys_hashes_and_mocked_randomness_are_the_fixtures() {
    let pair = Fixture::read(&folder("bbs/bls12-381-sha-256/keypair.json"));
    let secret = SecretKey::generate(
        &pair.bytes("/keyMaterial"),
        &pair.bytes("/keyInfo"),
        &pair.bytes("/keyDst"),
    )
    .unwrap();
    assert_eq!(secret.to_bytes().to_vec(), pair.bytes("/keyPair/secretKey"));
    assert_eq!(
        secret.public().to_bytes().to_vec(),
        pair.bytes("/keyPair/publicKey")
    );

    let h2s = Fixture::read(&folder("bbs/bls12-381-sha-256/h2s.json"));
    let ours = hash_to_scalar(&h2s.bytes("/message"), &h2s.bytes("/dst"));
    assert!(ours == h2s.scalar("/scalar"));

    let map = Fixture::read(&folder(
        "bbs/bls12-381-sha-256/MapMessageToScalarAsHash.json",
    ));
    let cases = map.0["cases"].as_array().unwrap().len();
    assert_eq!(cases, 10);
    for case in 0..cases {
        let message = map.bytes(&format!("/cases/{case}/message"));
        let ours = Interface::Core.message_to_scalar(&message);
        assert!(ours == map.scalar(&format!("/cases/{case}/scalar")));
    }

    let rng = Fixture::read(&folder("bbs/bls12-381-sha-256/mockedRng.json"));
    let expected = rng.scalars("/mockedScalars");
    assert!(mocked(&rng.bytes("/seed"), &rng.bytes("/dst"), expected.len()) == expected);
}

#[test]
fn core_signatures_are_the_fixtures() {
    for (name, fixture) in Fixture::all("bbs/bls12-381-sha-256/signature") {
        let messages = to_scalars(Interface::Core, &fixture.list("/messages"));
        let key = fixture.public_key("/signerKeyPair/publicKey");
        let header = fixture.bytes("/header");
        let setting = Setting::new(Interface::Core, &key, &header, messages.len(), None).unwrap();
        let verified = setting.verify(&fixture.signature(), &messages);
        assert_eq!(verified.is_ok(), fixture.is_valid(), "{name}");
        let Ok(b) = verified else { continue };
        assert!(b == fixture.point("/trace/B").into(), "{name}");
        let secret = SecretKey::from_bytes(&fixture.array("/signerKeyPair/secretKey")).unwrap();
        let ours = setting.sign(&secret, &messages).unwrap();
        assert_eq!(ours.to_bytes().to_vec(), fixture.bytes("/signature"));
    }
}

#[test]
fn core_proofs_are_the_fixtures() {
    for (name, fixture) in Fixture::all("bbs/bls12-381-sha-256/proof") {
        let messages = to_scalars(Interface::Core, &fixture.list("/messages"));
        let disclosed = fixture.indexes("/disclosedIndexes");
        let shown: Vec<(usize, Scalar)> = disclosed
            .iter()
            .map(|index| (*index, messages[*index]))
            .collect();
        let proof = Proof::from_bytes(&fixture.bytes("/proof")).unwrap();
        let setting = Setting::new(
            Interface::Core,
            &fixture.public_key("/signerPublicKey"),
            &fixture.bytes("/header"),
            disclosed.len() + proof.hats.len(),
            None,
        )
        .unwrap();
        let presentation_header = fixture.bytes("/presentationHeader");
        let verified = setting.proof_verify(&proof, &shown, &presentation_header);
        assert_eq!(verified.is_ok(), fixture.is_valid(), "{name}: {verified:?}");
        assert_eq!(proof.to_bytes(), fixture.bytes("/proof"));
        if !fixture.is_valid() {
            continue;
        }
        let b = setting.verify(&fixture.signature(), &messages).unwrap();
        let count = random_scalars_for_proof(messages.len(), disclosed.len());
        let ours = setting
            .proof_gen(
                &fixture.signature(),
                &b,
                &messages,
                &disclosed,
                &presentation_header,
                &mocked(SEED, CORE_PROOF_DST, count),
            )
            .unwrap();
        assert_eq!(
            hex::encode(ours.to_bytes()),
            hex::encode(fixture.bytes("/proof"))
        );
    }
}

/// Commits anew with the mocked randomness, and checks the fixture's own commitment.
fn check_commitment(interface: Interface, fixture: &Fixture, committed: &[Scalar]) {
    let bases = CommitmentBases::new(interface, committed.len()).unwrap();
    let random = mocked(SEED, COMMIT_DST, committed.len() + 2);
    assert!(random[0] == fixture.scalar("/proverBlind"));
    let ours = bases.commit(committed, &random).unwrap();
    let theirs = fixture.bytes("/commitmentWithProof");
    assert_eq!(hex::encode(ours.to_bytes()), hex::encode(&theirs));
    let read = CommitmentWithProof::from_bytes(&theirs).unwrap();
    assert_eq!(read.committed(), committed.len());
    assert_eq!(bases.verify(&read).is_ok(), fixture.is_valid());
}

#[test]
fn blind_commitments_are_the_fixtures() {
    for (_, fixture) in Fixture::all("bbs-blind/bls12-381-sha-256/commit") {
        let committed = to_scalars(Interface::Blind, &fixture.list("/committedMessages"));
        check_commitment(Interface::Blind, &fixture, &committed);
    }
}

#[test]
fn nym_commitments_are_the_fixtures() {
    for (_, fixture) in Fixture::all("bbs-nym/bls12-381-sha-256/nymCommit") {
        let mut committed = to_scalars(Interface::Nym, &fixture.list("/committedMessages"));
        committed.extend(fixture.scalars("/proverNyms"));
        check_commitment(Interface::Nym, &fixture, &committed);
    }
}

fn commitment_of(fixture: &Fixture) -> Option<CommitmentWithProof> {
    let bytes = fixture.bytes("/commitmentWithProof");
    (!bytes.is_empty()).then(|| CommitmentWithProof::from_bytes(&bytes).unwrap())
}

#[test]
fn blind_signatures_are_the_fixtures() {
    for (name, fixture) in Fixture::all("bbs-blind/bls12-381-sha-256/signature") {
        let messages = to_scalars(Interface::Blind, &fixture.list("/messages"));
        let committed = to_scalars(Interface::Blind, &fixture.list("/committedMessages"));
        let setting = Setting::new(
            Interface::Blind,
            &fixture.public_key("/signerKeyPair/publicKey"),
            &fixture.bytes("/header"),
            messages.len(),
            Some(committed.len()),
        )
        .unwrap();
        let claim = commitment_of(&fixture);
        if let Some(claim) = &claim {
            let bases = CommitmentBases::new(Interface::Blind, committed.len()).unwrap();
            bases.verify(claim).unwrap();
        }
        let secret = SecretKey::from_bytes(&fixture.array("/signerKeyPair/secretKey")).unwrap();
        let commitment = claim.as_ref().map(|claim| &claim.commitment);
        let ours = blind_sign(&setting, &secret, commitment, None, &messages).unwrap();
        assert_eq!(
            hex::encode(ours.to_bytes()),
            hex::encode(fixture.bytes("/signature")),
            "{name}"
        );
        let all = all_messages(&messages, &fixture.scalar("/proverBlind"), &committed);
        let verified = setting.verify(&fixture.signature(), &all);
        assert_eq!(verified.is_ok(), fixture.is_valid(), "{name}");
    }
}

#[test]
fn blind_proofs_are_the_fixtures() {
    let known = Fixture::read(&folder("bbs-blind/messages.json"));
    for (name, fixture) in Fixture::all("bbs-blind/bls12-381-sha-256/proof") {
        let with_commitment = commitment_of(&fixture);
        let messages = to_scalars(Interface::Blind, &known.list("/messages"));
        let committed = if with_commitment.is_some() {
            to_scalars(Interface::Blind, &known.list("/committedMessages"))
        } else {
            Vec::new()
        };
        assert_eq!(fixture.0["L"].as_u64().unwrap() as usize, messages.len());
        let setting = Setting::new(
            Interface::Blind,
            &fixture.public_key("/signerPublicKey"),
            &fixture.bytes("/header"),
            messages.len(),
            Some(committed.len()),
        )
        .unwrap();
        let mut revealed = fixture.revealed("/revealedMessages");
        for (index, message) in fixture.revealed("/revealedCommittedMessages") {
            revealed.push((index + messages.len() + 1, message));
        }
        let shown: Vec<(usize, Scalar)> = revealed
            .iter()
            .map(|(index, message)| (*index, Interface::Blind.message_to_scalar(message)))
            .collect();
        let proof = Proof::from_bytes(&fixture.bytes("/proof")).unwrap();
        let presentation_header = fixture.bytes("/presentationHeader");
        let verified = setting.proof_verify(&proof, &shown, &presentation_header);
        assert_eq!(verified.is_ok(), fixture.is_valid(), "{name}: {verified:?}");

        let all = all_messages(&messages, &fixture.scalar("/proverBlind"), &committed);
        let b = setting.verify(&fixture.signature(), &all).unwrap();
        let disclosed: Vec<usize> = shown.iter().map(|(index, _)| *index).collect();
        let count = random_scalars_for_proof(all.len(), disclosed.len());
        let ours = setting
            .proof_gen(
                &fixture.signature(),
                &b,
                &all,
                &disclosed,
                &presentation_header,
                &mocked(SEED, PROOF_DST, count),
            )
            .unwrap();
        assert_eq!(
            hex::encode(ours.to_bytes()),
            hex::encode(fixture.bytes("/proof"))
        );
    }
}

fn nym_setting(fixture: &Fixture, key: &str, messages: usize, committed: usize) -> Setting {
    let secrets = fixture.list("/proverNyms").len();
    Setting::new(
        Interface::Nym,
        &fixture.public_key(key),
        &combined_header(&fixture.bytes("/header"), secrets),
        messages,
        Some(committed + secrets),
    )
    .unwrap()
}

#[test]
fn nym_signatures_are_the_fixtures() {
    for (name, fixture) in Fixture::all("bbs-nym/bls12-381-sha-256/nymSignature") {
        let messages = to_scalars(Interface::Nym, &fixture.list("/messages"));
        let mut committed = to_scalars(Interface::Nym, &fixture.list("/committedMessages"));
        let pointer = "/signerKeyPair/publicKey";
        let setting = nym_setting(&fixture, pointer, messages.len(), committed.len());
        let mut secrets = fixture.scalars("/proverNyms");
        let entropy = fixture.scalar("/signer_nym_entropy");
        let generators = Interface::Nym.blind_generators(committed.len() + secrets.len() + 1);
        let extra = Point::from(generators[generators.len() - 1]).mul_secret(&entropy);
        let secret = SecretKey::from_bytes(&fixture.array("/signerKeyPair/secretKey")).unwrap();
        let claim = commitment_of(&fixture).unwrap();
        let commitment = Some(&claim.commitment);
        let ours = blind_sign(&setting, &secret, commitment, Some(extra), &messages).unwrap();
        assert_eq!(
            hex::encode(ours.to_bytes()),
            hex::encode(fixture.bytes("/signature")),
            "{name}"
        );
        let last = secrets.len() - 1;
        secrets[last] = secrets[last] + entropy;
        assert!(secrets == fixture.scalars("/nym_secrets"), "{name}");
        committed.extend(secrets);
        let all = all_messages(&messages, &fixture.scalar("/proverBlind"), &committed);
        let verified = setting.verify(&fixture.signature(), &all);
        assert_eq!(verified.is_ok(), fixture.is_valid(), "{name}");
    }
}

#[test]
fn nym_proofs_are_the_fixtures() {
    for (name, fixture) in Fixture::all("bbs-nym/bls12-381-sha-256/nymProof") {
        let messages = to_scalars(Interface::Nym, &fixture.list("/messages"));
        let mut committed = to_scalars(Interface::Nym, &fixture.list("/committedMessages"));
        let secrets = fixture.scalars("/nym_secrets");
        assert_eq!(fixture.0["L"].as_u64().unwrap() as usize, messages.len());
        let setting = nym_setting(
            &fixture,
            "/signerPublicKey",
            messages.len(),
            committed.len(),
        );
        let mut revealed = fixture.revealed("/revealedMessages");
        for (index, message) in fixture.revealed("/revealedCommittedMessages") {
            revealed.push((index + messages.len() + 1, message));
        }
        let shown: Vec<(usize, Scalar)> = revealed
            .iter()
            .map(|(index, message)| (*index, Interface::Nym.message_to_scalar(message)))
            .collect();
        let proof = Proof::from_bytes(&fixture.bytes("/proof")).unwrap();
        let presentation_header = fixture.bytes("/presentationHeader");
        let context = ContextPoint::new(&fixture.bytes("/context_id"));
        let claimed = Claimed {
            setting: &setting,
            proof: &proof,
            pseudonym: &fixture.point("/pseudonym"),
            secrets: secrets.len(),
            context: &context,
            disclosed: shown.clone(),
            presentation_header: presentation_header.clone(),
        };
        let verified = nym::verify_responses(&[claimed])
            .pop()
            .unwrap()
            .and_then(|()| setting.proof_pairing(&proof));
        assert_eq!(verified.is_ok(), fixture.is_valid(), "{name}: {verified:?}");

        let secret_count = secrets.len();
        committed.extend(secrets);
        let all = all_messages(&messages, &fixture.scalar("/proverBlind"), &committed);
        let b = setting.verify(&fixture.signature(), &all).unwrap();
        let disclosed: Vec<usize> = shown.iter().map(|(index, _)| *index).collect();
        let count = random_scalars_for_proof(all.len(), disclosed.len());
        let (ours, pseudonym) = nym::proof_gen(
            &setting,
            &fixture.signature(),
            &b,
            &all,
            secret_count,
            &Showing {
                context: &context,
                disclosed: &disclosed,
                presentation_header: &presentation_header,
            },
            &mocked(SEED, PROOF_DST, count),
        )
        .unwrap();
        assert_eq!(
            hex::encode(ours.to_bytes()),
            hex::encode(fixture.bytes("/proof"))
        );
        assert!(pseudonym == fixture.point("/pseudonym"));
    }
}
