//! The folder of a small nation: which parts it has, where they listen, and how it is made.
//!
//! Everything is made once and then reused: keys, genesis, registrations, configuration files. A
//! nation whose making was cut off is finished by the next `realdid up`.

use crate::fail::Fail;
use realdid_authority::KeySuites;
use realdid_core::did::NetworkName;
use realdid_core::genesis::{Genesis, NetworkKey, Parameters, PeerKey};
use realdid_core::hash::HashFunction;
use realdid_core::state::Governance;
use realdid_core::suite::{SecretKey, Suite};
use realdid_demo::{DemoConfig, Theme};
use realdid_gate::{Accounts, ClientSetup, GateSetup, OtherNetwork};
use realdid_node::config::{NodeConfig, OtherNetworkFile, Peer, ValidatorKeys, example_config};
use realdid_node::engine::deal;
use realdid_pass::Seeded;
use realdid_relay::{End, RelayConfig};
use realdid_serve::files;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use zeroize::Zeroizing;

const NATION_FILE: &str = "nation.json";
const AUTHORITY: u16 = 10;
const REGISTRAR: u16 = 11;
const RELAYS: u16 = 12;
const P2P: u16 = 20;
const GATES: u16 = 30;
const SERVICES: u16 = 40;
/// The policy of displays, in the folder of a gate that has one.
pub const POLICY_FILE: &str = "policy.toml";

/// What was decided when the nation was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nation {
    #[serde(skip)]
    pub dir: PathBuf,
    pub network: String,
    pub port_base: u16,
    pub validators: u8,
    pub epoch_s: u64,
    /// By what the demo services know people again.
    #[serde(default)]
    pub accounts: Accounts,
    /// Whose algorithms its ledger, its DIDs and its credentials are of.
    #[serde(default)]
    pub suite: Suites,
    /// Other networks that it is to recognise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub neighbours: Vec<Neighbour>,
}

/// Another network, as its operators publish it: where its nodes are, and its genesis beside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Neighbour {
    pub network: String,
    pub nodes: Vec<String>,
}

impl Neighbour {
    /// Its genesis file, from the nation's folder.
    pub fn genesis_file(&self) -> PathBuf {
        Path::new("recognised").join(format!("{}.cbor", self.network))
    }

    /// The folder of the relay that carries its checkpoints here, from the nation's.
    pub fn relay_dir(&self) -> PathBuf {
        Path::new("relays").join(&self.network)
    }
}

/// Whose algorithms a nation uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Suites {
    /// Every suite, with SHA-256: DIDs of Ed25519, documents of P-256
    #[default]
    All,
    /// Ed25519 and P-256, with SHA-256
    Intl,
    /// SM2 with SM3, and no other
    Sm,
}

impl Suites {
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Intl => "intl",
            Self::Sm => "sm",
        }
    }

    /// The suites that the network admits.
    fn admitted(self) -> Vec<Suite> {
        match self {
            Self::All => Suite::ALL.to_vec(),
            Self::Intl => vec![Suite::Ed25519, Suite::P256],
            Self::Sm => vec![Suite::Sm2],
        }
    }

    /// Those of the keys that an issuer of such a network has.
    pub fn keys(self) -> KeySuites {
        let mut parameters = Parameters::development();
        parameters.suites = self.admitted();
        KeySuites::of(&parameters)
    }

    /// By what it hashes.
    fn hash_function(self) -> HashFunction {
        match self {
            Self::All | Self::Intl => HashFunction::Sha256,
            Self::Sm => HashFunction::Sm3,
        }
    }
}

/// `NAME` or `NAME:WHOSE`.
pub fn named_suite(word: &str) -> Result<(String, Suites), String> {
    let (name, whose) = word.split_once(':').unwrap_or((word, ""));
    let suite = match whose {
        "" if name == "cn" => Suites::Sm,
        "" => Suites::Intl,
        whose => <Suites as clap::ValueEnum>::from_str(whose, false)?,
    };
    Ok((name.to_owned(), suite))
}

/// What a demo service is registered for.
pub struct Wants {
    pub purposes: Vec<String>,
    /// What each login asks for.
    pub claims: Vec<String>,
    /// What may be asked for beside that.
    pub more: Vec<String>,
}

/// The demo services: folder and name of each.
pub const SERVICE_NAMES: [(&str, &str); 3] = [
    ("harbour-forum", "Harbour Forum"),
    ("night-market", "Night Market"),
    ("open-stage", "Open Stage"),
];
/// The one that is a platform.
const STAGE: u16 = 2;

impl Nation {
    /// Reads the nation in a folder, if there is one.
    pub fn read(dir: &Path) -> Result<Option<Self>, Fail> {
        let path = dir.join(NATION_FILE);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(files::FileError::of(&path, &error).into()),
        };
        let nation: Self = serde_json::from_slice(&bytes).map_err(|_| {
            Fail::user(
                "nation.malformed",
                "the folder's nation.json is as `realdid up` wrote it",
                "give another folder with --dir, or remove this one",
            )
        })?;
        Ok(Some(Self {
            dir: absolute(dir)?,
            ..nation
        }))
    }

    /// Makes what is missing: keys, genesis and the files of everything that needs no
    /// registration. Answers whether the nation is new.
    pub fn make(&self) -> Result<bool, Fail> {
        files::create_private_dir(&self.dir)?;
        for folder in ["logs", "run"] {
            files::create_private_dir(&self.dir.join(folder))?;
        }
        let new = !self.genesis_file().exists();
        if new {
            self.found()?;
        }
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        files::write_atomic(&self.dir.join(NATION_FILE), text.as_bytes(), files::PUBLIC)?;
        Ok(new)
    }

    /// Those of development with the nation's suites, and with another epoch where one was asked for.
    fn parameters(&self) -> Parameters {
        let parameters = Parameters {
            suites: self.suite.admitted(),
            ..Parameters::development()
        };
        match self.epoch_s == parameters.epoch_s {
            true => parameters,
            false => parameters.with_epoch(self.epoch_s),
        }
    }

    /// Deals the committee's keys, admits the authority and the registrar, and writes the genesis
    /// last: with it the nation exists.
    fn found(&self) -> Result<(), Fail> {
        let network: NetworkName = self.network.parse().map_err(|_| {
            Fail::user(
                "network.name",
                "a network's name is 1 to 16 of a-z, 0-9 and inner hyphens, a letter first",
                "choose such a name with --network",
            )
        })?;
        let network = network.hashing_by(self.suite.hash_function());
        let parameters = self.parameters();
        let suites = KeySuites::of(&parameters);
        let mut seed = [0; 32];
        random(&mut seed)?;
        let dealt = deal(u32::from(self.validators), &seed).map_err(Fail::of)?;
        let mut rng = rng();
        let authority = realdid_authority::init_authority(
            &self.dir.join("authority"),
            &self.authority_url(),
            realdid_authority::DEFAULT_COUNTRY,
            suites,
            &mut rng,
        )
        .map_err(Fail::of)?;
        realdid_authority::make_specimens(&self.dir.join("authority"), now_ms() / 1000)
            .map_err(Fail::of)?;
        let registrar = realdid_authority::init_registrar(
            &self.dir.join("registrar"),
            &self.registrar_url(),
            suites,
            &mut rng,
        )
        .map_err(Fail::of)?;
        let genesis = Genesis {
            version: 1,
            network,
            time_ms: now_ms(),
            governance: self.governance(parameters.did_suite())?,
            parameters,
            network_key: dealt
                .network_key
                .as_slice()
                .try_into()
                .map(NetworkKey)
                .map_err(|_| Fail::of("genesis.network_key: the dealt key is 96 bytes; fault: this program; do: report it"))?,
            validators: dealt.validators.iter().map(|v| PeerKey(v.public_key)).collect(),
            issuers: vec![authority, registrar],
            ceremony: None,
            predecessor: None,
        };
        for (index, validator) in (0u16..).zip(&dealt.validators) {
            let dir = self.dir.join(part_name("node", index));
            files::create_private_dir(&dir)?;
            ValidatorKeys::dealt(validator, &dealt.polynomial)
                .write(&dir.join("validator.json"))
                .map_err(Fail::of)?;
            let config = self.node_config(index, &genesis);
            files::write_private(&dir.join("node.toml"), example_config(&config).as_bytes())?;
        }
        self.write_issuer_files()?;
        files::write_atomic(&self.genesis_file(), &genesis.encode(), files::PUBLIC)?;
        Ok(())
    }

    fn governance(&self, suite: Suite) -> Result<Governance, Fail> {
        let dir = self.dir.join("governance");
        files::create_private_dir(&dir)?;
        let mut seed = Zeroizing::new([0; 32]);
        // One draw in 2^32 is no key of SM2.
        let key = loop {
            random(&mut *seed)?;
            if let Ok(key) = SecretKey::from_seed(suite, *seed) {
                break key;
            }
        };
        let digits = Zeroizing::new(hex::encode(*seed));
        let text = match suite {
            Suite::Ed25519 => digits,
            other => Zeroizing::new(format!("{}:{}", other.name(), *digits)),
        };
        files::write_private(&dir.join("governance.key"), text.as_bytes())?;
        Ok(Governance {
            seq: 0,
            threshold: 1,
            keys: vec![key.public()],
        })
    }

    fn node_config(&self, index: u16, genesis: &Genesis) -> NodeConfig {
        let peers = (0u16..)
            .zip(&genesis.validators)
            .map(|(index, key)| Peer {
                public_key: key.to_string(),
                address: self.at(P2P + index),
            })
            .collect();
        let others = self.neighbours.iter().map(|other| OtherNetworkFile {
            genesis: Path::new("..").join(other.genesis_file()),
            nodes: other.nodes.clone(),
        });
        NodeConfig {
            recognised: others.collect(),
            key_days: None,
            dir: ".".into(),
            genesis: "../genesis.cbor".into(),
            listen: self.at(index),
            public_url: None,
            tls: None,
            p2p_listen: self.at(P2P + index),
            private_network: false,
            peers,
            supervised: false,
        }
    }

    /// Takes in the geneses of the networks that it is to recognise, from the folders of those made
    /// beside it, and writes the files of the relays that carry their checkpoints here.
    pub fn meet(&self, made: &[Nation]) -> Result<(), Fail> {
        for (index, neighbour) in (0u16..).zip(&self.neighbours) {
            let others = made
                .iter()
                .filter(|other| other.network == neighbour.network);
            for other in others {
                let theirs = other.genesis_file();
                let bytes =
                    std::fs::read(&theirs).map_err(|e| files::FileError::of(&theirs, &e))?;
                let path = self.dir.join(neighbour.genesis_file());
                files::create_private_dir(path.parent().unwrap_or(&self.dir))?;
                files::write_atomic(&path, &bytes, files::PUBLIC)?;
            }
            let dir = self.dir.join(neighbour.relay_dir());
            for folder in [dir.parent(), Some(&dir)].into_iter().flatten() {
                files::create_private_dir(folder)?;
            }
            let config = RelayConfig {
                dir: ".".into(),
                listen: self.at(RELAYS + index),
                public_url: None,
                tls: None,
                supervised: false,
                from: End {
                    genesis: Path::new("../..").join(neighbour.genesis_file()),
                    nodes: neighbour.nodes.clone(),
                },
                to: End {
                    genesis: "../../genesis.cbor".into(),
                    nodes: self.node_urls(),
                },
            };
            let text = realdid_relay::render(&config);
            files::write_private(&dir.join("relay.toml"), text.as_bytes())?;
        }
        Ok(())
    }

    /// The files of authority and registrar. What they leave out has a default, explained by the
    /// examples in docs/operators.md.
    fn write_issuer_files(&self) -> Result<(), Fail> {
        let nodes = self.node_urls();
        for (name, port, article) in [
            ("authority", AUTHORITY, "An authority"),
            ("registrar", REGISTRAR, "A registrar"),
        ] {
            let text = format!(
                "# {article} of a development network. Each key can be overridden by an environment\n\
                 # variable, as in REALDID_{upper}_LISTEN. Paths are relative to this file.\n\n\
                 # Keys and store.\n\
                 dir = \".\"\n\
                 # Where to listen.\n\
                 listen = \"{listen}\"\n\
                 # Its name in what it signs and on the ledger: it cannot change.\n\
                 public_url = \"{url}\"\n\
                 # Nodes to ask. None is trusted.\n\
                 nodes = {nodes:?}\n\
                 # The network's genesis: everything hangs on it.\n\
                 genesis = \"../genesis.cbor\"\n",
                upper = name.to_uppercase(),
                listen = self.at(port),
                url = self.url(port),
            );
            let more = match name {
                "authority" => {
                    "\n[realpass]\n\
                     # A handful of people are no cohort: here RealPasses say all that there is to say.\n\
                     min_cohort = 1\n\n\
                     [batches]\n\
                     # Nor are they a batch to hide in, and nobody waits for minutes here.\n\
                     period_s = 5\n\
                     least = 1\n\n\
                     [passports]\n\
                     # Of invented states; `realdid authority foreigners` lists their people.\n\
                     master_list = \"passports/master-list\"\n\
                     revocation_lists = \"passports/revocation-lists\"\n"
                }
                _ => "",
            };
            let path = self.dir.join(name).join(format!("{name}.toml"));
            files::write_private(&path, [text.as_str(), more].concat().as_bytes())?;
        }
        Ok(())
    }

    /// The settings of a demo service's gate, once it is registered.
    pub fn gate_setup(&self, index: u16, secret_sha256: [u8; 32]) -> GateSetup {
        let others = self.neighbours.iter().map(|other| OtherNetwork {
            genesis: Path::new("../..").join(other.genesis_file()),
            nodes: other.nodes.clone(),
        });
        GateSetup {
            recognised: others.collect(),
            listen: self.at(GATES + index),
            public_url: Some(self.gate_url(index)),
            supervised: false,
            dir: ".".into(),
            nodes: self.node_urls(),
            genesis: "../../genesis.cbor".into(),
            registration: "registration.jwt".into(),
            max_staple_age_s: 300,
            max_lag_slots: 3,
            clients: vec![ClientSetup {
                client_id: SERVICE_NAMES[usize::from(index)].0.to_owned(),
                client_secret_sha256: secret_sha256,
                name: SERVICE_NAMES[usize::from(index)].1.to_owned(),
                redirect_uris: vec![format!("{}/callback", self.service_url(index))],
                accounts: self.accounts,
                claims: self.wants(index).claims,
                purpose: None,
            }],
            policy: (index == STAGE).then(|| POLICY_FILE.into()),
        }
    }

    /// The forum asks nothing about anybody. The market sells what adults may buy, and asks for
    /// that one fact, of a RealPass. The platform asks whom very many follow for their name,
    /// or for that of the organisation whose account it is or that is behind it.
    pub fn wants(&self, index: u16) -> Wants {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let (purposes, claims, more): (&[&str], &[&str], &[&str]) = match (index, self.accounts) {
            (1, Accounts::Person) => (&["age"], &["realpass.adult"], &[]),
            (STAGE, _) => (
                &["login", "real-name"],
                &[],
                &["family_name", "given_name", "legal_name"],
            ),
            _ => (&["login"], &[], &[]),
        };
        Wants {
            purposes: words(purposes),
            claims: words(claims),
            more: words(more),
        }
    }

    /// The configuration of a demo service.
    pub fn demo_config(&self, index: u16, secret: String) -> DemoConfig {
        let theme = match index {
            0 => Theme::Forum,
            STAGE => Theme::Stage,
            _ => Theme::Market,
        };
        let client = SERVICE_NAMES[usize::from(index)].0.to_owned();
        let mut config = DemoConfig::of(
            theme,
            self.at(SERVICES + index),
            self.gate_url(index),
            client,
            secret,
        );
        if index == STAGE {
            let folder = self
                .dir
                .join("services")
                .join(SERVICE_NAMES[usize::from(index)].0);
            config.data = Some(folder.join("profiles.json"));
        }
        // Named by its first part: a token holds all facts of a RealPass in one object.
        if !self.wants(index).claims.is_empty() {
            config.claims.push("realpass".to_owned());
        }
        config
    }

    pub fn genesis_file(&self) -> PathBuf {
        self.dir.join("genesis.cbor")
    }

    pub fn node_urls(&self) -> Vec<String> {
        (0..u16::from(self.validators))
            .map(|index| self.url(index))
            .collect()
    }

    pub fn authority_url(&self) -> String {
        self.url(AUTHORITY)
    }

    pub fn registrar_url(&self) -> String {
        self.url(REGISTRAR)
    }

    pub fn gate_url(&self, index: u16) -> String {
        self.url(GATES + index)
    }

    pub fn service_url(&self, index: u16) -> String {
        self.url(SERVICES + index)
    }

    pub fn relay_url(&self, index: u16) -> String {
        self.url(RELAYS + index)
    }

    /// A gate's or service's host and port, as a registration names it.
    pub fn gate_domains(&self, index: u16) -> Vec<String> {
        vec![
            self.at(GATES + index).to_string(),
            self.at(SERVICES + index).to_string(),
        ]
    }

    /// Every address that the nation listens on.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let validators = u16::from(self.validators);
        let services = SERVICE_NAMES.len() as u16;
        (0..validators)
            .chain([AUTHORITY, REGISTRAR])
            .chain(RELAYS..RELAYS + self.neighbours.len() as u16)
            .chain(P2P..P2P + validators)
            .chain(GATES..GATES + services)
            .chain(SERVICES..SERVICES + services)
            .map(|offset| self.at(offset))
            .collect()
    }

    fn at(&self, offset: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port_base + offset).into()
    }

    fn url(&self, offset: u16) -> String {
        format!("http://{}", self.at(offset))
    }
}

/// `node-0`, `node-1`, …
pub fn part_name(kind: &str, index: u16) -> String {
    format!("{kind}-{index}")
}

/// Fills with randomness from the operating system.
pub fn random(bytes: &mut [u8]) -> Result<(), Fail> {
    getrandom::fill(bytes).map_err(|_| {
        Fail::machine(
            "process.randomness",
            "the operating system gives randomness",
            "make /dev/urandom or getrandom(2) available",
        )
    })
}

/// The system's randomness for RealPass, whose operations cannot fail once they have begun.
pub fn seeded() -> Result<Seeded, Fail> {
    let mut seed = [0; 32];
    random(&mut seed)?;
    Ok(Seeded::new(seed))
}

#[allow(
    clippy::expect_used,
    reason = "key making takes an infallible source; without randomness no key may be made, so the process ends"
)]
pub fn rng() -> impl FnMut(&mut [u8]) {
    |bytes: &mut [u8]| getrandom::fill(bytes).expect("the operating system gives randomness")
}

pub fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_millis() as u64)
}

/// The folder's absolute path, for processes that start elsewhere.
pub fn absolute(dir: &Path) -> Result<PathBuf, Fail> {
    std::path::absolute(dir).map_err(|error| files::FileError::of(dir, &error).into())
}

/// The failure of a machine that cannot make HTTP requests.
pub fn no_http() -> Fail {
    Fail::machine(
        "process.http",
        "this machine can make HTTP requests",
        "install the system's certificates",
    )
}
