//! Writes the seeds of `fuzz/corpus`: honest encodings, from which a fuzzer starts. The same bytes each
//! time; run it in `fuzz/` after a format has changed: `cargo run --example seeds`.

use std::error::Error;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
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
    AnswerTo, Ask, ClaimedRequest, DID_ID, PASS_ID, RequestContent, Signer, WalletResponse,
    client_id,
};
use realdid_pass::facts::{Adult, Assurance, Continuity, Facts, Kind, Region};
use realdid_pass::{Context, Credential, PseudonymSecrets};
use realdid_testkit::chain::TestLedger;
use realdid_testkit::ledger::{START_MS, TestDid, TestNet};
use realdid_testkit::person::{TestPerson, TestRandom};
use serde_json::{Value, json};

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
    badge()?;
    asking()?;
    passport()
}

/// What others say of themselves and ask, as in `targets/asking.rs`.
fn asking() -> Outcome {
    use realdid_credential::jose::{Alg, SigningKey};
    use realdid_credential::status::{Status, StatusList, Width, delta, token};
    use realdid_exchange::vci::{IssuerMetadata, ServerMetadata};

    let algs: &[Alg] = &[Alg::Es256];
    let metadata =
        IssuerMetadata::of_authority(AUTHORITY, "urn:realdid:pid:1", "A", (Alg::Es256, algs));
    write("asking", "issuer", Some(0), &serde_json::to_vec(&metadata)?)?;
    let server = ServerMetadata::of_authority(AUTHORITY);
    write("asking", "server", Some(1), &serde_json::to_vec(&server)?)?;
    let copies = json!({"credentials": [{"credential": "e30.e30.AA~"}], "notification_id": "n"});
    write(
        "asking",
        "copies",
        Some(2 + 16),
        copies.to_string().as_bytes(),
    )?;
    let gate = DecryptionKey::from_bytes(&[7; 32], "k")?;
    let query = json!({"credentials": [{
        "id": "pid", "format": "dc+sd-jwt", "meta": {"vct_values": ["urn:realdid:pid:1"]},
        "trusted_authorities": [{"type": "aki", "values": ["AQID"]}],
        "claims": [
            {"id": "a", "path": ["given_name"], "values": ["Wei"]},
            {"id": "b", "path": ["nationalities", null]}
        ],
        "claim_sets": [["a", "b"], ["a"]]
    }], "credential_sets": [{"options": [["pid"]], "required": true}]});
    write("asking", "query", Some(4), query.to_string().as_bytes())?;
    let header = json!({"alg": "ES256", "typ": "oauth-authz-req+jwt", "x5c": ["AA=="]});
    let request = json!({"client_id": "x509_san_dns:shop.example", "aud": "https://self-issued.me/v2",
        "response_type": "vp_token", "response_mode": "direct_post.jwt", "nonce": "n", "state": "s",
        "response_uri": "https://shop.example/response", "dcql_query": query,
        "client_metadata": {"jwks": {"keys": [gate.public_jwk()]},
            "vp_formats_supported": {"dc+sd-jwt": {"sd-jwt_alg_values": ["ES256"], "kb-jwt_alg_values": ["ES256"]}}}});
    write(
        "asking",
        "request",
        Some(3),
        format!("{header}\n{request}").as_bytes(),
    )?;
    let list = "https://authority.example/status/1";
    let reference = json!({"status_list": {"uri": list, "idx": 7}});
    write(
        "asking",
        "reference",
        Some(5),
        reference.to_string().as_bytes(),
    )?;
    let old = StatusList::from_bytes(Width::Two, vec![0b0100_0001; 64])?;
    let mut new = old.clone();
    new.change(9, Status::Invalid)?;
    write("asking", "deflated", Some(5), &new.deflate()?)?;
    let made = delta::make(&old, &new, list)?;
    write("asking", "delta", Some(6), &made)?;
    write(
        "asking",
        "delta-body",
        Some(6),
        made.get(82..).ok_or("a body")?,
    )?;
    let now_s = NOW_MS / 1000;
    let terms = token::Terms {
        kid: "k",
        uri: list,
        iat_s: now_s,
        exp_s: now_s + 60,
        ttl_s: 60,
        x5c: &[],
    };
    let key = SigningKey::p256(&[5; 32])?;
    let signed = token::issue_jwt(&new, &terms, &key)?;
    let payload = signed.split('.').nth(1).ok_or("a payload")?;
    write("asking", "list", Some(7), &unbase64(payload)?)?;
    write(
        "asking",
        "list-cwt",
        Some(7),
        &token::issue_cwt(&new, &terms, &key)?,
    )?;
    let paths = json!({"items": ["5a".repeat(32)]});
    write("asking", "paths", Some(8), paths.to_string().as_bytes())?;
    let world = world();
    let sd_jwt = world.pid();
    write("asking", "sd-jwt", Some(10), sd_jwt.as_bytes())?;
    let website = "client_id=shop&redirect_uri=https%3A%2F%2Fshop.example%2Fcb&response_type=code&scope=openid\
        &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256\
        &claims=%7B%22id_token%22%3A%7B%22given_name%22%3A%7B%22essential%22%3Atrue%7D%7D%7D";
    write("asking", "website", Some(11), website.as_bytes())?;
    let inside = json!({"vp_token": {"pid": ["e30.e30.AA~"]}}).to_string();
    let to = EncryptionKey::choose(&json!({ "keys": [gate.public_jwk()] }), None)?;
    let sealed = to.encrypt(inside.as_bytes(), &[1; 32], &[2; 12], None)?;
    let got = json!({"protocol": "openid4vp-v1-signed", "data": {"response": sealed}});
    write("asking", "browser", Some(12), got.to_string().as_bytes())?;
    let link = "openid4vp://?client_id=x509_hash%3AAA&request_uri=https%3A%2F%2Fshop.example%2Fr&request_uri_method=post";
    write("asking", "link", Some(13), link.as_bytes())?;
    let did = "did:web:shop.example%3A8443";
    let id = format!("{did}#key-1");
    let jwk = realdid_credential::jose::Jwk(SigningKey::p256(&[5; 32])?.verifying_key()).to_value();
    let document = json!({"id": did, "authentication": [id], "verificationMethod": [
        {"id": id, "type": "JsonWebKey", "controller": did, "publicKeyJwk": jwk}]});
    write(
        "asking",
        "verifier",
        Some(13),
        format!("{did}\n{document}").as_bytes(),
    )?;
    let did = TestDid::new(TestNet::new().network(), 1).inception.did();
    let question = format!("{did}?service=a&relativeRef=%2Fb#c\nversionTime=2027-01-15T08:00:00Z");
    write("asking", "question", Some(14), question.as_bytes())
}

/// The first of the frozen badges and of the receipts, as in `targets/badge.rs`.
fn badge() -> Outcome {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/vectors");
    let first = |file: &str| -> Result<Value, Box<dyn Error>> {
        let text = fs::read_to_string(vectors.join(file))?;
        let all: Value = serde_json::from_str(&text)?;
        Ok(all["cases"][0].clone())
    };
    let shown = first("display/badges.json")?["badge"].clone();
    let presentation = shown["presentation"].as_str().ok_or("a presentation")?;
    let binding = presentation.rsplit('~').next().ok_or("a key binding")?;
    let claims = binding.split('.').nth(1).ok_or("claims")?;
    write("badge", "badge", Some(0), shown.to_string().as_bytes())?;
    write("badge", "presentation", Some(1), presentation.as_bytes())?;
    write(
        "badge",
        "binding",
        Some(2),
        &URL_SAFE_NO_PAD.decode(claims)?,
    )?;
    write("badge", "handle", Some(3), "欧阳小明".as_bytes())?;
    let signed: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
    let mut terms = signed["display"].clone();
    terms["type"] = "rdid_display".into();
    terms["credential_ids"] = json!(["pid"]);
    write("badge", "terms", Some(4), terms.to_string().as_bytes())?;
    let id = "51".repeat(32);
    let header = json!({"alg": "ES256", "typ": "rdid-display-order+jwt"});
    let order = json!({"iss": id, "aud": "https://registrar.example", "iat": 1_900_000_000,
        "act": "show", "digest": id, "withdrawal": id});
    write(
        "badge",
        "order",
        Some(5),
        format!("{header}\n{order}").as_bytes(),
    )?;
    let receipt = first("receipts/receipts.json")?["receipt"].clone();
    let whole = receipt.to_string();
    write("badge", "receipt", Some(6), whole.as_bytes())?;
    let members = ["registrar", "service", "issuer"].map(|name| &receipt["evidence"][name]);
    let genesis = &receipt["evidence"]["home"]["genesis"];
    for (member, coded) in members.into_iter().chain([genesis]).enumerate() {
        let bytes = URL_SAFE_NO_PAD.decode(coded.as_str().ok_or("a member")?)?;
        let input = [&[u8::try_from(member)?], bytes.as_slice()].concat();
        write("badge", &format!("member-{member}"), Some(7), &input)?;
    }
    let page = "https://gate.example/display/wei.li/embed?size=small#name";
    write("badge", "page", Some(8), page.as_bytes())
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
    write(
        "passport",
        "revocation",
        Some(2),
        world.revocation_list().as_bytes(),
    )?;
    write("passport", "group", Some(3), &groups[0].1)?;
    let evidence = PassportEvidence::new(&object, &groups);
    write(
        "passport",
        "evidence",
        Some(4),
        &serde_json::to_vec(&evidence)?,
    )
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
        issuer_state: None,
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
        signer: Signer::Registration(SERVICE_ID),
        registration: &world.registration,
        purpose: "age",
        ask: &Ask::new(true, &[Fact::Adult.claim().ok_or("a path")?]),
        algs: &[realdid_credential::jose::Alg::Es256],
        answer_to: AnswerTo::Uri("https://login.shop.example/vp/response/x"),
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
