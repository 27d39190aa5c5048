//! The PID as an mdoc (spec/mdoc.md, M14).
//!
//! Element names are those of the EUDI PID Rulebook (ARF annex 3.01, ISO/IEC 18013-5 encoding); type
//! and name space are our own. A service registers and asks for claims by one name, that of the
//! SD-JWT VC, whichever format a wallet answers in: [`element_of`] and [`claims_of`] translate.

use serde_json::{Map, Value, json};

use super::{Element, MdocError, Terms, issue};
use crate::jose::{SigningKey, VerifyingKey};
use crate::path::{ClaimPath, PathElement};
use crate::pid::{MAX_COPIES, Pid, PidError};

/// The document's type.
pub const DOC_TYPE: &str = "org.realdid.pid.1";
/// The one name space.
pub const NAME_SPACE: &str = "org.realdid.pid.1";

/// Claims of the SD-JWT VC by their paths, with their elements here.
const NAMES: &[(&[&str], &str)] = &[
    (&["given_name"], "given_name"),
    (&["family_name"], "family_name"),
    (&["birthdate"], "birth_date"),
    (&["age_equal_or_over", "18"], "age_over_18"),
    (&["sex"], "sex"),
    (&["nationalities"], "nationality"),
    (&["address", "region"], "resident_state"),
    (
        &["personal_administrative_number"],
        "personal_administrative_number",
    ),
    (&["issuing_authority"], "issuing_authority"),
    (&["issuing_country"], "issuing_country"),
    (&["assurance"], "assurance"),
];

/// The element that holds what a claim path names; none where the path goes inside of one.
pub fn element_of(path: &ClaimPath) -> Option<&'static str> {
    let elements = path.elements();
    // All members of a list are the list.
    let elements = match elements {
        [start @ .., PathElement::Every] => start,
        all => all,
    };
    let same = |names: &[&str]| {
        names.len() == elements.len()
            && names
                .iter()
                .zip(elements)
                .all(|(name, element)| matches!(element, PathElement::Name(other) if other == name))
    };
    let found = NAMES.iter().find(|(names, _)| same(names));
    found.map(|(_, element)| *element)
}

/// The claim that an element's path (name space and name) holds.
pub fn claim_of(path: &ClaimPath) -> Option<ClaimPath> {
    let [PathElement::Name(space), PathElement::Name(element)] = path.elements() else {
        return None;
    };
    let found = NAMES
        .iter()
        .find(|(_, name)| space == NAME_SPACE && name == element);
    found.and_then(|(path, _)| ClaimPath::of(path))
}

/// What was shown of a PID, under the names of its claims. Elements of other names are left out.
pub fn claims_of(shown: &Map<String, Value>) -> Map<String, Value> {
    let mut claims = Map::new();
    let elements = shown.get(NAME_SPACE).and_then(Value::as_object);
    for (path, element) in NAMES {
        let Some(value) = elements.and_then(|elements| elements.get(*element)) else {
            continue;
        };
        match path {
            [outer, inner] => {
                claims.insert((*outer).to_owned(), json!({ *inner: value }));
            }
            path => {
                let name = path.concat();
                claims.insert(name, value.clone());
            }
        }
    }
    claims
}

/// Makes one copy for each of `devices`, alike in all but key and randomness. `terms.doc_type` must
/// be [`DOC_TYPE`]. `random` must return 32 fresh random bytes at each call.
pub fn issue_batch(
    pid: &Pid,
    terms: &Terms<'_>,
    devices: &[VerifyingKey],
    key: &SigningKey,
    random: &mut dyn FnMut() -> [u8; 32],
) -> Result<Vec<Vec<u8>>, PidError> {
    let repeated = (1..devices.len()).any(|i| devices[..i].contains(&devices[i]));
    if devices.is_empty() || devices.len() > MAX_COPIES || repeated {
        return Err(PidError::Copies);
    }
    if terms.doc_type != DOC_TYPE {
        return Err(PidError::Claim);
    }
    let claims = pid.to_claims()?;
    let mut elements = Vec::new();
    for (path, name) in NAMES {
        let value = match path {
            [outer, inner] => claims.get(*outer).and_then(|outer| outer.get(*inner)),
            path => path.first().and_then(|name| claims.get(*name)),
        };
        let element = match (*name, value) {
            (_, None) => continue,
            ("birth_date", Some(Value::String(date))) => Element::FullDate(date.clone()),
            (_, Some(value)) => Element::Json(value.clone()),
        };
        elements.push((*name, element));
    }
    let spaces = [(NAME_SPACE, elements.as_slice())];
    let copies = devices
        .iter()
        .map(|device| issue(&spaces, terms, device, key, random));
    Ok(copies.collect::<Result<_, MdocError>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cbor::{self, Writer};
    use crate::cose;
    use crate::mdoc::{IssuerSigned, Mdoc, Plain};
    use crate::pid::tests::pid;

    const TERMS: Terms<'_> = Terms {
        doc_type: DOC_TYPE,
        signed_s: 1_800_000_000,
        from_s: 1_800_000_000,
        until_s: 1_800_000_120,
        x5chain: &[&[0x30, 0x00]],
        status: None,
    };

    fn key(n: u8) -> SigningKey {
        SigningKey::p256(&[n; 32]).unwrap()
    }

    fn batch(terms: &Terms<'_>, devices: &[u8]) -> Result<Vec<Vec<u8>>, PidError> {
        let devices: Vec<_> = devices.iter().map(|n| key(*n).verifying_key()).collect();
        let mut count = 0u8;
        let mut random = || {
            count += 1;
            [count; 32]
        };
        issue_batch(&pid(), terms, &devices, &key(9), &mut random)
    }

    #[test]
    fn both_formats_say_the_same_under_the_same_names() {
        let copies = batch(&TERMS, &[1, 2]).unwrap();
        let held = Mdoc::parse(&copies[0]).unwrap();
        assert_eq!(claims_of(held.claims()), pid().to_claims().unwrap());
        assert_eq!(held.claims()[NAME_SPACE]["birth_date"], "1996-02-29");
        for (path, element) in NAMES {
            let path = ClaimPath::of(path).unwrap();
            assert_eq!(element_of(&path), Some(*element));
            let here = ClaimPath::of(&[NAME_SPACE, element]).unwrap();
            assert_eq!(claim_of(&here), Some(path));
        }
        for other in [&["address"][..], &["age_equal_or_over", "21"], &["iss"]] {
            assert_eq!(element_of(&ClaimPath::of(other).unwrap()), None);
        }
    }

    #[test]
    fn a_batch_is_of_our_type_and_has_one_copy_for_each_key() {
        let other = Terms {
            doc_type: "org.other.1",
            ..TERMS
        };
        assert_eq!(batch(&other, &[1]), Err(PidError::Claim));
        assert_eq!(batch(&TERMS, &[]), Err(PidError::Copies));
        assert_eq!(batch(&TERMS, &[1, 1]), Err(PidError::Copies));
    }

    #[test]
    fn p4_copies_are_plain_and_alike_and_anything_more_shows() {
        let copies = batch(&TERMS, &[1, 2]).unwrap();
        let plain = |bytes: &[u8]| Mdoc::parse(bytes).unwrap().plain();
        let first: Plain = plain(&copies[0]).unwrap();
        assert_eq!(plain(&copies[1]).as_ref(), Some(&first));
        assert_eq!(
            (first.signed_s, first.until_s),
            (1_800_000_000, 1_800_000_120)
        );
        assert_eq!(first.chain, vec![vec![0x30, 0x00]]);
        assert_eq!(first.names.len(), 10);
        // an element kept back, as a wallet shows it, is no longer the whole
        let held = Mdoc::parse(&copies[0]).unwrap();
        let part = held.select(&[(NAME_SPACE, "sex")]).unwrap();
        assert_eq!(part.plain(), None);
        // what nobody needs and every service sees: a member more in what the issuer signs
        let issued = IssuerSigned::read(&copies[0]).unwrap();
        let (_, mso) = cbor::whole(issued.payload, cbor::encoded).unwrap();
        let mark = Writer::new().text("mark").text("7").done();
        let mso = [&[0xa7], &mso[1..], &mark].concat();
        let mso = Writer::new().encoded(&mso).done();
        let header = cose::Header {
            x5chain: issued.auth.header.x5chain.clone(),
            ..cose::Header::default()
        };
        let auth = cose::sign1(&header, &mso, false, &key(9)).unwrap();
        let at = copies[0].len() - issued.auth_bytes.len();
        let marked = [&copies[0][..at], &auth].concat();
        assert_eq!(plain(&marked), None);
        // or another order of the two parts
        let spaces = &copies[0][1..at - 11];
        let swapped = [&[0xa2], &copies[0][at - 11..], spaces].concat();
        assert_eq!(plain(&swapped), None);
    }
}
