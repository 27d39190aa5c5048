//! The words of the command line (docs/cli.md).

use crate::nation::{Suites, named_suite};
use crate::network::{accepted, from_term};
use clap::{Args, Parser, Subcommand};
use realdid_core::genesis::{MAX_EPOCH_S, NetworkKey, PeerKey};
use realdid_core::governance::{Accepted, FirstTerm};
use realdid_gate::Accounts;
use realdid_wallet::cli::WalletArgs;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Decentralised identity for a nation: verified once, pseudonymous everywhere, nothing personal on
/// the ledger.
#[derive(Debug, Parser)]
#[command(name = "realdid", version, max_term_width = 100)]
pub struct Cli {
    /// Print exactly one JSON object on standard output
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a small nation: ledger, authority, registrar, three gates and three demo services
    Up(UpArgs),
    /// Make a network's key so that nobody ever holds it whole: a ceremony by files
    #[command(subcommand)]
    Genesis(GenesisCommand),
    /// Run a validator alone
    Node(PartArgs),
    /// Run an authority alone, or act as its operator
    #[command(args_conflicts_with_subcommands = true)]
    Authority(AuthorityArgs),
    /// Run a registrar alone, or make its keys
    #[command(args_conflicts_with_subcommands = true)]
    Registrar(RegistrarArgs),
    /// Run a gate alone, or register one
    #[command(args_conflicts_with_subcommands = true)]
    Gate(GateArgs),
    /// Run a demo service alone: an ordinary OpenID Connect website
    #[command(hide = true)]
    Demo(PartArgs),
    /// Carry one network's checkpoints to another's ledger
    Relay(PartArgs),
    /// Keys, credentials and disclosures of one person
    Wallet(WalletArgs),
    /// Resolve a DID and check the proof here
    Resolve(ResolveArgs),
    /// Get what a DID URL names: a key, a service, or an address behind one
    Dereference(ResolveArgs),
    /// Check a badge that shows a name in public, with all proofs checked here
    VerifyDisplay(VerifyDisplayArgs),
    /// Check the receipt of a know-your-customer login, without any network
    VerifyReceipt(VerifyReceiptArgs),
    /// Make, sign and look at decisions of a network's governance
    #[command(subcommand)]
    Governance(GovernanceCommand),
    /// Who orders blocks: look at it, decide it, and bring a validator its share
    #[command(subcommand)]
    Committee(CommitteeCommand),
    /// Which other networks are recognised: decide it, or look at it
    #[command(subcommand)]
    Network(NetworkCommand),
    /// Measure this build; prints one JSON object for each bench
    Bench(BenchArgs),
}

/// A ledger, and what is trusted of it.
#[derive(Debug, Clone, Args)]
pub struct LedgerArgs {
    #[command(flatten)]
    pub nation: NationDir,
    /// A node to ask [default: the nation's own]
    #[arg(long, value_name = "URL", env = "REALDID_NODE")]
    pub node: Option<String>,
    /// The digest of the network's genesis, in hex; without it the nation's own genesis is
    /// trusted, or the first one met
    #[arg(long, value_name = "DIGEST", env = "REALDID_TRUST")]
    pub trust: Option<String>,
}

/// How governance decides.
#[derive(Debug, Args)]
pub struct GovernArgs {
    #[command(flatten)]
    pub ledger: LedgerArgs,
    /// Why: a code of spec/state.md, such as scheduled, legal-order or key-compromise
    #[arg(long, value_name = "CODE")]
    pub reason: String,
    /// The file of a governance key; may be given several times [default: the nation's own]
    #[arg(long = "governance-key", value_name = "FILE")]
    pub governance_keys: Vec<PathBuf>,
    /// Do not hand it in: write it to FILE with the signatures so far, for others to sign
    #[arg(long, value_name = "FILE")]
    pub draft: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum GovernanceCommand {
    /// Make a decision that another command has printed
    Decide(DecideArgs),
    /// Sign a draft, and hand it in once it has as many signatures as it needs
    Sign(SignArgs),
    /// Say what a draft would decide and how many have signed it
    Show(DraftArgs),
}

#[derive(Debug, Args)]
pub struct DecideArgs {
    /// The decision, in hex
    pub decision: String,
    #[command(flatten)]
    pub govern: GovernArgs,
}

#[derive(Debug, Args)]
pub struct SignArgs {
    /// The draft, which is written again
    pub draft: PathBuf,
    #[command(flatten)]
    pub ledger: LedgerArgs,
    /// The file of a governance key; may be given several times [default: the nation's own]
    #[arg(long = "governance-key", value_name = "FILE")]
    pub governance_keys: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub struct DraftArgs {
    /// The draft
    pub draft: PathBuf,
    #[command(flatten)]
    pub ledger: LedgerArgs,
}

#[derive(Debug, Subcommand)]
pub enum CommitteeCommand {
    /// The committee that orders blocks and the one that follows, with the proof checked here
    Show(LedgerArgs),
    /// Begin a round by which the committee that follows gets its key, and print its digest
    Plan(MakingPlanArgs),
    /// Deal: one share to each who will vote, sealed
    Deal(MakingDealArgs),
    /// Acknowledge the dealings, or name whoever dealt badly
    Answer(MakingArgs),
    /// Publish what came of one's own dealing
    Close(MakingCloseArgs),
    /// Write the polynomial and this operator's share
    Finish(MakingFinishArgs),
    /// Decide the committee that follows the running one
    Propose(ProposeArgs),
    /// Put a validator's share of the term that is decided where its node looks for it
    Import(ImportArgs),
}

#[derive(Debug, Args)]
pub struct MakingPlanArgs {
    #[command(flatten)]
    pub at: RoundDir,
    /// Hand the running key on: committee.bin of the round that made it [default: make a fresh key]
    #[arg(long, value_name = "FILE")]
    pub previous: Option<PathBuf>,
    /// Who will vote, by the name on a card; may be given several times [default: all cards]
    #[arg(long = "player", value_name = "NAME")]
    pub players: Vec<String>,
    /// Who deals; may be given several times [default: whoever holds the key, or the players of a
    /// fresh one]
    #[arg(long = "dealer", value_name = "NAME")]
    pub dealers: Vec<String>,
    /// The round's number: higher than any before, failed ones too [default: the next term's]
    #[arg(long, value_name = "N")]
    pub number: Option<u64>,
    #[command(flatten)]
    pub ledger: LedgerArgs,
}

/// The folder of a round.
#[derive(Debug, Clone, Args)]
pub struct RoundDir {
    /// The round's folder, whose files all operators have
    #[arg(long, value_name = "DIR")]
    pub round_dir: PathBuf,
}

/// What each step of an operator takes.
#[derive(Debug, Args)]
pub struct MakingArgs {
    #[command(flatten)]
    pub at: RoundDir,
    #[command(flatten)]
    pub operator: OperatorDir,
    /// The round's digest as operators compared it: signs the round off, once
    #[arg(long, value_name = "DIGEST")]
    pub round: Option<String>,
}

#[derive(Debug, Args)]
pub struct MakingDealArgs {
    #[command(flatten)]
    pub making: MakingArgs,
    /// The validator's folder, with its share of a key that is handed on
    #[arg(long, value_name = "DIR")]
    pub node_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct MakingCloseArgs {
    #[command(flatten)]
    pub deal: MakingDealArgs,
    /// Give up an operator who does not answer: its share of this dealing becomes public; may be
    /// given several times
    #[arg(long, value_name = "NAME")]
    pub without: Vec<String>,
}

#[derive(Debug, Args)]
pub struct MakingFinishArgs {
    #[command(flatten)]
    pub making: MakingArgs,
    /// Go on without the log of an operator, as all operators agreed; may be given several times
    #[arg(long, value_name = "NAME")]
    pub without: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ProposeArgs {
    /// The public polynomial that the ceremony made, in hex
    #[arg(long, value_name = "FILE")]
    pub polynomial: PathBuf,
    /// The public key of a validator of the term, in hex; once for each
    #[arg(long = "validator", value_name = "KEY", required = true)]
    pub validators: Vec<PeerKey>,
    /// The term begins so many blocks after the newest that is proved
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub in_blocks: u64,
    #[command(flatten)]
    pub govern: GovernArgs,
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The validator's folder
    #[arg(long, value_name = "DIR")]
    pub node_dir: PathBuf,
    /// The public polynomial that the ceremony made, in hex
    #[arg(long, value_name = "FILE")]
    pub polynomial: PathBuf,
    /// The validator's share, in hex
    #[arg(long, value_name = "FILE")]
    pub share: PathBuf,
    #[command(flatten)]
    pub ledger: LedgerArgs,
}

#[derive(Debug, Subcommand)]
pub enum NetworkCommand {
    /// Recognise another network, or change what of it is accepted
    Recognise(RecogniseArgs),
    /// Accept nothing of another network until it is restored
    Suspend(RecognitionArgs),
    /// Accept again what was accepted of a suspended network
    Restore(RecognitionArgs),
    /// The recognised networks, with the proof checked here
    Show(RecognitionsArgs),
}

#[derive(Debug, Args)]
pub struct RecogniseArgs {
    /// The other network's genesis file
    #[arg(long, value_name = "FILE")]
    pub genesis: PathBuf,
    /// The digest of that genesis, from a source at the other network that you trust
    #[arg(long, value_name = "DIGEST")]
    pub digest: String,
    /// A kind of credential that is accepted, with the least assurance: pid, real-pass or
    /// registration, then a colon and low, substantial (the default) or high; may be given several
    /// times
    #[arg(long = "accepts", value_name = "KIND", required = true, value_parser = accepted)]
    pub accepts: Vec<Accepted>,
    /// Follows the other network from a term on that is not the genesis': number, first height and
    /// network key, from a source there that you trust [default: as before, or the genesis' own]
    #[arg(long, value_name = "NUMBER:HEIGHT:KEY", value_parser = from_term)]
    pub from_term: Option<(FirstTerm, NetworkKey)>,
    #[command(flatten)]
    pub govern: GovernArgs,
}

#[derive(Debug, Args)]
pub struct RecognitionArgs {
    /// The other network's name
    pub network: String,
    #[command(flatten)]
    pub govern: GovernArgs,
}

#[derive(Debug, Args)]
pub struct RecognitionsArgs {
    /// One network's name [default: all]
    pub network: Option<String>,
    #[command(flatten)]
    pub ledger: LedgerArgs,
}

/// The folder of a small nation.
#[derive(Debug, Clone, Args)]
pub struct NationDir {
    /// The nation's folder, as given to `realdid up`
    #[arg(long, env = "REALDID_DIR", default_value = ".realdid")]
    pub dir: PathBuf,
}

#[derive(Debug, Args)]
pub struct UpArgs {
    #[command(flatten)]
    pub nation: NationDir,
    /// The first port; a nation uses the 50 from there
    #[arg(long, value_name = "N", default_value_t = 20400, value_parser = clap::value_parser!(u16).range(1024..29950))]
    pub port_base: u16,
    /// The network's name, as it stands in its DIDs
    #[arg(long, value_name = "NAME", default_value = "dev")]
    pub network: String,
    /// Start several networks that recognise each other, each in a folder of its own; ports follow each
    /// other by 100. After a colon whose algorithms, as for --suite: those of cn are sm's unless it says
    /// otherwise, those of others intl's
    #[arg(long, value_name = "NAMES", value_delimiter = ',', conflicts_with_all = ["network", "suite"], value_parser = named_suite)]
    pub networks: Vec<(String, Suites)>,
    /// Whose algorithms: all of them, those of the international standards (intl), or SM2 with SM3 alone (sm)
    #[arg(long, value_name = "WHOSE", default_value = "all")]
    pub suite: Suites,
    /// How many validators; a committee of one runs the same engine
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=10))]
    pub validators: u8,
    /// How long an epoch lasts, in seconds: a minute for development, an hour to seven days where
    /// people live
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(60..=MAX_EPOCH_S))]
    pub epoch_s: u64,
    /// By what the demo services know people again: person (RealPass) or did (copies of the PID)
    #[arg(long, value_name = "KIND", default_value = "person", value_parser = accounts)]
    pub accounts: Accounts,
    /// Write the addresses as JSON to FILE once everything answers
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum GenesisCommand {
    /// Make an operator's secret, and the card that others put into their plan
    Key(KeyArgs),
    /// Put the cards and what the network is to be into a plan, and print its digest
    Plan(PlanArgs),
    /// Deal: one share to each operator, sealed
    Deal(StepArgs),
    /// Acknowledge the dealings, or name whoever dealt badly
    Answer(StepArgs),
    /// Publish what came of one's own dealing
    Close(CloseArgs),
    /// Write the genesis and what this operator's validator starts from
    Finish(FinishArgs),
    /// Compute the outcome from public files alone
    Verify(CeremonyDir),
    /// Print a genesis' digest and how its key was made
    Show(ShowArgs),
    /// Write what a network left that lost its quorum for good: its last certified state
    Export(ExportArgs),
    /// Consent, by a governance key of such a network, to the plan by which another goes on from it
    Approve(ApproveArgs),
}

/// The folder that operators share, by any means.
#[derive(Debug, Clone, Args)]
pub struct CeremonyDir {
    /// The ceremony's folder: nothing in it is secret
    #[arg(long, value_name = "DIR", default_value = "ceremony")]
    pub dir: PathBuf,
}

/// The folder that an operator shares with nobody.
#[derive(Debug, Clone, Args)]
pub struct OperatorDir {
    /// The operator's own folder, with its secret
    #[arg(
        long,
        value_name = "DIR",
        env = "REALDID_OPERATOR",
        default_value = "operator"
    )]
    pub operator: PathBuf,
}

#[derive(Debug, Args)]
pub struct KeyArgs {
    #[command(flatten)]
    pub ceremony: CeremonyDir,
    #[command(flatten)]
    pub operator: OperatorDir,
    /// The network's name, as it will stand in its DIDs
    #[arg(long, value_name = "NAME")]
    pub network: String,
    /// By what the network hashes: sha-256 or sm3
    #[arg(long, value_name = "FUNCTION", default_value = "sha-256")]
    pub hash: String,
    /// What the others call this operator: a-z, 0-9 and hyphens
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// Where the validator will listen for other validators
    #[arg(long, value_name = "ADDRESS")]
    pub p2p: SocketAddr,
}

#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    pub ceremony: CeremonyDir,
    /// A TOML file that says what the network is to be [default: print the plan that is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Go on from the network that predecessor.cbor and state.cbor in the folder are of
    #[arg(long, conflicts_with = "config")]
    pub succeed: bool,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    #[command(flatten)]
    pub ceremony: CeremonyDir,
    /// The TOML file of a validator of that network, which is stopped
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

#[derive(Debug, Args)]
pub struct ApproveArgs {
    #[command(flatten)]
    pub ceremony: CeremonyDir,
    /// The file of a governance key
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// The plan's digest as operators and governance compared it
    #[arg(long, value_name = "DIGEST")]
    pub plan: String,
}

/// What each step of an operator takes.
#[derive(Debug, Args)]
pub struct StepArgs {
    #[command(flatten)]
    pub ceremony: CeremonyDir,
    #[command(flatten)]
    pub operator: OperatorDir,
    /// The plan's digest as operators compared it: signs the plan off, once
    #[arg(long, value_name = "DIGEST")]
    pub plan: Option<String>,
}

#[derive(Debug, Args)]
pub struct CloseArgs {
    #[command(flatten)]
    pub step: StepArgs,
    /// Give up an operator who does not answer: its share of this dealing becomes public; may be
    /// given several times
    #[arg(long, value_name = "NAME")]
    pub without: Vec<String>,
}

#[derive(Debug, Args)]
pub struct FinishArgs {
    #[command(flatten)]
    pub step: StepArgs,
    /// Go on without the log of an operator, as all operators agreed; may be given several times
    #[arg(long, value_name = "NAME")]
    pub without: Vec<String>,
    /// The folder from which the validator will start
    #[arg(long, value_name = "DIR", default_value = "node")]
    pub node: PathBuf,
    /// Where the validator will answer over HTTP
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:20400")]
    pub listen: SocketAddr,
    /// The validators share a private network
    #[arg(long)]
    pub private_network: bool,
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The genesis file
    #[arg(long, value_name = "FILE")]
    pub genesis: PathBuf,
}

#[derive(Debug, Args)]
pub struct PartArgs {
    /// The part's TOML file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    #[command(flatten)]
    pub at: Listen,
}

/// Where a part listens, over what its file says.
#[derive(Debug, Clone, Args)]
pub struct Listen {
    /// Where to listen, such as 127.0.0.1:20400
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// How others reach this part
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// A certificate chain in PEM: HTTPS without a proxy in front
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct AuthorityArgs {
    #[command(flatten)]
    pub part: OptionalPartArgs,
    #[command(subcommand)]
    pub command: Option<AuthorityCommand>,
}

/// As [`PartArgs`], for parts that have commands of their own too.
#[derive(Debug, Args)]
pub struct OptionalPartArgs {
    /// The part's TOML file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub at: Listen,
}

#[derive(Debug, Args)]
pub struct RegistrarArgs {
    #[command(flatten)]
    pub part: OptionalPartArgs,
    #[command(subcommand)]
    pub command: Option<RegistrarCommand>,
}

#[derive(Debug, Subcommand)]
pub enum RegistrarCommand {
    /// Make the keys where they are missing, and write the record that a genesis or governance admits
    Record(RecordArgs),
}

/// An issuer before any network knows it.
#[derive(Debug, Args)]
pub struct RecordArgs {
    /// The part's folder; keys that are in it stay
    #[arg(long, value_name = "DIR")]
    pub keys_dir: PathBuf,
    /// Its public URL, without a trailing slash: its name on the ledger, which cannot change
    #[arg(long, value_name = "URL")]
    pub url: String,
    /// Where to write the record, canonical CBOR
    #[arg(long, value_name = "FILE")]
    pub record: PathBuf,
    /// Whose algorithms the network will admit: all, intl or sm
    #[arg(long, value_name = "WHOSE", default_value = "all")]
    pub suite: Suites,
}

#[derive(Debug, Args)]
pub struct AuthorityRecordArgs {
    #[command(flatten)]
    pub record: RecordArgs,
    /// The country that its certificates name, two capital letters (ISO 3166-1 alpha-2): that of its configuration
    #[arg(long, value_name = "CODE", default_value = realdid_authority::DEFAULT_COUNTRY)]
    pub country: String,
}

#[derive(Debug, Subcommand)]
pub enum AuthorityCommand {
    /// Make the keys where they are missing, and write the record that a genesis or governance admits
    Record(AuthorityRecordArgs),
    /// List the synthetic residents and write their evidence files
    Residents {
        #[command(flatten)]
        dir: NationDir,
    },
    /// List invented foreigners and their passports' evidence files
    Foreigners {
        #[command(flatten)]
        dir: NationDir,
    },
    /// List invented organisations with who may act for each, and write their extracts of the register
    Organisations {
        #[command(flatten)]
        dir: NationDir,
    },
    /// Suspend a person: no refresh, and gates refuse within an epoch and the refresh lead
    Suspend(StandingArgs),
    /// Restore a suspended person
    Restore(StandingArgs),
    /// End a person's enrolment for good, as when they have died
    End(StandingArgs),
    /// Change a synthetic resident's entry in the embedded register, as a state does
    Amend(AmendArgs),
    /// Revoke a person's credentials that live long, for good
    Revoke(PersonArgs),
    /// Announce that somebody who lost device and words gets new pseudonym secrets, after a delay
    Reset(PersonArgs),
    /// Take a reset back whose delay is not over, because its person objected
    CancelReset(PersonArgs),
    /// Make a RealPass key for later epochs, and the decision that puts it on the ledger
    PassKey {
        #[command(flatten)]
        nation: NationDir,
        /// The first epoch that it signs: later than the next one
        #[arg(long, value_name = "N")]
        from_epoch: u64,
    },
    /// Print the decision by which the key that signs PIDs is found in other hands
    KeyCompromised {
        #[command(flatten)]
        nation: NationDir,
        /// Since which height: what stands in an issuance batch of before goes on to stand
        #[arg(long, value_name = "N")]
        since_height: u64,
    },
    /// Make the certificate of the key that signs PIDs, where it is missing or is to be renewed
    Certificate {
        #[command(flatten)]
        nation: NationDir,
        /// In the place of the one that there is
        #[arg(long)]
        renew: bool,
    },
}

#[derive(Debug, Args)]
pub struct PersonArgs {
    #[command(flatten)]
    pub nation: NationDir,
    /// The authority's reference of the person, as `residents` lists it
    #[arg(long, value_name = "REF")]
    pub person: String,
}

#[derive(Args)]
pub struct AmendArgs {
    #[command(flatten)]
    pub of: PersonArgs,
    /// Another given name
    #[arg(long, value_name = "TEXT")]
    pub given_name: Option<String>,
    /// Another family name
    #[arg(long, value_name = "TEXT")]
    pub family_name: Option<String>,
    /// A corrected birth date, YYYY-MM-DD
    #[arg(long, value_name = "DATE")]
    pub birthdate: Option<String>,
    /// Another region of residence
    #[arg(long, value_name = "TEXT")]
    pub region: Option<String>,
    /// A corrected resident number, synthetic and valid
    #[arg(long, value_name = "NUMBER")]
    pub resident_number: Option<String>,
    /// The resident has died
    #[arg(long)]
    pub died: bool,
}

/// What changes is personal data, if an invented person's.
impl std::fmt::Debug for AmendArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AmendArgs(…)")
    }
}

#[derive(Debug, Args)]
pub struct StandingArgs {
    #[command(flatten)]
    pub nation: NationDir,
    /// The authority's reference of the person, as `residents` lists it
    #[arg(long, value_name = "REF")]
    pub person: String,
    /// Why: lost-device, evidence-wrong, legal-order, deceased, holder-request, key-compromise,
    /// terms-broken, cleared, scheduled or fork
    #[arg(long, value_name = "CODE")]
    pub reason: String,
}

#[derive(Debug, Args)]
pub struct GateArgs {
    #[command(flatten)]
    pub part: OptionalPartArgs,
    #[command(subcommand)]
    pub command: Option<GateCommand>,
}

#[derive(Debug, Subcommand)]
pub enum GateCommand {
    /// Make a sandbox registration and the gate's folder and configuration, in one step
    Register(RegisterArgs),
    /// Print the gate's decisions about displays of names, once its chain of hashes holds
    Decisions {
        /// The gate's configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Sign ID tokens with a new key from the next start on, and keep the old one published
    RotateKeys {
        /// The gate's configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct RegisterArgs {
    #[command(flatten)]
    pub nation: NationDir,
    /// A host, with its port where there is one, at which the gate or the service answers; may be
    /// given several times, the gate's own first
    #[arg(long = "domain", value_name = "D", required = true)]
    pub domains: Vec<String>,
    /// Why people are asked: login, age, real-name, kyc or delivery; may be given several times
    #[arg(long = "purpose", value_name = "CODE", required = true)]
    pub purposes: Vec<String>,
    /// A claim that the service may ask for, such as realpass.adult or age_equal_or_over.18; may be
    /// given several times
    #[arg(long = "claim", value_name = "PATH")]
    pub claims: Vec<String>,
    /// By what the website knows people again: person, one account each by RealPass; did, for
    /// wallets that know no RealPass; or none, for claims of the PID alone
    #[arg(long, value_name = "KIND", default_value = "person", value_parser = any_accounts)]
    pub accounts: Accounts,
    /// The organisation's name as people see it
    #[arg(long, default_value = "Sandbox service")]
    pub name: String,
    /// The registrar [default: the nation's own]
    #[arg(long, value_name = "URL", env = "REALDID_REGISTRAR")]
    pub registrar: Option<String>,
    /// Where the website receives its users back; may be given several times
    /// [default: /callback on the last domain]
    #[arg(long = "redirect-uri", value_name = "URL")]
    pub redirect_uris: Vec<String>,
    /// The gate's new folder [default: gates/<service> in the nation's folder]
    #[arg(long, value_name = "DIR")]
    pub gate_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ResolveArgs {
    /// The DID, with versionId or versionTime behind a question mark for an earlier version; or the DID URL
    #[arg(value_name = "DID")]
    pub did: String,
    #[command(flatten)]
    pub nation: NationDir,
    /// A node to ask [default: the nation's own]
    #[arg(long, value_name = "URL", env = "REALDID_NODE")]
    pub node: Option<String>,
    /// The inception of a DID that was never anchored (canonical CBOR)
    #[arg(long, value_name = "FILE")]
    pub inception: Option<PathBuf>,
    /// The digest of the network's genesis, in hex; without it the nation's own genesis is
    /// trusted, or the first one met
    #[arg(long, value_name = "DIGEST", env = "REALDID_TRUST")]
    pub trust: Option<String>,
    /// The oldest checkpoint that is accepted, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub max_age: u64,
}

#[derive(Debug, Args)]
pub struct VerifyDisplayArgs {
    /// The badge: a file, or the address of the page that shows it
    pub badge: String,
    #[command(flatten)]
    pub nation: NationDir,
    /// The handle that the badge is seen at [default: the one in the address]
    #[arg(long, value_name = "HANDLE")]
    pub handle: Option<String>,
    /// An address of the platform that the badge is seen at [default: the badge's own address]
    #[arg(long, value_name = "URL")]
    pub platform: Option<String>,
    /// A node to ask [default: the nation's own]
    #[arg(long, value_name = "URL", env = "REALDID_NODE")]
    pub node: Option<String>,
    /// The digest of the network's genesis, in hex; without it the nation's own genesis is
    /// trusted, or the first one met
    #[arg(long, value_name = "DIGEST", env = "REALDID_TRUST")]
    pub trust: Option<String>,
    /// The oldest checkpoint that is accepted, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub max_age: u64,
}

#[derive(Debug, Args)]
pub struct VerifyReceiptArgs {
    /// The receipt: a file, or - for standard input
    #[arg(value_name = "FILE")]
    pub receipt: String,
    #[command(flatten)]
    pub nation: NationDir,
    /// The genesis of the service's network: its digest in hex, or its file [default: the nation's own]
    #[arg(long, value_name = "DIGEST", env = "REALDID_TRUST")]
    pub trust: Option<String>,
    /// The same of the person's network, where it is to be another one [default: the one that the
    /// service's network recognised]
    #[arg(long, value_name = "DIGEST")]
    pub trust_abroad: Option<String>,
    /// The id of the service whose receipt it should be
    #[arg(long, value_name = "ID")]
    pub service: Option<String>,
    /// How far a checkpoint may lie before the login, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub max_age: u64,
}

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// apply, order_ed25519, order_p256, order_sm2, dead_validator, display_verify, finality,
    /// finality_p99, resolve_http, login_http, login_http_p99, login_bare, pass_login_http,
    /// pass_refresh_http, cross_login_http, recognise_latency
    /// [default: all of them]
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
}

/// `person` or `did`: what a demo service has.
fn accounts(word: &str) -> Result<Accounts, String> {
    let known = any_accounts(word).ok();
    known
        .filter(|accounts| *accounts != Accounts::None)
        .ok_or_else(|| "person or did".to_owned())
}

/// `person`, `did` or `none`.
fn any_accounts(word: &str) -> Result<Accounts, String> {
    Accounts::ALL
        .into_iter()
        .find(|accounts| accounts.name() == word)
        .ok_or_else(|| "person, did or none".to_owned())
}
