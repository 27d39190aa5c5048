//! The relay's file: from which network to which.

use realdid_serve::{ConfigError, TlsFiles, config};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Before the names of environment variables that override the file.
pub const ENV_PREFIX: &str = "REALDID_RELAY";

/// What an operator decides. Relative paths are relative to the file's folder.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelayConfig {
    /// Where it keeps what it knows of both networks, and evidence if it ever meets some.
    pub dir: PathBuf,
    /// Where it says how it is: `/readyz` and `/metrics`.
    #[serde(default = "listen")]
    pub listen: SocketAddr,
    #[serde(default)]
    pub public_url: Option<String>,
    #[serde(default)]
    pub tls: Option<TlsFiles>,
    #[serde(default)]
    pub supervised: bool,
    /// Whose checkpoints are carried.
    pub from: End,
    /// Whose ledger they are carried to.
    pub to: End,
}

/// One of the two networks.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// Its genesis, from a source that the operator trusts.
    pub genesis: PathBuf,
    /// Base URLs of its nodes. None of them is trusted.
    pub nodes: Vec<String>,
}

fn listen() -> SocketAddr {
    ([127, 0, 0, 1], 20700).into()
}

impl RelayConfig {
    /// Reads the file and the environment.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = config::load(path, ENV_PREFIX)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for file in [
            &mut config.dir,
            &mut config.from.genesis,
            &mut config.to.genesis,
        ] {
            *file = folder.join(&*file);
        }
        config.tls.iter_mut().for_each(|tls| tls.within(folder));
        Ok(config)
    }
}

/// An annotated file with these values.
pub fn render(config: &RelayConfig) -> String {
    format!(
        r#"# A relay between two networks. Every key can be overridden by REALDID_RELAY_<KEY>.

# What it knows of both networks, and evidence if it ever meets some.
dir = {dir:?}
# Where it says how it is: /readyz and /metrics.
listen = "{listen}"

# Whose checkpoints are carried.
[from]
genesis = {from_genesis:?}
nodes = {from_nodes:?}

# Whose ledger they are carried to.
[to]
genesis = {to_genesis:?}
nodes = {to_nodes:?}
"#,
        dir = config.dir,
        listen = config.listen,
        from_genesis = config.from.genesis,
        from_nodes = config.from.nodes,
        to_genesis = config.to.genesis,
        to_nodes = config.to.nodes,
    )
}

/// The annotated file with example values.
pub fn example_config() -> String {
    render(&RelayConfig {
        dir: ".".into(),
        listen: listen(),
        public_url: None,
        tls: None,
        supervised: false,
        from: End {
            genesis: "cn-genesis.cbor".into(),
            nodes: vec!["https://node.cn.example".to_owned()],
        },
        to: End {
            genesis: "genesis.cbor".into(),
            nodes: vec!["http://127.0.0.1:20400".to_owned()],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_a_valid_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.toml");
        std::fs::write(&path, example_config()).unwrap();
        let config = RelayConfig::load(&path).unwrap();
        assert_eq!(config.from.genesis, folder.path().join("cn-genesis.cbor"));
        assert_eq!(config.to.nodes, ["http://127.0.0.1:20400"]);
    }
}
