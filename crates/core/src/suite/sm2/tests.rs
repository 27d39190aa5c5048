//! SM2 and SM3 against others: published vectors, and OpenSSL in both directions.

use super::*;
use crate::hash::HashFunction;
use crate::suite::{PublicKey, SecretKey, Suite};
use std::path::Path;
use std::process::Command;

/// The `name = value` lines of a vector file, each in lower case and without its `0x`.
fn fields(text: &str) -> Vec<(String, String)> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, value)| {
            let value = value.trim().trim_start_matches("0x");
            (name.to_owned(), value.to_owned())
        })
        .collect()
}

fn verifies(key: &[u8], message: &[u8], signature: &[u8; 64]) -> bool {
    Key::parse(key).is_some_and(|key| key.verifies(message, signature))
}

fn unhex<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

#[test]
fn sm3_gives_the_published_digests() {
    let fields = fields(include_str!("../../../../../spec/vectors/sm/sm3.vec"));
    let mut checked = 0;
    for pair in fields.chunks(2) {
        let [(input, message), (output, digest)] = pair else {
            panic!("half a vector");
        };
        assert_eq!((input.as_str(), output.as_str()), ("In", "Out"));
        let message = hex::decode(message).unwrap();
        let expected: [u8; 32] = unhex(digest);
        assert_eq!(HashFunction::Sm3.digest(&[&message]), expected);
        // However it is cut into parts.
        let (a, b) = message.split_at(message.len() / 3);
        assert_eq!(HashFunction::Sm3.digest(&[a, b]), expected);
        checked += 1;
    }
    assert_eq!(checked, 139);
}

#[test]
fn the_published_signature_verifies_under_its_user_id() {
    let text = include_str!("../../../../../spec/vectors/sm/sm2_sig.vec");
    let (_, case) = text.split_once("Hash = SM3").unwrap();
    let fields = fields(case.split("Hash").next().unwrap());
    let field = |name: &str| {
        let (_, value) = fields.iter().find(|(known, _)| known == name).unwrap();
        value.clone()
    };
    let public = public(&unhex(&field("x")));
    let key = VerifyingKey::from_sec1_bytes(&field("Ident"), &public).unwrap();
    let message = hex::decode(field("Msg")).unwrap();
    let bytes: [u8; 64] = unhex(&field("Signature"));
    let signature = Signature::from_slice(&bytes).unwrap();
    assert!(key.verify(&message, &signature).is_ok());
    // The same key under the default id hashes another Z.
    assert!(!verifies(&public, &message, &bytes));
}

#[test]
fn signatures_out_of_range_are_refused() {
    let public = public(&[7; 32]);
    let good = sign(&[7; 32], b"m");
    assert!(verifies(&public, b"m", &good));
    let order: [u8; 32] = unhex("fffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54123");
    for part in [[0; 32], order, [0xff; 32]] {
        let (mut r, mut s) = (good, good);
        r[..32].copy_from_slice(&part);
        s[32..].copy_from_slice(&part);
        assert!(!verifies(&public, b"m", &r) && !verifies(&public, b"m", &s));
    }
    // r + s = 0: t is zero (B5).
    let mut zero = good;
    let mut borrow = 0i16;
    for place in (0..32).rev() {
        let digit = i16::from(order[place]) - i16::from(good[place]) - borrow;
        borrow = i16::from(digit < 0);
        zero[32 + place] = digit.rem_euclid(256) as u8;
    }
    assert!(!verifies(&public, b"m", &zero));
}

#[test]
fn a_secret_is_below_the_order_less_one() {
    let less_one: [u8; 32] =
        unhex("fffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54122");
    let mut less_two = less_one;
    less_two[31] -= 1;
    assert!(!is_secret(&less_one) && is_secret(&less_two));
    let key = SecretKey::from_seed(Suite::Sm2, less_two).unwrap();
    let dev = "dev".parse().unwrap();
    let signature = key.sign(crate::suite::Context::Operation, &dev, b"m");
    let verified = key
        .public()
        .verify(crate::suite::Context::Operation, &dev, b"m", &signature);
    assert_eq!(verified, Ok(()));
}

/// The curve's name: 1.2.156.10197.1.301.
const CURVE: &str = "06082a811ccf5501822d";

/// RFC 5915 `ECPrivateKey` without the public key.
fn private_der(seed: &[u8; 32]) -> Vec<u8> {
    let text = format!("30310201010420{}a00a{CURVE}", hex::encode(seed));
    hex::decode(text).unwrap()
}

/// RFC 5480 `SubjectPublicKeyInfo` with a compressed point.
fn public_der(key: &PublicKey) -> Vec<u8> {
    let text = format!(
        "3039301306072a8648ce3d0201{CURVE}032200{}",
        hex::encode(key.bytes())
    );
    hex::decode(text).unwrap()
}

/// DER `SEQUENCE { r, s }` from `r ‖ s`.
fn signature_der(signature: &[u8; 64]) -> Vec<u8> {
    let integer = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        while bytes.len() > 1 && bytes[0] == 0 {
            bytes.remove(0);
        }
        if bytes[0] & 0x80 != 0 {
            bytes.insert(0, 0);
        }
        [vec![2, bytes.len() as u8], bytes].concat()
    };
    let body = [integer(&signature[..32]), integer(&signature[32..])].concat();
    [vec![0x30, body.len() as u8], body].concat()
}

/// `r ‖ s` from DER.
fn signature_of(der: &[u8]) -> [u8; 64] {
    let mut signature = [0; 64];
    let mut rest = &der[2..];
    for half in [0, 32] {
        let length = rest[1] as usize;
        let bytes = &rest[2..2 + length];
        let bytes = bytes.strip_prefix(&[0]).unwrap_or(bytes);
        signature[half + 32 - bytes.len()..half + 32].copy_from_slice(bytes);
        rest = &rest[2 + length..];
    }
    assert!(rest.is_empty());
    signature
}

fn openssl(folder: &Path, arguments: &[&str]) -> bool {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .output();
    let output = output.expect("openssl is on this machine: `cargo xtask test` sees to it");
    output.status.success()
}

#[test]
fn openssl_verifies_ours_and_we_verify_openssls() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let id = format!("distid:{USER_ID}");
    for n in 1..=4u8 {
        let secret = SecretKey::from_seed(Suite::Sm2, [n; 32]).unwrap();
        let message = vec![n; 40 * usize::from(n)];
        std::fs::write(folder.join("secret.der"), private_der(secret.seed())).unwrap();
        std::fs::write(folder.join("public.der"), public_der(&secret.public())).unwrap();
        std::fs::write(folder.join("message"), &message).unwrap();
        let verify = [
            "dgst",
            "-sm3",
            "-keyform",
            "DER",
            "-verify",
            "public.der",
            "-sigopt",
            &id,
            "-signature",
            "signature",
            "message",
        ];
        let sign_it = [
            "dgst",
            "-sm3",
            "-keyform",
            "DER",
            "-sign",
            "secret.der",
            "-sigopt",
            &id,
            "-out",
            "signature",
            "message",
        ];

        let ours = sign(secret.seed(), &message);
        std::fs::write(folder.join("signature"), signature_der(&ours)).unwrap();
        assert!(openssl(folder, &verify), "OpenSSL refuses ours");

        let mut wrong = ours;
        wrong[40] ^= 1;
        std::fs::write(folder.join("signature"), signature_der(&wrong)).unwrap();
        assert!(!openssl(folder, &verify), "OpenSSL accepts anything");

        assert!(openssl(folder, &sign_it), "OpenSSL signs");
        let theirs = signature_of(&std::fs::read(folder.join("signature")).unwrap());
        assert_ne!(theirs, ours, "OpenSSL draws its nonces");
        assert!(verifies(secret.public().bytes(), &message, &theirs));
        assert!(!verifies(
            secret.public().bytes(),
            b"another message",
            &theirs
        ));
    }
}
