use super::*;

fn origin(text: &str) -> Origin {
    Url::parse(text).unwrap().origin()
}

#[test]
fn cookies_go_back_to_their_own_origin_and_can_be_taken_back() {
    let mut browser = Browser::new(Http::new().unwrap());
    let (gate, service) = (origin("http://127.0.0.1:1"), origin("http://127.0.0.1:2"));
    browser.keep(&gate, &["login=a; Path=/; HttpOnly".into()]);
    browser.keep(
        &service,
        &["state=x".into(), "demo_session=s; Secure".into()],
    );
    assert_eq!(browser.cookies(&gate), "login=a");
    assert_eq!(browser.cookies(&service), "state=x; demo_session=s");
    browser.keep(
        &service,
        &["state=; Max-Age=0".into(), "demo_session=t".into()],
    );
    assert_eq!(browser.cookies(&service), "demo_session=t");
}

#[test]
fn a_refusal_keeps_its_name_and_cannot_write_on_the_terminal() {
    let answer = |status, body: &str| Answer {
        url: Url::parse("http://127.0.0.1:9/token").unwrap(),
        status,
        location: None,
        set_cookies: vec![],
        dpop_nonce: None,
        challenge: None,
        body: body.as_bytes().to_vec(),
    };
    let refused = answer(
        400,
        r#"{"error":"invalid_grant","code":"vci.grant","rule":"r\u001b[2J","fix":"f"}"#,
    )
    .success()
    .unwrap_err();
    assert_eq!(
        refused.to_string(),
        "vci.grant: r [2J; fault: wallet; do: f"
    );
    let plain = answer(502, "<html>").success().unwrap_err();
    assert_eq!(plain.code, "http.status");
    assert!(answer(200, "x").success().is_ok());
    let long = format!(r#"{{"code":"c","rule":"{}"}}"#, "x".repeat(1000));
    assert!(
        answer(400, &long)
            .success()
            .unwrap_err()
            .rule
            .chars()
            .count()
            <= 301
    );
}

#[test]
fn addresses_are_web_addresses() {
    assert!(address("file:///etc/passwd").is_err());
    assert!(address("127.0.0.1:80").is_err());
    let base = address("https://a.example/x/").unwrap();
    assert_eq!(below(&base, "/v1/y").as_str(), "https://a.example/x/v1/y");
}
