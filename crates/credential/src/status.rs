//! Status of long-lived credentials: Token Status List (draft-ietf-oauth-status-list-21), in the
//! profile of spec/status.md (U1 to U12).
//!
//! An issuer keeps one [`StatusList`], changes it by [`StatusList::change`], signs it whole
//! ([`token`]) and puts its [`StatusList::digest`] on the ledger. A verifier reads the token, holds
//! it against that digest, and keeps the list inflated: a look-up is then one shift. Between two
//! versions a [`delta`] carries what changed and nothing else.
//!
//! Whole lists only: whoever fetches one entry tells the issuer whom it looks at.

use sha2::{Digest as _, Sha256};
use zlib_rs::{DeflateConfig, Inflate, InflateFlush, ReturnCode};

use crate::jose::JwsError;
use crate::refusal::refusals;

pub mod delta;
mod range;
pub mod token;

/// The longest list that this crate makes, in bytes: 4e9 entries of one bit.
pub const MAX_LIST_BYTES: usize = 512 << 20;
/// The longest URI of a list, in bytes.
pub const MAX_URI_LEN: usize = 512;

refusals! {
    /// Why a status list, its token or a delta was refused, or could not be made.
    StatusError: { Jws(JwsError) }
    Width Issuer "status.width" "an entry has 1, 2, 4 or 8 bits, and a status fits into them" "make a list with wider entries",
    Index Issuer "status.index" "an index lies within its list" "issue the credential anew with an entry that exists",
    TooLong Issuer "status.too_long" "a list is no longer than its reader allows" "split the list",
    Compression Issuer "status.compression" "a list is one whole zlib stream" "publish the list anew",
    Malformed Issuer "status.malformed" "a status list token has typ statuslist+jwt or statuslist+cwt and sub, iat and status_list" "publish the list anew",
    Signature Issuer "status.signature" "a list is signed by a key of its issuer" "fetch the list again",
    KeyUnknown Issuer "status.key_unknown" "the key that a list names is one of its issuer's" "publish the list under a current key",
    Subject Issuer "status.subject" "a list is the one that the credential names" "publish each list under its own address",
    Expired Issuer "status.expired" "a list has not expired" "fetch the list again",
    NotYetValid Issuer "status.not_yet_valid" "a list was not made in the future" "check the clock, or wait",
    Digest Issuer "status.digest" "a list is the one whose digest is on the ledger" "fetch the list again; if it stays, tell the operator of the issuer",
    Reference Issuer "status.reference" "status holds status_list with an index and an https address, or an http one of this machine" "issue the credential anew",
    Final Caller "status.final" "what is revoked stays revoked" "issue another credential",
    Delta Issuer "status.delta" "a delta is well formed and leads from one version to the next" "fetch the whole list",
    DeltaBase Caller "status.delta_base" "a delta is applied to the version that it was made from" "fetch the whole list",
}

/// What an entry says (section 7.1 of the draft).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// 0: as the credential itself says.
    Valid,
    /// 1: revoked, for good (U4).
    Invalid,
    /// 2: out of force until it is restored.
    Suspended,
    /// A status of somebody else's; never taken for valid (U5).
    Other(u8),
}

impl Status {
    /// The number in the list.
    pub fn code(self) -> u8 {
        match self {
            Self::Valid => 0,
            Self::Invalid => 1,
            Self::Suspended => 2,
            Self::Other(code) => code,
        }
    }

    fn of(code: u8) -> Self {
        match code {
            0 => Self::Valid,
            1 => Self::Invalid,
            2 => Self::Suspended,
            other => Self::Other(other),
        }
    }
}

/// How many bits an entry has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Width {
    /// Valid or revoked.
    One,
    /// Suspended too.
    Two,
    /// Sixteen statuses.
    Four,
    /// 256 statuses.
    Eight,
}

impl Width {
    /// Reads the member `bits`.
    pub fn of(bits: u64) -> Result<Self, StatusError> {
        match bits {
            1 => Ok(Self::One),
            2 => Ok(Self::Two),
            4 => Ok(Self::Four),
            8 => Ok(Self::Eight),
            _ => Err(StatusError::Width),
        }
    }

    /// The number of bits.
    pub fn bits(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Four => 4,
            Self::Eight => 8,
        }
    }

    fn mask(self) -> u8 {
        u8::MAX >> (8 - self.bits())
    }
}

/// Where a credential's status stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    /// The address of the list; also the `sub` of its token.
    pub uri: String,
    /// The entry.
    pub idx: u64,
}

impl Reference {
    /// Reads the claim `status` (section 6.2 of the draft), with an address as in U8.
    pub fn read(status: &serde_json::Value) -> Result<Self, StatusError> {
        let list = status.get("status_list").ok_or(StatusError::Reference)?;
        let uri = list.get("uri").and_then(serde_json::Value::as_str);
        let idx = list.get("idx").and_then(serde_json::Value::as_u64);
        match (uri, idx) {
            (Some(uri), Some(idx)) if is_address(uri) => Ok(Self {
                uri: uri.to_owned(),
                idx,
            }),
            _ => Err(StatusError::Reference),
        }
    }

    /// The claim `status`.
    pub(crate) fn to_claim(&self) -> serde_json::Value {
        serde_json::json!({"status_list": {"idx": self.idx, "uri": self.uri}})
    }
}

/// https, or http with exactly `127.0.0.1` or `localhost` as its host, for development.
fn is_address(uri: &str) -> bool {
    let printable = uri.bytes().all(|b| b.is_ascii_graphic());
    let rest = match (uri.strip_prefix("https://"), uri.strip_prefix("http://")) {
        (Some(rest), _) => Some(rest),
        (None, Some(rest)) => {
            let host = rest.split(['/', ':']).next().unwrap_or_default();
            matches!(host, "127.0.0.1" | "localhost").then_some(rest)
        }
        (None, None) => None,
    };
    uri.len() <= MAX_URI_LEN && printable && rest.is_some_and(|rest| !rest.is_empty())
}

/// The statuses of many credentials, inflated.
#[derive(Clone, PartialEq, Eq)]
pub struct StatusList {
    width: Width,
    bytes: Vec<u8>,
}

/// Millions of entries: `Debug` shows the size only.
impl std::fmt::Debug for StatusList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "StatusList({} entries of {:?})",
            self.entries(),
            self.width
        )
    }
}

impl StatusList {
    /// A list in which everything is valid; rounded up to whole bytes.
    pub fn new(width: Width, entries: u64) -> Result<Self, StatusError> {
        let bytes = entries.div_ceil(8 / u64::from(width.bits()));
        let bytes = usize::try_from(bytes).map_err(|_| StatusError::TooLong)?;
        Self::from_bytes(width, vec![0; bytes.min(MAX_LIST_BYTES + 1)])
    }

    /// A list from its packed bytes: entry 0 in the lowest bits of the first byte.
    pub fn from_bytes(width: Width, bytes: Vec<u8>) -> Result<Self, StatusError> {
        if bytes.len() > MAX_LIST_BYTES {
            return Err(StatusError::TooLong);
        }
        Ok(Self { width, bytes })
    }

    /// Bits of an entry.
    pub fn width(&self) -> Width {
        self.width
    }

    /// The packed bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many entries there are, those included that fill the last byte.
    pub fn entries(&self) -> u64 {
        self.bytes.len() as u64 * 8 / u64::from(self.width.bits())
    }

    /// The status at an index.
    pub fn at(&self, idx: u64) -> Result<Status, StatusError> {
        let (byte, shift) = self.place(idx)?;
        Ok(Status::of((self.bytes[byte] >> shift) & self.width.mask()))
    }

    /// Suspends, restores or revokes. What was revoked stays so (U4).
    pub fn change(&mut self, idx: u64, to: Status) -> Result<(), StatusError> {
        if to.code() > self.width.mask() {
            return Err(StatusError::Width);
        }
        if self.at(idx)? == Status::Invalid && to != Status::Invalid {
            return Err(StatusError::Final);
        }
        self.put(idx, to.code())
    }

    fn put(&mut self, idx: u64, code: u8) -> Result<(), StatusError> {
        let (byte, shift) = self.place(idx)?;
        let kept = self.bytes[byte] & !(self.width.mask() << shift);
        self.bytes[byte] = kept | (code << shift);
        Ok(())
    }

    /// Appends entries, all valid. Credentials that are not issued yet need none.
    pub fn grow(&mut self, entries: u64) -> Result<(), StatusError> {
        let longer = Self::new(self.width, entries)?;
        if longer.bytes.len() > self.bytes.len() {
            self.bytes.resize(longer.bytes.len(), 0);
        }
        Ok(())
    }

    fn place(&self, idx: u64) -> Result<(usize, u32), StatusError> {
        let per_byte = 8 / u64::from(self.width.bits());
        let byte = usize::try_from(idx / per_byte).map_err(|_| StatusError::Index)?;
        if byte >= self.bytes.len() {
            return Err(StatusError::Index);
        }
        Ok((byte, (idx % per_byte) as u32 * u32::from(self.width.bits())))
    }

    /// What stands on the ledger for this version (U9): over the inflated list, since two zlibs
    /// compress one list differently, and over its address, so that no list passes for another.
    pub fn digest(&self, uri: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"rdid/1/status-list\0");
        hash.update(Sha256::digest(uri.as_bytes()));
        hash.update([self.width.bits()]);
        hash.update(&self.bytes);
        hash.finalize().into()
    }

    /// The zlib stream of the list, as small as zlib can make it. Slow: seconds for 10 MB.
    pub fn deflate(&self) -> Result<Vec<u8>, StatusError> {
        let mut out = vec![0; zlib_rs::compress_bound(self.bytes.len())];
        let config = DeflateConfig {
            level: 9,
            ..DeflateConfig::default()
        };
        let (written, code) = zlib_rs::compress_slice(&mut out, &self.bytes, config);
        let len = written.len();
        if code != ReturnCode::Ok {
            return Err(StatusError::Compression);
        }
        out.truncate(len);
        Ok(out)
    }

    /// Inflates a list of at most `max_bytes`. A stream that would give more is refused when it
    /// has given that much, whatever it promises (U6).
    pub fn inflate(width: Width, stream: &[u8], max_bytes: usize) -> Result<Self, StatusError> {
        const FIRST: usize = 64 * 1024;
        let max_bytes = max_bytes.min(MAX_LIST_BYTES);
        let mut inflate = Inflate::new(true, 15);
        let mut out = Vec::new();
        loop {
            let (read, written) = (inflate.total_in() as usize, inflate.total_out() as usize);
            if written > max_bytes {
                return Err(StatusError::TooLong);
            }
            if written == out.len() {
                // One byte more than is allowed tells a list that ends here from one that goes on.
                let longer = (2 * out.len()).clamp(FIRST, max_bytes.saturating_add(1).max(FIRST));
                out.resize(longer, 0);
            }
            let status = inflate
                .decompress(&stream[read..], &mut out[written..], InflateFlush::NoFlush)
                .map_err(|_| StatusError::Compression)?;
            let (now_read, now_written) =
                (inflate.total_in() as usize, inflate.total_out() as usize);
            match status {
                zlib_rs::Status::StreamEnd if now_read == stream.len() => {
                    if now_written > max_bytes {
                        return Err(StatusError::TooLong);
                    }
                    out.truncate(now_written);
                    return Self::from_bytes(width, out);
                }
                zlib_rs::Status::StreamEnd => return Err(StatusError::Compression),
                // No progress with room left: the stream ends too early.
                _ if now_read == read && now_written == written => {
                    return Err(StatusError::Compression);
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
#[path = "status/tests.rs"]
mod tests;
