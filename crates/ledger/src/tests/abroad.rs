//! Other networks: which are recognised, how they are followed from committee to committee, and what
//! becomes of one that has forked (spec/operations.md, G6 to G10).

use super::rules::{Scene, Way};
use realdid_core::answer::HandOver;
use realdid_core::codec::{self, Bytes};
use realdid_core::governance::{
    Accepted, Assurance, Committee, CredentialType, FirstTerm, Fork, NOTICE_BLOCKS,
    RULES_OF_FOLLOWING, Recognised, Recognition,
};
use realdid_core::hash::{Domain, Hash32, HashFunction};
use realdid_core::header::{Checkpoint, Header};
use realdid_core::operation::{
    Body, Decision, MAX_HAND_OVER_BYTES, MAX_OPERATION_BYTES, SignedOperation,
};
use realdid_core::rule::Rule;
use realdid_core::state::{ReasonCode, Standing, recognition_key};
use realdid_core::suite::Suite;
use realdid_testkit::chain::TestLedger;
use realdid_testkit::ledger::{START_MS, TestNet, key, key_of};

const BY: HashFunction = HashFunction::Sha256;
/// The height from which on the other network's second term orders.
const FIRST: u64 = 200;

impl Scene {
    /// `cn`, with SHA-256, so that it can recognise the testkit's ledger `dev`.
    pub fn abroad() -> Self {
        Self::on(TestNet::with(|genesis| {
            genesis.network = "cn".parse().unwrap();
        }))
    }

    fn recognise(
        &self,
        seq: u64,
        other: &TestLedger,
        change: impl FnOnce(&mut Recognised),
    ) -> SignedOperation {
        let mut recognised = Recognised {
            network: other.genesis.network.clone(),
            genesis: other.genesis.digest(),
            network_key: other.genesis.network_key,
            accepts: vec![Accepted {
                kind: CredentialType::Pid,
                least: Assurance::Substantial,
            }],
            begins: None,
        };
        change(&mut recognised);
        self.govern(seq, Decision::Recognise(recognised))
    }

    fn relay(&self, checkpoint: Checkpoint) -> SignedOperation {
        let network = "dev".parse().unwrap();
        self.sign(Body::ForeignCheckpoint(network, checkpoint), &key(4711))
    }

    fn standing_of(&self, seq: u64, standing: Standing) -> SignedOperation {
        let network = "dev".parse().unwrap();
        self.govern(seq, Decision::RecognitionStanding(network, standing))
    }

    fn hand_on(&self, hand_over: HandOver) -> SignedOperation {
        let network = "dev".parse().unwrap();
        self.sign(Body::ForeignHandOver(network, hand_over), &key(4711))
    }

    fn fork(&self, [one, other]: [Checkpoint; 2]) -> SignedOperation {
        let network = "dev".parse().unwrap();
        self.sign(Body::ForeignFork(network, one, other), &key(4711))
    }
}

fn foreign() -> TestLedger {
    TestLedger::new(START_MS, Vec::new())
}

fn recognition(scene: &Scene) -> Recognition {
    scene.net.record(&recognition_key(BY, "dev")).unwrap()
}

/// The same where its governance can decide about the committee: the state of a later block is sealed.
fn handing_on() -> TestLedger {
    let mut other = foreign();
    other.seal(START_MS);
    other
}

/// Its next header, and another one of that height.
fn forked(other: &mut TestLedger, twist: u64) -> [Checkpoint; 2] {
    let one = other.seal(START_MS);
    let mut header = other.newest().clone();
    header.time_ms += twist;
    [one, other.certify(&header)]
}

/// A hand-over in the place of a good one.
fn handed(what: &'static str, hand_over: &dyn Fn() -> HandOver) -> Way {
    let s = Scene::abroad();
    let broken = s.hand_on(hand_over());
    let recognise = s.recognise(1, &foreign(), |_| {});
    s.after(&[recognise]).breaks(what, broken)
}

/// Two headers in the place of a fork.
fn split(what: &'static str, headers: &dyn Fn() -> [Checkpoint; 2]) -> Way {
    let s = Scene::abroad();
    let broken = s.fork(headers());
    let recognise = s.recognise(1, &foreign(), |_| {});
    s.after(&[recognise]).breaks(what, broken)
}

/// A checkpoint once the second term is known.
fn after_hand_over(what: &'static str, checkpoint: &dyn Fn(&mut TestLedger) -> Checkpoint) -> Way {
    let s = Scene::abroad();
    let mut other = handing_on();
    let steps = [
        s.recognise(1, &foreign(), |_| {}),
        s.hand_on(other.decide_term(8, FIRST)),
    ];
    let broken = s.relay(checkpoint(&mut other));
    s.after(&steps).breaks(what, broken)
}

/// The ways to break the rules about other networks.
pub(super) fn ways(rule: Rule) -> Vec<Way> {
    match rule {
        Rule::RecognitionUnknown => {
            let (a, b) = (Scene::abroad(), Scene::abroad());
            let mut other = foreign();
            let relay = a.relay(other.seal(START_MS));
            let suspend = b.standing_of(1, Standing::Suspended);
            let (c, d) = (Scene::abroad(), Scene::abroad());
            let hand_on = c.hand_on(handing_on().decide_term(8, FIRST));
            let fork = d.fork(forked(&mut foreign(), 1));
            vec![
                a.breaks("a checkpoint of a stranger", relay),
                b.breaks("a stranger is suspended", suspend),
                c.breaks("a stranger hands on", hand_on),
                d.breaks("a stranger forks", fork),
            ]
        }
        Rule::RecognitionExists => [
            |recognised: &mut Recognised| recognised.genesis = Hash32([9; 32]),
            |recognised: &mut Recognised| {
                recognised.network = recognised.network.clone().hashing_by(HashFunction::Sm3);
            },
        ]
        .map(|change| {
            let s = Scene::abroad();
            let (good, bad) = (
                s.recognise(1, &foreign(), |_| {}),
                s.recognise(2, &foreign(), change),
            );
            s.after(&[good]).breaks("another network of that name", bad)
        })
        .into(),
        Rule::RecognitionStanding => {
            let with =
                |what, before: &[(u64, Standing)], broken: &dyn Fn(&Scene) -> SignedOperation| {
                    let s = Scene::abroad();
                    let mut steps = vec![s.recognise(1, &foreign(), |_| {})];
                    let before = before.iter();
                    steps.extend(before.map(|(seq, standing)| s.standing_of(*seq, *standing)));
                    let s = s.after(&steps);
                    let broken = broken(&s);
                    s.breaks(what, broken)
                };
            let relay = |s: &Scene| {
                let mut other = foreign();
                s.relay(other.seal(START_MS))
            };
            vec![
                with("active already", &[], &|s| {
                    s.standing_of(2, Standing::Active)
                }),
                with("restored from its end", &[(2, Standing::Ended)], &|s| {
                    s.standing_of(3, Standing::Active)
                }),
                with(
                    "recognised anew after its end",
                    &[(2, Standing::Ended)],
                    &|s| s.recognise(3, &foreign(), |_| {}),
                ),
                with(
                    "followed while suspended",
                    &[(2, Standing::Suspended)],
                    &relay,
                ),
                with(
                    "handed on while suspended",
                    &[(2, Standing::Suspended)],
                    &|s| s.hand_on(handing_on().decide_term(8, FIRST)),
                ),
                with(
                    "a fork while suspended",
                    &[(2, Standing::Suspended)],
                    &|s| s.fork(forked(&mut foreign(), 1)),
                ),
                {
                    let s = Scene::abroad();
                    let mut other = foreign();
                    let once = forked(&mut other, 1);
                    let steps = [s.recognise(1, &foreign(), |_| {}), s.fork(once)];
                    let again = s.fork(forked(&mut other, 2));
                    s.after(&steps).breaks("a second fork", again)
                },
            ]
        }
        Rule::RecognitionCheckpoint => {
            let with = |what, checkpoint: &dyn Fn(&mut TestLedger) -> Checkpoint| {
                let s = Scene::abroad();
                let mut other = foreign();
                let broken = s.relay(checkpoint(&mut other));
                let recognise = s.recognise(1, &foreign(), |_| {});
                s.after(&[recognise]).breaks(what, broken)
            };
            vec![
                with("certified by another committee", &|_| {
                    TestLedger::with_validators(8, START_MS, Vec::new()).seal(START_MS)
                }),
                with("one bit of the certificate", &|other| {
                    let mut checkpoint = other.seal(START_MS);
                    *checkpoint.certificate.0.last_mut().unwrap() ^= 1;
                    checkpoint
                }),
                with("the certificate of another header", &|other| {
                    let first = other.seal(START_MS);
                    Checkpoint {
                        certificate: first.certificate,
                        ..other.seal(START_MS + 2000)
                    }
                }),
                with("no certificate", &|other| Checkpoint {
                    certificate: Bytes(Vec::new()),
                    ..other.seal(START_MS)
                }),
                with("a header of a third network", &|other| {
                    other.seal(START_MS);
                    let mut header = other.newest().clone();
                    header.network = "intl".parse().unwrap();
                    other.certify(&header)
                }),
                with("of a term that nobody has shown", &|other| {
                    other.seal(START_MS);
                    other.decide_term(7, FIRST);
                    other.begin_term(7);
                    other.seal(START_MS + 9000)
                }),
                after_hand_over("of the old term, past its end", &|other| {
                    let mut header = other.newest().clone();
                    header.height = FIRST;
                    other.certify(&header)
                }),
                after_hand_over("of the new term, before it begins", &|other| {
                    other.begin_term(8);
                    let mut header = other.newest().clone();
                    header.height = FIRST - 1;
                    other.certify(&header)
                }),
                handed("by another committee", &|| {
                    let mut other = TestLedger::with_validators(9, START_MS, Vec::new());
                    other.seal(START_MS);
                    other.decide_term(8, FIRST)
                }),
                handed("of a third network", &|| {
                    let mut other = TestLedger::named("intl", 7, START_MS, Vec::new());
                    other.seal(START_MS);
                    other.decide_term(8, FIRST)
                }),
                handed("without a certificate", &|| {
                    let mut hand_over = handing_on().decide_term(8, FIRST);
                    hand_over.checkpoint.certificate.0.clear();
                    hand_over
                }),
                split("one of which another committee has certified", &|| {
                    let mut other = TestLedger::with_validators(9, START_MS, Vec::new());
                    let [one, _] = forked(&mut foreign(), 1);
                    [one, other.seal(START_MS + 1)]
                }),
                split("of a third network", &|| {
                    forked(&mut TestLedger::named("intl", 7, START_MS, Vec::new()), 1)
                }),
                split("certified once", &|| {
                    let [one, mut other] = forked(&mut foreign(), 1);
                    other.certificate.0.clear();
                    [one, other]
                }),
            ]
        }
        Rule::RecognitionBehind => {
            let with = |what, replay: usize| {
                let s = Scene::abroad();
                let mut other = foreign();
                let seen: Vec<_> = (1..=3).map(|n| other.seal(START_MS + 2000 * n)).collect();
                let steps = [s.recognise(1, &foreign(), |_| {}), s.relay(seen[1].clone())];
                let broken = s.relay(seen[replay].clone());
                s.after(&steps).breaks(what, broken)
            };
            let resealed = {
                let s = Scene::abroad();
                let mut other = foreign();
                let first = other.seal(START_MS);
                let mut header = other.newest().clone();
                header.height += 1;
                let steps = [s.recognise(1, &foreign(), |_| {}), s.relay(first)];
                let broken = s.relay(other.certify(&header));
                s.after(&steps).breaks("higher, and seals no more", broken)
            };
            let played_again = {
                let s = Scene::abroad();
                let hand_on = s.hand_on(handing_on().decide_term(8, FIRST));
                let steps = [s.recognise(1, &foreign(), |_| {}), hand_on.clone()];
                s.after(&steps).breaks("a term that is known", hand_on)
            };
            let two_heirs = {
                let s = Scene::abroad();
                let hand_on = |seed| s.hand_on(handing_on().decide_term(seed, FIRST));
                let steps = [s.recognise(1, &foreign(), |_| {}), hand_on(8)];
                let broken = hand_on(9);
                s.after(&steps).breaks("handed on to somebody else", broken)
            };
            let judged = |what, place: usize| {
                let s = Scene::abroad();
                let mut other = foreign();
                let pairs = [forked(&mut other, 1), forked(&mut other, 1)];
                let steps = [
                    s.recognise(1, &foreign(), |_| {}),
                    s.fork(pairs[1].clone()),
                    s.standing_of(2, Standing::Active),
                ];
                let broken = s.fork(pairs[place].clone());
                s.after(&steps).breaks(what, broken)
            };
            vec![
                with("an older one", 0),
                with("the same again", 1),
                resealed,
                played_again,
                two_heirs,
                judged("a fork that governance has judged", 1),
                judged("a fork below it", 0),
            ]
        }
        Rule::RecognitionHandOver => {
            let changed = |what, change: &dyn Fn(&mut Committee)| {
                handed(what, &|| handing_on().decide_term_with(8, FIRST, change))
            };
            vec![
                changed("nobody follows", &|record| record.next = None),
                changed("one is left out", &|record| {
                    record.next.as_mut().unwrap().term.number = 2;
                }),
                changed("the running term is another", &|record| {
                    record.running.number = 1;
                }),
                changed("a key of no group", &|record| {
                    record.next.as_mut().unwrap().term.network_key.0 = [7; 96];
                }),
                handed("by a term that nobody has shown", &|| {
                    let mut other = handing_on();
                    other.decide_term(8, FIRST);
                    other.begin_term(8);
                    other.decide_term(9, 2 * FIRST)
                }),
                handed("it may still be put off", &|| {
                    handing_on().decide_term(8, 40)
                }),
                handed("a state that the header does not seal", &|| {
                    let mut hand_over = handing_on().decide_term(8, FIRST);
                    hand_over.committee.0[40] ^= 1;
                    hand_over
                }),
                handed("a header is missing behind it", &|| {
                    let mut other = handing_on();
                    other.decide_term(8, FIRST);
                    for _ in 0..3 {
                        other.seal(START_MS + 9000);
                    }
                    let mut hand_over = other.hand_over(3);
                    hand_over.back.remove(1);
                    hand_over
                }),
                handed("the state of height 0 may be another network's", &|| {
                    foreign().decide_term(8, FIRST)
                }),
            ]
        }
        Rule::RecognitionNoFork => vec![
            split("one header twice", &|| {
                let one = foreign().seal(START_MS);
                [one.clone(), one]
            }),
            split("one header with two certificates", &|| {
                let [one, other] = forked(&mut foreign(), 1);
                let certificate = other.certificate;
                [one.clone(), Checkpoint { certificate, ..one }]
            }),
            split("two heights", &|| {
                let mut other = foreign();
                [other.seal(START_MS), other.seal(START_MS)]
            }),
        ],
        _ => Vec::new(),
    }
}

#[test]
fn another_network_is_recognised_followed_suspended_and_restored() {
    let s = Scene::abroad();
    let mut other = foreign();
    let steps = [
        s.recognise(1, &other, |_| {}),
        s.relay(other.seal(START_MS + 2000)),
        s.relay(other.seal(START_MS + 4000)),
        s.standing_of(2, Standing::Suspended),
        s.standing_of(3, Standing::Active),
    ];
    let s = s.after(&steps);
    let kept = recognition(&s);
    assert_eq!(kept.standing, Standing::Active);
    let latest = kept.latest.unwrap();
    assert_eq!((latest.height, latest.digest), (2, other.newest().digest()));
    assert_eq!(latest.sealed.state_root, other.newest().sealed.state_root);

    // A later decision changes what is accepted and the key, and keeps how far it was followed.
    let widen = s.recognise(4, &other, |recognised| {
        recognised.accepts.push(Accepted {
            kind: CredentialType::RealPass,
            least: Assurance::High,
        });
    });
    let s = s.after(&[widen]);
    let kept = recognition(&s);
    assert!(
        kept.recognised
            .takes(CredentialType::RealPass, Assurance::High)
    );
    assert!(
        !kept
            .recognised
            .takes(CredentialType::RealPass, Assurance::Low)
    );
    assert_eq!(kept.latest, Some(latest));
}

#[test]
fn a_network_on_sm3_follows_one_on_sha_256() {
    let mut net = TestNet::sm();
    let mut other = foreign();
    let recognised = Recognised {
        network: other.genesis.network.clone(),
        genesis: other.genesis.digest(),
        network_key: other.genesis.network_key,
        accepts: vec![Accepted {
            kind: CredentialType::Pid,
            least: Assurance::High,
        }],
        begins: None,
    };
    let governors: Vec<_> = net.governors.iter().collect();
    let decide = Body::Govern(1, Decision::Recognise(recognised), ReasonCode::None);
    let decide = net.sign(decide, &governors);
    net.apply(&decide).unwrap();
    let checkpoint = other.seal(START_MS);
    let relay = Body::ForeignCheckpoint(other.genesis.network.clone(), checkpoint);
    let relay = net.sign(relay, &[&key_of(Suite::Sm2, 5)]);
    net.apply(&relay).unwrap();
    let by = HashFunction::Sm3;
    let kept: Recognition = net.record(&recognition_key(by, "dev")).unwrap();
    assert_eq!(kept.latest.unwrap().digest, other.newest().digest());
}

#[test]
fn a_recognition_that_makes_no_sense_is_refused() {
    let mut s = Scene::abroad();
    for change in [
        |recognised: &mut Recognised| recognised.network = "cn".parse().unwrap(),
        |recognised: &mut Recognised| recognised.accepts.clear(),
        |recognised: &mut Recognised| recognised.accepts.push(recognised.accepts[0]),
    ] {
        let refused = s.recognise(1, &foreign(), change);
        assert_eq!(s.net.apply(&refused), Err(Rule::Shape));
    }
}

fn numbers(s: &Scene) -> Vec<u64> {
    let terms = recognition(s).terms();
    terms.known().iter().map(|term| term.number).collect()
}

#[test]
fn g9_a_recognised_network_is_followed_from_key_to_key() {
    let s = Scene::abroad();
    let mut other = handing_on();
    let recognise = s.recognise(1, &other, |_| {});
    let mut s = s.after(&[recognise]);
    assert_eq!(numbers(&s), [0]);
    // By the last header of a term that has a certificate, with those behind it.
    other.decide_term(8, FIRST);
    for n in 1..=48 {
        other.seal(START_MS + 4000 + n);
    }
    let long = s.hand_on(other.hand_over(48));
    let length = long.encode().len();
    assert!(
        length > MAX_OPERATION_BYTES && length <= MAX_HAND_OVER_BYTES,
        "{length}"
    );
    s.net.apply(&long).unwrap();
    assert_eq!(numbers(&s), [0, 1]);

    // The old committee has its heights to the end, and not one more.
    let last = s.relay(other.seal(START_MS + 6000));
    s.net.apply(&last).unwrap();
    let stays = other.clone();
    other.begin_term(8);
    let first = s.relay(other.seal(START_MS + 8000));
    s.net.apply(&first).unwrap();
    let kept = recognition(&s);
    assert_eq!(kept.latest.unwrap().digest, other.newest().digest());
    // What governance decided stays as it was; what has run out certifies nothing any more.
    assert_eq!(kept.recognised.network_key, other.genesis.network_key);
    assert_eq!(numbers(&s), [1]);
    let mut old = stays.clone();
    let revealed = s.fork(forked(&mut old, 1));
    assert_eq!(s.net.apply(&revealed), Err(Rule::RecognitionCheckpoint));

    // And on, while the ledger has seen no checkpoint of the term that hands over.
    for (seed, first) in [(9, 2 * FIRST), (10, 3 * FIRST)] {
        let hand_on = s.hand_on(other.decide_term(seed, first));
        s.net.apply(&hand_on).unwrap();
        other.begin_term(seed);
    }
    assert_eq!(numbers(&s), [2, 3]);
    let newest = s.relay(other.seal(START_MS + 60_000));
    s.net.apply(&newest).unwrap();
    assert_eq!(numbers(&s), [3]);
}

#[test]
fn g6_governance_says_from_which_term_on_a_network_is_followed() {
    let mut other = handing_on();
    let first = other.decide_term(8, FIRST);
    other.begin_term(8);
    let begins = FirstTerm {
        number: 1,
        first: FIRST,
    };
    let fresh = TestLedger::with_validators(8, START_MS, Vec::new());
    let fresh = fresh.genesis.network_key;
    let s = Scene::abroad();
    let decide = s.recognise(1, &other, |recognised| {
        recognised.network_key = fresh;
        recognised.begins = Some(begins);
    });
    let mut s = s.after(&[decide]);
    // Nothing that the first committee has to say counts.
    let known = s.hand_on(first);
    assert_eq!(s.net.apply(&known), Err(Rule::RecognitionBehind));
    let relay = s.relay(other.seal(START_MS + 6000));
    let hand_on = s.hand_on(other.decide_term(9, 2 * FIRST));
    let mut s = s.after(&[relay, hand_on]);
    assert_eq!(numbers(&s), [1, 2]);
    // Another decision that names the same term keeps what was followed, and one with another begins there.
    let widen = s.recognise(2, &other, |recognised| {
        recognised.network_key = fresh;
        recognised.begins = Some(begins);
        recognised.accepts[0].least = Assurance::Low;
    });
    s.net.apply(&widen).unwrap();
    assert_eq!(numbers(&s), [1, 2]);
    let anew = s.recognise(3, &other, |_| {});
    s.net.apply(&anew).unwrap();
    assert_eq!(numbers(&s), [0]);
}

#[test]
fn g10_a_fork_suspends_the_recognition_until_governance_decides() {
    let s = Scene::abroad();
    let mut other = foreign();
    let (recognise, pair) = (s.recognise(1, &other, |_| {}), forked(&mut other, 1));
    let (fork, relay) = (s.fork(pair.clone()), s.relay(pair[0].clone()));
    let mut s = s.after(&[recognise, relay, fork]);
    let kept = recognition(&s);
    assert_eq!(
        (kept.standing, kept.reason),
        (Standing::Suspended, ReasonCode::Fork)
    );
    let mut digests = pair
        .each_ref()
        .map(|at| Header::decode(&at.header.0).unwrap().digest());
    digests.sort_unstable();
    let [one, two] = digests;
    let evidence = Fork {
        height: 1,
        one,
        other: two,
        shown: s.net.now.height,
    };
    assert_eq!(kept.fork, Some(evidence));
    assert_eq!(kept.latest.unwrap().height, 1);
    let next = s.relay(other.seal(START_MS + 2000));
    assert_eq!(s.net.apply(&next), Err(Rule::RecognitionStanding));

    // Restored, the evidence stays to be read; a newer fork suspends again.
    let restore = s.standing_of(2, Standing::Active);
    s.net.apply(&restore).unwrap();
    let kept = recognition(&s);
    assert_eq!(
        (kept.standing, kept.reason),
        (Standing::Active, ReasonCode::Scheduled)
    );
    assert_eq!(kept.fork, Some(evidence));
    let swapped = s.fork([pair[1].clone(), pair[0].clone()]);
    assert_eq!(s.net.apply(&swapped), Err(Rule::RecognitionBehind));
    s.net.apply(&next).unwrap();
    let again = s.fork(forked(&mut other, 5));
    s.net.apply(&again).unwrap();
    let kept = recognition(&s);
    assert_eq!(kept.standing, Standing::Suspended);
    assert_eq!(kept.fork.map(|fork| fork.height), Some(3));
}

/// O8: to the rules before, the new kinds are bytes of no operation, whatever their length, and the
/// record of a recognition stays as validators of then write it.
#[test]
fn rules_before_know_neither_hand_overs_nor_forks_of_others() {
    let mut s = Scene::on(TestNet::with(|genesis| {
        genesis.network = "cn".parse().unwrap();
        genesis.parameters.rules = RULES_OF_FOLLOWING - 1;
    }));
    let mut other = handing_on();
    let recognise = s.recognise(1, &other, |_| {});
    s.net.apply(&recognise).unwrap();
    other.decide_term(8, FIRST);
    for n in 1..=48 {
        other.seal(START_MS + 4000 + n);
    }
    let begins = |recognised: &mut Recognised| {
        recognised.begins = Some(FirstTerm {
            number: 1,
            first: 9,
        });
    };
    let by: Vec<_> = s.net.governors.iter().take(2).collect();
    let suspend = Decision::RecognitionStanding("dev".parse().unwrap(), Standing::Suspended);
    let kinds = [
        s.hand_on(other.hand_over(48)),
        s.fork(forked(&mut foreign(), 1)),
        s.recognise(2, &other, begins),
        s.net.sign(Body::Govern(2, suspend, ReasonCode::Fork), &by),
    ];
    let before = s.net.state();
    for signed in &kinds {
        assert_eq!(s.net.admissible(signed), Err(Rule::Version));
        let bytes = signed.encode();
        let receipt = s.net.block(&[Bytes(bytes.clone())])[0];
        assert_eq!(receipt.refused, Some(Rule::Shape));
        assert_eq!(receipt.operation, BY.tagged(Domain::Operation, &[&bytes]));
    }
    assert_eq!(s.net.state(), before);

    // The key that governance has named certifies for whatever term it says.
    other.begin_term(7);
    let relay = s.relay(other.seal(START_MS + 9000));
    s.net.apply(&relay).unwrap();
    let kept = recognition(&s);
    assert_eq!((kept.followed.clone(), kept.fork), (None, None));
    let Recognition {
        recognised,
        standing,
        reason,
        latest,
        ..
    } = kept;
    let of_then = codec::encode(&(recognised, standing, reason, latest));
    let key = recognition_key(BY, "dev");
    assert_eq!(s.net.state()[&key], of_then);

    let upgrade = s.parameters(2, NOTICE_BLOCKS, |p| p.rules = RULES_OF_FOLLOWING);
    s.net.apply(&upgrade).unwrap();
    s.idle_to(s.net.now.height + NOTICE_BLOCKS - 1);
    s.net.apply(&kinds[0]).unwrap();
    assert_eq!(numbers(&s), [0, 1]);
}

#[test]
fn only_a_hand_over_may_be_long() {
    let s = Scene::abroad();
    let mut hand_over = handing_on().decide_term(8, FIRST);
    let fill = |to: usize, hand_over: &mut HandOver| -> Vec<u8> {
        hand_over.committee.0.clear();
        let rest = s.hand_on(hand_over.clone()).encode().len();
        // Its length takes two bytes more.
        hand_over.committee = Bytes(vec![0; to - rest - 2]);
        s.hand_on(hand_over.clone()).encode()
    };
    let longest = fill(MAX_HAND_OVER_BYTES, &mut hand_over);
    assert_eq!(longest.len(), MAX_HAND_OVER_BYTES);
    assert!(SignedOperation::decode(&longest).is_ok());
    let code = |bytes: &[u8]| SignedOperation::decode(bytes).unwrap_err().code();
    let longer = fill(MAX_HAND_OVER_BYTES + 1, &mut hand_over);
    assert_eq!(code(&longer), "codec.too_long");
    // The same bytes as another kind: a checkpoint, and a fork.
    let checkpoint = Checkpoint {
        header: Bytes(vec![0; MAX_OPERATION_BYTES]),
        certificate: Bytes(Vec::new()),
    };
    let other = s.relay(checkpoint.clone()).encode();
    assert_eq!(code(&other), "codec.too_long");
    let other = s.fork([checkpoint.clone(), checkpoint]).encode();
    assert_eq!(code(&other), "codec.too_long");
    for cut in [MAX_OPERATION_BYTES + 1, longest.len() - 1] {
        assert_eq!(code(&longest[..cut]), "codec.malformed");
    }
}
