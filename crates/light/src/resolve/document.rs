//! DID documents (DID 1.1 §5) of what the ledger says.

use realdid_core::did::Did;
use realdid_core::suite::{PublicKey, Suite};
use serde_json::{Value, json};

/// Verification methods are of the class `Multikey` (Controlled Identifiers 1.0 §2.2.2).
pub(super) const CONTEXTS: [&str; 2] = [
    "https://www.w3.org/ns/did/v1.1",
    "https://www.w3.org/ns/cid/v1",
];

/// A frozen DID keeps its keys in sight and authenticates with none of them.
pub(super) fn document(did: &Did, keys: &[PublicKey], frozen: bool, endpoints: &[String]) -> Value {
    let ids: Vec<String> = (1..=keys.len()).map(|n| format!("{did}#key-{n}")).collect();
    let methods: Vec<Value> = ids
        .iter()
        .zip(keys)
        .map(|(id, key)| {
            json!({
                "id": id,
                "type": "Multikey",
                "controller": did.to_string(),
                "publicKeyMultibase": multikey(key),
            })
        })
        .collect();
    let mut document = json!({
        "@context": CONTEXTS,
        "id": did.to_string(),
        "verificationMethod": methods,
        "authentication": if frozen { Vec::new() } else { ids },
    });
    if let (false, Some(fields)) = (endpoints.is_empty(), document.as_object_mut()) {
        let services: Vec<Value> = endpoints
            .iter()
            .enumerate()
            .map(|(i, url)| {
                json!({
                    "id": format!("{did}#service-{}", i + 1),
                    "type": "LinkedDomains",
                    "serviceEndpoint": url,
                })
            })
            .collect();
        fields.insert("service".into(), json!(services));
    }
    document
}

/// A key as a multibase string: base58btc of the multicodec prefix and the key.
pub(super) fn multikey(key: &PublicKey) -> String {
    let prefix: [u8; 2] = match key.suite() {
        Suite::Ed25519 => [0xed, 0x01],
        Suite::P256 => [0x80, 0x24],
        Suite::Sm2 => [0x86, 0x24],
    };
    let bytes = [&prefix[..], key.bytes()].concat();
    format!("z{}", bs58::encode(bytes).into_string())
}
