//! `pass_login_http`: whole logins by RealPass at a gate, over HTTP on loopback.
//!
//! A validator and a gate of their own, with one issuer whose RealPass key and registration are this
//! process's: it issues to the people, plays website, browser and wallet, and none of that counts.
//! Each login makes a new presentation, signs with a DID of its person's own, and fetches a fresh
//! staple. Nobody uses the DID alone.

use super::login_http::{self, Answers, Known, Person, Scene, Shows};
use super::network::{Committee, Gate};
use super::traffic::{self, Traffic};
use super::{Measured, broken, clock};
use crate::fail::Fail;
use crate::nation::{now_ms, seeded};
use realdid_core::genesis::Parameters;
use realdid_core::hash::Hash32;
use realdid_core::state::{EpochKey, KeyUse, PassPublicKey, Service, service_key};
use realdid_core::suite::Suite;
use realdid_credential::jose::SigningKey;
use realdid_credential::realpass::Envelope;
use realdid_exchange::oidc::{Accounts, secret_hash};
use realdid_exchange::registration::{self, Purpose, Registration};
use realdid_gate::{ClientSetup, GateKeys, GateSetup, init_gate, write_config};
use realdid_light::http::NodeClient;
use realdid_pass::facts::{self, Adult, Assurance, Continuity, Facts, Kind, Region};
use realdid_pass::{Context, Credential, IssuerKey, Presentation, PseudonymSecrets};
use realdid_serve::files;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Logins under way at a time, each of a person of their own.
const PARALLEL: u64 = 32;
/// A gate remembers 10,000 access tokens for five minutes; more logins than this are not made.
const MOST_LOGINS: usize = 9_000;
/// Epochs for which people hold a RealPass: the run must not outlast them.
const EPOCHS: u64 = 5;
const SECRET: &str = "the secret of the bench's website";
const SERVICE_WAIT: Duration = Duration::from_secs(60);

pub async fn measure() -> Result<Measured, Fail> {
    let mut traffic = Traffic::new()?;
    let terms = facts::terms(
        traffic.network.as_str(),
        &traffic.issuer.id(traffic.network.hash_function()).0,
    );
    let material = traffic::bytes("realpass", 0).0;
    let issuer = IssuerKey::from_material(&material, &terms, facts::FACTS).map_err(Fail::of)?;
    traffic.issuer.pass_keys = vec![EpochKey {
        key: PassPublicKey(issuer.public().to_bytes()),
        from_epoch: 0,
    }];
    let issuer = Arc::new(issuer);
    let node = Committee::start(&traffic, 1).await?;
    let nodes = NodeClient::new(node.urls())?;
    let (gate, service, id) = gate(&traffic, &node, &nodes).await?;
    let context = Arc::new(Context::service(&id.0));
    let person = |n| {
        let holds = Holds::new(&traffic, Arc::clone(&issuer), Arc::clone(&context), n)?;
        let shows = Shows::Pass(Box::new(move |binding| holds.show(binding)));
        Person::new(n, &traffic.network, shows)
    };
    let scene = Scene {
        gate: gate.url.clone(),
        client_id: "bench".to_owned(),
        client_secret: SECRET.to_owned(),
        redirect_uri: REDIRECT.to_owned(),
        known: Arc::new(Known {
            network: traffic.network.as_str().to_owned(),
            registrar: traffic.issuer.clone(),
            service,
        }),
        nodes,
        people: (0..PARALLEL).map(person).collect::<Result<_, _>>()?,
        wallets: login_http::wallets(),
        times: std::sync::Mutex::default(),
        answers: Answers::Together,
    };
    let length = clock::length();
    let warm_up = scene.load(length / 4, MOST_LOGINS / 4).await?;
    let before_s = gate.cpu_s()?;
    let logins = scene.load(length, MOST_LOGINS - warm_up).await?;
    let ours = logins as f64 / (gate.cpu_s()? - before_s);
    if let Some(size) = mean_batch(&gate.metrics().await?) {
        eprintln!("Proofs were verified {size:.1} at a time.");
    }
    drop((scene, gate, node));
    let limit = || proofs(&traffic, &issuer, &context);
    Ok(Measured {
        id: "pass_login_http",
        workload: "a whole login by the code flow with PKCE over HTTP on loopback: authorize, signed request, presentation of a \
                   RealPass and of a DID with its staple, code, ID token, userinfo; by 32 people at a time, who answer \
                   when each of them has made their proof; the gate's process, which verifies together what comes \
                   together".into(),
        unit: "logins/cpu-s",
        ours,
        limit: Some(
            "the presentation of the RealPass read and verified, one after the other, and nothing else",
        ),
        limit_value: Some(tokio::task::block_in_place(limit)?),
        goal: Some("limit_ratio >= 0.7"),
    })
}

const REDIRECT: &str = "http://127.0.0.1:9/callback";

/// A gate with one website, registered by the network's issuer.
async fn gate(
    traffic: &Traffic,
    node: &Committee,
    nodes: &NodeClient,
) -> Result<(Gate, Service, Hash32), Fail> {
    let (folder, listen) = Gate::place()?;
    let dir = folder.path();
    let keys = init_gate(dir, Suite::P256).map_err(Fail::of)?;
    let service = traffic::bytes("service of the bench", 0);
    let jwt = registration(traffic, service, listen, &keys)?;
    let operation = traffic.register_as(service, registration::digest(&jwt));
    let submitted = nodes.submit(&operation).await?;
    let height = nodes.wait(&submitted, SERVICE_WAIT).await?;
    let key = service_key(traffic.network.hash_function(), &service);
    let answer = nodes.state_at_least(&key, height, SERVICE_WAIT).await?;
    let record = answer
        .value
        .and_then(|value| realdid_core::state::decode_record(&value.0).ok())
        .ok_or_else(|| broken("the service is on the ledger"))?;
    set_up(dir, listen, node, &jwt)?;
    Ok((Gate::start(folder, listen).await?, record, service))
}

fn registration(
    traffic: &Traffic,
    service_id: Hash32,
    listen: SocketAddr,
    keys: &GateKeys,
) -> Result<String, Fail> {
    let now_s = now_ms() / 1000;
    let registration = Registration {
        registrar: traffic.issuer.url.clone(),
        service_id,
        cnf: keys.request_jwk(),
        domains: vec![listen.to_string()],
        purposes: vec![Purpose::Login],
        claims: Vec::new(),
        name: "Bench".to_owned(),
        sandbox: true,
        issued_at_s: now_s - 1,
        expires_s: now_s + 3600,
        jti: [7; 16],
    };
    let key = traffic::key("registration", 0, Suite::P256)?;
    let known = traffic.issuer.keys.iter();
    let id = known
        .filter(|known| known.usage == KeyUse::Registration)
        .map(|known| known.id())
        .next()
        .ok_or_else(|| broken("the issuer registers services"))?;
    let key = SigningKey::p256(key.seed()).map_err(Fail::of)?;
    registration.sign(&id, &key).map_err(Fail::of)
}

fn set_up(dir: &Path, listen: SocketAddr, node: &Committee, jwt: &str) -> Result<(), Fail> {
    files::write_atomic(
        &dir.join("genesis.cbor"),
        &node.genesis.encode(),
        files::PUBLIC,
    )?;
    files::write_atomic(&dir.join("registration.jwt"), jwt.as_bytes(), files::PUBLIC)?;
    let setup = GateSetup {
        recognised: Vec::new(),
        listen,
        public_url: Some(format!("http://{listen}")),
        supervised: false,
        dir: ".".into(),
        nodes: node.urls(),
        genesis: "genesis.cbor".into(),
        registration: "registration.jwt".into(),
        max_staple_age_s: 300,
        max_lag_slots: 3,
        clients: vec![ClientSetup {
            client_id: "bench".to_owned(),
            client_secret_sha256: secret_hash(SECRET),
            name: "Bench".to_owned(),
            redirect_uris: vec![REDIRECT.to_owned()],
            accounts: Accounts::Person,
            claims: Vec::new(),
            purpose: None,
        }],
        policy: None,
    };
    write_config(&dir.join("gate.toml"), &setup).map_err(Fail::of)
}

/// Somebody with a RealPass for each of the next epochs.
struct Holds {
    issuer: Arc<IssuerKey>,
    issuer_id: [u8; 32],
    context: Arc<Context>,
    passes: Vec<(u64, Credential)>,
}

impl Holds {
    fn new(
        traffic: &Traffic,
        issuer: Arc<IssuerKey>,
        context: Arc<Context>,
        n: u64,
    ) -> Result<Self, Fail> {
        let secrets = PseudonymSecrets::from_seed(&traffic::bytes("person", n).0);
        let mut drawn = seeded()?;
        let request = secrets.request(&mut drawn).map_err(Fail::of)?;
        let kept = issuer.enrol(&mut drawn, &request).map_err(Fail::of)?;
        let now = epoch();
        let issue = |epoch| {
            let facts = Facts {
                epoch,
                adult: Adult::Yes,
                region: Region::East,
                kind: Kind::Resident,
                assurance: Assurance::Substantial,
                continuity: Continuity::Unbroken,
            };
            let messages = facts.messages()?;
            let issued = issuer.issue(&request, &kept, &messages)?;
            let pass = Credential::accept(issuer.public(), &secrets, messages, issued)?;
            Ok((epoch, pass))
        };
        let passes = (now..now + EPOCHS).map(issue);
        let passes = passes.collect::<Result<_, realdid_pass::PassError>>();
        Ok(Self {
            passes: passes.map_err(Fail::of)?,
            issuer_id: traffic.issuer.id(traffic.network.hash_function()).0,
            issuer,
            context,
        })
    }

    /// A new presentation of the RealPass of this epoch.
    fn show(&self, binding: &[u8]) -> Result<String, Fail> {
        let now = epoch();
        let (_, pass) = self
            .passes
            .iter()
            .find(|(epoch, _)| *epoch == now)
            .ok_or_else(|| broken("the run ends before the RealPasses do"))?;
        let key = self.issuer.public();
        let presentation =
            pass.present(&mut seeded()?, key, &self.context, &[facts::EPOCH], binding);
        let envelope = Envelope {
            issuer: self.issuer_id,
            presentation: presentation.map_err(Fail::of)?,
        };
        Ok(envelope.to_string())
    }
}

/// The epoch now.
fn epoch() -> u64 {
    Parameters::development().epoch_at(now_ms())
}

/// Presentations read and verified a second of processor time, one after the other.
fn proofs(traffic: &Traffic, issuer: &Arc<IssuerKey>, context: &Arc<Context>) -> Result<f64, Fail> {
    let binding = [7; 200];
    let shown = (0..8).map(|n| {
        let holds = Holds::new(traffic, Arc::clone(issuer), Arc::clone(context), n)?;
        let text = holds.show(&binding)?;
        Ok(Envelope::parse(&text)
            .map_err(Fail::of)?
            .presentation
            .to_bytes())
    });
    let shown = shown.collect::<Result<Vec<_>, Fail>>()?;
    clock::rate(clock::length() / 2, 1, |round| {
        let bytes = std::hint::black_box(&shown[round % shown.len()]);
        let presentation = Presentation::from_bytes(bytes).map_err(Fail::of)?;
        let verified = presentation.verify(issuer.public(), context, &binding);
        verified.map(|_| ()).map_err(Fail::of)
    })
}

/// How many proofs were verified at a time, from the gate's metrics.
fn mean_batch(metrics: &str) -> Option<f64> {
    let value = |name: &str| -> Option<f64> {
        let line = metrics.lines().find(|line| line.starts_with(name))?;
        line.rsplit(' ').next()?.parse().ok()
    };
    Some(value("realpass_batch_size_sum")? / value("realpass_batch_size_count")?)
}
