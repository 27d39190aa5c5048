use super::test_desk::{self as desk, Desk, EPOCH, holder, network, request, some_facts, take};
use super::*;
use crate::random::seeded;
use realdid_core::hash::Hash32;
use realdid_core::hash::HashFunction;
use realdid_core::state::ReasonCode;
use realdid_credential::realpass::Shown;
use realdid_pass::{IssuerKey, Pseudonym};
use realdid_testkit::ledger::AUTHORITY;

const BY: HashFunction = HashFunction::Sha256;

const SERVICE: [u8; 32] = [7; 32];

fn parameters() -> Parameters {
    Parameters::development()
}

/// The pseudonym that a service sees, by what is shown to it and verified as a gate does.
fn pseudonym(passes: &RealPasses, service: &[u8; 32]) -> Pseudonym {
    let held = passes.held.last().unwrap();
    let occasion = Occasion {
        service,
        nonce: "nonce",
        audience: "gate",
        did: Some("did:rdid:dev:zQm"),
    };
    let text = super::show(
        held,
        &passes.seed,
        &network(),
        &[],
        &occasion,
        &mut seeded().unwrap(),
    )
    .unwrap();
    let shown = Shown::read(&text, &[]).unwrap();
    assert_eq!(shown.issuer, issuer_id(BY, AUTHORITY).0);
    let binding = realpass::binding("nonce", "gate", Some("did:rdid:dev:zQm"));
    let context = Context::service(service);
    let claims = [shown.claim(&context, &binding)];
    let mut verified =
        realdid_pass::verify_batch(&mut seeded().unwrap(), desk::key().public(), &claims);
    verified.remove(0).unwrap().pseudonym
}

#[test]
fn p5_a_refresh_and_a_new_device_keep_every_pseudonym() {
    let mut authority = Desk::new();
    let mut first = desk::passes(1);
    let answer = authority
        .answer(&request(&first.seed, EPOCH), some_facts(EPOCH))
        .unwrap();
    take(&mut first, &answer, EPOCH).unwrap();
    let here = pseudonym(&first, &SERVICE);
    assert_ne!(pseudonym(&first, &[8; 32]), here, "services get their own");

    let answer = authority
        .answer(&request(&first.seed, EPOCH + 1), some_facts(EPOCH + 1))
        .unwrap();
    take(&mut first, &answer, EPOCH + 1).unwrap();
    assert_eq!(first.held.len(), 1, "the epoch that is over is forgotten");
    assert_eq!(pseudonym(&first, &SERVICE), here);

    // The device is lost. The words make the same commitment, and the authority kept its part.
    let mut second = desk::passes(1);
    let answer = authority
        .answer(&request(&second.seed, EPOCH + 1), some_facts(EPOCH + 1))
        .unwrap();
    take(&mut second, &answer, EPOCH + 1).unwrap();
    assert_eq!(pseudonym(&second, &SERVICE), here);

    // Other words are refused until the authority has reset them.
    let third = desk::passes(2);
    let refused = authority.answer(&request(&third.seed, EPOCH + 1), some_facts(EPOCH + 1));
    assert_eq!(refused.unwrap_err(), VciError::PassCommitment);
}

/// What an authority could mark somebody with, and the code by which the wallet refuses it.
#[test]
fn p4_what_could_mark_its_holder_is_refused() {
    let passes = desk::passes(1);
    let asked = request(&passes.seed, EPOCH);
    let honest = Desk::new().answer(&asked, some_facts(EPOCH)).unwrap();
    let code = |answer: &Value| {
        let mut passes = desk::passes(1);
        let taken = take(&mut passes, answer, EPOCH);
        assert_eq!(
            passes.held.len(),
            usize::from(taken.is_ok()),
            "stored if taken"
        );
        taken.err().map(PassRefused::code)
    };
    assert_eq!(code(&honest), None);

    type Mark<'a> = (&'a str, &'a dyn Fn(&mut Value));
    let marks: [Mark<'_>; 12] = [
        ("a member more in the credential", &|a| {
            credential(a)["serial"] = 7.into()
        }),
        ("a member more beside it", &|a| {
            a["credentials"][0]["id"] = "x".into()
        }),
        ("a member more in the answer", &|a| {
            a["notification_id"] = "x".into()
        }),
        ("a value outside the set", &|a| {
            credential(a)["region"] = "old-town".into()
        }),
        ("a spelling outside the set", &|a| {
            credential(a)["adult"] = "Yes".into()
        }),
        ("a number for a name", &|a| {
            credential(a)["adult"] = 2.into()
        }),
        ("another epoch", &|a| {
            credential(a)["epoch"] = (EPOCH + 1).into()
        }),
        ("a fact left out", &|a| {
            _ = credential(a).as_object_mut().unwrap().remove("kind")
        }),
        ("two credentials", &|a| {
            let one = a["credentials"][0].clone();
            a["credentials"].as_array_mut().unwrap().push(one);
        }),
        ("no credential", &|a| a["credentials"] = json!([])),
        ("a nonce for the next request", &|a| {
            a["c_nonce"] = "x".into()
        }),
        ("a list for an object", &|a| *a = json!([a.clone()])),
    ];
    for (what, mark) in marks {
        let mut answer = honest.clone();
        mark(&mut answer);
        assert_eq!(code(&answer), Some("pass.marked"), "{what}");
    }

    // Signed otherwise than said: each fact, the epoch, a key of its own, other terms.
    let signed_as = |facts: Facts| {
        let mut answer = Desk::new().answer(&asked, facts).unwrap();
        let issued = credential(&mut answer)["issued"].clone();
        let mut said = honest.clone();
        credential(&mut said)["issued"] = issued;
        said
    };
    let others = [
        Facts {
            epoch: EPOCH + 1,
            ..some_facts(EPOCH)
        },
        Facts {
            adult: Adult::No,
            ..some_facts(EPOCH)
        },
        Facts {
            region: Region::Abroad,
            ..some_facts(EPOCH)
        },
        Facts {
            kind: Kind::Foreigner,
            ..some_facts(EPOCH)
        },
        Facts {
            assurance: Assurance::High,
            ..some_facts(EPOCH)
        },
        Facts {
            continuity: Continuity::Reset,
            ..some_facts(EPOCH)
        },
    ];
    for (i, facts) in others.into_iter().enumerate() {
        assert_eq!(code(&signed_as(facts)), Some("pass.signature"), "fact {i}");
    }
    for (what, key) in [
        ("a key of its own", desk::key_with(901, "dev", FACTS)),
        (
            "the terms of another network",
            desk::key_with(900, "intl", FACTS),
        ),
    ] {
        let answer = Desk { key, kept: None }.answer(&asked, some_facts(EPOCH));
        assert_eq!(code(&answer.unwrap()), Some("pass.signature"), "{what}");
    }
    // Signed with a message less or more: facts do not say so, the signature does.
    for messages in [FACTS - 1, FACTS + 1] {
        let key = desk::key_with(900, "dev", messages);
        let answer = signed_with(&key, &asked, messages, &honest);
        assert_eq!(code(&answer), Some("pass.signature"), "{messages} messages");
    }
    let mut cut = honest.clone();
    credential(&mut cut)["issued"] = "AQ".into();
    assert_eq!(code(&cut), Some("pass.answer"));
}

fn credential(answer: &mut Value) -> &mut Value {
    &mut answer["credentials"][0]["credential"]
}

/// The honest answer, with a signature over another number of messages in it.
fn signed_with(key: &IssuerKey, asked: &Value, messages: usize, honest: &Value) -> Value {
    use base64::Engine as _;
    let asked = PassRequest::parse(asked.to_string().as_bytes()).unwrap();
    let kept = key.enrol(&mut seeded().unwrap(), &asked.request).unwrap();
    let mut list = some_facts(EPOCH).messages().unwrap().as_slice().to_vec();
    list.resize(messages, vec![9]);
    let list = realdid_pass::Messages::new(list).unwrap();
    let issued = key.issue(&asked.request, &kept, &list).unwrap();
    let mut answer = honest.clone();
    answer["credentials"][0]["credential"]["issued"] =
        base64::engine::general_purpose::URL_SAFE_NO_PAD
            .encode(issued.to_bytes().as_slice())
            .into();
    answer
}

#[test]
fn p5_another_entropy_than_before_is_an_alarm_and_changes_nothing() {
    let mut passes = holder(1, EPOCH);
    let here = pseudonym(&passes, &SERVICE);
    // The authority forgot its part, or drew another one to see who changes.
    let answer = Desk::new()
        .answer(&request(&passes.seed, EPOCH + 1), some_facts(EPOCH + 1))
        .unwrap();
    let refused = take(&mut passes, &answer, EPOCH + 1).unwrap_err();
    assert_eq!(refused.code(), "pass.other_entropy");
    assert!(refused.to_string().starts_with("ALARM"));
    assert_eq!(CliError::from(refused).fault, "authority");
    assert_eq!(pseudonym(&passes, &SERVICE), here, "what was held is held");
}

fn checked(expected: &Expected<'_>, facts: Facts) -> Option<&'static str> {
    let passes = desk::passes(1);
    let answer = Desk::new()
        .answer(&request(&passes.seed, expected.epoch), facts)
        .unwrap();
    let taken = super::take(answer.to_string().as_bytes(), &passes, expected);
    taken.err().map(PassRefused::code)
}

#[test]
fn the_key_is_the_one_on_the_ledger() {
    let good = desk::record(&desk::key());
    let network = network();
    let code = |issuer: &Issuer| {
        let expected = Expected {
            network: &network,
            epoch: EPOCH,
            issuer,
            enrolment: None,
            pid: None,
        };
        checked(&expected, some_facts(EPOCH))
    };
    assert_eq!(code(&good), None);
    let suspended = Issuer {
        standing: Standing::Suspended,
        ..good.clone()
    };
    let keyless = Issuer {
        pass_keys: vec![],
        ..good.clone()
    };
    let mut later = good.clone();
    later.pass_keys[0].from_epoch = EPOCH + 1;
    for record in [suspended, keyless, later] {
        assert_eq!(code(&record), Some("pass.key_unknown"));
    }
}

#[test]
fn what_contradicts_the_pid_is_refused() {
    let record = desk::record(&desk::key());
    let network = network();
    let pid = json!({
        "age_equal_or_over": {"18": true},
        "assurance": "substantial",
        "nationalities": ["XA"],
        "issuing_country": "XA",
        "personal_administrative_number": "9",
    });
    let code = |pid: &Value, pid_epoch: u64, facts: Facts| {
        let claims = pid.as_object().unwrap();
        let expected = Expected {
            network: &network,
            epoch: EPOCH,
            issuer: &record,
            enrolment: None,
            pid: Some((claims, pid_epoch)),
        };
        checked(&expected, facts)
    };
    let good = some_facts(EPOCH);
    let with = |name: &str, value: Value| {
        let mut pid = pid.clone();
        pid[name] = value;
        pid
    };
    let minor = with("age_equal_or_over", json!({"18": false}));
    let foreign = with("nationalities", json!(["XB"]));
    let mut abroad = foreign.clone();
    abroad
        .as_object_mut()
        .unwrap()
        .remove("personal_administrative_number");
    let adult_no = Facts {
        adult: Adult::No,
        ..good
    };
    let foreigner = Facts {
        kind: Kind::Foreigner,
        ..good
    };
    let unstated = Facts {
        adult: Adult::Unstated,
        kind: Kind::Unstated,
        ..good
    };
    let refused = Some("pass.facts");
    for (pid, pid_epoch, facts, answer, why) in [
        (&pid, EPOCH, good, None, "alike"),
        (&pid, EPOCH, unstated, None, "unstated contradicts nothing"),
        (&json!({}), EPOCH, good, None, "a PID that says nothing"),
        (&pid, EPOCH, adult_no, refused, "of age there, not here"),
        (&minor, EPOCH, good, refused, "of age here, not there"),
        (&minor, EPOCH - 1, good, None, "came of age since"),
        (&minor, EPOCH + 1, good, refused, "nobody grows younger"),
        (
            &pid,
            EPOCH + 1,
            adult_no,
            None,
            "came of age since, the other way",
        ),
        (
            &pid,
            EPOCH - 1,
            adult_no,
            refused,
            "nobody grows younger, the other way",
        ),
        (
            &pid,
            EPOCH,
            Facts {
                assurance: Assurance::High,
                ..good
            },
            refused,
            "assurance",
        ),
        (
            &pid,
            EPOCH,
            foreigner,
            refused,
            "a national is no foreigner",
        ),
        (
            &foreign,
            EPOCH,
            foreigner,
            None,
            "a foreigner with a number",
        ),
        (
            &abroad,
            EPOCH,
            good,
            refused,
            "no resident without number or nationality",
        ),
    ] {
        assert_eq!(code(pid, pid_epoch, facts), answer, "{why}");
    }
}

#[test]
fn p5_a_reset_is_said_only_where_the_ledger_shows_one() {
    let record = desk::record(&desk::key());
    let network = network();
    let code = |entry: Option<Option<u64>>, continuity: Continuity| {
        let entry = entry.map(|reset_ms| Enrolment {
            seq: 1,
            commitment: Hash32([3; 32]),
            epoch: EPOCH,
            standing: Standing::Active,
            reason: ReasonCode::None,
            issuer: record.id(BY),
            reset_ms,
        });
        let expected = Expected {
            network: &network,
            epoch: EPOCH,
            issuer: &record,
            enrolment: entry.as_ref(),
            pid: None,
        };
        let facts = Facts {
            continuity,
            ..some_facts(EPOCH)
        };
        checked(&expected, facts)
    };
    let (never, once) = (Some(None), Some(Some(1)));
    for (entry, continuity, answer) in [
        (never, Continuity::Unbroken, None),
        (never, Continuity::Unstated, None),
        (never, Continuity::Reset, Some("pass.continuity")),
        (once, Continuity::Reset, None),
        // The old secrets stand until others are brought.
        (once, Continuity::Unbroken, None),
        (None, Continuity::Reset, None),
    ] {
        assert_eq!(code(entry, continuity), answer, "{entry:?} {continuity:?}");
    }
}

#[test]
fn what_is_shown_is_the_epoch_and_what_was_asked_for() {
    let passes = holder(1, EPOCH);
    let held = passes.held.last().unwrap();
    let occasion = Occasion {
        service: &SERVICE,
        nonce: "n",
        audience: "a",
        did: None,
    };
    for asked in [
        vec![],
        vec![Fact::Adult],
        vec![Fact::Continuity, Fact::Adult],
        Fact::ALL.to_vec(),
    ] {
        let random = &mut seeded().unwrap();
        let text = super::show(held, &passes.seed, &network(), &asked, &occasion, random).unwrap();
        let shown = Shown::read(&text, &asked).unwrap();
        assert_eq!(shown.epoch, EPOCH);
        assert_eq!(shown.facts().len(), asked.len());
    }
    // Two showings have nothing alike but what everybody shares: no mark of our own making.
    let random = &mut seeded().unwrap();
    let mut show = || super::show(held, &passes.seed, &network(), &[], &occasion, random).unwrap();
    assert_ne!(show(), show());
}

#[test]
fn the_pass_that_stands_is_the_current_epochs() {
    let parameters = parameters();
    let mut passes = holder(1, EPOCH);
    let next = HeldPass {
        epoch: EPOCH + 1,
        ..passes.held[0].clone()
    };
    passes.keep(next, EPOCH);
    let at = |now_ms| standing(&passes, &parameters, now_ms).map(|held| held.epoch);
    let begins = parameters.pass_begins_ms(EPOCH);
    assert_eq!(at(begins), Some(EPOCH));
    assert_eq!(at(begins - 11_000), None, "tomorrow's is not today's");
    assert_eq!(at(begins + 60_000), Some(EPOCH + 1), "all change together");
    assert_eq!(
        at(begins + 120_000),
        Some(EPOCH + 1),
        "a clock that is behind"
    );
    assert_eq!(at(begins + 131_000), None);
}

/// No pseudonym, secret or signature where a person or a log could read it.
#[test]
fn p4_nothing_that_is_printed_holds_secret_or_pseudonym() {
    let passes = holder(1, EPOCH);
    let held = passes.held.last().unwrap();
    let printed = format!(
        "{passes:?} {held:?} {} {:?}",
        to_json(&passes, &parameters(), 0),
        PassRefused::OtherEntropy
    );
    let here = pseudonym(&passes, &SERVICE).0;
    let issued = held.issued.bytes();
    // The signature and the entropy, in halves, so that no formatting hides one.
    for secret in [
        &here[..8],
        &passes.seed.bytes()[..8],
        &issued[1..9],
        &issued[90..98],
    ] {
        let list = format!("{secret:?}");
        assert!(!printed.contains(&hex::encode(secret)));
        assert!(!printed.contains(list.trim_matches(['[', ']'])));
    }
    let shown = to_json(&passes, &parameters(), parameters().pass_begins_ms(EPOCH));
    assert_eq!(shown["held"][0]["facts"]["region"], "east");
    assert_eq!(shown["held"][0]["current"], true);
    assert_eq!(shown["refusedRefreshes"], 0);
}

#[test]
fn refused_refreshes_are_counted_for_good_and_kept_for_a_while() {
    let mut passes = desk::passes(1);
    for at_ms in 0..60 {
        passes.refused(at_ms, "vci.denied");
    }
    assert_eq!((passes.refused, passes.refusals.len()), (60, 50));
    let shown = to_json(&passes, &parameters(), 0);
    assert_eq!(shown["refusedRefreshes"], 60);
    assert_eq!(shown["lastRefusal"]["code"], "vci.denied");
    assert_eq!(shown["lastRefusal"]["at"], "1970-01-01T00:00:00Z");
}

#[test]
fn what_a_copy_of_the_vault_lost_is_named() {
    let mut passes = holder(1, EPOCH);
    let seed = passes.seed.clone();
    let code = |held: &HeldPass| open(held, &seed, &network()).err().map(PassRefused::code);
    let held = &mut passes.held[0];
    assert_eq!(code(held), None);
    for spoil in [
        |held: &mut HeldPass| held.facts.0[0] = 9,
        |held: &mut HeldPass| held.facts.0[0] = 1,
        |held: &mut HeldPass| held.key.0.truncate(95),
        |held: &mut HeldPass| held.epoch += 1,
        |held: &mut HeldPass| held.issued = SecretBytes::new(&[1]),
    ] {
        let mut spoilt = held.clone();
        spoil(&mut spoilt);
        assert_eq!(code(&spoilt), Some("pass.held"));
    }
}
