//! The node's file, its keys, and why it may not start.

use crate::engine::{DealError, DealtValidator, EngineError, TermKeys};
use crate::machine::MachineError;
use crate::shares::ShareFolder;
use crate::store::{BlockLogError, StoreError};
use crate::succession::SuccessionError;
use realdid_core::answer::{MAX_NETWORKS, OtherNetwork};
use realdid_core::codec::{self, Bytes};
use realdid_core::genesis::{Genesis, GenesisError};
use realdid_serve::TlsFiles;
use realdid_serve::files::{self, FileError};
use realdid_serve::{ConfigError, ServeError};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The node's TOML file, as `example_config` explains it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// Where the node keeps its blocks, state and keys.
    pub dir: PathBuf,
    /// The network's genesis, canonical CBOR.
    pub genesis: PathBuf,
    /// Where it answers over HTTP.
    pub listen: SocketAddr,
    /// How others reach it over HTTP.
    #[serde(default)]
    pub public_url: Option<String>,
    /// HTTPS with this certificate; without it plain HTTP, for loopback and behind a proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFiles>,
    /// Where other validators connect.
    pub p2p_listen: SocketAddr,
    /// The validators share a private network: private addresses are allowed, and connections are
    /// tried again often. Always so on loopback; never on the open internet.
    #[serde(default)]
    pub private_network: bool,
    /// This node and all validators; those of a term that is to come as well. Who of them votes is
    /// on the ledger.
    pub peers: Vec<Peer>,
    /// Warn when the network key is older than so many days: it is to be handed on by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_days: Option<u64>,
    /// Exit as soon as standard input ends.
    #[serde(default)]
    pub supervised: bool,
    /// Other networks, for wallets and readers that look for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recognised: Vec<OtherNetworkFile>,
}

/// Where another network is. Readers hold the genesis against the recognition on the ledger.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtherNetworkFile {
    /// Its genesis, canonical CBOR.
    pub genesis: PathBuf,
    /// Base URLs of its nodes.
    pub nodes: Vec<String>,
}

impl OtherNetworkFile {
    fn read(&self, own: &Genesis) -> Result<OtherNetwork, NodeError> {
        let genesis = read(&self.genesis)?;
        let other = Genesis::decode(&genesis).map_err(|_| NodeError::Recognised)?;
        let network = OtherNetwork {
            genesis: Bytes(genesis),
            nodes: self.nodes.clone(),
        };
        let others = other.network.as_str() != own.network.as_str();
        (others && network.is_bounded())
            .then_some(network)
            .ok_or(NodeError::Recognised)
    }
}

/// What the file says of other networks, in the form in which it is asked for.
pub(crate) fn other_networks(config: &NodeConfig, own: &Genesis) -> Result<Vec<u8>, NodeError> {
    if config.recognised.len() > MAX_NETWORKS {
        return Err(NodeError::Recognised);
    }
    let all = config.recognised.iter().map(|other| other.read(own));
    Ok(codec::encode(&all.collect::<Result<Vec<_>, _>>()?))
}

impl NodeConfig {
    /// Reads the file and the environment. Paths in it are relative to its folder.
    pub fn load(path: &Path) -> Result<Self, NodeError> {
        let mut config: Self = realdid_serve::config::load(path, "REALDID_NODE")?;
        let folder = path.parent().unwrap_or(Path::new(""));
        config.dir = folder.join(&config.dir);
        config.genesis = folder.join(&config.genesis);
        for other in &mut config.recognised {
            other.genesis = folder.join(&other.genesis);
        }
        config.tls.iter_mut().for_each(|tls| tls.within(folder));
        Ok(config)
    }
}

/// A validator on the peer-to-peer network.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Ed25519 public key, lowercase hex.
    pub public_key: String,
    pub address: SocketAddr,
}

impl Peer {
    pub(crate) fn key(&self) -> Result<[u8; 32], NodeError> {
        let key: Result<realdid_core::genesis::PeerKey, _> = self.public_key.parse();
        key.map(|key| key.0).map_err(|_| NodeError::Peers)
    }
}

/// An annotated file with the values given.
pub fn example_config(config: &NodeConfig) -> String {
    let peers: String = config
        .peers
        .iter()
        .map(|peer| {
            format!(
                "\n[[peers]]\npublic_key = {:?}\naddress = \"{}\"\n",
                peer.public_key, peer.address
            )
        })
        .collect();
    let recognised: String = match config.recognised.as_slice() {
        [] => "\n# Where another network is, for wallets and readers that look for it.\n\
               # [[recognised]]\n# genesis = \"intl-genesis.cbor\"\n# nodes = [\"https://node.intl.example\"]\n"
            .to_owned(),
        others => others
            .iter()
            .map(|other| {
                format!(
                    "\n# Where another network is, for wallets and readers that look for it.\n\
                     [[recognised]]\ngenesis = {:?}\nnodes = {:?}\n",
                    other.genesis, other.nodes
                )
            })
            .collect(),
    };
    format!(
        "# A RealDID validator. Every key can be overridden by REALDID_NODE_<KEY>.\n\n\
         # Blocks, state and keys live here.\n\
         dir = {dir:?}\n\n\
         # The network's genesis: the one file that must come from somewhere you trust.\n\
         genesis = {genesis:?}\n\n\
         # HTTP: operations in, checkpoints and proofs out.\n\
         listen = \"{listen}\"\n\
         # How others reach it, where that is not the address above.\n\
         {public}\n\n\
         # Where other validators connect, authenticated and encrypted.\n\
         p2p_listen = \"{p2p}\"\n\
         # Whether the validators share a private network. Without it private addresses are refused.\n\
         private_network = {private}\n\n\
         # After how many days the network key is to be handed on: from then on the log warns.\n\
         {key_days}\n\n\
         # This node and all validators, also those of a term that is to come. Who votes is on the ledger.{peers}{recognised}",
        dir = config.dir,
        genesis = config.genesis,
        listen = config.listen,
        public = config.public_url.as_ref().map_or(
            "# public_url = \"https://node.example.org\"".to_owned(),
            |url| format!("public_url = {url:?}")
        ),
        p2p = config.p2p_listen,
        private = config.private_network,
        key_days = config
            .key_days
            .map_or("# key_days = 365".to_owned(), |days| format!(
                "key_days = {days}"
            )),
    )
}

/// A validator's secrets at its network's beginning, and the committee's public polynomial.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ValidatorKeys {
    pub identity_seed: [u8; 32],
    pub polynomial: Vec<u8>,
    pub share: Vec<u8>,
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct KeysFile {
    identity_seed: String,
}

impl ValidatorKeys {
    /// The keys of one dealt validator. Development only, as is dealing.
    pub fn dealt(validator: &DealtValidator, polynomial: &[u8]) -> Self {
        Self {
            identity_seed: validator.identity_seed,
            polynomial: polynomial.to_vec(),
            share: validator.share.clone(),
        }
    }

    /// Writes them for the owner's eyes only: the identity to `path`, and what belongs to the first
    /// term beside it, since that ends with the term.
    pub fn write(&self, path: &Path) -> Result<(), NodeError> {
        let dir = path.parent().unwrap_or(Path::new(""));
        let keys = TermKeys {
            polynomial: self.polynomial.clone(),
            share: self.share.clone(),
        };
        ShareFolder::of_node(dir).put(0, &keys)?;
        write_identity(path, &self.identity_seed)
    }
}

/// Writes a validator's identity, without a share of anything.
pub fn write_identity(path: &Path, seed: &[u8; 32]) -> Result<(), NodeError> {
    let file = KeysFile {
        identity_seed: hex::encode(seed),
    };
    let text = serde_json::to_string_pretty(&file).map_err(|_| NodeError::Keys)?;
    Ok(files::write_private(path, text.as_bytes())?)
}

/// The Ed25519 seed of the validator whose identity is in a file.
pub fn read_identity(path: &Path) -> Result<Zeroizing<[u8; 32]>, NodeError> {
    let text = Zeroizing::new(read(path)?);
    let file: KeysFile = serde_json::from_slice(&text).map_err(|_| NodeError::Keys)?;
    let mut seed = Zeroizing::new([0; 32]);
    hex::decode_to_slice(&file.identity_seed, seed.as_mut()).map_err(|_| NodeError::Keys)?;
    Ok(seed)
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, NodeError> {
    std::fs::read(path).map_err(|error| NodeError::File(FileError::of(path, &error)))
}

/// Why a node did not start or did not go on. Displays as the command line's one-line error.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(
        "node.genesis: the genesis file must hold a canonical genesis ({0}); fault: operator; \
         do: copy the network's genesis.cbor again"
    )]
    Genesis(#[from] GenesisError),
    #[error(
        "node.keys: validator.json must hold a validator's identity and each file in shares a share; \
         fault: operator; do: restore the file, or make the validator anew"
    )]
    Keys,
    #[error(
        "node.peers: the peers in the file must be this node and all validators that there are or will be; \
         fault: operator; do: list each one's public key and address"
    )]
    Peers,
    #[error(
        "node.recognised: each network under [[recognised]] must be another one's genesis, with at most \
         16 nodes; fault: operator; do: give the other network's genesis.cbor"
    )]
    Recognised,
    #[error("{code}: {0}; fault: this machine; do: as it says, then start again", code = .0.code())]
    Store(#[from] StoreError),
    #[error("{code}: {0}; fault: this machine; do: as it says, then start again", code = .0.code())]
    Log(#[from] BlockLogError),
    #[error(
        "{code}: {0}; fault: this machine; do: keep blocks.redb, remove the state folder, start again",
        code = .0.code()
    )]
    Machine(#[from] MachineError),
    #[error("{code}: {0}; fault: operator; do: put the carried state into the node's folder again", code = .0.code())]
    Succession(#[from] SuccessionError),
    #[error("engine.failed: {0}; fault: this machine; do: read the log, then start again")]
    Engine(#[from] EngineError),
    #[error("node.deal: {0}; fault: operator; do: choose 1 to 10 validators")]
    Deal(#[from] DealError),
}

impl NodeError {
    /// The stable name of what failed.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Config(error) => error.code(),
            Self::File(error) => error.code(),
            Self::Serve(error) => error.code(),
            Self::Genesis(_) => "node.genesis",
            Self::Keys => "node.keys",
            Self::Peers => "node.peers",
            Self::Recognised => "node.recognised",
            Self::Store(error) => error.code(),
            Self::Log(error) => error.code(),
            Self::Machine(error) => error.code(),
            Self::Succession(error) => error.code(),
            Self::Engine(_) => "engine.failed",
            Self::Deal(_) => "node.deal",
        }
    }
}
