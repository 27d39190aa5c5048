//! The provider against the rules of OAuth and OpenID Connect: one row, one rule.

use super::*;

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
        claims: vec!["age_equal_or_over.18".to_owned()],
        purpose: "age".to_owned(),
    };
    vec![
        client("shop", "s3cret:with=signs&"),
        client("forum", "another secret"),
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
        auth_time_s: NOW_S,
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
    grants.redeem(&request, client, &[2; 32], now_s)
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
            grants.userinfo(Some(&bearer), NOW_S + 2).unwrap(),
            json!({"age_equal_or_over": {"18": true}, "iss": "a claim that poses as ours", "sub": "subject"})
        );
        let late = grants.userinfo(Some(&bearer), NOW_S + 1 + ACCESS_LIFE_S);
        assert_eq!(late, Err(OidcError::TokenUnknown));
        for wrong in [
            None,
            Some("Bearer x"),
            Some("Basic x"),
            Some(&*redeemed.access_token),
        ] {
            assert_eq!(
                grants.userinfo(wrong, NOW_S + 2),
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
    assert!(grants.userinfo(Some(&bearer), NOW_S + 100).is_ok());
    let again = redeem(&mut grants, &body(&code, &[]), None, NOW_S + 100);
    assert_eq!(again.unwrap_err(), OidcError::CodeReused);
    assert_eq!(
        grants.userinfo(Some(&bearer), NOW_S + 100),
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
    assert_eq!(jwks(&key)["keys"][0]["kid"], kid);
    assert_eq!(jwks(&key)["keys"][0]["alg"], "ES256");
    assert!(jwks(&key)["keys"][0].get("d").is_none());
}
