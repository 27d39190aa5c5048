//! What issuer and authorization server say about themselves (OpenID4VCI 1.0 §12, RFC 8414).

use realdid_credential::jose::{self, Alg, JwsError, SigningKey, VerifyingKey};
use realdid_credential::{mdoc, realpass};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use url::Url;

use super::{
    AUTHORIZATION_CODE, BATCH_SIZE, MDOC, MDOC_CONFIGURATION, PASS_CONFIGURATION,
    PID_CONFIGURATION, PRE_AUTHORIZED, REFRESH_TOKEN, SD_JWT_VC, VciError, X5C_CONFIGURATION,
    is_safe,
};
use crate::jwe::Enc;

/// The `typ` of signed metadata (§12.2.3).
pub const METADATA_TYP: &str = "openidvci-issuer-metadata+jwt";

/// The credential issuer's metadata (§12.2.4), as far as we use it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerMetadata {
    pub credential_issuer: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_servers: Option<Vec<String>>,
    pub credential_endpoint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce_endpoint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deferred_credential_endpoint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notification_endpoint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_response_encryption: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_credential_issuance: Option<BatchIssuance>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display: Option<Value>,
    pub credential_configurations_supported: Map<String, Value>,
}

/// How many copies one request may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchIssuance {
    pub batch_size: usize,
}

impl IssuerMetadata {
    /// The metadata of an authority at `issuer` whose PID is of type `vct`. `name` is shown to
    /// people.
    ///
    /// `signed_by` is the algorithm of the key that signs PIDs, `bound_to` are those of the keys that they
    /// are bound to. Neither certificates nor mdocs are of SM2: an authority whose key is has neither.
    pub fn of_authority(
        issuer: &str,
        vct: &str,
        name: &str,
        (signed_by, bound_to): (Alg, &[Alg]),
    ) -> Self {
        let proof_types = |algs: &[Alg]| {
            let names: Vec<&str> = algs.iter().map(|alg| alg.name()).collect();
            json!({
                "jwt": {"proof_signing_alg_values_supported": names},
                "attestation": {"proof_signing_alg_values_supported": names},
            })
        };
        let in_jose = proof_types(bound_to);
        let elsewhere = signed_by.is_registered();
        let shown = json!({"display": [{"name": "Person identification", "locale": "en"}]});
        let mut configurations = Map::new();
        let with_certificate = elsewhere.then_some(X5C_CONFIGURATION);
        for id in [PID_CONFIGURATION].into_iter().chain(with_certificate) {
            let configuration = json!({
                "format": SD_JWT_VC,
                "scope": id,
                "vct": vct,
                "cryptographic_binding_methods_supported": ["jwk"],
                "credential_signing_alg_values_supported": [signed_by.name()],
                "proof_types_supported": in_jose,
                "credential_metadata": shown,
            });
            configurations.insert(id.to_owned(), configuration);
        }
        if elsewhere {
            let mdoc = json!({
                "format": MDOC,
                "scope": MDOC_CONFIGURATION,
                "doctype": mdoc::pid::DOC_TYPE,
                "cryptographic_binding_methods_supported": ["cose_key"],
                // COSE's number of ES256.
                "credential_signing_alg_values_supported": [-7],
                "proof_types_supported": proof_types(&[Alg::Es256]),
                "credential_metadata": shown,
            });
            configurations.insert(MDOC_CONFIGURATION.to_owned(), mdoc);
        }
        configurations.insert(
            PASS_CONFIGURATION.to_owned(),
            json!({
                "format": realpass::FORMAT,
                "scope": PASS_CONFIGURATION,
                "cryptographic_binding_methods_supported": ["rdid_commitment"],
                "credential_signing_alg_values_supported": ["BBS-BLS12-381-SHA-256"],
                "proof_types_supported": {
                    realpass::FORMAT: {
                        "proof_signing_alg_values_supported": ["BBS-BLS12-381-SHA-256"]
                    }
                },
                "credential_metadata": {
                    "display": [{"name": "RealPass", "locale": "en"}]
                },
            }),
        );
        Self {
            credential_issuer: issuer.to_owned(),
            authorization_servers: None,
            credential_endpoint: format!("{issuer}/credential"),
            nonce_endpoint: Some(format!("{issuer}/nonce")),
            deferred_credential_endpoint: Some(format!("{issuer}/deferred_credential")),
            notification_endpoint: Some(format!("{issuer}/notification")),
            credential_response_encryption: Some(json!({
                "alg_values_supported": ["ECDH-ES"],
                "enc_values_supported": Enc::ALL.map(Enc::name),
                "encryption_required": false,
            })),
            batch_credential_issuance: Some(BatchIssuance {
                batch_size: BATCH_SIZE,
            }),
            display: Some(json!([{"name": name, "locale": "en"}])),
            credential_configurations_supported: configurations,
        }
    }

    /// Issuer: the same, signed by the key of `x5c`'s leaf (§12.2.3).
    pub fn sign(&self, x5c: &[String], now_s: u64, key: &SigningKey) -> Result<String, JwsError> {
        let mut header = Map::new();
        header.insert("typ".to_owned(), METADATA_TYP.into());
        header.insert("x5c".to_owned(), x5c.into());
        let mut claims = serde_json::to_value(self).unwrap_or_default();
        claims["iss"] = self.credential_issuer.clone().into();
        claims["sub"] = self.credential_issuer.clone().into();
        claims["iat"] = now_s.into();
        jose::sign_compact(&header, claims.to_string().as_bytes(), key)
    }

    /// Wallet: reads signed metadata under a key of the issuer that it knows.
    pub fn parse_signed(jwt: &str, issuer: &str, key: &VerifyingKey) -> Result<Self, VciError> {
        let refused = VciError::Metadata;
        let verified = jose::verify_compact(jwt, key, METADATA_TYP).map_err(|_| refused)?;
        let claims = verified.claims().map_err(|_| refused)?;
        if claims.get("sub").and_then(Value::as_str) != Some(issuer) {
            return Err(refused);
        }
        Self::parse(Value::Object(claims).to_string().as_bytes(), issuer)
    }

    /// Wallet: reads the metadata of the issuer that an offer names. It must name that issuer and
    /// no other (§12.2.3), or somebody could take an issuer's name.
    pub fn parse(body: &[u8], issuer: &str) -> Result<Self, VciError> {
        let metadata: Self = serde_json::from_slice(body).map_err(|_| VciError::Metadata)?;
        let mut endpoints = vec![&metadata.credential_endpoint];
        endpoints.extend(&metadata.nonce_endpoint);
        endpoints.extend(&metadata.deferred_credential_endpoint);
        endpoints.extend(&metadata.notification_endpoint);
        let safe = |url: &&String| Url::parse(url).is_ok_and(|url| is_safe(&url));
        if metadata.credential_issuer == issuer && endpoints.iter().all(safe) {
            Ok(metadata)
        } else {
            Err(VciError::Metadata)
        }
    }

    /// The most copies of one request; 1 where the issuer says nothing.
    pub fn batch_size(&self) -> usize {
        self.batch_credential_issuance
            .as_ref()
            .map_or(1, |batch| batch.batch_size.clamp(1, 100))
    }

    /// The authorization server: the issuer itself, unless it names another (§12.2.4).
    pub fn authorization_server(&self) -> &str {
        self.authorization_servers
            .as_ref()
            .and_then(|servers| servers.first())
            .unwrap_or(&self.credential_issuer)
    }
}

/// The authorization server's metadata (RFC 8414), as far as we use it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerMetadata {
    pub issuer: String,
    pub token_endpoint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_endpoint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushed_authorization_request_endpoint: Option<String>,
    #[serde(default)]
    pub require_pushed_authorization_requests: bool,
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
    #[serde(default)]
    pub code_challenge_methods_supported: Vec<String>,
    #[serde(default)]
    pub dpop_signing_alg_values_supported: Vec<String>,
    #[serde(default)]
    pub client_attestation_signing_alg_values_supported: Vec<String>,
    #[serde(default)]
    pub client_attestation_pop_signing_alg_values_supported: Vec<String>,
    #[serde(default)]
    pub grant_types_supported: Vec<String>,
    /// Required by RFC 8414.
    #[serde(default)]
    pub response_types_supported: Vec<String>,
    #[serde(default)]
    pub token_endpoint_auth_methods_supported: Vec<String>,
    #[serde(rename = "pre-authorized_grant_anonymous_access_supported", default)]
    pub anonymous_access: bool,
}

impl ServerMetadata {
    /// The metadata of an authority at `issuer`.
    pub fn of_authority(issuer: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            token_endpoint: format!("{issuer}/token"),
            authorization_endpoint: Some(format!("{issuer}/authorize")),
            pushed_authorization_request_endpoint: Some(format!("{issuer}/par")),
            require_pushed_authorization_requests: true,
            authorization_response_iss_parameter_supported: true,
            code_challenge_methods_supported: texts(&["S256"]),
            dpop_signing_alg_values_supported: texts(&["ES256", "EdDSA"]),
            client_attestation_signing_alg_values_supported: texts(&["ES256"]),
            client_attestation_pop_signing_alg_values_supported: texts(&["ES256", "EdDSA"]),
            grant_types_supported: texts(&[PRE_AUTHORIZED, AUTHORIZATION_CODE, REFRESH_TOKEN]),
            response_types_supported: texts(&["code"]),
            token_endpoint_auth_methods_supported: texts(&["none", "attest_jwt_client_auth"]),
            anonymous_access: true,
        }
    }

    /// Wallet: reads the metadata of `issuer` (RFC 8414 §3.3: it must name that issuer).
    pub fn parse(body: &[u8], issuer: &str) -> Result<Self, VciError> {
        let metadata: Self = serde_json::from_slice(body).map_err(|_| VciError::Metadata)?;
        let safe = Url::parse(&metadata.token_endpoint).is_ok_and(|url| is_safe(&url));
        if metadata.issuer == issuer && safe {
            Ok(metadata)
        } else {
            Err(VciError::Metadata)
        }
    }
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

/// Where the metadata of `issuer` stands: the well-known path goes between host and path
/// (§12.2.2, RFC 8414 §3.1). `name` is `openid-credential-issuer` or `oauth-authorization-server`.
pub fn well_known(issuer: &str, name: &str) -> Result<Url, VciError> {
    let mut url = Url::parse(issuer).map_err(|_| VciError::Metadata)?;
    if !is_safe(&url) {
        return Err(VciError::Metadata);
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("/.well-known/{name}{path}"));
    Ok(url)
}

/// A refusal as it travels from an OAuth endpoint, with our three members added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorResponse {
    pub error: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}
