//! `realdid wallet …`: the words of the command line, and which function each one calls. Names and
//! JSON keys are a contract (docs/cli.md).

use crate::authorities::{self, ForOnce};
use crate::change::Kind;
use crate::content::Pending;
use crate::dids::{self, Account};
use crate::displays;
use crate::enrol;
pub use crate::error::CliError;
use crate::http::Http;
use crate::issue;
use crate::journal;
use crate::keep;
use crate::ledger::{Ledger, now_ms};
use crate::login;
use crate::mandate;
use crate::present::{self, Consent, How, Shown};
use crate::provider;
use crate::realpass;
use crate::renew;
use crate::seed::{Kit, POOL_STEP};
use crate::show;
use crate::strangers;
use crate::unlink;
pub use crate::unlink::is_joined;
use crate::vault::Vault;
use crate::wallet::Wallet;
use clap::{Args, Subcommand};
use realdid_core::hash::Hash32;
use realdid_exchange::vp::CheckedRequest;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Keys, credentials and disclosures of one person.
#[derive(Debug, Args)]
pub struct WalletArgs {
    /// The wallet's folder [default: ~/.local/share/realdid/wallet]
    #[arg(long, env = "REALDID_WALLET_DIR", global = true)]
    pub dir: Option<PathBuf>,
    /// The folder of a provider for development, which vouches for this wallet to issuers that ask for it
    #[arg(
        long,
        env = "REALDID_WALLET_PROVIDER",
        global = true,
        value_name = "DIR"
    )]
    pub provider: Option<PathBuf>,
    #[command(subcommand)]
    pub command: WalletCommand,
}

#[derive(Debug, Subcommand)]
pub enum WalletCommand {
    /// Make a wallet, or rebuild one from its recovery kit
    Init {
        /// The kit to rebuild from
        #[arg(long)]
        kit: Option<PathBuf>,
    },
    /// Enrol with an authority: verified once, credentials at once
    Enrol {
        /// The authority's URL, as it stands on the ledger
        #[arg(long)]
        authority: String,
        /// The evidence file: a resident's card, or a passport's chip
        #[arg(
            long,
            required_unless_present = "upstream",
            conflicts_with = "upstream"
        )]
        evidence: Option<PathBuf>,
        /// Log in at this identity provider of the authority instead, in a browser on this machine
        #[arg(long, value_name = "ID")]
        upstream: Option<String>,
        /// The digest of the network's genesis, in hex; without it the first one met is pinned
        #[arg(long, env = "REALDID_TRUST")]
        trust: Option<String>,
    },
    /// Get the credential of an organisation that this person may act for
    Organisation {
        /// The evidence file: an extract of the register of organisations
        #[arg(long)]
        evidence: PathBuf,
    },
    /// Receive credentials: from an OpenID4VCI offer, or by a login at their issuer
    Receive {
        /// An openid-credential-offer link, the offer as JSON, or the issuer's URL to log in there
        offer: String,
        /// The transaction code that the issuer gave on another way
        #[arg(long)]
        tx_code: Option<String>,
        /// A root certificate, PEM, that you trust for this issuer, where it is not on the ledger; may be
        /// given several times
        #[arg(long = "issuer-root", value_name = "FILE")]
        issuer_roots: Vec<PathBuf>,
        /// The id of a credential configuration to receive; may be given several times [default: all that are offered]
        #[arg(long = "credential", value_name = "ID")]
        credentials: Vec<String>,
        /// What the issuer calls this wallet [default: realdid-wallet]
        #[arg(long, value_name = "ID")]
        client_id: Option<String>,
        /// The digest of the network's genesis, in hex, where a wallet without a network receives a PID
        #[arg(long, env = "REALDID_TRUST")]
        trust: Option<String>,
    },
    /// Get fresh copies of every credential that can be refreshed, and the RealPasses that can be had
    Refresh,
    /// Keep RealPass and copies fresh, at random times that say nothing of logins; ends on Ctrl-C
    Keep {
        /// Do what is due and end, for a scheduler that runs this often
        #[arg(long)]
        once: bool,
    },
    /// Answer a presentation request
    Present {
        /// An openid4vp link, or the address of the request
        request: String,
        /// A PEM file of an authority to trust for this once, to say who a verifier is that is not registered
        #[arg(long, value_name = "FILE")]
        trust_ca: Option<PathBuf>,
        /// The DID of a verifier to trust for this once, that is not registered and names itself by it
        #[arg(long, value_name = "DID")]
        trust_did: Option<String>,
        #[command(flatten)]
        consent: ConsentArgs,
        /// The legal name of the organisation to act for, where there are several
        #[arg(long, value_name = "NAME")]
        organisation: Option<String>,
    },
    /// Sign in at a service
    Login {
        /// The service's address
        service: String,
        #[command(flatten)]
        consent: ConsentArgs,
    },
    /// Show what is in the wallet, without secrets
    Show,
    /// Show what was disclosed to whom, and why
    Journal,
    /// List the names that are shown in public, each as the ledger proves it
    Displays,
    /// Take a name back that is shown in public: every copy of its badge fails
    Withdraw {
        /// The handle, the digest, or the badge as a file or an address
        display: String,
    },
    /// Look for what two services, the authority and a node could join; exit code 3 if anything
    UnlinkCheck(unlink::UnlinkArgs),
    /// Make and change DIDs
    #[command(subcommand)]
    Did(DidCommand),
    /// Authorities and DIDs that say who a verifier is that is not registered; none unless you add one
    #[command(subcommand)]
    Ca(CaCommand),
    /// Use the recovery kit
    #[command(subcommand)]
    Kit(KitCommand),
}

#[derive(Debug, Subcommand)]
pub enum CaCommand {
    /// Trust the authorities whose certificates a PEM file has
    Add { file: PathBuf },
    /// Trust the verifier that has this DID
    AddDid {
        /// Of the method web, jwk or key
        did: String,
    },
    /// List those that are trusted
    List,
    /// Trust one no more
    Remove {
        /// The SHA-256 of its certificate, as the list shows it, or a DID
        which: String,
    },
}

#[derive(Debug, Args)]
pub struct ConsentArgs {
    /// A claim that may be shown, such as address.region; may be given several times
    #[arg(long = "allow", value_name = "CLAIM")]
    pub allow: Vec<String>,
    /// Show everything that is asked for within the service's registration
    #[arg(long)]
    pub yes: bool,
    /// Show the PID that lives long instead of a one-time copy, where the service takes it: it can tell
    /// that it is the same one
    #[arg(long)]
    pub long_lived: bool,
}

#[derive(Debug, Subcommand)]
pub enum DidCommand {
    /// List this wallet's DIDs
    List {
        /// With each one's state on the ledger; the node then sees them asked for together
        #[arg(long)]
        prove: bool,
    },
    /// Make a DID that is for no service
    New {
        /// Where to write its inception (canonical CBOR)
        #[arg(long)]
        inception: Option<PathBuf>,
    },
    /// Put a DID on the ledger, on one's own account as a verified person
    Anchor {
        did: String,
        /// Have the authority sponsor it: it learns that the DID is yours
        #[arg(long)]
        sponsored: bool,
    },
    /// Change to new keys at once (needs the kit)
    Rotate(WithKit),
    /// Change to new keys after the delay, with the recovery key (needs the kit)
    Recover(WithKit),
    /// Take back a pending recovery
    Cancel { did: String },
    /// Block all that the current keys can do (needs the kit)
    Freeze(WithKit),
    /// End a DID for good (needs the kit where the DID is disputed)
    Deactivate(WithKit),
}

#[derive(Debug, Args)]
pub struct WithKit {
    pub did: String,
    /// The recovery kit [default: recovery-kit.json in the wallet's folder, if it still lies there]
    #[arg(long)]
    pub kit: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum KitCommand {
    /// Make commitments for more DIDs, from the kit
    TopUp {
        #[arg(long)]
        kit: Option<PathBuf>,
    },
}

/// Runs one command; answers its one JSON object. Notices to the person go to standard error.
pub async fn run(args: WalletArgs) -> Result<Value, CliError> {
    let dir = match args.dir {
        Some(dir) => dir,
        None => default_dir()?,
    };
    let provider = args.provider.as_deref().map(provider::read).transpose()?;
    let http = Http::new()?.vouched_for(provider);
    match args.command {
        WalletCommand::Init { kit } => init(&dir, kit.as_deref()),
        WalletCommand::UnlinkCheck(args) => unlink::run(&args),
        WalletCommand::Enrol {
            authority,
            evidence,
            upstream,
            trust,
        } => {
            let by = match (evidence, upstream) {
                (Some(path), _) => enrol::By::File(path),
                (None, id) => enrol::By::Upstream(id.unwrap_or_default()),
            };
            let trusted = trusted(trust)?;
            let mut wallet = if Vault::exists(&dir) {
                Wallet::open(&dir)?
            } else {
                let (wallet, kit) = Wallet::create(&dir, None)?;
                tell_about_kit(kit.as_deref());
                wallet
            };
            enrol::enrol(&mut wallet, &http, &authority, &by, trusted).await
        }
        WalletCommand::Keep { once } => keep::keep(&dir, &http, once).await,
        command => {
            let mut wallet = Wallet::open(&dir)?;
            in_wallet(&mut wallet, http, command).await
        }
    }
}

async fn in_wallet(
    wallet: &mut Wallet,
    http: Http,
    command: WalletCommand,
) -> Result<Value, CliError> {
    match command {
        WalletCommand::Init { .. }
        | WalletCommand::Enrol { .. }
        | WalletCommand::Keep { .. }
        | WalletCommand::UnlinkCheck(_) => Ok(Value::Null),
        WalletCommand::Organisation { evidence } => mandate::take(wallet, &http, &evidence).await,
        WalletCommand::Receive {
            offer,
            tx_code,
            issuer_roots,
            credentials,
            client_id,
            trust,
        } => {
            let roots = issuer_roots.iter().map(|path| issue::read_root(path));
            let roots = roots.collect::<Result<Vec<_>, _>>()?;
            let asked = issue::Asked {
                roots: &roots,
                tx_code: tx_code.as_deref(),
                configurations: &credentials,
                client_id: client_id.as_deref(),
            };
            let places = if is_web_address(&offer) {
                let trusted = trusted(trust)?;
                issue::take_from(wallet, &http, offer.trim(), &asked, trusted).await?
            } else {
                let offer = issue::read_offer(&http, &offer).await?;
                let mut ledger = known_ledger(wallet)?;
                issue::take_offer(wallet, &http, ledger.as_mut(), &offer, &asked).await?
            };
            let mut shown = credentials_json(wallet, &places);
            shown["pending"] = pending_json(wallet);
            Ok(shown)
        }
        WalletCommand::Refresh => refresh_all(wallet, &http).await,
        WalletCommand::Ca(command) => match command {
            CaCommand::Add { file } => authorities::add(wallet, &file),
            CaCommand::List => Ok(authorities::list(wallet)),
            CaCommand::AddDid { did } => authorities::add_did(wallet, &did),
            CaCommand::Remove { which } => authorities::remove(wallet, &which),
        },
        WalletCommand::Present {
            request,
            trust_ca,
            trust_did,
            consent,
            organisation,
        } => {
            let authorities = trust_ca.as_deref().map(authorities::read).transpose()?;
            let did = trust_did
                .as_deref()
                .map(authorities::read_did)
                .transpose()?;
            let more = ForOnce {
                authorities: authorities.unwrap_or_default(),
                did,
            };
            let mut ledger = Ledger::of(&wallet.content)?;
            let request = present::examine(wallet, &http, &mut ledger, &request, &more).await?;
            let consent = Consent::from(consent);
            if let Some(stranger) = &request.stranger {
                let asked = (&request, stranger);
                let shown = strangers::answer(wallet, &http, &mut ledger, asked, &consent).await?;
                return Ok(shown_json(&request, shown));
            }
            let (content, terms) = (&wallet.content, request.display.as_ref());
            let organisation = displays::organisation(content, terms, organisation.as_deref())?;
            let organisation = organisation.as_deref();
            present::announce(wallet, &ledger, &request, organisation);
            if !present::consented(&request, &consent, present::ask_person) {
                return Err(present::decline(&http, &request).await?);
            }
            let how = How {
                long_lived: consent.long_lived,
                organisation,
            };
            let shown = present::answer(wallet, &http, &mut ledger, &request, how).await?;
            Ok(shown_json(&request, shown))
        }
        WalletCommand::Login { service, consent } => {
            login::login(wallet, &http, &service, &consent.into()).await
        }
        WalletCommand::Displays => displays::list(wallet).await,
        WalletCommand::Withdraw { display } => displays::withdraw(wallet, &http, &display).await,
        WalletCommand::Show => show::show(wallet).await,
        WalletCommand::Journal => Ok(journal::to_json(&wallet.content)),
        WalletCommand::Did(command) => did(wallet, &http, command).await,
        WalletCommand::Kit(KitCommand::TopUp { kit }) => {
            let kit = wallet.kit(kit.as_deref())?;
            let kit = kit.ok_or(crate::change::ChangeError::KitNeeded("topping up"))?;
            kit.top_up(&mut wallet.content.pool, POOL_STEP)?;
            wallet.learn_pass_seed(&kit);
            wallet.save()?;
            Ok(json!({ "sparesLeft": wallet.content.pool.left() }))
        }
    }
}

async fn did(wallet: &mut Wallet, http: &Http, command: DidCommand) -> Result<Value, CliError> {
    let sponsored = matches!(
        command,
        DidCommand::Anchor {
            sponsored: true,
            ..
        }
    );
    let (kind, did, kit) = match command {
        DidCommand::List { prove } => return dids::list(wallet, prove).await,
        DidCommand::New { inception } => return dids::new(wallet, inception.as_deref()),
        DidCommand::Anchor { did, .. } => (Kind::Anchor, did, None),
        DidCommand::Rotate(with) => (Kind::Rotate, with.did, with.kit),
        DidCommand::Recover(with) => (Kind::Recover, with.did, with.kit),
        DidCommand::Cancel { did } => (Kind::Cancel, did, None),
        DidCommand::Freeze(with) => (Kind::Freeze, with.did, with.kit),
        DidCommand::Deactivate(with) => (Kind::Deactivate, with.did, with.kit),
    };
    let how = if sponsored {
        Account::Sponsored
    } else {
        Account::of(wallet)
    };
    dids::change(wallet, http, kind, how, &did, kit.as_deref()).await
}

async fn refresh_all(wallet: &mut Wallet, http: &Http) -> Result<Value, CliError> {
    let mut ledger = known_ledger(wallet)?;
    let mut places = issue::collect(wallet, http, ledger.as_mut()).await?;
    for place in 0..wallet.content.batches.len() {
        let batch = &wallet.content.batches[place];
        if batch.refresh_token.is_some() && !places.contains(&place) {
            let of_organisation = batch.organisation.is_some();
            let mut ledger = known_ledger(wallet)?;
            match issue::refresh(wallet, http, ledger.as_mut(), place).await {
                Ok(()) => places.push(place),
                // Who acts for an organisation no more is still themselves.
                Err(error) if of_organisation => eprintln!("{error}"),
                Err(error) => return Err(error),
            }
        }
    }
    let has_source = renew::has_source(wallet);
    let waits = wallet.content.pending.iter().flatten().count() > 0;
    if places.is_empty() && !has_source && !waits {
        return Err(issue::no_credential());
    }
    let mut shown = credentials_json(wallet, &places);
    shown["pending"] = pending_json(wallet);
    shown["realPass"] = Value::Null;
    if has_source && let Some(mut ledger) = known_ledger(wallet)? {
        renew::on_request(wallet, http, &mut ledger).await?;
        let passes = wallet.passes()?;
        shown["realPass"] = realpass::to_json(passes, ledger.parameters(), now_ms());
    }
    Ok(shown)
}

fn is_web_address(text: &str) -> bool {
    let text = text.trim();
    text.starts_with("https://") || text.starts_with("http://")
}

/// The digest of a genesis that the person trusts.
fn trusted(digest: Option<String>) -> Result<Option<Hash32>, CliError> {
    let digest = digest.map(|digest| digest.parse::<Hash32>());
    digest.transpose().map_err(|_| {
        CliError::user(
            "trust.malformed",
            "a genesis digest is 64 characters of lowercase hex",
            "give the whole digest",
        )
    })
}

/// The ledger where the wallet has a network; foreign credentials can be received without one.
fn known_ledger(wallet: &Wallet) -> Result<Option<Ledger>, CliError> {
    match wallet.content.network {
        Some(_) => Ledger::of(&wallet.content).map(Some),
        None => Ok(None),
    }
}

/// What issuers will give later: nothing of it is secret but its name at the issuer.
fn pending_json(wallet: &Wallet) -> Value {
    let pending = wallet.content.pending.iter().flatten();
    let one = |pending: &Pending| {
        json!({
            "type": pending.batch.vct,
            "format": pending.batch.format().name(),
            "issuer": pending.batch.issuer,
            "sinceMs": pending.since_ms,
        })
    };
    pending.map(one).collect()
}

/// What was shown, as JSON.
fn shown_json(request: &CheckedRequest, shown: Shown) -> Value {
    json!({
        "service": request.stranger.is_none().then(|| request.service_id.to_string()),
        "verifier": shown.verifier.map(|verifier| verifier.to_json()),
        "did": shown.did.map(|did| did.to_string()),
        "claims": shown.claims,
        "realPassEpoch": shown.pass_epoch,
        "redirect": shown.redirect.map(String::from),
        "confirmationCode": shown.confirmation_code,
        "display": shown.display.map(|(digest, badge)| json!({
            "digest": digest.to_string(),
            "badge": badge,
        })),
    })
}

fn credentials_json(wallet: &Wallet, places: &[usize]) -> Value {
    let batches = places
        .iter()
        .filter_map(|place| wallet.content.batches.get(*place));
    json!({ "credentials": batches.map(issue::batch_json).collect::<Vec<_>>() })
}

fn init(dir: &Path, kit: Option<&Path>) -> Result<Value, CliError> {
    // A kit that does not read must not leave half a wallet behind.
    if let Some(path) = kit {
        Kit::read(path)?;
    }
    let (wallet, to_move) = Wallet::create(dir, kit)?;
    tell_about_kit(to_move.as_deref());
    Ok(json!({
        "dir": dir.display().to_string(),
        "kit": to_move.map(|path| path.display().to_string()),
        "sparesLeft": wallet.content.pool.left(),
    }))
}

fn tell_about_kit(kit: Option<&Path>) {
    if let Some(path) = kit {
        eprintln!(
            "Your recovery kit is in {}. Move it off this device now: it rebuilds your keys, and whoever has it can take over your DIDs.",
            path.display()
        );
    }
}

fn default_dir() -> Result<PathBuf, CliError> {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    home.map(|home| PathBuf::from(home).join(".local/share/realdid/wallet"))
        .ok_or_else(|| {
            CliError::user(
                "wallet.no_dir",
                "the wallet has a folder",
                "give it with --dir",
            )
        })
}

impl From<ConsentArgs> for Consent {
    fn from(args: ConsentArgs) -> Self {
        Self {
            allow: args.allow,
            yes: args.yes,
            long_lived: args.long_lived,
        }
    }
}

/// A command's JSON for people: one fact a line, lists indented.
pub fn render(value: &Value) -> String {
    let mut out = String::new();
    render_into(value, 0, &mut out);
    out
}

fn render_into(value: &Value, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    let mut line = |name: &str, value: &Value| {
        let plain = match value {
            Value::Null => "none".to_owned(),
            Value::String(text) => text.clone(),
            Value::Array(items) if items.is_empty() => "none".to_owned(),
            Value::Array(_) | Value::Object(_) => {
                out.push_str(&format!("{indent}{name}:\n"));
                return render_into(value, depth + 1, out);
            }
            other => other.to_string(),
        };
        out.push_str(&format!("{indent}{name}: {plain}\n"));
    };
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| line(name, value)),
        Value::Array(items) => {
            let numbered = items.iter().enumerate();
            numbered.for_each(|(i, value)| line(&format!("{}", i + 1), value));
        }
        other => out.push_str(&format!("{indent}{other}\n")),
    }
}

#[cfg(test)]
mod tests;
