//! What happens in a life (spec/enrolment.md, N9 to N13): what stays and what ends.

use super::*;
use crate::register::synthetic::Amendment;
use realdid_core::state::PersonTag;
use realdid_credential::sd_jwt::ParsedSdJwt;
use realdid_credential::status::Status;
use realdid_exchange::vci::CredentialResponse;

impl Nation {
    /// A nation whose register is read again when it has changed.
    async fn of_lives() -> Self {
        let mut nation = Self::with_long_lived().await;
        let clock = nation.authority.clock.clone();
        let store = Store::open_dir(&nation.dir()).await.unwrap();
        let register = Register::Synthetic(nation.register_in_dir());
        let parts = parts_of(store, &nation.dir(), &nation.ledger, clock, (register, 1));
        let long_lived = nation.authority.long_lived;
        nation.authority = authority_from(Parts {
            long_lived,
            ..parts
        })
        .await;
        nation
    }

    fn register_in_dir(&self) -> SyntheticRegister {
        let seed = AuthorityKeys::load(&self.dir()).unwrap().register_seed;
        SyntheticRegister::in_dir(&seed, 8, &self.dir())
    }

    fn amend(&self, person: &str, change: Amendment) -> Result<(), String> {
        let amended = self.register_in_dir().amend(person, change);
        amended.map_err(|error| error.code().to_owned())
    }

    /// The evidence of somebody as the register has it now.
    fn evidence_of(&self, person: &str) -> CardEvidence {
        let all = self.register_in_dir().evidence();
        all.into_iter().find(|one| one.person == person).unwrap()
    }

    fn entry_of(&self, tag: &PersonTag) -> Option<Enrolment> {
        self.ledger.seen(&enrolment_key(BY, tag)).record
    }

    async fn tag_of(&self, person: &str) -> PersonTag {
        let known = self.authority.store.enrolled(person).await.unwrap();
        known.unwrap().tag
    }
}

fn family_name(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let copies = CredentialResponse::parse(answer.text.as_bytes(), 1)
        .unwrap()
        .texts();
    let copy = ParsedSdJwt::parse(&copies[0]).unwrap();
    copy.claims()["family_name"].as_str().unwrap().to_owned()
}

fn renamed(to: &str) -> Amendment {
    Amendment {
        family_name: Some(to.to_owned()),
        ..Amendment::default()
    }
}

#[tokio::test]
async fn p5_a_change_of_name_comes_with_the_next_refresh_and_moves_nothing_on_the_ledger() {
    let nation = Nation::of_lives().await;
    let person = nation.evidence_reference(0).await;
    let tokens = nation.tokens(0).await;
    let first = nation.long_pid(&tokens, &[1]).await;
    let (before, reference) = (family_name(&first), nation.reference(&first));
    let tag = nation.tag_of(&person).await;
    let entry = nation.entry_of(&tag).unwrap();

    nation.amend(&person, renamed("Nachgenannt")).unwrap();
    let tokens = nation.refreshed(&tokens).await;
    let second = nation.long_pid(&tokens, &[2]).await;
    assert_eq!(family_name(&second), "Nachgenannt");
    assert_ne!(family_name(&second), before);
    // What said something else is revoked, and only that.
    assert_eq!(nation.status(&reference).await, Status::Invalid);
    assert_eq!(
        nation.status(&nation.reference(&second)).await,
        Status::Valid
    );
    // The person is the same to everybody who knows no name.
    assert_eq!(nation.tag_of(&person).await, tag);
    assert_eq!(nation.entry_of(&tag).unwrap(), entry);
    // The same again says the same, and nothing is revoked for it.
    let tokens = nation.refreshed(&tokens).await;
    nation.long_pid(&tokens, &[3]).await;
    assert_eq!(
        nation.status(&nation.reference(&second)).await,
        Status::Valid
    );

    // The evidence of before proves nothing any more, that of now does, under the same tag.
    let old = nation.evidence(0);
    assert_eq!(nation.enrol(&old).await.code(), "evidence.refused");
    let again = nation.enrol(&nation.evidence_of(&person)).await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.text);
    assert_eq!(nation.tag_of(&person).await, tag);
    let moved = nation.entry_of(&tag).unwrap();
    assert_eq!(
        (moved.seq, moved.standing),
        (entry.seq + 1, Standing::Active)
    );
}

#[tokio::test]
async fn p6_a_corrected_number_ends_the_entry_under_the_old_tag() {
    let nation = Nation::of_lives().await;
    let person = nation.evidence_reference(0).await;
    nation.tokens(0).await;
    let old = nation.tag_of(&person).await;
    let digits = "99010119880101777";
    let check = crate::register::number::check_character(digits).unwrap();
    let corrected = Amendment {
        birthdate: Some("1988-01-01".to_owned()),
        resident_number: Some(format!("{digits}{check}")),
        ..Amendment::default()
    };
    nation.amend(&person, corrected).unwrap();
    let answer = nation.enrol(&nation.evidence_of(&person)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let new = nation.tag_of(&person).await;
    assert_ne!(new, old);
    let (ended, active) = (
        nation.entry_of(&old).unwrap(),
        nation.entry_of(&new).unwrap(),
    );
    assert_eq!(
        (ended.standing, ended.reason),
        (Standing::Ended, ReasonCode::None)
    );
    assert_eq!((active.standing, active.seq), (Standing::Active, 0));
    // Once more is an enrolment like any other.
    let answer = nation.enrol(&nation.evidence_of(&person)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    assert_eq!(nation.entry_of(&new).unwrap().seq, 1);
}

#[tokio::test]
async fn p8_nothing_is_issued_to_the_dead_and_what_is_ended_stays_so() {
    let nation = Nation::of_lives().await;
    let person = nation.evidence_reference(0).await;
    let tokens = nation.tokens(0).await;
    let reference = nation.reference(&nation.long_pid(&tokens, &[1]).await);
    let tag = nation.tag_of(&person).await;
    let died = Amendment {
        died: true,
        ..Amendment::default()
    };
    nation.amend(&person, died).unwrap();
    // Before anybody has told the authority.
    let tokens = nation.refreshed(&tokens).await;
    let refused = nation.long_pid(&tokens, &[2]).await;
    assert_eq!(refused.code(), "enrolment.suspended");

    let operator = nation.operator().await;
    operator.suspend(&person, ReasonCode::None).await.unwrap();
    assert_eq!(nation.status(&reference).await, Status::Suspended);
    let ended = operator.end(&person, ReasonCode::Deceased).await.unwrap();
    let entry = nation.entry_of(&tag).unwrap();
    assert_eq!(
        (entry.standing, entry.reason),
        (Standing::Ended, ReasonCode::Deceased)
    );
    assert_eq!(entry.seq, ended.seq);
    assert_eq!(nation.status(&reference).await, Status::Invalid);
    // Again changes nothing, and nothing takes it back.
    let again = operator.end(&person, ReasonCode::Deceased).await.unwrap();
    assert_eq!(again.seq, ended.seq);
    for outcome in [
        operator.restore(&person, ReasonCode::Cleared).await,
        operator.suspend(&person, ReasonCode::None).await,
    ] {
        assert_eq!(outcome.unwrap_err().code(), "enrolment.ended");
    }
    let store = &nation.authority.store;
    let known = store.enrolled(&person).await.unwrap().unwrap();
    assert_eq!(known.standing, Standing::Ended);
    let nobody = operator.end("nobody", ReasonCode::None).await.unwrap_err();
    assert_eq!(nobody.code(), "person.unknown");
    // No token opens anything.
    let refresh = realdid_exchange::vci::TokenRequest::Refresh {
        refresh_token: tokens.refresh_token.clone().unwrap(),
    };
    assert_eq!(nation.form(&refresh).await.code(), "vci.grant");
}

#[tokio::test]
async fn p5_whoever_was_away_too_long_enrols_again_under_the_same_tag() {
    let nation = Nation::of_lives().await;
    let person = nation.evidence_reference(0).await;
    let tokens = nation.tokens(0).await;
    let tag = nation.tag_of(&person).await;
    nation.wait_s(crate::issuing::REFRESH_LIFE_S);
    let refresh = realdid_exchange::vci::TokenRequest::Refresh {
        refresh_token: tokens.refresh_token.unwrap(),
    };
    assert_eq!(nation.form(&refresh).await.code(), "vci.grant");
    let tokens = nation.tokens(0).await;
    assert_eq!(nation.tag_of(&person).await, tag);
    assert_eq!(nation.long_pid(&tokens, &[1]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_change_that_makes_no_resident_is_not_written() {
    let nation = Nation::of_lives().await;
    let person = nation.evidence_reference(0).await;
    let other = nation.evidence(1).resident_number;
    let number = |text: &str| Amendment {
        resident_number: Some(text.to_owned()),
        ..Amendment::default()
    };
    let born = |text: &str| Amendment {
        birthdate: Some(text.to_owned()),
        ..Amendment::default()
    };
    let malformed = Err("register.amendment".to_owned());
    for change in [
        renamed(""),
        renamed("a\nb"),
        renamed(&"x".repeat(257)),
        born("1988-02-30"),
        // one that a real person could have, one that is not valid, and somebody else's
        number("110101199003071233"),
        number("990101198801017770"),
        number(&other),
    ] {
        assert_eq!(nation.amend(&person, change), malformed);
    }
    let unknown = Err("register.unknown".to_owned());
    assert_eq!(nation.amend("r-9999", renamed("X")), unknown);
    assert!(!nation.dir().join("residents-changes.json").exists());
    // A file that somebody has spoilt is no register: nobody is taken for dead.
    std::fs::write(nation.dir().join("residents-changes.json"), "{").unwrap();
    assert_eq!(
        nation.enrol(&nation.evidence(0)).await.code(),
        "register.unavailable"
    );
}
