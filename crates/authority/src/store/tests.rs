//! The same on both databases, and with several processes on one.

use super::*;
use crate::cohort::Cohort;
use crate::scratch::Postgres;
use realdid_credential::status::Status;
use realdid_pass::Kept;
use realdid_pass::facts::{Adult, Assurance, Kind, Region};
use realdid_testkit::person::TestRandom;
use std::future::Future;
use std::pin::Pin;

/// Opens the same database once more, as another process would.
type Open = dyn Fn() -> Pin<Box<dyn Future<Output = Store>>>;
type Body = for<'a> fn(Store, &'a Open) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

const BODIES: [(&str, Body); 11] = [
    ("codes", |store, _| Box::pin(codes_and_nonces(store))),
    ("tokens", |store, _| Box::pin(tokens(store))),
    ("quota", |store, _| Box::pin(quota(store))),
    ("again", |store, open| Box::pin(opened_again(store, open))),
    ("kept", |store, open| Box::pin(kept_once(store, open))),
    ("counted", |store, open| Box::pin(counted_once(store, open))),
    ("overtaken", |store, open| Box::pin(overtaken(store, open))),
    ("at_once", |store, open| Box::pin(at_once(store, open))),
    ("first", |store, open| Box::pin(first_at_once(store, open))),
    ("batches", |store, open| Box::pin(batched_once(store, open))),
    ("statuses", |store, open| {
        Box::pin(published_once(store, open))
    }),
];

#[tokio::test]
async fn p10_sqlite_keeps_what_was_written_and_does_once_what_must_happen_once() {
    for (_, body) in BODIES {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().to_owned();
        let open = move || -> Pin<Box<dyn Future<Output = Store>>> {
            let dir = dir.clone();
            Box::pin(async move { Store::open_dir(&dir).await.unwrap() })
        };
        body(open().await, &open).await;
    }
}

#[tokio::test]
async fn p10_postgresql_keeps_what_was_written_and_does_once_what_must_happen_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Postgres::start(folder.path(), false).unwrap();
    for (name, body) in BODIES {
        let url = server.database(name).unwrap();
        let open = move || -> Pin<Box<dyn Future<Output = Store>>> {
            let config = StoreConfig {
                url: Some(url.clone()),
                url_file: None,
            };
            Box::pin(async move { Store::open(Path::new("/"), &config).await.unwrap() })
        };
        body(open().await, &open).await;
    }
    // two that start together make one schema, and another version is refused
    let url = server.database("fresh").unwrap();
    let (a, b) = tokio::join!(Store::open_postgres(&url), Store::open_postgres(&url));
    a.unwrap().ping().await.unwrap();
    b.unwrap().ping().await.unwrap();
    server
        .sql("fresh", "UPDATE schema_version SET version = 9")
        .unwrap();
    let error = Store::open_postgres(&url).await.err().unwrap();
    assert_eq!(error.code(), "store.version");
    let nowhere = format!("{url}&port=1");
    let error = Store::open_postgres(&nowhere).await.err().unwrap();
    assert_eq!(error.code(), "store.unavailable");
}

fn new<'a>(person: &'a str, tag: &'a PersonTag, seq: u64, code: &'a str) -> NewEnrolment<'a> {
    NewEnrolment {
        person,
        tag,
        seq,
        height: 10 * seq + 10,
        enrolled_ms: 5,
        code,
        tx_code: "1",
        expires_s: 10,
    }
}

async fn enrol(store: &Store, person: &str, n: u8) -> Holder {
    let tag = Hash32([n; 32]);
    let code = format!("code of {person}");
    let recorded = store.record_enrolment(&new(person, &tag, 0, &code)).await;
    assert!(recorded.unwrap());
    store.code(&code).await.unwrap().unwrap().0
}

async fn codes_and_nonces(store: Store) {
    let holder = enrol(&store, "r-1", 1).await;
    assert_eq!(holder.person, "r-1");
    let code = "code of r-1";
    let (_, state) = store.code(code).await.unwrap().unwrap();
    assert_eq!(state.redeem(Some("1"), 9), Ok(()));
    assert!(store.use_code(code).await.unwrap());
    assert!(!store.use_code(code).await.unwrap());
    store.fail_code(code).await.unwrap();
    let (_, state) = store.code(code).await.unwrap().unwrap();
    assert_eq!((state.used, state.failures), (true, 1));
    assert!(store.use_nonce("n", 10).await.unwrap());
    assert!(!store.use_nonce("n", 10).await.unwrap());
    store.clean(10, 0).await.unwrap();
    assert!(store.code(code).await.unwrap().is_none());
    assert!(store.use_nonce("n", 20).await.unwrap());
}

async fn tokens(store: Store) {
    let holder = enrol(&store, "r-1", 1).await;
    let add = store.add_token(TokenKind::Access, "t", &holder, 10);
    add.await.unwrap();
    let person = async |kind, now_s| {
        let found = store.token(kind, "t", now_s).await.unwrap();
        found.map(|holder| holder.person)
    };
    assert_eq!(person(TokenKind::Access, 9).await, Some("r-1".to_owned()));
    assert_eq!(person(TokenKind::Access, 10).await, None);
    assert_eq!(person(TokenKind::Refresh, 9).await, None);
    let asks = store.pass_holder("t", 9).await.unwrap().unwrap();
    assert_eq!((asks.person.as_str(), asks.height), ("r-1", 10));
    assert_eq!((asks.enrolled_ms, asks.kept.is_none()), (5, true));
    store.revoke("r-1").await.unwrap();
    assert_eq!(person(TokenKind::Access, 9).await, None);
    assert!(store.pass_holder("t", 9).await.unwrap().is_none());
}

async fn quota(store: Store) {
    assert!(store.spend("r-1", 1, 2).await.unwrap());
    assert!(store.spend("r-1", 1, 2).await.unwrap());
    assert!(!store.spend("r-1", 1, 2).await.unwrap());
    store.unspend("r-1", 1).await.unwrap();
    assert!(store.spend("r-1", 1, 2).await.unwrap());
    assert!(store.spend("r-1", 2, 2).await.unwrap());
    assert!(store.spend("r-2", 1, 2).await.unwrap());
    assert!(!store.spend("r-3", 1, 0).await.unwrap());
}

async fn opened_again(store: Store, open: &Open) {
    enrol(&store, "r-1", 1).await;
    store.record_change("r-1", 3, 20).await.unwrap();
    store.record_change("r-1", 2, 15).await.unwrap();
    let other = open().await;
    let known = other.enrolled("r-1").await.unwrap().unwrap();
    assert_eq!((known.seq, known.height), (3, 20));
    let suspended = (Standing::Suspended, ReasonCode::LostDevice);
    let set = async |person| {
        let set = other.set_standing(person, suspended.0, suspended.1);
        set.await.unwrap()
    };
    assert!(set("r-1").await);
    assert!(!set("r-2").await);
    // a new enrolment does not lift a suspension
    let tag = Hash32([1; 32]);
    let again = store.record_enrolment(&new("r-1", &tag, 4, "c")).await;
    assert!(again.unwrap());
    let known = store.enrolled("r-1").await.unwrap().unwrap();
    assert_eq!((known.standing, known.reason), suspended);
    assert_eq!(store.totals().await.unwrap(), (1, 1));
}

fn kept(n: u64) -> Kept {
    let secrets = realdid_pass::PseudonymSecrets::from_seed(&[n as u8; 32]);
    let request = secrets.request(&mut TestRandom(n)).unwrap();
    let key = realdid_pass::IssuerKey::from_material(&[9; 32], b"t", 1).unwrap();
    key.enrol(&mut TestRandom(n), &request).unwrap()
}

async fn kept_once(store: Store, open: &Open) {
    let holder = enrol(&store, "r-1", 1).await;
    let add = store.add_token(TokenKind::Access, "t", &holder, 10);
    add.await.unwrap();
    let other = open().await;
    let (a, b) = (kept(1), kept(2));
    let first = store.keep("r-1", &a).await.unwrap();
    let second = other.keep("r-1", &b).await.unwrap();
    for row in [&first, &second] {
        assert!(*row.kept.to_bytes() == *a.to_bytes(), "the first stays");
        assert_eq!((row.reset_ms, row.replaced_ms), (0, 0));
    }
    let reset = |kept: &Kept, reset_ms| KeptRow {
        kept: kept.clone(),
        reset_ms,
        replaced_ms: reset_ms + 1,
    };
    let new = other.replace_kept("r-1", &reset(&b, 50)).await.unwrap();
    assert!(*new.kept.to_bytes() == *b.to_bytes());
    // one reset replaces once
    let same = store.replace_kept("r-1", &reset(&a, 50)).await.unwrap();
    assert!(*same.kept.to_bytes() == *b.to_bytes());
    let asks = store.pass_holder("t", 9).await.unwrap().unwrap();
    let row = asks.kept.unwrap();
    assert!(*row.kept.to_bytes() == *b.to_bytes());
    assert_eq!((row.reset_ms, row.replaced_ms), (50, 51));
}

async fn counted_once(store: Store, open: &Open) {
    let other = open().await;
    let cohort = Cohort {
        adult: Adult::Yes,
        region: Region::East,
        kind: Kind::Resident,
        assurance: Assurance::High,
    };
    let child = Cohort {
        adult: Adult::No,
        ..cohort
    };
    for (n, store) in [&store, &other, &store].into_iter().enumerate() {
        for (epoch, person) in [(7, "r-1"), (7, "r-2"), (7, "r-3"), (8, "r-1")] {
            let first = store.record_pass(epoch, person).await.unwrap();
            assert_eq!(first, n == 0);
        }
    }
    assert_eq!(other.issued(7).await.unwrap(), 3);
    store.add_count(7, cohort, 1).await.unwrap();
    other.add_count(7, child, 1).await.unwrap();
    other.add_count(7, cohort, 1).await.unwrap();
    let mut counts = other.counts(7).await.unwrap();
    counts.sort();
    assert_eq!(counts, [(child, 1), (cohort, 2)]);
    store.fix_cohorts(8, "first").await.unwrap();
    other.fix_cohorts(8, "second").await.unwrap();
    assert_eq!(other.cohorts(8).await.unwrap().unwrap(), "first");

    // what is over is counted and declared by one
    assert_eq!(store.undeclared(8).await.unwrap(), [(7, 3)]);
    assert_eq!(other.undeclared(8).await.unwrap(), [(7, 3)]);
    assert!(store.claim_total(7, 100, 60).await.unwrap());
    assert!(!other.claim_total(7, 100, 60).await.unwrap());
    // the one that ended before it was done leaves it to the other
    assert!(other.claim_total(7, 160, 60).await.unwrap());
    store.clean(0, 9).await.unwrap();
    assert_eq!(store.issued(7).await.unwrap(), 3, "not declared yet");
    other.declared(7).await.unwrap();
    assert!(!store.claim_total(7, 999, 60).await.unwrap());
    assert_eq!(store.last_total().await.unwrap(), Some((7, 3)));
    store.clean(0, 8).await.unwrap();
    assert_eq!(store.issued(7).await.unwrap(), 3, "not over long enough");
    store.clean(0, 9).await.unwrap();
    assert_eq!(store.issued(7).await.unwrap(), 0);
    assert_eq!(store.counts(7).await.unwrap(), []);
    assert_eq!(store.undeclared(9).await.unwrap(), [(8, 1)]);
}

/// Two processes enrol one person: the ledger took both, one after the other. Whoever records the
/// earlier one late changes nothing.
async fn overtaken(store: Store, open: &Open) {
    let other = open().await;
    let tag = Hash32([1; 32]);
    enrol(&store, "r-1", 1).await;
    let (old, _) = store.code("code of r-1").await.unwrap().unwrap();
    let later = other.record_enrolment(&new("r-1", &tag, 2, "later")).await;
    assert!(later.unwrap());
    let late = store.record_enrolment(&new("r-1", &tag, 1, "late")).await;
    assert!(!late.unwrap());
    assert!(store.code("late").await.unwrap().is_none());
    assert!(store.code("later").await.unwrap().is_some());
    assert!(store.code("code of r-1").await.unwrap().is_none());
    // a token that is written for the first device now opens nothing
    let add = store.add_token(TokenKind::Refresh, "stale", &old, 10);
    add.await.unwrap();
    let found = other.token(TokenKind::Refresh, "stale", 1).await.unwrap();
    assert_eq!(found, None);
}

/// Many at once, through two pools: each thing happens once.
async fn at_once(store: Store, open: &Open) {
    let other = open().await;
    enrol(&store, "r-1", 1).await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..32u64 {
        let store = if n % 2 == 0 {
            store.clone()
        } else {
            other.clone()
        };
        tasks.spawn(async move {
            let nonce = store.use_nonce("n", 10).await.unwrap();
            let code = store.use_code("code of r-1").await.unwrap();
            let spent = store.spend("r-1", 1, 5).await.unwrap();
            let row = store.keep("r-1", &kept(n % 4)).await.unwrap();
            (nonce, code, spent, row.kept.to_bytes().to_vec())
        });
    }
    let done = tasks.join_all().await;
    assert_eq!(done.iter().filter(|done| done.0).count(), 1);
    assert_eq!(done.iter().filter(|done| done.1).count(), 1);
    assert_eq!(done.iter().filter(|done| done.2).count(), 5);
    assert!(done.iter().all(|one| one.3 == done[0].3));
}

/// First enrolments of one person through two pools at once: the last of them stands.
async fn first_at_once(store: Store, open: &Open) {
    let other = open().await;
    for n in 0..32u8 {
        let person = format!("r-{n}");
        let tag = Hash32([n; 32]);
        let mut tasks = tokio::task::JoinSet::new();
        for seq in 0..8 {
            let store = if seq % 2 == 0 { &store } else { &other }.clone();
            let person = person.clone();
            tasks.spawn(async move {
                let code = format!("{person} {seq}");
                let recorded = store
                    .record_enrolment(&new(&person, &tag, seq, &code))
                    .await;
                (seq, recorded.unwrap())
            });
        }
        let recorded = tasks.join_all().await;
        assert!(recorded.contains(&(7, true)));
        for seq in 0..8 {
            let code = store.code(&format!("{person} {seq}")).await.unwrap();
            assert_eq!(code.is_some(), seq == 7);
        }
    }
}

#[tokio::test]
async fn another_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open_dir(folder.path()).await.unwrap();
    sqlx::raw_sql("PRAGMA user_version = 1")
        .execute(&store.pool)
        .await
        .unwrap();
    let error = Store::open_dir(folder.path()).await.err().unwrap();
    assert_eq!(error.code(), "store.version");
}

#[tokio::test]
async fn an_address_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.url");
    let wrong = |url: Option<&str>, url_file| StoreConfig {
        url: url.map(str::to_owned),
        url_file,
    };
    std::fs::write(&file, "mysql://x:y@z\n").unwrap();
    for config in [
        wrong(Some("authority.db"), None),
        wrong(None, Some(file.clone())),
        wrong(None, Some(folder.path().join("none"))),
        wrong(Some("postgres:///a"), Some(file.clone())),
    ] {
        let error = Store::open(folder.path(), &config).await.err().unwrap();
        assert_eq!(error.code(), "store.address");
        // nothing of an address, which may hold a password, is told
        assert!(!format!("{error} {config:?}").contains("mysql"));
    }
}

async fn batched_once(store: Store, open: &Open) {
    let other = open().await;
    let key = Hash32([9; 32]);
    let items: Vec<Hash32> = (0..30u8).map(|n| Hash32([n; 32])).collect();
    store
        .note_issued(&items[..20], &key, 10, 100)
        .await
        .unwrap();
    // the same again, and what lives longer, is not in this one
    other
        .note_issued(&items[..20], &key, 10, 100)
        .await
        .unwrap();
    other
        .note_issued(&items[20..], &key, 10, 900)
        .await
        .unwrap();
    let closing = |now_s, least| Closing {
        now_s,
        least,
        claim_s: 60,
    };
    assert_eq!(store.open_batch(&closing(9, 1)).await.unwrap(), None);
    assert_eq!(store.open_batch(&closing(10, 21)).await.unwrap(), None);
    let (at, least) = (closing(10, 15), 15);
    let (a, b) = tokio::join!(store.open_batch(&at), other.open_batch(&at));
    let mut opened = [a.unwrap(), b.unwrap()].into_iter().flatten();
    let batch = opened.next().unwrap();
    assert_eq!(opened.next(), None, "one of the two");
    assert_eq!(batch.key, key);
    let listed = store.batch_items(batch.number).await.unwrap();
    assert_eq!(listed, items[..20]);
    assert_eq!(store.batch_of(&items[3]).await.unwrap(), None);
    // Whoever had it has ended: it is anybody's after a minute.
    assert_eq!(other.open_batch(&closing(69, least)).await.unwrap(), None);
    let left = other.open_batch(&closing(70, least)).await.unwrap();
    assert_eq!(left, Some(batch.clone()));
    other.anchored(batch.number, 7).await.unwrap();
    assert_eq!(
        store
            .open_batch(&closing(900, 100))
            .await
            .unwrap()
            .map(|open| open.number),
        Some(2)
    );
    let of = store.batch_of(&items[3]).await.unwrap();
    assert_eq!(of, Some(batch.number));
    store.clean(100, 0).await.unwrap();
    assert_eq!(store.batch_of(&items[3]).await.unwrap(), None);
    assert_eq!(store.batch_items(2).await.unwrap().len(), 10);
    store.give_batch_up(2).await.unwrap();
    assert_eq!(store.open_batch(&closing(2000, 1)).await.unwrap(), None);
}

async fn published_once(store: Store, open: &Open) {
    let other = open().await;
    let (a, b) = tokio::join!(store.add_list(), other.add_list());
    a.unwrap();
    b.unwrap();
    assert_eq!(store.lists().await.unwrap(), [1], "one list for all");
    // Two that draw the same lot get two entries.
    let lots = |from: u64| {
        let mut lot = from;
        move || {
            lot += 1;
            lot / 2
        }
    };
    let (a, b) = tokio::join!(
        store.take_entry("r-1", &[1; 32], 100, lots(7)),
        other.take_entry("r-2", &[2; 32], 100, lots(7)),
    );
    let (one, two) = (a.unwrap(), b.unwrap());
    assert_ne!(one, two);
    assert_eq!((one.list, two.list), (1, 1));
    assert!(store.not_valid(1).await.unwrap().is_empty());

    assert_eq!(
        store
            .change_statuses("r-1", Status::Suspended)
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        other.not_valid(1).await.unwrap(),
        [(one.idx, Status::Suspended)]
    );
    assert_eq!(store.revoke_others("r-1", &[1; 32]).await.unwrap(), 0);
    assert_eq!(store.revoke_others("r-1", &[9; 32]).await.unwrap(), 1);
    for to in [Status::Valid, Status::Suspended, Status::Invalid] {
        assert_eq!(
            store.change_statuses("r-1", to).await.unwrap(),
            0,
            "for good"
        );
    }
    assert_eq!(
        other.not_valid(1).await.unwrap(),
        [(one.idx, Status::Invalid)]
    );

    let (a, b) = tokio::join!(store.claim_list(1, 10, 70), other.claim_list(1, 10, 70));
    assert!(a.unwrap() != b.unwrap(), "one of the two");
    assert!(
        other.claim_list(1, 70, 130).await.unwrap(),
        "whoever had it has ended"
    );
    assert_eq!(store.newest_version(1).await.unwrap(), None);
    let version = |seq: u64| Version {
        seq,
        digest: Hash32([seq as u8; 32]),
        bytes: vec![seq as u8; 4],
    };
    for seq in 0..20 {
        store.published(1, &version(seq)).await.unwrap();
    }
    assert_eq!(other.newest_version(1).await.unwrap(), Some(version(19)));
    let found = async |seq: u8| other.version_of(1, &Hash32([seq; 32])).await.unwrap();
    assert_eq!(found(19).await, Some(version(19)));
    assert_eq!(found(4).await, Some(version(4)));
    assert_eq!(found(3).await, None, "sixteen are kept");
    assert!(
        store.claim_list(1, 0, 60).await.unwrap(),
        "it is anybody's again"
    );
}
