//! Writes the seeds of `fuzz/corpus`: honest encodings, from which a fuzzer starts. The same bytes each
//! time; run it in `fuzz/` after a format has changed: `cargo run --example seeds`.

use std::error::Error;
use std::fs;
use std::path::Path;

use realdid_ceremony::Left;
use realdid_core::codec;
use realdid_core::hash::{Hash32, HashFunction};
use realdid_core::state::{Family, did_key};
use realdid_credential::realpass::{self, Envelope, Fact};
use realdid_exchange::jwe::{DecryptionKey, EncryptionKey};
use realdid_exchange::tag::PassportEvidence;
use realdid_exchange::vci::authorization::{AuthorizationRequest, code_challenge};
use realdid_exchange::vci::{PassAnswer, PassRequest, TokenRequest};
use realdid_exchange::vp::{
    Ask, ClaimedRequest, DID_ID, PASS_ID, RequestContent, WalletResponse, client_id,
};
use realdid_pass::facts::{Adult, Assurance, Continuity, Facts, Kind, Region};
use realdid_pass::{Context, Credential, PseudonymSecrets};
use realdid_testkit::chain::TestLedger;
use realdid_testkit::ledger::{START_MS, TestDid, TestNet};
use realdid_testkit::person::{TestPerson, TestRandom};
use serde_json::json;

#[path = "../../crates/exchange/src/test_world.rs"]
mod test_world;

use test_world::{AUTHORITY, Registered, SERVICE_ID, World};

/// As in `targets/login.rs`.
const EPOCH: u64 = 30_000_000;
const NOW_MS: u64 = 1_800_000_000_000;

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    decode()?;
    apply()?;
    let pass = issued()?;
    shown_and_asked(&pass)?;
    ceremony()?;
    issuing()?;
    passport()
}

/// A passport of an invented state, its zone, and the lists that it is judged by.
fn passport() -> Outcome {
    // Keys of specimens are the system's randomness: what is there stays.
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/passport");
    if made.exists() {
        return Ok(());
    }
    let now_s = NOW_MS / 1000;
    let world = realdid_testkit::passport::World::new(now_s);
    let facts = &realdid_testkit::passport::SOMEBODY;
    let (object, groups) = world.passport(facts, realdid_testkit::passport::Flaw::Nothing);
    let zone = facts.zone().ok_or("a zone")?;
    write("passport", "object", Some(0), &object)?;
    write("passport", "zone", Some(1), zone.as_bytes())?;
    write("passport", "authority", Some(2), world.certificate())?;
    write("passport", "revocation", Some(2), world.revocation_list().as_bytes())?;
    write("passport", "group", Some(3), &groups[0].1)?;
    let evidence = PassportEvidence::new(&object, &groups);
    write("passport", "evidence", Some(4), &serde_json::to_vec(&evidence)?)
}

/// What operators of a key ceremony say, as in `targets/ceremony.rs`: the vectors of the same seeds.
fn ceremony() -> Outcome {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/vectors/ceremony");
    for (kind, name) in [(0, "card"), (1, "plan"), (2, "round")] {
        let text = fs::read_to_string(vectors.join(format!("{name}.hex")))?;
        write("ceremony", name, Some(kind), &hex(text.trim_end())?)?;
    }
    let documents = fs::read_to_string(vectors.join("documents.txt"))?;
    for (kind, line) in [4, 5, 6, 7].into_iter().zip(documents.lines().step_by(2)) {
        let mut words = line.split(' ');
        let (name, bytes) = (words.next(), words.nth(1));
        let (name, bytes) = (name.ok_or("a kind")?, hex(bytes.ok_or("a document")?)?);
        write("ceremony", &format!("{name}-sealed"), Some(3), &bytes)?;
        // What is said begins behind kind, lengths, round and dealer, and ends before the signature.
        let end = bytes.len().checked_sub(66).ok_or("a signature")?;
        let start = bytes.windows(3).position(|w| w == [0x83, 0x58, 0x20]);
        let start = start.ok_or("a body")? + 69;
        let what = bytes.get(start..end).ok_or("what is said")?;
        write("ceremony", name, Some(kind), what)?;
    }
    for (target, kind, name, file) in [
        ("ceremony", 8, "approval", "approval"),
        ("decode", 27, "state-file", "state"),
    ] {
        let text = fs::read_to_string(vectors.join(format!("{file}.hex")))?;
        write(target, name, Some(kind), &hex(text.trim_end())?)?;
    }
    let mut left = TestLedger::new(START_MS, Vec::new());
    left.decide_term(8, 200);
    for later in 1..4 {
        left.seal(START_MS + 2_000 + later);
    }
    // By a header that the certified one follows from.
    let hand_overs = vec![left.hand_over(3)];
    left.begin_term(8);
    let checkpoint = left.seal(left.newest().time_ms + 2_000);
    let file = Left::file(&left.genesis, hand_overs.clone(), &checkpoint);
    write("ceremony", "predecessor-file", Some(9), &file)?;
    let bytes = codec::encode(&hand_overs);
    write("decode", "hand-overs", Some(26), &bytes)?;
    write("ceremony", "hand-overs", Some(10), &bytes)
}

fn hex(text: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2).unwrap_or(" "), 16);
    let bytes: Result<Vec<u8>, _> = (0..text.len()).step_by(2).map(byte).collect();
    Ok(bytes?)
}

/// What wallets send to be issued credentials, and an mdoc with its certificate.
fn issuing() -> Outcome {
    let pushed = AuthorizationRequest {
        client_id: "wallet".into(),
        redirect_uri: "https://wallet.example/cb".into(),
        state: Some("s".into()),
        code_challenge: code_challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
        configurations: vec!["pid-sd-jwt".into()],
        details: true,
        dpop_jkt: None,
    };
    let form = |fields: Vec<(&'static str, String)>| {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields).finish().into_bytes()
    };
    write("issuing", "pushed", Some(0), &form(pushed.to_form()))?;
    let jwk = r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#;
    let proof = format!(
        "{{\"alg\":\"ES256\",\"typ\":\"dpop+jwt\",\"jwk\":{jwk}}}\n{{\"jti\":\"1\",\"htm\":\"POST\",\"htu\":\"https://authority.example/token\",\"iat\":1800000000}}"
    );
    write("issuing", "dpop", Some(1), proof.as_bytes())?;
    let attestation = format!(
        "{{\"alg\":\"ES256\",\"typ\":\"key-attestation+jwt\",\"x5c\":[\"MAA=\"]}}\n{{\"exp\":1800000060,\"attested_keys\":[{jwk}]}}"
    );
    write("issuing", "attestation", Some(2), attestation.as_bytes())?;
    // A point of SM2's curve, so that what is changed lies behind it.
    let jwk = r#"{"crv":"SM2","kty":"EC","x":"3wfcCzFZHftj7IlVFuW7StBaCcL-um1JbOUj9zA__80","y":"St0n3gkmLcWbr2kMAobwXimUhRfMHgabmI4TnAD0Scg"}"#;
    let proof = format!(
        "{{\"alg\":\"SM2SM3\",\"typ\":\"openid4vci-proof+jwt\",\"jwk\":{jwk}}}\n{{\"aud\":\"https://authority.example\",\"iat\":1800000000,\"nonce\":\"n\"}}"
    );
    write("issuing", "proof-sm2", Some(5), proof.as_bytes())?;
    let token = TokenRequest::Refresh {
        refresh_token: "r".into(),
    };
    write("issuing", "token", Some(3), &form(token.to_form()))?;
    let request = json!({
        "credential_configuration_id": "pid-mdoc",
        "proofs": {"jwt": ["a.b.c"]},
        "credential_response_encryption": {"jwk": {"kty": "EC", "alg": "ECDH-ES"}, "enc": "A256GCM"},
    });
    write(
        "issuing",
        "credential",
        Some(4),
        request.to_string().as_bytes(),
    )?;
    let told = json!({"notification_id": "n", "event": "credential_accepted"});
    write(
        "issuing",
        "notification",
        Some(6),
        told.to_string().as_bytes(),
    )?;
    let registered = Registered {
        domain: "login.shop.example".to_owned(),
        purposes: vec!["login"],
        claims: vec![],
        sandbox: false,
    };
    let world = World::new(
        NOW_MS,
        test_world::jose_key(&test_world::p256(4)),
        &registered,
    );
    let mdoc = world.mdoc();
    write("issuing", "mdoc", Some(7), &mdoc)?;
    let chain = realdid_credential::mdoc::claimed_chain(&mdoc).map_err(|e| e.code())?;
    write("issuing", "certificate", Some(9), &chain[0])
}

fn write(target: &str, name: &str, kind: Option<u8>, bytes: &[u8]) -> Outcome {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    fs::create_dir_all(&folder)?;
    let input = [kind.as_slice(), bytes].concat();
    Ok(fs::write(folder.join(name), input)?)
}

/// The frozen vectors, and records and proofs of a small network.
fn decode() -> Outcome {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/vectors");
    for (kind, name, folder) in [
        (0, "anchor", "ledger"),
        (0, "rotate", "ledger"),
        (1, "inception", "did"),
        (2, "genesis", "ledger"),
        (3, "header", "ledger"),
    ] {
        let text = fs::read_to_string(vectors.join(folder).join(format!("{name}.hex")))?;
        write("decode", name, Some(kind), &unhex(text.trim()))?;
    }
    let did = fs::read_to_string(vectors.join("did/inception.did"))?;
    write("decode", "did", Some(21), did.trim().as_bytes())?;

    let mut net = TestNet::new();
    let did = TestDid::new(net.network(), 1);
    let own = TestPerson::new(&net, 1).anchor(&net, &did, 0);
    write("decode", "anchor-own", Some(0), &own.encode())?;
    for signed in [
        own,
        net.enrol(Hash32([1; 32]), 0),
        net.register(Hash32([2; 32]), Hash32([3; 32])),
    ] {
        net.apply(&signed).map_err(|rule| format!("{rule:?}"))?;
    }
    let state = net.state();
    for (family, kind, name) in [
        (Family::Dids, 8, "record-did"),
        (Family::Enrolments, 9, "record-enrolment"),
        (Family::Issuers, 10, "record-issuer"),
        (Family::Services, 11, "record-service"),
        (Family::Totals, 12, "record-totals"),
        (Family::Slots, 16, "record-slot"),
    ] {
        let record = state.iter().find(|(key, _)| key[0] == family as u8);
        let (_, record) = record.ok_or(name)?;
        write("decode", name, Some(kind), record)?;
    }
    let governance = realdid_core::state::governance_key(HashFunction::Sha256);
    write("decode", "record-governance", Some(13), &state[&governance])?;
    let committee = realdid_core::state::committee_key(HashFunction::Sha256);
    write("decode", "record-committee", Some(25), &state[&committee])?;
    let mut handed_on = TestLedger::new(START_MS, Vec::new());
    let first = handed_on.decide_term(8, 200);
    handed_on.begin_term(8);
    let second = handed_on.decide_term(9, 400);
    let both = codec::encode(&vec![first, second]);
    write("decode", "hand-overs", Some(26), &both)?;

    let world = world();
    let checkpoint = world.ledger.checkpoint();
    write("decode", "checkpoint", Some(5), &codec::encode(&checkpoint))?;
    let key = did_key(HashFunction::Sha256, &world.did.inception.id());
    let answer = world.ledger.answer(&key);
    write("decode", "answer-absent", Some(6), &answer.encode())?;
    let service = realdid_core::state::service_key(HashFunction::Sha256, &SERVICE_ID);
    write(
        "decode",
        "answer",
        Some(6),
        &world.ledger.answer(&service).encode(),
    )
}

/// A step of `targets/apply.rs`: which `Ask` in order of declaration, its fields, and the sequence
/// number. The right party signs, at once, and nothing is flipped.
type Step<'a> = (u64, &'a [u8], u8);

/// Stories that the rules admit, for the fuzzer to bend.
fn apply() -> Outcome {
    let stories: [(&str, &[Step<'_>]); 4] = [
        (
            "anchors",
            &[(0, &[0], 0), (0, &[1], 0), (0, &[2], 0), (0, &[3], 0)],
        ),
        (
            "life",
            &[
                (0, &[0], 0),
                (1, &[0, 0], 1),
                (2, &[0, 1], 2),
                (3, &[0], 3),
                (4, &[0], 4),
                (5, &[0], 5),
            ],
        ),
        (
            "registry",
            &[
                (6, &[0], 0),
                (6, &[1], 0),
                (6, &[2], 0),
                (7, &[0, 1], 1),
                (8, &[0, 0], 2),
                (9, &[0], 0),
                (9, &[1], 0),
                (10, &[0, 1], 1),
                (11, &[0, 7, 0], 0),
                (12, &[0, 5], 0),
                (13, &[0, 1], 0),
                (14, &[0], 0),
            ],
        ),
        (
            "decisions",
            &[
                (16, &[0, 0], 0),
                (18, &[1, 1], 1),
                (17, &[1, 1], 2),
                (20, &[200, 2, 3], 3),
                (22, &[0, 1], 4),
                (21, &[2, 3], 5),
            ],
        ),
    ];
    for (name, steps) in stories {
        let bytes: Vec<u8> = steps.iter().flat_map(step).collect();
        write("apply", name, None, &bytes)?;
    }
    Ok(())
}

/// As `arbitrary` reads it: another step follows; the variant, as a share of 32 bits; the fields;
/// sequence number, signer and wait; and no flip.
fn step((ask, fields, seq): &Step<'_>) -> Vec<u8> {
    const ASKS: u64 = 25;
    let share = ((ask << 32).div_ceil(ASKS) as u32).to_le_bytes();
    [&[1], &share[..], fields, &[*seq, 3, 0, 0]].concat()
}

fn world() -> World {
    let registered = Registered {
        domain: "login.shop.example".to_owned(),
        purposes: vec!["login", "age"],
        claims: vec![json!(["realpass", "adult"])],
        sandbox: false,
    };
    World::new(
        NOW_MS,
        test_world::jose_key(&test_world::p256(4)),
        &registered,
    )
}

/// What passes between wallet and authority, written on the way.
fn issued() -> Result<Credential, Box<dyn Error>> {
    let why = |error| format!("{error:?}");
    let key = test_world::pass_issuer();
    let secrets = PseudonymSecrets::from_seed(&[1; 32]);
    let request = secrets.request(&mut TestRandom(1)).map_err(why)?;
    let kept = key.enrol(&mut TestRandom(2), &request).map_err(why)?;
    let facts = Facts {
        epoch: EPOCH,
        adult: Adult::Yes,
        region: Region::East,
        kind: Kind::Resident,
        assurance: Assurance::Substantial,
        continuity: Continuity::Unbroken,
    };
    let messages = facts.messages().map_err(why)?;
    let issued = key.issue(&request, &kept, &messages).map_err(why)?;
    write("pass", "request", None, &request.to_bytes())?;
    write("pass", "kept", None, kept.to_bytes().as_slice())?;
    write("pass", "issued", None, issued.to_bytes().as_slice())?;
    write("pass", "key", None, &key.public().to_bytes())?;
    let asked = PassRequest {
        epoch: EPOCH,
        request,
    };
    write(
        "login",
        "request",
        Some(3),
        asked.to_body().to_string().as_bytes(),
    )?;
    let answer = PassAnswer { facts, issued };
    write(
        "login",
        "answer",
        Some(4),
        answer.to_body().to_string().as_bytes(),
    )?;
    let pass = Credential::accept(key.public(), &secrets, messages, answer.issued.clone());
    Ok(pass.map_err(why)?)
}

/// What a wallet shows a gate, and what the gate asked.
fn shown_and_asked(pass: &Credential) -> Outcome {
    let key = test_world::pass_issuer();
    let audience = client_id(&SERVICE_ID);
    let binding = realpass::binding("n-1", &audience, None);
    let context = Context::service(&SERVICE_ID.0);
    let all: Vec<usize> = Fact::ALL.iter().map(|fact| fact.index()).collect();
    let mut text = String::new();
    for (name, shown) in [
        ("shown-all", [&[0], &all[..]].concat()),
        ("shown-none", vec![0]),
        ("shown-adult", vec![0, Fact::Adult.index()]),
    ] {
        let presentation = pass
            .present(&mut TestRandom(7), key.public(), &context, &shown, &binding)
            .map_err(|error| format!("{error:?}"))?;
        let bytes = presentation.to_bytes();
        write("pass", name, None, &bytes)?;
        write("login", name, Some(2), &bytes)?;
        let issuer = realdid_core::state::issuer_id(HashFunction::Sha256, AUTHORITY).0;
        text = Envelope {
            issuer,
            presentation,
        }
        .to_string();
    }
    write("login", "envelope", Some(0), text.as_bytes())?;
    write("login", "envelope-asked", Some(1), text.as_bytes())?;

    let token = json!({ PASS_ID: [text], DID_ID: ["e30.e30.AA"] });
    let form =
        |value: &str| url::form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>();
    let clear = format!("vp_token={}&state=s-1", form(&token.to_string()));
    WalletResponse::parse(clear.as_bytes(), None)?;
    write("login", "response", Some(5), clear.as_bytes())?;
    write(
        "login",
        "declined",
        Some(6),
        b"error=access_denied&state=s-1",
    )?;
    let inside = json!({ "vp_token": token, "state": "s-1" }).to_string();
    write("login", "response-inside", Some(7), inside.as_bytes())?;
    let gate = DecryptionKey::from_bytes(&[7; 32], "k")?;
    let to = EncryptionKey::choose(&json!({ "keys": [gate.public_jwk()] }), None)?;
    let sealed = to.encrypt(inside.as_bytes(), &[1; 32], &[2; 12], None)?;
    let sealed = format!("response={sealed}");
    WalletResponse::parse(sealed.as_bytes(), Some(&gate))?;
    write("login", "response-sealed", Some(6), sealed.as_bytes())?;

    let world = world();
    let signed = RequestContent {
        network: "test",
        service_id: SERVICE_ID,
        registration: &world.registration,
        purpose: "age",
        ask: &Ask::new(true, &[Fact::Adult.claim().ok_or("a path")?]),
        algs: &[realdid_credential::jose::Alg::Es256],
        response_uri: "https://login.shop.example/vp/response/x",
        nonce: "n-1",
        state: "s-1",
        wallet_nonce: Some("w"),
        encrypt_to: Some(&gate),
        display: None,
        iat_s: NOW_MS / 1000,
        exp_s: NOW_MS / 1000 + 300,
    }
    .sign(&world.gate_key)?;
    ClaimedRequest::parse(&signed)?;
    write("login", "asked", Some(8), signed.as_bytes())?;
    let inside: Vec<Vec<u8>> = signed
        .split('.')
        .take(2)
        .map(unbase64)
        .collect::<Result<_, _>>()?;
    write("login", "asked-inside", Some(8), &inside.join(&b'\n'))
}

fn unbase64(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text)
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    let digits = pairs.filter_map(|pair| str::from_utf8(pair).ok());
    digits
        .filter_map(|pair| u8::from_str_radix(pair, 16).ok())
        .collect()
}
