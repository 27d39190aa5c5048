//! Nothing in the copies marks their holder (promise P4; spec/wallet.md): copies of a PID, and of an
//! organisation's credential, are shown
//! once each, so all that may differ between two of them, or between two people's, is what looks
//! random: salts, digests, keys and signatures.

use crate::error::CliError;
use realdid_core::genesis::Parameters;
use realdid_credential::jose;
use realdid_credential::mdoc::Mdoc;
use realdid_credential::sd_jwt::ParsedSdJwt;
use realdid_exchange::vci;
use serde_json::{Map, Value};

use super::CLOCK_SKEW_S;

/// All that may stand in the clear in a PID.
const PID_PAYLOAD: &[&str] = &["iss", "vct", "iat", "exp", "cnf", "_sd", "_sd_alg"];
/// All that may stand in the header of a PID; certificates if they are those that everybody gets.
const PID_HEADER: &[&str] = &["alg", "typ", "kid", CERTIFICATES];
const CERTIFICATES: &str = "x5c";

/// Refuses copies by which their holder could be told from others, or one copy from another
/// (promise P4): other times than the epoch's, a member that others do not have, a header of its
/// own, another number of digests. `published` are the certificates that the issuer shows to everybody.
pub fn check_unmarked(
    copies: &[ParsedSdJwt],
    published: &[Vec<Vec<u8>>],
    parameters: &Parameters,
    now_s: u64,
) -> Result<(), CliError> {
    let mut shapes = copies.iter().map(|copy| Shape::of(copy.as_str()));
    let first = match shapes.next() {
        Some(shape) => shape?,
        None => return Ok(()),
    };
    for shape in shapes {
        if shape? != first {
            return Err(marked(
                "all copies are alike but for salts, keys and signatures",
            ));
        }
    }
    say_the_same(copies.iter().map(|copy| copy.claims()))?;
    if first.header.contains_key(CERTIFICATES) {
        let chain = first.chain.as_ref();
        check_published(chain.is_some_and(|chain| published.contains(chain)))?;
    }
    check_times((first.iat, first.exp), parameters, now_s)
}

fn check_published(published: bool) -> Result<(), CliError> {
    let rule = "the certificate is the one that the issuer publishes for everybody";
    published.then_some(()).ok_or_else(|| marked(rule))
}

/// The copies were issued in this epoch, or at the end of the one before it.
fn check_times(times: (u64, u64), parameters: &Parameters, now_s: u64) -> Result<(), CliError> {
    let allowed = [
        now_s,
        now_s.saturating_sub(CLOCK_SKEW_S),
        now_s + CLOCK_SKEW_S,
    ]
    .map(|time_s| vci::validity(parameters, time_s));
    if allowed
        .iter()
        .any(|validity| times == (validity.issued_at_s, validity.expires_s))
    {
        Ok(())
    } else {
        Err(marked(
            "the times are the start of the epoch, and its end plus the refresh lead",
        ))
    }
}

/// Whether all copies say the same about their holder.
fn say_the_same<T: PartialEq>(mut claims: impl Iterator<Item = T>) -> Result<(), CliError> {
    let first = claims.next();
    if claims.any(|other| Some(&other) != first.as_ref()) {
        return Err(marked("all copies say the same about their holder"));
    }
    Ok(())
}

fn marked(rule: &str) -> CliError {
    CliError::new(
        "credential.marked",
        rule,
        "issuer",
        "do not use these copies, and report the authority: they could be told apart",
    )
}

/// What a service sees of a copy before any disclosure, without what must differ.
#[derive(Debug, PartialEq)]
struct Shape {
    header: Map<String, Value>,
    /// The certificates in it, DER.
    chain: Option<Vec<Vec<u8>>>,
    plain: Map<String, Value>,
    digests: usize,
    disclosures: usize,
    /// Length in bytes: padding would mark as well as a claim does.
    length: usize,
    iat: u64,
    exp: u64,
}

impl Shape {
    fn of(sd_jwt: &str) -> Result<Self, CliError> {
        let jwt = sd_jwt.split('~').next().unwrap_or_default();
        let jws = jose::decode_unverified(jwt)?;
        let mut plain = jws.claims()?;
        let foreign = |members: &Map<String, Value>, known: &[&str]| {
            members.keys().any(|name| !known.contains(&name.as_str()))
        };
        if foreign(&plain, PID_PAYLOAD) || foreign(&jws.header, PID_HEADER) {
            return Err(marked(
                "a PID says nothing in the clear but who issued it and when it ends",
            ));
        }
        let time = |name: &str| plain.get(name).and_then(Value::as_u64).unwrap_or(0);
        let (iat, exp) = (time("iat"), time("exp"));
        // A binding beside the key, such as a kid of its own, would be a mark too.
        let bare = |value: &Value| {
            let jwk = value.get("jwk").and_then(Value::as_object);
            value.as_object().is_some_and(|cnf| cnf.len() == 1)
                && jwk.is_some_and(|jwk| !foreign(jwk, &["kty", "crv", "x", "y"]))
        };
        if !plain.remove("cnf").as_ref().is_some_and(bare) {
            return Err(marked("a PID is bound to a bare key"));
        }
        let digests = plain.remove("_sd");
        Ok(Self {
            digests: digests
                .as_ref()
                .and_then(Value::as_array)
                .map_or(0, Vec::len),
            disclosures: sd_jwt.matches('~').count(),
            length: sd_jwt.len(),
            chain: jws.x5c(),
            header: jws.header,
            plain,
            iat,
            exp,
        })
    }
}

/// The same for copies of a PID as mdocs. `published` are the certificates that the issuer shows to
/// everybody: one of its own would mark whoever got it.
pub fn check_unmarked_mdocs(
    copies: &[Mdoc],
    published: &[Vec<Vec<u8>>],
    parameters: &Parameters,
    now_s: u64,
) -> Result<(), CliError> {
    let mut plain = copies.iter().map(Mdoc::plain);
    let first = match plain.next() {
        Some(first) => first,
        None => return Ok(()),
    };
    let first = first.ok_or_else(|| {
        marked("a PID says nothing but its elements, who issued it and when it ends")
    })?;
    if plain.any(|other| other.as_ref() != Some(&first)) {
        return Err(marked(
            "all copies are alike but for salts, keys and signatures",
        ));
    }
    say_the_same(copies.iter().map(|copy| copy.claims()))?;
    if first.has_status {
        return Err(marked("a short-lived copy has no status"));
    }
    check_published(published.contains(&first.chain))?;
    if first.signed_s == first.from_s {
        check_times((first.from_s, first.until_s), parameters, now_s)
    } else {
        Err(marked("a copy is valid from when it says it was signed"))
    }
}
