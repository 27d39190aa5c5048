//! Names of organisations (rule Y13): a badge says whose kind of name it shows, and no name passes as one of
//! another kind.

use super::*;

pub(super) fn of_organisation() -> Scene {
    let claims = json!({
        "legal_name": "Example Cooperative", "registration_number": "91990101X", "country": "CN",
    });
    Scene::with(organisation::VCT, &claims)
}

pub(super) fn terms_of(kind: Kind) -> Terms {
    Terms { kind, ..terms() }
}

const KINDS: [Kind; 3] = [Kind::Person, Kind::Organisation, Kind::Backed];

#[test]
fn an_organisations_badge_shows_its_name_and_says_of_whom_it_is() {
    for kind in [Kind::Organisation, Kind::Backed] {
        let scene = of_organisation();
        let badge = scene.badge_of(&terms_of(kind));
        let json = badge.to_json();
        assert_eq!(json["kind"], kind.code());
        let again = Badge::parse(json.to_string().as_bytes()).unwrap();
        assert_eq!(again, badge);
        let verified = scene.verify_at(&badge, &Place::default(), NOW_S + 3_000);
        let verified = verified.unwrap();
        assert_eq!(verified.name.text(), "Example Cooperative");
        assert_eq!(verified.terms.kind, kind);
        assert_eq!(format!("{:?}", verified.name), "LegalName");
    }
    // A person's badge is what it was before there were others: absence is its one spelling.
    let person = Scene::new().badge();
    assert!(person.to_json().get("kind").is_none());
    for word in [json!("person"), json!("state"), json!(null), json!(1)] {
        let mut json = person.to_json();
        json["kind"] = word;
        let refused = Badge::parse(json.to_string().as_bytes());
        assert_eq!(refused.map_err(VpError::code), Err("display.malformed"));
    }
}

#[test]
fn no_kind_of_name_passes_as_another() {
    // The badge says another kind than its person signed.
    for signed in KINDS {
        let scene = match signed {
            Kind::Person => Scene::new(),
            _ => of_organisation(),
        };
        let badge = scene.badge_of(&terms_of(signed));
        for said in KINDS {
            let mut json = badge.to_json();
            match said.word() {
                Some(word) => json["kind"] = word.into(),
                None => _ = json.as_object_mut().unwrap().remove("kind"),
            }
            let said_so = Badge::parse(json.to_string().as_bytes()).unwrap();
            let verified = scene.verify_at(&said_so, &Place::default(), NOW_S);
            let expected = (said == signed).then_some(()).ok_or("display.kind");
            assert_eq!(verified.map(drop), expected, "{signed:?} as {said:?}");
        }
    }
    // Neither credential answers for the other: a wallet does not make it,
    let of = |scene: &Scene, kind| scene.shown(&terms_of(kind), NOW_S).map_err(VpError::code);
    assert_eq!(of(&Scene::new(), Kind::Organisation), Err("display.kind"));
    assert_eq!(of(&Scene::new(), Kind::Backed), Err("display.kind"));
    assert_eq!(of(&of_organisation(), Kind::Person), Err("display.kind"));
    // and where one does, nobody believes it.
    for (scene, kind, paths) in [
        (Scene::new(), Kind::Organisation, Kind::Person.paths()),
        (of_organisation(), Kind::Person, Kind::Organisation.paths()),
    ] {
        let badge = forged(&scene, &terms_of(kind), &paths);
        assert_eq!(scene.refused(&badge), "display.kind");
        let issuer = scene.world.issuer(AUTHORITY);
        let shown = badge.to_json()["presentation"].as_str().unwrap().to_owned();
        let checked = check_shown(&shown, &terms_of(kind), Some(&issuer), NOW_S, 60);
        assert_eq!(checked.map_err(VpError::code), Err("display.kind"));
    }
}

/// A badge by a wallet that signs what it should not.
pub(super) fn forged(scene: &Scene, terms: &Terms, paths: &[ClaimPath]) -> Badge {
    let mut signed = terms.members();
    signed.insert("withdrawal".to_owned(), withdrawal().to_string().into());
    let more = Map::from_iter([(TERMS.to_owned(), signed.into())]);
    let binding = Binding {
        nonce: &URL_SAFE_NO_PAD.encode(SALT),
        aud: AUDIENCE,
        iat_s: NOW_S,
    };
    let shown = scene
        .parsed()
        .select(paths)
        .unwrap()
        .bind_with(&binding, &more, &jose_key(&scene.world.holder))
        .unwrap();
    Badge::new(shown, scene.world.registration.clone()).unwrap()
}

#[test]
fn an_organisations_badge_discloses_its_name_alone() {
    let scene = of_organisation();
    let paths = |names: &[&str]| -> Vec<ClaimPath> {
        let paths = names.iter().map(|name| ClaimPath::of(&[name]).unwrap());
        paths.collect()
    };
    for names in [
        &["country"][..],
        &["legal_name", "country"],
        &["legal_name", "registration_number"],
    ] {
        let badge = forged(&scene, &terms_of(Kind::Organisation), &paths(names));
        assert_eq!(scene.refused(&badge), "display.claims", "{names:?}");
    }
    // A name that reads as another one is nobody's, whoever signed it.
    let disguised = json!({"legal_name": "Exam\u{202e}elp", "country": "CN"});
    let scene = Scene::with(organisation::VCT, &disguised);
    let badge = scene.badge_of(&terms_of(Kind::Organisation));
    assert_eq!(scene.refused(&badge), "display.claims");
}

#[test]
fn a_request_says_whose_name_and_the_answer_is_held_to_it() {
    for kind in KINDS {
        let data = terms_of(kind).to_transaction_data("x");
        let read = Terms::of_transaction_data(&data, "x").unwrap();
        assert_eq!(read, terms_of(kind));
    }
    let scene = of_organisation();
    let issuer = scene.world.issuer(AUTHORITY);
    let shown = scene.shown(&terms_of(Kind::Backed), NOW_S).unwrap();
    let check = |kind| {
        let checked = check_shown(&shown, &terms_of(kind), Some(&issuer), NOW_S, 60);
        checked.map(|(_, name)| name.text()).map_err(VpError::code)
    };
    assert_eq!(check(Kind::Backed), Ok("Example Cooperative".to_owned()));
    assert_eq!(check(Kind::Organisation), Err("display.terms"));
    assert_eq!(check(Kind::Person), Err("display.terms"));
}

#[test]
fn no_byte_of_an_organisations_badge_can_be_changed() {
    let scene = of_organisation();
    let badge = scene.badge_of(&terms_of(Kind::Backed));
    let text = badge.to_json().to_string().into_bytes();
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
