//! P1: nothing personal in any log, nor in anything that the ledger keeps.

use crate::nation::{Nation, files_below, get};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sm3::Sm3;

/// Every form in which a text could stand in bytes.
pub fn forms(text: &str) -> Vec<Vec<u8>> {
    let utf8 = text.as_bytes().to_vec();
    let utf16: Vec<u16> = text.encode_utf16().collect();
    let mut raw = vec![
        utf8.clone(),
        utf16.iter().flat_map(|unit| unit.to_le_bytes()).collect(),
        utf16.iter().flat_map(|unit| unit.to_be_bytes()).collect(),
        Sha256::digest(&utf8).to_vec(),
        Sm3::digest(&utf8).to_vec(),
    ];
    let mut written = Vec::new();
    for bytes in &raw {
        written.push(hex::encode(bytes).into_bytes());
        written.push(hex::encode_upper(bytes).into_bytes());
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            // In the middle of other bytes a text has three encodings; the ends depend on the
            // neighbours and are left out.
            for lead in 0..3 {
                let padded = [vec![0; lead], bytes.clone()].concat();
                let encoded = engine.encode(padded).into_bytes();
                let inner = &encoded[(lead * 8).div_ceil(6)..encoded.len() - 2];
                if inner.len() >= 6 {
                    written.push(inner.to_vec());
                }
            }
        }
    }
    raw.extend(written);
    raw
}

/// The number and the name of each resident, as they are written.
pub fn personal(residents: &[(String, String)]) -> Vec<String> {
    let mut texts = Vec::new();
    for (_, evidence) in residents {
        let evidence: Value = serde_json::from_slice(&std::fs::read(evidence).unwrap()).unwrap();
        let text = |name: &str| evidence[name].as_str().unwrap_or_default().to_owned();
        let (given, family) = (text("given_name"), text("family_name"));
        texts.push(text("resident_number"));
        texts.push(format!("{family}{given}"));
        texts.push(format!("{given} {family}"));
        texts.push(format!("{family} {given}"));
    }
    texts.retain(|text| text.len() >= 6);
    assert!(texts.len() >= residents.len());
    texts
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

#[test]
fn the_search_finds_what_is_hidden_in_each_form() {
    for text in ["11010119900307123X", "王小明"] {
        for form in forms(text) {
            let planted = [b"abc".as_slice(), &form, b"def"].concat();
            assert!(forms(text).iter().any(|form| contains(&planted, form)));
        }
        let inside = STANDARD_NO_PAD.encode(format!("x{text}yz"));
        assert!(
            forms(text)
                .iter()
                .any(|form| contains(inside.as_bytes(), form))
        );
    }
}

#[test]
fn p1_no_log_and_nothing_the_ledger_keeps_has_a_name_or_number() {
    let nation = Nation::start();
    let residents = nation.residents();
    for (index, (_, evidence)) in residents.iter().take(3).enumerate() {
        let wallet = format!("w{index}");
        if nation.enrol(&wallet, evidence).ok {
            nation.login(&wallet, 0).done();
        }
    }
    // refusals are the likeliest to repeat what they were given
    let mut wrong: Value =
        serde_json::from_slice(&std::fs::read(&residents[4].1).unwrap()).unwrap();
    wrong["given_name"] = Value::from("Mallory");
    let file = nation.dir.with_file_name("wrong.json");
    std::fs::write(&file, wrong.to_string()).unwrap();
    let refused = nation.enrol("wrong", file.to_str().unwrap());
    assert!(!refused.ok);

    let texts = personal(&residents);
    // all logs, and every byte that the node keeps
    let mut kept: Vec<(String, Vec<u8>)> = files_below(&nation.dir.join("logs"))
        .into_iter()
        .chain(files_below(&nation.dir.join("node-0")))
        .map(|path| {
            (
                path.display().to_string(),
                std::fs::read(&path).unwrap_or_default(),
            )
        })
        .collect();
    kept.push(("up.log".into(), nation.up_log().into_bytes()));
    kept.push(("refusal".into(), refused.stderr.into_bytes()));
    // and every block decoded, should a store compress
    let (_, status) = get(&format!("{}/v1/status", nation.url("node")), &[]);
    let height = serde_json::from_str::<Value>(&status).unwrap()["height"]
        .as_u64()
        .unwrap();
    assert!(height > 0 && kept.len() > 5);
    for path in ["/", "/metrics"] {
        for part in ["node", "authority", "registrar", "gates/0", "gates/1"] {
            let (_, body) = get(&format!("{}{path}", nation.url(part)), &[]);
            kept.push((format!("{part}{path}"), body.into_bytes()));
        }
    }
    let needles: Vec<Vec<u8>> = texts.iter().flat_map(|text| forms(text)).collect();
    let searcher = aho_corasick::AhoCorasick::new(&needles).unwrap();
    for (name, bytes) in &kept {
        if let Some(found) = searcher.find(bytes) {
            let form = found.pattern().as_usize();
            panic!("{name} holds form {form} of a resident's data");
        }
    }
}
