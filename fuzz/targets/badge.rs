//! What strangers hand to whoever checks it: badges (spec/displays.md), and receipts of logins
//! (spec/receipts.md). The first byte says which decoder. Nothing panics, and what is read says the same
//! when it is written and read again.
//!
//! Base64url hides bytes from a fuzzer, so some of the inputs are put inside of a badge and a receipt that
//! hold, which then hold no more.
#![no_main]

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use realdid_core::did::NetworkName;
use realdid_exchange::display::order::Order;
use realdid_exchange::display::{self, Badge, Claimed, Handle, Place, Records, Terms};
use realdid_exchange::receipt::{self, Receipt, Trust};
use serde_json::{Value, json};
use url::Url;

const NOW_S: u64 = 1_900_000_005;

fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = input.split_first() else {
        return;
    };
    let text = str::from_utf8(bytes).unwrap_or_default();
    match kind % 9 {
        0 => badge(bytes),
        1 => {
            let _ = Claimed::read(text);
        }
        2 => {
            // what the person signed, inside of the badge
            let signed = honest().binding(bytes);
            badge(&honest().badge_with("presentation", signed));
        }
        3 => {
            if let Ok(handle) = Handle::parse(text) {
                assert_eq!(handle.as_str(), text);
                assert!(!handle.skeleton().is_empty());
            }
        }
        4 => {
            let told = URL_SAFE_NO_PAD.encode(bytes);
            if let Some(terms) = Terms::of_transaction_data(&told, "pid") {
                let again = terms.to_transaction_data("pid");
                assert_eq!(Terms::of_transaction_data(&again, "pid"), Some(terms));
            }
        }
        5 => {
            let _ = Order::claimed(text);
            if let Some((header, payload)) = text.split_once('\n') {
                let [header, payload, signature] =
                    [header.as_bytes(), payload.as_bytes(), &[0; 64]]
                        .map(|part| URL_SAFE_NO_PAD.encode(part));
                let _ = Order::claimed(&format!("{header}.{payload}.{signature}"));
            }
        }
        6 => kept(bytes),
        7 => {
            // a record, hand-over or genesis, inside of the receipt
            let Some((member, bytes)) = bytes.split_first() else {
                return;
            };
            kept(&honest().receipt_with(*member, bytes));
        }
        _ => {
            if let Ok(page) = Url::parse(text)
                && !page.cannot_be_a_base()
            {
                let address = display::badge_address(&page);
                assert!(address.path().ends_with("/badge.json"));
                // `origin` of a scheme that is not the web's equals nothing, not even itself.
                let place = |url: &Url| {
                    (
                        url.scheme().to_owned(),
                        url.host_str().map(str::to_owned),
                        url.port(),
                    )
                };
                assert_eq!(place(&address), place(&page));
            }
        }
    }
});

/// Nobody vouches for it: it is never shown, whatever it says.
fn badge(bytes: &[u8]) {
    let Ok(read) = Badge::parse(bytes) else {
        return;
    };
    let written = read.to_json().to_string();
    assert_eq!(Badge::parse(written.as_bytes()), Ok(read.clone()));
    let network: NetworkName = "dev".parse().expect("a fixed name");
    let nothing = Records {
        network: &network,
        issuer: None,
        registrar: None,
        service: None,
        display: None,
    };
    assert!(display::verify(&read, &Place::default(), &nothing, NOW_S).is_err());
}

/// It holds only if it is the one that was made.
fn kept(bytes: &[u8]) {
    let Ok(read) = Receipt::parse(bytes) else {
        return;
    };
    assert_eq!(Receipt::parse(&read.to_bytes()), Ok(read.clone()));
    let trust = Trust {
        home: honest().genesis,
        abroad: None,
        service: None,
        max_age_ms: 300_000,
        now_ms: NOW_S * 1000,
    };
    if receipt::verify(&read, &trust).is_ok() {
        let made = Receipt::parse(honest().receipt.to_string().as_bytes());
        assert_eq!(Ok(read.to_bytes()), made.map(|made| made.to_bytes()));
    }
}

/// The first of the frozen badges, and of the receipts.
struct Honest {
    badge: Value,
    receipt: Value,
    genesis: realdid_core::hash::Hash32,
}

fn honest() -> &'static Honest {
    static HONEST: OnceLock<Honest> = OnceLock::new();
    HONEST.get_or_init(|| {
        let read = |text: &str| -> Value { serde_json::from_str(text).expect("a vector") };
        let badges = read(include_str!("../../spec/vectors/display/badges.json"));
        let receipts = read(include_str!("../../spec/vectors/receipts/receipts.json"));
        let first = &receipts["cases"][0];
        let trust = first["trust"].as_str().expect("a digest");
        Honest {
            badge: badges["cases"][0]["badge"].clone(),
            receipt: first["receipt"].clone(),
            genesis: trust.parse().expect("a digest"),
        }
    })
}

impl Honest {
    /// The presentation with these claims in its key binding.
    fn binding(&self, claims: &[u8]) -> String {
        let presentation = self.badge["presentation"].as_str().expect("a text");
        let (shown, binding) = presentation.rsplit_once('~').expect("a key binding");
        let parts: Vec<&str> = binding.split('.').collect();
        let claims = URL_SAFE_NO_PAD.encode(claims);
        format!("{shown}~{}.{claims}.{}", parts[0], parts[2])
    }

    fn badge_with(&self, name: &str, value: String) -> Vec<u8> {
        let mut badge = self.badge.clone();
        badge[name] = value.into();
        badge.to_string().into_bytes()
    }

    fn receipt_with(&self, member: u8, bytes: &[u8]) -> Vec<u8> {
        let coded = Value::from(URL_SAFE_NO_PAD.encode(bytes));
        let mut receipt = self.receipt.clone();
        let evidence = &mut receipt["evidence"];
        match member % 6 {
            0 => evidence["registrar"] = coded,
            1 => evidence["service"] = coded,
            2 => evidence["issuer"] = coded,
            3 => evidence["home"]["genesis"] = coded,
            4 => evidence["home"]["hand_overs"] = json!([coded]),
            _ => {
                let genesis = evidence["home"]["genesis"].clone();
                evidence["abroad"] =
                    json!({"genesis": genesis, "hand_overs": [], "recognition": coded});
            }
        }
        receipt.to_string().into_bytes()
    }
}
