//! A person's tag: the ledger key of their enrolment (spec/enrolment.md, rules N1 to N5).
//!
//! The tag is a VOPRF (RFC 9497, suite ristretto255-SHA512, mode 1) of the resident number under
//! the authority's tag key, which stands on the ledger. So one person has one tag; nobody can
//! compute tags from numbers without the authority; and the wallet sees by the proof that the
//! authority used the key of everybody else (promise P6).
//!
//! ```text
//! wallet                                   authority
//! blind(number, seed) ──── ClientState ───▶ evaluate(secret, number, client, seed)
//! finish(client, number, …, tag key) ◀──── Evaluation
//! ```
//!
//! The wallet also sends its blinding factor, which RFC 9497 keeps at the client. The authority
//! has checked the number anyway, so that hides nothing less; it lets the authority see that the
//! blinded element is of *this* number (rule N3). Without it, anyone who enrols would have an
//! oracle for other people's tags.
//!
//! A foreigner has no resident number; [`Foreign`] is what stands in its place.
//!
//! The messages of enrolment stand at the end: [`Evidence`], [`EnrolmentRequest`],
//! [`EnrolmentResponse`].

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realdid_core::hash::{Domain, Hash32, hash};
use realdid_core::state::{PersonTag, TagKey};
use realdid_core::suite::PublicKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha512};
use std::collections::BTreeMap;
use voprf::{
    BlindedElement, EvaluationElement, Group, Proof, Ristretto255, VoprfClient, VoprfServer,
};

/// Longest identity number that is normalised, in characters.
const MAX_NUMBER_CHARS: usize = 32;

/// Why a tag could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// Whoever sent the number: it is empty, too long or not of letters, digits and hyphens.
    #[error("the number has 1 to 32 letters, digits or hyphens")]
    Number,
    /// Whoever sent it: not a scalar and a point, or not the lengths of RFC 9497.
    #[error("the blinded state or the evaluation is not of well-formed points and scalars")]
    Malformed,
    /// The wallet: it blinded another number than the one that its evidence proves.
    #[error("the blinded element is of the number that the evidence proves")]
    OtherNumber,
    /// The authority: it did not evaluate with the tag key that stands on the ledger.
    #[error("the evaluation is proved under the tag key on the ledger")]
    Proof,
    /// The operator: the secret is not a tag key.
    #[error("the tag secret is a seed of 32 bytes that gives a key")]
    Secret,
}

impl TagError {
    /// Stable, dotted code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Number => "tag.number",
            Self::Malformed => "tag.malformed",
            Self::OtherNumber => "tag.other_number",
            Self::Proof => "tag.proof",
            Self::Secret => "tag.secret",
        }
    }
}

/// An identity number in its one normal form (rule N1): no spaces, letters in upper case.
///
/// It has no `Debug` and no `Display`: it is personal data and must not reach a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Number(String);

/// Brings a number into its normal form.
pub fn normalise(number: &str) -> Result<Number, TagError> {
    let normal: String = number
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_ascii_uppercase())
        .take(MAX_NUMBER_CHARS + 1)
        .collect();
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if (1..=MAX_NUMBER_CHARS).contains(&normal.len()) && normal.bytes().all(allowed) {
        Ok(Number(normal))
    } else {
        Err(TagError::Number)
    }
}

impl Number {
    /// The normal form itself, for the register that compares it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The longest name of an identity provider, in bytes.
pub const MAX_ISSUER_BYTES: usize = 512;
/// The longest subject of one (OpenID Connect Core §2), in bytes.
pub const MAX_SUBJECT_BYTES: usize = 255;

/// What stands in the place of a foreigner's resident number (rule F10).
#[derive(Clone, Copy)]
pub enum Foreign<'a> {
    /// A passport.
    Passport {
        /// The issuing state, as the zone has it.
        state: &'a str,
        /// What the state has in the zone's optional field.
        personal: Option<&'a str>,
        document: &'a str,
    },
    /// An account at an identity provider: `iss` and `sub` of its ID token.
    Upstream { issuer: &'a str, subject: &'a str },
}

impl Foreign<'_> {
    /// The number that is evaluated. It has a `/`, which no resident number has, so that nobody's
    /// number is another's of another kind.
    pub fn number(&self) -> Result<Number, TagError> {
        match self {
            Self::Passport {
                state,
                personal,
                document,
            } => {
                let of_zone = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'<';
                let (kind, value) = match personal {
                    Some(personal) => ("personal", personal),
                    None => ("document", document),
                };
                let sound = |text: &str, len: usize| {
                    (1..=len).contains(&text.len()) && text.bytes().all(of_zone)
                };
                if !sound(state, 3) || !sound(value, 14) {
                    return Err(TagError::Number);
                }
                Ok(Number(format!("passport/{state}/{kind}/{value}")))
            }
            Self::Upstream { issuer, subject } => {
                let sound = |text: &str, len: usize| (1..=len).contains(&text.len());
                if !sound(issuer, MAX_ISSUER_BYTES) || !sound(subject, MAX_SUBJECT_BYTES) {
                    return Err(TagError::Number);
                }
                // The issuer's length goes before it, so that the two cannot shift.
                let digest = Sha256::new()
                    .chain_update(b"rdid/1/upstream\0")
                    .chain_update((issuer.len() as u32).to_be_bytes())
                    .chain_update(issuer)
                    .chain_update(subject)
                    .finalize();
                let hex: String = digest.iter().map(|b| format!("{b:02x}")).collect();
                Ok(Number(format!("upstream/{hex}")))
            }
        }
    }
}

/// The authority's secret behind its [`TagKey`]. It is never rotated silently: another key means
/// other tags for everybody.
#[derive(Clone)]
pub struct TagSecret(VoprfServer<Ristretto255>);

impl TagSecret {
    /// Derives the key from a uniformly random seed (RFC 9497 §3.2.1, DeriveKeyPair).
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, TagError> {
        VoprfServer::new_from_seed(seed, b"rdid/1/person-tag")
            .map(Self)
            .map_err(|_| TagError::Secret)
    }

    /// The key as it stands in the issuer's record.
    pub fn public(&self) -> TagKey {
        TagKey(Ristretto255::serialize_elem(self.0.get_public_key()).into())
    }
}

/// What the wallet keeps until the answer, and sends along: blinding factor, then blinded element.
///
/// On the wire: 64 bytes in base64url.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientState(#[serde(with = "b64")] pub [u8; 64]);

impl ClientState {
    fn read(&self) -> Result<(VoprfClient<Ristretto255>, BlindedElement<Ristretto255>), TagError> {
        let client = VoprfClient::deserialize(&self.0).map_err(|_| TagError::Malformed)?;
        let element =
            BlindedElement::deserialize(&self.0[32..]).map_err(|_| TagError::Malformed)?;
        Ok((client, element))
    }
}

/// The authority's answer: the evaluated element and the proof that the tag key made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluation {
    /// A ristretto255 point.
    #[serde(with = "b64")]
    pub element: [u8; 32],
    /// A DLEQ proof: challenge and response (RFC 9497 §2.2).
    #[serde(with = "b64")]
    pub proof: [u8; 64],
}

/// Wallet, first step. `seed` is fresh and uniformly random.
pub fn blind(number: &Number, seed: &[u8; 32]) -> Result<ClientState, TagError> {
    let mut rng = SeedRng::new(b"rdid/1/tag/blind", seed);
    let blinded = VoprfClient::<Ristretto255>::blind(number.0.as_bytes(), &mut rng)
        .map_err(|_| TagError::Number)?;
    Ok(ClientState(blinded.state.serialize().into()))
}

/// Authority's step, after the evidence for `number` was accepted. `seed` is fresh and uniformly
/// random; it hides the key in the proof.
///
/// The result is held against the tag that the authority computes itself, so what it answers is
/// of this number or nothing.
pub fn evaluate(
    secret: &TagSecret,
    number: &Number,
    client: &ClientState,
    seed: &[u8; 32],
) -> Result<(Evaluation, PersonTag), TagError> {
    let (state, blinded) = client.read()?;
    let mut rng = SeedRng::new(b"rdid/1/tag/prove", seed);
    let answer = secret.0.blind_evaluate(&mut rng, &blinded);
    let input = number.0.as_bytes();
    let direct = secret.0.evaluate(input).map_err(|_| TagError::Number)?;
    let key = secret.0.get_public_key();
    // A blinded element of another number gives another output, or none at all.
    match state.finalize(input, &answer.message, &answer.proof, key) {
        Ok(output) if output == direct => {}
        _ => return Err(TagError::OtherNumber),
    }
    let evaluation = Evaluation {
        element: answer.message.serialize().into(),
        proof: answer.proof.serialize().into(),
    };
    Ok((evaluation, tag_of(&direct)))
}

/// The tag as the authority computes it alone, for a person that it knows.
pub fn tag(secret: &TagSecret, number: &Number) -> Result<PersonTag, TagError> {
    let output = secret
        .0
        .evaluate(number.0.as_bytes())
        .map_err(|_| TagError::Number)?;
    Ok(tag_of(&output))
}

/// Wallet, last step: checks the proof against the tag key that stands on the ledger.
pub fn finish(
    client: &ClientState,
    number: &Number,
    evaluation: &Evaluation,
    tag_key: &TagKey,
) -> Result<PersonTag, TagError> {
    let (state, _) = client.read()?;
    let key = Ristretto255::deserialize_elem(&tag_key.0).map_err(|_| TagError::Malformed)?;
    let element =
        EvaluationElement::deserialize(&evaluation.element).map_err(|_| TagError::Malformed)?;
    let proof = Proof::deserialize(&evaluation.proof).map_err(|_| TagError::Malformed)?;
    state
        .finalize(number.0.as_bytes(), &element, &proof, key)
        .map(|output| tag_of(&output))
        .map_err(|_| TagError::Proof)
}

/// What the wallet puts under its tag: a commitment to one of its keys that says nothing to
/// anybody else. The wallet keeps `salt`.
pub fn enrolment_commitment(salt: &[u8; 32], wallet_key: &PublicKey) -> Hash32 {
    // The salt is of fixed length and the key's bytes are last, so the parts cannot shift.
    hash(Domain::EnrolmentCommitment, &[salt, wallet_key.bytes()])
}

/// Rule N2: the 64-byte VOPRF output is hashed once more, in our own domain.
fn tag_of(output: &[u8]) -> PersonTag {
    hash(Domain::PersonTag, &[output])
}

/// A stream of SHA-512 blocks over a seed, in the shape that `voprf` asks for: randomness stays an
/// argument of this crate.
struct SeedRng {
    label: &'static [u8],
    seed: [u8; 32],
    counter: u64,
}

impl SeedRng {
    fn new(label: &'static [u8], seed: &[u8; 32]) -> Self {
        Self {
            label,
            seed: *seed,
            counter: 0,
        }
    }
}

impl rand_core_06::RngCore for SeedRng {
    fn next_u32(&mut self) -> u32 {
        rand_core_06::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core_06::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(64) {
            let block = Sha512::new()
                .chain_update(self.label)
                .chain_update([0])
                .chain_update(self.seed)
                .chain_update(self.counter.to_be_bytes())
                .finalize();
            self.counter += 1;
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core_06::Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl rand_core_06::CryptoRng for SeedRng {}

impl Drop for SeedRng {
    fn drop(&mut self) {
        use zeroize::Zeroize;
        self.seed.zeroize();
    }
}

/// What proves to the authority who somebody is: the content of an evidence file. All of it is
/// personal data or secret, so `Debug` shows none of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Evidence {
    /// A resident's card.
    Card(CardEvidence),
    /// A passport's chip.
    Passport(PassportEvidence),
    /// A login at an identity provider. In no file: the wallet has it from the authority.
    Upstream(UpstreamEvidence),
}

impl From<CardEvidence> for Evidence {
    fn from(card: CardEvidence) -> Self {
        Self::Card(card)
    }
}

impl From<PassportEvidence> for Evidence {
    fn from(passport: PassportEvidence) -> Self {
        Self::Passport(passport)
    }
}

/// What proves a resident.
///
/// On disk: `{"type":"rdid-synthetic-card/1","person","given_name","family_name",
/// "resident_number","birthdate","card_secret"}`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardEvidence {
    /// The kind of evidence: [`SYNTHETIC_CARD`].
    #[serde(rename = "type")]
    pub kind: String,
    /// The operator's opaque reference; not derived from the person.
    pub person: String,
    pub given_name: String,
    pub family_name: String,
    pub resident_number: String,
    /// `YYYY-MM-DD`.
    pub birthdate: String,
    /// What only the card knows: 32 bytes in base64url.
    pub card_secret: String,
}

/// The kind of evidence that the embedded synthetic register issues.
pub const SYNTHETIC_CARD: &str = "rdid-synthetic-card/1";
/// The largest evidence file in bytes.
pub const MAX_EVIDENCE_BYTES: usize = 48 * 1024;

/// The name of a passport's evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PassportKind {
    #[serde(rename = "rdid-passport/1")]
    V1,
}

/// What a passport's chip has (ICAO 9303-10), as a reader got it.
///
/// On disk: `{"type":"rdid-passport/1","security_object","data_groups":{"1":…}}`, EF.SOD and the data
/// groups by number, each as it stands on the chip, in base64url. The first group is needed; the
/// picture (the second) is not, and is better left out.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PassportEvidence {
    #[serde(rename = "type")]
    pub kind: PassportKind,
    pub security_object: String,
    pub data_groups: BTreeMap<String, String>,
}

impl PassportEvidence {
    /// From a chip's files.
    pub fn new(security_object: &[u8], data_groups: &[(u8, Vec<u8>)]) -> Self {
        let groups = data_groups.iter();
        Self {
            kind: PassportKind::V1,
            security_object: URL_SAFE_NO_PAD.encode(security_object),
            data_groups: groups
                .map(|(number, bytes)| (number.to_string(), URL_SAFE_NO_PAD.encode(bytes)))
                .collect(),
        }
    }

    /// EF.SOD; nothing where it is not base64url.
    pub fn security_object(&self) -> Option<Vec<u8>> {
        URL_SAFE_NO_PAD.decode(&self.security_object).ok()
    }

    /// The data groups; nothing where one has no number or is not base64url.
    pub fn data_groups(&self) -> Option<Vec<(u8, Vec<u8>)>> {
        let groups = self.data_groups.iter();
        groups
            .map(|(number, text)| {
                // One spelling for each number.
                let plain = !number.starts_with(['0', '+']);
                let number = number.parse().ok().filter(|_| plain)?;
                Some((number, URL_SAFE_NO_PAD.decode(text).ok()?))
            })
            .collect()
    }
}

/// The name of evidence from an identity provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpstreamKind {
    #[serde(rename = "rdid-upstream/1")]
    V1,
}

/// A login at an identity provider that the authority saw itself (rules F13 to F18): who it was, and
/// the ticket that the browser brought back to the wallet.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamEvidence {
    #[serde(rename = "type")]
    pub kind: UpstreamKind,
    pub issuer: String,
    pub subject: String,
    pub ticket: String,
    /// What the wallet's challenge was made of (RFC 7636).
    pub verifier: String,
}

impl std::fmt::Debug for Evidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Evidence(…)")
    }
}

/// The body of `POST /v1/enrolments`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolmentRequest {
    pub evidence: Evidence,
    /// From [`blind`].
    pub blinded: ClientState,
    /// From [`enrolment_commitment`], in hex.
    #[serde(with = "hex32")]
    pub commitment: Hash32,
}

/// The answer to `POST /v1/enrolments`, sent when the enrolment stands in a final block.
#[derive(Clone, Serialize, Deserialize)]
pub struct EnrolmentResponse {
    /// To be checked with [`finish`].
    pub evaluation: Evaluation,
    /// The issuer's URL: its record on the ledger is under the hash of it.
    pub issuer: String,
    /// The height of the block that holds the enrolment. The wallet waits until the sealed state
    /// reaches it and checks the inclusion before it stores anything.
    pub height: u64,
    /// The enrolment's sequence number on the ledger.
    pub seq: u64,
    /// Where the credentials are fetched.
    pub credential_offer: crate::vci::CredentialOffer,
    /// The transaction code of that offer.
    pub tx_code: String,
}

/// Fixed-length bytes as base64url without padding.
mod b64 {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub fn serialize<S: Serializer, const N: usize>(
        bytes: &[u8; N],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        deserializer: D,
    ) -> Result<[u8; N], D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || D::Error::custom("not base64url of the right length");
        if text.len() > 4 * N.div_ceil(3) {
            return Err(wrong());
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
        bytes.try_into().map_err(|_| wrong())
    }
}

/// A [`Hash32`] as lowercase hex.
pub mod hex32 {
    use realdid_core::hash::Hash32;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(hash: &Hash32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hash.to_string())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hash32, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map_err(|_| D::Error::custom("not 64 characters of lowercase hex"))
    }
}

#[cfg(test)]
mod tests;
