//! A real name in public, from the first follower to the last copy of the badge, against a running nation: the
//! platform among its services, its gate, the registrar, the ledger, wallets, and visitors who believe
//! none of them.

use crate::nation::{Nation, files_below, get, until};
use serde_json::{Value, json};
use std::time::Duration;

const STAGE: usize = 2;
/// A few slots.
const SOON: Duration = Duration::from_secs(60);

fn text(value: &Value, name: &str) -> String {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("no text {name} in {value}"))
        .to_owned()
}

/// Somebody's browser at the platform, signed in.
struct Visitor<'a> {
    nation: &'a Nation,
    cookie: String,
}

impl<'a> Visitor<'a> {
    fn sign_in(nation: &'a Nation, wallet: &str) -> Self {
        let login = nation.login(wallet, STAGE).done();
        Self {
            nation,
            cookie: text(&login, "sessionCookie"),
        }
    }

    fn address(&self, path: &str) -> String {
        format!("{}{path}", self.nation.url("services/2"))
    }

    fn send(&self, path: &str, form: &[(&str, &str)]) -> (u16, String) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let client = reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .timeout(Duration::from_secs(40))
                .build()
                .unwrap();
            let request = client
                .post(self.address(path))
                .header("cookie", &self.cookie)
                .header("accept", "application/json")
                .form(form);
            let response = request.send().await.unwrap();
            (response.status().as_u16(), response.text().await.unwrap())
        })
    }

    /// Presses a button; the platform's answer.
    fn press(&self, handle: &str, button: &str) -> Value {
        let (status, body) = self.send(&format!("/u/{handle}/{button}"), &[]);
        assert!(status < 400, "{button}: {body}");
        serde_json::from_str(&body).unwrap_or_default()
    }

    fn look(&self, path: &str) -> (u16, String) {
        let headers = [
            ("cookie", self.cookie.as_str()),
            ("accept", "application/json"),
        ];
        get(&self.address(path), &headers)
    }

    fn page(&self, path: &str) -> String {
        let (status, body) = get(&self.address(path), &[("cookie", self.cookie.as_str())]);
        assert_eq!(status, 200, "{body}");
        body
    }

    fn standing(&self, handle: &str) -> Value {
        let (status, body) = self.look(&format!("/u/{handle}"));
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()["standing"].clone()
    }
}

fn code(body: &str) -> String {
    text(&serde_json::from_str(body).unwrap(), "code")
}

/// The decisions of the platform's gate, by the operator's command, which verifies the chain.
fn decisions(nation: &Nation) -> Vec<String> {
    let config = nation.dir.join("gates/open-stage/gate.toml");
    let log = nation.run(&["gate", "decisions", "--config", config.to_str().unwrap()]);
    let log = log.done();
    let entries = log["entries"].as_array().unwrap().iter();
    entries
        .map(|entry| format!("{} {}", text(entry, "decision"), text(entry, "reason")))
        .collect()
}

/// Looks for a name, and for what is disclosed, in everything that platform, registrar and ledger keep, and in logs.
fn in_the_badge_alone(nation: &Nation, name: &str, presentation: &str) {
    let disclosures = presentation.split('~').skip(1);
    // The last part is the signature of the wallet, and no disclosure.
    let disclosures = disclosures.filter(|part| !part.contains('.') && !part.is_empty());
    let needles: Vec<&str> = [name].into_iter().chain(disclosures).collect();
    assert!(needles.len() > 1);
    let folders = ["services/open-stage", "node-0", "registrar", "logs"];
    let mut files: Vec<_> = folders
        .iter()
        .flat_map(|name| files_below(&nation.dir.join(name)))
        .collect();
    files.push(nation.dir.join("gates/open-stage/displays/decisions.jsonl"));
    for file in files {
        let bytes = std::fs::read(&file).unwrap_or_default();
        let found = aho_corasick::AhoCorasick::new(&needles)
            .unwrap()
            .is_match(&bytes);
        assert!(!found, "a name in {}", file.display());
    }
}

fn write(nation: &Nation, name: &str, badge: &Value) -> String {
    let path = nation.dir.join(name);
    std::fs::write(&path, badge.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_name_is_asked_for_shown_checked_by_anybody_and_taken_back() {
    let nation = Nation::start();
    let residents = nation.residents();
    nation.enrol("a", &residents[0].1).done();
    nation.enrol("b", &residents[1].1).done();
    let person = Visitor::sign_in(&nation, "a");
    assert_eq!(
        person
            .send(
                "/profiles",
                &[("handle", "w\u{435}i.li"), ("topic", "food")]
            )
            .0,
        400
    );
    assert_eq!(
        person
            .send("/profiles", &[("handle", "wei.li"), ("topic", "food")])
            .0,
        303
    );

    // Followers grow; the fourth quarter of a million brings the requirement, and a purge changes nothing.
    for _ in 0..3 {
        assert_eq!(person.press("wei.li", "grow")["standing"], "free");
    }
    assert_eq!(person.press("wei.li", "grow")["standing"], "due");
    let purged = person.press("wei.li", "purge");
    assert_eq!(
        (&purged["standing"], &purged["followers"]),
        (&json!("due"), &json!(1000))
    );
    assert!(person.page("/u/wei.li").contains("Please show your name"));
    let badge = format!("{}/display/wei.li", nation.url("gates/2"));
    assert_eq!(
        nation.run(&["verify-display", &badge]).refused(),
        "display.not_shown"
    );

    // The name alone is not enough: that it is for everybody has to be agreed to.
    let names = ["--allow", "family_name", "--allow", "given_name"];
    let link = text(&person.press("wei.li", "show-name"), "wallet_link");
    let shy = nation.wallet("a", &[&["present", &link], &names[..]].concat());
    assert_eq!(shy.refused(), "vp.declined");
    // Somebody else cannot lend the account a name.
    let link = text(&person.press("wei.li", "show-name"), "wallet_link");
    assert_eq!(
        nation.wallet("b", &["present", &link, "--yes"]).refused(),
        "display.other_person"
    );
    let agreed = [
        &["present", &link],
        &names[..],
        &["--allow", "public:wei.li"],
    ]
    .concat();
    let shown = nation.wallet("a", &agreed).done();
    assert_eq!(shown["display"]["badge"], badge.as_str());
    let journal = nation.wallet("a", &["journal"]).done();
    let last = journal["disclosures"]
        .as_array()
        .unwrap()
        .last()
        .unwrap()
        .clone();
    assert_eq!(
        last["claims"],
        json!(["family_name", "given_name", "public:wei.li"])
    );
    assert_eq!(
        (&last["purpose"], &last["outcome"]),
        (&json!("real-name"), &json!("accepted"))
    );

    // Anybody checks it, as soon as a slot has it.
    let verified = until("the badge verifies", SOON, || {
        let checked = nation.run(&["verify-display", &badge]);
        checked.ok.then_some(checked.json)
    });
    let name = text(&verified, "name");
    assert_eq!(
        (&verified["handle"], &verified["platform"]),
        (&json!("wei.li"), &json!("Open Stage"))
    );
    let (status, card) = get(&format!("{badge}/embed"), &[]);
    assert!(status == 200 && card.contains(&name), "{card}");
    assert!(person.page("/u/wei.li").contains("/display/wei.li/embed"));
    assert_eq!(person.standing("wei.li")["standing"], "shown");
    let listed = nation.wallet("a", &["displays"]).done();
    assert_eq!(listed["displays"][0]["state"], "active");

    // A copy elsewhere says why it fails.
    let (_, body) = get(&format!("{badge}/badge.json"), &[]);
    let copy: Value = serde_json::from_str(&body).unwrap();
    let file = write(&nation, "copy.json", &copy);
    nation
        .run(&["verify-display", &file, "--handle", "wei.li"])
        .done();
    let refused = |args: &[&str]| {
        nation
            .run(&[&["verify-display"], args].concat())
            .refused()
            .to_owned()
    };
    assert_eq!(refused(&[&file, "--handle", "li.wei"]), "display.handle");
    let forum = nation.url("services/0");
    assert_eq!(refused(&[&file, "--platform", &forum]), "display.platform");
    let altered = |member: &str, value: &str| {
        let mut altered = copy.clone();
        altered[member] = value.into();
        write(&nation, "altered.json", &altered)
    };
    assert_eq!(refused(&[&altered("handle", "li.wei")]), "display.handle");
    assert_eq!(refused(&[&altered("network", "intl")]), "display.network");
    assert_eq!(
        refused(&[&altered("service", &"11".repeat(32))]),
        "display.platform"
    );

    // Platform, log and ledger hold no name: it is in the badge alone.
    in_the_badge_alone(&nation, &name, &text(&copy, "presentation"));

    // The person takes it back, asking nobody, and every copy dies at the next checkpoint.
    nation.kill_part("registrar", "-KILL");
    nation.wallet("a", &["withdraw", "wei.li"]).done();
    until("the copy fails", SOON, || {
        let checked = nation.run(&["verify-display", &file]);
        (!checked.ok).then(|| assert_eq!(checked.refused(), "display.taken_back"))
    });
    until("the gate has noticed", SOON, || {
        (person.standing("wei.li")["standing"] == "due").then_some(())
    });
    assert_eq!(
        nation.run(&["verify-display", &badge]).refused(),
        "display.not_shown"
    );
    assert_eq!(
        nation.wallet("a", &["displays"]).done()["displays"][0]["state"],
        "withdrawn"
    );
    let expected = [
        "require peak-reached",
        "refuse declined",
        "refuse other-person",
        "grant name-shown",
        "withdraw person-withdrew",
    ];
    assert_eq!(decisions(&nation), expected);
}

#[test]
fn the_banned_stay_out_with_new_wallets_and_a_platform_takes_a_name_down() {
    let nation = Nation::start();
    let residents = nation.residents();
    let kit = text(&nation.wallet("a", &["init"]).done(), "kit");
    nation.enrol("a", &residents[0].1).done();
    nation.enrol("b", &residents[1].1).done();
    let troll = Visitor::sign_in(&nation, "a");
    troll.send("/profiles", &[("handle", "王伟"), ("topic", "law")]);
    let (status, _) = troll.send("/profiles", &[("handle", "second"), ("topic", "law")]);
    assert_eq!(status, 409, "one profile a person");
    for _ in 0..2 {
        troll.press("王伟", "grow");
    }
    assert_eq!(
        troll.standing("王伟")["requirement"]["rule"],
        "public-interest"
    );
    let link = text(&troll.press("王伟", "show-name"), "wallet_link");
    let shown = nation.wallet("a", &["present", &link, "--yes"]).done();
    let badge = text(&shown["display"], "badge");
    until("the badge verifies", SOON, || {
        nation.run(&["verify-display", &badge]).ok.then_some(())
    });
    let (_, body) = get(&format!("{badge}/badge.json"), &[]);
    let copy = write(&nation, "copy.json", &serde_json::from_str(&body).unwrap());

    // The moderator bans the person; the platform withdraws what they show.
    let moderator = Visitor::sign_in(&nation, "b");
    moderator.press("王伟", "ban");
    let (status, body) = troll.look("/");
    assert_eq!((status, code(&body).as_str()), (403, "platform.banned"));
    until("the copy fails", SOON, || {
        let checked = nation.run(&["verify-display", &copy]);
        (!checked.ok).then(|| assert_eq!(checked.refused(), "display.taken_back"))
    });
    assert_eq!(moderator.look("/u/%E7%8E%8B%E4%BC%9F").0, 404);

    // A new phone, rebuilt from the words, and the old one with all its identifiers: the same person.
    nation.wallet("again", &["init", "--kit", &kit]).done();
    nation.enrol("again", &residents[0].1).done();
    for wallet in ["again", "a"] {
        let login = nation.login(wallet, STAGE);
        assert_eq!(login.refused(), "platform.banned");
    }
    let (status, body) = troll.send("/profiles", &[("handle", "new.one"), ("topic", "food")]);
    assert_eq!((status, code(&body).as_str()), (403, "platform.banned"));
    // Elsewhere they are who they were.
    nation.login("again", 0).done();
    assert_eq!(moderator.look("/").0, 200);
    assert_eq!(
        decisions(&nation),
        [
            "require peak-reached",
            "grant name-shown",
            "withdraw platform-withdrew"
        ]
    );
}

/// Opens a profile of a kind, and brings it the followers of which a name is asked.
fn followed(visitor: &Visitor<'_>, handle: &str, kind: &str) {
    let profile = [("handle", handle), ("topic", "food"), ("kind", kind)];
    assert_eq!(visitor.send("/profiles", &profile).0, 303);
    for _ in 0..3 {
        assert_eq!(visitor.press(handle, "grow")["standing"], "free");
    }
    let due = visitor.press(handle, "grow");
    let expected = (&json!("due"), &json!(kind));
    assert_eq!((&due["standing"], &due["shows"]), expected);
}

#[test]
fn an_organisations_name_is_shown_by_who_may_act_for_it_and_by_nobody_else() {
    let nation = Nation::start();
    let residents = nation.residents();
    let listed = nation.run(&["authority", "organisations"]).done();
    let extract = |n: usize| text(&listed["organisations"][n], "evidence");
    assert_eq!(listed["organisations"][1]["representatives"][0], "r-0004");
    assert_eq!(residents[2].0, "r-0004");
    nation.enrol("a", &residents[0].1).done();
    nation.enrol("b", &residents[2].1).done();
    let clerk = Visitor::sign_in(&nation, "a");
    followed(&clerk, "firm", "organisation");
    let page = clerk.page("/u/firm");
    assert!(
        page.contains("Please show your organisation&#39;s name"),
        "{page}"
    );
    assert!(page.contains("run by an organisation"), "{page}");

    // A person's own name is not asked for, and does not do.
    let ask = |visitor: &Visitor<'_>, handle: &str| -> String {
        text(&visitor.press(handle, "show-name"), "wallet_link")
    };
    let link = ask(&clerk, "firm");
    let present = |wallet: &str, link: &str, more: &[&str]| {
        nation.wallet(wallet, &[&["present", link], more].concat())
    };
    assert_eq!(
        present("a", &link, &["--yes"]).refused(),
        "organisation.none"
    );

    // The credential is for whom the register names, of an organisation that stands in it.
    let take = |wallet: &str, n: usize| {
        nation.wallet(wallet, &["organisation", "--evidence", &extract(n)])
    };
    assert_eq!(take("b", 0).refused(), "organisation.representative");
    assert_eq!(take("a", 4).refused(), "organisation.evidence");
    let taken = take("a", 0).done();
    let name = text(&taken["credentials"][0], "organisation");
    assert_eq!(
        taken["credentials"][0]["type"],
        "urn:realdid:organisation:1"
    );
    assert_eq!(taken["credentials"][0]["onLedger"], true);

    // What is agreed to says as whose name it is shown, and somebody else cannot lend it.
    let shy = ["--allow", "legal_name", "--allow", "public:firm"];
    assert_eq!(present("a", &link, &shy).refused(), "vp.declined");
    take("b", 1).done();
    let link = ask(&clerk, "firm");
    let foreign = present("b", &link, &["--yes"]);
    assert_eq!(foreign.refused(), "display.other_person");
    // Who acts for two says for which.
    take("a", 2).done();
    assert_eq!(
        present("a", &link, &["--yes"]).refused(),
        "organisation.ambiguous"
    );
    let agreed = [
        "--allow",
        "legal_name",
        "--allow",
        "public:firm:organisation",
        "--organisation",
        &name,
    ];
    let shown = present("a", &link, &agreed).done();
    let badge = text(&shown["display"], "badge");
    let journal = nation.wallet("a", &["journal"]).done();
    let last = journal["disclosures"].as_array().unwrap().last().unwrap();
    assert_eq!(
        last["claims"],
        json!(["legal_name", "public:firm:organisation"])
    );

    // Anybody sees whose name it is.
    let verifies = |badge: &str| {
        until("the badge verifies", SOON, || {
            let checked = nation.run(&["verify-display", badge]);
            checked.ok.then_some(checked.json)
        })
    };
    let verified = verifies(&badge);
    assert_eq!(verified["name"], name.as_str());
    assert_eq!(verified["kind"], "organisation");
    let (status, card) = get(&format!("{badge}/embed"), &[]);
    assert!(
        status == 200 && card.contains("Verified organisation"),
        "{card}"
    );
    let json = [("accept", "application/json")];
    let (_, body) = get(&badge, &json);
    let checked: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (&checked["name"], &checked["kind"]),
        (&json!(name), &json!("organisation"))
    );
    assert_eq!(clerk.standing("firm")["standing"], "shown");
    let listed = nation.wallet("a", &["displays"]).done();
    assert_eq!(listed["displays"][0]["kind"], "organisation");

    // A copy that says another kind says nothing.
    let (_, body) = get(&format!("{badge}/badge.json"), &[]);
    let copy: Value = serde_json::from_str(&body).unwrap();
    let mut person = copy.clone();
    person.as_object_mut().unwrap().remove("kind").unwrap();
    let mut behind = copy.clone();
    behind["kind"] = "backed".into();
    for altered in [person, behind] {
        let file = write(&nation, "altered.json", &altered);
        let refused = nation.run(&["verify-display", &file]);
        assert_eq!(refused.refused(), "display.kind");
    }
    let presentation = text(&copy, "presentation");
    in_the_badge_alone(&nation, &name, &presentation);

    // Whom an organisation stands behind shows that one, and says so.
    let writer = Visitor::sign_in(&nation, "b");
    followed(&writer, "writer", "backed");
    let link = ask(&writer, "writer");
    let shown = present("b", &link, &["--yes"]).done();
    let behind = text(&shown["display"], "badge");
    let verified = verifies(&behind);
    assert_eq!(verified["kind"], "backed");
    let (_, card) = get(&format!("{behind}/embed"), &[]);
    assert!(
        card.contains("Verified organisation behind this account"),
        "{card}"
    );

    // It is taken back as any name is.
    let file = write(&nation, "copy.json", &copy);
    nation.wallet("a", &["withdraw", "firm"]).done();
    until("the copy fails", SOON, || {
        let checked = nation.run(&["verify-display", &file]);
        (!checked.ok).then(|| assert_eq!(checked.refused(), "display.taken_back"))
    });
    until("the gate has noticed", SOON, || {
        (clerk.standing("firm")["standing"] == "due").then_some(())
    });

    // A suspended person acts for nobody.
    let suspend = ["authority", "suspend", "--person", "r-0001"];
    nation
        .run(&[&suspend[..], &["--reason", "legal-order"]].concat())
        .done();
    assert_eq!(take("a", 0).refused(), "enrolment.suspended");
}
