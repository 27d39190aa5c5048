//! The synthetic residents, and that a refusal says nothing.

use super::synthetic::SyntheticRegister;
use super::*;

fn register() -> SyntheticRegister {
    SyntheticRegister::new(&[5; 32], 12)
}

fn evidence(n: usize) -> CardEvidence {
    register().evidence().swap_remove(n)
}

#[test]
fn check_characters_are_those_of_gb_11643() {
    // The examples of GB 11643-1999: 11010519491231002X and 440524188001010014.
    assert_eq!(number::check_character("11010519491231002"), Some('X'));
    assert_eq!(number::check_character("44052418800101001"), Some('4'));
    assert!(number::is_valid("11010519491231002X"));
    for wrong in [
        "",
        "110105194912310021",
        "11010519491231002x",
        "1101051949123100",
        "11010519491231002XX",
        "1101051949123100ⅩX",
    ] {
        assert!(!number::is_valid(wrong), "{wrong}");
    }
}

#[test]
fn residents_are_deterministic_and_match_nobody_living() {
    let all = register().evidence();
    assert_eq!(all.len(), 12);
    assert!(all == register().evidence());
    assert!(all != SyntheticRegister::new(&[6; 32], 12).evidence());
    for evidence in &all {
        assert!(number::is_valid(&evidence.resident_number));
        // province codes 98 and 99 are not assigned
        assert!(matches!(&evidence.resident_number[..2], "98" | "99"));
        assert!(!evidence.person.contains(&evidence.resident_number));
    }
    let large = SyntheticRegister::new(&[5; 32], 2000).evidence();
    assert!(large.len() > 1990, "{}", large.len());
}

#[test]
fn honest_evidence_gives_the_person_and_a_child_is_one() {
    let register = register();
    let grown_up = register.check(&evidence(0)).ok().unwrap();
    assert_eq!(grown_up.reference, "r-0001");
    assert!(register.person("r-0001").ok().unwrap() == grown_up);
    let child = register.check(&evidence(1)).ok().unwrap();
    let now_s = 1_800_000_000;
    assert!(is_at_least(&grown_up.birthdate, 18, now_s));
    assert!(!is_at_least(&child.birthdate, 18, now_s));
    let mut spaced = evidence(0);
    spaced.resident_number = spaced.resident_number.to_lowercase();
    spaced.resident_number.insert(6, ' ');
    assert!(register.check(&spaced).is_ok());
}

#[test]
fn every_refusal_is_the_same() {
    let register = register();
    let honest = evidence(0);
    let other = evidence(4);
    let mut wrong = Vec::new();
    let mut change = |change: &dyn Fn(&mut CardEvidence)| {
        let mut evidence = honest.clone();
        change(&mut evidence);
        wrong.push(evidence);
    };
    change(&|e| e.given_name.push('x'));
    change(&|e| e.family_name = "x".into());
    change(&|e| e.birthdate = "1999-01-01".into());
    change(&|e| e.card_secret = other.card_secret.clone());
    change(&|e| e.card_secret.clear());
    change(&|e| e.resident_number = other.resident_number.clone());
    // a bad check digit; an unknown number; no number at all
    change(&|e| {
        let last = e.resident_number.pop().unwrap();
        e.resident_number.push(if last == '1' { '2' } else { '1' });
    });
    change(&|e| e.resident_number = "11010519491231002X".into());
    change(&|e| e.resident_number.clear());
    change(&|e| e.kind = "passport".into());
    // the deceased resident's evidence is all right, but nobody may use it
    wrong.push(evidence(2));
    for evidence in wrong {
        let refusal = register.check(&evidence).err().unwrap();
        assert_eq!(refusal, RegisterRefusal::Evidence);
        assert_eq!(refusal.code(), "evidence.refused");
    }
    assert_eq!(
        register.person("r-0003").err(),
        Some(RegisterRefusal::Evidence)
    );
    assert_eq!(
        register.person("r-9999").err(),
        Some(RegisterRefusal::Evidence)
    );
}

/// A register service of two routes, as the contract says.
async fn service() -> String {
    use axum::extract::Path;
    use axum::http::StatusCode;
    use axum::routing::{get, post};
    let record = |reference: &str| {
        axum::Json(serde_json::json!({
            "reference": reference, "given_name": "雨桐", "family_name": "欧阳",
            "resident_number": "99010119900307123x", "birthdate": "1990-03-07", "sex": 2,
            "nationalities": ["CN"], "region": "North",
        }))
    };
    let router = axum::Router::new()
        .route("/v1/checks", post(async || StatusCode::NOT_FOUND))
        .route(
            "/v1/persons/{reference}",
            get(
                async move |Path(reference): Path<String>| match reference.as_str() {
                    "p-1" => Ok(record("p-1")),
                    "odd" => Ok(record("../etc")),
                    "down" => Err(StatusCode::INTERNAL_SERVER_ERROR),
                    _ => Err(StatusCode::NOT_FOUND),
                },
            ),
        );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test]
async fn a_register_service_answers_by_its_contract() {
    let url = service().await;
    let register = Register::Http(http::HttpRegister::new(&url, None).unwrap());
    let person = register.person("p-1").await.ok().unwrap();
    assert_eq!(person.number.as_str(), "99010119900307123X");
    assert_eq!(person.sex, Sex::Female);
    let refused = register.check(&evidence(0)).await.err();
    assert_eq!(refused, Some(RegisterRefusal::Evidence));
    for (reference, refusal) in [
        ("nobody", RegisterRefusal::Evidence),
        ("../checks", RegisterRefusal::Evidence),
        ("down", RegisterRefusal::Unavailable),
        ("odd", RegisterRefusal::Unavailable),
    ] {
        assert_eq!(register.person(reference).await.err(), Some(refusal));
    }
    let nowhere = http::HttpRegister::new("http://127.0.0.1:1", None).unwrap();
    let silent = Register::Http(nowhere).person("p-1").await.err();
    assert_eq!(silent, Some(RegisterRefusal::Unavailable));
}

#[test]
fn ages_count_by_the_calendar() {
    // 2027-01-15
    let now_s = 1_800_000_000;
    assert_eq!(date_of(now_s), (2027, 1, 15));
    assert_eq!(date_of(0), (1970, 1, 1));
    assert_eq!(date_of(951_782_400), (2000, 2, 29));
    assert!(is_at_least("2009-01-15", 18, now_s));
    assert!(!is_at_least("2009-01-16", 18, now_s));
    assert!(!is_at_least("soon", 18, now_s));
}

#[test]
fn evidence_files_are_for_the_operator_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let files = register().write_evidence(folder.path()).unwrap();
    assert_eq!(files, register().write_evidence(folder.path()).unwrap());
    // all but the one who has died
    assert_eq!(files.len(), 11);
    assert_eq!(files[0].person, "r-0001");
    for file in files {
        let mode = std::fs::metadata(&file.evidence)
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = std::fs::read_to_string(&file.evidence).unwrap();
        let evidence: CardEvidence = serde_json::from_str(&text).unwrap();
        assert_eq!(evidence.person, file.person);
    }
}
