//! What answers the query of a verifier that nobody has registered, and what the person is asked.

use super::*;
use crate::secret::{Secret32, SecretText};
use realdid_credential::jose::{Jwk, SigningKey};
use serde_json::json;

const MEMBER: &str = "https://club.example/member";

/// A batch with one copy of these claims.
fn batch(vct: &str, expires_s: u64, claims: &Value) -> Batch {
    let key = SigningKey::p256(&[1; 32]).unwrap();
    let terms = sd_jwt::Terms {
        iss: "https://issuer.example",
        vct,
        kid: "k",
        iat_s: 0,
        exp_s: expires_s,
        x5c: &[],
    };
    let holder = Jwk(SigningKey::p256(&[2; 32]).unwrap().verifying_key());
    let claims = claims.as_object().unwrap();
    let mut count = 0;
    let mut salt = || {
        count += 1;
        [count; 16]
    };
    let credential = sd_jwt::issue(claims, &[], &terms, &holder, &key, &mut salt).unwrap();
    Batch {
        issuer: terms.iss.to_owned(),
        vct: vct.to_owned(),
        configuration: "c".to_owned(),
        copies: vec![CredentialCopy {
            credential: SecretText::new(credential),
            holder_key: Secret32::new([2; 32]),
            holder_suite: None,
            path: None,
            expires_s,
        }],
        refresh_token: None,
        token_key: None,
        server: None,
        on_ledger: false,
        format: None,
        organisation: None,
        roots: None,
        suite: None,
    }
}

/// A wallet with a PID, and memberships that end one after the other.
fn wallet() -> (tempfile::TempDir, Wallet) {
    let dir = tempfile::tempdir().unwrap();
    let (mut wallet, _) = Wallet::create(dir.path(), None).unwrap();
    let later = now_s() + 1000;
    wallet.content.batches = vec![
        batch(
            pid::VCT,
            later,
            &json!({"given_name": "Wei", "address": {"region": "990100"}}),
        ),
        batch(MEMBER, later, &json!({"level": "gold", "since": 2019})),
        batch(MEMBER, later + 1, &json!({"level": "iron", "since": 2020})),
        batch(
            MEMBER,
            now_s() - 1,
            &json!({"level": "lead", "since": 2018}),
        ),
    ];
    (dir, wallet)
}

fn query(credentials: Value, sets: Value) -> DcqlQuery {
    let mut query = json!({"credentials": credentials});
    if !sets.is_null() {
        query["credential_sets"] = sets;
    }
    DcqlQuery::parse(&query).unwrap()
}

fn asked(id: &str, vct: &str, claims: Value) -> Value {
    json!({"id": id, "format": "dc+sd-jwt", "meta": {"vct_values": [vct]}, "claims": claims})
}

/// Of each pick its id, its place and its words; or why there are none.
fn picked(query: &DcqlQuery) -> Result<Vec<(String, usize, Vec<String>)>, &'static str> {
    let (_dir, wallet) = wallet();
    let picks = picks(&wallet, query, &Takes::default()).map_err(DcqlError::code)?;
    let told = |pick: Pick| (pick.id, pick.place, pick.words);
    Ok(picks.into_iter().map(told).collect())
}

#[test]
fn of_several_credentials_the_one_that_fits_and_lasts_is_picked_and_its_claims_are_named() {
    let level = |values: Value| match values {
        Value::Null => asked("m", MEMBER, json!([{"path": ["level"]}])),
        values => asked("m", MEMBER, json!([{"path": ["level"], "values": values}])),
    };
    let word = format!("{MEMBER}:level");
    let any = query(json!([level(Value::Null)]), Value::Null);
    assert_eq!(picked(&any), Ok(vec![("m".into(), 2, vec![word.clone()])]));
    let gold = query(json!([level(json!(["gold"]))]), Value::Null);
    assert_eq!(picked(&gold), Ok(vec![("m".into(), 1, vec![word])]));
    // One that has expired answers nothing.
    let lead = query(json!([level(json!(["lead"]))]), Value::Null);
    assert_eq!(picked(&lead), Err("dcql.value_mismatch"));
    // Those of the PID have the names under which they are registered.
    let both = query(
        json!([
            asked(
                "p",
                pid::VCT,
                json!([{"path": ["given_name"]}, {"path": ["address", "region"]}])
            ),
            asked("m", MEMBER, json!([{"path": ["since"]}])),
        ]),
        Value::Null,
    );
    let of_pid = vec!["given_name".to_owned(), "address.region".to_owned()];
    let since = vec![format!("{MEMBER}:since")];
    assert_eq!(
        picked(&both),
        Ok(vec![("p".into(), 0, of_pid), ("m".into(), 2, since)])
    );
}

#[test]
fn alternatives_are_taken_in_their_order_and_what_is_not_needed_is_left_out() {
    let credentials = || {
        json!([
            asked("other", "urn:other", json!([{"path": ["a"]}])),
            asked("p", pid::VCT, json!([{"path": ["given_name"]}])),
            asked("m", MEMBER, json!([{"path": ["level"]}])),
        ])
    };
    let ids = |sets: Value| {
        let picked = picked(&query(credentials(), sets));
        picked.map(|picked| picked.into_iter().map(|(id, ..)| id).collect::<Vec<_>>())
    };
    let sets = json!([
        {"options": [["other"], ["p"]]},
        {"options": [["m"]], "required": false},
    ]);
    assert_eq!(ids(sets), Ok(vec!["p".to_owned()]));
    assert_eq!(
        ids(json!([{"options": [["other"]]}])),
        Err("dcql.credential_missing")
    );
    assert_eq!(ids(Value::Null), Err("dcql.credential_missing"));
    // Claim sets: the first that the credential has.
    let mut claims = asked(
        "m",
        MEMBER,
        json!([{"id": "x", "path": ["x"]}, {"id": "s", "path": ["since"]}]),
    );
    claims["claim_sets"] = json!([["x"], ["s"]]);
    let word = vec![format!("{MEMBER}:since")];
    let picked = picked(&query(json!([claims]), Value::Null));
    assert_eq!(picked, Ok(vec![("m".into(), 2, word)]));
}

#[test]
fn an_authority_that_is_not_trusted_there_is_no_answer() {
    let mut asks = asked("m", MEMBER, json!([{"path": ["level"]}]));
    asks["trusted_authorities"] = json!([{"type": "aki", "values": ["AQID"]}]);
    let refused = picked(&query(json!([asks]), Value::Null));
    assert_eq!(refused, Err("dcql.other_authority"));
}

#[test]
fn each_claim_is_allowed_by_name_and_a_yes_to_everything_is_none() {
    let words = ["given_name".to_owned(), "address.region".to_owned()];
    let allow = |claims: &[&str]| Consent {
        allow: claims.iter().map(ToString::to_string).collect(),
        yes: true,
        long_lived: false,
    };
    let mut questions = vec![];
    let yes_to_all = agreed(&words, &allow(&["given_name"]), |question| {
        questions.push(question.to_owned());
        false
    });
    assert!(!yes_to_all);
    assert_eq!(questions, ["Show address.region?"]);
    let both = allow(&["given_name", "address.region"]);
    assert!(agreed(&words, &both, |_| panic!("nobody is to be asked")));
    let mut count = 0;
    assert!(agreed(&words, &Consent::default(), |_| {
        count += 1;
        true
    }));
    assert_eq!(count, 2);
}
