//! `pid_issue`: making batches of one-time copies of a PID.

use super::{Measured, broken, clock, traffic};
use crate::fail::Fail;
use crate::nation::random;
use p256::ecdsa::signature::Signer as _;
use realdid_credential::jose::{Jwk, SigningKey};
use realdid_credential::pid::{self, Assurance, Pid, Sex};
use realdid_credential::sd_jwt::Terms;

/// Copies in a batch, as an authority makes them.
const COPIES: u64 = 10;

pub fn measure() -> Result<Measured, Fail> {
    let (person, issuer) = (person(), key("issuer", 0)?);
    let holders: Vec<Jwk> = (0..COPIES)
        .map(|n| Ok(Jwk(key("holder", n)?.verifying_key())))
        .collect::<Result<_, Fail>>()?;
    let ours = clock::rate(clock::length(), COPIES as usize, |_| {
        pid::issue_batch(&person, &TERMS, &holders, &issuer, &mut salt()?)
            .map(|copies| _ = std::hint::black_box(copies))
            .map_err(Fail::of)
    })?;
    Ok(Measured {
        id: "pid_issue",
        workload: "batches of 10 copies with 10 selectively disclosable claims, each copy with its own holder key",
        unit: "copies/cpu-s",
        ours,
        limit: Some("one P-256 signature alone"),
        limit_value: Some(signing()?),
        goal: None,
    })
}

/// P-256 signatures of a credential's length a second of processor time.
pub fn signing() -> Result<f64, Fail> {
    let key = p256_key("issuer", 0)?;
    let message = [7; 1500];
    clock::rate(clock::length() / 2, 50, |_| {
        for _ in 0..50 {
            let signature: p256::ecdsa::Signature = key.sign(std::hint::black_box(&message));
            std::hint::black_box(signature);
        }
        Ok(())
    })
}

pub const TERMS: Terms<'_> = Terms {
    iss: "https://issuer.example",
    vct: pid::VCT,
    kid: "1",
    iat_s: 1_800_000_000,
    exp_s: 1_800_003_600,
    x5c: &[],
};

/// A person with the ten claims of a PID without a resident number.
pub fn person() -> Pid {
    Pid {
        given_name: "Person".to_owned(),
        family_name: "Example".to_owned(),
        birthdate: "1990-01-01".to_owned(),
        age_over_18: true,
        sex: Sex::Female,
        nationalities: vec!["XX".to_owned()],
        region: "980000".to_owned(),
        resident_number: None,
        issuing_authority: "Example Authority".to_owned(),
        issuing_country: "XX".to_owned(),
        assurance: Assurance::High,
    }
}

/// The `n`th P-256 key of a use.
pub fn key(what: &str, n: u64) -> Result<SigningKey, Fail> {
    SigningKey::p256(&traffic::bytes(what, n).0).map_err(Fail::of)
}

/// The same as the library's own type.
pub fn p256_key(what: &str, n: u64) -> Result<p256::ecdsa::SigningKey, Fail> {
    p256::ecdsa::SigningKey::from_slice(&traffic::bytes(what, n).0)
        .map_err(|_| broken("a fixed seed gives a key"))
}

/// Fresh salts from one draw of randomness, as an authority makes them: a keyed hash of a count.
pub fn salt() -> Result<impl FnMut() -> [u8; 16], Fail> {
    use realdid_core::hash::{Domain, hash};
    let mut seed = [0; 32];
    random(&mut seed)?;
    let mut count = 0u64;
    Ok(move || {
        count += 1;
        let mut salt = [0; 16];
        salt.copy_from_slice(&hash(Domain::Operation, &[&seed, &count.to_be_bytes()]).0[..16]);
        salt
    })
}
