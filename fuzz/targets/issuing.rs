//! What wallets send to be issued credentials, and what credentials come as (spec/issuing.md,
//! spec/mdoc.md): the first byte says which decoder. Nothing panics, and what is read says the same
//! when it is written and read again.
//!
//! Signatures and base64url hide bytes from a fuzzer. Some of the inputs are therefore header and
//! payload on two lines, wrapped and signed here.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use realdid_credential::jose::Alg;
use realdid_credential::mdoc::{self, Mdoc};
use realdid_credential::x509::Certificate;
use realdid_exchange::oidc::dpop;
use realdid_exchange::vci::attestation::Providers;
use realdid_exchange::vci::authorization::AuthorizationRequest;
use realdid_exchange::vci::{
    CredentialRequest, DeferredRequest, Notification, TokenRequest, parse_offer, verify_proof,
};
use url::form_urlencoded;

const KNOWN: &[&str] = &["pid-sd-jwt", "pid-mdoc", "realpass"];
const NOW_S: u64 = 1_800_000_000;
const URL: &str = "https://authority.example/token";

fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = input.split_first() else {
        return;
    };
    let text = str::from_utf8(bytes).unwrap_or_default();
    match kind % 10 {
        0 => {
            if let Ok(read) = AuthorizationRequest::parse(bytes, KNOWN) {
                let form = form_urlencoded::Serializer::new(String::new())
                    .extend_pairs(read.to_form())
                    .finish();
                let again = AuthorizationRequest::parse(form.as_bytes(), KNOWN);
                assert_eq!(again, Ok(read));
            }
        }
        1 => {
            let _ = dpop::verify(&jwt(text), "POST", URL, Some("token"), NOW_S);
            let _ = dpop::verify(text, "POST", URL, None, NOW_S);
        }
        2 => {
            let providers = Providers {
                roots: Certificate::parse(bytes).into_iter().collect(),
            };
            let _ = providers.keys(&jwt(text), NOW_S);
            let _ = providers.client(&jwt(text), &jwt(text), "https://authority.example", NOW_S);
        }
        3 => {
            if let Ok(read) = TokenRequest::parse(bytes) {
                let form = form_urlencoded::Serializer::new(String::new())
                    .extend_pairs(read.to_form())
                    .finish();
                assert!(TokenRequest::parse(form.as_bytes()) == Ok(read));
            }
        }
        4 => {
            if let Ok(read) = CredentialRequest::parse(bytes) {
                let again = serde_json::to_vec(&read).unwrap_or_default();
                assert!(CredentialRequest::parse(&again) == Ok(read));
            }
        }
        5 => {
            let algs = [Alg::Es256, Alg::Sm2Sm3];
            let _ = verify_proof(&jwt(text), "https://authority.example", &algs, NOW_S);
        }
        6 => {
            let _ = (DeferredRequest::parse(bytes), Notification::parse(bytes));
            let _ = parse_offer(text);
        }
        7 => {
            if let Ok(held) = Mdoc::parse(bytes) {
                let _ = held.plain();
                assert_eq!(
                    Mdoc::parse(held.as_bytes()).map(|again| again.claims().clone()),
                    Ok(held.claims().clone())
                );
            }
        }
        8 => {
            let _ = (mdoc::claimed_chain(bytes), mdoc::issuer_auth(bytes));
        }
        _ => {
            let _ = Certificate::parse(bytes);
        }
    }
});

/// A JWT whose header and payload are two lines of a text; its signature is none.
fn jwt(text: &str) -> String {
    let (header, payload) = text.split_once('\n').unwrap_or((text, "{}"));
    let parts = [header.as_bytes(), payload.as_bytes(), &[7; 64]];
    parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
}
