//! Badges, and everything that a badge must not pass as.

use realdid_core::did::commitment;
use realdid_core::hash::Hash32;
use realdid_core::state::{DisplayStatus, KeyStatus, ReasonCode, Standing, issuer_id};
use realdid_credential::jose::Jwk;
use realdid_credential::sd_jwt::{self, ParsedSdJwt};
use realdid_credential::{ClaimPath, jose, organisation, pid};

use super::order::{Act, Order};
use super::*;
use crate::registration::{Purpose, Registration};
use crate::test_world::{
    AUTHORITY, REGISTRAR, Registered, SERVICE_ID, World, jose_key, key, kid, p256,
};

mod organisations;
mod vectors;

const NOW_S: u64 = 1_900_000_000;
const SALT: [u8; 32] = [9; 32];

fn registered(purposes: &[&'static str]) -> Registered {
    Registered {
        domain: "stage.example".to_owned(),
        purposes: purposes.to_vec(),
        claims: vec![
            json!(["family_name"]),
            json!(["given_name"]),
            json!(["legal_name"]),
        ],
        sandbox: false,
    }
}

/// A platform, a person with a copy of their PID or of an organisation's credential, and what the ledger says.
struct Scene {
    world: World,
    copy: String,
    display: Option<state::Display>,
    network: NetworkName,
}

fn terms() -> Terms {
    Terms {
        network: "dev".parse().unwrap(),
        service: SERVICE_ID,
        handle: Handle::parse("wei.li").unwrap(),
        kind: Kind::Person,
        expires_s: NOW_S + 86_400,
    }
}

impl Scene {
    fn new() -> Self {
        let claims = json!({"given_name": "Wei", "family_name": "Li", "birthdate": "1990-03-07"});
        Self::with(pid::VCT, &claims)
    }

    /// Somebody with a copy of this type.
    fn with(vct: &str, claims: &Value) -> Self {
        let world = World::new(
            NOW_S * 1000,
            jose_key(&p256(4)),
            &registered(&["login", "real-name"]),
        );
        let sd_terms = sd_jwt::Terms {
            iss: AUTHORITY,
            vct,
            kid: &kid(&world.authority_key),
            iat_s: NOW_S - 60,
            exp_s: NOW_S + 60,
            x5c: &[],
        };
        let mut salt = 0u8;
        let copy = sd_jwt::issue(
            claims.as_object().unwrap(),
            &[],
            &sd_terms,
            &Jwk(jose_key(&world.holder).verifying_key()),
            &jose_key(&world.authority_key),
            &mut || {
                salt += 1;
                [salt; 16]
            },
        );
        let display = state::Display {
            service: SERVICE_ID,
            issuer: issuer_id(HashFunction::Sha256, REGISTRAR),
            withdrawal: withdrawal(),
            status: DisplayStatus::Active,
            reason: ReasonCode::None,
            height: 3,
        };
        Self {
            world,
            copy: copy.unwrap(),
            display: Some(display),
            network: "dev".parse().unwrap(),
        }
    }

    fn parsed(&self) -> ParsedSdJwt {
        ParsedSdJwt::parse(&self.copy).unwrap()
    }

    fn shown(&self, terms: &Terms, now_s: u64) -> Result<String, VpError> {
        let key = jose_key(&self.world.holder);
        show(&self.parsed(), terms, &SALT, &withdrawal(), now_s, &key)
    }

    fn badge(&self) -> Badge {
        self.badge_of(&terms())
    }

    fn badge_of(&self, terms: &Terms) -> Badge {
        let shown = self.shown(terms, NOW_S).unwrap();
        Badge::new(shown, self.world.registration.clone()).unwrap()
    }

    fn verify_at(
        &self,
        badge: &Badge,
        place: &Place<'_>,
        now_s: u64,
    ) -> Result<Verified, &'static str> {
        let (issuer, registrar) = (self.world.issuer(AUTHORITY), self.world.issuer(REGISTRAR));
        let service = self.world.service();
        let records = Records {
            network: &self.network,
            issuer: Some(&issuer),
            registrar: Some(&registrar),
            service: Some(&service),
            display: self.display.as_ref(),
        };
        verify(badge, place, &records, now_s).map_err(VpError::code)
    }

    #[track_caller]
    fn refused(&self, badge: &Badge) -> &'static str {
        self.verify_at(badge, &Place::default(), NOW_S + 5)
            .unwrap_err()
    }
}

fn withdrawal() -> Hash32 {
    commitment(&key(50).public())
}

/// A badge whose JSON says something else than the one that it was.
fn with(badge: &Badge, member: &str, value: Value) -> Badge {
    let mut json = badge.to_json();
    json[member] = value;
    Badge::parse(json.to_string().as_bytes()).unwrap()
}

#[test]
fn a_badge_shows_a_name_at_its_handle_and_nothing_else() {
    let scene = Scene::new();
    let badge = scene.badge();
    let again = Badge::parse(badge.to_json().to_string().as_bytes()).unwrap();
    assert_eq!(again, badge);
    assert!(!badge.to_json().to_string().contains("birthdate"));
    let address = Url::parse("https://stage.example/u/wei.li").unwrap();
    let place = Place {
        handle: Some("wei.li"),
        address: Some(&address),
    };
    // Long after the copy has expired: it was valid when the name was shown.
    let verified = scene.verify_at(&badge, &place, NOW_S + 3_000).unwrap();
    assert_eq!(verified.name.text(), "Wei Li");
    assert_eq!(verified.terms, terms());
    assert_eq!(verified.platform, "Example shop");
    assert_eq!(
        format!("{:?}", verified.name),
        "LegalName",
        "no name in a log"
    );
    // The digest does not hang on the signature, which has more than one spelling, nor on the place.
    assert_eq!(badge.claimed().digest, scene.badge().claimed().digest);
    assert_eq!(badge.claimed().withdrawal, withdrawal());
    let han = LegalName::Person {
        family: "王".to_owned(),
        given: "伟".to_owned(),
    };
    assert_eq!(han.text(), "王伟");
}

#[test]
fn a_copied_badge_fails_with_the_reason() {
    let scene = Scene::new();
    let badge = scene.badge();
    // Copied into another profile of the same platform, as it is or with the handle changed.
    let seen = |handle| Place {
        handle: Some(handle),
        address: None,
    };
    assert_eq!(
        scene.verify_at(&badge, &seen("li.wei"), NOW_S).unwrap_err(),
        "display.handle"
    );
    let altered = with(&badge, "handle", "li.wei".into());
    assert_eq!(
        scene
            .verify_at(&altered, &seen("li.wei"), NOW_S)
            .unwrap_err(),
        "display.handle"
    );
    assert_eq!(scene.refused(&altered), "display.handle");
    // Onto another platform.
    let elsewhere = Url::parse("https://other.example/u/wei.li").unwrap();
    let place = Place {
        handle: None,
        address: Some(&elsewhere),
    };
    assert_eq!(
        scene.verify_at(&badge, &place, NOW_S).unwrap_err(),
        "display.platform"
    );
    let altered = with(&badge, "service", Hash32([1; 32]).to_string().into());
    assert_eq!(scene.refused(&altered), "display.platform");
    // Onto another network.
    assert_eq!(
        scene.refused(&with(&badge, "network", "intl".into())),
        "display.network"
    );
    let abroad = Scene {
        network: "intl".parse().unwrap(),
        ..Scene::new()
    };
    assert_eq!(abroad.refused(&badge), "display.network");
    // With what another platform's registrar says.
    let mut other = Scene::new();
    other.world.register(
        &Registered {
            domain: "other.example".to_owned(),
            ..registered(&["real-name"])
        },
        Standing::Active,
    );
    assert_eq!(
        scene.refused(&with(
            &badge,
            "registration",
            other.world.registration.into()
        )),
        "registration.digest"
    );
}

#[test]
fn a_badge_stands_while_the_ledger_says_so() {
    // A signature of one scene is not the other's, so each judges its own badge.
    let with_record = |change: fn(&mut Option<state::Display>)| {
        let mut scene = Scene::new();
        let badge = scene.badge();
        change(&mut scene.display);
        scene.refused(&badge)
    };
    assert_eq!(
        with_record(|display| display.as_mut().unwrap().status = DisplayStatus::Withdrawn),
        "display.taken_back"
    );
    assert_eq!(
        with_record(|display| display.as_mut().unwrap().withdrawal = Hash32([1; 32])),
        "display.record"
    );
    assert_eq!(
        with_record(|display| display.as_mut().unwrap().service = Hash32([1; 32])),
        "display.record"
    );
    assert_eq!(
        with_record(|display| display.as_mut().unwrap().issuer = Hash32([1; 32])),
        "display.record"
    );
    assert_eq!(
        with_record(|display| *display = None),
        "display.not_anchored"
    );
    let scene = Scene::new();
    let badge = scene.badge();
    let at = |now_s| scene.verify_at(&badge, &Place::default(), now_s);
    assert!(at(NOW_S + 3_599).is_ok());
    assert_eq!(at(NOW_S + 3_600).unwrap_err(), "registration.expired");
    assert_eq!(at(NOW_S - 11).unwrap_err(), "display.future");
    let mut suspended = Scene::new();
    suspended
        .world
        .register(&registered(&["real-name"]), Standing::Suspended);
    let badge_there = suspended.badge();
    assert_eq!(suspended.refused(&badge_there), "registration.suspended");
    let mut narrow = Scene::new();
    narrow.world.register(
        &Registered {
            claims: vec![],
            ..registered(&["login"])
        },
        Standing::Active,
    );
    assert_eq!(narrow.refused(&narrow.badge()), "registration.purpose");
    let mut compromised = Scene::new();
    let badge = compromised.badge();
    compromised.world.change_issuer(AUTHORITY, |issuer| {
        issuer.keys[0].status = KeyStatus::Compromised(1)
    });
    assert_eq!(compromised.refused(&badge), "credential.key_compromised");
    let mut retired = Scene::new();
    let badge = retired.badge();
    retired.world.change_issuer(AUTHORITY, |issuer| {
        issuer.keys[0].status = KeyStatus::Retired(1)
    });
    assert!(
        retired.verify_at(&badge, &Place::default(), NOW_S).is_ok(),
        "P7"
    );
}

#[test]
fn a_display_ends_by_its_own_terms() {
    let scene = Scene::new();
    let short = Terms {
        expires_s: NOW_S + 100,
        ..terms()
    };
    let badge = Badge::new(
        scene.shown(&short, NOW_S).unwrap(),
        scene.world.registration.clone(),
    )
    .unwrap();
    let at = |now_s| scene.verify_at(&badge, &Place::default(), now_s).map(drop);
    assert_eq!(at(NOW_S + 99), Ok(()));
    assert_eq!(at(NOW_S + 100), Err("display.expired"));
    for expires_s in [NOW_S, NOW_S - 1, NOW_S + MAX_LIFE_S + 1] {
        let refused = scene.shown(
            &Terms {
                expires_s,
                ..terms()
            },
            NOW_S,
        );
        assert_eq!(refused.map_err(VpError::code), Err("display.life"));
    }
}

#[test]
fn what_was_signed_for_one_service_is_no_badge_and_a_badge_is_no_login() {
    let scene = Scene::new();
    let key = jose_key(&scene.world.holder);
    let binding = Binding {
        nonce: "n",
        aud: "verifier_attestation:x",
        iat_s: NOW_S,
    };
    let login = scene
        .parsed()
        .select(&Kind::Person.paths())
        .unwrap()
        .bind(&binding, &key)
        .unwrap();
    assert_eq!(
        Claimed::read(&login).map_err(VpError::code),
        Err("display.audience")
    );
    // Public, but without terms, or with the terms moved onto another presentation.
    let binding = Binding {
        aud: AUDIENCE,
        ..binding
    };
    let bare = scene
        .parsed()
        .select(&Kind::Person.paths())
        .unwrap()
        .bind(&binding, &key)
        .unwrap();
    assert_eq!(
        Claimed::read(&bare).map_err(VpError::code),
        Err("display.malformed")
    );
    let shown = scene.shown(&terms(), NOW_S).unwrap();
    let moved = |sd_jwt: &str| {
        let key_binding = sd_jwt::Claimed::read(&shown).unwrap().key_binding.unwrap();
        let moved = format!("{sd_jwt}{key_binding}");
        let badge = Badge::new(moved, scene.world.registration.clone()).unwrap();
        scene.refused(&badge)
    };
    // All of the copy's claims under a binding that was made for the name.
    assert_eq!(moved(&scene.copy), "kb.sd_hash");
    let key_of_other = jose_key(&p256(77));
    assert!(
        show(
            &scene.parsed(),
            &terms(),
            &SALT,
            &withdrawal(),
            NOW_S,
            &key_of_other
        )
        .is_err()
    );
    let terms = terms();
    let issuer = scene.world.issuer(AUTHORITY);
    let check = |asked: &Terms, now_s| {
        check_shown(&shown, asked, Some(&issuer), now_s, 60)
            .map(drop)
            .map_err(VpError::code)
    };
    assert_eq!(check(&terms, NOW_S), Ok(()));
    assert_eq!(check(&terms, NOW_S + 61), Err("kb.stale"));
    assert_eq!(check(&terms, NOW_S - 11), Err("display.future"));
    let other = Terms {
        handle: Handle::parse("li.wei").unwrap(),
        ..terms.clone()
    };
    assert_eq!(check(&other, NOW_S), Err("display.terms"));
}

#[test]
fn a_badge_that_discloses_more_or_less_than_the_name_is_refused() {
    let scene = Scene::new();
    let key = jose_key(&scene.world.holder);
    let more = Map::from_iter([(
        TERMS.to_owned(),
        json!({
            "network": "dev", "service": SERVICE_ID.to_string(), "handle": "wei.li",
            "exp": NOW_S + 100, "withdrawal": withdrawal().to_string(),
        }),
    )]);
    let binding = Binding {
        nonce: "salt",
        aud: AUDIENCE,
        iat_s: NOW_S,
    };
    for paths in [
        &["given_name"][..],
        &["family_name", "given_name", "birthdate"],
    ] {
        let paths: Vec<_> = paths
            .iter()
            .map(|name| ClaimPath::of(&[name]).unwrap())
            .collect();
        let shown = scene
            .parsed()
            .select(&paths)
            .unwrap()
            .bind_with(&binding, &more, &key)
            .unwrap();
        let badge = Badge::new(shown, scene.world.registration.clone()).unwrap();
        assert_eq!(scene.refused(&badge), "display.claims");
    }
}

#[test]
fn text_that_is_no_badge_is_refused() {
    let badge = Scene::new().badge();
    let mut cases = vec![
        b"".to_vec(),
        b"{}".to_vec(),
        vec![b' '; MAX_BADGE_BYTES + 1],
    ];
    for member in [
        "type",
        "network",
        "service",
        "handle",
        "presentation",
        "registration",
    ] {
        let mut json = badge.to_json();
        json.as_object_mut().unwrap().remove(member);
        cases.push(json.to_string().into_bytes());
    }
    for case in cases {
        assert_eq!(
            Badge::parse(&case).map_err(VpError::code),
            Err("display.malformed")
        );
    }
    let address = |text: &str| badge_address(&Url::parse(text).unwrap()).to_string();
    for page in [
        "https://g.example/display/wei",
        "https://g.example/display/wei/embed?x=1",
        "https://g.example/display/wei/badge.json",
        "https://g.example/display/wei/badge.json//",
    ] {
        assert_eq!(address(page), "https://g.example/display/wei/badge.json");
    }
}

#[test]
fn transaction_data_is_read_back_and_about_one_credential() {
    let data = terms().to_transaction_data("pid");
    assert_eq!(Terms::of_transaction_data(&data, "pid"), Some(terms()));
    assert_eq!(Terms::of_transaction_data(&data, "pass"), None);
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let good = json!({"type": TRANSACTION_TYPE, "credential_ids": ["pid"], "network": "dev",
        "service": SERVICE_ID.to_string(), "handle": "wei", "exp": 1});
    assert!(Terms::of_transaction_data(&encode(good.clone()), "pid").is_some());
    for (member, value) in [
        ("type", json!("payment")),
        ("handle", json!("w\u{435}i")),
        ("exp", json!("1")),
        ("network", json!("UPPER")),
    ] {
        let mut bad = good.clone();
        bad[member] = value;
        assert_eq!(
            Terms::of_transaction_data(&encode(bad), "pid"),
            None,
            "{member}"
        );
    }
}

#[test]
fn an_order_is_of_the_registered_key_with_the_purpose_and_recent() {
    let scene = Scene::new();
    let gate = jose_key(&p256(4));
    let registration = registration::claimed(&scene.world.registration).unwrap();
    let order = Order {
        service: SERVICE_ID,
        registrar: REGISTRAR.to_owned(),
        digest: Hash32([7; 32]),
        act: Act::Show {
            withdrawal: withdrawal(),
        },
        made_s: NOW_S,
    };
    let signed = order.sign(&gate).unwrap();
    let verify = |jwt: &str, now_s| {
        Order::verify(jwt, &registration, REGISTRAR, now_s).map_err(VpError::code)
    };
    assert_eq!(verify(&signed, NOW_S + 300), Ok(order.clone()));
    let withdraw = Order {
        act: Act::Withdraw {
            reason: ReasonCode::TermsBroken,
        },
        ..order.clone()
    };
    assert_eq!(verify(&withdraw.sign(&gate).unwrap(), NOW_S), Ok(withdraw));
    assert_eq!(verify(&signed, NOW_S + 301), Err("display.order"));
    assert_eq!(verify(&signed, NOW_S - 11), Err("display.order"));
    assert_eq!(
        verify(&order.sign(&jose_key(&p256(78))).unwrap(), NOW_S),
        Err("display.order")
    );
    let elsewhere = Order {
        registrar: AUTHORITY.to_owned(),
        ..order.clone()
    };
    assert_eq!(
        verify(&elsewhere.sign(&gate).unwrap(), NOW_S),
        Err("display.order")
    );
    let of_other = Order {
        service: Hash32([1; 32]),
        ..order.clone()
    };
    assert_eq!(
        verify(&of_other.sign(&gate).unwrap(), NOW_S),
        Err("display.order")
    );
    let narrow = Registration {
        purposes: vec![Purpose::Login],
        ..registration.clone()
    };
    let refused = Order::verify(&signed, &narrow, REGISTRAR, NOW_S).map_err(VpError::code);
    assert_eq!(refused, Err("registration.purpose"));
    // Another JWT of the same key is no order.
    let header = Map::from_iter([("typ".to_owned(), Value::from("kb+jwt"))]);
    let other = jose::sign_compact(&header, b"{}", &gate).unwrap();
    assert_eq!(verify(&other, NOW_S), Err("display.order"));
    assert_eq!(verify("", NOW_S), Err("display.order"));
}

#[test]
fn no_byte_of_a_badge_can_be_changed() {
    let scene = Scene::new();
    let text = scene.badge().to_json().to_string().into_bytes();
    let stands = |bytes: &[u8]| {
        let badge = Badge::parse(bytes).map_err(VpError::code)?;
        scene.verify_at(&badge, &Place::default(), NOW_S).map(drop)
    };
    assert_eq!(stands(&text), Ok(()));
    for at in (0..text.len()).step_by(3) {
        let mut altered = text.clone();
        altered[at] ^= 1;
        assert!(stands(&altered).is_err(), "byte {at}");
    }
}
