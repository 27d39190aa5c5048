//! Questions, and what comes of each, against a ledger in memory (spec/did.md, D13 to D21).

use super::*;
use realdid_core::codec;
use realdid_core::did::{Inception, commitment};
use realdid_core::hash::HashFunction;
use realdid_core::state::{PendingRecovery, VerifiedPerson, did_key};
use realdid_core::suite::{SecretKey, Suite};
use realdid_testkit::chain::TestLedger;
use realdid_testkit::ledger::{START_MS, TestDid, TestNet};

const BY: HashFunction = HashFunction::Sha256;
const NOW_MS: u64 = START_MS + 600_000;
const RESULT: &str = "application/did-resolution";
const PART: &str = "application/did-url-dereferencing";

/// The DIDs of the table, by number.
const FRESH: u64 = 1;
const ROTATED: u64 = 2;
const RECOVERED: u64 = 3;
const RECOVERING: u64 = 4;
const DEACTIVATED: u64 = 5;
const ORGANISATION: u64 = 6;
const FROZEN: u64 = 7;
const CHANGED: u64 = 8;
const IMPLICIT: u64 = 20;

/// An organisation's DID has endpoints from its inception on.
fn inception(n: u64) -> Inception {
    let mut inception = TestDid::new(TestNet::new().network(), n).inception;
    if n == ORGANISATION {
        inception.endpoints = vec![
            "https://authority.example/files/".into(),
            "https://authority.example/news".into(),
        ];
    }
    inception
}

fn record(n: u64) -> DidRecord {
    let inception = inception(n);
    let mut record = DidRecord {
        seq: 0,
        keys: inception.keys.clone(),
        endpoints: inception.endpoints,
        frozen: false,
        pending: None,
        deactivated: false,
        created_ms: START_MS,
        updated_ms: START_MS,
        verified: None,
    };
    let new_key = || {
        let key = SecretKey::from_seed(Suite::Ed25519, [99; 32])
            .unwrap()
            .public();
        let mut keys = inception.keys.clone();
        keys.current = vec![key];
        keys
    };
    let recovery = |effective_ms| {
        Some(PendingRecovery {
            keys: new_key(),
            effective_ms,
        })
    };
    let change = |record: &mut DidRecord, seq| {
        record.seq = seq;
        record.updated_ms = START_MS + 100_000;
    };
    match n {
        ROTATED => {
            change(&mut record, 1);
            record.keys = new_key();
            record.keys.next = commitment(&record.keys.current[0]);
        }
        RECOVERED => {
            change(&mut record, 2);
            record.frozen = true;
            record.pending = recovery(START_MS + 200_000);
        }
        RECOVERING => {
            change(&mut record, 1);
            record.pending = recovery(NOW_MS + 200_000);
        }
        DEACTIVATED => {
            change(&mut record, 1);
            record.deactivated = true;
        }
        FROZEN => {
            change(&mut record, 1);
            record.frozen = true;
        }
        CHANGED => change(&mut record, 4),
        FRESH => {
            record.verified = Some(VerifiedPerson {
                issuer: realdid_core::hash::Hash32([7; 32]),
                epoch: 3,
            });
        }
        _ => {}
    }
    record
}

fn ledger() -> TestLedger {
    let mut ledger = TestLedger::new(START_MS, Vec::new());
    for n in FRESH..=CHANGED {
        let key = did_key(BY, &inception(n).id());
        ledger.set(key, Some(codec::encode(&record(n))), NOW_MS);
    }
    ledger
}

/// What a resolver answers of the DID with the number `n`, with `rest` behind it.
fn ask(ledger: &TestLedger, n: u64, rest: &str, options: &str, accept: Option<&str>) -> Response {
    let did = inception(n).did();
    let text = format!("{did}{rest}");
    let refuse = |refused, question: Option<&Question>| {
        Outcome::refused(refused, question).respond(Form::Whole)
    };
    let options = options_of_query(Some(options)).and_then(|mut options| {
        // an inception stands for itself by its number
        for (name, value) in &mut options {
            if name == "inception"
                && let Ok(n) = value.parse::<u64>()
            {
                *value = inception_option(&codec::encode(&inception(n))).1;
            }
        }
        Question::new(&text, options)
    });
    let question = match options {
        Ok(question) => question,
        Err(refused) => return refuse(refused, None),
    };
    let form = match Form::accepted(accept, &question) {
        Ok(form) => form,
        Err(refused) => return refuse(refused, Some(&question)),
    };
    let answer = ledger.answer(&did_key(BY, &question.did.id));
    let freshness = Freshness {
        now_ms: NOW_MS,
        max_age_ms: 30_000,
        max_lag_slots: 1,
    };
    let client = LightClient::new(ledger.genesis.clone());
    match resolve(&client, &question, form, (&answer, &[]), &freshness) {
        Ok(outcome) => outcome.respond(form),
        Err(error) => refuse((&error).into(), Some(&question)),
    }
}

fn body(response: &Response) -> &Value {
    response.body.as_ref().unwrap()
}

/// The W3C's error and our code, and that nothing else is in the result.
fn error(response: &Response) -> (&str, &str) {
    let body = body(response);
    let (metadata, content, about) = match response.content_type {
        Some(RESULT) => (
            "didResolutionMetadata",
            "didDocument",
            "didDocumentMetadata",
        ),
        Some(PART) => ("dereferencingMetadata", "content", "contentMetadata"),
        other => panic!("{other:?}"),
    };
    assert_eq!(body[content], Value::Null);
    assert_eq!(body[about], json!({}));
    let error = &body[metadata]["error"];
    assert_eq!(error["status"], response.status);
    assert!(error["title"].is_string() && error["detail"].is_string());
    let kind = error["type"].as_str().unwrap();
    (
        kind.rsplit_once('#').unwrap().1,
        error["code"].as_str().unwrap(),
    )
}

/// D21: each refusal, by what is asked of which DID.
#[test]
fn d21_every_refusal_has_the_w3cs_error_and_status() {
    let ledger = ledger();
    let cases: &[(u64, &str, &str, u16, &str, &str)] = &[
        // syntax
        (FRESH, "0", "", 400, "INVALID_DID", "did.invalid"),
        (FRESH, "#a#b", "", 400, "INVALID_DID_URL", "did.url"),
        (FRESH, "#a b", "", 400, "INVALID_DID_URL", "did.url"),
        (FRESH, "/%2", "", 400, "INVALID_DID_URL", "did.url"),
        (
            FRESH,
            "?service=a&service=b",
            "",
            400,
            "INVALID_DID_URL",
            "did.url",
        ),
        (FRESH, "?service=%ff", "", 400, "INVALID_DID_URL", "did.url"),
        (
            FRESH,
            "?versionId=0",
            "versionId=0",
            400,
            "INVALID_DID_URL",
            "did.url",
        ),
        (
            FRESH,
            "",
            "versionId=0&versionId=0",
            400,
            "INVALID_OPTIONS",
            "did.option",
        ),
        // options
        (
            FRESH,
            "",
            "colour=red",
            501,
            "FEATURE_NOT_SUPPORTED",
            "did.option_unknown",
        ),
        (
            FRESH,
            "",
            "noCache=maybe",
            400,
            "INVALID_OPTIONS",
            "did.option",
        ),
        (
            FRESH,
            "",
            "verificationRelationship=x",
            400,
            "INVALID_OPTIONS",
            "did.option",
        ),
        (
            FRESH,
            "",
            "inception=!",
            400,
            "INVALID_OPTIONS",
            "did.inception",
        ),
        (
            FRESH,
            "",
            "inception=2",
            400,
            "INVALID_OPTIONS",
            "did.inception_mismatch",
        ),
        (
            FRESH,
            "",
            "versionId=00",
            400,
            "INVALID_OPTIONS",
            "did.version",
        ),
        (
            FRESH,
            "",
            "versionId=-1",
            400,
            "INVALID_OPTIONS",
            "did.version",
        ),
        (
            FRESH,
            "",
            "versionTime=2027-01-15",
            400,
            "INVALID_OPTIONS",
            "did.version",
        ),
        (
            FRESH,
            "",
            "versionTime=2027-01-15T08:00:00%2B01:00",
            400,
            "INVALID_OPTIONS",
            "did.version",
        ),
        (
            FRESH,
            "",
            "versionTime=2027-01-15T08:00:00.5Z",
            400,
            "INVALID_OPTIONS",
            "did.version",
        ),
        (
            FRESH,
            "",
            "versionId=0&versionTime=2027-01-15T08:00:00Z",
            400,
            "INVALID_OPTIONS",
            "did.version",
        ),
        (
            FRESH,
            "",
            "versionTime=2027-01-15T08:10:01Z",
            400,
            "INVALID_OPTIONS",
            "did.version_ahead",
        ),
        (
            IMPLICIT,
            "",
            "inception=20&versionTime=2050-01-01T00:00:00Z",
            400,
            "INVALID_OPTIONS",
            "did.version_ahead",
        ),
        // what there is not
        (IMPLICIT, "", "", 404, "NOT_FOUND", "did.unknown"),
        (IMPLICIT, "#key-1", "", 404, "NOT_FOUND", "did.unknown"),
        (
            IMPLICIT,
            "",
            "inception=20&versionId=1",
            404,
            "NOT_FOUND",
            "did.version_unknown",
        ),
        (
            FRESH,
            "",
            "versionId=1",
            404,
            "NOT_FOUND",
            "did.version_unknown",
        ),
        (
            FRESH,
            "",
            "versionId=0.1",
            404,
            "NOT_FOUND",
            "did.version_unknown",
        ),
        (
            RECOVERED,
            "",
            "versionId=0.1",
            404,
            "NOT_FOUND",
            "did.version_unknown",
        ),
        (
            FRESH,
            "",
            "versionTime=2027-01-15T07:59:59Z",
            404,
            "NOT_FOUND",
            "did.unknown",
        ),
        (FRESH, "/whois", "", 404, "NOT_FOUND", "did.part_unknown"),
        (
            FRESH,
            "?transform=jwk",
            "",
            404,
            "NOT_FOUND",
            "did.part_unknown",
        ),
        (FRESH, "#key-2", "", 404, "NOT_FOUND", "did.part_unknown"),
        (
            FRESH,
            "?service=service-1",
            "",
            404,
            "NOT_FOUND",
            "did.part_unknown",
        ),
        (
            ORGANISATION,
            "?service=service-3",
            "",
            404,
            "NOT_FOUND",
            "did.part_unknown",
        ),
        (
            ORGANISATION,
            "?serviceType=Files",
            "",
            404,
            "NOT_FOUND",
            "did.part_unknown",
        ),
        (
            ORGANISATION,
            "?service=service-1#service-2",
            "",
            404,
            "NOT_FOUND",
            "did.part_unknown",
        ),
        // what the newest state does not prove
        (
            ROTATED,
            "",
            "versionId=0",
            501,
            "FEATURE_NOT_SUPPORTED",
            "did.version_unproved",
        ),
        (
            CHANGED,
            "",
            "versionId=2",
            501,
            "FEATURE_NOT_SUPPORTED",
            "did.version_unproved",
        ),
        (
            CHANGED,
            "",
            "versionId=3.1",
            501,
            "FEATURE_NOT_SUPPORTED",
            "did.version_unproved",
        ),
        (
            CHANGED,
            "",
            "versionTime=2027-01-15T08:01:00Z",
            501,
            "FEATURE_NOT_SUPPORTED",
            "did.version_unproved",
        ),
        (
            CHANGED,
            "",
            "inception=8&versionTime=2027-01-15T08:01:00Z",
            501,
            "FEATURE_NOT_SUPPORTED",
            "did.version_unproved",
        ),
        (
            ROTATED,
            "",
            "versionTime=2027-01-15T08:01:00Z",
            501,
            "FEATURE_NOT_SUPPORTED",
            "did.version_unproved",
        ),
        // where people would be sent
        (
            ORGANISATION,
            "",
            "relativeRef=/a",
            400,
            "INVALID_DID_URL",
            "did.relative_ref",
        ),
        (
            ORGANISATION,
            "",
            "service=service-1&relativeRef=//evil.example/",
            400,
            "INVALID_DID_URL",
            "did.relative_ref",
        ),
        (
            ORGANISATION,
            "",
            "service=service-1&relativeRef=https:%2F%2Fevil.example",
            400,
            "INVALID_DID_URL",
            "did.relative_ref",
        ),
        (
            ORGANISATION,
            "",
            "service=service-1&relativeRef=%5C%5Cevil.example",
            400,
            "INVALID_DID_URL",
            "did.relative_ref",
        ),
        (
            ORGANISATION,
            "",
            "service=service-1&relativeRef=javascript:alert(1)",
            400,
            "INVALID_DID_URL",
            "did.relative_ref",
        ),
        (
            ORGANISATION,
            "#top",
            "service=service-1&relativeRef=/a%23b",
            400,
            "INVALID_DID_URL",
            "did.second_fragment",
        ),
        // relationships
        (
            FRESH,
            "",
            "verificationRelationship=authentication",
            500,
            "INVALID_VERIFICATION_METHOD",
            "did.no_verification_method",
        ),
        (
            ORGANISATION,
            "#service-1",
            "verificationRelationship=authentication",
            500,
            "INVALID_VERIFICATION_METHOD",
            "did.no_verification_method",
        ),
        (
            FRESH,
            "#key-1",
            "verificationRelationship=assertionMethod",
            500,
            "INVALID_RELATIONSHIP_FOR_VERIFICATION_METHOD",
            "did.relationship",
        ),
        (
            FROZEN,
            "#key-1",
            "verificationRelationship=authentication",
            500,
            "INVALID_RELATIONSHIP_FOR_VERIFICATION_METHOD",
            "did.relationship",
        ),
    ];
    for (n, rest, options, status, kind, code) in cases {
        let response = ask(&ledger, *n, rest, options, None);
        assert_eq!(
            response.status, *status,
            "{n} {rest} {options}: {response:?}"
        );
        assert_eq!(error(&response), (*kind, *code), "{n} {rest} {options}");
    }
}

#[test]
fn another_method_is_another_error_than_bad_syntax() {
    let kind = |text: &str| Question::new(text, Vec::new()).unwrap_err().kind;
    assert_eq!(kind("did:web:example.org"), ErrorKind::MethodNotSupported);
    assert_eq!(kind("did:web:example.org#a"), ErrorKind::MethodNotSupported);
    for wrong in [
        "hello",
        "did:",
        "did:web",
        "did:web:",
        "did:Web:a",
        "did:web:a:",
        "did:web:a~",
    ] {
        assert_eq!(kind(wrong), ErrorKind::InvalidDid, "{wrong}");
        assert_eq!(
            kind(&format!("{wrong}?a")),
            ErrorKind::InvalidDidUrl,
            "{wrong}"
        );
    }
    assert_eq!(kind("did:rdid:dev:zz"), ErrorKind::InvalidDid);
    assert_eq!(kind("did:rdid:dev:zz/path"), ErrorKind::InvalidDid);
    let long = format!("{}?a={}", inception(1).did(), "b".repeat(MAX_DID_URL_BYTES));
    assert_eq!(kind(&long), ErrorKind::InvalidDidUrl);
}

/// D14: what could not be verified says so, and who may put it right.
#[test]
fn d14_a_result_says_whether_it_is_verified() {
    let ledger = ledger();
    let found = ask(&ledger, FRESH, "", "", None);
    let metadata = &body(&found)["didResolutionMetadata"];
    assert_eq!(metadata["verified"], true);
    assert_eq!(metadata["proof"][0]["kind"], "inclusion");
    assert_eq!(metadata["proof"].as_array().unwrap().len(), 1);
    assert_eq!(metadata["contentType"], "application/did");
    // Proved absent: verified too.
    let absent = ask(&ledger, IMPLICIT, "", "", None);
    let metadata = &body(&absent)["didResolutionMetadata"];
    assert_eq!(metadata["verified"], true);
    assert_eq!(metadata["proof"][0]["kind"], "exclusion");
    assert_eq!(metadata.get("contentType"), None);
    // An answer that does not hold.
    let question = Question::new(&inception(FRESH).did().to_string(), Vec::new()).unwrap();
    let answer = ledger.answer(&did_key(BY, &inception(ROTATED).id()));
    let freshness = Freshness {
        now_ms: NOW_MS,
        max_age_ms: 30_000,
        max_lag_slots: 1,
    };
    let client = LightClient::new(ledger.genesis.clone());
    let lie = resolve(&client, &question, Form::Whole, (&answer, &[]), &freshness).unwrap_err();
    let response = Outcome::refused((&lie).into(), Some(&question)).respond(Form::Whole);
    assert_eq!(response.status, 500);
    assert_eq!(error(&response), ("INTERNAL_ERROR", "light.proof"));
    assert_eq!(body(&response)["didResolutionMetadata"]["verified"], false);
    // Another network's DID.
    let mut abroad = inception(FRESH);
    abroad.network = "cn".parse().unwrap();
    let question = Question::new(&abroad.did().to_string(), Vec::new()).unwrap();
    let lie = resolve(&client, &question, Form::Whole, (&answer, &[]), &freshness).unwrap_err();
    let response = Outcome::refused((&lie).into(), Some(&question)).respond(Form::Whole);
    assert_eq!(error(&response), ("NOT_FOUND", "light.network"));
    assert_eq!(response.status, 404);
}

/// D17 and D18: the versions that are answered, each with its metadata.
#[test]
fn d18_versions_are_answered_as_far_as_the_newest_state_proves_them() {
    let ledger = ledger();
    let old = |n: u64| inception(n).keys.current[0].clone();
    let new = SecretKey::from_seed(Suite::Ed25519, [99; 32])
        .unwrap()
        .public();
    let created = date(START_MS);
    let cases = [
        (FRESH, "", old(FRESH), json!({"versionId": "0"})),
        (FRESH, "versionId=0", old(FRESH), json!({"versionId": "0"})),
        (
            FRESH,
            "versionTime=2027-01-15T08:00:00Z",
            old(FRESH),
            json!({"versionId": "0"}),
        ),
        (
            ROTATED,
            "",
            new.clone(),
            json!({"versionId": "1", "updated": "2027-01-15T08:01:40Z"}),
        ),
        (
            ROTATED,
            "versionId=0&inception=2",
            old(ROTATED),
            json!({"versionId": "0", "nextVersionId": "1", "nextUpdate": "2027-01-15T08:01:40Z"}),
        ),
        (
            ROTATED,
            "versionTime=2027-01-15T08:01:39Z&inception=2",
            old(ROTATED),
            json!({"versionId": "0", "nextVersionId": "1", "nextUpdate": "2027-01-15T08:01:40Z"}),
        ),
        (
            ROTATED,
            "versionTime=2027-01-15T08:01:40Z",
            new.clone(),
            json!({"versionId": "1"}),
        ),
        (
            CHANGED,
            "versionId=0&inception=8",
            old(CHANGED),
            json!({"versionId": "0", "nextVersionId": "1"}),
        ),
        (
            RECOVERED,
            "",
            new.clone(),
            json!({"versionId": "2.1", "updated": "2027-01-15T08:03:20Z", "frozen": false}),
        ),
        (
            RECOVERED,
            "versionId=2",
            old(RECOVERED),
            json!({"versionId": "2", "nextVersionId": "2.1", "nextUpdate": "2027-01-15T08:03:20Z", "frozen": true}),
        ),
        (
            RECOVERED,
            "versionTime=2027-01-15T08:03:19Z",
            old(RECOVERED),
            json!({"versionId": "2", "nextVersionId": "2.1"}),
        ),
        (
            RECOVERED,
            "versionTime=2027-01-15T08:03:20Z",
            new,
            json!({"versionId": "2.1"}),
        ),
        (
            RECOVERING,
            "",
            old(RECOVERING),
            json!({"versionId": "1", "recoveryPending": "2027-01-15T08:13:20Z"}),
        ),
        (
            IMPLICIT,
            "inception=20",
            old(IMPLICIT),
            json!({"versionId": "0", "anchored": false}),
        ),
        (
            IMPLICIT,
            "inception=20&versionTime=2027-01-15T08:09:00Z",
            old(IMPLICIT),
            json!({"anchored": false}),
        ),
        // Before it was anchored it stood by its inception.
        (
            FRESH,
            "inception=1&versionTime=2027-01-01T00:00:00Z",
            old(FRESH),
            json!({"anchored": false}),
        ),
    ];
    for (n, options, key, expected) in cases {
        let response = ask(&ledger, n, "", options, None);
        assert_eq!(response.status, 200, "{n} {options}: {response:?}");
        let body = body(&response);
        let document = document::document(&inception(n).did(), &[key], false, &[]);
        let shown = &body["didDocument"]["verificationMethod"];
        assert_eq!(*shown, document["verificationMethod"], "{n} {options}");
        let about = &body["didDocumentMetadata"];
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(about[name], *value, "{n} {options} {name}");
        }
        let newest = expected.get("nextVersionId").is_none();
        assert_eq!(
            about.get("nextVersionId").is_none(),
            newest,
            "{n} {options}"
        );
        if expected.get("nextUpdate").is_none() && newest {
            assert_eq!(about.get("nextUpdate"), None, "{n} {options}");
        }
        if about["anchored"] == true {
            assert_eq!(about["created"], json!(created));
            assert_eq!(
                about.get("updated").is_none(),
                about["versionId"] == "0",
                "{n} {options}"
            );
        }
    }
    let verified = ask(&ledger, FRESH, "", "", None);
    assert_eq!(
        body(&verified)["didDocumentMetadata"]["verifiedPerson"],
        true
    );
}

/// A DID with five versions, each in a state of its time, and what a node has kept of them.
struct Past {
    ledger: TestLedger,
    kept: Vec<PastAnswer>,
}

impl Past {
    /// Versions 0 to 4, at 0, 100, 200, 300 and 400 s; the first asks for a recovery that is due at `due_s`.
    fn new(due_s: u64) -> Self {
        let mut ledger = TestLedger::new(START_MS, Vec::new());
        let key = did_key(BY, &inception(CHANGED).id());
        let mut kept = Vec::new();
        for seq in 0..=4 {
            let time_ms = START_MS + seq * 100_000;
            let mut version = record(FRESH);
            version.keys = inception(CHANGED).keys;
            version.keys.current = vec![version_key(seq)];
            (version.seq, version.updated_ms) = (seq, time_ms);
            version.pending = (seq == 1).then(|| PendingRecovery {
                keys: inception(FRESH).keys,
                effective_ms: START_MS + due_s * 1000,
            });
            ledger.set(key, Some(codec::encode(&version)), time_ms);
            let StateAnswer {
                checkpoint,
                value,
                proof,
            } = ledger.answer(&key);
            kept.push(PastAnswer {
                checkpoint,
                back: Vec::new(),
                value: value.unwrap(),
                proof,
            });
        }
        ledger.seal(NOW_MS);
        Self { ledger, kept }
    }

    fn ask(&self, options: &str, past: &[PastAnswer]) -> Response {
        let did = inception(CHANGED).did();
        let options = options_of_query(Some(options)).unwrap();
        let question = Question::new(&did.to_string(), options).unwrap();
        let answer = self.ledger.answer(&did_key(BY, &did.id));
        let freshness = Freshness {
            now_ms: NOW_MS,
            max_age_ms: 30_000,
            max_lag_slots: 1,
        };
        let client = LightClient::new(self.ledger.genesis.clone());
        let form = Form::Whole;
        match resolve(&client, &question, form, (&answer, past), &freshness) {
            Ok(outcome) => outcome.respond(form),
            Err(error) => Outcome::refused((&error).into(), Some(&question)).respond(form),
        }
    }
}

fn version_key(seq: u64) -> realdid_core::suite::PublicKey {
    let seed = [100 + u8::try_from(seq).unwrap(); 32];
    SecretKey::from_seed(Suite::Ed25519, seed).unwrap().public()
}

/// D18: what lies between the first version and the newest, by the proofs of its time.
#[test]
fn d18_versions_between_are_answered_by_the_proofs_of_their_time() {
    let past = Past::new(150);
    let fresh = inception(FRESH).keys.current[0].clone();
    let cases = [
        (
            "versionId=0",
            0,
            version_key(0),
            json!({"nextVersionId": "1", "nextUpdate": "2027-01-15T08:01:40Z"}),
        ),
        (
            "versionId=1",
            1,
            version_key(1),
            json!({"versionId": "1", "nextVersionId": "1.1", "nextUpdate": "2027-01-15T08:02:30Z"}),
        ),
        (
            "versionId=1.1",
            1,
            fresh.clone(),
            json!({"versionId": "1.1", "updated": "2027-01-15T08:02:30Z", "nextVersionId": "2", "nextUpdate": "2027-01-15T08:03:20Z"}),
        ),
        (
            "versionId=3",
            3,
            version_key(3),
            json!({"versionId": "3", "updated": "2027-01-15T08:05:00Z", "nextVersionId": "4", "nextUpdate": "2027-01-15T08:06:40Z"}),
        ),
        (
            "versionTime=2027-01-15T08:02:29Z",
            1,
            version_key(1),
            json!({"versionId": "1"}),
        ),
        (
            "versionTime=2027-01-15T08:02:30Z",
            1,
            fresh,
            json!({"versionId": "1.1"}),
        ),
        (
            "versionTime=2027-01-15T08:04:00Z",
            2,
            version_key(2),
            json!({"versionId": "2"}),
        ),
    ];
    for (options, seq, key, expected) in cases {
        // A node gives the version and the one that followed it.
        let given = &past.kept[seq..(seq + 2).min(4)];
        let response = past.ask(options, given);
        assert_eq!(response.status, 200, "{options}: {:?}", response.body);
        let body = body(&response);
        let multikey = &body["didDocument"]["verificationMethod"][0]["publicKeyMultibase"];
        assert_eq!(*multikey, json!(document::multikey(&key)), "{options}");
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(
                body["didDocumentMetadata"][name], *value,
                "{options} {name}"
            );
        }
        let proofs = body["didResolutionMetadata"]["proof"].as_array().unwrap();
        assert_eq!(proofs.len(), 1 + given.len());
        assert_eq!(proofs[1]["type"], PAST_PROOF_TYPE);
    }
}

#[test]
fn d18_what_is_not_proved_of_its_time_is_not_answered() {
    let past = Past::new(150);
    let kept = &past.kept;
    let cases: [(&str, Vec<PastAnswer>, &str); 9] = [
        ("versionId=1", vec![], "did.version_unproved"),
        // When a version ended is not known, nor whether its recovery took effect before.
        ("versionId=1", vec![kept[1].clone()], "did.version_unproved"),
        (
            "versionTime=2027-01-15T08:04:00Z",
            vec![kept[2].clone()],
            "did.version_unproved",
        ),
        ("versionId=2.1", kept[2..4].to_vec(), "did.version_unknown"),
        ("versionId=5", kept[3..4].to_vec(), "did.version_unknown"),
        (
            "versionTime=2027-01-15T07:59:59Z",
            kept[0..2].to_vec(),
            "did.unknown",
        ),
        // Somebody else's record, another one, and headers that lead nowhere.
        (
            "versionId=1",
            vec![PastAnswer {
                value: kept[2].value.clone(),
                ..kept[1].clone()
            }],
            "light.proof",
        ),
        (
            "versionId=1",
            vec![PastAnswer {
                checkpoint: kept[2].checkpoint.clone(),
                ..kept[1].clone()
            }],
            "light.proof",
        ),
        (
            "versionId=1",
            vec![PastAnswer {
                back: vec![kept[0].checkpoint.header.clone()],
                ..kept[2].clone()
            }],
            "light.past",
        ),
    ];
    for (options, given, code) in cases {
        let response = past.ask(options, &given);
        assert_eq!(error(&response).1, code, "{options}");
    }
    // The next operation came before the recovery was due: it never took effect.
    let overtaken = Past::new(250);
    let response = overtaken.ask("versionId=1.1", &overtaken.kept[1..3]);
    assert_eq!(error(&response).1, "did.version_unknown");
    let response = overtaken.ask("versionId=1", &overtaken.kept[1..3]);
    assert_eq!(body(&response)["didDocumentMetadata"]["nextVersionId"], "2");
    // A header without a certificate of its own is certified by one that follows.
    let mut behind = past.kept[2].clone();
    behind.back = vec![past.kept[1].checkpoint.header.clone()];
    behind.value = past.kept[1].value.clone();
    behind.proof = past.kept[1].proof.clone();
    let response = past.ask("versionId=1", &[behind, past.kept[2].clone()]);
    assert_eq!(response.status, 200, "{:?}", response.body);
}

/// D15: no document of a DID that is deactivated, in no form and of no version.
#[test]
fn d15_what_is_deactivated_is_gone() {
    let ledger = ledger();
    for (rest, options, accept) in [
        ("", "", None),
        ("", "", Some("application/did")),
        ("", "", Some("application/json")),
        ("", "versionId=0&inception=5", None),
        ("#key-1", "", None),
        ("?service=service-1", "", Some("text/uri-list")),
    ] {
        let response = ask(&ledger, DEACTIVATED, rest, options, accept);
        assert_eq!(response.status, 410, "{rest} {options}");
        let body = body(&response);
        let (content, about) = match rest.is_empty() {
            true => ("didDocument", "didDocumentMetadata"),
            false => ("content", "contentMetadata"),
        };
        assert_eq!(body[content], Value::Null);
        assert_eq!(body[about]["deactivated"], true);
    }
    let frozen = ask(&ledger, FROZEN, "", "", None);
    assert_eq!(body(&frozen)["didDocument"]["authentication"], json!([]));
}

/// D19: parts of a document, and where a service is.
#[test]
fn d19_did_urls_are_dereferenced() {
    let ledger = ledger();
    let did = inception(ORGANISATION).did();
    let key = ask(&ledger, ORGANISATION, "#key-1", "", None);
    assert_eq!((key.status, key.content_type), (200, Some(PART)));
    assert_eq!(body(&key)["content"]["id"], format!("{did}#key-1"));
    assert_eq!(body(&key)["dereferencingMetadata"]["verified"], true);
    assert_eq!(body(&key)["contentMetadata"]["versionId"], "0");
    let authorised = ask(
        &ledger,
        ORGANISATION,
        "#key-1",
        "verificationRelationship=authentication",
        None,
    );
    assert_eq!(authorised.status, 200);
    let alone = ask(
        &ledger,
        ORGANISATION,
        "#service-2",
        "",
        Some("application/did"),
    );
    assert_eq!(alone.content_type, Some("application/did"));
    assert_eq!(
        body(&alone)["serviceEndpoint"],
        "https://authority.example/news"
    );
    assert_eq!(
        body(&alone)["@context"][0],
        "https://www.w3.org/ns/did/v1.1"
    );

    // Without a preference, and as a document: the document with the services that were selected.
    for service in ["service-1", "%23service-1", &format!("{did}%23service-1")] {
        let rest = format!("?service={service}");
        let selected = ask(&ledger, ORGANISATION, &rest, "", None);
        assert_eq!((selected.status, selected.content_type), (200, Some(PART)));
        let services = body(&selected)["content"]["service"].as_array().unwrap();
        assert_eq!(services.len(), 1, "{service}");
        assert_eq!(services[0]["id"], format!("{did}#service-1"));
        assert!(body(&selected)["content"]["verificationMethod"].is_array());
    }
    let both = ask(
        &ledger,
        ORGANISATION,
        "",
        "serviceType=LinkedDomains",
        Some("application/did+ld+json"),
    );
    assert_eq!(body(&both)["service"].as_array().unwrap().len(), 2);

    let sent = |rest: &str, options: &str| {
        let response = ask(&ledger, ORGANISATION, rest, options, Some("text/uri-list"));
        assert_eq!(
            (response.status, &response.body),
            (303, &None),
            "{rest} {options}"
        );
        response.location.unwrap()
    };
    let at = |path: &str| format!("https://authority.example{path}");
    assert_eq!(sent("?service=service-1", ""), at("/files/"));
    assert_eq!(
        sent("", "service=service-1&relativeRef=a/b%3Fc=d"),
        at("/files/a/b?c=d")
    );
    assert_eq!(
        sent(
            "?service=service-1&relativeRef=%2Fresume.pdf%3Fversion%3D2",
            ""
        ),
        at("/resume.pdf?version=2")
    );
    assert_eq!(sent("?service=service-2#intro", ""), at("/news#intro"));
    assert_eq!(sent("", "serviceType=LinkedDomains"), at("/files/"));

    // All addresses, for who is not sent anywhere.
    let text = format!("{did}?serviceType=LinkedDomains&relativeRef=a");
    let question = Question::new(&text, Vec::new()).unwrap();
    assert!(question.has_relative_ref());
    let answer = ledger.answer(&did_key(BY, &did.id));
    let freshness = Freshness {
        now_ms: NOW_MS,
        max_age_ms: 30_000,
        max_lag_slots: 1,
    };
    let client = LightClient::new(ledger.genesis.clone());
    let form = Form::Addresses;
    let outcome = resolve(&client, &question, form, (&answer, &[]), &freshness).unwrap();
    let all = outcome.respond(form);
    assert_eq!((all.status, all.content_type), (200, Some(PART)));
    assert_eq!(body(&all)["content"], json!([at("/files/a"), at("/a")]));
    assert_eq!(
        body(&all)["dereferencingMetadata"]["contentType"],
        "text/uri-list"
    );
}

/// D20: the form by the `Accept` header.
#[test]
fn d20_the_form_is_the_one_that_is_accepted() {
    let ledger = ledger();
    let form = |rest: &str, accept: &str| {
        let response = ask(&ledger, FRESH, rest, "", Some(accept));
        (response.status, response.content_type.unwrap())
    };
    const LD: &str = "application/ld+json;profile=\"https://w3id.org/did-resolution\"";
    for (accept, expected) in [
        ("", RESULT),
        ("*/*", RESULT),
        ("application/*", RESULT),
        (
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            RESULT,
        ),
        (RESULT, RESULT),
        ("Application/DID-Resolution", RESULT),
        (PART, PART),
        ("application/did", "application/did"),
        ("application/did+json", "application/did+json"),
        ("application/did+ld+json", "application/did+ld+json"),
        ("application/json", "application/json"),
        (LD, LD),
        (
            "application/did;q=0.2, application/did+json;q=0.7",
            "application/did+json",
        ),
        (
            "application/did;q=0, application/did-resolution;q=0.1",
            RESULT,
        ),
        ("text/html, application/did", "application/did"),
    ] {
        assert_eq!(form("", accept), (200, expected), "{accept}");
    }
    for none in [
        "text/html",
        "application/did;q=0",
        "text/uri-list",
        "?",
        "application/did+cbor",
        ";q=1",
    ] {
        let response = ask(&ledger, FRESH, "", "", Some(none));
        assert_eq!(response.status, 406, "{none}");
        assert_eq!(
            error(&response),
            ("REPRESENTATION_NOT_SUPPORTED", "did.accept")
        );
    }
    assert_eq!(form("#key-1", "*/*"), (200, PART));
    assert_eq!(
        form("#key-1", "application/json"),
        (200, "application/json")
    );
    // A resolution result is none of a part.
    assert_eq!(form("#key-1", RESULT), (406, PART));
    assert_eq!(form("#key-1", LD), (406, PART));
    // Errors come whole, whatever form was asked for.
    assert_eq!(form("#key-9", "application/did"), (404, PART));
    let whole = ask(&ledger, IMPLICIT, "", "", Some("application/did"));
    assert_eq!((whole.status, whole.content_type), (404, Some(RESULT)));
}

#[test]
fn options_are_bounded() {
    let many = "a=b&".repeat(17);
    assert_eq!(
        options_of_query(Some(&many)).unwrap_err().kind,
        ErrorKind::InvalidOptions
    );
    assert_eq!(options_of_query(None).unwrap(), Vec::new());
    let json = |text: &str| options_of_json(text.as_bytes());
    assert_eq!(json("").unwrap(), Vec::new());
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        json(r#"{"noCache": true}"#).unwrap(),
        [pair("noCache", "true")]
    );
    assert_eq!(
        json(r#"{"versionId": "1"}"#).unwrap(),
        [pair("versionId", "1")]
    );
    for wrong in [
        "[]",
        "{",
        r#"{"versionId": 1}"#,
        r#"{"versionId": ["1"]}"#,
        "null",
    ] {
        assert_eq!(json(wrong).unwrap_err().code, "did.option", "{wrong}");
    }
}

#[test]
fn dates_are_utc_to_the_second() {
    assert_eq!(date(0), "1970-01-01T00:00:00Z");
    assert_eq!(date(1_795_369_637_999), "2026-11-22T17:47:17Z");
    assert_eq!(date(START_MS), "2027-01-15T08:00:00Z");
}
