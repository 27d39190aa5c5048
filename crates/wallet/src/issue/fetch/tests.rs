//! Receiving from an issuer that is on no ledger, in each way in which it may answer.

use super::*;
use crate::issue::{self, Asked};
use crate::test_world::{AskedFor, Reply, serve_heads};
use crate::wallet::Wallet;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use realdid_credential::jose::{Alg, Jwk, decode_unverified};
use realdid_credential::sd_jwt::{self, Terms};
use realdid_credential::x509::Certificate;
use realdid_exchange::vci::attestation::{Provider, Providers};
use realdid_exchange::vci::{
    CredentialOffer, Expected, ReceivedOffer, ServerMetadata, parse_offer, response_encryption,
};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

const VCT: &str = "urn:library:card";

/// How an issuer answers, and what it has seen.
#[derive(Default)]
struct Issuer {
    metadata: Option<fn(&mut IssuerMetadata)>,
    server: Option<fn(&mut ServerMetadata)>,
    /// How often it says "later" before it gives.
    later: u32,
    /// Answers in the clear whatever was asked for.
    in_the_clear: bool,
    /// Binds its copies to another key.
    wrong_key: bool,
    providers: Providers,
    holders: Vec<Jwk>,
    seen: Vec<(String, Value)>,
    attested: Vec<(String, [u8; 32])>,
    asked_encrypted: u32,
    /// Opens requests, and is named in the metadata.
    request: Option<DecryptionKey>,
    /// How many requests were encrypted.
    sealed: u32,
}

fn key(seed: u8) -> SigningKey {
    SigningKey::p256(&[seed; 32]).unwrap()
}

fn copy(own: &str, holder: &Jwk, n: u8) -> String {
    let terms = Terms {
        iss: own,
        vct: VCT,
        kid: "k",
        iat_s: now_s(),
        exp_s: now_s() + 3600,
        x5c: &[],
    };
    let claims = json!({"number": "17"});
    let mut counter = n;
    let mut salt = || {
        counter = counter.wrapping_add(37);
        [counter; 16]
    };
    let claims = claims.as_object().unwrap();
    sd_jwt::issue(claims, &[], &terms, holder, &key(200), &mut salt).unwrap()
}

impl Issuer {
    fn seal(&mut self, status: u16, body: &Value, asked: Option<&Value>) -> Reply {
        let to = response_encryption(asked).unwrap();
        self.asked_encrypted += u32::from(to.is_some());
        match to.filter(|_| !self.in_the_clear) {
            None => Reply::json(status, body.clone()),
            Some(to) => {
                let sealed = to.encrypt(body.to_string().as_bytes(), &[3; 32], &[4; 12], None);
                Reply {
                    status,
                    headers: vec![("content-type", "application/jwt".to_owned())],
                    body: sealed.unwrap(),
                }
            }
        }
    }

    fn give(&mut self, own: &str, asked: Option<&Value>) -> Reply {
        if self.later > 0 {
            self.later -= 1;
            let later = json!({"transaction_id": "t-1", "interval": 0});
            return self.seal(202, &later, asked);
        }
        let other = Jwk(key(99).verifying_key());
        let holders = self.holders.iter().zip(0..);
        let copies = holders.map(|(holder, n)| {
            let holder = if self.wrong_key { &other } else { holder };
            json!({ "credential": copy(own, holder, n) })
        });
        let copies: Vec<Value> = copies.collect();
        let body = json!({"credentials": copies, "notification_id": "n-1"});
        self.seal(200, &body, asked)
    }

    fn answer(&mut self, own: &str, asked: &AskedFor<'_>) -> Reply {
        let path = asked.path().to_owned();
        let opened = match asked.header("content-type") {
            Some("application/jwt") => {
                self.sealed += 1;
                let text = std::str::from_utf8(asked.body).unwrap();
                self.request.as_ref().unwrap().decrypt(text).unwrap()
            }
            _ => asked.body.to_vec(),
        };
        let body: Value = serde_json::from_slice(&opened).unwrap_or_default();
        self.seen.push((path.clone(), body.clone()));
        if let Some(attestation) = asked.header("oauth-client-attestation") {
            let pop = asked.header("oauth-client-attestation-pop").unwrap();
            let client = self.providers.client(attestation, pop, own, now_s());
            let client = client.unwrap();
            self.attested.push((client.client_id, client.pop_id));
        }
        match path.as_str() {
            "/.well-known/openid-credential-issuer" => {
                let algs: (Alg, &[Alg]) = (Alg::Es256, &[Alg::Es256]);
                let mut metadata = IssuerMetadata::of_authority(own, VCT, "Library", algs);
                metadata.batch_credential_issuance = Some(vci::BatchIssuance { batch_size: 2 });
                if let Some(key) = &self.request {
                    metadata = metadata.opens_requests(key);
                }
                if let Some(change) = self.metadata {
                    change(&mut metadata);
                }
                Reply::json(200, serde_json::to_value(metadata).unwrap())
            }
            "/.well-known/oauth-authorization-server" => {
                let mut server = ServerMetadata::of_authority(own);
                if let Some(change) = self.server {
                    change(&mut server);
                }
                Reply::json(200, serde_json::to_value(server).unwrap())
            }
            "/.well-known/jwt-vc-issuer" => {
                let mut jwk = Jwk(key(200).verifying_key()).to_value();
                jwk["kid"] = "k".into();
                Reply::json(200, json!({"issuer": own, "jwks": {"keys": [jwk]}}))
            }
            "/token" => Reply::json(
                200,
                json!({"access_token": "a", "token_type": "DPoP", "refresh_token": "r"}),
            ),
            "/nonce" => Reply::json(200, json!({"c_nonce": "c-1"})),
            "/credential" => {
                let request = CredentialRequest::parse(&opened).unwrap();
                let checked = request.check(&Expected {
                    issuer: own,
                    configurations: &[vci::PID_CONFIGURATION],
                    identifiers: false,
                    providers: &self.providers,
                    algs: &[Alg::Es256],
                    batch_size: 2,
                    now_s: now_s(),
                });
                let checked = checked.unwrap();
                self.holders = checked.keys.into_iter().map(Jwk).collect();
                let asked = request.credential_response_encryption;
                self.give(own, asked.as_ref())
            }
            "/deferred_credential" => {
                assert_eq!(body["transaction_id"], "t-1");
                self.give(own, body.get("credential_response_encryption"))
            }
            "/notification" => Reply {
                status: 204,
                headers: vec![],
                body: String::new(),
            },
            other => panic!("nobody asks for {other}"),
        }
    }
}

struct World {
    _dir: TempDir,
    wallet: Wallet,
    http: Http,
    url: String,
    issuer: Arc<Mutex<Issuer>>,
}

impl World {
    async fn with(issuer: Issuer) -> Self {
        let issuer = Arc::new(Mutex::new(issuer));
        let behind = issuer.clone();
        let url = serve_heads(move |own, asked| behind.lock().unwrap().answer(own, asked)).await;
        let dir = tempfile::tempdir().unwrap();
        let (wallet, _) = Wallet::create(dir.path(), None).unwrap();
        Self {
            _dir: dir,
            wallet,
            http: Http::new().unwrap(),
            url,
            issuer,
        }
    }

    fn offer(&self) -> CredentialOffer {
        let offer = json!({
            "credential_issuer": self.url,
            "credential_configuration_ids": [vci::PID_CONFIGURATION],
            "grants": {vci::PRE_AUTHORIZED: {"pre-authorized_code": "p"}},
        });
        match parse_offer(&offer.to_string()).unwrap() {
            ReceivedOffer::Value(offer) => offer,
            ReceivedOffer::Reference(_) => panic!("the offer itself"),
        }
    }

    async fn receive(&mut self) -> Result<Vec<usize>, String> {
        let offer = self.offer();
        let asked = Asked::default();
        issue::take_offer(&mut self.wallet, &self.http, None, &offer, &asked)
            .await
            .map_err(|error| error.code)
    }

    /// The events that the issuer was told of.
    fn told(&self) -> Vec<Value> {
        let issuer = self.issuer.lock().unwrap();
        let of = |(path, body): &(String, Value)| (path == "/notification").then(|| body.clone());
        issuer.seen.iter().filter_map(of).collect()
    }

    fn paths(&self, path: &str) -> usize {
        let issuer = self.issuer.lock().unwrap();
        issuer.seen.iter().filter(|(seen, _)| seen == path).count()
    }
}

#[tokio::test]
async fn copies_come_encrypted_and_the_issuer_hears_that_they_are_kept() {
    let mut world = World::with(Issuer::default()).await;
    assert_eq!(world.receive().await, Ok(vec![0]));
    assert_eq!(world.wallet.content.batches[0].copies.len(), 2);
    assert_eq!(world.issuer.lock().unwrap().asked_encrypted, 1);
    let accepted = json!({"notification_id": "n-1", "event": "credential_accepted"});
    assert_eq!(world.told(), std::slice::from_ref(&accepted));
    // and so are fresh ones, to another key
    let refreshed = issue::refresh(&mut world.wallet, &world.http, None, 0).await;
    assert!(refreshed.is_ok());
    assert_eq!(world.told(), [accepted.clone(), accepted]);
    let issuer = world.issuer.lock().unwrap();
    let seen = issuer.seen.iter();
    let keys: Vec<_> = seen
        .filter_map(|(_, body)| body.get("credential_response_encryption"))
        .collect();
    assert_eq!(keys.len(), 2);
    assert_ne!(keys[0]["jwk"]["x"], keys[1]["jwk"]["x"]);
}

#[tokio::test]
async fn requests_are_encrypted_to_the_issuers_key_where_it_has_one() {
    let request = || DecryptionKey::from_bytes(&[8; 32], "request").ok();
    let mut world = World::with(Issuer {
        request: request(),
        later: 1,
        ..Issuer::default()
    })
    .await;
    assert_eq!(world.receive().await, Ok(vec![0]));
    let sealed = world.issuer.lock().unwrap().sealed;
    assert_eq!(sealed, 2, "the request, and the one for what came later");
    // one that must be written to otherwise is not written to
    let otherwise: fn(&mut IssuerMetadata) = |metadata| {
        let offered = metadata.credential_request_encryption.as_mut().unwrap();
        offered["jwks"] = json!({"keys": []});
        offered["encryption_required"] = json!(true);
    };
    let mut world = World::with(Issuer {
        request: request(),
        metadata: Some(otherwise),
        ..Issuer::default()
    })
    .await;
    let refused = world.receive().await.err();
    assert_eq!(refused.as_deref(), Some("vci.request_encryption"));
    assert_eq!(world.paths("/credential"), 0);
}

#[tokio::test]
async fn an_answer_in_the_clear_is_not_taken_where_it_was_to_be_encrypted() {
    let mut world = World::with(Issuer {
        in_the_clear: true,
        ..Issuer::default()
    })
    .await;
    let refused = world.receive().await.err();
    assert_eq!(refused.as_deref(), Some("vci.response_encryption"));
    assert!(world.wallet.content.batches.is_empty());
}

#[tokio::test]
async fn an_issuer_that_encrypts_otherwise_is_asked_for_nothing_if_it_must() {
    let otherwise = |required: bool| -> fn(&mut IssuerMetadata) {
        match required {
            true => |metadata| {
                metadata.credential_response_encryption = Some(json!({
                    "alg_values_supported": ["RSA-OAEP-256"],
                    "enc_values_supported": ["A256GCM"],
                    "encryption_required": true,
                }));
            },
            false => |metadata| {
                metadata.credential_response_encryption = Some(json!({
                    "alg_values_supported": ["ECDH-ES"],
                    "enc_values_supported": ["A128CBC-HS256"],
                    "encryption_required": false,
                }));
            },
        }
    };
    let mut world = World::with(Issuer {
        metadata: Some(otherwise(true)),
        ..Issuer::default()
    })
    .await;
    let refused = world.receive().await.err();
    assert_eq!(refused.as_deref(), Some("vci.encryption"));
    assert_eq!(world.paths("/credential"), 0);
    let mut world = World::with(Issuer {
        metadata: Some(otherwise(false)),
        ..Issuer::default()
    })
    .await;
    assert_eq!(world.receive().await, Ok(vec![0]));
    assert_eq!(world.issuer.lock().unwrap().asked_encrypted, 0);
}

#[tokio::test]
async fn copies_that_do_not_hold_are_not_kept_and_the_issuer_hears_it() {
    let mut world = World::with(Issuer {
        wrong_key: true,
        ..Issuer::default()
    })
    .await;
    assert!(world.receive().await.is_err());
    assert!(world.wallet.content.batches.is_empty());
    let failed = json!({"notification_id": "n-1", "event": "credential_failure"});
    assert_eq!(world.told(), [failed]);
}

#[tokio::test]
async fn what_comes_later_is_asked_for_again_and_kept_through_a_restart() {
    let mut world = World::with(Issuer {
        later: 1,
        ..Issuer::default()
    })
    .await;
    assert_eq!(world.receive().await, Ok(vec![0]));
    assert_eq!(world.paths("/deferred_credential"), 1);

    // later than anybody waits
    let mut world = World::with(Issuer {
        later: PATIENCE + 2,
        ..Issuer::default()
    })
    .await;
    assert_eq!(world.receive().await, Ok(vec![]));
    let waiting = world.wallet.content.pending.clone().unwrap();
    assert_eq!((waiting.len(), waiting[0].keys.len()), (1, 2));
    let http = &world.http;
    let still = issue::collect(&mut world.wallet, http, None).await;
    assert_eq!(still.ok(), Some(vec![]));
    assert_eq!(world.wallet.content.pending, Some(waiting));
    let came = issue::collect(&mut world.wallet, http, None).await;
    assert_eq!(came.ok(), Some(vec![0]));
    assert_eq!(world.wallet.content.pending, Some(vec![]));
    assert_eq!(world.wallet.content.batches[0].copies.len(), 2);
    assert_eq!(world.told().len(), 1);
}

/// A provider, and whoever trusts it.
fn provider() -> (Provider, Providers) {
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.distinguished_name.push(DnType::CommonName, "root");
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
    let pair = KeyPair::generate().unwrap();
    let leaf = CertificateParams::default()
        .signed_by(&pair, &root)
        .unwrap();
    // PKCS #8 as rcgen writes it has the scalar after 36 bytes.
    let secret: [u8; 32] = pair.serialized_der()[36..68].try_into().unwrap();
    let key = SigningKey::p256(&secret).unwrap();
    assert!(Provider::new(self::key(1), &[leaf.der().to_vec()]).is_none());
    let provider = Provider::new(key, &[leaf.der().to_vec()]).unwrap();
    let roots = vec![Certificate::parse(root.der()).unwrap()];
    (provider, Providers { roots })
}

#[tokio::test]
async fn a_wallet_is_vouched_for_by_its_provider_and_never_twice_alike() {
    let (provider, providers) = provider();
    let only: fn(&mut ServerMetadata) = |server| {
        server.token_endpoint_auth_methods_supported = vec!["attest_jwt_client_auth".into()];
    };
    let attested_keys: fn(&mut IssuerMetadata) = |metadata| {
        let configurations = &mut metadata.credential_configurations_supported;
        let proofs = &mut configurations[vci::PID_CONFIGURATION]["proof_types_supported"];
        proofs["jwt"]["key_attestations_required"] = json!({});
    };
    let issuer = || Issuer {
        server: Some(only),
        metadata: Some(attested_keys),
        providers: providers.clone(),
        ..Issuer::default()
    };
    let mut world = World::with(issuer()).await;
    let refused = world.receive().await.err();
    assert_eq!(refused.as_deref(), Some("vci.attestation_missing"));
    assert_eq!(world.paths("/token"), 0);

    world.http = world.http.clone().vouched_for(Some(provider.clone()));
    assert_eq!(world.receive().await, Ok(vec![0]));
    let refreshed = issue::refresh(&mut world.wallet, &world.http, None, 0).await;
    assert!(refreshed.is_ok());
    {
        let issuer = world.issuer.lock().unwrap();
        let [(first, a), (second, b)] = issuer.attested.as_slice() else {
            panic!("attested at both token requests")
        };
        assert_eq!(
            (first.as_str(), second),
            (crate::authorize::CLIENT_ID, first)
        );
        assert_ne!(a, b);
        // one proof for both keys, whose attestation names them
        let mut asked = issuer.seen.iter().filter(|(path, _)| path == "/credential");
        let proofs = &asked.next().unwrap().1["proofs"]["jwt"];
        assert_eq!(proofs.as_array().unwrap().len(), 1);
        let proof = decode_unverified(proofs[0].as_str().unwrap()).unwrap();
        assert!(proof.header.contains_key("key_attestation"));
    }

    // keys alone are wanted attested, and nobody attests any
    let mut world = World::with(Issuer {
        metadata: Some(attested_keys),
        ..Issuer::default()
    })
    .await;
    let refused = world.receive().await.err();
    assert_eq!(refused.as_deref(), Some("vci.key_attestation_missing"));
    assert_eq!(world.paths("/credential"), 0);
}
