//! An independent implementation of the same drafts signs, proves and verifies with ours, both
//! ways round.

use zkryptium::bbsplus::commitment::BlindFactor;
use zkryptium::bbsplus::keys::{BBSplusPublicKey, BBSplusSecretKey};
use zkryptium::bbsplus::pseudonym::{BBSplusPseudonym, PseudonymSecret};
use zkryptium::schemes::algorithms::BbsBls12381Sha256;
use zkryptium::schemes::generics::{BlindSignature, Commitment, PoKSignature};

use super::*;
use crate::bbs::{Proof, SecretKey, Setting, Signature, random_scalars_for_proof};
use crate::blind::{CommitmentBases, CommitmentWithProof, all_messages, blind_sign};
use crate::curve::Scalar;
use crate::hedge::Hedge;
use crate::suite::Interface;
use crate::tests::system;

type Suite = BbsBls12381Sha256;
type TheirSignature = zkryptium::schemes::generics::Signature<Suite>;
type TheirBlindSignature = BlindSignature<Suite>;
type TheirProof = PoKSignature<Suite>;

const HEADER: &[u8] = b"header";
const PH: &[u8] = b"presentation header";

struct Keys {
    secret: SecretKey,
    their_secret: BBSplusSecretKey,
    their_public: BBSplusPublicKey,
}

fn keys() -> Keys {
    let secret = SecretKey::from_material(&[7; 32], b"").unwrap();
    let their_secret = BBSplusSecretKey::from_bytes(secret.to_bytes().as_slice()).unwrap();
    let their_public = their_secret.public_key();
    assert_eq!(their_public.to_bytes(), secret.public().to_bytes());
    Keys {
        secret,
        their_secret,
        their_public,
    }
}

fn texts(count: usize, of: &str) -> Vec<Vec<u8>> {
    (0..count)
        .map(|index| format!("{of} {index}").into_bytes())
        .collect()
}

fn scalars(interface: Interface, messages: &[Vec<u8>]) -> Vec<Scalar> {
    messages
        .iter()
        .map(|message| interface.message_to_scalar(message))
        .collect()
}

fn random(count: usize) -> Vec<Scalar> {
    let hedge = Hedge {
        purpose: "test",
        witness: &[],
        about: &[],
    };
    hedge.scalars(&mut system(), count).to_vec()
}

fn pick<T: Clone>(from: &[T], indexes: &[usize]) -> Vec<T> {
    indexes.iter().map(|index| from[*index].clone()).collect()
}

#[test]
fn core_signatures_and_proofs_agree_both_ways() {
    let keys = keys();
    for (count, disclosed) in [(1, &[0][..]), (5, &[1, 3]), (10, &[]), (10, &[0, 9])] {
        let messages = texts(count, "message");
        let ours = scalars(Interface::Core, &messages);
        let setting =
            Setting::new(Interface::Core, &keys.secret.public(), HEADER, count, None).unwrap();
        let signature = setting.sign(&keys.secret, &ours).unwrap();
        let theirs = TheirSignature::sign(
            Some(&messages),
            &keys.their_secret,
            &keys.their_public,
            Some(HEADER),
        )
        .unwrap();
        assert_eq!(theirs.to_bytes(), signature.to_bytes());
        let b = setting.verify(&signature, &ours).unwrap();

        let proof = setting
            .proof_gen(
                &signature,
                &b,
                &ours,
                disclosed,
                PH,
                &random(random_scalars_for_proof(count, disclosed.len())),
            )
            .unwrap();
        TheirProof::from_bytes(&proof.to_bytes())
            .unwrap()
            .proof_verify(
                &keys.their_public,
                Some(&pick(&messages, disclosed)),
                Some(disclosed),
                Some(HEADER),
                Some(PH),
            )
            .unwrap();

        let their_proof = TheirProof::proof_gen(
            &keys.their_public,
            &theirs.to_bytes(),
            Some(HEADER),
            Some(PH),
            Some(&messages),
            Some(disclosed),
        )
        .unwrap();
        let shown: Vec<(usize, Scalar)> = disclosed
            .iter()
            .map(|index| (*index, ours[*index]))
            .collect();
        let read = Proof::from_bytes(&their_proof.to_bytes()).unwrap();
        setting.proof_verify(&read, &shown, PH).unwrap();
        assert!(setting.proof_verify(&read, &shown, b"other").is_err());
    }
}

#[test]
fn blind_signatures_and_proofs_agree_both_ways() {
    let keys = keys();
    let (messages, committed) = (texts(4, "signer's"), texts(3, "prover's"));
    let ours = scalars(Interface::Blind, &messages);
    let ours_committed = scalars(Interface::Blind, &committed);
    let setting =
        Setting::new(Interface::Blind, &keys.secret.public(), HEADER, 4, Some(3)).unwrap();
    let bases = CommitmentBases::new(Interface::Blind, 3).unwrap();

    // Our commitment, signed by them; theirs, signed by us.
    let drawn = random(5);
    let claim = bases.commit(&ours_committed, &drawn).unwrap();
    let their_signature = TheirBlindSignature::blind_sign(
        &keys.their_secret,
        &keys.their_public,
        Some(&claim.to_bytes()),
        Some(HEADER),
        Some(&messages),
    )
    .unwrap();
    let signature = Signature::from_bytes(&their_signature.to_bytes()).unwrap();
    let all = all_messages(&ours, &drawn[0], &ours_committed);
    let b = setting.verify(&signature, &all).unwrap();

    let (their_claim, their_blind) = Commitment::<Suite>::commit(Some(&committed)).unwrap();
    let read = CommitmentWithProof::from_bytes(&their_claim.to_bytes()).unwrap();
    bases.verify(&read).unwrap();
    let for_them = blind_sign(&setting, &keys.secret, Some(&read.commitment), None, &ours).unwrap();
    TheirBlindSignature::from_bytes(&for_them.to_bytes())
        .unwrap()
        .verify_blind_sign(
            &keys.their_public,
            Some(HEADER),
            Some(&messages),
            Some(&committed),
            Some(&their_blind),
        )
        .unwrap();

    // Proofs of each, verified by the other.
    let (disclosed, disclosed_committed) = ([0, 2], [1]);
    let indexes = [0, 2, 4 + 1 + 1];
    let proof = setting
        .proof_gen(&signature, &b, &all, &indexes, PH, &random(5 + 8 - 3))
        .unwrap();
    TheirProof::from_bytes(&proof.to_bytes())
        .unwrap()
        .blind_proof_verify(
            &keys.their_public,
            Some(HEADER),
            Some(PH),
            Some(4),
            Some(&pick(&messages, &disclosed)),
            Some(&pick(&committed, &disclosed_committed)),
            Some(&disclosed),
            Some(&disclosed_committed),
        )
        .unwrap();
    let their_proof = TheirProof::blind_proof_gen(
        &keys.their_public,
        &for_them.to_bytes(),
        Some(HEADER),
        Some(PH),
        Some(&messages),
        Some(&committed),
        Some(&disclosed),
        Some(&disclosed_committed),
        Some(&their_blind),
    )
    .unwrap();
    let shown: Vec<(usize, Scalar)> = indexes.iter().map(|index| (*index, all[*index])).collect();
    let read = Proof::from_bytes(&their_proof.to_bytes()).unwrap();
    setting.proof_verify(&read, &shown, PH).unwrap();
}

/// RealPass's own encodings, less the version byte, are the drafts': another implementation can
/// be the wallet, the issuer or the verifier.
#[test]
fn a_stock_implementation_can_be_wallet_issuer_and_verifier() {
    let keys = keys();
    let terms = b"terms";
    let header = [b"rdid/1/realpass\0".as_slice(), &[VERSION], terms].concat();
    let issuer = IssuerKey::from_secret_bytes(&keys.secret.to_bytes(), terms, 10).unwrap();
    let texts = texts(10, "message");
    let messages = Messages::new(texts.clone()).unwrap();
    let context_id = b"rdid/1/realpass-context/service\0shop";
    let context = Context::service(b"shop");
    let binding = b"nonce";
    let ph = b"rdid/1/realpass-presentation\0nonce";
    let disclosed = [0, 4];

    // Their wallet, our issuer, our verifier.
    let their_nyms = PseudonymSecret::random_vec(SECRETS);
    let (claim, blind) = Commitment::<Suite>::commit_with_nym(None, their_nyms.clone()).unwrap();
    let request = Request::from_bytes(&[&[VERSION], claim.to_bytes().as_slice()].concat()).unwrap();
    let kept = issuer.enrol(&mut system(), &request).unwrap();
    let issued = issuer.issue(&request, &kept, &messages).unwrap().to_bytes();
    let entropy = PseudonymSecret::from_bytes(issued[81..].try_into().unwrap()).unwrap();
    let signature = TheirBlindSignature::from_bytes(issued[1..81].try_into().unwrap()).unwrap();
    let their_secrets = signature
        .verify_finalize_with_nym(
            &keys.their_public,
            Some(&header),
            Some(&texts),
            None,
            their_nyms,
            Some(&entropy),
            Some(&blind),
        )
        .unwrap();
    let (their_proof, their_pseudonym) = TheirProof::proof_gen_with_nym(
        &keys.their_public,
        &signature.to_bytes(),
        Some(&header),
        Some(ph),
        &their_secrets,
        context_id,
        Some(&texts),
        None,
        Some(&disclosed),
        None,
        Some(&blind),
    )
    .unwrap();
    let mut bytes = vec![VERSION, 0, 0b0001_0001];
    for index in disclosed {
        bytes.push(texts[index].len() as u8);
        bytes.extend(&texts[index]);
    }
    bytes.extend(their_pseudonym.to_bytes());
    bytes.extend(their_proof.to_bytes());
    let shown = Presentation::from_bytes(&bytes)
        .unwrap()
        .verify(issuer.public(), &context, binding)
        .unwrap();
    assert_eq!(shown.pseudonym.0.to_vec(), their_pseudonym.to_bytes());

    // Our wallet, their issuer, their verifier.
    let secrets = PseudonymSecrets::from_seed(&[5; 32]);
    let request = secrets.request(&mut system()).unwrap().to_bytes();
    let signed = TheirBlindSignature::blind_sign_with_nym(
        &keys.their_secret,
        &keys.their_public,
        Some(&request[1..]),
        SECRETS,
        Some(&header),
        &entropy,
        Some(&texts),
    )
    .unwrap();
    let issued = [
        &[VERSION],
        signed.to_bytes().as_slice(),
        &entropy.to_bytes(),
    ]
    .concat();
    let issued = Issued::from_bytes(&issued).unwrap();
    let held = Credential::accept(issuer.public(), &secrets, messages, issued).unwrap();
    let bytes = held
        .present(
            &mut system(),
            issuer.public(),
            &context,
            &disclosed,
            binding,
        )
        .unwrap()
        .to_bytes();
    let start = 3 + disclosed
        .iter()
        .map(|index| 1 + texts[*index].len())
        .sum::<usize>();
    TheirProof::from_bytes(&bytes[start + 48..])
        .unwrap()
        .proof_verify_with_nym(
            &keys.their_public,
            Some(&header),
            Some(ph),
            &BBSplusPseudonym::from_bytes(&bytes[start..start + 48]).unwrap(),
            context_id,
            SECRETS,
            Some(10),
            Some(&pick(&texts, &disclosed)),
            None,
            Some(&disclosed),
            None,
        )
        .unwrap();
    let _: BlindFactor = blind;
}
