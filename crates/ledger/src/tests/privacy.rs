//! P1: where the ledger can hold text, and what is admitted there.
//!
//! Text is what could carry a name. The types of operations and records have four places for it:
//! a network's name, an issuer's URL, an endpoint, and nothing else. The first test reads the
//! types' source, so that a new text field fails here until somebody has thought about it; the
//! others hold each place against its rule, and look at every byte of a state that was used.

use super::rules::{Scene, newcomer};
use minicbor::data::Type;
use minicbor::decode::{Decoder, Error};
use realdid_core::codec::Bytes;
use realdid_core::did::NetworkName;
use realdid_core::operation::{Body, Decision};
use realdid_core::rule::Rule;
use realdid_testkit::ledger::{AUTHORITY, REGISTRAR, TestDid};
use std::collections::BTreeSet;

/// The files that say what travels to the ledger and what stays there.
const TYPES: [(&str, &str); 7] = [
    ("did", include_str!("../../../core/src/did.rs")),
    ("genesis", include_str!("../../../core/src/genesis.rs")),
    (
        "governance",
        include_str!("../../../core/src/governance.rs"),
    ),
    ("header", include_str!("../../../core/src/header.rs")),
    ("operation", include_str!("../../../core/src/operation.rs")),
    ("state", include_str!("../../../core/src/state.rs")),
    ("suite", include_str!("../../../core/src/suite.rs")),
];

#[test]
fn p1_the_types_hold_text_in_known_places_only() {
    let mut places = BTreeSet::new();
    for (file, source) in TYPES {
        let (types, _tests) = source.split_once("#[cfg(test)]").unwrap_or((source, ""));
        let mut owner = "";
        for line in types.lines() {
            let item = line.trim_start();
            for word in ["pub struct ", "pub enum "] {
                if let Some(rest) = item.strip_prefix(word) {
                    owner = rest
                        .split(|c: char| !c.is_alphanumeric())
                        .next()
                        .unwrap_or_default();
                }
            }
            // A field, a tuple struct or a variant; neither a function nor a comment.
            let declares = item.starts_with(char::is_alphabetic)
                && !item.contains("fn ")
                && !item.contains('=');
            let text = ["String", "str>", "char", "Value"].iter().any(|kind| {
                item.split(|c: char| !c.is_alphanumeric() && c != '>')
                    .any(|word| word == *kind)
                    || item.contains(&format!("<{kind}"))
            });
            if declares && text && !item.starts_with("impl") && !item.starts_with("type ") {
                let field = item
                    .trim_start_matches("pub ")
                    .split([':', '('])
                    .next()
                    .unwrap_or("");
                places.insert(format!("{file}::{owner}::{}", field.trim()));
            }
        }
    }
    let known = [
        // 1 to 16 letters, digits and hyphens; the same for everybody on a network
        "did::NetworkName::name",
        // https, at most four of 200 bytes, under the sponsor's own URL
        "did::Inception::endpoints",
        "state::DidRecord::endpoints",
        // admitted by a threshold of governance
        "state::Issuer::url",
    ];
    assert_eq!(places, known.map(str::to_owned).into());
}

#[test]
fn p1_a_network_name_has_no_room_for_words() {
    for wrong in [
        "",
        "Dev",
        "wang fang",
        "a-",
        "1a",
        "-a",
        "abcdefghijklmnopq",
        "王",
    ] {
        assert!(wrong.parse::<NetworkName>().is_err(), "{wrong}");
    }
}

#[test]
fn p1_an_endpoint_stands_only_under_its_sponsors_url() {
    for url in [
        "https://wang-fang.example/",
        "https://authority.example.evil.example/x",
    ] {
        let mut scene = Scene::new();
        let mut did = TestDid::new(scene.net.network(), 3);
        did.inception.endpoints = vec![url.into()];
        assert_eq!(
            scene.net.apply(&scene.net.anchor(&did)),
            Err(Rule::Endpoint)
        );
    }
}

#[test]
fn p1_an_issuers_url_is_admitted_by_governance_only() {
    let mut scene = Scene::new();
    let body = Body::Govern(
        1,
        Decision::AdmitIssuer(newcomer()),
        realdid_core::state::ReasonCode::None,
    );
    let authority = scene.net.authority.operation.clone();
    assert_eq!(
        scene.net.apply(&scene.sign(body, &authority)),
        Err(Rule::Signer)
    );
}

/// Every text string in a canonical CBOR value.
fn texts(decoder: &mut Decoder<'_>, found: &mut BTreeSet<String>) -> Result<(), Error> {
    match decoder.datatype()? {
        Type::String => {
            found.insert(decoder.str()?.to_owned());
        }
        Type::Array => {
            let length = decoder.array()?.unwrap_or(0);
            for _ in 0..length {
                texts(decoder, found)?;
            }
        }
        Type::Map => {
            let length = decoder.map()?.unwrap_or(0);
            for _ in 0..2 * length {
                texts(decoder, found)?;
            }
        }
        _ => decoder.skip()?,
    }
    Ok(())
}

#[test]
fn p1_a_used_state_holds_no_text_but_what_was_admitted() {
    let mut scene = Scene::new();
    let mut organisation = TestDid::new(scene.net.network(), 3);
    organisation.inception.endpoints = vec![format!("{AUTHORITY}/did")];
    let anchor = scene.net.anchor(&organisation);
    let admit = scene.govern(1, Decision::AdmitIssuer(newcomer()));
    let junk = "Wang Fang 110101199003070012".as_bytes();
    let receipts = scene.net.block(&[
        Bytes(anchor.encode()),
        Bytes(admit.encode()),
        Bytes(junk.to_vec()),
    ]);
    assert!(receipts[0].refused.is_none() && receipts[1].refused.is_none());
    let mut found = BTreeSet::new();
    for bytes in scene.net.state().values() {
        texts(&mut Decoder::new(bytes), &mut found).unwrap();
    }
    let admitted = [
        AUTHORITY.to_owned(),
        REGISTRAR.to_owned(),
        newcomer().url,
        format!("{AUTHORITY}/did"),
    ];
    assert_eq!(found, admitted.into());
}
