//! What a DID is (spec/did.md).
//!
//! `did:rdid:<network>:<id>`, where the id is the hash of the *inception*: the DID's first keys
//! and two commitments. All of them are random, so nobody can compute a DID from a name or a
//! number (promise P2), and no registry entry is needed until something changes.

use crate::codec;
use crate::hash::{Domain, Hash32, HashFunction};
use crate::suite::PublicKey;
use minicbor::{Decode, Decoder, Encode, Encoder};
use std::fmt;
use std::str::FromStr;

/// The longest inception in bytes.
pub const MAX_INCEPTION_BYTES: usize = 2048;
/// How many authentication keys a DID may have at a time.
pub const MAX_KEYS: usize = 4;
/// How many service endpoints an organisation's DID may have.
pub const MAX_ENDPOINTS: usize = 4;
/// The longest endpoint URL in bytes.
pub const MAX_ENDPOINT_BYTES: usize = 200;

/// Why an identifier or an inception was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DidError {
    /// Not of the form `did:rdid:<network>:z<base58>`.
    #[error("not a DID of the form did:rdid:<network>:<id>")]
    Syntax,
    /// A network's name is 1 to 16 lowercase letters, digits and inner hyphens.
    #[error("not a network name: 1 to 16 of a-z, 0-9 and inner hyphens, a letter first")]
    Network,
    /// The inception breaks a bound of spec/did.md.
    #[error(
        "the inception has no key, too many keys or endpoints, or an endpoint that is not https"
    )]
    Inception,
    /// The inception is not the one that the DID is the hash of.
    #[error("the inception does not hash to this DID")]
    Mismatch,
    #[error("the inception cannot be read: {0}")]
    Codec(#[from] codec::CodecError),
}

/// The name of a network, as it stands in DIDs and in every signature, with the network's hash
/// function: whatever names its network also says how it is hashed, and two networks of one name
/// that hash differently are two.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkName {
    name: String,
    hash_function: HashFunction,
}

impl NetworkName {
    pub fn as_str(&self) -> &str {
        &self.name
    }

    pub fn hash_function(&self) -> HashFunction {
        self.hash_function
    }

    /// The same name for a network that hashes by `hash_function`.
    pub fn hashing_by(self, hash_function: HashFunction) -> Self {
        Self {
            hash_function,
            ..self
        }
    }
}

impl FromStr for NetworkName {
    type Err = DidError;

    /// Reads a bare name; the hash function is SHA-256 until [`NetworkName::hashing_by`] says
    /// another.
    fn from_str(text: &str) -> Result<Self, DidError> {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let valid = (1..=16).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && !text.ends_with('-')
            && text.bytes().all(inner);
        if valid {
            Ok(Self {
                name: text.to_owned(),
                hash_function: HashFunction::Sha256,
            })
        } else {
            Err(DidError::Network)
        }
    }
}

impl fmt::Display for NetworkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for NetworkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl<C> Encode<C> for NetworkName {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        // E11: SHA-256 goes without saying.
        match self.hash_function {
            HashFunction::Sha256 => e.str(&self.name)?.ok(),
            other => {
                e.array(2)?.str(&self.name)?;
                other.encode(e, &mut ())
            }
        }
    }
}

impl<'b, C> Decode<'b, C> for NetworkName {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let listed = d.datatype()? == minicbor::data::Type::Array;
        if listed && d.array()? != Some(2) {
            return Err(minicbor::decode::Error::message(
                "a network is [name, hash]",
            ));
        }
        let name: Self = d
            .str()?
            .parse()
            .map_err(|_| minicbor::decode::Error::message("not a network name"))?;
        match listed {
            true => Ok(name.hashing_by(HashFunction::decode(d, &mut ())?)),
            false => Ok(name),
        }
    }
}

/// The part of a DID behind the network: the hash of its inception by the network's function.
pub type DidId = Hash32;

/// What a DID's multihash begins with: the function's code in the multicodec table, as a varint,
/// and the length of a digest.
const MULTIHASHES: [(HashFunction, &[u8]); 2] = [
    (HashFunction::Sha256, &[0x12, 0x20]),
    (HashFunction::Sm3, &[0xcd, 0xa6, 0x01, 0x20]),
];

/// A decentralised identifier.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Did {
    pub network: NetworkName,
    pub id: DidId,
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = self.network.hash_function();
        let mut multihash = Vec::with_capacity(36);
        for (_, code) in MULTIHASHES.iter().filter(|(function, _)| *function == by) {
            multihash.extend_from_slice(code);
        }
        multihash.extend_from_slice(&self.id.0);
        let id = bs58::encode(multihash).into_string();
        write!(f, "did:rdid:{}:z{id}", self.network)
    }
}

impl fmt::Debug for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Did {
    type Err = DidError;

    fn from_str(text: &str) -> Result<Self, DidError> {
        // The longest DID: prefix 9, network 16, colon, z, 50 characters of base58.
        if text.len() > 80 {
            return Err(DidError::Syntax);
        }
        let rest = text.strip_prefix("did:rdid:").ok_or(DidError::Syntax)?;
        let (network, id) = rest.split_once(":z").ok_or(DidError::Syntax)?;
        let multihash = bs58::decode(id).into_vec().map_err(|_| DidError::Syntax)?;
        let network: NetworkName = network.parse()?;
        let (by, id) = MULTIHASHES
            .iter()
            .find_map(|(by, code)| {
                let digest: [u8; 32] = multihash.strip_prefix(*code)?.try_into().ok()?;
                Some((*by, Hash32(digest)))
            })
            .ok_or(DidError::Syntax)?;
        let network = network.hashing_by(by);
        let did = Self { network, id };
        // One DID has one spelling.
        if did.to_string() == text {
            Ok(did)
        } else {
            Err(DidError::Syntax)
        }
    }
}

/// The keys and commitments that a DID has at one time.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Keys {
    /// Keys that authenticate: 1 to [`MAX_KEYS`].
    #[n(0)]
    pub current: Vec<PublicKey>,
    /// [`commitment`] to the key that may `rotate`. It is kept off the device.
    #[n(1)]
    pub next: Hash32,
    /// [`commitment`] to the key that may `freeze` and `recover`. The recovery words rebuild it.
    #[n(2)]
    pub recovery: Hash32,
}

impl Keys {
    /// D3: between one and four distinct current keys, and three different parties.
    pub fn check(&self) -> Result<(), DidError> {
        let n = self.current.len();
        let distinct = (1..n).all(|i| !self.current[..i].contains(&self.current[i]));
        let commitments: Vec<Hash32> = self.current.iter().map(commitment).collect();
        let separate = self.next != self.recovery
            && !commitments.contains(&self.next)
            && !commitments.contains(&self.recovery);
        if (1..=MAX_KEYS).contains(&n) && distinct && separate {
            Ok(())
        } else {
            Err(DidError::Inception)
        }
    }
}

/// Commits to a public key without showing it, by the hash of the key's own suite: who makes a key
/// need not know the network on which it will be shown.
pub fn commitment(key: &PublicKey) -> Hash32 {
    let by = key.suite().hash_function();
    by.tagged(Domain::KeyCommitment, &[&codec::encode(key)])
}

/// The first record of a DID. The DID is its hash.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Inception {
    /// Version of this structure: 1.
    #[n(0)]
    pub version: u8,
    #[n(1)]
    pub network: NetworkName,
    #[n(2)]
    pub keys: Keys,
    /// https endpoints, for organisations only; the ledger admits them only under the domain of
    /// the issuer that sponsors the anchor (promise P1).
    #[n(3)]
    pub endpoints: Vec<String>,
}

impl Inception {
    /// Checks the bounds of spec/did.md, rule D3.
    pub fn check(&self) -> Result<(), DidError> {
        self.keys.check()?;
        let endpoint_ok = |url: &String| {
            url.len() <= MAX_ENDPOINT_BYTES
                && url
                    .strip_prefix("https://")
                    .is_some_and(|rest| !rest.is_empty())
                && url.bytes().all(|b| b.is_ascii_graphic())
        };
        let bounded = self.endpoints.len() <= MAX_ENDPOINTS;
        if self.version == 1 && bounded && self.endpoints.iter().all(endpoint_ok) {
            Ok(())
        } else {
            Err(DidError::Inception)
        }
    }

    /// Reads and checks an inception.
    pub fn decode(bytes: &[u8]) -> Result<Self, DidError> {
        let inception: Self = codec::decode(bytes, MAX_INCEPTION_BYTES)?;
        inception.check()?;
        Ok(inception)
    }

    pub fn id(&self) -> DidId {
        let by = self.network.hash_function();
        by.tagged(Domain::Inception, &[&codec::encode(self)])
    }

    pub fn did(&self) -> Did {
        Did {
            network: self.network.clone(),
            id: self.id(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::{SecretKey, Suite};

    fn key(seed: u8) -> PublicKey {
        SecretKey::from_seed(Suite::Ed25519, [seed; 32])
            .unwrap()
            .public()
    }

    fn inception() -> Inception {
        Inception {
            version: 1,
            network: "dev".parse().unwrap(),
            keys: Keys {
                current: vec![key(1)],
                next: commitment(&key(2)),
                recovery: commitment(&key(3)),
            },
            endpoints: vec![],
        }
    }

    #[test]
    fn p2_a_did_is_the_hash_of_random_keys_and_has_one_spelling() {
        let did = inception().did();
        let text = did.to_string();
        assert_eq!(
            text,
            include_str!("../../../spec/vectors/did/inception.did").trim()
        );
        assert_eq!(
            hex::encode(codec::encode(&inception())),
            include_str!("../../../spec/vectors/did/inception.hex").trim()
        );
        assert_eq!(text.parse::<Did>(), Ok(did));
        for wrong in [
            "did:rdid:dev",
            "did:rdid:dev:z",
            "did:web:dev:zQm",
            &text.replace("dev", "Dev"),
            &text.replace(":z", ":Z"),
            &format!("{text}1"),
            &format!("did:rdid:{}:z1", "a".repeat(80)),
        ] {
            assert!(wrong.parse::<Did>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_did_says_by_which_hash_its_network_names() {
        let mut inception = inception();
        inception.network = inception.network.hashing_by(HashFunction::Sm3);
        let did = inception.did();
        let text = did.to_string();
        assert_eq!(text.parse::<Did>(), Ok(did.clone()));
        assert_eq!(did.network.hash_function(), HashFunction::Sm3);
        assert_eq!(Inception::decode(&codec::encode(&inception)), Ok(inception));
        // The same digest under the other code is another DID.
        let other = Did {
            network: did.network.clone().hashing_by(HashFunction::Sha256),
            id: did.id,
        };
        assert_ne!(other, did);
        assert_ne!(other.to_string(), text);
    }

    #[test]
    fn a_networks_name_has_one_encoding() {
        let read = |hex_text: &str| {
            codec::decode::<NetworkName>(&hex::decode(hex_text).unwrap(), 32)
                .map(|name| name.hash_function())
        };
        assert_eq!(read("62636e"), Ok(HashFunction::Sha256));
        assert_eq!(read("8262636e02"), Ok(HashFunction::Sm3));
        assert_eq!(read("8262636e01"), Err(codec::CodecError::NotCanonical));
        assert_eq!(read("8262636e03"), Err(codec::CodecError::Malformed));
        assert_eq!(read("8162636e"), Err(codec::CodecError::Malformed));
    }

    #[test]
    fn an_inception_needs_distinct_parties_and_bounds() {
        let mut none = inception();
        none.keys.current.clear();
        let mut same = inception();
        same.keys.recovery = same.keys.next;
        let mut on_device = inception();
        on_device.keys.next = commitment(&key(1));
        let mut http = inception();
        http.endpoints = vec!["http://example.org".into()];
        let mut many = inception();
        many.keys.current = (1..=5).map(|i| key(i + 10)).collect();
        for wrong in [none, same, on_device, http, many] {
            assert_eq!(wrong.check(), Err(DidError::Inception));
        }
        assert_eq!(inception().check(), Ok(()));
    }
}
