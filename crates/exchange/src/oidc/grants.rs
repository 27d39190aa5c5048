//! What is out: codes, access tokens and pushed requests, and the proofs that were seen.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{
    ACCESS_LIFE_S, AuthorizationRequest, CODE_LIFE_S, Client, DpopProof, MAX_AUTHORIZATION_BYTES,
    MAX_GRANTS, OidcError, PUSHED_LIFE_S, PushedReference, REQUEST_URI_PREFIX, TokenRequest,
    digest, dpop, scheme,
};

/// What a finished login says to the client.
#[derive(Clone, PartialEq)]
pub struct Login {
    pub request: AuthorizationRequest,
    /// The opaque, stable value by which this service knows the person.
    pub subject: String,
    /// The claims that were asked for, as they go into the ID token.
    pub claims: Map<String, Value>,
    /// How the person was authenticated.
    pub acr: String,
    /// Unix seconds at which the person presented.
    pub auth_time_s: u64,
}

/// Claims are personal data: what is printed may end in a log.
impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Login(at {}, {} claims)",
            self.auth_time_s,
            self.claims.len()
        )
    }
}

/// What is out, each under the SHA-256 of its text.
///
/// A copy of this memory gives nobody a usable code. Every map is bounded and swept by time.
#[derive(Debug, Default)]
pub struct Grants {
    pub(super) codes: BTreeMap<[u8; 32], Code>,
    tokens: BTreeMap<[u8; 32], Token>,
    pushed: BTreeMap<[u8; 32], Pushed>,
    /// Proofs that were used, until they would be too old anyway.
    proofs: BTreeMap<[u8; 32], u64>,
}

#[derive(Debug)]
struct Pushed {
    request: AuthorizationRequest,
    expires_s: u64,
}

/// A request with an access token, as it was spoken: what a DPoP proof has to be about.
#[derive(Debug, Clone, Copy)]
pub struct Spoken<'a> {
    pub method: &'a str,
    /// The address that was asked, by the provider's own public name.
    pub url: &'a str,
    /// The `Authorization` header.
    pub authorization: Option<&'a str>,
    /// The `DPoP` header.
    pub dpop: Option<&'a str>,
}

#[derive(Debug)]
pub(super) struct Code {
    state: CodeState,
    issued_s: u64,
}

#[derive(Debug)]
enum CodeState {
    Open(Box<Login>),
    /// Redeemed or burnt; the hash of the access token that it gave.
    Spent(Option<[u8; 32]>),
}

#[derive(Debug)]
struct Token {
    client_id: String,
    subject: String,
    /// Thumbprint of the key that the token is bound to.
    jkt: Option<String>,
    claims: Map<String, Value>,
    expires_s: u64,
}

/// What a redeemed code gives.
#[derive(Debug)]
pub struct Redeemed {
    pub login: Login,
    pub access_token: String,
    /// Whether the access token is bound to a DPoP key.
    pub bound: bool,
}

impl Grants {
    /// Keeps a pushed request and answers the reference to it. `secret` is 32 fresh random bytes.
    pub fn push(
        &mut self,
        request: AuthorizationRequest,
        secret: &[u8; 32],
        now_s: u64,
    ) -> Result<String, OidcError> {
        if self.pushed.len() >= MAX_GRANTS {
            self.sweep(now_s);
        }
        if self.pushed.len() >= MAX_GRANTS {
            return Err(OidcError::Busy);
        }
        let uri = format!("{REQUEST_URI_PREFIX}{}", URL_SAFE_NO_PAD.encode(secret));
        let expires_s = now_s + PUSHED_LIFE_S;
        self.pushed
            .insert(digest(&uri), Pushed { request, expires_s });
        Ok(uri)
    }

    /// Takes a pushed request, once.
    pub fn take_pushed(
        &mut self,
        reference: &PushedReference,
        now_s: u64,
    ) -> Result<AuthorizationRequest, OidcError> {
        let key = digest(&reference.request_uri);
        // Somebody else's client id must not cost the rightful browser its request.
        let fits = self.pushed.get(&key).is_some_and(|pushed| {
            pushed.request.client_id == reference.client_id && pushed.expires_s > now_s
        });
        if !fits {
            return Err(OidcError::PushedUnknown);
        }
        let pushed = self.pushed.remove(&key);
        pushed
            .map(|pushed| pushed.request)
            .ok_or(OidcError::PushedUnknown)
    }

    /// Notes that a proof was used.
    fn spend(&mut self, proof: &DpopProof, now_s: u64) -> Result<(), OidcError> {
        if self.proofs.len() >= MAX_GRANTS {
            self.sweep(now_s);
        }
        if self.proofs.len() >= MAX_GRANTS {
            return Err(OidcError::Busy);
        }
        match self.proofs.insert(proof.id, proof.expires_s) {
            None => Ok(()),
            Some(_) => Err(OidcError::DpopReplayed),
        }
    }

    /// Ends every access token of a subject at a client.
    pub fn revoke(&mut self, client_id: &str, subject: &str) {
        self.tokens
            .retain(|_, token| token.client_id != client_id || token.subject != subject);
    }

    /// Issues a code for a finished login. `secret` is 32 fresh random bytes.
    pub fn issue_code(
        &mut self,
        login: Login,
        secret: &[u8; 32],
        now_s: u64,
    ) -> Result<String, OidcError> {
        if self.codes.len() >= MAX_GRANTS {
            self.sweep(now_s);
        }
        if self.codes.len() >= MAX_GRANTS {
            return Err(OidcError::Busy);
        }
        let code = URL_SAFE_NO_PAD.encode(secret);
        let entry = Code {
            state: CodeState::Open(Box::new(login)),
            issued_s: now_s,
        };
        self.codes.insert(digest(&code), entry);
        Ok(code)
    }

    /// Redeems a code for the client that has just authenticated. `secret` is 32 fresh random
    /// bytes, for the access token. With a proof the access token is bound to its key.
    ///
    /// A wrong redirect URI or verifier burns the code: whoever guesses has one try.
    pub fn redeem(
        &mut self,
        request: &TokenRequest,
        client: &Client,
        proof: Option<&DpopProof>,
        secret: &[u8; 32],
        now_s: u64,
    ) -> Result<Redeemed, OidcError> {
        if let Some(proof) = proof {
            self.spend(proof, now_s)?;
        }
        if self.tokens.len() >= MAX_GRANTS {
            self.sweep(now_s);
        }
        let entry = self
            .codes
            .get_mut(&digest(&request.code))
            .ok_or(OidcError::CodeUnknown)?;
        let login = match &entry.state {
            CodeState::Open(login) => login,
            CodeState::Spent(token) => {
                // RFC 6749 §4.1.2: somebody else has the code too, so what it gave is taken back.
                if let Some(token) = token {
                    self.tokens.remove(token);
                }
                return Err(OidcError::CodeReused);
            }
        };
        if entry.issued_s + CODE_LIFE_S < now_s {
            return Err(OidcError::CodeUnknown);
        }
        // Another client's attempt must not cost the rightful one its login.
        if login.request.client_id != client.client_id {
            return Err(OidcError::CodeClient);
        }
        let login = match std::mem::replace(&mut entry.state, CodeState::Spent(None)) {
            CodeState::Open(login) => *login,
            CodeState::Spent(_) => return Err(OidcError::CodeReused),
        };
        if login.request.redirect_uri != request.redirect_uri {
            return Err(OidcError::CodeRedirect);
        }
        let challenge: [u8; 32] = Sha256::digest(request.code_verifier.as_bytes()).into();
        if !bool::from(challenge.ct_eq(&login.request.code_challenge)) {
            return Err(OidcError::CodeVerifier);
        }
        let jkt = proof.map(|proof| proof.jkt.clone());
        if login.request.dpop_jkt.is_some() && login.request.dpop_jkt != jkt {
            return Err(OidcError::Dpop);
        }
        if self.tokens.len() >= MAX_GRANTS {
            return Err(OidcError::Busy);
        }
        let access_token = URL_SAFE_NO_PAD.encode(secret);
        let token_hash = digest(&access_token);
        entry.state = CodeState::Spent(Some(token_hash));
        let bound = jkt.is_some();
        self.tokens.insert(
            token_hash,
            Token {
                client_id: client.client_id.clone(),
                jkt,
                subject: login.subject.clone(),
                claims: login.claims.clone(),
                expires_s: now_s + ACCESS_LIFE_S,
            },
        );
        Ok(Redeemed {
            login,
            access_token,
            bound,
        })
    }

    /// The claims behind an access token (OpenID Connect Core §5.3.2). A token that is bound to a
    /// key comes with a proof of it, and no other way (RFC 9449 §7.1).
    pub fn userinfo(&mut self, spoken: Spoken<'_>, now_s: u64) -> Result<Value, OidcError> {
        let header = spoken
            .authorization
            .filter(|header| header.len() <= MAX_AUTHORIZATION_BYTES)
            .ok_or(OidcError::TokenUnknown)?;
        let (text, with_proof) = match (scheme(header, "Bearer"), scheme(header, "DPoP")) {
            (Some(text), _) => (text, false),
            (None, Some(text)) => (text, true),
            (None, None) => return Err(OidcError::TokenUnknown),
        };
        let token = self
            .tokens
            .get(&digest(text))
            .filter(|token| token.expires_s > now_s && token.jkt.is_some() == with_proof)
            .ok_or(OidcError::TokenUnknown)?;
        let mut claims = token.claims.clone();
        claims.insert("sub".to_owned(), token.subject.clone().into());
        if with_proof {
            let proof = spoken.dpop.ok_or(OidcError::Dpop)?;
            let proof = dpop::verify(proof, spoken.method, spoken.url, Some(text), now_s)?;
            if token.jkt.as_ref() != Some(&proof.jkt) {
                return Err(OidcError::Dpop);
            }
            self.spend(&proof, now_s)?;
        }
        Ok(Value::Object(claims))
    }

    /// Drops what is over; called every few seconds by whoever holds the clock. Spent
    /// codes stay as long as the token that they gave, so that a reuse can still revoke it.
    pub fn sweep(&mut self, now_s: u64) {
        self.codes.retain(|_, code| {
            let life = match code.state {
                CodeState::Open(_) => CODE_LIFE_S,
                CodeState::Spent(_) => ACCESS_LIFE_S,
            };
            code.issued_s + life >= now_s
        });
        self.tokens.retain(|_, token| token.expires_s > now_s);
        self.pushed.retain(|_, pushed| pushed.expires_s > now_s);
        self.proofs.retain(|_, expires_s| *expires_s + 1 > now_s);
    }
}
