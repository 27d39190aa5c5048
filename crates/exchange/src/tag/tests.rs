//! The vectors of RFC 9497, and what each side refuses.

use super::*;
use realdid_core::suite::{SecretKey, Suite};

const NUMBER: &str = "990101 19900307 123x";

fn secret() -> TagSecret {
    TagSecret::from_seed(&[7; 32]).unwrap()
}

fn number() -> Number {
    normalise(NUMBER).unwrap()
}

fn bytes<const N: usize>(hex_text: &str) -> [u8; N] {
    hex::decode(hex_text).unwrap().try_into().unwrap()
}

#[test]
fn a_number_has_one_normal_form() {
    assert_eq!(number().as_str(), "99010119900307123X");
    assert!(normalise("99010119900307123X") == Ok(number()));
    for wrong in ["", "   ", "99010119900307123Ⅹ", "9901;01", &"1".repeat(33)] {
        assert!(normalise(wrong) == Err(TagError::Number));
    }
}

#[test]
fn p6_wallet_and_authority_agree_on_one_tag_whatever_the_blinding() {
    let (secret, number) = (secret(), number());
    let mut tags = Vec::new();
    for seed in [[1; 32], [2; 32]] {
        let client = blind(&number, &seed).unwrap();
        let (evaluation, seen) = evaluate(&secret, &number, &client, &[9; 32]).unwrap();
        let own = finish(&client, &number, &evaluation, &secret.public()).unwrap();
        assert_eq!(own, seen);
        tags.push(own);
    }
    assert_eq!(tags[0], tags[1]);
    assert_eq!(tags[0], tag(&secret, &number).unwrap());
    let other = TagSecret::from_seed(&[8; 32]).unwrap();
    assert_ne!(tags[0], tag(&other, &number).unwrap());
}

#[test]
fn p6_an_evaluation_under_another_key_than_the_ledgers_is_refused() {
    let client = blind(&number(), &[1; 32]).unwrap();
    let (evaluation, _) = evaluate(&secret(), &number(), &client, &[9; 32]).unwrap();
    let other = TagSecret::from_seed(&[8; 32]).unwrap();
    assert_eq!(
        finish(&client, &number(), &evaluation, &other.public()),
        Err(TagError::Proof)
    );
}

#[test]
fn a_tampered_evaluation_is_refused() {
    let key = secret().public();
    let client = blind(&number(), &[1; 32]).unwrap();
    let (evaluation, _) = evaluate(&secret(), &number(), &client, &[9; 32]).unwrap();
    for place in [0, 31, 32, 63] {
        let mut bad = evaluation.clone();
        bad.proof[place] ^= 1;
        let refused = finish(&client, &number(), &bad, &key);
        assert!(matches!(
            refused,
            Err(TagError::Proof | TagError::Malformed)
        ));
    }
    let mut bad = evaluation.clone();
    bad.element = secret().public().0;
    assert_eq!(finish(&client, &number(), &bad, &key), Err(TagError::Proof));
    bad.element = [0; 32];
    assert_eq!(
        finish(&client, &number(), &bad, &key),
        Err(TagError::Malformed)
    );
    assert_eq!(
        finish(&client, &number(), &evaluation, &TagKey([0xff; 32])),
        Err(TagError::Malformed)
    );
}

#[test]
fn the_authority_is_no_oracle_for_other_numbers() {
    let other = normalise("990101199003071248").unwrap();
    let client = blind(&other, &[1; 32]).unwrap();
    assert_eq!(
        evaluate(&secret(), &number(), &client, &[9; 32]),
        Err(TagError::OtherNumber)
    );
    // the right element beside a wrong blinding factor, and the reverse
    let honest = blind(&number(), &[1; 32]).unwrap();
    let mut mixed = honest.clone();
    mixed.0[..32].copy_from_slice(&client.0[..32]);
    mixed.0[0] ^= 2;
    assert!(evaluate(&secret(), &number(), &mixed, &[9; 32]).is_err());
    let mut mixed = honest;
    mixed.0[32..].copy_from_slice(&client.0[32..]);
    assert_eq!(
        evaluate(&secret(), &number(), &mixed, &[9; 32]),
        Err(TagError::OtherNumber)
    );
}

#[test]
fn malformed_client_states_are_refused() {
    let honest = blind(&number(), &[1; 32]).unwrap();
    let (zero, ones, mut identity) = ([0u8; 64], [0xff; 64], honest.0);
    identity[32..].fill(0);
    for wrong in [zero, ones, identity] {
        assert_eq!(
            evaluate(&secret(), &number(), &ClientState(wrong), &[9; 32]),
            Err(TagError::Malformed)
        );
    }
    assert!(serde_json::from_str::<ClientState>("\"AAAA\"").is_err());
    let text = serde_json::to_string(&honest).unwrap();
    assert!(serde_json::from_str::<ClientState>(&text).unwrap() == honest);
}

/// RFC 9497, appendix A.1.2: key derivation, and the first vector's messages and output.
#[test]
fn rfc_9497_vector() {
    let server = VoprfServer::<Ristretto255>::new_from_seed(&[0xa3; 32], b"test key").unwrap();
    let key = bytes::<32>("c803e2cc6b05fc15064549b5920659ca4a77b2cca6f04f6b357009335476ad4e");
    assert_eq!(
        <[u8; 32]>::from(Ristretto255::serialize_elem(server.get_public_key())),
        key
    );
    let blind = "64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706";
    let blinded = "863f330cc1a1259ed5a5998a23acfd37fb4351a793a5b3c090b642ddc439b945";
    let blind_scalar = Ristretto255::deserialize_scalar(&bytes::<32>(blind)).unwrap();
    let made =
        VoprfClient::<Ristretto255>::deterministic_blind_unchecked(&[0], blind_scalar).unwrap();
    assert_eq!(hex::encode(made.message.serialize()), blinded);

    let client = ClientState(bytes(&format!("{blind}{blinded}")));
    let evaluation = Evaluation {
        element: bytes("aa8fa048764d5623868679402ff6108d2521884fa138cd7f9c7669a9a014267e"),
        proof: bytes(
            "ddef93772692e535d1a53903db24367355cc2cc78de93b3be5a8ffcc6985dd06\
             6d4346421d17bf5117a2a1ff0fcb2a759f58a539dfbe857a40bce4cf49ec600d",
        ),
    };
    let input = Number("\0".to_owned());
    let output = bytes::<64>(
        "b58cfbe118e0cb94d79b5fd6a6dafb98764dff49c14e1770b566e42402da1a7d\
         a4d8527693914139caee5bd03903af43a491351d23b430948dd50cde10d32b3c",
    );
    assert_eq!(
        finish(&client, &input, &evaluation, &TagKey(key)),
        Ok(tag_of(&output))
    );
    assert_eq!(tag(&TagSecret(server), &input), Ok(tag_of(&output)));
}

#[test]
fn a_commitment_hides_behind_its_salt() {
    let key = SecretKey::from_seed(Suite::P256, [1; 32]).unwrap().public();
    assert_ne!(
        enrolment_commitment(&[1; 32], &key),
        enrolment_commitment(&[2; 32], &key)
    );
}

#[test]
fn p1_evidence_does_not_print_itself() {
    let evidence = CardEvidence {
        kind: SYNTHETIC_CARD.into(),
        person: "r-0001".into(),
        given_name: "Wei".into(),
        family_name: "Zhang".into(),
        resident_number: NUMBER.into(),
        birthdate: "1990-03-07".into(),
        card_secret: "c2VjcmV0".into(),
    };
    let evidence = Evidence::from(evidence);
    assert_eq!(format!("{evidence:?}"), "Evidence(…)");
}

#[test]
fn a_foreigners_number_is_nobody_elses() {
    let passport = |state, personal, document| Foreign::Passport {
        state,
        personal,
        document,
    };
    let upstream = |issuer, subject| Foreign::Upstream { issuer, subject };
    let texts = [
        (
            passport("QNA", None, "Q1234567"),
            "passport/QNA/document/Q1234567",
        ),
        (
            passport("QNA", Some("Q1234567"), "X"),
            "passport/QNA/personal/Q1234567",
        ),
        (
            passport("QRA", None, "Q1234567"),
            "passport/QRA/document/Q1234567",
        ),
        (
            upstream("https://id.example", "248289761001"),
            "upstream/83e6c9394fce8526f754b29b1e11fa2bb0e5b0c417ca5ae7cdd083ad6ae8c642",
        ),
    ];
    for (foreign, text) in &texts {
        let number = foreign.number().ok().unwrap();
        assert_eq!(number.as_str(), *text);
        // no resident number is read as one of these
        assert!(normalise(number.as_str()).is_err());
    }
    // where one ends and the other begins counts
    let hashed = |issuer, subject| upstream(issuer, subject).number().ok().unwrap();
    assert!(hashed("https://id.example", "12") != hashed("https://id.example1", "2"));
    let long = "1".repeat(256);
    for wrong in [
        passport("", None, "1"),
        passport("QNAA", None, "1"),
        passport("Q/A", None, "1"),
        passport("QNA", Some(""), "1"),
        passport("QNA", None, "1/2"),
        upstream("", "1"),
        upstream("https://id.example", ""),
        upstream("https://id.example", &long),
    ] {
        assert_eq!(wrong.number().err(), Some(TagError::Number));
    }
}

#[test]
fn each_kind_of_evidence_reads_as_what_it_is() {
    let read = |text: &str| serde_json::from_str::<Evidence>(text).ok();
    let passport = PassportEvidence::new(&[0x77, 1], &[(1, vec![0x61]), (14, vec![2])]);
    let text = serde_json::to_string(&passport).unwrap();
    assert_eq!(
        text,
        r#"{"type":"rdid-passport/1","security_object":"dwE","data_groups":{"1":"YQ","14":"Ag"}}"#
    );
    assert!(read(&text) == Some(Evidence::Passport(passport.clone())));
    assert!(passport.security_object() == Some(vec![0x77, 1]));
    assert!(passport.data_groups() == Some(vec![(1, vec![0x61]), (14, vec![2])]));
    for number in ["01", "+1", "x", "256", ""] {
        let mut wrong = passport.clone();
        wrong.data_groups.insert(number.to_owned(), String::new());
        assert!(wrong.data_groups().is_none(), "{number}");
    }
    assert!(read(&text.replace("passport/1", "passport/2")).is_none());
    let upstream =
        r#"{"type":"rdid-upstream/1","issuer":"i","subject":"s","ticket":"t","verifier":"v"}"#;
    assert!(matches!(read(upstream), Some(Evidence::Upstream(_))));
    assert!(read(&upstream.replace(r#""issuer":"i","#, "")).is_none());
}
