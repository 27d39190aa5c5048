use super::*;
use crate::secret::Secret32;
use realdid_core::hash::Hash32;
use realdid_core::hash::HashFunction;
use realdid_core::state::{ReasonCode, issuer_id};

const BY: HashFunction = HashFunction::Sha256;

const NOW_MS: u64 = 1_800_000_000_000;

fn own() -> OwnEnrolment {
    OwnEnrolment {
        suite: None,
        issuer_url: "https://authority.example".into(),
        salt: Secret32::new([1; 32]),
        key: Secret32::new([2; 32]),
        commitment: Hash32([3; 32]),
        entry: Some(Entry {
            tag: Hash32([4; 32]),
            seq: 1,
            height: 9,
            reset_ms: None,
        }),
    }
}

fn found() -> Enrolment {
    Enrolment {
        seq: 1,
        commitment: Hash32([3; 32]),
        epoch: 7,
        standing: Standing::Active,
        reason: ReasonCode::None,
        issuer: issuer_id(BY, "https://authority.example"),
        reset_ms: None,
    }
}

fn watched(found: Option<&Enrolment>) -> Watch {
    watched_knowing(None, found)
}

/// What a wallet sees that enrolled when a reset stood at `reset_ms`.
fn watched_knowing(reset_ms: Option<u64>, found: Option<&Enrolment>) -> Watch {
    let own = own();
    let known = Entry {
        reset_ms,
        ..own.entry.clone().unwrap()
    };
    judge(&own, &known, found, &Parameters::development(), NOW_MS)
}

#[test]
fn p6_the_wallet_sees_each_move_of_its_tag() {
    let still = watched(Some(&found()));
    assert_eq!(still, Watch::Still(Standing::Active));
    assert_eq!(still.notice(NOW_MS), None);

    let suspended = Enrolment {
        seq: 2,
        standing: Standing::Suspended,
        reason: ReasonCode::LostDevice,
        ..found()
    };
    let moved = watched(Some(&suspended));
    assert_eq!(moved, Watch::Moved(Standing::Suspended, "lost-device"));
    assert!(moved.notice(NOW_MS).unwrap().contains("suspended"));

    let stolen = Enrolment {
        seq: 2,
        commitment: Hash32([9; 32]),
        ..found()
    };
    for found in [Some(&stolen), None] {
        let alarm = watched(found);
        assert_eq!(alarm, Watch::NotOurs);
        assert!(alarm.notice(NOW_MS).unwrap().starts_with("ALARM"));
    }
}

/// The delay of the development network is 20 seconds.
#[test]
fn p5_a_reset_that_nobody_asked_for_is_an_alarm_with_a_deadline() {
    let reset = |reset_ms, standing| Enrolment {
        seq: 2,
        reset_ms: Some(reset_ms),
        standing,
        ..found()
    };
    let effective_ms = NOW_MS - 5000 + 20_000;
    for standing in [Standing::Active, Standing::Suspended] {
        let pending = watched(Some(&reset(NOW_MS - 5000, standing)));
        let expected = Watch::Reset {
            effective_ms,
            done: false,
        };
        assert_eq!(pending, expected, "whatever else changed beside it");
        assert_eq!(pending.standing(), "reset-pending");
        let notice = pending.notice(NOW_MS).unwrap();
        assert!(notice.starts_with("ALARM: the authority announced a reset"));
        for word in ["in 15 seconds", "2027-01-15T08:00:15Z", "object", "counter"] {
            assert!(notice.contains(word), "{word}: {notice}");
        }
    }
    let done = watched(Some(&reset(NOW_MS - 20_000, Standing::Active)));
    assert_eq!(done.standing(), "reset");
    assert!(
        done.notice(NOW_MS)
            .unwrap()
            .starts_with("ALARM: your RealPass secrets were reset")
    );

    // Somebody who was reset and enrolled again knows of it: that is no alarm, another one is.
    let known = Some(NOW_MS - 5000);
    let entry = Enrolment {
        seq: 1,
        ..reset(NOW_MS - 5000, Standing::Active)
    };
    assert_eq!(
        watched_knowing(known, Some(&entry)),
        Watch::Still(Standing::Active)
    );
    let again = reset(NOW_MS, Standing::Active);
    assert_eq!(
        watched_knowing(known, Some(&again)).standing(),
        "reset-pending"
    );
    // Taken back, it is a change like others.
    let cancelled = Enrolment { seq: 3, ..found() };
    assert_eq!(
        watched(Some(&cancelled)),
        Watch::Moved(Standing::Active, "none")
    );
}

#[test]
fn spans_read_as_people_say_them() {
    for (ms, text) in [
        (0, "0 seconds"),
        (119_999, "119 seconds"),
        (120_000, "2 minutes"),
        (7_200_000, "2 hours"),
        (259_200_000, "3 days"),
    ] {
        assert_eq!(span(ms), text);
    }
}
