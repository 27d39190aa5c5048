//! A network's suites in JOSE: which keys of the ledger are which keys of a document, and which
//! algorithms a network's documents are signed by (spec/encoding.md, E9 and E10).

use realdid_core::genesis::Parameters;
use realdid_core::suite::{PublicKey, SecretKey, Suite};
use realdid_credential::jose::{Alg, JwsError, SigningKey, VerifyingKey};
use std::sync::{Mutex, PoisonError};

/// The algorithm of a suite's keys.
pub fn alg(suite: Suite) -> Alg {
    match suite {
        Suite::Ed25519 => Alg::EdDsa,
        Suite::P256 => Alg::Es256,
        Suite::Sm2 => Alg::Sm2Sm3,
    }
}

/// The suite of an algorithm's keys.
pub fn suite(alg: Alg) -> Suite {
    match alg {
        Alg::EdDsa => Suite::Ed25519,
        Alg::Es256 => Suite::P256,
        Alg::Sm2Sm3 => Suite::Sm2,
    }
}

/// A JOSE key from its 32 secret bytes.
pub fn key_from(suite: Suite, secret: &[u8; 32]) -> Result<SigningKey, JwsError> {
    match suite {
        Suite::Ed25519 => Ok(SigningKey::ed25519(secret)),
        Suite::P256 => SigningKey::p256(secret),
        Suite::Sm2 => SigningKey::sm2(secret),
    }
}

/// The same secret as a JOSE key.
pub fn signing_key(key: &SecretKey) -> Result<SigningKey, JwsError> {
    key_from(key.suite(), key.seed())
}

/// The same public key as a JOSE key.
pub fn verifying_key(key: &PublicKey) -> Result<VerifyingKey, JwsError> {
    match key.suite() {
        Suite::Ed25519 => {
            let bytes = key.bytes().try_into().map_err(|_| JwsError::KeyInvalid)?;
            VerifyingKey::ed25519(bytes)
        }
        Suite::P256 => VerifyingKey::p256(key.bytes()),
        Suite::Sm2 => VerifyingKey::sm2(key.bytes()),
    }
}

/// The keys of issuers that were asked for last.
static ISSUER_KEYS: Mutex<Vec<(PublicKey, VerifyingKey)>> = Mutex::new(Vec::new());
/// How many are kept.
const KEPT_KEYS: usize = 64;

/// [`verifying_key`] of an issuer's key. Issuers have few, and each is asked for at every login: what was
/// parsed is kept, since finding the point behind 33 bytes costs as much as half of a verification.
pub fn issuer_key(key: &PublicKey) -> Result<VerifyingKey, JwsError> {
    // A list is only ever changed by one push or remove: a poisoned one is sound.
    let kept = || ISSUER_KEYS.lock().unwrap_or_else(PoisonError::into_inner);
    let known = kept().iter().find(|(known, _)| known == key).cloned();
    if let Some((_, parsed)) = known {
        return Ok(parsed);
    }
    let parsed = verifying_key(key)?;
    let mut kept = kept();
    if kept.len() >= KEPT_KEYS {
        kept.remove(0);
    }
    kept.push((key.clone(), parsed.clone()));
    Ok(parsed)
}

/// Whether a network's documents may be signed by keys of this algorithm.
pub fn signs_documents(parameters: &Parameters, alg: Alg) -> bool {
    parameters.documents_by(suite(alg))
}

/// The algorithms by which a network's documents are signed.
pub fn document_algs(parameters: &Parameters) -> Vec<Alg> {
    let all = [Alg::Es256, Alg::EdDsa, Alg::Sm2Sm3];
    let signs = |alg: &Alg| signs_documents(parameters, *alg);
    all.into_iter().filter(signs).collect()
}

/// The algorithms of the keys that a network's credentials are bound to: devices have no Ed25519 in
/// their keystores, so that one is not among them.
pub fn holder_algs(parameters: &Parameters) -> Vec<Alg> {
    let of_documents = document_algs(parameters).into_iter();
    of_documents.filter(|alg| *alg != Alg::EdDsa).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitting(suites: &[Suite]) -> Parameters {
        Parameters {
            suites: suites.to_vec(),
            ..Parameters::development()
        }
    }

    #[test]
    fn a_network_says_by_its_suites_what_its_documents_are_signed_by() {
        use Alg::{EdDsa, Es256, Sm2Sm3};
        use Suite::{Ed25519, P256, Sm2};
        let cases: [(&[Suite], Suite, Suite, &[Alg], &[Alg]); 6] = [
            (&[Ed25519, P256], Ed25519, P256, &[Es256, EdDsa], &[Es256]),
            (&[Sm2], Sm2, Sm2, &[Sm2Sm3], &[Sm2Sm3]),
            (&[P256, Sm2], P256, P256, &[Es256, Sm2Sm3], &[Es256, Sm2Sm3]),
            (&[Ed25519, Sm2], Ed25519, Sm2, &[EdDsa, Sm2Sm3], &[Sm2Sm3]),
            (&[Ed25519], Ed25519, P256, &[Es256, EdDsa], &[Es256]),
            (&[P256], P256, P256, &[Es256], &[Es256]),
        ];
        for (suites, of_dids, of_documents, documents, holders) in cases {
            let parameters = admitting(suites);
            assert_eq!(parameters.did_suite(), of_dids, "{suites:?}");
            assert_eq!(parameters.document_suite(), of_documents, "{suites:?}");
            assert_eq!(document_algs(&parameters), documents, "{suites:?}");
            assert_eq!(holder_algs(&parameters), holders, "{suites:?}");
        }
    }

    #[test]
    fn a_ledgers_key_and_its_jose_key_are_one() {
        for suite in Suite::ALL {
            assert_eq!(super::suite(alg(suite)), suite);
            let secret = SecretKey::from_seed(suite, [7; 32]).unwrap();
            let signing = signing_key(&secret).unwrap();
            assert_eq!(signing.alg(), alg(suite));
            let public = verifying_key(&secret.public()).unwrap();
            for _ in 0..2 {
                assert_eq!(issuer_key(&secret.public()).unwrap(), public);
            }
            assert_eq!(signing.verifying_key(), public);
            assert_eq!(public.to_bytes(), secret.public().bytes());
        }
        for suite in [Suite::P256, Suite::Sm2] {
            assert!(key_from(suite, &[0xff; 32]).is_err());
        }
    }
}
