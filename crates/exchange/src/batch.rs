//! Issuance batches: what shows that a credential was there before a key was in other hands
//! (spec/issuing.md, rules O14 to O19; promise P7).
//!
//! An authority puts the commitment of what it has signed on the ledger. Each holder gets the path of their
//! own copies, and shows one beside a copy of a key that is compromised, and else to nobody. What
//! the ledger has, and what a path tells, is the same for everybody in a batch: an item is a digest over
//! salts and a signature, and items stand in the order of their digests.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use minicbor::{Decode, Encode};
use realdid_core::answer::StateAnswer;
use realdid_core::codec::{self, CodecError};
use realdid_core::hash::{Domain, Hash32, HashFunction, ListPath};
use realdid_credential::{mdoc, sd_jwt};
use realdid_light::{Freshness, LightClient};
use serde::{Deserialize, Serialize};

use crate::refusal::refusals;

/// The most items that a wallet asks for at once.
pub const MAX_ASKED: usize = 32;
/// The longest path, in bytes: 64 siblings.
const MAX_PATH_BYTES: usize = 4096;
/// The longest proof that is read, in bytes: a state answer and a path.
const MAX_SHOWN_BYTES: usize = realdid_core::answer::MAX_ANSWER_BYTES + MAX_PATH_BYTES;

refusals! {
    /// Why an issuance batch was not taken as one.
    BatchError
    Credential Caller "batch.credential" "a credential in a batch is an SD-JWT VC or an mdoc" "ask for the paths of credentials",
    Request Caller "batch.request" "a request for paths names 1 to 32 items, each in hex" "ask for fewer at once",
    Path Issuer "batch.path" "an item's path leads to a batch of its issuer and its key on the ledger, of as many items" "ask again later; if it stays, tell the operator of the issuer",
}

/// The item of a credential, as issued or as shown: a digest over what the issuer signed.
pub fn item(by: HashFunction, credential: &str) -> Result<Hash32, BatchError> {
    let of = |signed: &[u8]| by.tagged(Domain::BatchItem, &[signed]);
    if credential.contains('~') {
        let claimed = sd_jwt::Claimed::read(credential).map_err(|_| BatchError::Credential)?;
        return Ok(of(claimed.jwt.as_bytes()));
    }
    let malformed = BatchError::Credential;
    let bytes = URL_SAFE_NO_PAD.decode(credential).map_err(|_| malformed)?;
    Ok(of(mdoc::issuer_auth(&bytes).map_err(|_| malformed)?))
}

/// What is shown beside a credential: its path, and the ledger's word about the batch.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct InBatch {
    #[n(0)]
    pub path: ListPath,
    /// The answer about the batch's record.
    #[n(1)]
    pub record: StateAnswer,
}

impl InBatch {
    /// Reads one from hostile bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, MAX_SHOWN_BYTES)
    }

    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The height at which the batch was put on the ledger: it has `item`, and is of this issuer and of
    /// what this key has signed.
    pub fn height(
        &self,
        light: &LightClient,
        freshness: &Freshness,
        (issuer, key): (&Hash32, &Hash32),
        item: &Hash32,
    ) -> Result<u64, BatchError> {
        let root = self.path.root(light.hash_function(), item);
        let root = root.ok_or(BatchError::Path)?;
        let proved = light.batch(issuer, &root, &self.record, freshness);
        let batch = proved.ok().and_then(|proved| proved.value);
        batch
            .filter(|batch| batch.key == *key && batch.count == self.path.length)
            .map(|batch| batch.height)
            .ok_or(BatchError::Path)
    }
}

/// A request of a holder for the paths of what they hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathsRequest {
    /// In hex.
    pub items: Vec<String>,
}

impl PathsRequest {
    pub fn new(items: &[Hash32]) -> Self {
        Self {
            items: items.iter().map(ToString::to_string).collect(),
        }
    }

    /// The items, bounded.
    pub fn check(&self) -> Result<Vec<Hash32>, BatchError> {
        if !(1..=MAX_ASKED).contains(&self.items.len()) {
            return Err(BatchError::Request);
        }
        let item = |text: &String| text.parse().map_err(|_| BatchError::Request);
        self.items.iter().map(item).collect()
    }
}

/// The answer: for each item its path, where its batch is on the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathsResponse {
    /// Canonical CBOR in base64url.
    pub paths: Vec<Option<String>>,
}

impl PathsResponse {
    pub fn new(paths: &[Option<ListPath>]) -> Self {
        let encode = |path: &ListPath| URL_SAFE_NO_PAD.encode(codec::encode(path));
        Self {
            paths: paths.iter().map(|path| path.as_ref().map(encode)).collect(),
        }
    }

    /// The paths, of as many items as were asked for.
    pub fn check(&self, asked: usize) -> Result<Vec<Option<ListPath>>, BatchError> {
        if self.paths.len() != asked {
            return Err(BatchError::Path);
        }
        let read = |text: &String| {
            let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| BatchError::Path)?;
            codec::decode(&bytes, MAX_PATH_BYTES).map_err(|_| BatchError::Path)
        };
        let path = |text: &Option<String>| text.as_ref().map(read).transpose();
        self.paths.iter().map(path).collect()
    }
}

#[cfg(test)]
mod tests;
