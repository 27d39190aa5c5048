//! A sandbox registration in one step: keys, the registrar's word, its digest proved on the
//! ledger, and a configuration file that `realdid gate --config` runs as it is.

use crate::cli::RegisterArgs;
use crate::fail::Fail;
use crate::nation::{self, Nation, absolute, now_ms, random};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realdid_core::genesis::Genesis;
use realdid_core::hash::Hash32;
use realdid_core::state::{Standing, service_key};
use realdid_exchange::oidc::secret_hash;
use realdid_exchange::registration::{self, Purpose, claim_path};
use realdid_gate::{ClientSetup, GateSetup, init_gate, write_config};
use realdid_light::http::NodeClient;
use realdid_light::{Freshness, LightClient};
use realdid_serve::files;
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the ledger may take to seal a registration.
const WAIT: Duration = Duration::from_secs(60);

/// What a service is registered with.
pub struct Wanted {
    pub name: String,
    pub domains: Vec<String>,
    pub purposes: Vec<String>,
    pub claims: Vec<String>,
}

/// A registration that stands on the ledger.
pub struct Registered {
    pub service: Hash32,
    pub jwt: String,
    pub digest: Hash32,
    pub height: u64,
}

#[derive(Deserialize)]
struct Answer {
    service: String,
    registration: String,
    height: u64,
}

#[derive(Deserialize)]
struct Problem {
    code: String,
    rule: String,
    fix: String,
}

#[derive(Deserialize)]
struct NetworkAnswer {
    genesis: String,
    nodes: Vec<String>,
}

/// Asks the registrar for a registration of the gate in `dir`, and checks with the light client
/// that the ledger holds its digest.
pub async fn register(
    registrar: &str,
    dir: &Path,
    wanted: &Wanted,
    genesis: Genesis,
    node: &NodeClient,
) -> Result<Registered, Fail> {
    let suite = genesis.parameters.document_suite();
    let keys = init_gate(dir, suite).map_err(Fail::of)?;
    let body = json!({
        "name": wanted.name,
        "domains": wanted.domains,
        "purposes": wanted.purposes,
        "claims": wanted.claims,
        "key": keys.request_jwk().to_value(),
    });
    let url = format!("{registrar}/v1/registrations");
    let response = http()?
        .post(&url)
        .json(&body)
        .send()
        .await
        .map_err(|_| unreachable(registrar))?;
    let ok = response.status().is_success();
    let bytes = response.bytes().await.map_err(|_| unreachable(registrar))?;
    if !ok {
        let problem: Problem = serde_json::from_slice(&bytes).map_err(|_| unreadable(registrar))?;
        return Err(Fail::part(
            &problem.code,
            &problem.rule,
            "you",
            &problem.fix,
        ));
    }
    let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| unreadable(registrar))?;
    let service: Hash32 = answer.service.parse().map_err(|_| unreadable(registrar))?;
    let registered = Registered {
        service,
        digest: registration::digest(&answer.registration),
        jwt: answer.registration,
        height: answer.height,
    };
    prove(&registered, genesis, node).await?;
    files::write_atomic(
        &dir.join("registration.jwt"),
        registered.jwt.as_bytes(),
        files::PUBLIC,
    )?;
    Ok(registered)
}

/// Done means verified: the digest is proved under the service's id, active.
async fn prove(registered: &Registered, genesis: Genesis, node: &NodeClient) -> Result<(), Fail> {
    let key = service_key(genesis.hash_function(), &registered.service);
    let answer = node.state_at_least(&key, registered.height, WAIT).await?;
    let freshness = Freshness {
        now_ms: now_ms(),
        max_age_ms: WAIT.as_millis() as u64,
        max_lag_slots: 0,
    };
    let mut light = LightClient::new(genesis);
    node.follow(&mut light, &answer.checkpoint).await?;
    let proved = light.service(&registered.service, &answer, &freshness)?;
    let stands = proved.value.is_some_and(|service| {
        service.digest == registered.digest && service.standing == Standing::Active
    });
    if stands {
        Ok(())
    } else {
        Err(Fail::part(
            "registration.digest",
            "the ledger holds the digest of the registration",
            "the registrar",
            "register again; if it stays, use another registrar",
        ))
    }
}

/// `realdid gate register`.
pub async fn run(args: RegisterArgs) -> Result<Value, Fail> {
    let nation = Nation::read(&args.nation.dir)?;
    let registrar = match (&args.registrar, &nation) {
        (Some(url), _) => url.trim_end_matches('/').to_owned(),
        (None, Some(nation)) => nation.registrar_url(),
        (None, None) => "http://127.0.0.1:20411".to_owned(),
    };
    let (genesis, nodes) = network(&args, nation.as_ref(), &registrar).await?;
    let node = NodeClient::new(nodes.clone())?;
    let wanted = Wanted {
        name: args.name.clone(),
        domains: args.domains.clone(),
        purposes: args.purposes.clone(),
        claims: args.claims.clone(),
    };
    // The folder is named after the service, which the registrar names; keys come first, so the
    // folder is made beside and moved.
    let parent = match &args.gate_dir {
        Some(dir) => absolute(dir)?.parent().unwrap_or(Path::new("/")).to_owned(),
        None => absolute(&args.nation.dir)?.join("gates"),
    };
    files::create_private_dir(&parent)?;
    let making = tempfile::Builder::new()
        .prefix(".gate-")
        .tempdir_in(&parent)
        .map_err(|error| files::FileError::of(&parent, &error))?;
    let registered = register(&registrar, making.path(), &wanted, genesis.clone(), &node).await?;
    files::write_atomic(
        &making.path().join("genesis.cbor"),
        &genesis.encode(),
        files::PUBLIC,
    )?;
    let client = client(&args, &registered)?;
    let setup = setup(&args, nodes, &client);
    write_config(&making.path().join("gate.toml"), &setup).map_err(Fail::of)?;
    let text = client.json.to_string();
    files::write_private(&making.path().join("client.json"), text.as_bytes())?;
    let dir = match &args.gate_dir {
        Some(dir) => absolute(dir)?,
        None => parent.join(short(&registered.service)),
    };
    let made = making.keep();
    std::fs::rename(&made, &dir).map_err(|error| files::FileError::of(&dir, &error))?;
    Ok(json!({
        "service": registered.service.to_string(),
        "domains": args.domains,
        "purposes": args.purposes,
        "claims": args.claims,
        "digest": registered.digest.to_string(),
        "height": registered.height,
        "config": dir.join("gate.toml"),
        "client": dir.join("client.json"),
    }))
}

/// The nation's own genesis where there is one; otherwise what the registrar says, once.
async fn network(
    args: &RegisterArgs,
    nation: Option<&Nation>,
    registrar: &str,
) -> Result<(Genesis, Vec<String>), Fail> {
    if let (Some(nation), None) = (nation, &args.registrar) {
        let bytes = read(&nation.genesis_file())?;
        let genesis = Genesis::decode(&bytes).map_err(|_| malformed_genesis())?;
        return Ok((genesis, nation.node_urls()));
    }
    let url = format!("{registrar}/v1/network");
    let answer = http()?
        .get(&url)
        .send()
        .await
        .map_err(|_| unreachable(registrar))?;
    let answer: NetworkAnswer = answer.json().await.map_err(|_| unreadable(registrar))?;
    let genesis = URL_SAFE_NO_PAD
        .decode(answer.genesis)
        .ok()
        .and_then(|bytes| Genesis::decode(&bytes).ok())
        .ok_or_else(malformed_genesis)?;
    eprintln!(
        "First use of network {}: its genesis is {}. Compare it with a source that you trust.",
        genesis.network,
        genesis.digest()
    );
    Ok((genesis, answer.nodes))
}

/// A client with a fresh secret.
struct Client {
    setup: ClientSetup,
    json: Value,
}

fn client(args: &RegisterArgs, registered: &Registered) -> Result<Client, Fail> {
    let secret = client_secret()?;
    let redirect_uris = if args.redirect_uris.is_empty() {
        let site = args.domains.last().map(String::as_str).unwrap_or_default();
        vec![format!("{}/callback", origin(site))]
    } else {
        args.redirect_uris.clone()
    };
    let client_id = format!("service-{}", short(&registered.service));
    let json = json!({
        "issuer": args.domains.first().map(|domain| origin(domain)),
        "client_id": client_id,
        "client_secret": secret,
        "redirect_uris": redirect_uris,
    });
    Ok(Client {
        setup: ClientSetup {
            client_id,
            client_secret_sha256: secret_hash(&secret),
            name: args.name.clone(),
            redirect_uris,
            accounts: args.accounts,
            claims: at_login(args),
            purpose: args.purposes.first().cloned(),
        },
        json,
    })
}

fn setup(args: &RegisterArgs, nodes: Vec<String>, client: &Client) -> GateSetup {
    let first = args.domains.first().map(String::as_str).unwrap_or_default();
    let listen = first.parse::<SocketAddr>().ok();
    GateSetup {
        listen: listen.unwrap_or_else(|| ([127, 0, 0, 1], 20600).into()),
        public_url: Some(origin(first)),
        supervised: false,
        dir: PathBuf::from("."),
        nodes,
        genesis: "genesis.cbor".into(),
        registration: "registration.jwt".into(),
        max_staple_age_s: 300,
        max_lag_slots: 3,
        clients: vec![client.setup.clone()],
        policy: None,
    }
}

/// What a login asks for: the claims of the first purpose. Those of others are asked for on their own
/// occasions, such as a name that is shown in public.
fn at_login(args: &RegisterArgs) -> Vec<String> {
    let first = args
        .purposes
        .first()
        .and_then(|code| Purpose::from_code(code));
    let covered = |claim: &&String| {
        let path = claim_path(claim);
        first
            .zip(path)
            .is_none_or(|(purpose, path)| purpose.covers(&path))
    };
    args.claims.iter().filter(covered).cloned().collect()
}

/// A random client secret.
pub fn client_secret() -> Result<String, Fail> {
    let mut bytes = [0; 32];
    random(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// The origin of a registered domain: https everywhere but on loopback.
fn origin(domain: &str) -> String {
    let host = domain.rsplit_once(':').map_or(domain, |(host, _)| host);
    let loopback = host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback());
    let scheme = if loopback { "http" } else { "https" };
    format!("{scheme}://{domain}")
}

fn short(service: &Hash32) -> String {
    service.to_string().chars().take(12).collect()
}

fn read(path: &Path) -> Result<Vec<u8>, Fail> {
    std::fs::read(path).map_err(|error| files::FileError::of(path, &error).into())
}

fn malformed_genesis() -> Fail {
    Fail::part(
        "genesis.malformed",
        "the genesis is canonical",
        "its source",
        "get the network's genesis.cbor again",
    )
}

fn http() -> Result<reqwest::Client, Fail> {
    reqwest::Client::builder()
        .timeout(WAIT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|_| nation::no_http())
}

fn unreachable(registrar: &str) -> Fail {
    Fail::part(
        "registrar.unreachable",
        &format!("the registrar at {registrar} answers"),
        "the registrar, or the address given",
        "start it, or name another with --registrar",
    )
}

fn unreadable(registrar: &str) -> Fail {
    Fail::part(
        "registrar.answer",
        &format!("the registrar at {registrar} answers in the form of its interface"),
        "the registrar",
        "name a RealDID registrar with --registrar",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_https_but_for_loopback() {
        assert_eq!(origin("shop.example"), "https://shop.example");
        assert_eq!(origin("127.0.0.1:20600"), "http://127.0.0.1:20600");
        assert_eq!(origin("localhost:80"), "http://localhost:80");
        assert_eq!(origin("[::1]:80"), "http://[::1]:80");
        assert_eq!(origin("127.0.0.1.example"), "https://127.0.0.1.example");
    }
}
