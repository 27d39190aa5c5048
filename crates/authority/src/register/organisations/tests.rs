//! The synthetic organisations, a register service by its contract, and that a refusal says nothing.

use super::*;
use synthetic::{SyntheticOrganisations, check_character};

fn register() -> SyntheticOrganisations {
    SyntheticOrganisations::new(&[5; 32])
}

fn evidence(n: usize) -> MandateEvidence {
    register().evidence().swap_remove(n)
}

#[test]
fn check_characters_are_those_of_gb_32100() {
    // The example of GB 32100-2015: 91350100M000100Y43.
    assert_eq!(check_character("91350100M000100Y4"), Some('3'));
    for wrong in ["", "91350100M000100Y43", "91350100I000100Y4"] {
        assert_eq!(check_character(wrong), None, "{wrong}");
    }
}

#[test]
fn organisations_are_deterministic_and_none_exists() {
    let all = register().evidence();
    assert!(all.len() > 3 && all == register().evidence());
    assert!(all != SyntheticOrganisations::new(&[6; 32]).evidence());
    for evidence in &all {
        let number = &evidence.registration_number;
        // A region that no province has.
        assert!(number.len() == 18 && number[2..].starts_with("9901"));
        assert_eq!(check_character(&number[..17]), number.chars().last());
    }
}

#[test]
fn who_is_named_may_act_and_nobody_else() {
    let register = register();
    let found = register.represented("r-0001", &evidence(0)).ok().unwrap();
    assert_eq!(found.reference, "o-0001");
    assert_eq!(found.organisation.legal_name, evidence(0).legal_name);
    assert!(register.organisation("r-0001", "o-0001").ok().unwrap() == found);
    // Of two who may, either.
    for person in ["r-0004", "r-0005"] {
        assert!(register.represented(person, &evidence(1)).is_ok());
    }
    let not_named = Some(MandateRefusal::Representative);
    for person in ["r-0004", "f-1", ""] {
        assert_eq!(register.represented(person, &evidence(0)).err(), not_named);
        assert_eq!(register.organisation(person, "o-0001").err(), not_named);
    }
    // Struck from the register, or never in it.
    let refused = Some(MandateRefusal::Evidence);
    assert_eq!(register.represented("r-0005", &evidence(4)).err(), refused);
    assert_eq!(register.organisation("r-0005", "o-0005").err(), refused);
    assert_eq!(register.organisation("r-0001", "o-9999").err(), refused);
}

#[test]
fn every_wrong_extract_gets_the_one_answer() {
    let changes: [fn(&mut MandateEvidence); 7] = [
        |e| e.kind = "other".into(),
        |e| e.organisation = "o-0003".into(),
        |e| e.organisation = "o-9999".into(),
        |e| e.legal_name.push('x'),
        |e| e.registration_number.clear(),
        |e| e.country = "XA".into(),
        |e| e.secret = evidence(2).secret,
    ];
    for change in changes {
        let mut wrong = evidence(0);
        change(&mut wrong);
        for person in ["r-0001", "r-0004"] {
            let refused = register().represented(person, &wrong).err();
            assert_eq!(refused, Some(MandateRefusal::Evidence));
        }
    }
}

#[test]
fn extracts_are_for_the_operator_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let files = register().write_evidence(folder.path()).unwrap();
    assert_eq!(files, register().write_evidence(folder.path()).unwrap());
    assert_eq!(files.iter().filter(|file| file.struck).count(), 1);
    for file in files {
        let about = std::fs::metadata(&file.evidence).unwrap();
        assert_eq!(about.permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&file.evidence).unwrap();
        let evidence: MandateEvidence = serde_json::from_str(&text).unwrap();
        assert_eq!(evidence.organisation, file.organisation);
    }
}

/// A register service of two routes, as the contract says.
async fn service() -> String {
    use axum::extract::Path;
    use axum::routing::{get, post};
    let record = |reference: &str, name: &str| {
        axum::Json(serde_json::json!({
            "reference": reference, "legal_name": name, "country": "CN",
        }))
    };
    let router = axum::Router::new()
        .route(
            "/v1/mandates",
            post(
                async move |axum::Json(asked): axum::Json<serde_json::Value>| {
                    assert!(asked["evidence"]["secret"].is_string());
                    match asked["person"].as_str() {
                        Some("r-0001") => Ok(record("o-1", "Example")),
                        _ => Err(StatusCode::FORBIDDEN),
                    }
                },
            ),
        )
        .route(
            "/v1/organisations/{reference}/representatives/{person}",
            get(async move |Path((reference, _)): Path<(String, String)>| {
                match reference.as_str() {
                    "o-1" => Ok(record("o-1", "Example")),
                    "odd" => Ok(record("../etc", "Example")),
                    "disguised" => Ok(record("o-2", "Exam\u{202e}elp")),
                    "down" => Err(StatusCode::INTERNAL_SERVER_ERROR),
                    "left" => Err(StatusCode::FORBIDDEN),
                    _ => Err(StatusCode::NOT_FOUND),
                }
            }),
        );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test]
async fn a_register_service_of_organisations_answers_by_its_contract() {
    let url = service().await;
    let register = Organisations::Http(http::HttpOrganisations::new(&url, None).unwrap());
    let found = register.represented("r-0001", &evidence(0)).await;
    assert_eq!(found.ok().unwrap().reference, "o-1");
    let refused = register.represented("r-0004", &evidence(0)).await.err();
    assert_eq!(refused, Some(MandateRefusal::Representative));
    let found = register.organisation("r-0001", "o-1").await.ok().unwrap();
    assert_eq!(found.organisation.registration_number, None);
    for (reference, refusal) in [
        ("nobody", MandateRefusal::Evidence),
        ("left", MandateRefusal::Representative),
        ("../mandates", MandateRefusal::Representative),
        ("down", MandateRefusal::Unavailable),
        ("odd", MandateRefusal::Unavailable),
        ("disguised", MandateRefusal::Unavailable),
    ] {
        let refused = register.organisation("r-0001", reference).await.err();
        assert_eq!(refused, Some(refusal), "{reference}");
    }
    let nowhere = http::HttpOrganisations::new("http://127.0.0.1:1", None).unwrap();
    let silent = Organisations::Http(nowhere)
        .organisation("r-0001", "o-1")
        .await;
    assert_eq!(silent.err(), Some(MandateRefusal::Unavailable));
}
