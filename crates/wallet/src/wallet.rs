//! An open wallet: its vault with the content at hand, and where its recovery kit is.

use crate::change::ChangeError;
use crate::content::{Content, RealPasses};
use crate::error::CliError;
use crate::seed::Kit;
use crate::vault::{self, Vault};
use realdid_core::suite::Suite;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

/// How long a command waits for another one to leave the wallet.
const PATIENCE: Duration = Duration::from_secs(10);
/// The variable that holds the passphrase.
pub const PASSPHRASE: &str = "REALDID_WALLET_PASSPHRASE";
/// The kit's file name in the wallet's folder, where it is written at first.
pub const KIT_FILE: &str = "recovery-kit.json";

/// A wallet that this process alone has open.
#[derive(Debug)]
pub struct Wallet {
    vault: Vault,
    pub content: Content,
}

impl Wallet {
    pub fn open(dir: &Path) -> Result<Self, CliError> {
        let passphrase = passphrase();
        let passphrase = passphrase.as_ref().map(|text| text.as_str());
        let (vault, content) = Vault::open(dir, passphrase, PATIENCE)?;
        Ok(Self { vault, content })
    }

    /// Makes a wallet in `dir`.
    ///
    /// From the kit that is given, else from one that lies in the folder (a wallet whose making
    /// was interrupted, or whose vault was lost), else from fresh randomness. Answers the path of
    /// a kit that lies in the folder, so that the person can be told to move it away.
    pub fn create(dir: &Path, kit: Option<&Path>) -> Result<(Self, Option<PathBuf>), CliError> {
        if Vault::exists(dir) {
            return Err(vault::VaultError::Exists(dir.to_owned()).into());
        }
        crate::files::create_dir(dir)?;
        let in_folder = dir.join(KIT_FILE);
        let (kit, to_move) = match kit {
            Some(path) => (Kit::read(path)?, None),
            None if in_folder.exists() => (Kit::read(&in_folder)?, Some(in_folder)),
            None => {
                let entropy = Zeroizing::new(vault::random::<16>()?);
                let kit = Kit::new(&entropy, vault::random()?)?;
                // Before the vault: a wallet must not exist whose kit was never written.
                kit.write(&in_folder)?;
                (kit, Some(in_folder))
            }
        };
        // Of every suite until the network is known (`speak`): then the kit may be far away.
        let pool = kit.pool(Suite::Ed25519)?;
        let others = [Suite::P256, Suite::Sm2].map(|suite| kit.pool(suite));
        let mut content = Content::new(kit.pairwise_root(0), pool, kit.pass_seed());
        content.other_pools = Some(others.into_iter().collect::<Result<_, _>>()?);
        let passphrase = passphrase();
        let passphrase = passphrase.as_ref().map(|text| text.as_str());
        let vault = Vault::create(dir, passphrase, &content)?;
        Ok((Self { vault, content }, to_move))
    }

    /// Makes the present content durable.
    pub fn save(&self) -> Result<(), CliError> {
        Ok(self.vault.save(&self.content)?)
    }

    /// The person's RealPasses, where the wallet has the seed for them.
    pub fn passes(&mut self) -> Result<&mut RealPasses, CliError> {
        self.content.passes.as_mut().ok_or_else(|| {
            CliError::user(
                "pass.no_seed",
                "the wallet has the seed of its RealPass, which its recovery words make",
                "bring the recovery kit: `realdid wallet kit top-up --kit FILE`",
            )
        })
    }

    /// Takes the seed of RealPass from the kit, in a wallet that was made without it.
    pub fn learn_pass_seed(&mut self, kit: &Kit) {
        if self.content.passes.is_none() {
            self.content.passes = Some(RealPasses::new(kit.pass_seed()));
        }
    }

    /// Takes the commitments to spare keys of the suite of the network's DIDs, and forgets the others:
    /// once, when the wallet meets its network, before it has a DID. One that was made before it had them
    /// of every suite needs its kit for another than Ed25519.
    pub fn speak(&mut self, suite: Suite) -> Result<(), CliError> {
        let mut kept = self.content.other_pools.iter().flatten();
        let kept = kept.find(|pool| pool.suite() == suite).cloned();
        if self.content.pool.suite() != suite {
            self.content.pool = match kept {
                Some(pool) => pool,
                None => {
                    let kit = self.kit(None)?;
                    let needed = ChangeError::KitNeeded("meeting a network of another suite");
                    kit.ok_or(needed)?.pool(suite)?
                }
            };
        }
        self.content.other_pools = None;
        Ok(())
    }

    /// The recovery kit: from the path that is given, else from the wallet's folder if it still
    /// lies there. None where there is neither.
    pub fn kit(&self, path: Option<&Path>) -> Result<Option<Kit>, CliError> {
        let in_folder = self.vault.dir().join(KIT_FILE);
        let kit = match path {
            Some(path) => Kit::read(path)?,
            None if in_folder.exists() => Kit::read(&in_folder)?,
            None => return Ok(None),
        };
        kit.check(&self.content.pool)?;
        Ok(Some(kit))
    }
}

fn passphrase() -> Option<Zeroizing<String>> {
    std::env::var(PASSPHRASE)
        .ok()
        .filter(|text| !text.is_empty())
        .map(Zeroizing::new)
}
