//! A small world for tests over real sockets: a server on this machine that answers as it is told,
//! an authority that issues RealPasses, and a wallet that has enrolled with it on a ledger of its
//! own. No node answers: what the wallet needs of the ledger it has kept.

use crate::content::{Network, OwnEnrolment};
use crate::ledger::{Ledger, now_ms};
use crate::realpass::test_desk::{Desk, authority_at, some_facts};
use crate::secret::{Secret32, SecretText};
use crate::wallet::Wallet;
use realdid_core::codec::Bytes;
use realdid_core::hash::Hash32;
use realdid_core::hash::HashFunction;
use realdid_core::state::{Issuer, issuer_key};
use realdid_core::trie::Key;
use realdid_exchange::vci::{IssuerMetadata, PassRequest, ServerMetadata, TokenResponse};
use realdid_testkit::chain::TestLedger;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const BY: HashFunction = HashFunction::Sha256;

/// An epoch, and a personhood period, that hardly ever turns while tests run: the longest.
const EPOCH_S: u64 = 604_800;

/// Serves on a free port until the test's runtime ends: `answer` gets the server's URL, the path
/// and the body, and gives a status and a body.
pub async fn serve(
    mut answer: impl FnMut(&str, &str, &[u8]) -> (u16, Value) + Send + 'static,
) -> String {
    serve_heads(move |own, asked| {
        let (status, body) = answer(own, asked.path(), asked.body);
        Reply::json(status, body)
    })
    .await
}

/// What a test's server was asked.
pub struct AskedFor<'a> {
    pub head: &'a str,
    pub body: &'a [u8],
}

impl AskedFor<'_> {
    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1);
        lines.find_map(|line| {
            let (known, value) = line.split_once(": ")?;
            known.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// What it answers.
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Reply {
    pub fn json(status: u16, body: Value) -> Self {
        Self {
            status,
            headers: vec![("content-type", "application/json".to_owned())],
            body: body.to_string(),
        }
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// The same with the heads of requests and answers.
pub async fn serve_heads(
    mut answer: impl FnMut(&str, &AskedFor<'_>) -> Reply + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let own = url.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut read = vec![];
            let (head, start) = loop {
                let mut chunk = [0; 4096];
                let n = stream.read(&mut chunk).await.unwrap();
                assert!(n > 0, "a whole request");
                read.extend_from_slice(&chunk[..n]);
                let end = read.windows(4).position(|four| four == b"\r\n\r\n");
                if let Some(end) = end {
                    break (String::from_utf8(read[..end].to_vec()).unwrap(), end + 4);
                }
            };
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                let ours = name.eq_ignore_ascii_case("content-length");
                ours.then(|| value.parse::<usize>().unwrap())
            });
            while read.len() < start + length.unwrap_or(0) {
                let mut chunk = [0; 4096];
                let n = stream.read(&mut chunk).await.unwrap();
                assert!(n > 0, "a whole body");
                read.extend_from_slice(&chunk[..n]);
            }
            let asked = AskedFor {
                head: &head,
                body: &read[start..],
            };
            let Reply {
                status,
                headers,
                body,
            } = answer(&own, &asked);
            let headers: String = headers
                .iter()
                .map(|(name, value)| format!("{name}: {value}\r\n"))
                .collect();
            let response = format!(
                "HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(response.as_bytes()).await.unwrap();
            let _ = stream.shutdown().await;
        }
    });
    url
}

/// What the authority does, and has done.
pub struct AuthorityState {
    desk: Option<Desk>,
    /// What it answers instead of a RealPass.
    pub refuse: Option<(u16, Value)>,
    /// The epochs that were asked for.
    pub asked: Vec<u64>,
}

pub struct World {
    pub dir: TempDir,
    pub authority: Arc<Mutex<AuthorityState>>,
    pub record: Issuer,
    pub ledger: TestLedger,
}

impl World {
    pub async fn new() -> Self {
        let authority = Arc::new(Mutex::new(AuthorityState {
            desk: None,
            refuse: None,
            asked: vec![],
        }));
        let state = authority.clone();
        let url =
            serve(move |own, path, body| issue(&mut state.lock().unwrap(), own, path, body)).await;
        let (key, record) = authority_at(&url);
        authority.lock().unwrap().desk = Some(Desk { key, kept: None });
        let mut ledger = TestLedger::new(now_ms(), vec![record.clone()]);
        ledger.genesis.parameters.epoch_s = EPOCH_S;
        ledger.genesis.parameters.refresh_lead_s = EPOCH_S;
        ledger.genesis.parameters.personhood_period_s = EPOCH_S;
        ledger.seal(now_ms());

        let dir = tempfile::tempdir().unwrap();
        let (mut wallet, _) = Wallet::create(dir.path(), None).unwrap();
        wallet.content.network = Some(Network {
            genesis: Bytes(ledger.genesis.encode()),
            nodes: vec!["http://127.0.0.1:9".into()],
            terms: None,
        });
        wallet.content.enrolment = Some(OwnEnrolment {
            suite: None,
            issuer_url: url,
            salt: Secret32::new([1; 32]),
            key: Secret32::new([2; 32]),
            commitment: Hash32([3; 32]),
            entry: None,
        });
        wallet.passes().unwrap().refresh_token = Some(SecretText::new("r".into()));
        wallet.save().unwrap();
        let world = Self {
            dir,
            authority,
            record,
            ledger,
        };
        world.know(&mut wallet, &issuer_key(BY, &world.record.id(BY)));
        world
    }

    /// Has the wallet keep the ledger's answer about a key.
    pub fn know(&self, wallet: &mut Wallet, key: &Key) {
        let answer = self.ledger.answer(key).encode();
        wallet.content.keep(Hash32(*key), Bytes(answer));
        wallet.save().unwrap();
    }

    pub fn open(&self) -> (Wallet, Ledger) {
        let wallet = Wallet::open(self.dir.path()).unwrap();
        let ledger = Ledger::of(&wallet.content).unwrap();
        (wallet, ledger)
    }

    pub fn epoch(&self) -> u64 {
        self.ledger.genesis.parameters.epoch_at(now_ms())
    }

    pub fn refuse(&self, answer: Option<(u16, Value)>) {
        self.authority.lock().unwrap().refuse = answer;
    }

    pub fn asked(&self) -> Vec<u64> {
        self.authority.lock().unwrap().asked.clone()
    }
}

/// An authority's endpoints, as far as a refresh needs them.
fn issue(state: &mut AuthorityState, own: &str, path: &str, body: &[u8]) -> (u16, Value) {
    let json = |value: serde_json::Result<Value>| (200, value.unwrap());
    match path {
        "/.well-known/openid-credential-issuer" => {
            json(serde_json::to_value(IssuerMetadata::of_authority(
                own,
                "urn:realdid:pid:1",
                "Test",
                (
                    realdid_credential::jose::Alg::Es256,
                    &[realdid_credential::jose::Alg::Es256],
                ),
            )))
        }
        "/.well-known/oauth-authorization-server" => {
            json(serde_json::to_value(ServerMetadata::of_authority(own)))
        }
        "/token" => json(serde_json::to_value(TokenResponse {
            access_token: "t".into(),
            token_type: "Bearer".into(),
            expires_in: None,
            refresh_token: None,
            authorization_details: None,
        })),
        _ => {
            let asked = PassRequest::parse(body).unwrap();
            state.asked.push(asked.epoch);
            if let Some(refusal) = &state.refuse {
                return refusal.clone();
            }
            let body: Value = serde_json::from_slice(body).unwrap();
            let desk = state.desk.as_mut().unwrap();
            match desk.answer(&body, some_facts(asked.epoch)) {
                Ok(answer) => (200, answer),
                Err(refused) => (400, json!({"error": "x", "code": refused.code()})),
            }
        }
    }
}
