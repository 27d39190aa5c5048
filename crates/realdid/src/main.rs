//! `realdid`: every part of a network in one program. No rules live here, only words of the
//! command line and the wiring between the parts.
//!
//! Exit code 0 means done and verified, 3 that `wallet unlink-check` joined something. Anything else
//! comes with one line on standard error: the rule that failed, whose fault it is, what to do. Names and JSON keys are a contract, kept in
//! `docs/cli.md` and by a test.
//!
//! - [`govern`]: decisions of governance, signed here
//! - [`committee`]: who orders blocks, who will, and what a validator votes by
//! - [`input`]: files that a command names
//! - [`network`]: which other networks are recognised
//! - [`nation`]: the folder of a small nation: its parts, ports, keys and genesis
//! - [`up`]: starts a nation's parts as processes and watches them
//! - [`genesis`]: the ceremony that makes a network's key
//! - [`part`]: each part alone
//! - [`register`]: a sandbox registration for a gate, in one step
//! - [`round`]: a round of a key ceremony in a folder, and one operator's place in it
//! - [`resolve`]: a DID, with the proof checked here
//! - [`verify_display`]: a name shown in public, with the proofs checked here
//! - [`verify_receipt`]: what a know-your-customer login showed, checked here from its receipt
//! - [`bench`]: what `cargo xtask bench` measures of ours

mod bench;
mod cli;
mod committee;
mod fail;
mod genesis;
mod govern;
mod input;
mod nation;
mod network;
mod part;
mod register;
mod resolve;
mod round;
mod up;
mod verify_display;
mod verify_receipt;

use clap::Parser as _;
use cli::{
    AuthorityCommand, Cli, Command, CommitteeCommand, GateCommand, GovernanceCommand,
    NetworkCommand, RegistrarCommand,
};
use committee::making;
use fail::Fail;
use mimalloc::MiMalloc;
use serde_json::Value;
use std::process::ExitCode;

/// The exit code of `wallet unlink-check` when something was joined.
const JOINED: u8 = 3;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.json;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(run(cli)),
        Err(_) => Err(Fail::machine(
            "process.threads",
            "the machine can start threads",
            "raise the limit of processes",
        )),
    };
    match outcome {
        Ok(Some(value)) => {
            print(&value, json);
            if realdid_wallet::cli::is_joined(&value) {
                ExitCode::from(JOINED)
            } else {
                ExitCode::SUCCESS
            }
        }
        Ok(None) => ExitCode::SUCCESS,
        Err(fail) => {
            eprintln!("{}", fail.line());
            ExitCode::FAILURE
        }
    }
}

/// One object as JSON, or the same for people. A reader that has gone away is no error.
fn print(value: &Value, json: bool) {
    use std::io::Write as _;
    let text = if json {
        format!("{value}\n")
    } else {
        realdid_wallet::cli::render(value)
    };
    let _reader_gone = std::io::stdout().write_all(text.as_bytes());
}

async fn run(cli: Cli) -> Result<Option<Value>, Fail> {
    match cli.command {
        Command::Up(args) => up::run(args).await.map(|()| None),
        Command::Genesis(command) => genesis::run(command).map(Some),
        Command::Node(args) => part::node(args).await.map(|()| None),
        Command::Authority(args) => match args.command {
            None => part::authority(args.part).await.map(|()| None),
            Some(AuthorityCommand::Record(args)) => part::authority_record(&args).map(Some),
            Some(AuthorityCommand::Residents { dir }) => part::residents(&dir).map(Some),
            Some(AuthorityCommand::Foreigners { dir }) => part::foreigners(&dir).map(Some),
            Some(AuthorityCommand::Organisations { dir }) => part::organisations(&dir).map(Some),
            Some(AuthorityCommand::Suspend(change)) => part::suspend(change).await.map(Some),
            Some(AuthorityCommand::Restore(change)) => part::restore(change).await.map(Some),
            Some(AuthorityCommand::End(change)) => part::end(change).await.map(Some),
            Some(AuthorityCommand::Amend(change)) => part::amend(change).await.map(Some),
            Some(AuthorityCommand::Revoke(person)) => part::revoke(person).await.map(Some),
            Some(AuthorityCommand::Reset(person)) => part::reset(person).await.map(Some),
            Some(AuthorityCommand::CancelReset(person)) => {
                part::cancel_reset(person).await.map(Some)
            }
            Some(AuthorityCommand::PassKey { nation, from_epoch }) => {
                part::pass_key(&nation, from_epoch).map(Some)
            }
            Some(AuthorityCommand::KeyCompromised {
                nation,
                since_height,
            }) => part::key_compromised(&nation, since_height).map(Some),
            Some(AuthorityCommand::Certificate { nation, renew }) => {
                part::certificate(&nation, renew).map(Some)
            }
        },
        Command::Registrar(args) => match args.command {
            None => part::registrar(args.part).await.map(|()| None),
            Some(RegistrarCommand::Record(args)) => part::registrar_record(&args).map(Some),
        },
        Command::Gate(args) => match args.command {
            None => part::gate(args.part).await.map(|()| None),
            Some(GateCommand::Register(args)) => register::run(args).await.map(Some),
            Some(GateCommand::Decisions { config }) => part::decisions(&config).map(Some),
            Some(GateCommand::RotateKeys { config }) => part::rotate_keys(&config).map(Some),
        },
        Command::Demo(args) => part::demo(args).await.map(|()| None),
        Command::Relay(args) => part::relay(args).await.map(|()| None),
        Command::Wallet(args) => Ok(Some(realdid_wallet::cli::run(args).await?)),
        Command::Resolve(args) => resolve::run(args).await.map(Some),
        Command::Dereference(args) => resolve::dereference(args).await.map(Some),
        Command::VerifyDisplay(args) => verify_display::run(args).await.map(Some),
        Command::VerifyReceipt(args) => verify_receipt::run(&args).map(Some),
        Command::Governance(command) => match command {
            GovernanceCommand::Decide(args) => govern::decide(args).await,
            GovernanceCommand::Sign(args) => govern::sign(args).await,
            GovernanceCommand::Show(args) => govern::show(args).await,
        }
        .map(Some),
        Command::Committee(command) => match command {
            CommitteeCommand::Show(args) => committee::show(args).await,
            CommitteeCommand::Plan(args) => making::plan(args).await,
            CommitteeCommand::Deal(args) => making::deal(&args),
            CommitteeCommand::Answer(args) => making::answer(&args),
            CommitteeCommand::Close(args) => making::close(&args),
            CommitteeCommand::Finish(args) => making::finish(&args),
            CommitteeCommand::Propose(args) => committee::propose(args).await,
            CommitteeCommand::Import(args) => committee::import(args).await,
        }
        .map(Some),
        Command::Network(command) => match command {
            NetworkCommand::Recognise(args) => network::recognise(args).await,
            NetworkCommand::Suspend(args) => network::suspend(args).await,
            NetworkCommand::Restore(args) => network::restore(args).await,
            NetworkCommand::Show(args) => network::show(args).await,
        }
        .map(Some),
        Command::Bench(args) => bench::run(args).await,
    }
}
