//! DCQL, the question in a presentation request (OpenID4VP 1.0 §6): what a wallet matches its
//! credentials against, and what a verifier holds the answer against.
//!
//! Of authorities that a query trusts, those that are named by a key identifier (`aki`) can be told
//! here; by a name of another type nobody is found. To `multiple` one credential is an answer, and so is
//! one that is bound to its holder where that is not asked. Unknown members are ignored, as §6 asks.
//! Everything is bounded when it is read.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::path::ClaimPath;
use crate::refusal::refusals;
use crate::sd_jwt::FORMAT;

const MAX_CREDENTIALS: usize = 8;
const MAX_CLAIMS: usize = 32;
const MAX_SETS: usize = 16;
const MAX_VALUES: usize = 32;
const MAX_AUTHORITIES: usize = 8;
const MAX_ID_LEN: usize = 64;
const MAX_TEXT_LEN: usize = 256;

/// The type of authorities that are named by the identifier of their key, in base64url.
pub const AKI: &str = "aki";

refusals! {
    /// Why a query was refused, or a credential does not answer it.
    DcqlError
    Malformed Verifier "dcql.malformed" "a query is an object with a non-empty list of credential queries" "write the query as OpenID4VP 1.0 section 6 says",
    TooMuch Verifier "dcql.too_much" "a query keeps its bounds: 8 credentials, 32 claims each, 16 sets" "ask for less",
    Id Verifier "dcql.id" "ids are unique, of letters, digits, _ and -, and those in sets exist" "name each query once",
    Format Verifier "dcql.format" "a credential query names a format" "ask for dc+sd-jwt",
    Meta Verifier "dcql.meta" "a dc+sd-jwt query names the types that it takes in meta.vct_values" "name the types",
    Path Verifier "dcql.path" "a claim is a path of names, indices and nulls that begins with a name" "write the claim's path",
    Values Verifier "dcql.values" "expected values are strings, integers or booleans, at least one" "leave values out or name some",
    Authorities Verifier "dcql.authorities" "trusted authorities have a type and a list of names" "write them as OpenID4VP 1.0 section 6.1.1 says",
    OtherFormat Holder "dcql.other_format" "the query asks for a credential of this format" "answer with another credential",
    OtherAuthority Holder "dcql.other_authority" "the credential is of an authority that the query trusts" "answer with another credential",
    OtherType Holder "dcql.other_type" "the credential is of a type that the query takes" "answer with another credential",
    ClaimMissing Holder "dcql.claim_missing" "every claim that the query needs is there" "answer with a credential that has it, and disclose it",
    ValueMismatch Holder "dcql.value_mismatch" "a claim has one of the values that the query expects" "answer with another credential",
    CredentialMissing Holder "dcql.credential_missing" "every credential that the query needs is there" "answer with all credentials that were asked for",
    CredentialUnasked Holder "dcql.credential_unasked" "only credentials that were asked for are shown" "show no more than was asked for",
}

/// A query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DcqlQuery {
    /// What may be shown; at least one.
    pub credentials: Vec<CredentialQuery>,
    /// Which of them are needed together; empty: all.
    pub credential_sets: Vec<CredentialSet>,
}

/// What one credential must be and tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialQuery {
    /// The name under which the answer stands in `vp_token`.
    pub id: String,
    /// The format, such as `dc+sd-jwt`.
    pub format: String,
    /// Accepted types; empty for other formats than `dc+sd-jwt` only.
    pub vct_values: Vec<String>,
    /// The accepted type of an mdoc; none for other formats only.
    pub doctype: Option<String>,
    /// The claims asked for; empty: none that can be hidden.
    pub claims: Vec<ClaimQuery>,
    /// Alternatives, best first, as indices into `claims`; empty: all claims are needed.
    pub claim_sets: Vec<Vec<usize>>,
    /// Whose credential will do; empty: anybody's.
    pub trusted_authorities: Vec<TrustedAuthority>,
    /// Whether several credentials may be shown.
    pub multiple: bool,
    /// Whether it must be bound to its holder.
    pub holder_bound: bool,
}

/// Authorities by their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedAuthority {
    /// [`AKI`], or a type of which nobody is known here.
    pub kind: String,
    pub values: Vec<String>,
}

/// A credential that a wallet holds.
#[derive(Clone, Copy)]
pub struct Held<'a> {
    pub format: &'a str,
    /// The `vct` of an SD-JWT VC, the document type of an mdoc.
    pub kind: &'a str,
    /// All its claims; those of an mdoc by name space.
    pub claims: &'a Map<String, Value>,
    /// The key identifiers of the authorities in its certificates.
    pub authority_keys: &'a [Vec<u8>],
}

/// One claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimQuery {
    /// Its name in `claim_sets`.
    pub id: Option<String>,
    /// Where it stands.
    pub path: ClaimPath,
    /// Values of which it must have one; empty: any.
    pub values: Vec<Value>,
}

/// Alternatives for one use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialSet {
    /// Lists of ids, best first.
    pub options: Vec<Vec<String>>,
    /// Whether the request fails without it.
    pub required: bool,
}

/// One credential of an answer, verified already.
#[derive(Clone, Copy)]
pub enum Presented<'a> {
    /// An SD-JWT VC: its type and what it disclosed.
    SdJwt {
        /// The credential's type.
        vct: &'a str,
        /// The disclosed claims.
        claims: &'a Map<String, Value>,
    },
    /// A credential of another format, held against its query by the code of that format.
    Other,
}

impl DcqlQuery {
    /// Reads a query.
    pub fn parse(value: &Value) -> Result<Self, DcqlError> {
        let credentials =
            list(value.get("credentials"), MAX_CREDENTIALS)?.ok_or(DcqlError::Malformed)?;
        let credentials: Vec<_> = credentials
            .iter()
            .map(CredentialQuery::parse)
            .collect::<Result<_, _>>()?;
        unique(credentials.iter().map(|query| query.id.as_str()))?;
        let known = |id: &str| credentials.iter().any(|query| query.id == id);
        let credential_sets = list(value.get("credential_sets"), MAX_SETS)?
            .unwrap_or_default()
            .iter()
            .map(|set| CredentialSet::parse(set, &known))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            credentials,
            credential_sets,
        })
    }

    /// The query of this id.
    pub fn credential(&self, id: &str) -> Option<&CredentialQuery> {
        self.credentials.iter().find(|query| query.id == id)
    }

    /// Every claim that some answer could disclose: what a registration is held against.
    pub fn requested_paths(&self) -> impl Iterator<Item = &ClaimPath> {
        self.credentials
            .iter()
            .flat_map(|query| &query.claims)
            .map(|claim| &claim.path)
    }

    /// Which of its credentials a wallet shows (§6.4.2), where `can` says by id which it can: all that are
    /// asked for, or of each required set the first option that it can. What is not required is left out.
    pub fn choose(&self, can: &dyn Fn(&str) -> bool) -> Result<Vec<&CredentialQuery>, DcqlError> {
        let missing = DcqlError::CredentialMissing;
        let mut ids: Vec<&str> = Vec::new();
        if self.credential_sets.is_empty() {
            ids.extend(self.credentials.iter().map(|query| query.id.as_str()));
        }
        for set in self.credential_sets.iter().filter(|set| set.required) {
            let mut options = set.options.iter();
            let option = options.find(|option| option.iter().all(|id| can(id)));
            ids.extend(option.ok_or(missing)?.iter().map(String::as_str));
        }
        if !ids.iter().all(|id| can(id)) {
            return Err(missing);
        }
        let chosen = self.credentials.iter();
        let chosen: Vec<_> = chosen
            .filter(|query| ids.contains(&query.id.as_str()))
            .collect();
        (!chosen.is_empty()).then_some(chosen).ok_or(missing)
    }

    /// The verifier's side (§6.4): every credential shown was asked for and tells what its query
    /// needs, and together they are enough. `presented` is by credential query id.
    pub fn satisfied(&self, presented: &BTreeMap<String, Presented<'_>>) -> Result<(), DcqlError> {
        for (id, credential) in presented {
            let query = self.credential(id).ok_or(DcqlError::CredentialUnasked)?;
            match credential {
                Presented::SdJwt { vct, claims } => satisfied(query, vct, claims)?,
                Presented::Other if query.format == FORMAT => return Err(DcqlError::OtherFormat),
                Presented::Other => {}
            }
        }
        let shown = |id: &String| presented.contains_key(id);
        let enough = if self.credential_sets.is_empty() {
            self.credentials.iter().all(|query| shown(&query.id))
        } else {
            let met =
                |set: &CredentialSet| set.options.iter().any(|option| option.iter().all(shown));
            self.credential_sets
                .iter()
                .all(|set| !set.required || met(set))
        };
        enough.then_some(()).ok_or(DcqlError::CredentialMissing)
    }
}

impl CredentialQuery {
    fn parse(value: &Value) -> Result<Self, DcqlError> {
        let id = id(value.get("id"))?;
        let format = text(value.get("format")).ok_or(DcqlError::Format)?;
        let meta = value
            .get("meta")
            .and_then(Value::as_object)
            .ok_or(DcqlError::Meta)?;
        let vct_values = match list(meta.get("vct_values"), MAX_VALUES)? {
            Some(values) => values
                .iter()
                .map(|v| text(Some(v)).ok_or(DcqlError::Meta))
                .collect::<Result<_, _>>()?,
            None if format == FORMAT => return Err(DcqlError::Meta),
            None => Vec::new(),
        };
        let doctype = match text(meta.get("doctype_value")) {
            None if format == crate::mdoc::FORMAT => return Err(DcqlError::Meta),
            doctype => doctype,
        };
        let flag = |name: &str, default: bool| match value.get(name) {
            None => Ok(default),
            Some(flag) => flag.as_bool().ok_or(DcqlError::Malformed),
        };
        let holder_bound = flag("require_cryptographic_holder_binding", true)?;
        let multiple = flag("multiple", false)?;
        let trusted_authorities = list(value.get("trusted_authorities"), MAX_AUTHORITIES)?
            .unwrap_or_default()
            .iter()
            .map(TrustedAuthority::parse)
            .collect::<Result<_, _>>()?;
        let claims: Vec<_> = list(value.get("claims"), MAX_CLAIMS)?
            .unwrap_or_default()
            .iter()
            .map(ClaimQuery::parse)
            .collect::<Result<_, _>>()?;
        unique(claims.iter().filter_map(|claim| claim.id.as_deref()))?;
        let index = |id: &Value| {
            let id = id.as_str().ok_or(DcqlError::Id)?;
            let at = claims
                .iter()
                .position(|claim| claim.id.as_deref() == Some(id));
            at.ok_or(DcqlError::Id)
        };
        let claim_sets: Vec<Vec<usize>> = list(value.get("claim_sets"), MAX_SETS)?
            .unwrap_or_default()
            .iter()
            .map(|set| {
                let ids = list(Some(set), MAX_CLAIMS)?.ok_or(DcqlError::Malformed)?;
                ids.iter().map(index).collect::<Result<_, _>>()
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            id,
            format,
            vct_values,
            doctype,
            claims,
            claim_sets,
            trusted_authorities,
            multiple,
            holder_bound,
        })
    }

    /// The wallet's side (§6.4.1): the claims of a credential that answer this query, or why it does not.
    pub fn matches(&self, held: &Held<'_>) -> Result<Vec<ClaimPath>, DcqlError> {
        if self.format != held.format {
            return Err(DcqlError::OtherFormat);
        }
        let mut kinds = self.vct_values.iter().chain(&self.doctype);
        if !kinds.any(|kind| kind == held.kind) {
            return Err(DcqlError::OtherType);
        }
        let trusted = |one: &TrustedAuthority| one.names(held.authority_keys);
        let authorities = &self.trusted_authorities;
        if !authorities.is_empty() && !authorities.iter().any(trusted) {
            return Err(DcqlError::OtherAuthority);
        }
        self.told(held.claims)
    }

    /// The claims, out of `claims`, that this query needs. With `claim_sets` the first that can be met wins.
    fn told(&self, claims: &Map<String, Value>) -> Result<Vec<ClaimPath>, DcqlError> {
        let paths = |set: &mut dyn Iterator<Item = &ClaimQuery>| {
            set.map(|claim| claim.met_by(claims).map(|()| claim.path.clone()))
                .collect()
        };
        if self.claim_sets.is_empty() {
            return paths(&mut self.claims.iter());
        }
        // Why the first, preferred set failed says more than why the last did.
        let mut first_refusal = None;
        for set in &self.claim_sets {
            match paths(&mut set.iter().filter_map(|index| self.claims.get(*index))) {
                Ok(paths) => return Ok(paths),
                Err(refusal) => _ = first_refusal.get_or_insert(refusal),
            }
        }
        Err(first_refusal.unwrap_or(DcqlError::ClaimMissing))
    }
}

impl TrustedAuthority {
    fn parse(value: &Value) -> Result<Self, DcqlError> {
        let refused = DcqlError::Authorities;
        let kind = text(value.get("type")).ok_or(refused)?;
        let values = list(value.get("values"), MAX_VALUES)?.ok_or(refused)?;
        let values = values.iter().map(|one| text(Some(one)).ok_or(refused));
        Ok(Self {
            kind,
            values: values.collect::<Result<_, _>>()?,
        })
    }

    /// Whether it names an authority that has one of these keys.
    fn names(&self, authority_keys: &[Vec<u8>]) -> bool {
        let names = |key: &Vec<u8>| self.values.contains(&URL_SAFE_NO_PAD.encode(key));
        self.kind == AKI && authority_keys.iter().any(names)
    }
}

impl ClaimQuery {
    fn parse(value: &Value) -> Result<Self, DcqlError> {
        let id = value.get("id").map(|v| id(Some(v))).transpose()?;
        let path = value
            .get("path")
            .and_then(ClaimPath::parse)
            .ok_or(DcqlError::Path)?;
        let values = list(value.get("values"), MAX_VALUES)?
            .unwrap_or_default()
            .to_vec();
        let plain = |v: &Value| match v {
            Value::String(text) => text.len() <= MAX_TEXT_LEN,
            Value::Number(number) => !number.is_f64(),
            Value::Bool(_) => true,
            _ => false,
        };
        values
            .iter()
            .all(plain)
            .then_some(Self { id, path, values })
            .ok_or(DcqlError::Values)
    }

    /// §6.3: the claim is there and, where values are named, some selected value equals one of
    /// them in type and value.
    fn met_by(&self, claims: &Map<String, Value>) -> Result<(), DcqlError> {
        let selected = self.path.select(claims);
        if selected.is_empty() {
            return Err(DcqlError::ClaimMissing);
        }
        let expected = self.values.is_empty() || selected.iter().any(|v| self.values.contains(v));
        expected.then_some(()).ok_or(DcqlError::ValueMismatch)
    }
}

impl CredentialSet {
    fn parse(value: &Value, known: &impl Fn(&str) -> bool) -> Result<Self, DcqlError> {
        let options = list(value.get("options"), MAX_SETS)?.ok_or(DcqlError::Malformed)?;
        let options = options
            .iter()
            .map(|option| {
                let ids = list(Some(option), MAX_CREDENTIALS)?.ok_or(DcqlError::Malformed)?;
                let known_id =
                    |v: &Value| id(Some(v)).ok().filter(|id| known(id)).ok_or(DcqlError::Id);
                ids.iter().map(known_id).collect::<Result<_, _>>()
            })
            .collect::<Result<_, _>>()?;
        let required = match value.get("required") {
            None => true,
            Some(flag) => flag.as_bool().ok_or(DcqlError::Malformed)?,
        };
        Ok(Self { options, required })
    }
}

/// The verifier's side for one credential: what was disclosed answers `query`. Whether its issuer is trusted is
/// for whoever verified it to say.
pub fn satisfied(
    query: &CredentialQuery,
    vct: &str,
    disclosed: &Map<String, Value>,
) -> Result<(), DcqlError> {
    if query.format != FORMAT {
        return Err(DcqlError::OtherFormat);
    }
    if !query.vct_values.iter().any(|accepted| accepted == vct) {
        return Err(DcqlError::OtherType);
    }
    query.told(disclosed).map(|_| ())
}

/// A list that is absent, or non-empty and within `max`.
fn list(value: Option<&Value>, max: usize) -> Result<Option<&[Value]>, DcqlError> {
    match value {
        None => Ok(None),
        Some(Value::Array(items)) if items.is_empty() => Err(DcqlError::Malformed),
        Some(Value::Array(items)) if items.len() > max => Err(DcqlError::TooMuch),
        Some(Value::Array(items)) => Ok(Some(items)),
        Some(_) => Err(DcqlError::Malformed),
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    value
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty() && text.len() <= MAX_TEXT_LEN)
        .map(str::to_owned)
}

fn id(value: Option<&Value>) -> Result<String, DcqlError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    text(value)
        .filter(|id| id.len() <= MAX_ID_LEN && id.bytes().all(allowed))
        .ok_or(DcqlError::Id)
}

fn unique<'a>(ids: impl Iterator<Item = &'a str>) -> Result<(), DcqlError> {
    let mut seen = std::collections::BTreeSet::new();
    for id in ids {
        if !seen.insert(id) {
            return Err(DcqlError::Id);
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "dcql_tests.rs"]
mod tests;
