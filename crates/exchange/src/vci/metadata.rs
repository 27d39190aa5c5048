//! What issuer and authorization server say about themselves (OpenID4VCI 1.0 §12, RFC 8414).

use realdid_credential::jose::{self, Alg, JwsError, SigningKey, VerifyingKey};
use realdid_credential::{mdoc, organisation, pid, realpass};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use url::Url;

use super::{
    AUTHORIZATION_CODE, BATCH_SIZE, LONG_CONFIGURATION, MDOC, MDOC_CONFIGURATION,
    ORGANISATION_CONFIGURATION, PASS_CONFIGURATION, PID_CONFIGURATION, PRE_AUTHORIZED,
    REFRESH_TOKEN, SD_JWT_VC, VciError, X5C_CONFIGURATION, is_local, is_safe,
};
use crate::jwe::{DecryptionKey, Enc, EncryptionKey};

/// The longest metadata, in bytes.
pub const MAX_METADATA_BYTES: usize = 512 * 1024;
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
    /// The keys that requests may be encrypted to (§10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_request_encryption: Option<Value>,
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
            credential_request_encryption: None,
            batch_credential_issuance: Some(BatchIssuance {
                batch_size: BATCH_SIZE,
            }),
            display: Some(json!([{"name": name, "locale": "en"}])),
            credential_configurations_supported: configurations,
        }
    }

    /// The same of an authority that issues credentials of organisations too: as the PID, under a type of
    /// their own. They have no scope, since who acts for whom is proved first (C11), and then offered.
    pub fn with_organisations(mut self) -> Self {
        let configurations = &mut self.credential_configurations_supported;
        if let Some(Value::Object(mut configuration)) =
            configurations.get(PID_CONFIGURATION).cloned()
        {
            configuration.remove("scope");
            configuration.insert("vct".to_owned(), organisation::VCT.into());
            let shown = json!({"display": [{"name": "Organisation", "locale": "en"}]});
            configuration.insert("credential_metadata".to_owned(), shown);
            configurations.insert(ORGANISATION_CONFIGURATION.to_owned(), configuration.into());
        }
        self
    }

    /// The same of an authority that signs PIDs by a key of P-256 too, for those who do not know its suite: with a
    /// certificate, and as mdocs.
    pub fn with_outside(mut self, vct: &str) -> Self {
        let outside = Self::of_authority(
            &self.credential_issuer,
            vct,
            "",
            (Alg::Es256, &[Alg::Es256]),
        );
        let configurations = &mut self.credential_configurations_supported;
        for (id, configuration) in outside.credential_configurations_supported {
            if [X5C_CONFIGURATION, MDOC_CONFIGURATION].contains(&id.as_str()) {
                configurations.insert(id, configuration);
            }
        }
        self
    }

    /// Wallet: whether copies of a configuration are bound to keys of this algorithm (§12.2.4); what is not
    /// said is the issuer's to refuse.
    pub fn binds_to(&self, configuration: &str, alg: Alg) -> bool {
        let configuration = self.credential_configurations_supported.get(configuration);
        let types = configuration.and_then(|c| c.get("proof_types_supported"));
        let algs =
            types.and_then(|types| types.get("jwt")?.get("proof_signing_alg_values_supported"));
        let algs = algs.and_then(Value::as_array);
        algs.is_none_or(|algs| algs.iter().any(|known| *known == *alg.name()))
    }

    /// The same of an authority that issues PIDs that live long.
    pub fn with_long_lived(mut self) -> Self {
        let configurations = &mut self.credential_configurations_supported;
        if let Some(mut long) = configurations.get(PID_CONFIGURATION).cloned() {
            long["vct"] = pid::LONG_VCT.into();
            long["scope"] = LONG_CONFIGURATION.into();
            long["credential_metadata"] =
                json!({"display": [{"name": "Person identification, long-lived", "locale": "en"}]});
            configurations.insert(LONG_CONFIGURATION.to_owned(), long);
        }
        self
    }

    /// Issuer: the same, with a key that requests may be encrypted to.
    pub fn opens_requests(self, key: &DecryptionKey) -> Self {
        Self {
            credential_request_encryption: Some(json!({
                "jwks": {"keys": [key.public_jwk()]},
                "enc_values_supported": Enc::ALL.map(Enc::name),
                "encryption_required": false,
            })),
            ..self
        }
    }

    /// Wallet: the key that requests are encrypted to, where there is one of a kind that we know. A
    /// wallet that asks for an encrypted answer encrypts the request too (§8.2): who could change the
    /// key in it would read the answer.
    pub fn request_key(&self) -> Result<Option<EncryptionKey>, VciError> {
        let Some(offered) = &self.credential_request_encryption else {
            return Ok(None);
        };
        let jwks = offered.get("jwks").unwrap_or(&Value::Null);
        let key = EncryptionKey::choose(jwks, offered.get("enc_values_supported")).ok();
        let required = offered.get("encryption_required") == Some(&Value::Bool(true));
        match key {
            None if required => Err(VciError::RequestEncryption),
            key => Ok(key),
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
        let metadata: Self = read(body)?;
        let mut endpoints = vec![&metadata.credential_endpoint];
        endpoints.extend(&metadata.nonce_endpoint);
        endpoints.extend(&metadata.deferred_credential_endpoint);
        endpoints.extend(&metadata.notification_endpoint);
        endpoints.extend(metadata.authorization_servers.iter().flatten());
        if metadata.credential_issuer == issuer && all_within_reach(issuer, &endpoints) {
            Ok(metadata)
        } else {
            Err(VciError::Metadata)
        }
    }

    /// Wallet: whether keys of a configuration must be attested (§12.2.4).
    pub fn wants_attested_keys(&self, configuration: &str) -> bool {
        let configuration = self.credential_configurations_supported.get(configuration);
        let jwt = configuration.and_then(|c| c.get("proof_types_supported")?.get("jwt"));
        jwt.is_some_and(|jwt| jwt.get("key_attestations_required").is_some())
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

    /// Wallet: the server that an offer names, which must be one of these (§4.1.1); without a name
    /// the first. So an offer sends nobody to a server that its issuer does not know.
    pub fn chosen_server(&self, named: Option<&str>) -> Result<&str, VciError> {
        let Some(named) = named else {
            return Ok(self.authorization_server());
        };
        let servers = self.authorization_servers.as_deref().unwrap_or_default();
        let known = servers.iter().find(|server| *server == named);
        known.map(String::as_str).ok_or(VciError::OfferGrant)
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
        let metadata: Self = read(body)?;
        let mut endpoints = vec![&metadata.token_endpoint];
        endpoints.extend(&metadata.authorization_endpoint);
        endpoints.extend(&metadata.pushed_authorization_request_endpoint);
        if metadata.issuer == issuer && all_within_reach(issuer, &endpoints) {
            Ok(metadata)
        } else {
            Err(VciError::Metadata)
        }
    }

    /// Wallet: where requests are pushed, and where the person's browser goes. HAIP 1.0 §4: a request
    /// is pushed, and its code is bound by PKCE with S256; nothing else is tried.
    pub fn by_code(&self) -> Result<(Url, Url), VciError> {
        let refused = VciError::Server;
        let url = |text: &Option<String>| {
            let url = text.as_deref().and_then(|text| Url::parse(text).ok());
            url.filter(is_safe).ok_or(refused)
        };
        let methods = &self.code_challenge_methods_supported;
        if !methods.iter().any(|method| method == "S256") {
            return Err(refused);
        }
        let pushed = url(&self.pushed_authorization_request_endpoint)?;
        Ok((pushed, url(&self.authorization_endpoint)?))
    }

    /// Wallet: whether it lets attested wallets in as such, and whether no others.
    pub fn attested_wallets(&self) -> (bool, bool) {
        let methods = &self.token_endpoint_auth_methods_supported;
        let has = |name: &str| methods.iter().any(|method| method == name);
        let takes = has("attest_jwt_client_auth");
        (takes, takes && !has("none"))
    }

    /// Wallet: whether tokens are bound to a key of ES256 here (RFC 9449 §5.1).
    pub fn binds_tokens(&self) -> bool {
        let algs = &self.dpop_signing_alg_values_supported;
        algs.iter().any(|alg| alg == Alg::Es256.name())
    }
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, VciError> {
    let within = Some(body).filter(|body| body.len() <= MAX_METADATA_BYTES);
    within
        .and_then(|body| serde_json::from_slice(body).ok())
        .ok_or(VciError::Metadata)
}

/// Whether `issuer` may send a wallet to each of `endpoints`: over https, and to the wallet's own
/// device or network only where it stands there itself. Otherwise any issuer could have wallets write
/// to whatever else answers there.
fn all_within_reach(issuer: &str, endpoints: &[&String]) -> bool {
    let stands_here = Url::parse(issuer).is_ok_and(|issuer| is_local(&issuer));
    let within = |url: Url| is_safe(&url) && (stands_here || !is_local(&url));
    let mut urls = endpoints.iter().map(|text| Url::parse(text));
    urls.all(|url| url.is_ok_and(within))
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
