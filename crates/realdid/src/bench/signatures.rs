//! What signatures alone cost, with the library that signs and verifies here: the limit of a login.

use super::{broken, clock};
use crate::fail::Fail;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    ParsedPublicKey,
};
use std::time::Duration;

/// Bytes of a credential, about.
const MESSAGE: [u8; 1500] = [7; 1500];
/// Keys that verify in turn.
const KEYS: usize = 200;

fn pair() -> Result<EcdsaKeyPair, Fail> {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| broken("a key is made"))
}

/// P-256 signatures a second of processor time.
pub fn signing(length: Duration) -> Result<f64, Fail> {
    let (pair, random) = (pair()?, SystemRandom::new());
    clock::rate(length, 50, |_| {
        for _ in 0..50 {
            let signature = pair.sign(&random, std::hint::black_box(&MESSAGE));
            std::hint::black_box(signature.map_err(|_| broken("a message is signed"))?);
        }
        Ok(())
    })
}

/// P-256 verifications with a ready key a second of processor time.
pub fn verifying(length: Duration) -> Result<f64, Fail> {
    let random = SystemRandom::new();
    let signed = (0..KEYS).map(|_| {
        let pair = pair()?;
        let signature = pair.sign(&random, &MESSAGE).ok();
        let public = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref());
        signature
            .zip(public.ok())
            .ok_or_else(|| broken("a message is signed"))
    });
    let signed: Vec<_> = signed.collect::<Result<_, Fail>>()?;
    clock::rate(length, signed.len(), |_| {
        let all = signed
            .iter()
            .all(|(signature, key)| key.verify_sig(&MESSAGE, signature.as_ref()).is_ok());
        all.then_some(())
            .ok_or_else(|| broken("every signature verifies"))
    })
}
