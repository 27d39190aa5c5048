//! A verifier that no registrar knows: it names itself by a certificate (OpenID4VP 1.0, `x509_san_dns`),
//! asks one wallet once, and keeps what it was shown.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    SanType,
};
use realdid_credential::jose::{self, Jwk, SigningKey};
use realdid_credential::pid;
use realdid_credential::sd_jwt::{self, Evidence, IssuerEvidence, IssuerKey};
use realdid_exchange::jwe::DecryptionKey;
use realdid_exchange::vp;
use serde_json::{Map, Value, json};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const NONCE: &str = "a-nonce-of-this-request";

pub struct Verifier {
    pub link: String,
    pub client_id: String,
    answers: mpsc::Receiver<String>,
    key: DecryptionKey,
}

fn now_s() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap().as_secs()
}

/// The secret of a P-256 key: PKCS #8 as rcgen writes it has the scalar after 36 bytes.
pub fn scalar(pair: &KeyPair) -> [u8; 32] {
    pair.serialized_der()[36..68].try_into().unwrap()
}

impl Verifier {
    /// Asks for these claims of a PID; the certificate of its authority goes to `ca`.
    pub fn start(ca: &Path, claims: &[&[&str]]) -> Self {
        let mut root = CertificateParams::default();
        root.distinguished_name
            .push(DnType::OrganizationName, "Trust Office");
        root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(ca, root.pem()).unwrap();
        let mut leaf = CertificateParams::default();
        leaf.distinguished_name
            .push(DnType::OrganizationName, "Corner Shop");
        leaf.subject_alt_names = vec![SanType::DnsName("localhost".try_into().unwrap())];
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let pair = KeyPair::generate().unwrap();
        let leaf = leaf.signed_by(&pair, &root).unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://localhost:{}", listener.local_addr().unwrap().port());
        let client_id = format!("{}localhost", vp::SAN_DNS_PREFIX);
        let key = DecryptionKey::from_bytes(&[7; 32], "k").unwrap();
        let paths: Vec<Value> = claims.iter().map(|path| json!({ "path": path })).collect();
        let payload = json!({
            "client_id": client_id,
            "aud": vp::WALLET_AUDIENCE,
            "response_type": "vp_token",
            "response_mode": "direct_post.jwt",
            "response_uri": format!("{base}/response"),
            "nonce": NONCE,
            "state": "s",
            "client_metadata": {"jwks": {"keys": [key.public_jwk()]}},
            "dcql_query": {"credentials": [{
                "id": "pid", "format": "dc+sd-jwt", "meta": {"vct_values": [pid::VCT]},
                "claims": paths,
            }]},
        });
        let mut header = Map::new();
        header.insert("typ".to_owned(), vp::REQUEST_TYP.into());
        header.insert("x5c".to_owned(), json!([STANDARD.encode(leaf.der())]));
        let signing = SigningKey::p256(&scalar(&pair)).unwrap();
        let request = jose::sign_compact(&header, payload.to_string().as_bytes(), &signing);
        let request = request.unwrap();
        let (sender, answers) = mpsc::channel();
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), &request, &sender);
            }
        });
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", &client_id)
            .append_pair("request_uri", &format!("{base}/request"))
            .finish();
        Self {
            link: format!("openid4vp://?{query}"),
            client_id,
            answers,
            key,
        }
    }

    /// The claims that it was shown, verified under the key that `authority` publishes.
    pub fn shown(&self, authority: &str) -> Map<String, Value> {
        let form = self.answers.recv_timeout(Duration::from_secs(5)).unwrap();
        let mut fields = url::form_urlencoded::parse(form.as_bytes());
        let (name, sealed) = fields.next().unwrap();
        assert_eq!(name, "response", "encrypted, as it was asked for");
        let opened = self.key.decrypt(&sealed).unwrap();
        let opened: Value = serde_json::from_slice(&opened).unwrap();
        assert_eq!(opened["state"], "s");
        let (status, metadata) =
            crate::nation::get(&format!("{authority}/.well-known/jwt-vc-issuer"), &[]);
        assert_eq!(status, 200);
        let metadata: Value = serde_json::from_str(&metadata).unwrap();
        let keys = metadata["jwks"]["keys"].as_array().unwrap();
        let keys = keys.iter().map(|jwk| IssuerKey {
            iss: authority.to_owned(),
            kid: jwk["kid"].as_str().unwrap().to_owned(),
            key: Jwk::parse(jwk).unwrap().0,
        });
        let evidence = Evidence {
            issuer: IssuerEvidence {
                issuer_keys: &keys.collect::<Vec<_>>(),
                accepted_vcts: &[pid::VCT],
                now_s: now_s(),
                clock_skew_s: 10,
            },
            nonce: NONCE,
            aud: &self.client_id,
            max_kb_age_s: 60,
        };
        let shown = opened["vp_token"]["pid"][0].as_str().unwrap();
        sd_jwt::verify(shown, &evidence).unwrap().claims
    }

    /// Whether nothing was sent to it.
    pub fn was_shown_nothing(&self) -> bool {
        let mut answers = self.answers.try_iter();
        answers.all(|form| form.starts_with("error=access_denied"))
    }
}

fn serve(mut stream: TcpStream, request: &str, answers: &mpsc::Sender<String>) {
    let mut read = Vec::new();
    let mut part = [0; 4096];
    let (head, start) = loop {
        let len = stream.read(&mut part).unwrap();
        assert!(len > 0, "a whole request");
        read.extend_from_slice(&part[..len]);
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break (String::from_utf8_lossy(&read[..end]).into_owned(), end + 4);
        }
    };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        let ours = name.eq_ignore_ascii_case("content-length");
        ours.then(|| value.parse::<usize>().unwrap())
    });
    while read.len() < start + length.unwrap_or(0) {
        let len = stream.read(&mut part).unwrap();
        assert!(len > 0, "a whole body");
        read.extend_from_slice(&part[..len]);
    }
    let (kind, body) = if head.starts_with("POST ") {
        let form = String::from_utf8(read[start..].to_vec()).unwrap();
        answers.send(form).unwrap();
        ("application/json", "{}")
    } else {
        (vp::REQUEST_MEDIA_TYPE, request)
    };
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).unwrap();
}
