//! Each part alone, and what an authority's operator does.

use crate::cli::{
    AmendArgs, AuthorityRecordArgs, Listen, NationDir, OptionalPartArgs, PartArgs, PersonArgs,
    RecordArgs, StandingArgs,
};
use crate::fail::Fail;
use crate::genesis::key_text;
use crate::govern::reason;
use crate::nation;
use realdid_authority::config::{AUTHORITY_FILE, AuthorityConfig, RegistrarConfig};
use realdid_authority::keys::KeyFileError;
use realdid_authority::{Amendment, KeySuites, StandingChange};
use realdid_core::codec;
use realdid_core::state::{Issuer, is_issuer_url};
use realdid_demo::DemoConfig;
use realdid_gate::GateConfig;
use realdid_node::config::NodeConfig;
use realdid_relay::RelayConfig;
use realdid_serve::{TlsFiles, files};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

pub async fn node(args: PartArgs) -> Result<(), Fail> {
    realdid_serve::init_logging("node", false);
    let mut config = NodeConfig::load(&args.config).map_err(Fail::of)?;
    args.at
        .over(&mut config.listen, &mut config.public_url, &mut config.tls);
    realdid_node::run(config).await.map_err(Fail::of)
}

pub async fn authority(args: OptionalPartArgs) -> Result<(), Fail> {
    realdid_serve::init_logging("authority", false);
    let mut config = AuthorityConfig::load(&needed(args.config)?).map_err(Fail::of)?;
    args.at
        .over(&mut config.listen, &mut config.public_url, &mut config.tls);
    realdid_authority::run(config).await.map_err(Fail::of)
}

pub async fn registrar(args: OptionalPartArgs) -> Result<(), Fail> {
    realdid_serve::init_logging("registrar", false);
    let mut config = RegistrarConfig::load(&needed(args.config)?).map_err(Fail::of)?;
    args.at
        .over(&mut config.listen, &mut config.public_url, &mut config.tls);
    realdid_authority::registrar::run(config)
        .await
        .map_err(Fail::of)
}

pub async fn gate(args: OptionalPartArgs) -> Result<(), Fail> {
    realdid_serve::init_logging("gate", false);
    let mut config = GateConfig::load(&needed(args.config)?).map_err(Fail::of)?;
    args.at
        .over(&mut config.listen, &mut config.public_url, &mut config.tls);
    realdid_gate::run(config).await.map_err(Fail::of)
}

pub async fn relay(args: PartArgs) -> Result<(), Fail> {
    realdid_serve::init_logging("relay", false);
    let mut config = RelayConfig::load(&args.config).map_err(Fail::of)?;
    args.at
        .over(&mut config.listen, &mut config.public_url, &mut config.tls);
    realdid_relay::run(config).await.map_err(Fail::of)
}

/// Answers the public keys that the gate publishes after it has started again.
pub fn rotate_keys(config: &Path) -> Result<Value, Fail> {
    let config = GateConfig::load(config).map_err(Fail::of)?;
    let keys = realdid_gate::rotate_gate(&config.dir).map_err(Fail::of)?;
    Ok(json!({ "keys": keys }))
}

/// The log of a gate's decisions, verified: the gate may be running.
pub fn decisions(config: &Path) -> Result<Value, Fail> {
    let config = GateConfig::load(config).map_err(Fail::of)?;
    realdid_gate::decisions(&config.dir).map_err(Fail::of)
}

/// A demo service knows nothing of us, so its file is read here as plain TOML, and its parent is
/// watched here.
pub async fn demo(args: PartArgs) -> Result<(), Fail> {
    realdid_serve::init_logging("demo", false);
    let mut config: DemoConfig =
        realdid_serve::config::load(&args.config, "REALDID_DEMO_SERVICE").map_err(Fail::of)?;
    let mut public_url = None;
    args.at.over(&mut config.listen, &mut public_url, &mut None);
    config.public_url = public_url.unwrap_or(config.public_url);
    if std::env::var_os("REALDID_DEMO_SUPERVISED").is_some() {
        realdid_serve::exit_with_parent();
    }
    realdid_demo::run(config).await.map_err(Fail::of)
}

/// The keys of an authority that no network knows yet, and its record.
pub fn authority_record(args: &AuthorityRecordArgs) -> Result<Value, Fail> {
    record(&args.record, |dir, url, suites, rng| {
        realdid_authority::init_authority(dir, url, &args.country, suites, rng)
    })
}

/// The same for a registrar.
pub fn registrar_record(args: &RecordArgs) -> Result<Value, Fail> {
    record(args, realdid_authority::init_registrar)
}

/// `init` makes an issuer's keys in a folder, under its URL.
fn record(
    args: &RecordArgs,
    init: impl FnOnce(&Path, &str, KeySuites, &mut dyn FnMut(&mut [u8])) -> Result<Issuer, KeyFileError>,
) -> Result<Value, Fail> {
    if !is_issuer_url(&args.url) {
        return Err(Fail::user(
            "issuer.url",
            "an issuer's URL is https://host[:port][/path], with no user, query or fragment, and no slash at its end",
            "give such a URL with --url",
        ));
    }
    let suites = args.suite.keys();
    let made = init(&args.keys_dir, &args.url, suites, &mut nation::rng());
    let issuer = made.map_err(Fail::of)?;
    files::write_atomic(&args.record, &codec::encode(&issuer), files::PUBLIC)?;
    let keys = issuer.keys.iter().map(|key| key_text(&key.key));
    Ok(json!({
        "record": args.record,
        "url": issuer.url,
        "keys": keys.collect::<Vec<String>>(),
    }))
}

/// The synthetic residents, with their evidence files written.
pub fn residents(nation: &NationDir) -> Result<Value, Fail> {
    let found = realdid_authority::residents(&authority_dir(&nation.dir)?).map_err(Fail::of)?;
    let residents: Vec<Value> = found
        .into_iter()
        .map(|resident| json!({"person": resident.person, "evidence": resident.evidence}))
        .collect();
    Ok(json!({ "residents": residents }))
}

/// The invented foreigners whose passports were made with the network.
pub fn foreigners(nation: &NationDir) -> Result<Value, Fail> {
    let found = realdid_authority::foreigners(&authority_dir(&nation.dir)?).map_err(Fail::of)?;
    let foreigners: Vec<Value> = found
        .into_iter()
        .map(|foreigner| json!({"person": foreigner.person, "evidence": foreigner.evidence}))
        .collect();
    Ok(json!({ "foreigners": foreigners }))
}

/// The synthetic organisations, with their extracts written.
pub fn organisations(nation: &NationDir) -> Result<Value, Fail> {
    let found = realdid_authority::organisations(&authority_dir(&nation.dir)?).map_err(Fail::of)?;
    let organisations: Vec<Value> = found
        .into_iter()
        .map(|found| {
            json!({
                "organisation": found.organisation,
                "representatives": found.representatives,
                "struck": found.struck,
                "evidence": found.evidence,
            })
        })
        .collect();
    Ok(json!({ "organisations": organisations }))
}

pub async fn suspend(args: StandingArgs) -> Result<Value, Fail> {
    let (dir, reason) = (authority_dir(&args.nation.dir)?, reason(&args.reason)?);
    let change = realdid_authority::suspend(&dir, &args.person, reason).await;
    Ok(changed(args, "suspended", change.map_err(Fail::of)?))
}

pub async fn restore(args: StandingArgs) -> Result<Value, Fail> {
    let (dir, reason) = (authority_dir(&args.nation.dir)?, reason(&args.reason)?);
    let change = realdid_authority::restore(&dir, &args.person, reason).await;
    Ok(changed(args, "active", change.map_err(Fail::of)?))
}

pub async fn end(args: StandingArgs) -> Result<Value, Fail> {
    let (dir, reason) = (authority_dir(&args.nation.dir)?, reason(&args.reason)?);
    let change = realdid_authority::end(&dir, &args.person, reason).await;
    Ok(changed(args, "ended", change.map_err(Fail::of)?))
}

pub async fn amend(args: AmendArgs) -> Result<Value, Fail> {
    let PersonArgs { nation, person } = args.of;
    let dir = authority_dir(&nation.dir)?;
    let change = Amendment {
        given_name: args.given_name,
        family_name: args.family_name,
        birthdate: args.birthdate,
        region: args.region,
        resident_number: args.resident_number,
        died: args.died,
    };
    let amended = realdid_authority::amend(&dir, &person, change).await;
    let amended = amended.map_err(Fail::of)?;
    Ok(json!({
        "person": person,
        "evidence": amended.evidence,
        "revoked": amended.revoked,
    }))
}

/// The running service publishes it.
pub async fn revoke(args: PersonArgs) -> Result<Value, Fail> {
    let dir = authority_dir(&args.nation.dir)?;
    let revoked = realdid_authority::revoke(&dir, &args.person).await;
    let revoked = revoked.map_err(Fail::of)?;
    Ok(json!({"person": args.person, "revoked": revoked}))
}

pub async fn reset(args: PersonArgs) -> Result<Value, Fail> {
    let dir = authority_dir(&args.nation.dir)?;
    let reset = realdid_authority::reset(&dir, &args.person).await;
    let reset = reset.map_err(Fail::of)?;
    Ok(json!({
        "person": args.person,
        "seq": reset.seq,
        "height": reset.height,
        "effectiveMs": reset.effective_ms,
    }))
}

pub async fn cancel_reset(args: PersonArgs) -> Result<Value, Fail> {
    let dir = authority_dir(&args.nation.dir)?;
    let change = realdid_authority::cancel_reset(&dir, &args.person).await;
    let change = change.map_err(Fail::of)?;
    Ok(json!({
        "person": args.person,
        "seq": change.seq,
        "height": change.height,
    }))
}

/// What governance signs is printed, since its keys are not here.
pub fn pass_key(nation: &NationDir, from_epoch: u64) -> Result<Value, Fail> {
    let dir = authority_dir(&nation.dir)?;
    let made = realdid_authority::pass_key(&dir, from_epoch).map_err(Fail::of)?;
    Ok(json!({
        "file": made.file,
        "publicKey": made.key.key.to_string(),
        "fromEpoch": made.key.from_epoch,
        "decision": hex::encode(made.decision),
    }))
}

/// What governance signs is printed here too.
pub fn key_compromised(nation: &NationDir, since_height: u64) -> Result<Value, Fail> {
    let dir = authority_dir(&nation.dir)?;
    let made = realdid_authority::key_compromised(&dir, since_height).map_err(Fail::of)?;
    Ok(json!({
        "key": made.key.to_string(),
        "sinceHeight": since_height,
        "decision": hex::encode(made.decision),
    }))
}

/// Every process of the authority shows the same certificate, so it is made once and copied.
pub fn certificate(nation: &NationDir, renew: bool) -> Result<Value, Fail> {
    let dir = authority_dir(&nation.dir)?;
    let made = realdid_authority::certificate(&dir, renew).map_err(Fail::of)?;
    Ok(json!({
        "file": made.file,
        "expires": made.expires_s,
    }))
}

fn changed(args: StandingArgs, standing: &str, change: StandingChange) -> Value {
    json!({
        "person": args.person,
        "standing": standing,
        "reason": args.reason,
        "seq": change.seq,
        "height": change.height,
    })
}

/// The authority's folder: the one given, or the authority of the nation in it.
fn authority_dir(dir: &Path) -> Result<PathBuf, Fail> {
    [dir.to_path_buf(), dir.join("authority")]
        .into_iter()
        .find(|dir| dir.join(AUTHORITY_FILE).is_file())
        .ok_or_else(|| {
            Fail::user(
                "authority.none",
                "the folder is an authority's, or a nation's with one",
                "start a nation with `realdid up`, or name its folder with --dir",
            )
        })
}

fn needed(config: Option<PathBuf>) -> Result<PathBuf, Fail> {
    config.ok_or_else(|| {
        Fail::user(
            "cli.config",
            "a part that runs alone has a configuration file",
            "give it with --config FILE; `realdid up` writes one for each part",
        )
    })
}

impl Listen {
    fn over(
        self,
        listen: &mut std::net::SocketAddr,
        public_url: &mut Option<String>,
        tls: &mut Option<TlsFiles>,
    ) {
        if let (Some(cert), Some(key)) = (self.tls_cert, self.tls_key) {
            *tls = Some(TlsFiles { cert, key });
        }
        if let Some(address) = self.listen {
            *listen = address;
        }
        if self.public_url.is_some() {
            *public_url = self.public_url;
        }
    }
}
