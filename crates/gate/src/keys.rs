//! The gate's own secrets, in `DIR/keys`: made once, readable by the owner only.
//!
//! - `request.key`: signs presentation requests; its public half stands in the registration
//! - `oidc.key`: signs ID tokens; its public half is published at `/jwks`
//! - `oidc.previous.key`: signed them before the last [`rotate_gate`]; still published, so that no
//!   token that is out fails
//!
//! Each holds 32 bytes in hex. `request.key` is of P-256, or of SM2 after `sm2:`, as the network that the gate
//! was made for has it; ID tokens are read by the website's own library and signed by P-256 in every network.
//!
//! - `sub.key`: turns a person's pseudonym, or a DID, into the subject that the websites see. Losing
//!   it gives every person a new subject; showing it lets whoever knows a pseudonym or a DID compute
//!   its subject.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use realdid_core::did::DidId;
use realdid_core::hash::Hash32;
use realdid_core::suite::Suite;
use realdid_credential::jose::{Jwk, SigningKey, VerifyingKey};
use realdid_exchange::suites;
use realdid_pass::Pseudonym;
use realdid_serve::files;
use sha2::Sha256;

use crate::GateError;

const OIDC: &str = "oidc.key";
const OIDC_PREVIOUS: &str = "oidc.previous.key";

/// The secrets of one gate.
pub struct GateKeys {
    pub(crate) request: SigningKey,
    pub(crate) oidc: SigningKey,
    oidc_previous: Option<SigningKey>,
    sub: [u8; 32],
}

impl std::fmt::Debug for GateKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GateKeys")
    }
}

/// Makes the gate's folder and whatever key it lacks; keys that exist stay. Requests are signed by a new
/// key of `suite`: that of the network's documents.
pub fn init_gate(dir: &Path, suite: Suite) -> Result<GateKeys, GateError> {
    let keys = dir.join("keys");
    files::create_private_dir(&keys)?;
    Ok(GateKeys {
        request: signing_key(&keys.join("request.key"), suite)?,
        oidc: signing_key(&keys.join(OIDC), Suite::P256)?,
        oidc_previous: match keys.join(OIDC_PREVIOUS) {
            path if path.exists() => Some(signing_key(&path, Suite::P256)?),
            _ => None,
        },
        sub: secret(&keys.join("sub.key"), Suite::P256)?.1,
    })
}

/// Takes a new key for ID tokens and keeps the old one published. A gate that runs takes it up
/// when it starts again; a second rotation drops what the first kept. Answers the ids (`kid`) that
/// are published then, the one that signs first.
pub fn rotate_gate(dir: &Path) -> Result<Vec<String>, GateError> {
    let keys = dir.join("keys");
    // A gate that was registered has the key of its requests, so this makes none.
    init_gate(dir, Suite::P256)?;
    let (current, previous) = (keys.join(OIDC), keys.join(OIDC_PREVIOUS));
    let moved = fs::rename(&current, &previous);
    moved.map_err(|error| GateError::Unreadable {
        path: current.clone(),
        kind: error.kind(),
    })?;
    let published = init_gate(dir, Suite::P256)?.oidc_public();
    Ok(published
        .into_iter()
        .map(|key| Jwk(key).thumbprint_base64url())
        .collect())
}

impl GateKeys {
    /// The public keys of ID tokens: the one that signs first.
    pub(crate) fn oidc_public(&self) -> Vec<VerifyingKey> {
        let keys = [Some(&self.oidc), self.oidc_previous.as_ref()];
        keys.into_iter()
            .flatten()
            .map(SigningKey::verifying_key)
            .collect()
    }

    /// The key to register: requests of this gate are signed by it.
    pub fn request_jwk(&self) -> Jwk {
        Jwk(self.request.verifying_key())
    }

    /// The subject of a person at this service (G16): the same for whatever DID they bring, as long as
    /// their pseudonym is, and telling nothing about it.
    pub fn subject_of_person(
        &self,
        service_id: &Hash32,
        pseudonym: &Pseudonym,
    ) -> Result<String, GateError> {
        self.subject(b"sub-person", service_id, &pseudonym.0)
    }

    /// The subject of a DID at this service (G8): stable through every rotation, since the DID's id
    /// is that of its inception, and telling nothing about it.
    pub fn subject_of_did(&self, service_id: &Hash32, did: &DidId) -> Result<String, GateError> {
        self.subject(b"sub", service_id, &did.0)
    }

    /// The lengths of kind and who belong together, so no two inputs are the same bytes.
    fn subject(&self, kind: &[u8], service_id: &Hash32, who: &[u8]) -> Result<String, GateError> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.sub).map_err(|_| GateError::Keys)?;
        mac.update(kind);
        mac.update(&service_id.0);
        mac.update(who);
        Ok(URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }
}

fn signing_key(path: &Path, new: Suite) -> Result<SigningKey, GateError> {
    let (suite, secret) = secret(path, new)?;
    suites::key_from(suite, &secret).map_err(|_| GateError::Keys)
}

/// Reads 32 bytes in hex with their suite, P-256 where the file names none; or draws them for `new` and
/// keeps them.
fn secret(path: &Path, new: Suite) -> Result<(Suite, [u8; 32]), GateError> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let text = text.trim_end();
            let (suite, secret) = text.split_once(':').unwrap_or((Suite::P256.name(), text));
            let suite = Suite::of_name(suite).ok_or(GateError::Keys)?;
            let secret = secret.parse::<Hash32>().map_err(|_| GateError::Keys)?;
            Ok((suite, secret.0))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // About one draw in 2^32 is no scalar of P-256 or SM2.
            let secret = loop {
                let secret = random()?;
                if suites::key_from(new, &secret).is_ok() {
                    break secret;
                }
            };
            let text = match new {
                Suite::P256 => format!("{}\n", Hash32(secret)),
                other => format!("{}:{}\n", other.name(), Hash32(secret)),
            };
            files::write_private(path, text.as_bytes())?;
            Ok((new, secret))
        }
        Err(error) => Err(GateError::Unreadable {
            path: path.to_owned(),
            kind: error.kind(),
        }),
    }
}

/// 32 bytes from the operating system.
pub(crate) fn random() -> Result<[u8; 32], GateError> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).map_err(|_| GateError::Randomness)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_subjects_are_stable_and_differ_by_service_and_person() {
        let folder = tempfile::tempdir().unwrap();
        let first = init_gate(folder.path(), Suite::P256).unwrap();
        let again = init_gate(folder.path(), Suite::P256).unwrap();
        assert_eq!(first.request_jwk(), again.request_jwk());
        let (a, b) = (Hash32([1; 32]), Hash32([2; 32]));
        let subject = first.subject_of_did(&a, &b).unwrap();
        assert_eq!(subject, again.subject_of_did(&a, &b).unwrap());
        assert_ne!(subject, first.subject_of_did(&b, &b).unwrap());
        assert_ne!(subject, first.subject_of_did(&a, &a).unwrap());
        let (one, two) = (Pseudonym([1; 48]), Pseudonym([2; 48]));
        let person = first.subject_of_person(&a, &one).unwrap();
        assert_eq!(person, again.subject_of_person(&a, &one).unwrap());
        assert_ne!(person, first.subject_of_person(&b, &one).unwrap());
        assert_ne!(person, first.subject_of_person(&a, &two).unwrap());
        let other = init_gate(tempfile::tempdir().unwrap().path(), Suite::P256).unwrap();
        assert_ne!(subject, other.subject_of_did(&a, &b).unwrap());
        assert_ne!(person, other.subject_of_person(&a, &one).unwrap());
        // a rotation signs with another key and still publishes the one before
        let before = again.oidc_public();
        rotate_gate(folder.path()).unwrap();
        let rotated = init_gate(folder.path(), Suite::P256).unwrap();
        assert_ne!(rotated.oidc_public()[0], before[0]);
        assert_eq!(rotated.oidc_public()[1], before[0]);
        assert_eq!(subject, rotated.subject_of_did(&a, &b).unwrap());
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(folder.path().join("keys/sub.key"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    #[test]
    fn requests_are_signed_in_the_suite_that_the_gate_was_made_for() {
        use realdid_credential::jose::Alg;
        let folder = tempfile::tempdir().unwrap();
        let keys = init_gate(folder.path(), Suite::Sm2).unwrap();
        assert_eq!(keys.request.alg(), Alg::Sm2Sm3);
        assert_eq!(keys.oidc.alg(), Alg::Es256, "websites know no SM2");
        // The file says its suite; what a later start asks for does not matter.
        let again = init_gate(folder.path(), Suite::P256).unwrap();
        assert_eq!(again.request_jwk(), keys.request_jwk());
        let file = folder.path().join("keys/request.key");
        for wrong in ["sm9:00", "sm2:", "sm2:zz"] {
            fs::write(&file, wrong).unwrap();
            assert!(init_gate(folder.path(), Suite::Sm2).is_err());
        }
    }
}
