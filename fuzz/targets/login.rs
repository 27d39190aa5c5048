//! What a RealPass is carried in when it is issued and shown (spec/login.md, spec/realpass.md B22 and
//! B23): the first byte says which decoder. Nothing panics, and what is read says the same when it is
//! written and read again.
//!
//! Base64url and encryption hide bytes from a fuzzer. Some of the inputs are therefore what is inside
//! of them, wrapped here.
#![no_main]

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use realdid_credential::realpass::{Envelope, Fact, Shown};
use realdid_exchange::jwe::{DecryptionKey, EncryptionKey};
use realdid_exchange::vci::{PassAnswer, PassRequest};
use realdid_exchange::vp::{ClaimedRequest, WalletResponse};
use serde_json::{Value, json};
use url::form_urlencoded;

/// The epoch of the seeds.
const EPOCH: u64 = 30_000_000;

fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = input.split_first() else {
        return;
    };
    let text = str::from_utf8(bytes).unwrap_or_default();
    match kind % 9 {
        0 => {
            if let Ok(envelope) = Envelope::parse(text) {
                assert_eq!(envelope.to_string(), text);
            }
        }
        1 => shown(text, *kind),
        2 => {
            // the presentation inside of its text
            let issuer = "5a".repeat(32);
            shown(
                &format!("{issuer}.{}", URL_SAFE_NO_PAD.encode(bytes)),
                *kind,
            );
        }
        3 => {
            if let Ok(read) = PassRequest::parse(bytes) {
                assert!(PassRequest::is_asked(bytes));
                let again = PassRequest::parse(&body(&read.to_body())).map(|read| read.to_body());
                assert_eq!(again, Ok(read.to_body()));
            }
        }
        4 => {
            if let Ok(read) = PassAnswer::parse(bytes, EPOCH) {
                assert!(
                    PassAnswer::parse(bytes, EPOCH + 1).is_err(),
                    "an answer for any epoch"
                );
                let again = PassAnswer::parse(&body(&read.to_body()), EPOCH);
                assert_eq!(again.map(|read| read.to_body()), Ok(read.to_body()));
            }
        }
        5 => {
            let _ = WalletResponse::parse(bytes, None);
        }
        6 => {
            let (key, _) = keys();
            if let Ok(read) = WalletResponse::parse(bytes, Some(key)) {
                let sealed = form_urlencoded::parse(bytes).any(|(name, _)| name == "response");
                let shown = matches!(read, WalletResponse::Presented(_));
                assert!(sealed || !shown, "shown in the clear");
            }
        }
        7 => {
            // what is encrypted to the gate
            let (key, to) = keys();
            if let Ok(sealed) = to.encrypt(bytes, &[1; 32], &[2; 12], None) {
                let _ = WalletResponse::parse(format!("response={sealed}").as_bytes(), Some(key));
            }
        }
        _ => {
            // a request object, or its header and payload on two lines
            let _ = ClaimedRequest::parse(text);
            if let Some((header, payload)) = text.split_once('\n') {
                let [header, payload, signature] =
                    [header.as_bytes(), payload.as_bytes(), &[0; 64]]
                        .map(|part| URL_SAFE_NO_PAD.encode(part));
                let _ = ClaimedRequest::parse(&format!("{header}.{payload}.{signature}"));
            }
        }
    }
});

/// Reads what is shown against all sets of facts that may be asked for: it is at most one of them.
fn shown(text: &str, kind: u8) {
    let mut fits = 0;
    for set in 0..1u8 << Fact::ALL.len() {
        let of = |fact: &Fact| set >> (fact.index() - 1) & 1 == 1;
        let asked: Vec<Fact> = Fact::ALL.into_iter().filter(of).collect();
        if let Ok(shown) = Shown::read(text, &asked) {
            assert_eq!(shown.facts().len(), asked.len(), "more or less than asked");
            fits += 1;
        }
        // Most inputs are no presentation at all, and one reading shows that.
        if set == 0 && Envelope::parse(text).is_err() {
            break;
        }
    }
    assert!(
        fits <= 1,
        "one presentation answers different questions, input kind {kind}"
    );
}

fn body(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// A gate's key for one login, and what a wallet has of it.
fn keys() -> &'static (DecryptionKey, EncryptionKey) {
    static KEYS: OnceLock<(DecryptionKey, EncryptionKey)> = OnceLock::new();
    KEYS.get_or_init(|| {
        let key = DecryptionKey::from_bytes(&[7; 32], "k").expect("a fixed key");
        let jwks = json!({ "keys": [key.public_jwk()] });
        let to = EncryptionKey::choose(&jwks, None).expect("its public half");
        (key, to)
    })
}
