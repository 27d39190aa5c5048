//! Every decoder of `realdid-core`, on arbitrary bytes: the first byte says which. Nothing panics,
//! and what is read encodes to the bytes that it was read from (spec/encoding.md, E4).
#![no_main]

use libfuzzer_sys::fuzz_target;
use realdid_core::answer::{BucketAnswer, StateAnswer, decode_hand_overs};
use realdid_core::carried;
use realdid_core::certificate::verify_finalization;
use realdid_core::codec::{self, Bytes};
use realdid_core::did::{Did, Inception, NetworkName};
use realdid_core::genesis::Genesis;
use realdid_core::governance::{
    Committee, DecisionRecord, Governance, Recognition, RunningParameters,
};
use realdid_core::hash::{Hash32, HashFunction, ListPath};
use realdid_core::header::{Block, Checkpoint, Header, MAX_HEADER_BYTES, Receipt};
use realdid_core::operation::SignedOperation;
use realdid_core::state::{
    Batch, DidRecord, Display, Enrolment, Issuer, Service, SpentSlot, Totals, decode_record,
};
use realdid_core::suite::{PublicKey, Suite};
use realdid_core::trie::{Prefix, verify, verify_bucket};
use realdid_light::{LightClient, TrustedTerm};
use realdid_testkit::chain::TestLedger;
use realdid_testkit::ledger::START_MS;

/// Reads a record, and writes what was read.
macro_rules! record {
    ($type:ty, $bytes:expr) => {
        decode_record::<$type>($bytes)
            .ok()
            .map(|record| codec::encode(&record))
    };
}

fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = input.split_first() else {
        return;
    };
    let again = match kind % 28 {
        0 => SignedOperation::decode(bytes).ok().map(|signed| {
            let _ = (
                signed.id(),
                signed.verify_signatures(),
                signed.operation.body.since(),
            );
            signed.encode()
        }),
        1 => Inception::decode(bytes).ok().map(|inception| {
            let did = inception.did();
            assert_eq!(did.to_string().parse(), Ok(did));
            codec::encode(&inception)
        }),
        2 => Genesis::decode(bytes).ok().map(|genesis| {
            let _ = (genesis.header(), genesis.namespace());
            genesis.encode()
        }),
        3 => Header::decode(bytes).ok().map(|header| {
            let _ = header.digest();
            codec::encode(&header)
        }),
        4 => Block::decode(bytes).ok().map(|block| block.encode()),
        5 => codec::decode::<Checkpoint>(bytes, 4096)
            .ok()
            .map(|c| codec::encode(&c)),
        6 => StateAnswer::decode(bytes).ok().map(|answer| {
            for by in HashFunction::ALL {
                let _ = verify(by, &[7; 32], &[0x10; 32], &answer.proof);
            }
            answer.encode()
        }),
        7 => BucketAnswer::decode(bytes).ok().map(|answer| {
            if let Ok(prefix) = Prefix::new(&[0x10; 32], usize::from(*kind)) {
                let _ = verify_bucket(HashFunction::Sha256, &[7; 32], &prefix, &answer.bucket);
                let _ = answer.answer_for(HashFunction::Sm3, prefix.path());
            }
            answer.encode()
        }),
        8 => record!(DidRecord, bytes),
        9 => record!(Enrolment, bytes),
        10 => record!(Issuer, bytes),
        11 => record!(Service, bytes),
        12 => record!(Totals, bytes),
        13 => record!(Governance, bytes),
        14 => record!(RunningParameters, bytes),
        15 => record!(DecisionRecord, bytes),
        16 => record!(SpentSlot, bytes),
        17 => record!(Batch, bytes),
        18 => record!(Display, bytes),
        19 => record!(Recognition, bytes),
        20 => codec::decode::<Receipt>(bytes, MAX_HEADER_BYTES)
            .ok()
            .map(|r| codec::encode(&r)),
        21 => {
            let text = str::from_utf8(bytes).unwrap_or_default();
            let did = text.parse::<Did>().ok();
            let _ = (text.parse::<NetworkName>(), text.parse::<Hash32>());
            did.map(|did| did.to_string().into_bytes())
        }
        22 => {
            let suite = Suite::ALL[bytes.len() % 3];
            PublicKey::new(suite, bytes)
                .ok()
                .map(|key| key.bytes().to_vec())
        }
        23 => codec::decode::<ListPath>(bytes, 4096).ok().map(|path| {
            let _ = path.root(HashFunction::Sha256, &Hash32([1; 32]));
            codec::encode(&path)
        }),
        25 => record!(Committee, bytes),
        26 => decode_hand_overs(bytes).ok().map(|answers| {
            // Whatever is taken in, the terms follow one another.
            let mut light = LightClient::new(TestLedger::new(START_MS, Vec::new()).genesis);
            for answer in &answers {
                let _ = light.hand_over(answer);
            }
            let follows = |pair: &[TrustedTerm]| {
                pair[0].number + 1 == pair[1].number && pair[0].first < pair[1].first
            };
            assert!(light.terms().windows(2).all(follows));
            codec::encode(&answers)
        }),
        27 => carried::decode(bytes).ok().map(|records| {
            let _ = carried::root(HashFunction::Sha256, &records);
            carried::encode(records.iter().map(|(key, value)| (key, value)))
        }),
        _ => {
            let (key, certificate) = bytes.split_at(bytes.len().min(96));
            assert!(verify_finalization(key, b"n", certificate, &[0; 32]).is_err());
            None
        }
    };
    if let Some(again) = again {
        assert_eq!(
            Bytes(again),
            Bytes(bytes.to_vec()),
            "read and written differently"
        );
    }
});
