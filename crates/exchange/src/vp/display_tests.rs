//! Requests for a name that is shown to everybody: whose, from which credential, and nothing beside it.

use realdid_core::hash::HashFunction;
use realdid_core::state::{Standing, issuer_id};
use realdid_credential::jose::{self, Alg};
use realdid_credential::{organisation, pid};
use serde_json::{Map, Value, json};

use super::*;
use crate::display::{Handle, Kind, Terms};
use crate::test_world::{REGISTRAR, Registered, SERVICE_ID, World, jose_key, p256};

const NOW_S: u64 = 1_900_000_000;
const KINDS: [Kind; 3] = [Kind::Person, Kind::Organisation, Kind::Backed];

fn world(claims: &[&str]) -> World {
    let registered = Registered {
        domain: "stage.example".to_owned(),
        purposes: vec!["login", "real-name"],
        claims: claims.iter().map(|name| json!([name])).collect(),
        sandbox: false,
    };
    World::new(NOW_S * 1000, jose_key(&p256(4)), &registered)
}

fn terms(kind: Kind) -> Terms {
    Terms {
        network: "dev".parse().unwrap(),
        service: SERVICE_ID,
        handle: Handle::parse("firm").unwrap(),
        kind,
        expires_s: NOW_S + 86_400,
    }
}

fn signed(world: &World, claims: &[ClaimPath], display: Option<&Terms>) -> String {
    let content = RequestContent {
        network: "dev",
        registration: &world.registration,
        signer: Signer::Registration(SERVICE_ID),
        purpose: "real-name",
        ask: &Ask::new(true, claims),
        algs: &[Alg::Es256, Alg::EdDsa],
        answer_to: AnswerTo::Uri("https://stage.example/displays/response/1"),
        nonce: "n-1",
        state: "s-1",
        wallet_nonce: None,
        encrypt_to: None,
        display,
        iat_s: NOW_S,
        exp_s: NOW_S + 300,
    };
    content.sign(&world.gate_key).unwrap()
}

fn read(world: &World, request: &str) -> Result<CheckedRequest, &'static str> {
    let claimed = ClaimedRequest::parse(request).map_err(RequestRefused::code)?;
    let (registrar, service) = (world.issuer(REGISTRAR), world.service());
    let by = HashFunction::Sha256;
    assert_eq!(claimed.registrar_id(by), issuer_id(by, REGISTRAR));
    let link = WalletLink {
        client_id: client_id(&SERVICE_ID),
        request_uri: "https://stage.example/displays/request/1".to_owned(),
        post: false,
    };
    let evidence = RequestEvidence {
        network: "dev",
        registrar: Some(&registrar),
        service: Some(&service),
        now_s: NOW_S,
        wallet_nonce: None,
    };
    let checked = claimed.check(&link, &evidence);
    checked.map_err(RequestRefused::code)
}

/// The request with its payload changed, signed by the gate itself.
fn rewritten(world: &World, request: &str, change: impl Fn(&mut Map<String, Value>)) -> String {
    let jws = jose::decode_unverified(request).unwrap();
    let mut payload = jws.claims().unwrap();
    change(&mut payload);
    let mut header = jws.header.clone();
    header.remove("alg");
    let payload = Value::from(payload).to_string();
    jose::sign_compact(&header, payload.as_bytes(), &world.gate_key).unwrap()
}

#[test]
fn each_kind_of_name_is_asked_of_its_own_credential() {
    let world = world(&["family_name", "given_name", "legal_name"]);
    for kind in KINDS {
        let asked = signed(&world, &kind.paths(), Some(&terms(kind)));
        let request = read(&world, &asked).unwrap();
        assert_eq!(request.display, Some(terms(kind)));
        let pid = request.asked.pid.unwrap();
        assert_eq!(pid.vcts, [kind.vct()]);
        assert_eq!(pid.claims, kind.paths());
        let id = if kind.is_organisation() {
            ORGANISATION_ID
        } else {
            PID_ID
        };
        assert_eq!(pid.id, id);
        assert!(request.asked.mdoc.is_none() && request.asked.pass.is_some());
    }
}

#[test]
fn a_gate_that_asks_for_another_credential_or_for_more_is_refused() {
    let all = ["family_name", "given_name", "legal_name"];
    let world = world(&all);
    let of_firm = terms(Kind::Organisation);
    let honest = signed(&world, &Kind::Organisation.paths(), Some(&of_firm));
    let with_vcts = |request: &str, vcts: Value| {
        rewritten(&world, request, |payload| {
            let query = &mut payload["dcql_query"]["credentials"][1];
            assert!(query["meta"]["vct_values"].is_array());
            query["meta"]["vct_values"] = vcts.clone();
        })
    };
    let of_person = signed(&world, &Kind::Person.paths(), Some(&terms(Kind::Person)));
    let both = json!([pid::VCT, organisation::VCT]);
    for request in [
        with_vcts(&honest, json!([pid::VCT])),
        with_vcts(&honest, both.clone()),
        with_vcts(&of_person, json!([organisation::VCT])),
        with_vcts(&of_person, both.clone()),
    ] {
        assert_eq!(read(&world, &request).err(), Some("vp.display"));
    }
    // The other kind's claims, or more than the name.
    let paths = |names: &[&str]| -> Vec<ClaimPath> {
        let paths = names.iter().map(|name| ClaimPath::of(&[name]).unwrap());
        paths.collect()
    };
    for (names, kind) in [
        (&["family_name", "given_name"][..], Kind::Backed),
        (&["legal_name"][..], Kind::Person),
        (&["legal_name", "country"][..], Kind::Organisation),
        (&["legal_name", "given_name"][..], Kind::Organisation),
        (&["registration_number"][..], Kind::Organisation),
    ] {
        let request = signed(&world, &paths(names), Some(&terms(kind)));
        assert_eq!(
            read(&world, &request).err(),
            Some("vp.display"),
            "{names:?}"
        );
    }
    // Without a display nobody asks for whom somebody acts, not even whether they do.
    let plain = signed(&world, &Kind::Person.paths(), None);
    for vcts in [json!([organisation::VCT]), both] {
        let request = rewritten(&world, &plain, |payload| {
            payload["dcql_query"] = json!({"credentials": [
                {"id": "x", "format": "dc+sd-jwt", "meta": {"vct_values": vcts}},
                {"id": "did", "format": DID_FORMAT, "meta": {}},
            ]});
        });
        assert_eq!(read(&world, &request).err(), Some("vp.query"));
    }
}

#[test]
fn an_organisations_name_is_registered_by_a_claim_of_its_own() {
    let mut world = world(&["family_name", "given_name"]);
    let asked = |world: &World| {
        let terms = terms(Kind::Organisation);
        signed(world, &Kind::Organisation.paths(), Some(&terms))
    };
    assert_eq!(read(&world, &asked(&world)).err(), Some("vp.claims"));
    world.register(
        &Registered {
            domain: "stage.example".to_owned(),
            purposes: vec!["real-name"],
            claims: vec![json!(["legal_name"])],
            sandbox: false,
        },
        Standing::Active,
    );
    assert!(read(&world, &asked(&world)).is_ok());
}

#[test]
fn one_name_is_shown_in_one_answer() {
    let form = |entries: Value| {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("vp_token", &entries.to_string());
        form.append_pair("state", "s");
        form.finish()
    };
    let parse = |entries: Value| WalletResponse::parse(form(entries).as_bytes(), None);
    let shown = parse(json!({"organisation": ["a~b~"], "did": ["p"]})).unwrap();
    let WalletResponse::Presented(presented) = shown else {
        panic!("a presentation");
    };
    assert_eq!(presented.pid.as_deref(), Some("a~b~"));
    for twice in [
        json!({"organisation": ["a~"], "pid": ["b~"], "did": ["p"]}),
        json!({"organisation": ["a~"], "pid_mdoc": ["b"], "did": ["p"]}),
        json!({"organisation": ["a~", "b~"], "did": ["p"]}),
    ] {
        assert_eq!(parse(twice).err(), Some(ResponseRefused::Incomplete));
    }
}
