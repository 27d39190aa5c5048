//! `cargo xtask bench`: ours and its peer, one after the other on the same machine, as a table and
//! as one file each.
//!
//! Ours come from `realdid bench --json ID`, which prints one object
//! `{"id","workload","unit","ours","limit","limit_value","goal"}`, of the one profile that there is:
//! what is measured is what the tests run. A peer is a script in
//! `bench/peers` that prints `{"id","peer","peer_value","unit"}` in the same unit. A goal reads
//! `ratio >= 2`, on `ratio` (ours to the peer), `limit_ratio` (ours to the limit) or `ours`; of a time,
//! `ours <= 60`. ` and ` joins two.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::demo::target_dir;
use crate::needs;
use crate::page;
use crate::shell::{self, Failure, command};

/// Who measures a bench.
#[derive(Clone, Copy)]
enum By {
    /// `realdid bench`, and the script of the peer where it has one.
    Realdid(Option<&'static str>),
    /// An example `measure-…`, of a crate: ours, the limit, and mostly the peer too, in turns in one
    /// process; or beside the script of the peer.
    Example(&'static str, Option<&'static str>),
    /// The example `chromium` of the crate `pass-wasm`: a page in a browser.
    Page,
}

impl By {
    fn script(self) -> Option<&'static str> {
        match self {
            Self::Realdid(script) | Self::Example(_, script) => script,
            Self::Page => None,
        }
    }
}

const PASS: By = By::Example("measure-pass", None);
const SD_JWT: By = By::Example("measure-credential", Some("sd-jwt-vc.mjs"));
const STATUS: By = By::Example("measure-credential", None);

/// Each bench, in the order of the table.
const BENCHES: [(&str, By); 26] = [
    ("apply", By::Realdid(None)),
    ("order_ed25519", By::Realdid(None)),
    ("order_p256", By::Realdid(None)),
    ("order_sm2", By::Realdid(None)),
    ("dead_validator", By::Realdid(None)),
    ("display_verify", By::Realdid(None)),
    ("finality", By::Realdid(None)),
    ("finality_p99", By::Realdid(None)),
    ("resolve_http", By::Realdid(None)),
    ("sdjwt_issue", SD_JWT),
    ("sdjwt_verify", SD_JWT),
    ("status_list", STATUS),
    ("status_list_lookup", STATUS),
    ("status_list_delta", STATUS),
    ("login_http", By::Realdid(Some("oidc-provider.mjs"))),
    ("login_http_p99", By::Realdid(None)),
    ("login_bare", By::Realdid(None)),
    ("pass_login_http", By::Realdid(None)),
    ("pass_verify", PASS),
    ("pass_verify_batch", PASS),
    ("pass_prove", PASS),
    ("pass_prove_wasm", By::Page),
    ("pass_issue", PASS),
    ("pass_refresh_http", By::Realdid(None)),
    ("cross_login_http", By::Realdid(None)),
    ("recognise_latency", By::Realdid(None)),
];

/// The program as the tests start it. Beside an example cargo gives it the features that it has in
/// tests, so that what it depends on is not built twice.
const BUILD: [&str; 6] = [
    "build",
    "--workspace",
    "--bin",
    "realdid",
    "--example",
    "measure-credential",
];
const PEERS: &str = "bench/peers";
const RESULTS: &str = "bench/results";
/// Presentations that the page makes and that count.
const PAGE_PROOFS: usize = 200;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ours {
    id: String,
    workload: String,
    unit: String,
    ours: f64,
    limit: Option<String>,
    limit_value: Option<f64>,
    goal: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Peer {
    id: String,
    peer: String,
    peer_value: f64,
    unit: String,
}

/// One file of bench/results; the keys are a contract with its readers. Ratios are better when
/// higher, and null stands where there is nothing to compare with.
#[derive(Debug, Serialize, PartialEq)]
struct Row {
    id: String,
    workload: String,
    unit: String,
    ours: f64,
    peer: Option<String>,
    peer_value: Option<f64>,
    ratio: Option<f64>,
    limit: Option<String>,
    limit_value: Option<f64>,
    limit_ratio: Option<f64>,
    goal: Option<String>,
    met: Option<bool>,
    machine: String,
    commit: String,
    date: String,
}

/// What is the same for all rows of one run.
struct Circumstances {
    machine: String,
    commit: String,
    date: String,
}

enum Wanted<'a> {
    All,
    Only(&'a str),
    Peers,
}

pub fn run(root: &Path, args: &[String]) -> Result<(), Failure> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let wanted = match args.as_slice() {
        [] => Wanted::All,
        ["--peers"] => Wanted::Peers,
        ["--only", id] => Wanted::Only(id),
        [only] if only.starts_with("--only=") => Wanted::Only(&only["--only=".len()..]),
        _ => {
            return Err(unreadable("arguments", "bench takes --only ID or --peers"));
        }
    };
    let benches: Vec<_> = BENCHES
        .into_iter()
        .filter(|(id, by)| match wanted {
            Wanted::All => true,
            Wanted::Only(only) => *id == only,
            Wanted::Peers => by.script().is_some(),
        })
        .collect();
    if benches.is_empty() {
        let ids: Vec<&str> = BENCHES.iter().map(|(id, _)| *id).collect();
        let why = format!("there is no such bench; there are {}", ids.join(", "));
        return Err(unreadable("--only", &why));
    }
    if benches.iter().any(|(_, by)| by.script().is_some()) {
        needs::npm_packages(root, PEERS)?;
    }
    if matches!(wanted, Wanted::Peers) {
        for (id, by) in benches {
            if let Some(script) = by.script() {
                let peer = run_peer(root, script, id)?;
                println!("{id}: {} {} ({})", peer.peer_value, peer.unit, peer.peer);
            }
        }
        return Ok(());
    }
    if benches.iter().any(|(_, by)| matches!(by, By::Realdid(_))) {
        shell::run(command(root, &shell::cargo(), &BUILD))?;
    }
    if benches.iter().any(|(id, _)| *id == "pass_refresh_http") {
        needs::postgresql(root)?;
    }
    let circumstances = Circumstances {
        machine: machine(),
        commit: commit(root),
        date: date_of(seconds_now()),
    };
    let mut rows = Vec::new();
    for (id, by) in benches {
        println!("measuring {id}");
        let (ours, own_peer) = match by {
            By::Realdid(_) => (run_ours(root, id)?, None),
            By::Example(example, _) => run_example(root, example, id)?,
            By::Page => {
                needs::browser(root)?;
                let text = page::run(root, PAGE_PROOFS)?;
                let ours: Ours = last_object("the example chromium", &text)?;
                same_id(id, &ours.id)?;
                (ours, None)
            }
        };
        let script = by.script().map(|script| run_peer(root, script, id));
        let peer = script.transpose()?.or(own_peer);
        let row = merge(ours, peer, &circumstances)?;
        write(root, &row)?;
        rows.push(row);
    }
    print!("{}", table(&rows));
    Ok(())
}

fn run_ours(root: &Path, id: &str) -> Result<Ours, Failure> {
    let program = target_dir(root).join("debug").join("realdid");
    let text = shell::output(command(
        root,
        &program.to_string_lossy(),
        &["bench", "--json", id],
    ))?;
    let ours: Ours = last_object("realdid bench", &text)?;
    same_id(id, &ours.id)?;
    Ok(ours)
}

fn run_example(root: &Path, example: &str, id: &str) -> Result<(Ours, Option<Peer>), Failure> {
    let text = shell::output(command(
        root,
        &shell::cargo(),
        &["run", "--quiet", "--example", example, "--", id],
    ))?;
    let ours: Ours = last_object(example, &text)?;
    same_id(id, &ours.id)?;
    // The peer's line stands before ours.
    let peer = text.lines().find(|line| line.contains("\"peer\""));
    let peer = peer.map(|line| last_object(example, line));
    Ok((ours, peer.transpose()?))
}

fn run_peer(root: &Path, script: &str, id: &str) -> Result<Peer, Failure> {
    let mut node = command(&root.join(PEERS), "node", &["--no-warnings", script, id]);
    // The peer's own hints for its operators are no part of the table.
    node.env("NODE_ENV", "production");
    let peer: Peer = last_object(script, &shell::output(node)?)?;
    same_id(id, &peer.id)?;
    Ok(peer)
}

fn last_object<'a, T: Deserialize<'a>>(what: &str, text: &'a str) -> Result<T, Failure> {
    let line = text.lines().rfind(|line| line.starts_with('{'));
    serde_json::from_str(line.unwrap_or_default())
        .map_err(|error| unreadable(what, &error.to_string()))
}

fn same_id(asked: &str, answered: &str) -> Result<(), Failure> {
    if asked == answered {
        return Ok(());
    }
    Err(unreadable(
        asked,
        &format!("the answer is for `{answered}`"),
    ))
}

fn unreadable(what: &str, why: &str) -> Failure {
    Failure::Unreadable {
        what: what.to_owned(),
        why: why.to_owned(),
    }
}

fn merge(ours: Ours, peer: Option<Peer>, around: &Circumstances) -> Result<Row, Failure> {
    if let Some(peer) = peer.as_ref().filter(|peer| peer.unit != ours.unit) {
        let why = format!("ours is in {}, the peer in {}", ours.unit, peer.unit);
        return Err(unreadable(&ours.id, &why));
    }
    let (peer, peer_value) = match peer {
        Some(peer) => (Some(peer.peer), Some(peer.peer_value)),
        None => (None, None),
    };
    // Of a time, less is better: a ratio says how many times as good ours is.
    let is_time = ours.unit == "ms";
    let to = |other: Option<f64>| {
        let other = other.filter(|other| *other > 0.0 && ours.ours > 0.0)?;
        let ratio = ours.ours / other;
        Some(rounded(if is_time { 1.0 / ratio } else { ratio }))
    };
    let (ratio, limit_ratio) = (to(peer_value), to(ours.limit_value));
    let met = match &ours.goal {
        Some(goal) => Some(is_met(goal, ours.ours, ratio, limit_ratio).ok_or_else(|| {
            unreadable(
                goal,
                "a goal reads `ratio >= 2`, `limit_ratio >= 0.5`, `ours >= 1000` or `ours <= 60`",
            )
        })?),
        None => None,
    };
    Ok(Row {
        id: ours.id,
        workload: ours.workload,
        unit: ours.unit,
        ours: rounded(ours.ours),
        peer,
        peer_value: peer_value.map(rounded),
        ratio,
        limit: ours.limit,
        limit_value: ours.limit_value.map(rounded),
        limit_ratio,
        goal: ours.goal,
        met,
        machine: around.machine.clone(),
        commit: around.commit.clone(),
        date: around.date.clone(),
    })
}

/// `None`: the goal, or one of two joined by ` and `, cannot be read, or speaks of a ratio that this row lacks.
fn is_met(goal: &str, ours: f64, ratio: Option<f64>, limit_ratio: Option<f64>) -> Option<bool> {
    if let Some((one, other)) = goal.split_once(" and ") {
        let met = |goal| is_met(goal, ours, ratio, limit_ratio);
        return Some(met(one)? && met(other)?);
    }
    if let Some((what, most)) = goal.split_once("<=") {
        let most: f64 = most.trim().parse().ok()?;
        return (what.trim() == "ours").then_some(ours <= most);
    }
    let (what, least) = goal.split_once(">=")?;
    let least: f64 = least.trim().parse().ok()?;
    let value = match what.trim() {
        "ours" => ours,
        "ratio" => ratio?,
        "limit_ratio" => limit_ratio?,
        _ => return None,
    };
    Some(value >= least)
}

/// Four significant digits: more would pretend.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let digits = 3 - value.abs().log10().floor() as i32;
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

fn write(root: &Path, row: &Row) -> Result<(), Failure> {
    let path = root.join(RESULTS).join(format!("{}.json", row.id));
    let failed =
        |error: std::io::Error| unreadable(&path.display().to_string(), &error.to_string());
    let mut text = serde_json::to_string_pretty(row)
        .map_err(|error| unreadable(&row.id, &error.to_string()))?;
    text.push('\n');
    fs::create_dir_all(root.join(RESULTS)).map_err(failed)?;
    fs::write(&path, text).map_err(failed)
}

fn table(rows: &[Row]) -> String {
    let cell = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |v| v.to_string());
    let mut table = format!(
        "\n{:<20}{:>12}{:>12}{:>8}{:>12}{:>8}  {:<20}{}\n",
        "id", "ours", "peer", "ratio", "limit", "ratio", "unit", "goal"
    );
    for row in rows {
        let goal = match (&row.goal, row.met) {
            (Some(goal), Some(true)) => format!("{goal}: met"),
            (Some(goal), _) => format!("{goal}: not met"),
            (None, _) => String::new(),
        };
        table.push_str(&format!(
            "{:<20}{:>12}{:>12}{:>8}{:>12}{:>8}  {:<20}{goal}\n",
            row.id,
            row.ours,
            cell(row.peer_value),
            cell(row.ratio),
            cell(row.limit_value),
            cell(row.limit_ratio),
            row.unit,
        ));
    }
    for row in rows {
        let against = |what: &str, name: &Option<String>| {
            let name = name.as_deref();
            name.map_or_else(String::new, |name| format!("; {what}: {name}"))
        };
        let (peer, limit) = (against("peer", &row.peer), against("limit", &row.limit));
        table.push_str(&format!("{}: {}{peer}{limit}\n", row.id, row.workload));
    }
    if let Some(row) = rows.first() {
        table.push_str(&format!(
            "{}, commit {}, {}\n",
            row.machine, row.commit, row.date
        ));
    }
    table
}

/// CPU model, cores and memory.
fn machine() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    describe_machine(&read("/proc/cpuinfo"), cores, &read("/proc/meminfo"))
}

fn describe_machine(cpuinfo: &str, cores: usize, meminfo: &str) -> String {
    let field = |text: &str, name: &str| -> Option<String> {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let model = field(cpuinfo, "model name").unwrap_or_else(|| "unknown CPU".to_owned());
    let memory_kb = field(meminfo, "MemTotal")
        .and_then(|text| text.split(' ').next()?.parse::<u64>().ok())
        .unwrap_or(0);
    format!("{model}, {cores} cores, {} GiB", memory_kb >> 20)
}

/// The commit, with `+` when the tree holds more than it.
fn commit(root: &Path) -> String {
    let git = |args: &[&str]| shell::output(command(root, "git", args));
    let Ok(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return "unknown".to_owned();
    };
    // Results of this very run do not make the code another one.
    let changes = git(&[
        "status",
        "--porcelain",
        "--",
        ".",
        ":(exclude)bench/results",
    ]);
    let mark = match changes {
        Ok(changes) if changes.trim().is_empty() => "",
        _ => "+",
    };
    format!("{}{mark}", commit.trim())
}

fn seconds_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}

/// The day in UTC as `YYYY-MM-DD`, from seconds since 1970 (days-to-civil of the proleptic Gregorian
/// calendar, counted from 0000-03-01 so that the leap day ends the year).
fn date_of(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(goal: Option<&str>) -> Ours {
        Ours {
            id: "sdjwt_verify".to_owned(),
            workload: "w".to_owned(),
            unit: "presentations/cpu-s".to_owned(),
            ours: 5_000.04,
            limit: Some("two P-256 verifies".to_owned()),
            limit_value: Some(7_600.0),
            goal: goal.map(str::to_owned),
        }
    }

    fn peer(unit: &str) -> Peer {
        Peer {
            id: "sdjwt_verify".to_owned(),
            peer: "@sd-jwt/sd-jwt-vc 0.10.0".to_owned(),
            peer_value: 1_000.0,
            unit: unit.to_owned(),
        }
    }

    fn around() -> Circumstances {
        Circumstances {
            machine: "m".to_owned(),
            commit: "c".to_owned(),
            date: "d".to_owned(),
        }
    }

    #[test]
    fn a_result_has_exactly_the_keys_of_its_contract() {
        let row = merge(ours(None), None, &around()).unwrap();
        let value = serde_json::to_value(&row).unwrap();
        let keys: Vec<_> = value.as_object().unwrap().keys().collect();
        assert_eq!(
            keys,
            [
                "id",
                "workload",
                "unit",
                "ours",
                "peer",
                "peer_value",
                "ratio",
                "limit",
                "limit_value",
                "limit_ratio",
                "goal",
                "met",
                "machine",
                "commit",
                "date"
            ]
        );
        assert!(value["ratio"].is_null() && value["met"].is_null());
    }

    #[test]
    fn ratios_and_goals_are_judged() {
        let peer = || Some(peer("presentations/cpu-s"));
        let row = merge(ours(Some("ratio >= 2")), peer(), &around()).unwrap();
        assert_eq!((row.ratio, row.met), (Some(5.0), Some(true)));
        assert_eq!(row.limit_ratio, Some(0.6579));
        let row = merge(ours(Some("limit_ratio >= 0.7")), peer(), &around()).unwrap();
        assert_eq!(row.met, Some(false));
        let both = merge(
            ours(Some("limit_ratio >= 0.6 and ratio >= 5")),
            peer(),
            &around(),
        );
        assert_eq!(both.unwrap().met, Some(true));
        let both = merge(
            ours(Some("ratio >= 5 and limit_ratio >= 0.7")),
            peer(),
            &around(),
        );
        assert_eq!(both.unwrap().met, Some(false));
        let row = merge(ours(Some("ours <= 5000")), peer(), &around()).unwrap();
        assert_eq!(row.met, Some(false));
        let row = merge(ours(Some("ours <= 5001")), peer(), &around()).unwrap();
        assert_eq!(row.met, Some(true));
        assert!(merge(ours(Some("faster")), peer(), &around()).is_err());
        assert!(merge(ours(Some("ours < 5001")), peer(), &around()).is_err());
        assert!(merge(ours(Some("ratio >= 2")), None, &around()).is_err());
    }

    #[test]
    fn different_units_are_not_compared() {
        assert!(merge(ours(None), Some(peer("presentations/s")), &around()).is_err());
    }

    #[test]
    fn dates_are_civil() {
        assert_eq!(date_of(0), "1970-01-01");
        assert_eq!(date_of(951_782_400), "2000-02-29");
        assert_eq!(date_of(1_795_305_600), "2026-11-22");
    }

    #[test]
    fn a_machine_is_its_cpu_cores_and_memory() {
        let text = describe_machine("model name\t: Fast CPU\n", 2, "MemTotal:  24576000 kB\n");
        assert_eq!(text, "Fast CPU, 2 cores, 23 GiB");
    }

    #[test]
    fn of_a_time_less_is_better() {
        let mut time = ours(Some("ours <= 60"));
        (time.unit, time.ours, time.limit_value) = ("ms".to_owned(), 50.0, Some(2.0));
        let row = merge(time, None, &around()).unwrap();
        assert_eq!((row.met, row.limit_ratio), (Some(true), Some(0.04)));
        assert_eq!(is_met("ours <= 60", 60.1, None, None), Some(false));
        assert_eq!(is_met("ratio <= 2", 1.0, Some(1.0), None), None);
    }

    #[test]
    fn four_digits_are_kept() {
        assert_eq!(rounded(123_456.0), 123_500.0);
        assert_eq!(rounded(0.123_456), 0.1235);
        assert_eq!(rounded(0.0), 0.0);
    }
}
