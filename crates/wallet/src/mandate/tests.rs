use super::*;
use crate::content::Batch;
use crate::secret::SecretText;
use crate::test_world::{World, serve};
use realdid_exchange::mandate::SYNTHETIC_MANDATE;
use realdid_exchange::vci::CredentialOffer;
use std::path::PathBuf;

fn extract(folder: &Path) -> PathBuf {
    let evidence = MandateEvidence {
        kind: SYNTHETIC_MANDATE.to_owned(),
        organisation: "o-0001".into(),
        legal_name: "Example Cooperative".into(),
        registration_number: "1".into(),
        country: "XA".into(),
        secret: "s".into(),
    };
    let path = folder.join("o-0001.json");
    std::fs::write(&path, serde_json::to_vec(&evidence).unwrap()).unwrap();
    path
}

async fn refused(wallet: &mut Wallet, extract: &Path) -> String {
    let taken = take(wallet, &Http::new().unwrap(), extract).await;
    taken.unwrap_err().code
}

#[tokio::test]
async fn an_organisation_is_acted_for_by_who_has_enrolled() {
    let world = World::new().await;
    let (mut wallet, _) = world.open();
    let good = extract(world.dir.path());
    let bad = world.dir.path().join("bad.json");
    std::fs::write(&bad, "{}").unwrap();
    assert_eq!(refused(&mut wallet, &bad).await, "organisation.malformed");
    std::fs::write(&bad, vec![b' '; MAX_EVIDENCE_BYTES + 1]).unwrap();
    assert!(refused(&mut wallet, &bad).await.starts_with("file."));
    assert_eq!(refused(&mut wallet, &good).await, "enrolment.none");
}

#[tokio::test]
async fn what_is_offered_is_the_authoritys_own() {
    let world = World::new().await;
    let (mut wallet, _) = world.open();
    let url = serve(|_, path, body| {
        assert_eq!(path, "/v1/mandates");
        let request: MandateRequest = serde_json::from_slice(body).unwrap();
        if request.evidence.legal_name.is_empty() {
            return (403, json!({"code": "organisation.evidence", "title": "x"}));
        }
        let issuer = "https://other.example";
        let answer = MandateResponse {
            credential_offer: CredentialOffer::organisation(issuer, "c".into(), 6),
            tx_code: "123456".into(),
        };
        (200, serde_json::to_value(answer).unwrap())
    })
    .await;
    wallet.content.enrolment.as_mut().unwrap().issuer_url = url.clone();
    wallet.content.batches.push(Batch {
        issuer: url,
        vct: pid::VCT.into(),
        configuration: "pid-sd-jwt".into(),
        copies: vec![],
        refresh_token: Some(SecretText::new("t".into())),
        on_ledger: true,
        format: None,
        organisation: None,
        roots: None,
        suite: None,
        token_key: None,
        server: None,
    });
    let file = extract(world.dir.path());
    let code = refused(&mut wallet, &file).await;
    assert_eq!(code, "organisation.other_issuer");
    assert_eq!(wallet.content.batches.len(), 1, "nothing is stored");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("Example Cooperative", "")).unwrap();
    assert_eq!(refused(&mut wallet, &file).await, "organisation.evidence");
}
