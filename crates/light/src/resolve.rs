//! A fact about a DID as a W3C DID Resolution result (DID Core 1.1, DID Resolution).
//!
//! The same function serves the command line and the node's `GET /1.0/identifiers/{did}`, so
//! that both answer the same. The result carries the proof and the checkpoint: whoever gets it
//! from somebody else can check it again.

use crate::{CheckedHeader, DidStanding, DidState, Freshness, LightClient, LightError};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realdid_core::answer::StateAnswer;
use realdid_core::did::{Did, Inception};
use realdid_core::suite::{PublicKey, Suite};
use serde_json::{Map, Value, json};

/// What kind of failure a resolution ended in, by the W3C's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResolutionError {
    InvalidDid,
    NotFound,
    MethodNotSupported,
    /// The proof, the certificate or the freshness did not hold.
    Unverified,
}

impl ResolutionError {
    fn type_url(self) -> &'static str {
        match self {
            Self::InvalidDid => "https://www.w3.org/ns/did#INVALID_DID",
            Self::NotFound => "https://www.w3.org/ns/did#NOT_FOUND",
            Self::MethodNotSupported => "https://www.w3.org/ns/did#METHOD_NOT_SUPPORTED",
            Self::Unverified => "https://www.w3.org/ns/did#INTERNAL_ERROR",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::InvalidDid => "the DID does not follow the syntax of did:rdid",
            Self::NotFound => {
                "the ledger proves that it holds no such DID; an unanchored one needs its inception"
            }
            Self::MethodNotSupported => "only did:rdid is resolved here",
            Self::Unverified => "the answer could not be verified",
        }
    }

    /// The status of the HTTP binding.
    pub fn status(self) -> u16 {
        match self {
            Self::InvalidDid => 400,
            Self::NotFound => 404,
            Self::MethodNotSupported => 501,
            Self::Unverified => 500,
        }
    }
}

/// Reads a DID as a resolver must: another method is another error than bad syntax.
pub fn parse_did(text: &str) -> Result<Did, ResolutionError> {
    text.parse().map_err(|_| {
        if text.starts_with("did:") && !text.starts_with("did:rdid:") {
            ResolutionError::MethodNotSupported
        } else {
            ResolutionError::InvalidDid
        }
    })
}

/// Checks `answer` and makes the resolution result of it. The error is for the caller's status;
/// [`failure`] makes the result that goes with it.
pub fn resolve(
    client: &LightClient,
    did: &Did,
    inception: Option<&Inception>,
    answer: &StateAnswer,
    freshness: &Freshness,
) -> Result<Value, LightError> {
    let state = client.did(did, inception, answer, freshness)?;
    let mut metadata = Map::new();
    metadata.insert("verified".into(), json!(true));
    metadata.insert("checkpoint".into(), checkpoint(&state.at, state.age_ms));
    metadata.insert(
        "proof".into(),
        json!({
            "type": "RdidStateProof1",
            "kind": if matches!(state.standing, DidStanding::Anchored(_)) { "inclusion" } else { "exclusion" },
            "answer": URL_SAFE_NO_PAD.encode(answer.encode()),
        }),
    );
    let (document, document_metadata) = match &state.standing {
        DidStanding::Unknown => {
            metadata.insert("error".into(), error(ResolutionError::NotFound));
            (Value::Null, json!({}))
        }
        _ => {
            metadata.insert("contentType".into(), json!("application/did"));
            described(&state)
        }
    };
    Ok(result(document, metadata, document_metadata))
}

/// The result of a resolution that failed before there was anything to check, or in checking.
pub fn failure(kind: ResolutionError, detail: Option<&LightError>) -> Value {
    let mut error = error(kind);
    if let (Some(detail), Some(fields)) = (detail, error.as_object_mut()) {
        fields.insert("detail".into(), json!(detail.to_string()));
        fields.insert("code".into(), json!(detail.code()));
    }
    let mut metadata = Map::new();
    metadata.insert("verified".into(), json!(false));
    metadata.insert("error".into(), error);
    result(Value::Null, metadata, json!({}))
}

fn error(kind: ResolutionError) -> Value {
    json!({"type": kind.type_url(), "title": kind.title()})
}

fn result(document: Value, metadata: Map<String, Value>, document_metadata: Value) -> Value {
    json!({
        "@context": "https://w3id.org/did-resolution/v1",
        "didDocument": document,
        "didResolutionMetadata": metadata,
        "didDocumentMetadata": document_metadata,
    })
}

/// The checkpoint that a fact hangs on, and how old it is.
pub fn checkpoint(at: &CheckedHeader, age_ms: u64) -> Value {
    json!({
        "network": at.header.network.as_str(),
        "height": at.header.height,
        "slot": at.header.sealed.slot,
        "stateRoot": at.header.sealed.state_root.to_string(),
        "digest": at.digest.to_string(),
        "time": date(at.header.time_ms),
        "ageMs": age_ms,
    })
}

fn described(state: &DidState) -> (Value, Value) {
    let did = &state.did;
    match &state.standing {
        DidStanding::Unknown => (Value::Null, json!({})),
        DidStanding::Implicit(inception) => (
            document(did, &inception.keys.current, false, &inception.endpoints),
            json!({"versionId": "0", "anchored": false, "deactivated": false}),
        ),
        DidStanding::Anchored(record) => {
            let mut metadata = json!({
                "created": date(record.created_ms),
                "updated": date(record.updated_ms),
                "versionId": record.seq.to_string(),
                "anchored": true,
                "deactivated": record.deactivated,
                "frozen": record.frozen,
            });
            if let (Some(pending), Some(fields)) = (&record.pending, metadata.as_object_mut()) {
                let from = date(pending.effective_ms);
                fields.insert("nextUpdate".into(), json!(from));
                fields.insert("recoveryPending".into(), json!(true));
            }
            if let (Some(person), Some(fields)) = (&record.verified, metadata.as_object_mut()) {
                // Proved with the record: validators checked a RealPass when it was anchored.
                fields.insert("verifiedPerson".into(), json!(true));
                fields.insert("verifiedBy".into(), json!(person.issuer.to_string()));
                fields.insert("verifiedEpoch".into(), json!(person.epoch));
            }
            if record.deactivated {
                return (Value::Null, metadata);
            }
            let document = document(did, &record.keys.current, record.frozen, &record.endpoints);
            (document, metadata)
        }
    }
}

/// A frozen DID keeps its keys in sight and authenticates with none of them.
fn document(did: &Did, keys: &[PublicKey], frozen: bool, endpoints: &[String]) -> Value {
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
        "@context": ["https://www.w3.org/ns/did/v1.1", "https://www.w3.org/ns/cid/v1"],
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
fn multikey(key: &PublicKey) -> String {
    let prefix: [u8; 2] = match key.suite() {
        Suite::Ed25519 => [0xed, 0x01],
        Suite::P256 => [0x80, 0x24],
        Suite::Sm2 => [0x86, 0x24],
    };
    let bytes = [&prefix[..], key.bytes()].concat();
    format!("z{}", bs58::encode(bytes).into_string())
}

/// Unix milliseconds as an XML Schema date-time in UTC, to the second as DID Core wants it.
pub fn date(time_ms: u64) -> String {
    use time::format_description::well_known::Rfc3339;
    i64::try_from(time_ms / 1000)
        .ok()
        .and_then(|seconds| time::OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|moment| moment.format(&Rfc3339).ok())
        .unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_utc_to_the_second() {
        assert_eq!(date(0), "1970-01-01T00:00:00Z");
        assert_eq!(date(1_795_369_637_999), "2026-11-22T17:47:17Z");
    }

    #[test]
    fn another_method_is_another_error_than_bad_syntax() {
        assert_eq!(
            parse_did("did:web:example.org"),
            Err(ResolutionError::MethodNotSupported)
        );
        assert_eq!(
            parse_did("did:rdid:dev:zz"),
            Err(ResolutionError::InvalidDid)
        );
        assert_eq!(parse_did("hello"), Err(ResolutionError::InvalidDid));
    }
}
