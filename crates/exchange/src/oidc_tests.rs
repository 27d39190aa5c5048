//! The provider against the rules of OAuth and OpenID Connect: one row, one rule.

use super::*;
use base64::engine::general_purpose::STANDARD;
use realdid_credential::jose::{self, SigningKey};
use serde_json::Map;
use url::form_urlencoded;

const ISSUER: &str = "https://login.shop.example";
const NOW_S: u64 = 1_800_000_000;
const VERIFIER: &str = "a verifier of at least forty-three characters, as RFC 7636 asks";
const REDIRECT: &str = "https://shop.example/cb?x=1";

fn clients() -> Vec<Client> {
    let client = |id: &str, secret: &str| Client {
        client_id: id.to_owned(),
        name: id.to_owned(),
        secret_sha256: secret_hash(secret),
        redirect_uris: vec![REDIRECT.to_owned(), "https://shop.example/other".to_owned()],
        post_logout_redirect_uris: vec!["https://shop.example/bye".to_owned()],
        claims: vec![
            "age_equal_or_over.18".to_owned(),
            "age_equal_or_over.21".to_owned(),
            "assurance".to_owned(),
        ],
        purpose: "age".to_owned(),
        require_pushed: id == "bank",
        accounts: Accounts::Did,
    };
    vec![
        client("shop", "s3cret:with=signs&"),
        client("forum", "another secret"),
        client("bank", "a third secret"),
        Client {
            claims: vec!["realpass.adult".to_owned(), "realpass.assurance".to_owned()],
            accounts: Accounts::Person,
            ..client("club", "a fourth secret")
        },
    ]
}

fn challenge() -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER))
}

fn query(changes: &[(&str, Option<&str>)]) -> String {
    let challenge = challenge();
    let mut pairs = vec![
        ("client_id", "shop"),
        ("redirect_uri", REDIRECT),
        ("response_type", "code"),
        ("scope", "openid profile"),
        ("state", "st&te"),
        ("nonce", "n-0"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in changes {
        pairs.retain(|(known, _)| known != name);
        pairs.extend(value.map(|value| (*name, value)));
    }
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

fn parse(query: &str) -> Result<AuthorizationRequest, AuthorizeRefusal> {
    AuthorizationRequest::parse(query, &clients(), ISSUER)
}

fn login() -> Login {
    Login {
        request: parse(&query(&[])).unwrap(),
        subject: "subject".to_owned(),
        claims: json!({"age_equal_or_over": {"18": true}, "iss": "a claim that poses as ours"})
            .as_object()
            .unwrap()
            .clone(),
        acr: ACR.to_owned(),
        auth_time_s: NOW_S,
    }
}

/// A request for userinfo without a proof.
fn bearing(authorization: Option<&str>) -> Spoken<'_> {
    Spoken {
        method: "GET",
        url: "https://login.shop.example/userinfo",
        authorization,
        dpop: None,
    }
}

#[test]
fn nobody_is_sent_to_an_unregistered_address() {
    for (changes, error) in [
        (("client_id", None), OidcError::ClientUnknown),
        (("client_id", Some("nobody")), OidcError::ClientUnknown),
        (("redirect_uri", None), OidcError::RedirectUnregistered),
        (
            ("redirect_uri", Some("https://evil.example/")),
            OidcError::RedirectUnregistered,
        ),
        (
            ("redirect_uri", Some("https://shop.example/cb")),
            OidcError::RedirectUnregistered,
        ),
        (
            ("redirect_uri", Some("https://shop.example/cb?x=1&y")),
            OidcError::RedirectUnregistered,
        ),
        (
            ("redirect_uri", Some("https://SHOP.example/cb?x=1")),
            OidcError::RedirectUnregistered,
        ),
    ] {
        assert_eq!(
            parse(&query(&[changes])),
            Err(AuthorizeRefusal::Shown(error)),
            "{changes:?}"
        );
    }
    let twice = query(&[]) + "&client_id=forum";
    assert_eq!(
        parse(&twice),
        Err(AuthorizeRefusal::Shown(OidcError::Repeated))
    );
    let long = query(&[("state", Some(&"s".repeat(MAX_QUERY_BYTES)))]);
    assert_eq!(
        parse(&long),
        Err(AuthorizeRefusal::Shown(OidcError::TooLong))
    );
}

#[test]
fn other_errors_go_to_the_client_with_its_state() {
    let long_nonce = "n".repeat(MAX_NONCE_BYTES + 1);
    for (changes, error) in [
        (("response_type", Some("token")), OidcError::ResponseType),
        (("response_type", None), OidcError::ResponseType),
        (("response_mode", Some("fragment")), OidcError::ResponseMode),
        (("scope", Some("profile")), OidcError::Scope),
        (("scope", None), OidcError::Scope),
        (("prompt", Some("none")), OidcError::Silent),
        (("request", Some("x.y.z")), OidcError::RequestObject),
        (
            ("request_uri", Some("https://shop.example/r")),
            OidcError::RequestUri,
        ),
        (("code_challenge", None), OidcError::PkceMissing),
        (("code_challenge", Some("short")), OidcError::PkceMissing),
        (
            ("code_challenge_method", Some("plain")),
            OidcError::PkceMethod,
        ),
        (("code_challenge_method", None), OidcError::PkceMethod),
        (("nonce", Some(long_nonce.as_str())), OidcError::TooLong),
    ] {
        let Err(AuthorizeRefusal::Redirected {
            location,
            error: found,
        }) = parse(&query(&[changes]))
        else {
            panic!("{changes:?}");
        };
        assert_eq!(found, error);
        let location = url::Url::parse(&location).unwrap();
        let pairs: BTreeMap<_, _> = location.query_pairs().into_owned().collect();
        assert_eq!(pairs["x"], "1");
        assert_eq!(pairs["error"], error.error());
        assert_eq!(pairs["state"], "st&te");
        assert_eq!(pairs["iss"], ISSUER);
        assert!(!pairs.contains_key("code"));
    }
}

#[test]
fn state_and_nonce_are_the_clients_choice() {
    let request = parse(&query(&[("state", None), ("nonce", None)])).unwrap();
    let location = request.answer("c", ISSUER);
    assert_eq!(
        location,
        format!("{REDIRECT}&code=c&iss=https%3A%2F%2Flogin.shop.example")
    );
}

fn body(code: &str, changes: &[(&str, Option<&str>)]) -> String {
    let mut pairs = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
        ("client_id", "shop"),
        ("client_secret", "s3cret:with=signs&"),
    ];
    for (name, value) in changes {
        pairs.retain(|(known, _)| known != name);
        pairs.extend(value.map(|value| (*name, value)));
    }
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

fn redeem(
    grants: &mut Grants,
    body: &str,
    basic: Option<&str>,
    now_s: u64,
) -> Result<Redeemed, OidcError> {
    let request = TokenRequest::parse(body, basic)?;
    let clients = clients();
    let client = request.authenticate(&clients)?;
    grants.redeem(&request, client, None, &[2; 32], now_s)
}

fn granted() -> (Grants, String) {
    let mut grants = Grants::default();
    let code = grants.issue_code(login(), &[1; 32], NOW_S).unwrap();
    (grants, code)
}

#[test]
fn a_code_gives_tokens_and_userinfo_by_either_authentication() {
    let basic =
        |id: &str, secret: &str| format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
    let no_secret = [("client_secret", None), ("client_id", None)];
    for authorization in [None, Some(basic("shop", "s3cret%3Awith%3Dsigns%26"))] {
        let (mut grants, code) = granted();
        let body = match authorization {
            None => body(&code, &[]),
            Some(_) => body(&code, &no_secret),
        };
        let redeemed = redeem(&mut grants, &body, authorization.as_deref(), NOW_S + 1).unwrap();
        assert_eq!(redeemed.login, login());
        let bearer = format!("bearer {}", redeemed.access_token);
        assert_eq!(
            grants.userinfo(bearing(Some(&bearer)), NOW_S + 2).unwrap(),
            json!({"age_equal_or_over": {"18": true}, "iss": "a claim that poses as ours", "sub": "subject"})
        );
        let late = grants.userinfo(bearing(Some(&bearer)), NOW_S + 1 + ACCESS_LIFE_S);
        assert_eq!(late, Err(OidcError::TokenUnknown));
        for wrong in [
            None,
            Some("Bearer x"),
            Some("Basic x"),
            Some(&*redeemed.access_token),
        ] {
            assert_eq!(
                grants.userinfo(bearing(wrong), NOW_S + 2),
                Err(OidcError::TokenUnknown)
            );
        }
    }
}

#[test]
fn a_token_request_that_breaks_a_rule_gives_nothing() {
    let basic = |text: &str| Some(format!("Basic {}", STANDARD.encode(text)));
    let none = [("client_secret", None)];
    for (what, changes, authorization, error) in [
        (
            "no authentication",
            &none[..],
            None,
            OidcError::ClientAuthentication,
        ),
        (
            "a wrong secret",
            &[("client_secret", Some("x"))],
            None,
            OidcError::ClientAuthentication,
        ),
        (
            "another client's secret",
            &[("client_secret", Some("another secret"))],
            None,
            OidcError::ClientAuthentication,
        ),
        (
            "a wrong basic secret",
            &none,
            basic("shop:x"),
            OidcError::ClientAuthentication,
        ),
        (
            "no basic",
            &none,
            Some("Basic !".to_owned()),
            OidcError::ClientAuthentication,
        ),
        (
            "another scheme",
            &none,
            Some("Bearer x".to_owned()),
            OidcError::ClientAuthentication,
        ),
        (
            "two ways at once",
            &[],
            basic("shop:x"),
            OidcError::TwoAuthentications,
        ),
        (
            "two clients at once",
            &[("client_secret", None), ("client_id", Some("forum"))],
            basic("shop:s3cret%3Awith%3Dsigns%26"),
            OidcError::ClientAuthentication,
        ),
        (
            "another grant",
            &[("grant_type", Some("password"))],
            None,
            OidcError::GrantType,
        ),
        (
            "no code",
            &[("code", None)],
            None,
            OidcError::ParameterMissing,
        ),
        (
            "no verifier",
            &[("code_verifier", None)],
            None,
            OidcError::ParameterMissing,
        ),
        (
            "an unknown code",
            &[("code", Some("x"))],
            None,
            OidcError::CodeUnknown,
        ),
        (
            "another redirect URI",
            &[("redirect_uri", Some("https://shop.example/other"))],
            None,
            OidcError::CodeRedirect,
        ),
        (
            "a wrong verifier",
            &[("code_verifier", Some("x"))],
            None,
            OidcError::CodeVerifier,
        ),
        (
            "another client",
            &[
                ("client_id", Some("forum")),
                ("client_secret", Some("another secret")),
            ],
            None,
            OidcError::CodeClient,
        ),
    ] {
        let (mut grants, code) = granted();
        let refused = redeem(
            &mut grants,
            &body(&code, changes),
            authorization.as_deref(),
            NOW_S,
        );
        assert_eq!(refused.unwrap_err(), error, "{what}");
        let guess_burns = matches!(error, OidcError::CodeRedirect | OidcError::CodeVerifier);
        let again = redeem(&mut grants, &body(&code, &[]), None, NOW_S);
        assert_eq!(again.is_err(), guess_burns, "{what}");
    }
    let (mut grants, code) = granted();
    let repeated = body(&code, &[]) + "&code=x";
    assert_eq!(
        redeem(&mut grants, &repeated, None, NOW_S).unwrap_err(),
        OidcError::Repeated
    );
    let long = body(&"c".repeat(MAX_TOKEN_BODY_BYTES), &[]);
    assert_eq!(
        redeem(&mut grants, &long, None, NOW_S).unwrap_err(),
        OidcError::TooLong
    );
    let late = redeem(
        &mut grants,
        &body(&code, &[]),
        None,
        NOW_S + CODE_LIFE_S + 1,
    );
    assert_eq!(late.unwrap_err(), OidcError::CodeUnknown);
}

#[test]
fn a_code_that_is_used_twice_takes_back_what_it_gave() {
    let (mut grants, code) = granted();
    let redeemed = redeem(&mut grants, &body(&code, &[]), None, NOW_S).unwrap();
    let bearer = format!("Bearer {}", redeemed.access_token);
    assert!(grants.userinfo(bearing(Some(&bearer)), NOW_S + 100).is_ok());
    let again = redeem(&mut grants, &body(&code, &[]), None, NOW_S + 100);
    assert_eq!(again.unwrap_err(), OidcError::CodeReused);
    assert_eq!(
        grants.userinfo(bearing(Some(&bearer)), NOW_S + 100),
        Err(OidcError::TokenUnknown)
    );
}

#[test]
fn grants_are_bounded_and_swept() {
    let mut grants = Grants::default();
    for i in 0..MAX_GRANTS {
        let mut secret = [0; 32];
        secret[..8].copy_from_slice(&i.to_be_bytes());
        grants.issue_code(login(), &secret, NOW_S).unwrap();
    }
    assert_eq!(
        grants.issue_code(login(), &[9; 32], NOW_S),
        Err(OidcError::Busy)
    );
    grants.sweep(NOW_S + CODE_LIFE_S + 1);
    assert!(grants.codes.is_empty());
}

#[test]
fn an_id_token_says_who_for_whom_and_when() {
    let key = SigningKey::p256(&[3; 32]).unwrap();
    let token = id_token(&login(), "access", ISSUER, &key, NOW_S + 5).unwrap();
    let verified = jose::verify_compact(&token, &key.verifying_key(), "JWT").unwrap();
    let claims = Value::Object(verified.claims().unwrap());
    let at_hash = URL_SAFE_NO_PAD.encode(&Sha256::digest("access")[..16]);
    assert_eq!(
        claims,
        json!({
            "age_equal_or_over": {"18": true}, "iss": ISSUER, "sub": "subject", "aud": "shop",
            "iat": NOW_S + 5, "exp": NOW_S + 5 + ID_TOKEN_LIFE_S, "auth_time": NOW_S, "acr": ACR,
            "at_hash": at_hash, "nonce": "n-0",
        })
    );
    let kid = verified.header["kid"].as_str().unwrap();
    assert_eq!(jwks(&[key.verifying_key()])["keys"][0]["kid"], kid);
    assert_eq!(jwks(&[key.verifying_key()])["keys"][0]["alg"], "ES256");
    assert!(jwks(&[key.verifying_key()])["keys"][0].get("d").is_none());
}

#[test]
fn a_login_asks_for_what_the_request_names_among_the_clients_claims() {
    let asked = |claims: Option<&str>| parse(&query(&[("claims", claims)])).map(|r| r.claims);
    let all = clients()[0].claims.clone();
    assert_eq!(asked(None).unwrap(), all);
    assert!(asked(Some("{}")).unwrap().is_empty());
    let one = r#"{"id_token": {"age_equal_or_over.18": {"essential": true}}}"#;
    assert_eq!(asked(Some(one)).unwrap(), ["age_equal_or_over.18"]);
    let first_part =
        r#"{"userinfo": {"age_equal_or_over": null}, "id_token": {"age_equal_or_over.21": null}}"#;
    assert_eq!(
        asked(Some(first_part)).unwrap(),
        ["age_equal_or_over.21", "age_equal_or_over.18"]
    );
    let voluntary = r#"{"id_token": {"email": null, "sub": {"essential": true}}}"#;
    assert!(asked(Some(voluntary)).unwrap().is_empty());
    let essential = r#"{"id_token": {"email": {"essential": true}}}"#;
    for (text, error) in [
        (essential, OidcError::ClaimUnregistered),
        ("[]", OidcError::Claims),
        (r#"{"id_token": 1}"#, OidcError::Claims),
    ] {
        assert_eq!(asked(Some(text)).unwrap_err().error(), error);
    }
}

#[test]
fn an_acr_says_the_assurance_that_was_asked_for() {
    let shown = json!({"assurance": "substantial", "age_equal_or_over": {"18": true}});
    let shown = shown.as_object().unwrap();
    let age = r#"{"id_token": {"age_equal_or_over.18": null}}"#;
    let ask = |acr_values: Option<&str>, claims: &str| {
        parse(&query(&[
            ("acr_values", acr_values),
            ("claims", Some(claims)),
        ]))
    };
    let plain = ask(Some("urn:other"), age).unwrap();
    assert_eq!(plain.wallet_claims(), ["age_equal_or_over.18"]);
    let (acr, claims) = plain.conclude(shown.clone()).unwrap();
    assert_eq!(acr, ACR);
    assert!(!claims.contains_key("assurance"));

    let voluntary = ask(
        Some(&format!("urn:other {}", Accounts::Did.assured("high"))),
        age,
    )
    .unwrap();
    assert_eq!(
        voluntary.wallet_claims(),
        ["age_equal_or_over.18", "assurance"]
    );
    let (acr, claims) = voluntary.conclude(shown.clone()).unwrap();
    assert_eq!(
        acr,
        Accounts::Did.assured("substantial"),
        "what was reached, not what was asked"
    );
    assert!(!claims.contains_key("assurance"));

    let demand = |acr: &str| {
        format!(r#"{{"id_token": {{"acr": {{"essential": true, "values": ["{acr}"]}}}}}}"#)
    };
    let reached = ask(None, &demand(&Accounts::Did.assured("substantial"))).unwrap();
    assert_eq!(
        reached.conclude(shown.clone()).unwrap().0,
        Accounts::Did.assured("substantial")
    );
    let missed = ask(None, &demand(&Accounts::Did.assured("high"))).unwrap();
    assert_eq!(missed.conclude(shown.clone()), Err(OidcError::Acr));
    let unknown = ask(None, &demand("urn:other")).unwrap_err();
    assert_eq!(unknown.error(), OidcError::Acr);
    assert!(ask(None, &demand(ACR)).is_ok());
}

#[test]
fn the_acr_of_a_realpass_says_the_assurance_in_it() {
    let ask = |acr_values: Option<&str>, claims: &str| {
        let changes = [
            ("client_id", Some("club")),
            ("acr_values", acr_values),
            ("claims", Some(claims)),
        ];
        parse(&query(&changes)).unwrap()
    };
    let shown = |facts: Value| {
        let mut shown = Map::new();
        shown.insert("realpass".to_owned(), facts);
        shown
    };
    let person = Accounts::Person;
    assert_eq!(
        ask(None, "{}").conclude(Map::new()).unwrap().0,
        ACR_REALPASS
    );
    // The other kind's levels are not this client's to ask for.
    let other = ask(Some(&Accounts::Did.assured("high")), "{}");
    assert!(other.wallet_claims().is_empty());

    let level = ask(Some(&person.assured("high")), "{}");
    assert_eq!(level.wallet_claims(), ["realpass.assurance"]);
    let (acr, claims) = level
        .conclude(shown(json!({"assurance": "substantial"})))
        .unwrap();
    assert_eq!(acr, person.assured("substantial"));
    assert!(claims.is_empty(), "asked for as acr alone");

    let adult = r#"{"id_token": {"realpass": {"essential": true}}}"#;
    let both = ask(Some(&person.assured("high")), adult);
    assert_eq!(
        both.wallet_claims(),
        ["realpass.adult", "realpass.assurance"]
    );
    let facts = shown(json!({"adult": "yes", "assurance": "high"}));
    let (acr, claims) = both.conclude(facts.clone()).unwrap();
    assert_eq!(acr, person.assured("high"));
    assert_eq!(claims, facts, "by its first part both are named");

    let one = r#"{"id_token": {"realpass.adult": null}}"#;
    let (_, claims) = ask(Some(&person.assured("high")), one)
        .conclude(facts)
        .unwrap();
    assert_eq!(claims, shown(json!({"adult": "yes"})));
}

#[test]
fn a_request_is_pushed_by_its_client_and_taken_once() {
    let push = |changes: &[(&str, Option<&str>)]| {
        AuthorizationRequest::parse_pushed(&query(changes), None, &clients())
    };
    let secret = [("client_secret", Some("s3cret:with=signs&"))];
    let request = push(&secret).unwrap();
    assert_eq!(request, parse(&query(&[])).unwrap());
    for (changes, error) in [
        (vec![], OidcError::ClientAuthentication),
        (
            vec![("client_secret", Some("x"))],
            OidcError::ClientAuthentication,
        ),
        (
            vec![secret[0], ("redirect_uri", Some("https://evil.example/"))],
            OidcError::RedirectUnregistered,
        ),
        (
            vec![secret[0], ("request_uri", Some("urn:x"))],
            OidcError::RequestUri,
        ),
        (vec![secret[0], ("max_age", Some("-1"))], OidcError::MaxAge),
        (vec![secret[0], ("dpop_jkt", Some("x"))], OidcError::Dpop),
    ] {
        assert_eq!(push(&changes), Err(error), "{changes:?}");
    }
    let mut grants = Grants::default();
    let uri = grants.push(request.clone(), &[7; 32], NOW_S).unwrap();
    let reference = |client: &str| PushedReference {
        client_id: client.to_owned(),
        request_uri: uri.clone(),
    };
    let found = PushedReference::find(&format!(
        "client_id=shop&request_uri={}",
        form_urlencoded::byte_serialize(uri.as_bytes()).collect::<String>()
    ));
    assert_eq!(found, Some(reference("shop")));
    assert_eq!(PushedReference::find("request_uri=https://a.example"), None);
    let other = grants.take_pushed(&reference("forum"), NOW_S);
    assert_eq!(other, Err(OidcError::PushedUnknown));
    assert_eq!(
        grants.take_pushed(&reference("shop"), NOW_S),
        Ok(request.clone())
    );
    let again = grants.take_pushed(&reference("shop"), NOW_S);
    assert_eq!(again, Err(OidcError::PushedUnknown));
    let uri = grants.push(request, &[8; 32], NOW_S).unwrap();
    let late = PushedReference {
        client_id: "shop".to_owned(),
        request_uri: uri,
    };
    let late = grants.take_pushed(&late, NOW_S + PUSHED_LIFE_S);
    assert_eq!(late, Err(OidcError::PushedUnknown));
    // who must push cannot come by a query that the browser could have changed
    let direct = parse(&query(&[("client_id", Some("bank"))])).unwrap_err();
    assert_eq!(direct.error(), OidcError::PushRequired);
}

#[test]
fn a_bound_token_is_worth_nothing_without_its_key() {
    let key = SigningKey::p256(&[5; 32]).unwrap();
    let other = SigningKey::p256(&[6; 32]).unwrap();
    let token_url = "https://login.shop.example/token";
    let userinfo_url = "https://login.shop.example/userinfo";
    let sign = |key: &SigningKey, method: &str, url: &str, jti: &str, token: Option<&str>| {
        let mut header = Map::new();
        header.insert("typ".to_owned(), "dpop+jwt".into());
        header.insert("jwk".to_owned(), Jwk(key.verifying_key()).to_value());
        let mut claims = json!({"jti": jti, "htm": method, "htu": url, "iat": NOW_S});
        if let Some(token) = token {
            claims["ath"] = URL_SAFE_NO_PAD.encode(Sha256::digest(token)).into();
        }
        jose::sign_compact(&header, claims.to_string().as_bytes(), key).unwrap()
    };
    let clients = clients();
    let redeem = |grants: &mut Grants, code: &str, proof: Option<&DpopProof>| {
        let request = TokenRequest::parse(&body(code, &[]), None).unwrap();
        grants.redeem(&request, &clients[0], proof, &[2; 32], NOW_S)
    };
    let (mut grants, code) = granted();
    let proof = sign(&key, "POST", token_url, "1", None);
    let proof = dpop::verify(&proof, "POST", token_url, None, NOW_S).unwrap();
    let redeemed = redeem(&mut grants, &code, Some(&proof)).unwrap();
    assert!(redeemed.bound);
    let token = redeemed.access_token;
    let bearer = format!("Bearer {token}");
    let header = format!("DPoP {token}");
    let mut ask = |authorization: &str, dpop: Option<&str>| {
        let spoken = Spoken {
            method: "GET",
            url: userinfo_url,
            authorization: Some(authorization),
            dpop,
        };
        grants
            .userinfo(spoken, NOW_S)
            .map(|claims| claims["sub"].clone())
    };
    let good = sign(&key, "GET", userinfo_url, "2", Some(&token));
    assert_eq!(ask(&bearer, Some(&good)), Err(OidcError::TokenUnknown));
    assert_eq!(ask(&header, None), Err(OidcError::Dpop));
    let thief = sign(&other, "GET", userinfo_url, "2", Some(&token));
    assert_eq!(ask(&header, Some(&thief)), Err(OidcError::Dpop));
    let other_token = sign(&key, "GET", userinfo_url, "2", Some("x"));
    assert_eq!(ask(&header, Some(&other_token)), Err(OidcError::Dpop));
    assert_eq!(ask(&header, Some(&good)), Ok("subject".into()));
    assert_eq!(ask(&header, Some(&good)), Err(OidcError::DpopReplayed));

    // the same proof redeems no second code, and a code may be bound to a key from the start
    let second = grants.issue_code(login(), &[4; 32], NOW_S).unwrap();
    let replayed = redeem(&mut grants, &second, Some(&proof));
    assert_eq!(replayed.unwrap_err(), OidcError::DpopReplayed);
    let jkt = Jwk(other.verifying_key()).thumbprint_base64url();
    let mut bound = login();
    bound.request = parse(&query(&[("dpop_jkt", Some(jkt.as_str()))])).unwrap();
    let third = grants.issue_code(bound, &[6; 32], NOW_S).unwrap();
    let refused = redeem(&mut grants, &third, None);
    assert_eq!(refused.unwrap_err(), OidcError::Dpop);
}

#[test]
fn who_signs_out_goes_where_the_website_registered() {
    let key = SigningKey::p256(&[3; 32]).unwrap();
    let old = SigningKey::p256(&[4; 32]).unwrap();
    let stranger = SigningKey::p256(&[9; 32]).unwrap();
    let keys = [key.verifying_key(), old.verifying_key()];
    let hint = |key: &SigningKey| id_token(&login(), "a", ISSUER, key, NOW_S).unwrap();
    let parse = |pairs: &[(&str, &str)]| {
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs)
            .finish();
        LogoutRequest::parse(&query, &clients(), ISSUER, &keys)
    };
    let bye = ("post_logout_redirect_uri", "https://shop.example/bye");
    let nothing = parse(&[]).unwrap();
    assert_eq!((nothing.session, nothing.location), (None, None));
    for key in [&key, &old] {
        let hint = hint(key);
        let request = parse(&[("id_token_hint", &hint), bye, ("state", "a&b")]).unwrap();
        assert_eq!(
            request.session,
            Some(("shop".to_owned(), "subject".to_owned()))
        );
        let location = request.location.unwrap();
        assert_eq!(location, "https://shop.example/bye?state=a%26b");
    }
    assert!(
        parse(&[("client_id", "shop"), bye])
            .unwrap()
            .location
            .is_some()
    );
    let ours = hint(&key);
    for (pairs, error) in [
        (vec![bye], OidcError::LogoutRedirect),
        (
            vec![
                ("client_id", "shop"),
                ("post_logout_redirect_uri", "https://evil.example/"),
            ],
            OidcError::LogoutRedirect,
        ),
        (
            vec![("client_id", "nobody"), bye],
            OidcError::LogoutRedirect,
        ),
        (
            vec![("id_token_hint", ours.as_str()), ("client_id", "forum")],
            OidcError::LogoutHint,
        ),
        (
            vec![("id_token_hint", &*hint(&stranger))],
            OidcError::LogoutHint,
        ),
        (vec![("id_token_hint", "x")], OidcError::LogoutHint),
    ] {
        assert_eq!(parse(&pairs).unwrap_err(), error, "{pairs:?}");
    }

    let (mut grants, code) = granted();
    let redeemed = redeem(&mut grants, &body(&code, &[]), None, NOW_S).unwrap();
    let bearer = format!("Bearer {}", redeemed.access_token);
    grants.revoke("forum", "subject");
    assert!(grants.userinfo(bearing(Some(&bearer)), NOW_S).is_ok());
    grants.revoke("shop", "subject");
    assert!(grants.userinfo(bearing(Some(&bearer)), NOW_S).is_err());

    let token = logout_token("shop", "subject", "j", ISSUER, &key, NOW_S).unwrap();
    let verified = jose::verify_compact(&token, &key.verifying_key(), "logout+jwt").unwrap();
    let claims = verified.claims().unwrap();
    assert!(claims["events"]["http://schemas.openid.net/event/backchannel-logout"].is_object());
    assert!(
        !claims.contains_key("nonce"),
        "Back-Channel Logout 2.4 forbids it"
    );
}
