//! PIDs that live long, from the offer to their status on the ledger.

use super::*;
use crate::config::LongLivedConfig;
use realdid_core::hash::Hash32;
use realdid_core::state::{StatusList as ListRecord, status_list_key};
use realdid_credential::jose::SigningKey;
use realdid_credential::sd_jwt::{IssuerKey, claimed_status};
use realdid_credential::status::token::{Evidence, VerifiedList, verify_jwt};
use realdid_credential::status::{Reference, Status};
use realdid_exchange::vci::{
    CredentialRequest, CredentialResponse, IssuerMetadata, LONG_CONFIGURATION, TokenRequest,
    TokenResponse,
};
use sha2::{Digest as _, Sha256};

const DAY_S: u64 = 86_400;

impl Nation {
    /// A nation whose authority issues PIDs that live for 30 days.
    pub(super) async fn with_long_lived() -> Self {
        let mut nation = Self::new().await;
        let clock = nation.authority.clock.clone();
        let seed = AuthorityKeys::load(&nation.dir()).unwrap().register_seed;
        let register = Register::Synthetic(SyntheticRegister::new(&seed, 8));
        let store = Store::open_dir(&nation.dir()).await.unwrap();
        let parts = parts_of(store, &nation.dir(), &nation.ledger, clock, (register, 1));
        nation.authority = authority_from(Parts {
            long_lived: Some(LongLivedConfig { days: 30 }),
            ..parts
        })
        .await;
        nation
    }

    async fn publish(&self) {
        self.authority.publish_lists().await.unwrap();
    }

    /// What the refresh token gets: one PID that lives long.
    pub(super) async fn long_pid(&self, tokens: &TokenResponse, keys: &[u8]) -> Answer {
        let nonce = self.authority.nonce().unwrap().c_nonce;
        let keys: Vec<_> = keys
            .iter()
            .map(|n| SigningKey::p256(&[*n; 32]).unwrap())
            .collect();
        let now_s = self.authority.clock.now_s();
        let request = CredentialRequest::build(LONG_CONFIGURATION, AUTHORITY, &nonce, now_s, &keys);
        let body = serde_json::to_vec(&request.unwrap()).unwrap();
        let request = Request::post("/credential")
            .header(
                header::AUTHORIZATION,
                format!("Bearer {}", tokens.access_token),
            )
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .unwrap();
        ask(self.router(), request).await
    }

    pub(super) async fn refreshed(&self, tokens: &TokenResponse) -> TokenResponse {
        let refresh = TokenRequest::Refresh {
            refresh_token: tokens.refresh_token.clone().unwrap(),
        };
        let answer = self.form(&refresh).await;
        let fresh = TokenResponse::parse(answer.text.as_bytes()).unwrap();
        TokenResponse {
            refresh_token: fresh.refresh_token.or(tokens.refresh_token.clone()),
            ..fresh
        }
    }

    /// Where the status stands of what was answered.
    pub(super) fn reference(&self, answer: &Answer) -> Reference {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let copies = CredentialResponse::parse(answer.text.as_bytes(), 1)
            .unwrap()
            .texts();
        claimed_status(&copies[0]).unwrap().unwrap()
    }

    fn on_ledger(&self, uri: &str) -> Option<ListRecord> {
        let id = Hash32(Sha256::digest(uri.as_bytes()).into());
        let issuer = issuer_id(BY, AUTHORITY);
        self.ledger.seen(&status_list_key(BY, &issuer, &id)).record
    }

    /// The list as a verifier fetches it: held against the ledger.
    async fn verified(&self, uri: &str) -> VerifiedList {
        let answer = self.get(uri.strip_prefix(AUTHORITY).unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let pid = &self.authority.keys.pid;
        let keys = [IssuerKey {
            iss: AUTHORITY.to_owned(),
            kid: pid.id.to_string(),
            key: pid.key.verifying_key(),
        }];
        let evidence = Evidence {
            iss: AUTHORITY,
            issuer_keys: &keys,
            uri,
            now_s: self.authority.clock.now_s(),
            clock_skew_s: 0,
            max_bytes: 1 << 20,
            ledger: self.on_ledger(uri).map(|record| record.digest.0),
        };
        verify_jwt(&answer.text, &evidence).unwrap()
    }

    /// The status that a verifier finds once what changed is published.
    pub(super) async fn status(&self, of: &Reference) -> Status {
        self.publish().await;
        let list = self.verified(&of.uri).await;
        list.status(of.idx, self.authority.clock.now_s()).unwrap()
    }
}

#[tokio::test]
async fn a_pid_that_lives_long_has_a_status_that_its_authority_publishes() {
    let nation = Nation::with_long_lived().await;
    let metadata = nation.get("/.well-known/openid-credential-issuer").await;
    let metadata = IssuerMetadata::parse(metadata.text.as_bytes(), AUTHORITY).unwrap();
    let offered = &metadata.credential_configurations_supported[LONG_CONFIGURATION];
    assert_eq!(offered["vct"], "urn:realdid:pid-long:1");
    let tokens = nation.tokens(0).await;
    let two = nation.long_pid(&tokens, &[1, 2]).await;
    assert_eq!(two.code(), "vci.batch");
    let answer = nation.long_pid(&tokens, &[1]).await;
    let reference = nation.reference(&answer);
    assert_eq!(reference.uri, format!("{AUTHORITY}/status/1"));
    let copies = CredentialResponse::parse(answer.text.as_bytes(), 1)
        .unwrap()
        .texts();
    let jwt = copies[0].split('~').next().unwrap();
    let claims = realdid_credential::jose::decode_unverified(jwt).unwrap();
    let claims = claims.claims().unwrap();
    // The day of issuing and no finer.
    let day_s = START_MS / 1000 / DAY_S * DAY_S;
    assert_eq!(
        (&claims["iat"], &claims["exp"]),
        (&day_s.into(), &(day_s + 30 * DAY_S).into())
    );

    // Nothing is served before the ledger has it.
    let early = nation.get("/status/1").await;
    assert_eq!(
        (early.status, early.code().as_str()),
        (StatusCode::NOT_FOUND, "status.unknown")
    );
    assert_eq!(nation.status(&reference).await, Status::Valid);
    let first = nation.on_ledger(&reference.uri).unwrap();
    nation.publish().await;
    assert_eq!(
        nation.on_ledger(&reference.uri),
        Some(first.clone()),
        "nothing changed"
    );

    let person = nation.authority.store.enrolled("r-1").await.unwrap();
    assert!(person.is_none(), "references are opaque");
    let person = nation.evidence_reference(0).await;
    let operator = nation.operator().await;
    operator
        .suspend(&person, ReasonCode::LostDevice)
        .await
        .unwrap();
    assert_eq!(nation.status(&reference).await, Status::Suspended);
    operator
        .restore(&person, ReasonCode::Cleared)
        .await
        .unwrap();
    assert_eq!(nation.status(&reference).await, Status::Valid);
    assert_eq!(operator.revoke(&person).await.unwrap(), 1);
    assert_eq!(operator.revoke(&person).await.unwrap(), 0);
    assert_eq!(nation.status(&reference).await, Status::Invalid);
    // What is revoked stays so.
    operator
        .suspend(&person, ReasonCode::LostDevice)
        .await
        .unwrap();
    operator
        .restore(&person, ReasonCode::Cleared)
        .await
        .unwrap();
    assert_eq!(nation.status(&reference).await, Status::Invalid);
    let unknown = operator.revoke("nobody").await.unwrap_err();
    assert_eq!(unknown.code(), "person.unknown");

    // From the first version to this one, by what changed alone.
    let path = format!("/status/1/delta/{}", first.digest);
    let request = Request::get(&path).body(Body::empty()).unwrap();
    let response = nation.router().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let delta = axum::body::to_bytes(response.into_body(), 1 << 20)
        .await
        .unwrap();
    assert!(delta.len() < 120, "{}", delta.len());
    let all = realdid_credential::status::StatusList::new(
        realdid_credential::status::Width::Two,
        crate::store::ENTRIES,
    )
    .unwrap();
    let newest = nation.on_ledger(&reference.uri).unwrap();
    let next = realdid_credential::status::delta::apply(
        &all,
        &delta,
        &reference.uri,
        &newest.digest.0,
        1 << 20,
    )
    .unwrap();
    assert_eq!(next.at(reference.idx), Ok(Status::Invalid));
    for unknown in [Hash32([9; 32]).to_string(), "x".to_owned()] {
        let answer = nation.get(&format!("/status/1/delta/{unknown}")).await;
        assert_eq!(answer.code(), "status.unknown");
    }
}

#[tokio::test]
async fn a_new_device_ends_what_lives_long_on_the_old_one_and_a_silent_ledger_publishes_nothing() {
    let nation = Nation::with_long_lived().await;
    let tokens = nation.tokens(0).await;
    let old = nation.reference(&nation.long_pid(&tokens, &[1]).await);
    assert_eq!(nation.status(&old).await, Status::Valid);
    let served = nation.on_ledger(&old.uri);
    let tokens = nation.tokens(0).await;
    nation.ledger.down.store(true, Ordering::Relaxed);
    assert!(nation.authority.publish_lists().await.is_err());
    // What is served is what the ledger has.
    assert_eq!(nation.on_ledger(&old.uri), served);
    let list = nation.verified(&old.uri).await;
    let now_s = nation.authority.clock.now_s();
    assert_eq!(list.status(old.idx, now_s), Ok(Status::Valid));
    nation.ledger.down.store(false, Ordering::Relaxed);
    assert_eq!(nation.status(&old).await, Status::Invalid);
    let new = nation.reference(&nation.long_pid(&tokens, &[2]).await);
    assert_eq!(nation.status(&new).await, Status::Valid);
    assert_ne!(new.idx, old.idx);
}

#[tokio::test]
async fn an_authority_that_is_not_told_to_issues_nothing_that_lives_long() {
    let nation = Nation::new().await;
    let tokens = nation.tokens(0).await;
    let answer = nation.long_pid(&tokens, &[1]).await;
    assert_eq!(answer.code(), "vci.unknown_configuration");
    nation.publish().await;
    assert_eq!(nation.get("/status/1").await.code(), "status.unknown");
    let metadata = nation.get("/.well-known/openid-credential-issuer").await;
    assert!(!metadata.text.contains(LONG_CONFIGURATION));
}
