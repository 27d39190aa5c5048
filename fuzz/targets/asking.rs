//! What a wallet reads of issuers, of verifiers and of lists of statuses, what a gate reads of browsers and
//! websites, and what a resolver is asked (spec/issuing.md, spec/login.md, spec/status.md, spec/did.md): the first
//! byte says which decoder. Nothing panics, and what is read says the same when it is written and read again.
//!
//! Signatures and base64url hide bytes from a fuzzer. Some of the inputs are therefore header and
//! payload on two lines, wrapped here, and a status token is signed here.
#![no_main]

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use realdid_core::answer::{decode_hand_overs, decode_networks, decode_past};
use realdid_core::codec;
use realdid_credential::ClaimPath;
use realdid_credential::dcql::{DcqlQuery, Held};
use realdid_credential::jose::{self, SigningKey};
use realdid_credential::sd_jwt::{self, IssuerKey, ParsedSdJwt};
use realdid_credential::status::{Reference, StatusList, Width, delta, token};
use realdid_exchange::batch::{InBatch, PathsRequest, PathsResponse};
use realdid_exchange::jwe::DecryptionKey;
use realdid_exchange::oidc::{Accounts, AuthorizationRequest, Client, LogoutRequest, TokenRequest};
use realdid_exchange::vci::{
    CredentialResponse, DeferredResponse, IssuerMetadata, ServerMetadata, TokenResponse,
};
use realdid_exchange::vp::{Claimed, VerifierDid, WalletLink, WalletResponse};
use realdid_light::resolve::{Form, Question, options_of_json, options_of_query};
use serde_json::{Map, Value, json};

const ISSUER: &str = "https://authority.example";
const LIST: &str = "https://authority.example/status/1";
const NOW_S: u64 = 1_800_000_000;
/// The longest list that is inflated here, in bytes.
const MAX_LIST: usize = 1 << 16;

fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = input.split_first() else {
        return;
    };
    let text = str::from_utf8(bytes).unwrap_or_default();
    match kind % 16 {
        0 => {
            if let Ok(read) = IssuerMetadata::parse(bytes, ISSUER) {
                let again = serde_json::to_vec(&read).unwrap_or_default();
                assert_eq!(IssuerMetadata::parse(&again, ISSUER).as_ref(), Ok(&read));
                let _ = (
                    read.request_key(),
                    read.batch_size(),
                    read.chosen_server(Some(ISSUER)),
                );
                for id in read.credential_configurations_supported.keys() {
                    let _ = read.wants_attested_keys(id);
                    let _ = read.binds_to(id, jose::Alg::Es256);
                }
            }
        }
        1 => {
            if let Ok(read) = ServerMetadata::parse(bytes, ISSUER) {
                let again = serde_json::to_vec(&read).unwrap_or_default();
                assert_eq!(ServerMetadata::parse(&again, ISSUER).as_ref(), Ok(&read));
                let _ = (read.by_code(), read.attested_wallets(), read.binds_tokens());
            }
        }
        2 => {
            let _ = CredentialResponse::parse(bytes, usize::from(*kind / 16));
            let _ = (DeferredResponse::read(bytes), TokenResponse::parse(bytes));
        }
        // A request object, or its header and payload on two lines.
        3 => {
            let _ = (Claimed::parse(text), Claimed::parse(&jwt(text)));
        }
        4 => {
            let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
                return;
            };
            if let Ok(query) = DcqlQuery::parse(&value) {
                asked(&query);
            }
        }
        5 => {
            if let Ok(value) = serde_json::from_slice::<Value>(bytes) {
                let _ = Reference::read(&value);
            }
            let _ = StatusList::inflate(Width::Two, bytes, MAX_LIST);
        }
        6 => {
            let list = StatusList::from_bytes(Width::Two, vec![0b0100_0001; 64]);
            if let Ok(list) = list {
                let _ = delta::apply(&list, bytes, LIST, &[7; 32], MAX_LIST);
                // The head of an honest delta, with any body.
                let honest = delta::make(&list, &list, LIST).unwrap_or_default();
                let head = honest.get(..82).unwrap_or_default();
                let digest = list.digest(LIST);
                let _ = delta::apply(&list, &[head, bytes].concat(), LIST, &digest, MAX_LIST);
            }
        }
        7 => {
            let (key, issuer_keys) = lists();
            let evidence = token::Evidence {
                iss: ISSUER,
                issuer_keys,
                uri: LIST,
                now_s: NOW_S,
                clock_skew_s: 10,
                max_bytes: MAX_LIST,
                ledger: None,
            };
            let _ = token::verify_cwt(bytes, &evidence);
            // A token of any content, signed as its issuer signs.
            let mut header = Map::new();
            header.insert("typ".to_owned(), "statuslist+jwt".into());
            header.insert("kid".to_owned(), "k".into());
            if let Ok(signed) = jose::sign_compact(&header, bytes, key) {
                let _ = token::verify_jwt(&signed, &evidence);
            }
        }
        8 => {
            if let Ok(read) = serde_json::from_slice::<PathsRequest>(bytes)
                && let Ok(items) = read.check()
            {
                assert_eq!(PathsRequest::new(&items).check(), Ok(items));
            }
            if let Ok(read) = serde_json::from_slice::<PathsResponse>(bytes)
                && let Ok(paths) = read.check(read.paths.len())
            {
                let again = PathsResponse::new(&paths);
                assert_eq!(again.check(paths.len()), Ok(paths));
            }
        }
        9 => {
            if let Ok(read) = InBatch::decode(bytes) {
                assert_eq!(read.encode(), bytes);
            }
            if let Ok(read) = decode_past(bytes) {
                assert_eq!(codec::encode(&read), bytes);
            }
            let _ = (decode_hand_overs(bytes), decode_networks(bytes));
        }
        10 => {
            let whole = jwt(text);
            for shown in [
                text.to_owned(),
                format!("{whole}~"),
                format!("{whole}~{text}~"),
            ] {
                let _ = sd_jwt::Claimed::read(&shown);
                if let Ok(read) = ParsedSdJwt::parse(&shown) {
                    assert_eq!(read.as_str(), shown);
                }
            }
        }
        11 => {
            let clients = [client()];
            let _ = AuthorizationRequest::parse(text, &clients, ISSUER);
            let _ = AuthorizationRequest::parse_pushed(text, None, &clients);
            let _ = LogoutRequest::parse(text, &clients, ISSUER, &[]);
            let _ = (
                TokenRequest::parse(text, None),
                TokenRequest::parse("", Some(text)),
            );
        }
        12 => {
            let _ = WalletResponse::parse_from_browser(bytes, None);
            let _ = WalletResponse::parse_from_browser(bytes, Some(gate()));
        }
        13 => {
            if let Ok(read) = WalletLink::parse(text) {
                assert_eq!(WalletLink::parse(&read.to_string()), Ok(read));
            }
            // A verifier's DID, and its document on the next line.
            let (did, document) = text.split_once('\n').unwrap_or((text, ""));
            if let Some(read) = VerifierDid::parse(did) {
                assert_eq!(VerifierDid::parse(read.as_str()).as_ref(), Some(&read));
                let _ = read.key(&format!("{did}#key-1"), Some(document.as_bytes()));
            }
        }
        14 => {
            let (did, rest) = text.split_once('\n').unwrap_or((text, ""));
            let options = options_of_query(Some(rest));
            if let Ok(question) = options.and_then(|options| Question::new(did, options)) {
                let _ = (question.past(), question.is_resolution());
                let _ = Form::accepted(Some(rest), &question);
            }
        }
        _ => {
            let _ = options_of_json(bytes);
        }
    }
});

/// A query is chosen from, and held against a credential of each kind: what is picked was asked for.
fn asked(query: &DcqlQuery) {
    let claims = json!({"given_name": "Wei", "address": {"region": "990100"}, "nationalities": ["XA", "XB"]});
    let claims = claims.as_object().cloned().unwrap_or_default();
    for asked in &query.credentials {
        let kinds = asked.vct_values.iter().chain(&asked.doctype);
        for kind in kinds {
            let held = Held {
                format: &asked.format,
                kind,
                claims: &claims,
                authority_keys: &[vec![1, 2, 3]],
            };
            if let Ok(picked) = asked.matches(&held) {
                let known = |path: &ClaimPath| asked.claims.iter().any(|claim| claim.path == *path);
                assert!(picked.iter().all(known), "picked what was not asked for");
            }
        }
    }
    for can in [true, false] {
        if let Ok(chosen) = query.choose(&|_| can) {
            assert!(chosen.iter().all(|one| query.credential(&one.id).is_some()));
        }
    }
}

/// A JWT whose header and payload are two lines of a text; its signature is none.
fn jwt(text: &str) -> String {
    let (header, payload) = text.split_once('\n').unwrap_or((text, "{}"));
    let parts = [header.as_bytes(), payload.as_bytes(), &[7; 64]];
    parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
}

fn client() -> Client {
    Client {
        client_id: "shop".to_owned(),
        name: "Shop".to_owned(),
        secret_sha256: [1; 32],
        redirect_uris: vec!["https://shop.example/cb".to_owned()],
        post_logout_redirect_uris: vec!["https://shop.example/bye".to_owned()],
        claims: vec!["realpass.adult".to_owned(), "given_name".to_owned()],
        purpose: "login".to_owned(),
        require_pushed: false,
        accounts: Accounts::Person,
    }
}

/// The key of an issuer of lists, and what a gate knows of it.
fn lists() -> &'static (SigningKey, Vec<IssuerKey>) {
    static KEYS: OnceLock<(SigningKey, Vec<IssuerKey>)> = OnceLock::new();
    KEYS.get_or_init(|| {
        let key = SigningKey::p256(&[5; 32]).expect("a fixed key");
        let known = IssuerKey {
            iss: ISSUER.to_owned(),
            kid: "k".to_owned(),
            key: key.verifying_key(),
        };
        (key, vec![known])
    })
}

/// A gate's key for one login.
fn gate() -> &'static DecryptionKey {
    static KEY: OnceLock<DecryptionKey> = OnceLock::new();
    KEY.get_or_init(|| DecryptionKey::from_bytes(&[7; 32], "k").expect("a fixed key"))
}
