//! A second independent implementation, in another language, signs, proves and verifies with ours
//! in both directions: `@digitalbazaar/bbs-signatures` on Node, core BBS only.

#![allow(clippy::unwrap_used)]

use realdid_pass::bbs::{Proof, SecretKey, Setting, random_scalars_for_proof};
use realdid_pass::curve::{Scalar, WIDE_BYTES};
use realdid_pass::suite::Interface;
use realdid_testkit::peer;
use serde_json::{Value, json};

const HEADER: &[u8] = b"header";
const PH: &[u8] = b"presentation header";

fn random(count: usize) -> Vec<Scalar> {
    (0..count)
        .map(|_| {
            let mut wide = [0; WIDE_BYTES];
            getrandom::fill(&mut wide).unwrap();
            Scalar::from_wide(&wide)
        })
        .collect()
}

fn ask_the_peer(case: &Value) -> Value {
    peer::ask(env!("CARGO_MANIFEST_DIR"), "bbs.mjs", case)
}

#[test]
fn core_bbs_agrees_with_another_language_both_ways() {
    let secret = SecretKey::from_material(&[3; 32], b"").unwrap();
    for (count, disclosed) in [(1, &[0][..]), (10, &[0, 4, 9]), (6, &[])] {
        let texts: Vec<String> = (0..count).map(|index| format!("message {index}")).collect();
        let messages: Vec<Scalar> = texts
            .iter()
            .map(|text| Interface::Core.message_to_scalar(text.as_bytes()))
            .collect();
        let setting = Setting::new(Interface::Core, &secret.public(), HEADER, count, None).unwrap();
        let signature = setting.sign(&secret, &messages).unwrap();
        let b = setting.verify(&signature, &messages).unwrap();
        let random = random(random_scalars_for_proof(count, disclosed.len()));
        let proof = setting
            .proof_gen(&signature, &b, &messages, disclosed, PH, &random)
            .unwrap();

        let answer = ask_the_peer(&json!({
            "secret_key": hex::encode(secret.to_bytes()),
            "public_key": hex::encode(secret.public().to_bytes()),
            "header": hex::encode(HEADER),
            "presentation_header": hex::encode(PH),
            "messages": texts.iter().map(hex::encode).collect::<Vec<_>>(),
            "disclosed": disclosed,
            "signature": hex::encode(signature.to_bytes()),
            "proof": hex::encode(proof.to_bytes()),
        }));
        assert_eq!(answer["signature_verified"], true);
        assert_eq!(answer["proof_verified"], true);
        assert_eq!(answer["signature"], hex::encode(signature.to_bytes()));

        let theirs = hex::decode(answer["proof"].as_str().unwrap()).unwrap();
        let theirs = Proof::from_bytes(&theirs).unwrap();
        let shown: Vec<(usize, Scalar)> = disclosed
            .iter()
            .map(|index| (*index, messages[*index]))
            .collect();
        setting.proof_verify(&theirs, &shown, PH).unwrap();
        assert!(setting.proof_verify(&theirs, &shown, b"other").is_err());
    }
}
