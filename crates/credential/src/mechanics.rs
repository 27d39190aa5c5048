//! Selective disclosure itself (RFC 9901 §4 and §7.1): claims to digests, and back.
//!
//! The work is done by `identity-kit`, pinned exactly and used in this file only, so that it can
//! be replaced by replacing this file. Why it: current cryptographic crates, every rejection rule
//! of §7.1, little beyond what the workspace has anyway, and it builds for
//! wasm32-unknown-unknown once the program at the top switches on getrandom's browser features
//! (0.4 `wasm_js`, 0.2 `js`). The alternative, `sd-jwt-payload`, sits on the older generation,
//! counts only *disclosed* digests as repeated and leaves `_sd` in objects that become empty.
//!
//! What we do not take from it: keys and signatures ([`crate::jose`]), the clock, its randomness
//! (salts are an argument), and its errors, which quote disclosures. Where it is lenient we add:
//! fewer disclosures, a smaller depth, no repeated JSON member in a disclosure, and no `_sd` or
//! `...` left standing anywhere (§4.1 reserves both; §7.1 would let a stray one pass as a claim).

use std::collections::VecDeque;

use identity_kit::sd_jwt_vc as kit;
use serde_json::{Map, Value};

use crate::jose;
use crate::json;
use crate::path::PathElement;
use crate::sd_jwt::SdJwtError;

/// The most disclosures that one credential may have.
pub(crate) const MAX_DISCLOSURES: usize = 64;

/// Claims in which digests stand for what is hidden.
pub(crate) struct Concealed {
    pub payload: Map<String, Value>,
    /// Encoded disclosures, in the order of the claims.
    pub disclosures: Vec<String>,
}

/// Hides the claims at `paths`; a path within a hidden claim makes a recursive disclosure (§6.3).
/// Every path names one place; `salt` is called once for each.
pub(crate) fn conceal(
    claims: Map<String, Value>,
    paths: &[Vec<PathElement>],
    salt: &mut dyn FnMut() -> [u8; 16],
) -> Result<Concealed, SdJwtError> {
    if paths.len() > MAX_DISCLOSURES {
        return Err(SdJwtError::TooManyDisclosures);
    }
    if claims
        .values()
        .any(|value| json::deeper_than(value, json::MAX_DEPTH - 1))
    {
        return Err(SdJwtError::TooDeep);
    }
    if claims.contains_key("_sd_alg") || claims.values().any(has_reserved_name) {
        return Err(SdJwtError::ClaimReserved);
    }
    // Drawn ahead of time, since the builder wants a source that outlives this call.
    let mut salts: VecDeque<String> = paths.iter().map(|_| jose::encode(&salt())).collect();
    let mut builder = kit::SdJwtBuilder::new(claims)
        .with_salt_generator(move || salts.pop_front().unwrap_or_default());
    for path in paths {
        builder = builder.conceal(kit_path(path));
    }
    let encoded = builder.encode().map_err(refused)?;
    // A place named twice or a pattern would otherwise run the salts dry.
    if encoded.disclosures.len() != paths.len() {
        return Err(SdJwtError::ClaimReserved);
    }
    Ok(Concealed {
        payload: encoded.payload,
        disclosures: encoded
            .disclosures
            .iter()
            .map(|d| d.as_str().to_owned())
            .collect(),
    })
}

/// What an SD-JWT says once its disclosures are put in place.
pub(crate) struct Revealed {
    pub claims: Map<String, Value>,
    /// The place of each disclosure, in the order in which they were given.
    pub places: Vec<Vec<PathElement>>,
}

/// Puts the disclosures of `sd_jwt` (ending in `~`, without key binding) in place. Checks no
/// signature.
pub(crate) fn reveal(sd_jwt: &str) -> Result<Revealed, SdJwtError> {
    let disclosures = || sd_jwt.split('~').skip(1).filter(|part| !part.is_empty());
    if disclosures().count() > MAX_DISCLOSURES {
        return Err(SdJwtError::TooManyDisclosures);
    }
    for disclosure in disclosures() {
        let bytes = jose::decode(disclosure).map_err(|_| SdJwtError::DisclosureMalformed)?;
        json::parse(&bytes).map_err(|_| SdJwtError::DisclosureMalformed)?;
    }
    let processed = kit::SdJwt::parse(sd_jwt)
        .and_then(|parsed| parsed.process())
        .map_err(refused)?;
    let mut places = vec![Vec::new(); disclosures().count()];
    for claim in &processed.disclosed {
        if let Some(place) = places.get_mut(claim.disclosure) {
            *place = our_path(&claim.path);
        }
    }
    let claims = Value::Object(processed.payload);
    if json::deeper_than(&claims, json::MAX_DEPTH) {
        return Err(SdJwtError::TooDeep);
    }
    if has_reserved_name(&claims) {
        return Err(SdJwtError::DigestMalformed);
    }
    match claims {
        Value::Object(claims) => Ok(Revealed { claims, places }),
        _ => Err(SdJwtError::Malformed),
    }
}

/// Whether `_sd` or `...` stands as a member anywhere. Recursion is bounded: callers check depth.
fn has_reserved_name(value: &Value) -> bool {
    match value {
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| name == "_sd" || name == "..." || has_reserved_name(value)),
        Value::Array(items) => items.iter().any(has_reserved_name),
        _ => false,
    }
}

fn kit_path(path: &[PathElement]) -> kit::ClaimPath {
    kit::ClaimPath::from_iter(path.iter().map(|element| match element {
        PathElement::Name(name) => kit::PathComponent::Key(name.clone()),
        PathElement::Index(index) => kit::PathComponent::Index(*index),
        PathElement::Every => kit::PathComponent::All,
    }))
}

fn our_path(path: &kit::ClaimPath) -> Vec<PathElement> {
    let ours = |component: &kit::PathComponent| match component {
        kit::PathComponent::Key(name) => PathElement::Name(name.clone()),
        kit::PathComponent::Index(index) => PathElement::Index(*index),
        kit::PathComponent::All => PathElement::Every,
    };
    path.components().iter().map(ours).collect()
}

/// The library's errors quote disclosures; only the kind of failure passes.
fn refused(error: kit::SdJwtError) -> SdJwtError {
    use kit::SdJwtError as Kit;
    match error {
        Kit::InvalidDisclosure { .. } => SdJwtError::DisclosureMalformed,
        Kit::DuplicateDisclosure(_) => SdJwtError::DisclosureTwice,
        Kit::Payload { .. } => SdJwtError::DigestMalformed,
        Kit::UnsupportedHashAlgorithm(_) => SdJwtError::HashAlg,
        Kit::DuplicateDigest(_) => SdJwtError::DigestTwice,
        Kit::UnusedDisclosure(_) => SdJwtError::DisclosureUnreferenced,
        Kit::WrongDisclosureKind { .. } => SdJwtError::DisclosureKind,
        Kit::ReservedClaimName(_) | Kit::NotConcealable { .. } => SdJwtError::ClaimReserved,
        Kit::DuplicateClaim { .. } => SdJwtError::ClaimTwice,
        Kit::TooDeep { .. } => SdJwtError::TooDeep,
        Kit::NoSuchClaim(_) => SdJwtError::NoSuchClaim,
        _ => SdJwtError::Malformed,
    }
}

#[cfg(test)]
#[path = "mechanics_tests.rs"]
mod tests;
