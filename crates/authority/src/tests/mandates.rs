//! Credentials of organisations: who gets one, who does not, and what its tokens open.

use super::issuing::is_refused;
use super::*;
use crate::register::organisations::http::HttpOrganisations;
use realdid_credential::organisation;
use realdid_credential::sd_jwt::ParsedSdJwt;
use realdid_exchange::mandate::{MandateEvidence, MandateResponse};
use realdid_exchange::vci::{
    CredentialResponse, MDOC_CONFIGURATION, ORGANISATION_CONFIGURATION, PASS_CONFIGURATION,
    PID_CONFIGURATION, TokenRequest, TokenResponse,
};
use serde_json::json;

impl Nation {
    fn extract(&self, n: usize) -> MandateEvidence {
        let seed = AuthorityKeys::load(&self.dir()).unwrap().register_seed;
        SyntheticOrganisations::new(&seed).evidence().swap_remove(n)
    }

    async fn mandate(&self, token: Option<&str>, body: &Value) -> Answer {
        let mut request =
            Request::post("/v1/mandates").header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Body::from(body.to_string())).unwrap();
        ask(self.router(), request).await
    }

    /// The tokens of the `n`th resident's PID.
    async fn of_person(&self, n: usize) -> (String, String) {
        let tokens = self.tokens(n).await;
        (tokens.access_token, tokens.refresh_token.unwrap())
    }

    async fn offered(&self, refresh: &str, extract: &MandateEvidence) -> MandateResponse {
        let body = json!({ "evidence": extract });
        let answer = self.mandate(Some(refresh), &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        serde_json::from_str(&answer.text).unwrap()
    }

    async fn tokens_of(&self, offered: &MandateResponse) -> TokenResponse {
        let request = TokenRequest::for_offer(&offered.credential_offer, Some(&offered.tx_code));
        let answer = self.form(&request.unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        TokenResponse::parse(answer.text.as_bytes()).unwrap()
    }

    async fn ask_for(&self, token: &str, configuration: &str) -> Answer {
        let nonce = self.nonce().await;
        let mut request = self.request(AUTHORITY, &nonce, 1..4);
        request.credential_configuration_id = Some(configuration.to_owned());
        self.credential(token, &request).await
    }
}

fn code_of(answer: &Answer) -> (u16, String) {
    let code = answer.json()["code"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    (answer.status.as_u16(), code)
}

#[tokio::test]
async fn a_representative_gets_copies_that_name_the_organisation_and_not_them() {
    let nation = Nation::new().await;
    let (_, refresh) = nation.of_person(0).await;
    let offered = nation.offered(&refresh, &nation.extract(0)).await;
    let offer = &offered.credential_offer;
    assert_eq!(
        offer.credential_configuration_ids,
        [ORGANISATION_CONFIGURATION]
    );
    let tokens = nation.tokens_of(&offered).await;
    let answer = nation
        .ask_for(&tokens.access_token, ORGANISATION_CONFIGURATION)
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let copies = CredentialResponse::parse(answer.text.as_bytes(), 3)
        .unwrap()
        .texts();
    for copy in &copies {
        let copy = ParsedSdJwt::parse(copy).unwrap();
        assert_eq!(copy.vct(), organisation::VCT);
        let mut names: Vec<&str> = copy.claims().keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["country", "legal_name", "registration_number"]);
        assert_eq!(copy.claims()["legal_name"], nation.extract(0).legal_name);
        // As the PID's: the epoch's end and the lead, not the moment.
        assert_eq!(copy.exp_s(), START_MS / 1000 + 120);
    }
    // The refresh token brings more, of the same organisation.
    let again = TokenRequest::Refresh {
        refresh_token: tokens.refresh_token.unwrap(),
    };
    let answer = nation.form(&again).await;
    let access = TokenResponse::parse(answer.text.as_bytes()).unwrap();
    let answer = nation
        .ask_for(&access.access_token, ORGANISATION_CONFIGURATION)
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    // The metadata say so, and no scope asks for it.
    let metadata = nation
        .get("/.well-known/openid-credential-issuer")
        .await
        .json();
    let own = &metadata["credential_configurations_supported"][ORGANISATION_CONFIGURATION];
    assert_eq!(own["vct"], organisation::VCT);
    assert!(own.get("scope").is_none());
}

#[tokio::test]
async fn who_may_not_act_for_an_organisation_gets_no_offer() {
    let nation = Nation::new().await;
    let (_, refresh) = nation.of_person(0).await;
    let with = |n: usize| json!({ "evidence": nation.extract(n) });
    let mut unknown = with(0);
    unknown["evidence"]["organisation"] = "o-9999".into();
    let mut guessed = with(0);
    guessed["evidence"]["secret"] = "AAAA".into();
    let mut more = with(0);
    more["person"] = "r-0004".into();
    for (body, expected) in [
        (with(1), (403, "organisation.representative")),
        (unknown, (403, "organisation.evidence")),
        (guessed, (403, "organisation.evidence")),
        // Struck from the register.
        (with(4), (403, "organisation.evidence")),
        (more, (400, "request.malformed")),
        (json!({}), (400, "request.malformed")),
    ] {
        let answer = nation.mandate(Some(&refresh), &body).await;
        let (status, code) = code_of(&answer);
        assert_eq!((status, code.as_str()), expected);
        // Nothing that was sent comes back.
        assert!(!answer.text.contains(&nation.extract(0).legal_name));
    }
    for token in [None, Some("nobody's")] {
        let answer = nation.mandate(token, &with(0)).await;
        assert_eq!(code_of(&answer), (401, "vci.access_token".to_owned()));
    }
    // An access token is for credentials.
    let (access, _) = nation.of_person(3).await;
    let answer = nation.mandate(Some(&access), &with(1)).await;
    assert_eq!(code_of(&answer), (401, "vci.access_token".to_owned()));
}

#[tokio::test]
async fn tokens_of_a_person_and_of_an_organisation_do_not_open_each_other() {
    let nation = Nation::new().await;
    let (access, refresh) = nation.of_person(0).await;
    let unknown = "unknown_credential_configuration";
    let answer = nation.ask_for(&access, ORGANISATION_CONFIGURATION).await;
    is_refused(&answer, unknown, "vci.unknown_configuration");

    let offered = nation.offered(&refresh, &nation.extract(0)).await;
    let tokens = nation.tokens_of(&offered).await;
    for configuration in [PID_CONFIGURATION, MDOC_CONFIGURATION] {
        let answer = nation.ask_for(&tokens.access_token, configuration).await;
        is_refused(&answer, unknown, "vci.unknown_configuration");
    }
    // No RealPass either, nor another mandate.
    let answer = nation
        .ask_for(&tokens.access_token, PASS_CONFIGURATION)
        .await;
    is_refused(&answer, unknown, "vci.unknown_configuration");
    let of_organisation = tokens.refresh_token.unwrap();
    let body = json!({ "evidence": nation.extract(2) });
    let answer = nation.mandate(Some(&of_organisation), &body).await;
    assert_eq!(code_of(&answer), (401, "vci.access_token".to_owned()));
    // Nobody asks for it by authorization code.
    let form = "response_type=code&client_id=w&redirect_uri=https%3A%2F%2Fw.example%2F\
                &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM\
                &code_challenge_method=S256&scope=organisation-sd-jwt";
    let request = Request::post("/par")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(form))
        .unwrap();
    let answer = ask(nation.router(), request).await;
    is_refused(&answer, "invalid_scope", "vci.scope");
}

#[tokio::test]
async fn one_person_acts_for_two_organisations_each_by_tokens_of_its_own() {
    let nation = Nation::new().await;
    let (_, refresh) = nation.of_person(0).await;
    for n in [0, 2] {
        let offered = nation.offered(&refresh, &nation.extract(n)).await;
        let tokens = nation.tokens_of(&offered).await;
        let answer = nation
            .ask_for(&tokens.access_token, ORGANISATION_CONFIGURATION)
            .await;
        let copies = CredentialResponse::parse(answer.text.as_bytes(), 3)
            .unwrap()
            .texts();
        let copy = ParsedSdJwt::parse(&copies[0]).unwrap();
        assert_eq!(copy.claims()["legal_name"], nation.extract(n).legal_name);
    }
}

#[tokio::test]
async fn p8_a_suspended_representative_gets_no_offer_and_no_copies() {
    let nation = Nation::new().await;
    let (_, refresh) = nation.of_person(0).await;
    let offered = nation.offered(&refresh, &nation.extract(0)).await;
    let tokens = nation.tokens_of(&offered).await;
    let operator = nation.operator().await;
    operator
        .suspend("r-0001", ReasonCode::TermsBroken)
        .await
        .unwrap();
    let body = json!({ "evidence": nation.extract(0) });
    let answer = nation.mandate(Some(&refresh), &body).await;
    assert_eq!(code_of(&answer), (400, "enrolment.suspended".to_owned()));
    let answer = nation
        .ask_for(&tokens.access_token, ORGANISATION_CONFIGURATION)
        .await;
    assert_eq!(code_of(&answer).1, "enrolment.suspended");
    let again = TokenRequest::Refresh {
        refresh_token: tokens.refresh_token.unwrap(),
    };
    assert_eq!(code_of(&nation.form(&again).await).1, "enrolment.suspended");
}

#[tokio::test]
async fn a_new_device_ends_what_the_old_one_had_of_an_organisation() {
    let nation = Nation::new().await;
    let (_, refresh) = nation.of_person(0).await;
    let offered = nation.offered(&refresh, &nation.extract(0)).await;
    let waiting = nation.offered(&refresh, &nation.extract(2)).await;
    let tokens = nation.tokens_of(&offered).await;
    nation.enrolled(0).await;
    let answer = nation
        .ask_for(&tokens.access_token, ORGANISATION_CONFIGURATION)
        .await;
    is_refused(&answer, "invalid_token", "vci.access_token");
    let request = TokenRequest::for_offer(&waiting.credential_offer, Some(&waiting.tx_code));
    let answer = nation.form(&request.unwrap()).await;
    is_refused(&answer, "invalid_grant", "vci.grant");
}

#[tokio::test]
async fn who_leaves_the_register_gets_no_more_copies() {
    use axum::extract::State;
    use std::sync::atomic::AtomicU16;

    // A register service that says what it is told to.
    let says = Arc::new(AtomicU16::new(200));
    let record = json!({"reference": "o-1", "legal_name": "Example", "country": "CN"});
    let answer = async move |State(says): State<Arc<AtomicU16>>| {
        let status = StatusCode::from_u16(says.load(Ordering::Relaxed)).unwrap();
        (status, axum::Json(record.clone()))
    };
    let service = Router::new().fallback(answer).with_state(says.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, service).await });

    let mut nation = Nation::new().await;
    let register = Organisations::Http(HttpOrganisations::new(&url, None).unwrap());
    let authority = Arc::get_mut(&mut nation.authority).unwrap();
    authority.organisations = Some(register);
    let (_, refresh) = nation.of_person(3).await;
    let offered = nation.offered(&refresh, &nation.extract(0)).await;
    let tokens = nation.tokens_of(&offered).await;
    let ask = || nation.ask_for(&tokens.access_token, ORGANISATION_CONFIGURATION);
    assert_eq!(ask().await.status, StatusCode::OK);
    for (said, code) in [
        (403, "organisation.representative"),
        (404, "organisation.evidence"),
        (500, "organisation.unavailable"),
    ] {
        says.store(said, Ordering::Relaxed);
        assert_eq!(code_of(&ask().await).1, code);
    }
    says.store(200, Ordering::Relaxed);
    assert_eq!(ask().await.status, StatusCode::OK);

    // Beside a register service of residents alone there are none.
    let authority = Arc::get_mut(&mut nation.authority).unwrap();
    authority.organisations = None;
    let body = json!({ "evidence": nation.extract(0) });
    let answer = nation.mandate(Some(&refresh), &body).await;
    assert_eq!(code_of(&answer), (404, "organisation.off".to_owned()));
    let metadata = nation
        .get("/.well-known/openid-credential-issuer")
        .await
        .json();
    let known = &metadata["credential_configurations_supported"];
    assert!(known.get(ORGANISATION_CONFIGURATION).is_none());
}
