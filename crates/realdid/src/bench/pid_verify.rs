//! `pid_verify`: what a verifier does with one presentation, apart from looking up the ledger.

use super::pid_issue::{self, TERMS, key, p256_key, person};
use super::{Measured, broken, clock};
use crate::fail::Fail;
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use realdid_credential::ClaimPath;
use realdid_credential::jose::Jwk;
use realdid_credential::pid::{self, VCT};
use realdid_credential::sd_jwt::{
    Binding, Evidence, IssuerEvidence, IssuerKey, ParsedSdJwt, present,
};

/// Presentations, each of another holder key.
const PRESENTATIONS: u64 = 200;
const AUDIENCE: &str = "verifier_attestation:bench";
const NONCE: &str = "bm9uY2Ugb2YgdGhlIGJlbmNobWFyaw";

pub fn measure() -> Result<Measured, Fail> {
    let presentations = presentations()?;
    let issuer_keys = [IssuerKey {
        iss: TERMS.iss.to_owned(),
        kid: TERMS.kid.to_owned(),
        key: key("issuer", 0)?.verifying_key(),
    }];
    let evidence = Evidence {
        issuer: IssuerEvidence {
            issuer_keys: &issuer_keys,
            accepted_vcts: &[VCT],
            now_s: TERMS.iat_s,
            clock_skew_s: 10,
        },
        nonce: NONCE,
        aud: AUDIENCE,
        max_kb_age_s: 300,
    };
    let ours = clock::rate(clock::length(), 1, |round| {
        let shown = &presentations[round % presentations.len()];
        let verified = pid::verify(shown, &evidence).map_err(Fail::of)?;
        let right = verified.claims.len() == 2;
        right
            .then_some(())
            .ok_or_else(|| broken("two claims are disclosed"))
    })?;
    Ok(Measured {
        id: "pid_verify",
        workload: "one presentation with 2 of 10 claims disclosed: issuer signature, disclosures, key binding, audience, \
                   nonce; each with another holder key",
        unit: "presentations/cpu-s",
        ours,
        limit: Some("two P-256 verifications alone"),
        limit_value: Some(verifying()? / 2.0),
        goal: None,
    })
}

/// P-256 verifications with a ready key a second of processor time.
pub fn verifying() -> Result<f64, Fail> {
    let message = [7; 1500];
    let signed: Vec<_> = (0..PRESENTATIONS)
        .map(|n| {
            let key = p256_key("holder", n)?;
            let signature: p256::ecdsa::Signature = key.sign(&message);
            Ok((*key.verifying_key(), signature))
        })
        .collect::<Result<_, Fail>>()?;
    clock::rate(clock::length() / 2, signed.len(), |_| {
        let valid = |(key, signature): &(p256::ecdsa::VerifyingKey, _)| {
            key.verify(&message, signature).is_ok()
        };
        let all = signed.iter().all(valid);
        all.then_some(())
            .ok_or_else(|| broken("every signature verifies"))
    })
}

fn presentations() -> Result<Vec<String>, Fail> {
    let (person, issuer) = (person(), key("issuer", 0)?);
    let asked = [&["age_equal_or_over", "18"][..], &["nationalities"]];
    let asked: Vec<ClaimPath> = asked
        .iter()
        .filter_map(|names| ClaimPath::of(names))
        .collect();
    let binding = Binding {
        nonce: NONCE,
        aud: AUDIENCE,
        iat_s: TERMS.iat_s,
    };
    let one = |n| {
        let holder = key("holder", n)?;
        let holders = [Jwk(holder.verifying_key())];
        let copies = pid::issue_batch(&person, &TERMS, &holders, &issuer, &mut pid_issue::salt()?);
        let copy = copies.map_err(Fail::of)?.remove(0);
        let copy = ParsedSdJwt::parse(&copy).map_err(Fail::of)?;
        present(&copy, &asked, &binding, &holder).map_err(Fail::of)
    };
    (0..PRESENTATIONS).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presentations_are_all_different_and_bound() {
        let all = presentations().unwrap();
        assert_eq!(all.len(), 200);
        assert!(all.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
