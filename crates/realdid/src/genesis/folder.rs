//! The two folders of a ceremony: what all operators share, and what one of them keeps to itself.

use super::{no_plan, no_succession};
use crate::fail::Fail;
use crate::input::read_bounded;
use crate::nation;
use realdid_ceremony::{
    Approval, Card, Left, MAX_DOCUMENT_BYTES, MAX_PARTIES, MAX_PLAN_BYTES, MAX_PREDECESSOR_BYTES,
    Operator, Plan,
};
use realdid_core::carried;
use realdid_core::hash::Hash32;
use realdid_node::config::{ValidatorKeys, read_identity};
use realdid_node::shares::ShareFolder;
use realdid_serve::files::{self, FileError};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::{Path, PathBuf};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const PLAN: &str = "plan.cbor";
const GENESIS: &str = "genesis.cbor";
const COMMITTEE: &str = "committee.bin";
const PREDECESSOR: &str = "predecessor.cbor";
const STATE: &str = "state.cbor";
/// A state that does not fit into memory is not carried in a file.
const MAX_STATE_BYTES: usize = 1 << 36;
const OPERATOR: &str = "operator.json";
const DOCUMENTS: [&str; 4] = ["dealing", "answer", "log", "outcome"];
/// Two of each kind of each party, and room for copies.
const MAX_FILES: usize = MAX_PARTIES * 12;

/// The ceremony's folder. Nothing in it is secret, and all of it may be hostile.
pub struct Folder {
    dir: PathBuf,
}

impl Folder {
    pub fn make(dir: &Path) -> Result<Self, Fail> {
        files::create_private_dir(dir)?;
        Self::open(dir)
    }

    pub fn open(dir: &Path) -> Result<Self, Fail> {
        match dir.is_dir() {
            true => Ok(Self { dir: dir.into() }),
            false => Err(Fail::user(
                "ceremony.no_folder",
                "the ceremony's folder is there",
                "name it with --dir; `realdid genesis key` makes one",
            )),
        }
    }

    pub fn path(&self) -> &Path {
        &self.dir
    }

    pub fn plan_file(&self) -> PathBuf {
        self.dir.join(PLAN)
    }

    pub fn genesis_file(&self) -> PathBuf {
        self.dir.join(GENESIS)
    }

    /// The round's public output: what the next round hands the key on from.
    pub fn committee_file(&self) -> PathBuf {
        self.dir.join(COMMITTEE)
    }

    pub fn plan(&self) -> Result<Plan, Fail> {
        let path = self.plan_file();
        if !path.exists() {
            return Err(Fail::user(
                "ceremony.no_plan",
                "the folder has the plan that operators agreed on",
                "get plan.cbor from whoever planned, or run `realdid genesis plan`",
            ));
        }
        Plan::decode(&read_bounded(&path, MAX_PLAN_BYTES)?).map_err(no_plan)
    }

    pub fn genesis(&self) -> Result<Option<Vec<u8>>, Fail> {
        let path = self.genesis_file();
        let most = realdid_core::genesis::MAX_GENESIS_BYTES;
        path.exists().then(|| read_bounded(&path, most)).transpose()
    }

    pub fn predecessor_file(&self) -> PathBuf {
        self.dir.join(PREDECESSOR)
    }

    pub fn state_file(&self) -> PathBuf {
        self.dir.join(STATE)
    }

    /// What another network left, verified.
    pub fn left(&self) -> Result<Left, Fail> {
        let records = carried::decode(&self.state()?).map_err(|error| {
            Fail::user(
                error.code(),
                &format!("{STATE} is a state: {error}"),
                "get it again from whoever exported it",
            )
        })?;
        let file = read_bounded(&self.predecessor_file(), MAX_PREDECESSOR_BYTES)?;
        Left::verify(&file, &records).map_err(no_succession)
    }

    /// The state that was left, as bytes.
    pub fn state(&self) -> Result<Vec<u8>, Fail> {
        if !self.state_file().exists() || !self.predecessor_file().exists() {
            return Err(Fail::user(
                "succession.nothing_left",
                "the folder has what the other network left: predecessor.cbor and state.cbor",
                "get both from an operator of it, who runs `realdid genesis export`",
            ));
        }
        read_bounded(&self.state_file(), MAX_STATE_BYTES)
    }

    /// Every approval in the folder; files that are none are passed over, and do not count.
    pub fn approvals(&self) -> Result<Vec<Approval>, Fail> {
        let files = self.files(&["approval"])?;
        let read = |path: &PathBuf| {
            let bytes = read_bounded(path, MAX_DOCUMENT_BYTES).ok()?;
            Approval::decode(&bytes).ok()
        };
        Ok(files.iter().filter_map(read).collect())
    }

    /// Every card in the folder, by file name.
    pub fn cards(&self) -> Result<Vec<Card>, Fail> {
        let files = self.files(&["card"])?;
        let read = |path: &PathBuf| {
            Card::decode(&read_bounded(path, MAX_DOCUMENT_BYTES)?).map_err(|error| {
                Fail::part(
                    error.code(),
                    &format!("{} is a card: {error}", path.display()),
                    "whoever made the card",
                    "get the card again, or take the file away",
                )
            })
        };
        files.iter().map(read).collect()
    }

    /// Every document of the folder with its file's name; too long a file has no bytes.
    #[allow(clippy::type_complexity, reason = "a name with bytes, or with none")]
    pub fn documents(&self) -> Result<Vec<(String, Result<Vec<u8>, ()>)>, Fail> {
        let files = self.files(&DOCUMENTS)?;
        let read = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let bytes = read_bounded(path, MAX_DOCUMENT_BYTES);
            (name.into_owned(), bytes.map_err(|_| ()))
        };
        Ok(files.iter().map(read).collect())
    }

    /// Writes a document of our own; the same bytes again change nothing.
    pub fn publish(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, Fail> {
        let path = self.dir.join(name);
        if std::fs::read(&path).is_ok_and(|there| there == bytes) {
            return Ok(path);
        }
        files::write_atomic(&path, bytes, files::PUBLIC)?;
        Ok(path)
    }

    fn files(&self, endings: &[&str]) -> Result<Vec<PathBuf>, Fail> {
        let entries = std::fs::read_dir(&self.dir);
        let entries = entries.map_err(|error| FileError::of(&self.dir, &error))?;
        let known = |path: &PathBuf| {
            let ending = path.extension().and_then(|ending| ending.to_str());
            let name = path.file_name().and_then(|name| name.to_str());
            // What is being written begins with a dot.
            ending.is_some_and(|ending| endings.contains(&ending))
                && name.is_some_and(|name| !name.starts_with('.'))
        };
        let entries = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
        let mut files: Vec<PathBuf> = entries.filter(known).take(MAX_FILES).collect();
        files.sort();
        Ok(files)
    }
}

/// An operator's own folder: its secret, what it signed off, and what it may say once only.
pub struct Home {
    dir: PathBuf,
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct OperatorFile {
    seed: String,
}

impl Home {
    pub fn make(dir: &Path) -> Result<Self, Fail> {
        files::create_private_dir(dir)?;
        Ok(Self { dir: dir.into() })
    }

    pub fn open(dir: &Path) -> Result<Self, Fail> {
        match dir.join(OPERATOR).is_file() {
            true => Ok(Self { dir: dir.into() }),
            false => Err(Fail::user(
                "ceremony.no_operator",
                "the operator's folder holds its secret",
                "name it with --operator; `realdid genesis key` makes one",
            )),
        }
    }

    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// The secret that is there, or a new one: never another in its place.
    pub fn operator_or_new(&self) -> Result<Operator, Fail> {
        let path = self.dir.join(OPERATOR);
        if !path.exists() {
            let mut seed = Zeroizing::new([0; 32]);
            nation::random(&mut *seed)?;
            let file = OperatorFile {
                seed: hex::encode(*seed),
            };
            let text = Zeroizing::new(serde_json::to_vec_pretty(&file).map_err(Fail::of)?);
            files::write_private(&path, &text)?;
        }
        self.operator()
    }

    pub fn operator(&self) -> Result<Operator, Fail> {
        let unreadable = || {
            Fail::user(
                "ceremony.operator_unreadable",
                "operator.json is as `realdid genesis key` wrote it",
                "restore it from its backup; without it this operator's share is lost",
            )
        };
        let text = Zeroizing::new(read_bounded(&self.dir.join(OPERATOR), 4096)?);
        let file: OperatorFile = serde_json::from_slice(&text).map_err(|_| unreadable())?;
        let mut seed = Zeroizing::new([0; 32]);
        hex::decode_to_slice(&file.seed, &mut *seed).map_err(|_| unreadable())?;
        Operator::from_seed(*seed).map_err(|_| unreadable())
    }

    /// Whether this operator has signed a plan or a round off: by its digest, once.
    pub fn approve(&self, own: &Hash32, given: Option<&str>, option: &str) -> Result<(), Fail> {
        let own = own.to_string();
        let path = self.dir.join(format!("{own}.approved"));
        match given {
            None if path.exists() => Ok(()),
            Some(digest) if digest == own => {
                let said = json!({ "plan": own }).to_string();
                files::write_private(&path, said.as_bytes())?;
                Ok(())
            }
            None => Err(Fail::user(
                "ceremony.plan_unapproved",
                "an operator signs a plan off by its digest before anything else",
                &format!("compare the digest with the other operators, then give it with {option}"),
            )),
            Some(_) => Err(Fail::user(
                "ceremony.plan_differs",
                "the plan in the folder is the one that operators agreed on",
                "get it again, and compare its digest",
            )),
        }
    }

    /// What this operator said before and may not say otherwise.
    pub fn kept(&self, name: &str) -> Result<Option<Vec<u8>>, Fail> {
        let path = self.dir.join(name);
        path.exists()
            .then(|| read_bounded(&path, MAX_DOCUMENT_BYTES))
            .transpose()
    }

    pub fn keep(&self, name: &str, bytes: &[u8]) -> Result<(), Fail> {
        Ok(files::write_private(&self.dir.join(name), bytes)?)
    }
}

/// Writes a public result; another one that is there stays.
pub fn write_once(path: &Path, bytes: &[u8]) -> Result<(), Fail> {
    match path.exists() {
        false => Ok(files::write_atomic(path, bytes, files::PUBLIC)?),
        true if read_bounded(path, MAX_PLAN_BYTES)? == bytes => Ok(()),
        true => Err(Fail::user(
            "ceremony.result_exists",
            &format!("{} is not there, or is what comes out", path.display()),
            "keep it and give another folder",
        )),
    }
}

/// Writes a validator's identity and its share of the first term's key; others that are there are
/// never overwritten.
pub fn write_secret_once(path: &Path, keys: &ValidatorKeys) -> Result<(), Fail> {
    let dir = path.parent().unwrap_or(Path::new(""));
    let share = ShareFolder::of_node(dir).read(0).map_err(Fail::of)?;
    let identity = path.exists().then(|| read_identity(path)).transpose();
    let identity = identity.map_err(Fail::of)?;
    let own = identity
        .as_ref()
        .is_none_or(|there| **there == keys.identity_seed)
        && share
            .as_ref()
            .is_none_or(|there| there.polynomial == keys.polynomial && there.share == keys.share);
    match (own, identity.is_some() && share.is_some()) {
        (true, true) => Ok(()),
        (true, false) => keys.write(path).map_err(Fail::of),
        (false, _) => Err(Fail::user(
            "ceremony.secret_exists",
            "a validator's keys are never overwritten",
            "give an empty folder with --node",
        )),
    }
}
