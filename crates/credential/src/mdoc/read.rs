//! Bytes in, elements out: what came, taken apart (spec/mdoc.md, M1 to M8). No signature is checked
//! here.

use minicbor::Decoder;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{MAX_ELEMENTS, MIN_RANDOM_LEN, MdocError};
use crate::cbor::{self, Key, Malformed};
use crate::cose;
use crate::jose::VerifyingKey;

/// One element as it came.
pub(super) struct Item<'b> {
    pub name_space: &'b str,
    /// With the tag 24: what the digest is of.
    pub bytes: &'b [u8],
    pub number: u64,
    pub random: &'b [u8],
    pub name: &'b str,
    pub value: Value,
    /// The value as it is written.
    pub value_bytes: &'b [u8],
}

impl<'b> Item<'b> {
    fn read(name_space: &'b str, decoder: &mut Decoder<'b>) -> Result<Self, MdocError> {
        let (bytes, inner) = cbor::encoded(decoder)?;
        let (mut number, mut random, mut name, mut value) = (None, None, None, None);
        let mut value_bytes: &[u8] = &[];
        cbor::whole(inner, |decoder| {
            cbor::map(decoder, |key, decoder| {
                match key {
                    Key::Text("digestID") => number = Some(decoder.u64()?),
                    Key::Text("random") => random = Some(decoder.bytes()?),
                    Key::Text("elementIdentifier") => name = Some(decoder.str()?),
                    Key::Text("elementValue") => {
                        let start = decoder.position();
                        value = Some(cbor::json(decoder)?);
                        let written = decoder.input().get(start..decoder.position());
                        value_bytes = written.ok_or(Malformed)?;
                    }
                    _ => return Err(Malformed),
                }
                Ok(true)
            })
        })?;
        let random = random
            .filter(|random: &&[u8]| random.len() >= MIN_RANDOM_LEN)
            .ok_or(Malformed)?;
        Ok(Self {
            name_space,
            bytes,
            number: number.ok_or(Malformed)?,
            random,
            name: name.ok_or(Malformed)?,
            value: value.ok_or(Malformed)?,
            value_bytes,
        })
    }
}

/// The Mobile Security Object.
pub(super) struct Mso<'b> {
    pub doc_type: &'b str,
    pub device_key: VerifyingKey,
    pub digests: Vec<(&'b str, u64, &'b [u8])>,
    pub signed_s: u64,
    pub from_s: u64,
    pub until_s: u64,
    pub status: Option<Value>,
}

impl<'b> Mso<'b> {
    fn read(payload: &'b [u8]) -> Result<Self, MdocError> {
        let (_, inner) = cbor::whole(payload, cbor::encoded)?;
        let (mut version, mut algorithm, mut doc_type, mut device_key, mut status) =
            (None, None, None, None, None);
        let (mut signed_s, mut from_s, mut until_s) = (None, None, None);
        let mut digests = Vec::new();
        cbor::whole(inner, |decoder| {
            cbor::map(decoder, |key, decoder| {
                match key {
                    Key::Text("version") => version = Some(decoder.str()?),
                    Key::Text("digestAlgorithm") => algorithm = Some(decoder.str()?),
                    Key::Text("docType") => doc_type = Some(decoder.str()?),
                    Key::Text("status") => status = Some(cbor::json(decoder)?),
                    Key::Text("deviceKeyInfo") => cbor::map(decoder, |key, decoder| {
                        if key == Key::Text("deviceKey") {
                            device_key = Some(cose::read_key(decoder)?);
                            return Ok(true);
                        }
                        Ok(false)
                    })?,
                    Key::Text("valueDigests") => cbor::map(decoder, |key, decoder| {
                        let Key::Text(name_space) = key else {
                            return Err(Malformed);
                        };
                        cbor::map(decoder, |key, decoder| {
                            let Key::Int(number) = key else {
                                return Err(Malformed);
                            };
                            let number = u64::try_from(number).map_err(|_| Malformed)?;
                            digests.push((name_space, number, decoder.bytes()?));
                            Ok(true)
                        })?;
                        Ok(true)
                    })?,
                    Key::Text("validityInfo") => cbor::map(decoder, |key, decoder| {
                        let place = match key {
                            Key::Text("signed") => &mut signed_s,
                            Key::Text("validFrom") => &mut from_s,
                            Key::Text("validUntil") => &mut until_s,
                            _ => return Ok(false),
                        };
                        *place = Some(cbor::date_time(decoder)?);
                        Ok(true)
                    })?,
                    _ => return Ok(false),
                }
                Ok(true)
            })
        })?;
        if version != Some("1.0") || algorithm != Some("SHA-256") {
            return Err(MdocError::MsoMalformed);
        }
        let read = || -> Option<Self> {
            Some(Self {
                doc_type: doc_type?,
                device_key: device_key?,
                digests,
                signed_s: signed_s?,
                from_s: from_s?,
                until_s: until_s?,
                status,
            })
        };
        read().ok_or(MdocError::MsoMalformed)
    }

    /// Each item is one that the issuer signed, and none stands twice (§9.3.1 step 3).
    fn covers(&self, items: &[Item<'_>]) -> Result<(), MdocError> {
        for (i, item) in items.iter().enumerate() {
            let same = |other: &Item<'_>| {
                other.name_space == item.name_space
                    && (other.name == item.name || other.number == item.number)
            };
            if items[..i].iter().any(same) {
                return Err(MdocError::ElementTwice);
            }
            let digest = Sha256::digest(item.bytes);
            let signed = |(name_space, number, signed): &(&str, u64, &[u8])| {
                *name_space == item.name_space
                    && *number == item.number
                    && *signed == digest.as_slice()
            };
            if !self.digests.iter().any(signed) {
                return Err(MdocError::Digest);
            }
        }
        Ok(())
    }
}

/// `IssuerSigned`, taken apart; the items fit the digests, no signature was checked.
pub(super) struct IssuerSigned<'b> {
    pub items: Vec<Item<'b>>,
    /// The COSE_Sign1 as it came.
    pub auth_bytes: &'b [u8],
    pub auth: cose::Claimed<'b>,
    pub payload: &'b [u8],
    pub mso: Mso<'b>,
}

impl<'b> IssuerSigned<'b> {
    pub(super) fn read(bytes: &'b [u8]) -> Result<Self, MdocError> {
        let (mut spaces, mut auth_bytes) = (None, None);
        cbor::whole(bytes, |decoder| {
            cbor::map(decoder, |key, decoder| {
                match key {
                    Key::Text("nameSpaces") => spaces = Some(cbor::raw(decoder)?),
                    Key::Text("issuerAuth") => auth_bytes = Some(cbor::raw(decoder)?),
                    _ => return Err(Malformed),
                }
                Ok(true)
            })
        })?;
        let auth_bytes = auth_bytes.ok_or(Malformed)?;
        let auth = cbor::whole(auth_bytes, cose::Claimed::read)?;
        let payload = auth.payload.ok_or(Malformed)?;
        let mso = Mso::read(payload)?;
        let items = spaces.map_or(Ok(Vec::new()), read_items)?;
        mso.covers(&items)?;
        Ok(Self {
            items,
            auth_bytes,
            auth,
            payload,
            mso,
        })
    }

    pub(super) fn claims(&self) -> Map<String, Value> {
        let mut claims = Map::new();
        for item in &self.items {
            let space = claims
                .entry(item.name_space)
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(space) = space {
                space.insert(item.name.to_owned(), item.value.clone());
            }
        }
        claims
    }
}

pub(super) fn read_items(bytes: &[u8]) -> Result<Vec<Item<'_>>, MdocError> {
    let mut items = Vec::new();
    let mut failed = Ok(());
    cbor::whole(bytes, |decoder| {
        cbor::map(decoder, |key, decoder| {
            let Key::Text(name_space) = key else {
                return Err(Malformed);
            };
            for _ in 0..cbor::array(decoder)? {
                let item = match items.len() {
                    MAX_ELEMENTS => Err(MdocError::TooMany),
                    _ => Item::read(name_space, decoder),
                };
                items.push(item.map_err(|error| {
                    failed = Err(error);
                    Malformed
                })?);
            }
            Ok(true)
        })
    })
    .map_err(|malformed| failed.err().unwrap_or(malformed.into()))?;
    Ok(items)
}

/// The one document of a `DeviceResponse`.
pub(super) struct Document<'b> {
    pub doc_type: &'b str,
    pub issued: IssuerSigned<'b>,
    /// `DeviceNameSpacesBytes` as it came.
    pub device_spaces: &'b [u8],
    pub device_auth: cose::Claimed<'b>,
}

impl<'b> Document<'b> {
    pub(super) fn read(response: &'b [u8]) -> Result<Self, MdocError> {
        let (mut version, mut status, mut document) = (None, None, None);
        cbor::whole(response, |decoder| {
            cbor::map(decoder, |key, decoder| {
                match key {
                    Key::Text("version") => version = Some(decoder.str()?),
                    Key::Text("status") => status = Some(decoder.u64()?),
                    Key::Text("documents") => {
                        cbor::array_of(decoder, 1)?;
                        document = Some(cbor::raw(decoder)?);
                    }
                    _ => return Err(Malformed),
                }
                Ok(true)
            })
        })?;
        if version != Some("1.0") || status != Some(0) {
            return Err(MdocError::Malformed);
        }
        let (mut doc_type, mut issued, mut device) = (None, None, None);
        cbor::whole(document.ok_or(Malformed)?, |decoder| {
            cbor::map(decoder, |key, decoder| {
                match key {
                    Key::Text("docType") => doc_type = Some(decoder.str()?),
                    Key::Text("issuerSigned") => issued = Some(cbor::raw(decoder)?),
                    Key::Text("deviceSigned") => device = Some(cbor::raw(decoder)?),
                    _ => return Err(Malformed),
                }
                Ok(true)
            })
        })?;
        let (device_spaces, device_auth) = read_device(device.ok_or(Malformed)?)?;
        Ok(Self {
            doc_type: doc_type.ok_or(Malformed)?,
            issued: IssuerSigned::read(issued.ok_or(Malformed)?)?,
            device_spaces,
            device_auth,
        })
    }
}

/// `DeviceSigned`: name spaces that must be empty, and a signature.
fn read_device(bytes: &[u8]) -> Result<(&[u8], cose::Claimed<'_>), MdocError> {
    let (mut spaces, mut signature, mut mac) = (None, None, false);
    cbor::whole(bytes, |decoder| {
        cbor::map(decoder, |key, decoder| {
            match key {
                Key::Text("nameSpaces") => spaces = Some(cbor::encoded(decoder)?),
                Key::Text("deviceAuth") => cbor::map(decoder, |key, decoder| {
                    match key {
                        Key::Text("deviceSignature") => {
                            signature = Some(cose::Claimed::read(decoder)?);
                            return Ok(true);
                        }
                        Key::Text("deviceMac") => mac = true,
                        _ => return Err(Malformed),
                    }
                    Ok(false)
                })?,
                _ => return Err(Malformed),
            }
            Ok(true)
        })
    })?;
    let (outer, inner) = spaces.ok_or(Malformed)?;
    if inner != [0xa0] {
        return Err(MdocError::DeviceClaims);
    }
    let signature = match signature {
        // Its payload is what both sides make of the request, never what comes with it.
        Some(signature) if signature.payload.is_none() => signature,
        None if mac => return Err(MdocError::DeviceMac),
        _ => return Err(MdocError::Malformed),
    };
    Ok((outer, signature))
}
