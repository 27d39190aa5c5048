//! Displays over HTTP: what a platform may call, what is refused and written down.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use realdid_exchange::display;

/// A gate with the example policy, whose service is registered for `purposes`.
fn stage(purposes: &[&'static str]) -> Town {
    let mut town = town_with(0, |folder| {
        let policy = folder.join("policy.toml");
        std::fs::write(&policy, crate::EXAMPLE_POLICY).unwrap();
        let mut config = config_of(folder, Accounts::Person, &[], "login");
        config.displays = Some(crate::config::DisplaysConfig { policy });
        Gate::open(&config, ISSUER.to_owned()).unwrap()
    });
    let registered = Registered {
        purposes: purposes.to_vec(),
        claims: vec![
            json!(["family_name"]),
            json!(["given_name"]),
            json!(["legal_name"]),
        ],
        ..registered()
    };
    let all = registered.purposes.contains(&"real-name");
    let registered = if all {
        registered
    } else {
        Registered {
            claims: vec![],
            ..registered
        }
    };
    town.world
        .register(&registered, realdid_core::state::Standing::Active);
    open_again(&mut town);
    town
}

/// The gate shows the registration that it was opened with, so after a new one it is opened again.
fn open_again(town: &mut Town) {
    std::fs::write(
        town.folder.path().join("registration.jwt"),
        &town.world.registration,
    )
    .unwrap();
    let mut config = config_of(town.folder.path(), Accounts::Person, &[], "login");
    config.displays = Some(crate::config::DisplaysConfig {
        policy: town.folder.path().join("policy.toml"),
    });
    town.gate = Gate::open(&config, ISSUER.to_owned()).unwrap();
    town.router = town.gate.router();
    town.learn();
}

impl Town {
    async fn call(&self, path: &str, body: Value, secret: &str) -> (u16, Value) {
        let basic = STANDARD.encode(format!("shop:{secret}"));
        let request = Request::builder()
            .method(if body.is_null() { "GET" } else { "POST" })
            .uri(path)
            .header("authorization", format!("Basic {basic}"))
            .body(Body::from(body.to_string()))
            .unwrap();
        let response = self.send(request).await;
        (response.status().as_u16(), json_of(response).await)
    }

    async fn done(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.call(path, body, SECRET).await;
        assert!(status < 300, "{path}: {answer}");
        answer
    }

    async fn refused(&self, path: &str, body: Value) -> String {
        let (status, answer) = self.call(path, body, SECRET).await;
        assert!(status >= 400, "{path}: {answer}");
        answer["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The decisions and reasons so far.
    async fn decided(&self) -> Vec<(String, String)> {
        let export = self.done("/displays/decisions", Value::Null).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let entries = export["entries"].as_array().unwrap().iter();
        entries
            .map(|entry| (text(&entry["decision"]), text(&entry["reason"])))
            .collect()
    }
}

fn report(handle: &str, at_s: u64, followers: u64) -> Value {
    json!({"handle": handle, "subject": "sub-1", "at": at_s, "followers": followers})
}

fn ask(handle: &str) -> Value {
    json!({"handle": handle, "return_uri": format!("{ISSUER}/done")})
}

#[tokio::test]
async fn a_platform_reports_and_is_told_what_is_required() {
    let town = stage(&["login", "real-name"]);
    let now_s = now_ms() / 1000;
    let free = town
        .done("/displays/reports", report("wei.li", now_s - 10, 999_999))
        .await;
    assert_eq!(free["standing"], "free");
    let due = town
        .done("/displays/reports", report("wei.li", now_s - 9, 1_000_000))
        .await;
    assert_eq!(
        (&due["standing"], &due["peak"]),
        (&json!("due"), &json!(1_000_000))
    );
    assert_eq!(due["requirement"]["rule"], "very-large");
    // A purge is taken in, and changes nothing.
    let purged = town
        .done("/displays/reports", report("wei.li", now_s - 8, 5))
        .await;
    assert_eq!(
        (&purged["standing"], &purged["followers"]),
        (&json!("due"), &json!(5))
    );
    let refusals = [
        (report("wei.li", now_s - 20, 5), "report.back_in_time"),
        (report("wei.li", now_s + 3600, 5), "report.future"),
        (report("wei.li", now_s - 8, 6), "report.changed"),
        (report("w\u{435}i.li", now_s, 5), "display.handle_form"),
        (json!({"handle": "wei.li"}), "display.call_malformed"),
        (
            json!({"handle": "wei.li", "subject": "sub-2", "at": now_s, "followers": 1}),
            "account.subject",
        ),
    ];
    for (body, code) in refusals {
        assert_eq!(town.refused("/displays/reports", body).await, code);
    }
    assert_eq!(
        town.refused("/displays/requests", ask("nobody")).await,
        "account.unknown"
    );
    let elsewhere = json!({"handle": "wei.li", "return_uri": "https://evil.example/"});
    assert_eq!(
        town.refused("/displays/requests", elsewhere).await,
        "display.return_uri"
    );
    assert_eq!(
        town.refused("/displays/withdrawals", json!({"handle": "wei.li"}))
            .await,
        "display.not_shown"
    );
    let expected = [("require".to_owned(), "peak-reached".to_owned())];
    assert_eq!(town.decided().await, expected);
}

#[tokio::test]
async fn nobody_else_reports_or_reads_the_log() {
    let town = stage(&["login", "real-name"]);
    for (path, body) in [
        ("/displays/reports", report("wei", now_ms() / 1000, 1)),
        ("/displays/requests", ask("wei")),
        ("/displays/exemptions", json!({"handle": "wei", "days": 1})),
        (
            "/displays/appeals",
            json!({"handle": "wei", "step": "open"}),
        ),
        ("/displays/withdrawals", json!({"handle": "wei"})),
        ("/displays/decisions", Value::Null),
        ("/displays/accounts/wei", Value::Null),
    ] {
        let (status, answer) = town.call(path, body, "another secret, wrong").await;
        assert_eq!(
            (status, &answer["code"]),
            (401, &json!("oidc.client_authentication")),
            "{path}"
        );
    }
    // A gate without a policy has none of it.
    let plain = super::town();
    assert_eq!(
        plain.refused("/displays/decisions", Value::Null).await,
        "display.off"
    );
}

#[tokio::test]
async fn a_platform_that_is_not_registered_for_names_gets_none() {
    let town = stage(&["login"]);
    let now_s = now_ms() / 1000;
    town.done("/displays/reports", report("wei", now_s, 1_000_000))
        .await;
    assert_eq!(
        town.refused("/displays/requests", ask("wei")).await,
        "display.purpose"
    );
    let last = town.decided().await.pop().unwrap();
    assert_eq!(last, ("refuse".to_owned(), "purpose-missing".to_owned()));
}

/// A report of an account of this kind that very many follow.
fn of_kind(handle: &str, kind: &str) -> Value {
    let mut report = report(handle, now_ms() / 1000, 1_000_000);
    report["kind"] = kind.into();
    report
}

#[tokio::test]
async fn an_organisations_name_is_asked_of_its_credential_and_of_nothing_else() {
    let town = stage(&["login", "real-name"]);
    for (kind, words) in [
        ("organisation", "the organisation whose account this is"),
        ("backed", "the organisation behind this account"),
    ] {
        let handle = format!("firm.{kind}");
        let due = town.done("/displays/reports", of_kind(&handle, kind)).await;
        assert_eq!(due["requirement"]["shows"], "organisation");
        assert_eq!((&due["shows"], &due["shown"]), (&json!(kind), &Value::Null));
        let asked = town.done("/displays/requests", ask(&handle)).await;
        let request = town.fetch(&asked).await;
        assert_eq!(request.display.as_ref().unwrap().kind.code(), kind);
        let claims: Vec<String> = request.claims.iter().map(ToString::to_string).collect();
        assert_eq!(claims, ["legal_name"]);
        let pid = request.asked.pid.as_ref().unwrap();
        assert_eq!(pid.vcts, [realdid_credential::organisation::VCT]);
        assert!(request.asked.pass.is_some(), "the account's own person");
        let html = text_of(town.get(asked["page"].as_str().unwrap(), &[]).await).await;
        assert!(
            html.contains(words) && html.contains("to everybody"),
            "{html}"
        );
    }
    assert_eq!(town.decided().await.len(), 2, "nothing is refused");
}

#[tokio::test]
async fn a_platform_that_is_registered_for_peoples_names_alone_gets_no_organisations() {
    let mut town = stage(&["login", "real-name"]);
    town.world.register(
        &Registered {
            purposes: vec!["login", "real-name"],
            claims: vec![json!(["family_name"]), json!(["given_name"])],
            ..registered()
        },
        Standing::Active,
    );
    open_again(&mut town);
    town.done("/displays/reports", of_kind("firm", "organisation"))
        .await;
    assert_eq!(
        town.refused("/displays/requests", ask("firm")).await,
        "display.purpose"
    );
    assert_eq!(town.decided().await.pop().unwrap().1, "purpose-missing");
    town.done("/displays/reports", of_kind("wei", "person"))
        .await;
    town.done("/displays/requests", ask("wei")).await;
}

/// Somebody's answer to a display: their RealPass, their DID, and a name out of some credential.
fn shows(town: &Town, request: &CheckedRequest, (vct, claims): (&str, Value)) -> String {
    let world = &town.world;
    let now_s = now_ms() / 1000;
    let terms = sd_jwt::Terms {
        iss: AUTHORITY,
        vct,
        kid: &world::kid(&world.authority_key),
        iat_s: now_s - 60,
        exp_s: now_s + 60,
        x5c: &[],
    };
    let mut salt = 0u8;
    let holder = world::jose_key(&world.holder);
    let copy = sd_jwt::issue(
        claims.as_object().unwrap(),
        &[],
        &terms,
        &realdid_credential::jose::Jwk(holder.verifying_key()),
        &world::jose_key(&world.authority_key),
        &mut || {
            salt += 1;
            [salt; 16]
        },
    );
    let copy = ParsedSdJwt::parse(&copy.unwrap()).unwrap();
    let asked = request.display.as_ref().unwrap();
    // What this credential can show, whatever was asked for.
    let kind = match vct == asked.kind.vct() {
        true => asked.kind,
        false if asked.kind.is_organisation() => display::Kind::Person,
        false => display::Kind::Organisation,
    };
    let signed = display::Terms {
        kind,
        ..asked.clone()
    };
    let withdrawal = realdid_core::hash::Hash32([8; 32]);
    let shown = display::show(&copy, &signed, &[7; 32], &withdrawal, now_s, &holder).unwrap();
    realpass::answer_with(town, request, &shown)
}

#[tokio::test]
async fn neither_kind_of_name_answers_for_the_other() {
    let town = stage(&["login", "real-name"]);
    let person = json!({"family_name": "Li", "given_name": "Wei"});
    let firm = json!({"legal_name": "Example", "country": "CN"});
    let (pid, organisation) = (
        realdid_credential::pid::VCT,
        realdid_credential::organisation::VCT,
    );
    for (kind, wrong, right) in [
        ("organisation", (pid, &person), (organisation, &firm)),
        ("backed", (pid, &person), (organisation, &firm)),
        ("person", (organisation, &firm), (pid, &person)),
    ] {
        let handle = format!("of.{kind}");
        town.done("/displays/reports", of_kind(&handle, kind)).await;
        let asked = town.done("/displays/requests", ask(&handle)).await;
        let request = town.fetch(&asked).await;
        for ((vct, claims), code) in [
            (wrong, "display.terms"),
            // As far as the gate can tell without the account's own person.
            (right, "display.other_person"),
        ] {
            let answer = shows(&town, &request, (vct, claims.clone()));
            let refused = code_of(town.post(&request.response_uri, answer).await).await;
            assert_eq!(refused, code, "{kind}");
        }
    }
}

#[tokio::test]
async fn the_wallet_sees_for_whom_where_and_until_when_a_name_is_shown() {
    let town = stage(&["login", "real-name"]);
    let now_s = now_ms() / 1000;
    town.done("/displays/reports", report("wei.li", now_s, 1_000_000))
        .await;
    let asked = town.done("/displays/requests", ask("wei.li")).await;
    let request = town.fetch(&asked).await;
    let terms = request.display.clone().unwrap();
    assert_eq!(terms.handle.as_str(), "wei.li");
    assert_eq!(terms.service, SERVICE_ID);
    let days = (terms.expires_s - now_s) / 86_400;
    assert!((179..=180).contains(&days), "{days}");
    let claims: Vec<String> = request.claims.iter().map(ToString::to_string).collect();
    assert_eq!(claims, ["family_name", "given_name"]);
    assert_eq!(request.purpose, "real-name");
    assert!(request.asked.pass.is_some(), "the account's own person");
    let page = asked["page"].as_str().unwrap();
    let html = text_of(town.get(page, &[]).await).await;
    assert!(
        html.contains("to everybody") && html.contains("wei.li"),
        "{html}"
    );
    // The person says no: that is a decision too, and the request is over.
    let no = vp::refusal_form(request.state.as_deref(), vp::WalletError::AccessDenied);
    assert_eq!(
        town.post(&request.response_uri, no.clone()).await.status(),
        200
    );
    assert_eq!(
        code_of(town.post(&request.response_uri, no).await).await,
        "vp.replayed"
    );
    let state = json_of(town.get(page, &[("accept", "application/json")]).await).await;
    assert_eq!(state["status"], "declined");
    assert_eq!(town.decided().await.pop().unwrap().1, "declined");
    // Somebody who has not read the request says nothing.
    let asked = town.done("/displays/requests", ask("wei.li")).await;
    let request = town.fetch(&asked).await;
    let blind = vp::refusal_form(Some("guess"), vp::WalletError::AccessDenied);
    assert_eq!(
        code_of(town.post(&request.response_uri, blind).await).await,
        "vp.state"
    );
}

#[tokio::test]
async fn exemptions_and_appeals_are_decided_and_nobody_outside_sees_them() {
    let town = stage(&["login", "real-name"]);
    let now_s = now_ms() / 1000;
    town.done("/displays/reports", report("wei", now_s, 2_000_000))
        .await;
    let appeal = |step: &str| json!({"handle": "wei", "step": step});
    assert_eq!(
        town.refused("/displays/appeals", appeal("uphold")).await,
        "appeal.none"
    );
    assert_eq!(
        town.done("/displays/appeals", appeal("open")).await["appealOpen"],
        true
    );
    assert_eq!(
        town.refused("/displays/appeals", appeal("open")).await,
        "appeal.none"
    );
    town.done("/displays/appeals", appeal("reject")).await;
    let exempt = json!({"handle": "wei", "days": 30});
    let status = town.done("/displays/exemptions", exempt).await;
    assert_eq!(status["standing"], "free");
    assert!(status["exemptUntil"].as_u64().unwrap() > now_s + 29 * 86_400);
    let json = [("accept", "application/json")];
    let exempted = town.get("/display/wei", &json).await;
    let ordinary = town.get("/display/nobody.at.all", &json).await;
    assert_eq!(exempted.status(), ordinary.status());
    assert_eq!(text_of(exempted).await, text_of(ordinary).await);
    let decided: Vec<String> = town
        .decided()
        .await
        .into_iter()
        .map(|(decision, _)| decision)
        .collect();
    assert_eq!(decided, ["require", "appeal", "appeal-rejected", "exempt"]);
}

#[tokio::test]
async fn pages_of_badges_may_be_framed_and_run_nothing() {
    let town = stage(&["login", "real-name"]);
    for path in ["/display/wei", "/display/wei/embed"] {
        let response = town.get(path, &[]).await;
        assert_eq!(response.status(), 404);
        let policy = response.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(
            policy.contains("frame-ancestors *") && !policy.contains("script-src"),
            "{policy}"
        );
        let html = text_of(response).await;
        assert!(
            html.contains("No verified name") && !html.contains("<script"),
            "{html}"
        );
    }
    assert_eq!(
        code_of(town.get("/display/wei/badge.json", &[]).await).await,
        "display.not_shown"
    );
    // What somebody puts into the address is not repeated as markup.
    let html = text_of(town.get("/display/%3Cb%3Ewei/embed", &[]).await).await;
    assert!(!html.contains("<b>wei"), "{html}");
}

#[test]
fn a_gate_does_not_start_with_a_policy_or_a_log_that_is_none() {
    let town = stage(&["login", "real-name"]);
    let folder = town.folder.path();
    let open = || {
        let mut config = config_of(folder, Accounts::Person, &[], "login");
        config.displays = Some(crate::config::DisplaysConfig {
            policy: folder.join("policy.toml"),
        });
        Gate::open(&config, ISSUER.to_owned())
            .map(drop)
            .map_err(|error| error.code())
    };
    assert_eq!(open(), Ok(()));
    let log = folder.join("gate/displays/decisions.jsonl");
    std::fs::write(&log, "{}\n").unwrap();
    assert_eq!(open(), Err("gate.decisions"));
    assert_eq!(
        crate::decisions(&folder.join("gate")).map_err(|error| error.code()),
        Err("gate.decisions")
    );
    std::fs::write(&log, "").unwrap();
    std::fs::write(folder.join("policy.toml"), "name = 1").unwrap();
    assert_eq!(open(), Err("gate.policy"));
    std::fs::remove_file(folder.join("policy.toml")).unwrap();
    assert_eq!(open(), Err("gate.unreadable"));
}
