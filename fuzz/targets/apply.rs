//! The ledger's rules on arbitrary operations, honestly signed and not: nothing panics, a refusal
//! changes nothing, no record is forgotten, and nothing creates state for free.
#![no_main]

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use realdid_core::codec::Bytes;
use realdid_core::did::{NetworkName, commitment};
use realdid_core::genesis::{NetworkKey, PeerKey};
use realdid_core::governance::{
    Accepted, Assurance, CredentialType, FirstTerm, Governance, Recognised, Term,
};
use realdid_core::hash::{Hash32, HashFunction};
use realdid_core::header::{Checkpoint, MAX_CERTIFICATE_BYTES, MAX_HEADER_BYTES};
use realdid_core::operation::{AnchorBatch, Body, Decision, Enrol, Show, SignedOperation};
use realdid_core::state::{
    Family, Issuer, IssuerKey, KeyStatus, KeyUse, ReasonCode, Standing, Totals, decode_record,
    governance_key, totals_key,
};
use realdid_core::suite::{SecretKey, Suite};
use realdid_core::trie::Key;
use realdid_testkit::chain::TestLedger;
use realdid_testkit::ledger::{START_MS, TestDid, TestNet, key_of};

const BY: HashFunction = HashFunction::Sha256;

/// What somebody asks for; small numbers, so that things meet.
#[derive(Debug, Arbitrary)]
enum Ask {
    Anchor(u8),
    Rotate(u8, u8),
    Recover(u8, u8),
    Cancel(u8),
    Freeze(u8),
    Deactivate(u8),
    Enrol(u8),
    EnrolmentStanding(u8, u8),
    Reset(u8, bool),
    Register(u8),
    ServiceStanding(u8, u8),
    PassTotal(u8, u16),
    Batch(u8, u8),
    Display(u8, u8),
    Withdraw(u8),
    Foreign(Vec<u8>, Vec<u8>),
    /// Of a network that may be recognised, at a height or to a term.
    Relayed(u8),
    HandedOn(u8, u8),
    Forked(u8, bool),
    Admit(u8, u8),
    IssuerStanding(bool, u8),
    AddKey(bool, u8),
    KeyStatus(bool, u8, u8),
    Parameters(u8, u8, u8),
    Governors(u8, u8),
    Recognise(u8, u8),
    RecognitionStanding(u8),
    Term(u8, u8, u8),
    /// Bytes that nobody made sense of.
    Junk(Vec<u8>),
}

#[derive(Debug, Arbitrary)]
struct Step {
    ask: Ask,
    seq: u8,
    /// Which of the parties signs; most often the right one.
    by: u8,
    wait_s: u8,
    /// Flips a byte of the encoded operation, now and then.
    flip: Option<(u16, u8)>,
}

type State = BTreeMap<Key, Vec<u8>>;

fuzz_target!(|steps: Vec<Step>| {
    // Quotas so small that a few steps spend them.
    let mut net = TestNet::with(|genesis| {
        for issuer in &mut genesis.issuers {
            issuer.enrolment_quota = 2;
            issuer.sponsor_quota = 2;
            issuer.registration_quota = 1;
        }
    });
    for step in steps.iter().take(12) {
        net.wait_ms(u64::from(step.wait_s) * 1000);
        let mut bytes = encode(&net, step);
        if let Some((place, with)) = step.flip
            && !bytes.is_empty()
        {
            let place = usize::from(place) % bytes.len();
            bytes[place] ^= with;
        }
        let before = net.state();
        let receipts = net.block(&[Bytes(bytes.clone())]);
        let after = net.state();
        assert_eq!(receipts.len(), 1);
        match receipts[0].refused {
            Some(_) => assert!(after == before, "a refusal left a trace"),
            None => {
                let again = net.clone().block(&[Bytes(bytes)]);
                assert!(again[0].refused.is_some(), "played again");
            }
        }
        holds(&net, &before, &after);
    }
});

/// The operation, signed.
fn encode(net: &TestNet, step: &Step) -> Vec<u8> {
    let did = |n: u8| {
        TestDid::of(
            Suite::ALL[usize::from(n % 3)],
            net.network(),
            u64::from(n % 4) + 1,
        )
    };
    let seq = u64::from(step.seq % 6);
    let small = |n: u8| Hash32([n % 4; 32]);
    let standing =
        |n: u8| [Standing::Active, Standing::Suspended, Standing::Ended][usize::from(n % 3)];
    let reason = ReasonCode::ALL[usize::from(step.by) % ReasonCode::ALL.len()].0;
    let (authority, registrar) = (&net.authority, &net.registrar);
    let issuer = |first: bool| if first { authority } else { registrar };
    let party = |owner: &TestDid, right: u8| -> SecretKey {
        match step.by % 8 {
            0 => owner.current.clone(),
            1 => owner.next.clone(),
            2 => owner.recovery.clone(),
            _ => [&owner.current, &owner.next, &owner.recovery][usize::from(right)].clone(),
        }
    };
    let acting = |secrets: &realdid_testkit::ledger::TestIssuer| match step.by % 8 {
        0 => secrets.document.clone(),
        1 => key_of(Suite::Sm2, 77),
        _ => secrets.operation.clone(),
    };
    let signed = match &step.ask {
        Ask::Junk(bytes) => return bytes.clone(),
        Ask::Anchor(n) => net.anchor(&did(*n)),
        Ask::Rotate(n, to) => {
            let (owner, to) = (did(*n), did(to.wrapping_add(4)));
            let body = Body::Rotate(owner.id(), seq, to.inception.keys);
            net.sign(body, &[&party(&owner, 1)])
        }
        Ask::Recover(n, to) => {
            let (owner, to) = (did(*n), did(to.wrapping_add(4)));
            let body = Body::Recover(owner.id(), seq, to.inception.keys);
            net.sign(body, &[&party(&owner, 2)])
        }
        Ask::Cancel(n) => net.sign(Body::Cancel(did(*n).id(), seq), &[&party(&did(*n), 0)]),
        Ask::Freeze(n) => net.sign(Body::Freeze(did(*n).id(), seq), &[&party(&did(*n), 2)]),
        Ask::Deactivate(n) => net.sign(Body::Deactivate(did(*n).id(), seq), &[&party(&did(*n), 1)]),
        Ask::Enrol(n) => {
            let enrol = Enrol {
                issuer: authority.id,
                tag: small(*n),
                seq: seq.saturating_sub(1),
                commitment: small(step.by),
                epoch: net.epoch(),
            };
            net.sign(Body::Enrol(enrol), &[&acting(authority)])
        }
        Ask::EnrolmentStanding(n, to) => {
            let body = Body::EnrolmentStanding(authority.id, small(*n), seq, standing(*to), reason);
            net.sign(body, &[&acting(authority)])
        }
        Ask::Reset(n, cancel) => {
            let body = match cancel {
                true => Body::CancelReset(authority.id, small(*n), seq),
                false => Body::ResetPass(authority.id, small(*n), seq),
            };
            net.sign(body, &[&acting(authority)])
        }
        Ask::Register(n) => {
            let body = Body::Register(registrar.id, small(*n), small(step.seq));
            net.sign(body, &[&acting(registrar)])
        }
        Ask::ServiceStanding(n, to) => {
            let body = Body::ServiceStanding(registrar.id, small(*n), seq, standing(*to), reason);
            net.sign(body, &[&acting(registrar)])
        }
        Ask::PassTotal(back, total) => {
            let epoch = net.epoch().saturating_sub(u64::from(back % 3));
            let body = Body::PassTotal(authority.id, epoch, u64::from(*total));
            net.sign(body, &[&acting(authority)])
        }
        Ask::Batch(n, count) => {
            let batch = AnchorBatch {
                issuer: authority.id,
                key: commitment(&authority.document.public()),
                root: small(*n),
                count: u64::from(*count),
            };
            net.sign(Body::Batch(batch), &[&acting(authority)])
        }
        Ask::Display(n, owner) => {
            let show = Show {
                issuer: registrar.id,
                service: small(step.seq),
                digest: small(*n),
                withdrawal: commitment(&did(*owner).current.public()),
            };
            net.sign(Body::Display(show), &[&acting(registrar)])
        }
        Ask::Withdraw(n) => {
            let by = match step.by % 2 {
                0 => acting(registrar),
                _ => did(step.seq).current,
            };
            net.sign(Body::WithdrawDisplay(small(*n), reason), &[&by])
        }
        Ask::Foreign(header, certificate) => {
            let cut = |bytes: &[u8], most| Bytes(bytes.iter().copied().take(most).collect());
            let checkpoint = Checkpoint {
                header: cut(header, MAX_HEADER_BYTES),
                certificate: cut(certificate, MAX_CERTIFICATE_BYTES),
            };
            let network = other_network(step.seq);
            net.sign(
                Body::ForeignCheckpoint(network, checkpoint),
                &[&did(1).current],
            )
        }
        Ask::Relayed(blocks) => {
            let mut other = intl();
            let shown = (0..=blocks % 4).fold(other.checkpoint(), |_, _| other.seal(START_MS));
            relayed(net, |network| Body::ForeignCheckpoint(network, shown))
        }
        Ask::HandedOn(to, back) => {
            let mut other = intl();
            other.seal(START_MS);
            other.decide_term(7 + to % 3, 200 + u64::from(to % 2));
            for _ in 0..back % 50 {
                other.seal(START_MS + 4000);
            }
            let hand_over = other.hand_over(usize::from(back % 50));
            relayed(net, |network| Body::ForeignHandOver(network, hand_over))
        }
        Ask::Forked(blocks, twice) => {
            let mut other = intl();
            let one = (0..=blocks % 3).fold(other.checkpoint(), |_, _| other.seal(START_MS));
            let mut header = other.newest().clone();
            header.time_ms += u64::from(*twice);
            let two = other.certify(&header);
            relayed(net, |network| Body::ForeignFork(network, one, two))
        }
        decision => govern(
            net,
            step,
            seq,
            reason,
            decided(net, decision, issuer, standing),
        ),
    };
    signed.encode()
}

fn intl() -> TestLedger {
    TestLedger::named("intl", 7, START_MS, Vec::new())
}

/// Anybody may relay.
fn relayed(net: &TestNet, body: impl FnOnce(NetworkName) -> Body) -> SignedOperation {
    net.sign(body(other_network(0)), &[&key_of(Suite::Ed25519, 4711)])
}

fn other_network(n: u8) -> NetworkName {
    ["intl", "cn", "dev"][usize::from(n % 3)]
        .parse()
        .expect("a name")
}

fn govern(
    net: &TestNet,
    step: &Step,
    seq: u64,
    reason: ReasonCode,
    decision: Decision,
) -> SignedOperation {
    let count = if step.by % 8 == 0 { 1 } else { 2 };
    let by: Vec<_> = net.governors.iter().take(count).collect();
    net.sign(Body::Govern(seq, decision, reason), &by)
}

fn decided<'a>(
    net: &'a TestNet,
    ask: &Ask,
    issuer: impl Fn(bool) -> &'a realdid_testkit::ledger::TestIssuer,
    standing: impl Fn(u8) -> Standing,
) -> Decision {
    let operating = |n: u8| IssuerKey {
        usage: [KeyUse::Pid, KeyUse::Registration, KeyUse::Operation][usize::from(n % 3)],
        key: key_of(Suite::ALL[usize::from(n / 3 % 3)], u64::from(n) + 500).public(),
        status: KeyStatus::Active,
        since: 0,
    };
    match ask {
        Ask::Admit(n, url) => Decision::AdmitIssuer(Issuer {
            url: format!("https://issuer-{}.example", url % 3),
            keys: vec![operating(*n)],
            tag_key: None,
            standing: Standing::Active,
            reason: ReasonCode::None,
            enrolment_quota: 1,
            sponsor_quota: 1,
            registration_quota: 1,
            pass_keys: Vec::new(),
        }),
        Ask::IssuerStanding(first, to) => {
            Decision::IssuerStanding(issuer(*first).id, standing(*to))
        }
        Ask::AddKey(first, n) => Decision::AddIssuerKey(issuer(*first).id, operating(*n)),
        Ask::KeyStatus(first, at, to) => {
            let kid = commitment(&issuer(*first).document.public());
            let height = u64::from(*at);
            let status = match to % 3 {
                0 => KeyStatus::Active,
                1 => KeyStatus::Retired(height),
                _ => KeyStatus::Compromised(height),
            };
            Decision::IssuerKeyStatus(issuer(*first).id, kid, status)
        }
        Ask::Parameters(ahead, which, value) => {
            let mut parameters = net.genesis.parameters.clone();
            let value = u64::from(*value);
            match which % 7 {
                0 => parameters.block_operations = value,
                1 => parameters.expiry_window = value,
                2 => parameters.personhood_slots = value,
                3 => parameters.suites = vec![Suite::Ed25519],
                4 => parameters.rules = value as u8,
                5 => parameters.slot_s = value,
                _ => parameters.block_interval_ms = value,
            }
            Decision::Parameters(net.now.height + u64::from(*ahead), parameters)
        }
        Ask::Governors(threshold, count) => {
            let keys = net.governors.iter().take(usize::from(count % 4));
            Decision::Governors(
                u64::from(threshold % 4),
                keys.map(SecretKey::public).collect(),
            )
        }
        Ask::Recognise(n, kinds) => Decision::Recognise(Recognised {
            network: other_network(*n),
            genesis: match n % 2 {
                0 => intl().genesis.digest(),
                _ => Hash32([1; 32]),
            },
            network_key: match kinds % 5 {
                0 => NetworkKey([*kinds; 96]),
                _ => intl().genesis.network_key,
            },
            accepts: CredentialType::ALL
                .iter()
                .take(usize::from(kinds % 4))
                .map(|kind| Accepted {
                    kind: *kind,
                    least: Assurance::High,
                })
                .collect(),
            begins: (kinds % 7 == 6).then_some(FirstTerm {
                number: u64::from(n % 3),
                first: u64::from(*kinds),
            }),
        }),
        Ask::RecognitionStanding(n) => {
            Decision::RecognitionStanding(other_network(*n), standing(*n))
        }
        Ask::Term(number, ahead, members) => Decision::Committee(Term {
            number: u64::from(*number),
            first: net.now.height + u64::from(*ahead),
            network_key: TestLedger::with_validators(members % 3, START_MS, Vec::new())
                .genesis
                .network_key,
            validators: (0..*members).map(|n| PeerKey([n; 32])).collect(),
            polynomial: (ahead % 5 != 0).then_some(Hash32([1; 32])),
        }),
        _ => Decision::Governors(1, Vec::new()),
    }
}

/// What holds after every block.
fn holds(net: &TestNet, before: &State, after: &State) {
    assert!(
        before.keys().all(|key| after.contains_key(key)),
        "a record was forgotten"
    );
    assert!(after.keys().all(|key| Family::from_byte(key[0]).is_some()));
    let governance: Governance = decode_record(&after[&governance_key(BY)]).expect("governance");
    assert!(governance.is_well_formed());
    let added = |family: Family| {
        let of = |state: &State| state.keys().filter(|key| key[0] == family as u8).count() as u64;
        of(after) - of(before)
    };
    let mut paid = 0;
    for (_, bytes) in after
        .iter()
        .filter(|(key, _)| key[0] == Family::Issuers as u8)
    {
        let issuer: Issuer = decode_record(bytes).expect("an issuer");
        let key = totals_key(BY, &issuer.id(BY), net.epoch());
        let read = |state: &State| -> Totals {
            state.get(&key).map_or_else(Totals::default, |bytes| {
                decode_record(bytes).expect("totals")
            })
        };
        let (then, now) = (read(before), read(after));
        assert!(now.enrolments <= issuer.enrolment_quota);
        assert!(now.sponsored <= issuer.sponsor_quota);
        assert!(now.registrations <= issuer.registration_quota);
        paid += now.sponsored - then.sponsored;
    }
    let made = added(Family::Dids)
        + added(Family::Batches)
        + added(Family::Displays)
        + added(Family::StatusLists);
    assert_eq!(
        made,
        paid + added(Family::Slots),
        "a record that nobody paid for"
    );
    let decided = added(Family::Decisions);
    assert!(decided <= 1 && added(Family::Issuers) <= decided);
    assert!(added(Family::Recognitions) <= decided);
}
