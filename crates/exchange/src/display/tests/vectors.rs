//! Frozen badges with the ledger's records that judge them (spec/vectors/display): of each kind of name one
//! that stands, and others with the code by which they fail.

use super::*;
use realdid_core::answer::StateAnswer;
use realdid_core::codec;
use realdid_core::genesis::Genesis;
use realdid_core::state::{display_key, issuer_key, service_key};
use realdid_core::trie::Key;
use realdid_light::{Freshness, LightClient, LightError};

const FOLDER: &str = "../../spec/vectors/display";
const BADGES: &str = include_str!("../../../../../spec/vectors/display/badges.json");
const ORGANISATIONS: &str = include_str!("../../../../../spec/vectors/display/organisations.json");
const BY: HashFunction = HashFunction::Sha256;
/// How old a checkpoint may be.
const MAX_AGE_MS: u64 = 300_000;

/// As whoever sees a badge does it: by the answers of any node, and a genesis.
fn judge(genesis: &Genesis, answers: &Value, case: &Value) -> Result<Verified, &'static str> {
    let badge = Badge::parse(case["badge"].to_string().as_bytes()).map_err(VpError::code)?;
    let light = LightClient::new(genesis.clone());
    let now_s = case["time_s"].as_u64().unwrap();
    let freshness = Freshness {
        now_ms: now_s * 1000,
        max_age_ms: MAX_AGE_MS,
        max_lag_slots: u64::MAX,
    };
    let answer = |name: &str| {
        let own = case["answers"].get(name).unwrap_or(&answers[name]);
        StateAnswer::decode(&hex::decode(own.as_str().unwrap()).unwrap()).unwrap()
    };
    let code = |error: LightError| error.code();
    let claimed = badge.claimed();
    let [issuer_id, registrar_id] = badge.issuers(BY);
    let issuer = light.issuer(&issuer_id, &answer("issuer"), &freshness);
    let registrar = light.issuer(&registrar_id, &answer("registrar"), &freshness);
    let service = light.service(&claimed.terms.service, &answer("service"), &freshness);
    let display = light.display(&claimed.digest, &answer("display"), &freshness);
    let (issuer, registrar) = (issuer.map_err(code)?, registrar.map_err(code)?);
    let (service, display) = (service.map_err(code)?, display.map_err(code)?);
    let records = Records {
        network: &genesis.network,
        issuer: issuer.value.as_ref(),
        registrar: registrar.value.as_ref(),
        service: service.value.as_ref(),
        display: display.value.as_ref(),
    };
    let address = case["address"].as_str().map(|text| text.parse().unwrap());
    let place = Place {
        handle: case["handle"].as_str(),
        address: address.as_ref(),
    };
    verify(&badge, &place, &records, now_s).map_err(VpError::code)
}

/// Holds every case of a file to its outcome; answers how many stand.
fn hold(text: &str) -> usize {
    let told: Value = serde_json::from_str(text).unwrap();
    let genesis = hex::decode(told["genesis"].as_str().unwrap()).unwrap();
    let genesis = Genesis::decode(&genesis).unwrap();
    let cases = told["cases"].as_array().unwrap();
    assert!(cases.len() > 12);
    let mut standing = 0;
    for case in cases {
        let verified = judge(&genesis, &told["answers"], case);
        match case["outcome"].as_str().unwrap() {
            "stands" => {
                let verified = verified.unwrap();
                assert_eq!(verified.name.text(), case["shows"]);
                // A badge of before there were kinds is a person's.
                let kind = case
                    .get("kind")
                    .map_or("person", |kind| kind.as_str().unwrap());
                assert_eq!(verified.terms.kind.code(), kind);
                standing += 1;
            }
            code => assert_eq!(verified.err(), Some(code), "{}", case["name"]),
        }
    }
    standing
}

#[test]
fn badges_are_frozen_with_what_becomes_of_them() {
    assert_eq!(hold(BADGES), 1);
    assert_eq!(hold(ORGANISATIONS), 2);
}

/// What a node of the scene's ledger answers.
fn answer_of(scene: &Scene, key: &Key) -> Value {
    hex::encode(scene.world.ledger.answer(key).encode()).into()
}

fn issuer_answer(scene: &Scene, url: &str) -> Value {
    answer_of(scene, &issuer_key(BY, &issuer_id(BY, url)))
}

fn display_answer(scene: &mut Scene, badge: &Badge, record: Option<state::Display>) -> Value {
    let key = display_key(BY, &badge.claimed().digest);
    let record = record.map(|record| codec::encode(&record));
    scene.world.ledger.set(key, record, NOW_S * 1000);
    answer_of(scene, &key)
}

/// Signatures by P-256 are random, so that each run writes others.
#[test]
#[ignore = "writes the vectors anew"]
fn write_badges() {
    let mut scene = Scene::new();
    let badge = scene.badge();
    let record = scene.display.clone();
    let answers = json!({
        "display": display_answer(&mut scene, &badge, record.clone()),
        "issuer": issuer_answer(&scene, AUTHORITY),
        "registrar": issuer_answer(&scene, REGISTRAR),
        "service": answer_of(&scene, &service_key(BY, &SERVICE_ID)),
    });
    let good = json!({
        "name": "as its person made it",
        "badge": badge.to_json(),
        "time_s": NOW_S + 5,
        "handle": "wei.li",
        "address": "https://stage.example/u/wei.li",
        "outcome": "stands",
        "shows": "Wei Li",
    });
    let mut cases = vec![good.clone()];
    let mut case = |name: &str, code: &str, change: &dyn Fn(&mut Value)| {
        let mut case = good.clone();
        case.as_object_mut().unwrap().remove("shows");
        case["name"] = name.into();
        case["outcome"] = code.into();
        change(&mut case);
        cases.push(case);
    };
    case("seen at another handle", "display.handle", &|case| {
        case["handle"] = "li.wei".into();
    });
    case("rewritten for another handle", "display.handle", &|case| {
        case["handle"] = "li.wei".into();
        case["badge"]["handle"] = "li.wei".into();
    });
    case("seen on another platform", "display.platform", &|case| {
        case["address"] = "https://other.example/u/wei.li".into();
    });
    case("rewritten for another platform", "display.platform", &|c| {
        c["badge"]["service"] = Hash32([1; 32]).to_string().into();
    });
    case("rewritten for another network", "display.network", &|c| {
        c["badge"]["network"] = "intl".into();
    });
    case("no badge", "display.malformed", &|case| {
        case["badge"] = json!({});
    });
    case("of an old checkpoint", "light.stale", &|case| {
        case["time_s"] = (NOW_S + 400).into();
    });
    let altered = |name: &str, change: &dyn Fn(&mut StateAnswer)| {
        let bytes = hex::decode(answers[name].as_str().unwrap()).unwrap();
        let mut answer = StateAnswer::decode(&bytes).unwrap();
        change(&mut answer);
        Value::from(hex::encode(answer.encode()))
    };
    let forged = altered("display", &|answer| {
        answer.checkpoint.certificate.0[60] ^= 1
    });
    case("of no certified checkpoint", "light.certificate", &|case| {
        case["answers"] = json!({ "display": forged });
    });
    let other = altered("display", &|answer| {
        *answer.value.as_mut().unwrap().0.last_mut().unwrap() ^= 1;
    });
    case("of a record that is not there", "light.proof", &|case| {
        case["answers"] = json!({ "display": other });
    });
    let withdrawn = record.clone().map(|record| state::Display {
        status: DisplayStatus::Withdrawn,
        ..record
    });
    let elsewhere = record.clone().map(|record| state::Display {
        withdrawal: Hash32([1; 32]),
        ..record
    });
    for (name, code, record) in [
        ("withdrawn", "display.taken_back", withdrawn),
        (
            "under another key to take it back",
            "display.record",
            elsewhere,
        ),
        ("never put on the ledger", "display.not_anchored", None),
    ] {
        let answer = display_answer(&mut scene, &badge, record);
        case(name, code, &|case| {
            case["answers"] = json!({ "display": answer });
        });
    }
    let short = Terms {
        expires_s: NOW_S + 100,
        ..terms()
    };
    let shown = scene.shown(&short, NOW_S).unwrap();
    let ended = Badge::new(shown, scene.world.registration.clone()).unwrap();
    let answer = display_answer(&mut scene, &ended, record);
    case("after its end", "display.expired", &|case| {
        case["badge"] = ended.to_json();
        case["answers"] = json!({ "display": answer });
        case["time_s"] = (NOW_S + 100).into();
    });
    let signed = badge.to_json()["presentation"].as_str().unwrap().to_owned();
    let signed = sd_jwt::Claimed::read(&signed).unwrap().key_binding.unwrap();
    let moved = format!("{}{signed}", scene.copy);
    case("with more than was signed", "kb.sd_hash", &|case| {
        case["badge"]["presentation"] = moved.clone().into();
    });
    let binding = Binding {
        nonce: "n",
        aud: "verifier_attestation:x",
        iat_s: NOW_S,
    };
    let login = scene.parsed().select(&Kind::Person.paths()).unwrap();
    let login = login
        .bind(&binding, &jose_key(&scene.world.holder))
        .unwrap();
    case("made for one service", "display.audience", &|case| {
        case["badge"]["presentation"] = login.clone().into();
    });
    scene.world.change_issuer(AUTHORITY, |issuer| {
        issuer.keys[0].status = KeyStatus::Compromised(1)
    });
    let answer = issuer_answer(&scene, AUTHORITY);
    case(
        "of a key in other hands",
        "credential.key_compromised",
        &|c| {
            c["answers"] = json!({ "issuer": answer });
        },
    );
    write("badges.json", &scene, &answers, &cases);
}

fn write(name: &str, scene: &Scene, answers: &Value, cases: &[Value]) {
    let told = json!({
        "genesis": hex::encode(scene.world.ledger.genesis.encode()),
        "answers": answers,
        "cases": cases,
    });
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER);
    let text = serde_json::to_string_pretty(&told).unwrap() + "\n";
    std::fs::write(folder.join(name), text).unwrap();
}

/// The same of organisations' names.
#[test]
#[ignore = "writes the vectors anew"]
fn write_organisations() {
    use super::organisations::{forged, of_organisation, terms_of};

    let mut scene = of_organisation();
    let badge = scene.badge_of(&terms_of(Kind::Organisation));
    let record = scene.display.clone();
    let answers = json!({
        "display": display_answer(&mut scene, &badge, record.clone()),
        "issuer": issuer_answer(&scene, AUTHORITY),
        "registrar": issuer_answer(&scene, REGISTRAR),
        "service": answer_of(&scene, &service_key(BY, &SERVICE_ID)),
    });
    let good = json!({
        "name": "as its representative made it",
        "badge": badge.to_json(),
        "time_s": NOW_S + 5,
        "handle": "wei.li",
        "address": "https://stage.example/u/wei.li",
        "outcome": "stands",
        "shows": "Example Cooperative",
        "kind": "organisation",
    });
    let mut cases = vec![good.clone()];
    let backed = scene.badge_of(&terms_of(Kind::Backed));
    let mut behind = good.clone();
    behind["name"] = "of the organisation behind a person".into();
    behind["badge"] = backed.to_json();
    behind["kind"] = "backed".into();
    behind["answers"] = json!({
        "display": display_answer(&mut scene, &backed, record.clone()),
    });
    cases.push(behind.clone());
    let mut case = |name: &str, code: &str, from: &Value, change: &dyn Fn(&mut Value)| {
        let mut case = from.clone();
        for member in ["shows", "kind"] {
            case.as_object_mut().unwrap().remove(member);
        }
        case["name"] = name.into();
        case["outcome"] = code.into();
        change(&mut case);
        cases.push(case);
    };
    case("passed off as a person's", "display.kind", &good, &|case| {
        case["badge"].as_object_mut().unwrap().remove("kind");
    });
    for (word, name, from) in [
        ("backed", "passed off as of who stands behind", &good),
        ("organisation", "passed off as the account's own", &behind),
    ] {
        case(name, "display.kind", from, &|case| {
            case["badge"]["kind"] = word.into();
        });
    }
    for (word, name) in [
        ("person", "in another spelling"),
        ("state", "of an unknown kind"),
    ] {
        case(name, "display.malformed", &good, &|case| {
            case["badge"]["kind"] = word.into();
        });
    }
    case("seen at another handle", "display.handle", &good, &|case| {
        case["handle"] = "li.wei".into();
    });
    case("seen elsewhere", "display.platform", &good, &|case| {
        case["address"] = "https://other.example/u/wei.li".into();
    });
    case("of an old checkpoint", "light.stale", &good, &|case| {
        case["time_s"] = (NOW_S + 400).into();
    });
    let withdrawn = record.clone().map(|record| state::Display {
        status: DisplayStatus::Withdrawn,
        ..record
    });
    for (name, code, record) in [
        ("withdrawn", "display.taken_back", withdrawn),
        ("never put on the ledger", "display.not_anchored", None),
    ] {
        let answer = display_answer(&mut scene, &badge, record);
        case(name, code, &good, &|case| {
            case["answers"] = json!({ "display": answer });
        });
    }
    // What a wallet should not have signed, on the ledger all the same.
    let person = Scene {
        world: scene.world,
        ..Scene::new()
    };
    let names = |kind: Kind| kind.paths();
    let mut more = names(Kind::Organisation);
    more.push(ClaimPath::of(&["registration_number"]).unwrap());
    let from_pid = forged(&person, &terms_of(Kind::Organisation), &names(Kind::Person));
    let mut scene = Scene {
        world: person.world,
        ..of_organisation()
    };
    let as_person = forged(&scene, &terms(), &names(Kind::Organisation));
    let too_much = forged(&scene, &terms_of(Kind::Organisation), &more);
    for (name, code, badge) in [
        ("with a person's name", "display.kind", from_pid),
        (
            "an organisation's name as a person's",
            "display.kind",
            as_person,
        ),
        ("with its number too", "display.claims", too_much),
    ] {
        let answer = display_answer(&mut scene, &badge, record.clone());
        case(name, code, &good, &|case| {
            case["badge"] = badge.to_json();
            case["answers"] = json!({ "display": answer });
        });
    }
    write("organisations.json", &scene, &answers, &cases);
}
