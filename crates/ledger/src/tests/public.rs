//! Governance and what everybody may hold against: parameters, governors, batches, displays, and the
//! record of decisions.

use super::rules::{SERVICE, Scene, Way, newcomer};
use realdid_core::codec::Bytes;
use realdid_core::did::commitment;
use realdid_core::genesis::Parameters;
use realdid_core::governance::{DecisionRecord, Governance, NOTICE_BLOCKS, RULES_OF_STATUS};
use realdid_core::hash::{Domain, Hash32, HashFunction};
use realdid_core::operation::{AnchorBatch, Body, Decision, PublishList, Show, SignedOperation};
use realdid_core::rule::Rule;
use realdid_core::state::{
    Batch, Display, DisplayStatus, Issuer, KeyStatus, ReasonCode, Standing, StatusList, Totals,
    batch_key, decision_key, display_key, governance_key, issuer_key, status_list_key, totals_key,
};
use realdid_core::suite::{SecretKey, Suite};
use realdid_testkit::ledger::{TestNet, key, key_of};

const BY: HashFunction = HashFunction::Sha256;
const ROOT: Hash32 = Hash32([0xb0; 32]);
const NAME: Hash32 = Hash32([0xd7; 32]);

impl Scene {
    fn batch(&self, change: impl FnOnce(&mut AnchorBatch)) -> SignedOperation {
        let mut batch = AnchorBatch {
            issuer: self.net.authority.id,
            key: commitment(&self.net.authority.document.public()),
            root: ROOT,
            count: 10,
        };
        change(&mut batch);
        self.sign(Body::Batch(batch), &self.net.authority.operation)
    }

    fn show(&self, change: impl FnOnce(&mut Show)) -> SignedOperation {
        let mut show = Show {
            issuer: self.net.registrar.id,
            service: SERVICE,
            digest: NAME,
            withdrawal: commitment(&self.did.current.public()),
        };
        change(&mut show);
        self.sign(Body::Display(show), &self.net.registrar.operation)
    }

    fn publish(&self, change: impl FnOnce(&mut PublishList)) -> SignedOperation {
        let mut list = PublishList {
            issuer: self.net.authority.id,
            list: NAME,
            seq: 0,
            digest: ROOT,
        };
        change(&mut list);
        self.sign(Body::StatusList(list), &self.net.authority.operation)
    }

    fn withdraw(&self, by: &SecretKey) -> SignedOperation {
        self.sign(Body::WithdrawDisplay(NAME, ReasonCode::HolderRequest), by)
    }

    pub fn parameters(
        &self,
        seq: u64,
        ahead: u64,
        change: impl FnOnce(&mut Parameters),
    ) -> SignedOperation {
        let mut parameters = self.net.genesis.parameters.clone();
        change(&mut parameters);
        // The next block is one above the newest.
        let from = self.net.now.height + 1 + ahead;
        self.govern(seq, Decision::Parameters(from, parameters))
    }

    pub fn idle_to(&mut self, height: u64) {
        while self.net.now.height < height {
            self.net.block(&[]);
        }
    }
}

/// The ways to break the rules of this file's kinds.
pub(super) fn ways(rule: Rule) -> Vec<Way> {
    let s = Scene::new;
    match rule {
        Rule::ServiceSuspended => {
            let s = s();
            let (suspend, show) = (s.service_standing(1, Standing::Suspended), s.show(|_| {}));
            vec![
                s.after(&[suspend])
                    .breaks("a name on a suspended service", show),
            ]
        }
        Rule::DisplayUnknown => {
            let s = s();
            let broken = s.withdraw(&s.did.current);
            vec![s.breaks("nobody's name", broken)]
        }
        Rule::DisplayExists => {
            let (a, b) = (s(), s());
            let (show, again) = (a.show(|_| {}), b.show(|_| {}));
            let end = b.withdraw(&b.did.current);
            let back = b.show(|_| {});
            vec![
                a.after(std::slice::from_ref(&show))
                    .breaks("the same digest", show),
                b.after(&[again, end])
                    .breaks("a digest that was withdrawn", back),
            ]
        }
        Rule::DisplayWithdrawn => {
            let s = s();
            let (show, end) = (s.show(|_| {}), s.withdraw(&s.did.current));
            vec![s.after(&[show, end.clone()]).breaks("withdrawn again", end)]
        }
        Rule::BatchExists => {
            let s = s();
            let (one, again) = (s.batch(|_| {}), s.batch(|batch| batch.count = 11));
            vec![s.after(&[one]).breaks("the same root later", again)]
        }
        Rule::Parameters => {
            let changed = |what, ahead, change: fn(&mut Parameters)| {
                let s = s();
                let broken = s.parameters(1, ahead, change);
                s.breaks(what, broken)
            };
            let back = {
                let s = Scene::new();
                let broken = s.parameters(1, NOTICE_BLOCKS, |p| p.rules -= 1);
                s.breaks("older rules", broken)
            };
            vec![
                back,
                changed("too near", NOTICE_BLOCKS - 1, |_| {}),
                changed("another slot", NOTICE_BLOCKS, |p| p.slot_s += 1),
                changed("another epoch", NOTICE_BLOCKS, |p| p.epoch_s += 1),
                changed("another lead", NOTICE_BLOCKS, |p| p.refresh_lead_s += 1),
                changed("another delay", NOTICE_BLOCKS, |p| p.recovery_delay_s += 1),
                changed("another status period", NOTICE_BLOCKS, |p| {
                    p.status_period_s += 1
                }),
                changed("another personhood period", NOTICE_BLOCKS, |p| {
                    p.personhood_period_s += 1
                }),
                changed("out of bounds", NOTICE_BLOCKS, |p| p.block_operations = 0),
                changed("a suite twice", NOTICE_BLOCKS, |p| {
                    p.suites.push(Suite::Sm2)
                }),
                changed("not a suite that governs", NOTICE_BLOCKS, |p| {
                    p.suites = vec![Suite::Sm2]
                }),
            ]
        }
        Rule::Governors => {
            let with = |what, threshold, keys: &[u64]| {
                let s = s();
                let keys = keys.iter().map(|n| key(*n).public()).collect();
                let broken = s.govern(1, Decision::Governors(threshold, keys));
                s.breaks(what, broken)
            };
            vec![
                with("nobody", 1, &[]),
                with("no threshold", 0, &[50, 51]),
                with("a threshold that is never reached", 3, &[50, 51]),
                with("one twice", 1, &[50, 50]),
                with("too many", 1, &(50..83).collect::<Vec<_>>()),
            ]
        }
        _ => Vec::new(),
    }
}

#[test]
fn p9_one_version_of_a_status_list_holds_and_a_list_is_paid_for_once() {
    let s = Scene::new();
    let before = s.net.now.height;
    let (first, next) = (
        s.publish(|_| {}),
        s.publish(|list| (list.seq, list.digest) = (1, NAME)),
    );
    let again = s.publish(|list| list.digest = NAME);
    let mut s = s.after(&[first, next.clone()]);
    let id = s.net.authority.id;
    let list: StatusList = s.net.record(&status_list_key(BY, &id, &NAME)).unwrap();
    let holds = StatusList {
        seq: 1,
        digest: NAME,
        height: before + 2,
    };
    assert_eq!(list, holds);
    let totals: Totals = s.net.record(&totals_key(BY, &id, s.net.epoch())).unwrap();
    // The scene's anchor and the list.
    assert_eq!(totals.sponsored, 2);
    // Nothing is played again, and nothing left out.
    for wrong in [again, next, s.publish(|list| list.seq = 3)] {
        assert_eq!(s.net.apply(&wrong), Err(Rule::Sequence));
    }
    // An issuer has its own lists, and another's key none.
    let other = s.publish(|list| list.issuer = s.net.registrar.id);
    assert_eq!(s.net.apply(&other), Err(Rule::Signer));
    let suspend = Decision::IssuerStanding(id, Standing::Suspended);
    let next = s.publish(|list| list.seq = 2);
    let suspended = s.govern(1, suspend);
    let mut s = s.after(&[suspended]);
    assert_eq!(s.net.apply(&next), Err(Rule::IssuerSuspended));
}

#[test]
fn older_rules_know_no_status_lists() {
    let mut net = TestNet::with(|genesis| genesis.parameters.rules = RULES_OF_STATUS - 1);
    let body = Body::StatusList(PublishList {
        issuer: net.authority.id,
        list: NAME,
        seq: 0,
        digest: ROOT,
    });
    let signed = net.sign(body, &[&net.authority.operation]);
    assert_eq!(net.admissible(&signed), Err(Rule::Version));
    assert_eq!(net.apply(&signed), Err(Rule::Shape));
}

#[test]
fn p7_a_batch_keeps_the_height_at_which_it_was_anchored() {
    let s = Scene::new();
    let before = s.net.now.height;
    let (anchor, later) = (s.batch(|_| {}), s.batch(|batch| batch.root = NAME));
    let mut s = s.after(&[anchor]);
    let id = s.net.authority.id;
    let batch: Batch = s.net.record(&batch_key(BY, &id, &ROOT)).unwrap();
    assert_eq!((batch.height, batch.count), (before + 1, 10));
    let totals: Totals = s.net.record(&totals_key(BY, &id, s.net.epoch())).unwrap();
    // The scene's anchor and the batch.
    assert_eq!(totals.sponsored, 2);

    // The key turns out to be in other hands since a height that lies behind.
    s.idle_to(before + 5);
    let kid = commitment(&s.net.authority.document.public());
    let since = KeyStatus::Compromised(before + 3);
    let compromise = s.govern(1, Decision::IssuerKeyStatus(id, kid, since));
    s.net.apply(&compromise).unwrap();
    let issuer: Issuer = s.net.record(&issuer_key(BY, &id)).unwrap();
    let known = issuer.keys.iter().find(|key| key.id() == kid).unwrap();
    assert!(known.stands_behind(Some(batch.height)));
    assert!(!known.stands_behind(Some(before + 3)) && !known.stands_behind(None));
    // Nobody anchors what such a key signed any more.
    assert_eq!(s.net.apply(&later), Err(Rule::IssuerKey));
}

#[test]
fn a_batch_is_of_a_key_that_signs_credentials_and_has_content() {
    let mut s = Scene::new();
    let operation = commitment(&s.net.authority.operation.public());
    for (refused, rule) in [
        (s.batch(|batch| batch.key = operation), Rule::IssuerKey),
        (s.batch(|batch| batch.key = NAME), Rule::IssuerKey),
        (s.batch(|batch| batch.count = 0), Rule::Shape),
        (
            s.batch(|batch| batch.issuer = s.net.registrar.id),
            Rule::Signer,
        ),
        (s.batch(|batch| batch.issuer = NAME), Rule::IssuerUnknown),
    ] {
        assert_eq!(s.net.apply(&refused), Err(rule));
    }
}

#[test]
fn batches_and_displays_cost_their_sender_a_record() {
    let net = TestNet::with(|genesis| {
        for issuer in &mut genesis.issuers {
            issuer.sponsor_quota = 2;
        }
    });
    let mut s = Scene::on(net);
    // The authority has paid for the scene's anchor.
    let [one, two] = [1, 2].map(|n| s.batch(|batch| batch.root = Hash32([n; 32])));
    assert_eq!(s.net.apply(&one), Ok(()));
    assert_eq!(s.net.apply(&two), Err(Rule::Quota));
    for n in 1..=3 {
        let show = s.show(|show| show.digest = Hash32([n; 32]));
        let expected = if n < 3 { Ok(()) } else { Err(Rule::Quota) };
        assert_eq!(s.net.apply(&show), expected);
    }
}

#[test]
fn a_display_is_withdrawn_by_the_persons_own_key_or_its_registrar_and_by_nobody_else() {
    let display = |s: &Scene| -> Display { s.net.record(&display_key(BY, &NAME)).unwrap() };
    let s = Scene::new();
    let show = s.show(|_| {});
    let mut s = s.after(&[show]);
    assert_eq!(display(&s).status, DisplayStatus::Active);
    for stranger in [
        &s.did.next,
        &s.did.recovery,
        &s.net.authority.operation,
        &key(77),
    ] {
        let refused = s.withdraw(&stranger.clone());
        assert_eq!(s.net.clone().apply(&refused), Err(Rule::Signer));
    }
    // The person withdraws even while the registrar is suspended, which then cannot itself.
    let registrar = s.net.registrar.operation.clone();
    let (by_registrar, by_person) = (s.withdraw(&registrar), s.withdraw(&s.did.current));
    assert_eq!(s.net.clone().apply(&by_registrar), Ok(()));
    let suspend = s.govern(
        1,
        Decision::IssuerStanding(s.net.registrar.id, Standing::Suspended),
    );
    s.net.apply(&suspend).unwrap();
    assert_eq!(s.net.apply(&by_registrar), Err(Rule::IssuerSuspended));
    assert_eq!(s.net.apply(&by_person), Ok(()));
    let gone = display(&s);
    assert_eq!(gone.status, DisplayStatus::Withdrawn);
    assert_eq!(
        (gone.reason, gone.height),
        (ReasonCode::HolderRequest, s.net.now.height)
    );
}

#[test]
fn a_display_is_of_a_service_of_its_own_registrar() {
    let mut s = Scene::new();
    for (refused, rule) in [
        (s.show(|show| show.service = NAME), Rule::ServiceUnknown),
        (
            s.show(|show| show.issuer = s.net.authority.id),
            Rule::Signer,
        ),
    ] {
        assert_eq!(s.net.apply(&refused), Err(rule));
    }
    // The authority acts and sponsors, but this is another registrar's service.
    let show = Show {
        issuer: s.net.authority.id,
        service: SERVICE,
        digest: NAME,
        withdrawal: NAME,
    };
    let theirs = s.sign(Body::Display(show), &s.net.authority.operation);
    assert_eq!(s.net.apply(&theirs), Err(Rule::Signer));
}

#[test]
fn decided_parameters_stand_from_their_height_on_and_not_before() {
    let mut s = Scene::new();
    let decided = s.parameters(1, NOTICE_BLOCKS, |p| {
        p.suites = vec![Suite::Ed25519];
    });
    s.net.apply(&decided).unwrap();
    let from = s.net.now.height + NOTICE_BLOCKS;
    let sm2 = |s: &Scene| s.sign(Body::Freeze(NAME, 1), &key_of(Suite::Sm2, 1));
    s.idle_to(from - 2);
    let early = sm2(&s);
    assert_eq!(s.net.apply(&early), Err(Rule::DidUnknown));
    assert_eq!(s.net.now.height, from - 1);
    let refused = sm2(&s);
    assert_eq!(s.net.apply(&refused), Err(Rule::Suite));
    // A decision that comes after replaces the parameters that stand, not those of the genesis.
    let again = s.parameters(2, NOTICE_BLOCKS, |p| {
        p.suites = vec![Suite::Ed25519, Suite::P256];
    });
    s.net.apply(&again).unwrap();
    let refused = sm2(&s);
    assert_eq!(s.net.apply(&refused), Err(Rule::Suite));
}

#[test]
fn a_decision_that_has_not_begun_is_replaced_by_the_next() {
    let mut s = Scene::new();
    let only_ed25519 = s.parameters(1, NOTICE_BLOCKS, |p| p.suites = vec![Suite::Ed25519]);
    s.net.apply(&only_ed25519).unwrap();
    let from = s.net.now.height + NOTICE_BLOCKS;
    let as_before = s.parameters(2, NOTICE_BLOCKS, |_| {});
    s.net.apply(&as_before).unwrap();
    s.idle_to(from + 5);
    let sm2 = s.sign(Body::Freeze(NAME, 1), &key_of(Suite::Sm2, 1));
    assert_eq!(s.net.apply(&sm2), Err(Rule::DidUnknown));
}

/// O8 and H18: a kind of operation that newer rules know is, until those rules run, what it is to a
/// program that has never heard of it: bytes that are no operation. So receipts, and with them the
/// chain, do not depend on how new a validator is.
#[test]
fn rules_begin_at_a_height_and_before_it_new_kinds_are_no_operations() {
    let mut s = Scene::on(TestNet::with(|genesis| genesis.parameters.rules = 1));
    let batch = s.batch(|_| {});
    let bytes = Bytes(batch.encode());
    let before = s.net.state();
    let as_to_old = |bytes: &Bytes| BY.tagged(Domain::Operation, &[&bytes.0]);
    let receipt = s.net.block(std::slice::from_ref(&bytes))[0];
    assert_eq!(receipt.refused, Some(Rule::Shape));
    assert_eq!(receipt.operation, as_to_old(&bytes));
    assert_ne!(receipt.operation, batch.id());
    assert_eq!(s.net.state(), before);
    assert_eq!(s.net.admissible(&batch), Err(Rule::Version));
    let recognise = s.govern(
        1,
        Decision::RecognitionStanding("x".parse().unwrap(), Standing::Ended),
    );
    assert_eq!(s.net.admissible(&recognise), Err(Rule::Version));

    let upgrade = s.parameters(1, NOTICE_BLOCKS, |p| p.rules = 2);
    s.net.apply(&upgrade).unwrap();
    let from = s.net.now.height + NOTICE_BLOCKS;
    s.idle_to(from - 2);
    assert_eq!(
        s.net.block(std::slice::from_ref(&bytes))[0].refused,
        Some(Rule::Shape)
    );
    let receipt = s.net.block(std::slice::from_ref(&bytes))[0];
    assert_eq!((s.net.now.height, receipt.refused), (from, None));
    assert_eq!(receipt.operation, batch.id());
}

#[test]
fn a_decision_for_rules_that_this_program_does_not_know_is_kept_all_the_same() {
    let mut s = Scene::new();
    let unknown = s.parameters(1, NOTICE_BLOCKS, |p| p.rules = 200);
    assert_eq!(s.net.apply(&unknown), Ok(()));
}

#[test]
fn governance_hands_on_to_other_keys_of_any_admitted_suite() {
    let mut s = Scene::new();
    let heirs = [key_of(Suite::P256, 50), key_of(Suite::Sm2, 51), key(52)];
    let keys = heirs.iter().map(SecretKey::public).collect();
    let hand_on = s.govern(1, Decision::Governors(3, keys));
    s.net.apply(&hand_on).unwrap();
    let governance: Governance = s.net.record(&governance_key(BY)).unwrap();
    assert_eq!((governance.seq, governance.threshold), (1, 3));

    let admit = Body::Govern(2, Decision::AdmitIssuer(newcomer()), ReasonCode::Scheduled);
    let by_old: Vec<_> = s.net.governors.iter().collect();
    let by_old = s.net.sign(admit.clone(), &by_old);
    assert_eq!(s.net.apply(&by_old), Err(Rule::Signer));
    let by_two = s.net.sign(admit.clone(), &[&heirs[0], &heirs[1]]);
    assert_eq!(s.net.apply(&by_two), Err(Rule::SignatureCount));
    let by_all = s.net.sign(admit, &heirs.iter().collect::<Vec<_>>());
    assert_eq!(s.net.apply(&by_all), Ok(()));
}

#[test]
fn who_decided_what_stays_on_the_ledger_with_reason_and_keys() {
    let mut s = Scene::new();
    let id = s.net.authority.id;
    let decisions = [
        (Decision::AdmitIssuer(newcomer()), ReasonCode::Scheduled),
        (
            Decision::IssuerStanding(id, Standing::Suspended),
            ReasonCode::KeyCompromise,
        ),
        (
            Decision::IssuerStanding(id, Standing::Active),
            ReasonCode::Cleared,
        ),
    ];
    let mut made = Vec::new();
    for (seq, (decision, reason)) in (1u64..).zip(decisions) {
        // Another two of three each time.
        let by: Vec<_> = s
            .net
            .governors
            .iter()
            .cycle()
            .skip(seq as usize)
            .take(2)
            .collect();
        let signed = s.net.sign(Body::Govern(seq, decision.clone(), reason), &by);
        let keys: Vec<_> = by.iter().map(|key| key.public()).collect();
        s.net.apply(&signed).unwrap();
        made.push(DecisionRecord {
            height: s.net.now.height,
            time_ms: s.net.now.time_ms,
            operation: signed.id(),
            decision,
            reason,
            keys,
        });
    }
    for (seq, expected) in (1u64..).zip(&made) {
        let kept: DecisionRecord = s.net.record(&decision_key(BY, seq)).unwrap();
        assert_eq!(kept, *expected);
    }
    // What is refused leaves no record.
    let refused = s.govern(4, Decision::IssuerStanding(id, Standing::Active));
    assert_eq!(s.net.apply(&refused), Err(Rule::IssuerStanding));
    assert!(
        s.net
            .record::<DecisionRecord>(&decision_key(BY, 4))
            .is_none()
    );
}
