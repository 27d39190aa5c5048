//! The wire formats, frozen: each value here must give the bytes of `spec/vectors/`.
//!
//! The files were computed by `spec/vectors/recompute.py`, which shares no code with this crate.
//! A test that fails here means that networks and wallets which exist would no longer be read.

use crate::answer::HandOver;
use crate::codec::Bytes;
use crate::did::{Inception, Keys, NetworkName, commitment};
use crate::genesis::{Genesis, NetworkKey, Parameters, PeerKey, Predecessor};
use crate::governance::{
    Accepted, Assurance, Committee, CredentialType, FirstTerm, FollowedTerms, ForeignCheckpoint,
    Fork, NextTerm, Recognised, Recognition, Term,
};
use crate::hash::{Hash32, HashFunction};
use crate::header::{Checkpoint, Header, Sealed};
use crate::operation::{Body, Decision, Operation, PublishList, SignedOperation};
use crate::state::{
    Governance, Issuer, IssuerKey, KeyStatus, KeyUse, ReasonCode, Standing, StatusList, TagKey,
    batch_key, committee_key, decision_key, decode_record, did_key, display_key, enrolment_key,
    governance_key, issuer_id, issuer_key, parameters_key, recognition_key, service_key, slot_key,
    status_list_key, totals_key,
};
use crate::suite::{SecretKey, Suite};
use crate::terms::TrustedTerm;
use crate::{carried, codec, trie};

const BY: HashFunction = HashFunction::Sha256;

/// The file's text without its line end.
macro_rules! vector {
    ($name:literal) => {
        include_str!(concat!("../../../spec/vectors/", $name)).trim_end()
    };
}

fn secret(n: u8) -> SecretKey {
    SecretKey::from_seed(Suite::Ed25519, [n; 32]).unwrap()
}

fn keys(current: u8, next: u8, recovery: u8) -> Keys {
    Keys {
        current: vec![secret(current).public()],
        next: commitment(&secret(next).public()),
        recovery: commitment(&secret(recovery).public()),
    }
}

fn inception() -> Inception {
    Inception {
        version: 1,
        network: "dev".parse().unwrap(),
        keys: keys(1, 2, 3),
        endpoints: vec![],
    }
}

fn operation(body: Body) -> Operation {
    Operation::new("dev".parse().unwrap(), 1000, body)
}

const AUTHORITY: &str = "https://authority.example";

fn genesis() -> Genesis {
    Genesis {
        version: 1,
        network: "dev".parse().unwrap(),
        time_ms: 1_800_000_000_000,
        parameters: Parameters {
            block_interval_ms: 200,
            slot_s: 2,
            epoch_s: 60,
            refresh_lead_s: 60,
            recovery_delay_s: 20,
            status_period_s: 10,
            expiry_window: 10_000,
            block_operations: 4096,
            personhood_period_s: 600,
            personhood_slots: 4,
            suites: vec![Suite::Ed25519, Suite::P256],
            rules: 2,
        },
        network_key: NetworkKey([0xbb; 96]),
        validators: vec![PeerKey([0xcc; 32])],
        governance: Governance {
            seq: 0,
            threshold: 1,
            keys: vec![secret(7).public()],
        },
        issuers: vec![Issuer {
            url: AUTHORITY.into(),
            keys: vec![IssuerKey {
                usage: KeyUse::Operation,
                key: secret(4).public(),
                status: KeyStatus::Active,
                since: 0,
            }],
            tag_key: Some(TagKey([0xaa; 32])),
            standing: Standing::Active,
            reason: ReasonCode::None,
            enrolment_quota: 10,
            sponsor_quota: 20,
            registration_quota: 0,
            pass_keys: Vec::new(),
        }],
        ceremony: None,
        predecessor: None,
    }
}

/// Encodes to the vector and reads back from it, signatures included.
fn is_frozen(signed: &SignedOperation, bytes: &str, id: &str) {
    assert_eq!(hex::encode(signed.encode()), bytes);
    assert_eq!(signed.id().to_string(), id);
    let read = SignedOperation::decode(&hex::decode(bytes).unwrap()).unwrap();
    assert_eq!(read, *signed);
    assert_eq!(read.verify_signatures(), Ok(()));
}

#[test]
fn signed_operations_are_frozen() {
    is_frozen(
        &operation(Body::Anchor(inception()))
            .sign(&[&secret(1)])
            .sponsored(issuer_id(BY, AUTHORITY), &secret(4)),
        vector!("ledger/anchor.hex"),
        vector!("ledger/anchor.id"),
    );
    is_frozen(
        &operation(Body::Rotate(inception().id(), 1, keys(5, 6, 3))).sign(&[&secret(2)]),
        vector!("ledger/rotate.hex"),
        vector!("ledger/rotate.id"),
    );
}

#[test]
fn a_state_in_a_file_is_frozen() {
    let file = hex::decode(vector!("ceremony/state.hex")).unwrap();
    let records = vec![([1; 32], b"one".to_vec()), ([2; 32], b"another".to_vec())];
    assert_eq!(carried::decode(&file), Ok(records.clone()));
    let written = carried::encode(records.iter().map(|(key, value)| (key, value)));
    assert_eq!(written, file);
    let root = carried::root(BY, &records);
    assert_eq!(root.to_string(), vector!("ceremony/state.root"));
}

#[test]
fn genesis_and_its_header_are_frozen() {
    let genesis = genesis();
    assert_eq!(hex::encode(genesis.encode()), vector!("ledger/genesis.hex"));
    assert_eq!(
        genesis.digest().to_string(),
        vector!("ledger/genesis.digest")
    );
    assert_eq!(Genesis::decode(&genesis.encode()), Ok(genesis.clone()));

    let by_ceremony = Genesis {
        validators: vec![PeerKey([0xcc; 32]), PeerKey([0xdd; 32])],
        ceremony: Some(Hash32([0xee; 32])),
        ..genesis.clone()
    };
    assert_eq!(
        hex::encode(by_ceremony.encode()),
        vector!("ledger/genesis-ceremony.hex")
    );
    assert_eq!(
        by_ceremony.digest().to_string(),
        vector!("ledger/genesis-ceremony.digest")
    );

    let successor = Genesis {
        governance: Governance {
            seq: 7,
            ..genesis.governance.clone()
        },
        issuers: Vec::new(),
        predecessor: Some(Predecessor {
            genesis: by_ceremony.digest(),
            header: Hash32([0x66; 32]),
            sealed: Sealed {
                slot: 900,
                height: 1800,
                state_root: Hash32([0x99; 32]),
                receipts_root: Hash32([0x77; 32]),
            },
        }),
        ..by_ceremony
    };
    assert_eq!(
        hex::encode(successor.encode()),
        vector!("ledger/genesis-successor.hex")
    );
    assert_eq!(
        successor.digest().to_string(),
        vector!("ledger/genesis-successor.digest")
    );
    assert_eq!(Genesis::decode(&successor.encode()), Ok(successor));

    let header = genesis.header();
    let bytes = codec::encode(&header);
    assert_eq!(hex::encode(&bytes), vector!("ledger/header.hex"));
    assert_eq!(header.digest().to_string(), vector!("ledger/header.digest"));
    assert_eq!(Header::decode(&bytes), Ok(header));
}

#[test]
fn a_term_and_the_record_of_the_committee_are_frozen() {
    let term = Term {
        number: 1,
        first: 500,
        network_key: NetworkKey([0xbb; 96]),
        validators: vec![PeerKey([0xcc; 32]), PeerKey([0xdd; 32])],
        polynomial: Some(Term::polynomial_digest(BY, &[1, 2, 3])),
    };
    let decide = Decision::Committee(term.clone());
    is_frozen(
        &operation(Body::Govern(1, decide, ReasonCode::Scheduled)).sign(&[&secret(7)]),
        vector!("ledger/term.hex"),
        vector!("ledger/term.id"),
    );
    let record = Committee {
        running: genesis().term(),
        next: Some(NextTerm {
            term,
            since: 10,
            shown: Some(12),
        }),
    };
    let bytes = codec::encode(&record);
    assert_eq!(hex::encode(&bytes), vector!("ledger/committee.hex"));
    assert_eq!(decode_record(&bytes), Ok(record));
}

#[test]
fn what_anybody_shows_of_another_network_is_frozen() {
    let checkpoint = |header, certificate| Checkpoint {
        header: Bytes(vec![header]),
        certificate: Bytes(vec![certificate]),
    };
    let hand_over = HandOver {
        checkpoint: checkpoint(1, 2),
        back: vec![Bytes(vec![5]), Bytes(vec![6])],
        committee: Bytes(vec![7]),
        proof: trie::Proof {
            siblings: vec![[8; 32]],
            terminal: trie::Terminal::Empty,
        },
    };
    let intl: NetworkName = "intl".parse().unwrap();
    is_frozen(
        &operation(Body::ForeignHandOver(intl.clone(), hand_over)).sign(&[&secret(1)]),
        vector!("ledger/foreign-hand-over.hex"),
        vector!("ledger/foreign-hand-over.id"),
    );
    let fork = Body::ForeignFork(intl, checkpoint(1, 2), checkpoint(3, 4));
    is_frozen(
        &operation(fork).sign(&[&secret(1)]),
        vector!("ledger/foreign-fork.hex"),
        vector!("ledger/foreign-fork.id"),
    );
}

#[test]
fn a_version_of_a_status_list_is_frozen() {
    let publish = Body::StatusList(PublishList {
        issuer: Hash32([0x11; 32]),
        list: Hash32([0x22; 32]),
        seq: 3,
        digest: Hash32([0x33; 32]),
    });
    is_frozen(
        &operation(publish).sign(&[&secret(1)]),
        vector!("ledger/status-list.hex"),
        vector!("ledger/status-list.id"),
    );
    let record = StatusList {
        seq: 3,
        digest: Hash32([0x33; 32]),
        height: 900,
    };
    let bytes = codec::encode(&record);
    assert_eq!(
        hex::encode(&bytes),
        vector!("ledger/status-list-record.hex")
    );
    assert_eq!(decode_record(&bytes), Ok(record));
}

#[test]
fn a_recognition_is_frozen_and_begins_as_rules_before_have_it() {
    let accepted = |kind, least| Accepted { kind, least };
    let recognised = Recognised {
        network: "intl".parse().unwrap(),
        genesis: Hash32([0x11; 32]),
        network_key: NetworkKey([0xbb; 96]),
        accepts: vec![
            accepted(CredentialType::Pid, Assurance::Substantial),
            accepted(CredentialType::RealPass, Assurance::High),
        ],
        begins: None,
    };
    let term = |number, first, byte| TrustedTerm {
        number,
        first,
        network_key: NetworkKey([byte; 96]),
    };
    let begun = Recognition::of(recognised.clone(), ReasonCode::Scheduled);
    let followed = Recognition {
        recognised: Recognised {
            begins: Some(FirstTerm {
                number: 3,
                first: 700,
            }),
            ..recognised
        },
        standing: Standing::Suspended,
        reason: ReasonCode::Fork,
        latest: Some(ForeignCheckpoint {
            height: 900,
            time_ms: 1_800_000_000_000,
            digest: Hash32([0x22; 32]),
            sealed: Sealed {
                slot: 449,
                height: 898,
                state_root: Hash32([0x33; 32]),
                receipts_root: Hash32([0x44; 32]),
            },
        }),
        followed: Some(FollowedTerms {
            running: term(3, 700, 0xbb),
            next: Some(term(4, 1000, 0xcc)),
        }),
        fork: Some(Fork {
            height: 901,
            one: Hash32([0x55; 32]),
            other: Hash32([0x66; 32]),
            shown: 120,
        }),
    };
    for (record, frozen) in [
        (begun, vector!("ledger/recognition-new.hex")),
        (followed, vector!("ledger/recognition.hex")),
    ] {
        let bytes = codec::encode(&record);
        assert_eq!(hex::encode(&bytes), frozen);
        assert_eq!(decode_record(&bytes), Ok(record));
    }
}

#[test]
fn state_keys_are_frozen() {
    let issuer = issuer_id(BY, AUTHORITY);
    let keys: [(&str, trie::Key); 14] = [
        ("did", did_key(BY, &inception().id())),
        ("enrolment", enrolment_key(BY, &Hash32([0x11; 32]))),
        ("issuer", issuer_key(BY, &issuer)),
        ("service", service_key(BY, &Hash32([0x22; 32]))),
        ("totals", totals_key(BY, &issuer, 30_000_000)),
        ("governance", governance_key(BY)),
        ("slot", slot_key(BY, &[0x33; 48])),
        ("parameters", parameters_key(BY)),
        ("decision", decision_key(BY, 7)),
        ("batch", batch_key(BY, &issuer, &Hash32([0x44; 32]))),
        ("display", display_key(BY, &Hash32([0x55; 32]))),
        ("recognition", recognition_key(BY, "intl")),
        ("committee", committee_key(BY)),
        (
            "status-list",
            status_list_key(BY, &issuer, &Hash32([0x66; 32])),
        ),
    ];
    let lines = keys.map(|(name, key)| format!("{name} {}", hex::encode(key)));
    assert_eq!(lines.join("\n"), vector!("ledger/state-keys.txt"));
}

#[test]
fn list_roots_are_frozen() {
    let items: Vec<_> = (0..9).map(|n| Hash32([n; 32])).collect();
    let lines = [0, 1, 2, 3, 4, 5, 8, 9].map(|n| format!("{n} {}", BY.list_root(&items[..n])));
    assert_eq!(lines.join("\n"), vector!("ledger/list-roots.txt"));
}
