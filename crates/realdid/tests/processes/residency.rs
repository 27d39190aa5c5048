//! Two networks that recognise each other have nothing in common but what is said between them, and of their
//! residents nothing is said: a day's journeys across the border, with every byte recorded on the way.

use crate::nation::{Answer, Nation, Neighbours, files_below, until};
use crate::privacy::{forms, personal};
use crate::wire::{Flow, Wire, mapped_files, open_files, other_ways, parts};
use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

/// Everything that one side asks the other: who of the one, what of the other, and for what.
/// docs/operators.md has the same as a table.
const ACROSS: [(&str, &str, &str); 13] = [
    ("gate", "node", "GET /v1/checkpoint"),
    ("gate", "node", "GET /v1/state/…"),
    ("relay", "node", "GET /v1/checkpoint"),
    ("resolve", "node", "GET /v1/checkpoint"),
    ("resolve", "node", "GET /v1/state/…"),
    ("wallet", "gate", "GET /authorize"),
    ("wallet", "gate", "GET /continue"),
    ("wallet", "gate", "POST /vp/response/…"),
    ("wallet", "node", "GET /v1/state/…"),
    ("wallet", "service", "GET /"),
    ("wallet", "service", "GET /callback"),
    ("wallet", "service", "GET /login"),
    ("wallet", "service", "GET /me"),
];

fn abroad(home: &Nation, wallet: &str, there: &Nation) -> Answer {
    let service = there.url("services/0");
    home.wallet(
        wallet,
        &["login", &service, "--allow", "realpass.assurance"],
    )
}

/// People of each network live a day: at home, and across the border both ways.
fn day(cn: &Nation, intl: &Nation) {
    for nation in [cn, intl] {
        for (wallet, (_, evidence)) in ["a", "b"].iter().zip(nation.residents()) {
            nation.enrol(wallet, &evidence).done();
        }
        nation.login("a", 0).done();
    }
    for (home, there) in [(cn, intl), (intl, cn)] {
        let unasked = home.wallet("a", &["login", &there.url("services/0")]);
        assert_eq!(unasked.refused(), "vp.declined");
        let first = abroad(home, "a", there).done();
        abroad(home, "a", there).done();
        abroad(home, "b", there).done();
        let market = there.url("services/1");
        let adult = ["login", &market, "--allow", "realpass.adult"];
        home.wallet(
            "a",
            &[&adult[..], &["--allow", "realpass.assurance"]].concat(),
        )
        .done();
        let did = first["did"].as_str().unwrap();
        home.wallet("a", &["did", "anchor", did]).done();
        let resolve = ["resolve", did, "--node", &there.url("node")];
        there.run(&resolve).done();
    }
    for (nation, other) in [(cn, "intl"), (intl, "cn")] {
        until("a relayed checkpoint", Duration::from_secs(60), || {
            let shown = nation.run(&["network", "show", other]).done();
            shown["recognised"][0]["latest"]["height"].as_u64()
        });
    }
    let suspend = ["network", "suspend", "cn", "--reason", "legal-order"];
    intl.run(&suspend).done();
    until("logins are refused", Duration::from_secs(60), || {
        let outcome = abroad(cn, "b", intl);
        (!outcome.ok).then(|| assert_eq!(outcome.refused(), "recognition.suspended"))
    });
    assert_eq!(abroad(intl, "b", cn).refused(), "recognition.suspended");
    for nation in [cn, intl] {
        nation.login("b", 0).done();
    }
    let restore = ["network", "restore", "cn", "--reason", "cleared"];
    intl.run(&restore).done();
    until("logins are taken again", Duration::from_secs(60), || {
        abroad(cn, "b", intl).ok.then_some(())
    });
}

/// A side, and which of its processes or addresses.
type End = (String, String);

/// Who is who among the processes and the ports.
struct Map {
    processes: BTreeMap<u32, End>,
    ports: BTreeMap<u16, End>,
}

impl Map {
    fn of(nations: [&Nation; 2]) -> Self {
        let (mut processes, mut ports) = (BTreeMap::new(), BTreeMap::new());
        for nation in nations {
            let side = side(nation);
            for (pid, name) in parts(&nation.dir) {
                let other = processes.insert(pid, (side.clone(), kind(&name).to_owned()));
                assert_eq!(other, None, "a process of two parts");
            }
            // As `realdid up` lays them out; what is not known is seen as such.
            for port in nation.port_base..nation.port_base + 50 {
                ports.insert(port, (side.clone(), "another port".to_owned()));
            }
            let parts = ["node", "authority", "registrar"].map(str::to_owned);
            let sites = (0..3).flat_map(|n| [format!("gates/{n}"), format!("services/{n}")]);
            for part in parts.into_iter().chain(sites) {
                let kind = part.split('/').next().unwrap_or_default();
                let kind = kind.trim_end_matches('s').to_owned();
                ports.insert(port_of(&nation.url(&part)), (side.clone(), kind));
            }
        }
        Self { processes, ports }
    }

    /// Whose connection it is: a part's, or that of a command under a nation's folder.
    fn from(&self, flow: &Flow, nations: [&Nation; 2]) -> Option<End> {
        let process = flow.from.as_ref()?;
        if let Some(part) = self.processes.get(&process.pid) {
            return Some(part.clone());
        }
        let mut words = process.words.iter().skip(1);
        let command = words.find(|word| *word != "--json")?.clone();
        let of = |nation: &&Nation| process.dir.as_deref() == Some(nation.dir.as_path());
        let side = nations.into_iter().find(of).map(side);
        match side {
            Some(side) => Some((side, command)),
            // The supervisor of both, for development: it looks whether the parts answer.
            None => (command == "up").then(|| ("neither".to_owned(), command)),
        }
    }
}

fn side(nation: &Nation) -> String {
    nation
        .dir
        .file_name()
        .unwrap()
        .to_string_lossy()
        .into_owned()
}

/// `gate` of `gate-harbour-forum`.
fn kind(name: &str) -> &str {
    name.split('-').next().unwrap_or(name)
}

fn port_of(url: &str) -> u16 {
    let digits = url.trim_start_matches("http://127.0.0.1:");
    let digits = digits.split(|c: char| !c.is_ascii_digit()).next();
    digits.unwrap_or_default().parse().unwrap()
}

/// A path as it is in the table: what names one thing among many is left out.
fn path_of(address: &str) -> String {
    let path = address.splitn(4, '/').nth(3).unwrap_or_default();
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let segment = |segment: &str| {
        let word = |c: char| c.is_ascii_lowercase() || c == '-' || c == '_' || c == '.';
        let kept = segment == "v1" || segment.len() <= 28 && segment.chars().all(word);
        if kept { segment } else { "…" }.to_owned()
    };
    format!(
        "/{}",
        path.split('/').map(segment).collect::<Vec<_>>().join("/")
    )
}

/// Looks for residents in bytes, and in what these bytes encode, to some depth.
struct Search {
    needles: AhoCorasick,
}

impl Search {
    fn new(texts: &[String]) -> Self {
        let mut needles = Vec::new();
        for text in texts {
            needles.extend(forms(text));
            let escaped = text.encode_utf16().map(|unit| format!("\\u{unit:04x}"));
            needles.push(escaped.collect::<String>().into_bytes());
        }
        // What is shorter stands in random bytes by chance. Inside base64 it is found by decoding.
        let digits = |form: &[u8]| form.iter().all(u8::is_ascii_graphic);
        needles.retain(|form| form.len() >= if digits(form) { 8 } else { 6 });
        let insensitive = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(&needles);
        Self {
            needles: insensitive.unwrap(),
        }
    }

    fn finds(&self, bytes: &[u8]) -> bool {
        self.within(bytes, 4)
    }

    fn within(&self, bytes: &[u8], depth: u8) -> bool {
        self.needles.is_match(bytes)
            || depth > 0
                && decoded(bytes)
                    .iter()
                    .any(|inner| self.within(inner, depth - 1))
    }
}

/// Whatever in the bytes may be encoded, without its encoding.
fn decoded(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    if bytes.contains(&b'%') {
        found.push(percent_decoded(bytes));
    }
    let hexadecimal = bytes.split(|byte| !byte.is_ascii_hexdigit());
    for run in hexadecimal.filter(|run| run.len() >= 12) {
        for start in 0..2 {
            let even = &run[start..start + (run.len() - start) / 2 * 2];
            found.extend(hex::decode(even).ok());
        }
    }
    let lenient = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent);
    for alphabet in [alphabet::STANDARD, alphabet::URL_SAFE] {
        let engine = GeneralPurpose::new(&alphabet, lenient);
        let within = |byte: &u8| alphabet.as_str().as_bytes().contains(byte);
        let runs = bytes.split(|byte| !within(byte));
        for run in runs.filter(|run| run.len() >= 8) {
            // Other signs may stand directly before it.
            for start in 0..4 {
                let rest = &run[start..];
                let whole = rest.len() - usize::from(rest.len() % 4 == 1);
                found.extend(engine.decode(&rest[..whole]).ok());
            }
        }
    }
    found
}

fn percent_decoded(bytes: &[u8]) -> Vec<u8> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let byte = digits.and_then(|digits| hex::decode(digits).ok());
        found.push(byte.as_ref().map_or(bytes[at], |byte| byte[0]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    found
}

#[test]
fn the_search_sees_through_encodings_within_encodings() {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    for text in ["98010119900307123X", "欧阳小明"] {
        let search = Search::new(&[text.to_owned()]);
        assert!(search.finds(format!(r#"{{"n":"{text}"}}"#).as_bytes()));
        let disclosure = URL_SAFE_NO_PAD.encode(format!(r#"["salt","name","{text}"]"#));
        let in_a_token = URL_SAFE_NO_PAD.encode(format!(r#"{{"vp":"e.{disclosure}~"}}"#));
        let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let escaped: String = text.encode_utf16().map(|u| format!("\\u{u:04X}")).collect();
        let percent: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        for hidden in [
            format!("a=b&vp_token={in_a_token}&c"),
            format!("x{}", hex::encode_upper(disclosure)),
            STANDARD.encode(utf16),
            escaped,
            URL_SAFE_NO_PAD.encode(&percent),
            percent,
        ] {
            assert!(search.finds(hidden.as_bytes()), "{hidden}");
        }
        assert!(!search.finds(b"98010119900307123Y xiaoming"));
    }
}

#[test]
fn nothing_of_a_resident_crosses_and_every_connection_between_two_networks_is_known() {
    let wire = Wire::start();
    let mut environment = wire.environment();
    // Each gate writes what it has read, since wallets encrypt it.
    environment.push(("REALDID_GATE_TRANSCRIPT", "transcript.json".to_owned()));
    let Neighbours { cn, intl } = Neighbours::start_with(&environment);
    let nations = [&cn, &intl];
    let residents: Vec<_> = nations.iter().flat_map(|n| n.residents()).collect();
    let search = Search::new(&personal(&residents));
    day(&cn, &intl);

    let map = Map::of(nations);
    let beside = wire.beside(&map.ports.keys().copied().collect());
    assert!(beside.is_empty(), "beside the recorder: {beside:?}");
    let mut across = BTreeMap::new();
    let (mut at_home, mut crossed) = (0, 0);
    for flow in wire.flows() {
        let requests = flow.requests();
        let from = map.from(&flow, nations);
        let from = from.unwrap_or_else(|| panic!("from nobody: {:?} {requests:?}", flow.from));
        let to = &map.ports[&flow.port];
        assert!(!requests.is_empty(), "no HTTP: {from:?} to {to:?}");
        let bytes = flow.bytes();
        for (_, address) in &requests {
            assert_eq!(port_of(address), flow.port, "one connection, one address");
        }
        let found = bytes.iter().any(|bytes| search.finds(bytes));
        if from.0 == to.0 {
            at_home += usize::from(found);
            continue;
        }
        assert!(
            !found,
            "a resident's data: {from:?} to {to:?}, {requests:?}"
        );
        for bytes in &bytes {
            crossed += bytes.len();
            let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
            for hides in ["content-encoding:", "transfer-encoding:"] {
                assert!(!text.contains(hides), "{hides} from {from:?} to {to:?}");
            }
        }
        if from.1 == "up" {
            continue;
        }
        for (method, address) in requests {
            let what = format!("{method} {}", path_of(&address));
            let sides = across.entry((from.1.clone(), to.1.clone(), what));
            let sides: &mut BTreeSet<String> = sides.or_default();
            sides.insert(from.0.clone());
        }
    }
    // The recorder and the search work: at home people show who they are, and that is seen.
    assert!(at_home >= 4, "{at_home} connections at home had evidence");
    assert!(crossed > 10_000, "{crossed} bytes crossed");
    // What was inside the encrypted answers, and all that a gate keeps.
    for nation in nations {
        let gates = files_below(&nation.dir.join("gates"));
        let transcripts = gates
            .iter()
            .filter(|path| path.ends_with("transcript.json"));
        assert!(transcripts.count() >= 2);
        for path in gates {
            let kept = std::fs::read(&path).unwrap_or_default();
            assert!(!search.finds(&kept), "{}", path.display());
        }
    }
    nothing_is_shared(nations, &map);

    let lines: Vec<_> = across.keys().cloned().collect();
    let expected: Vec<_> = ACROSS
        .iter()
        .map(|(from, to, what)| ((*from).to_owned(), (*to).to_owned(), (*what).to_owned()))
        .collect();
    assert_eq!(lines, expected, "{across:#?}");
    for (line, sides) in &across {
        assert_eq!(sides.len(), 2, "one way only: {line:?}");
    }
}

/// No process, file, key or database.
fn nothing_is_shared([cn, intl]: [&Nation; 2], map: &Map) {
    assert!(map.processes.len() >= 20, "{:?}", map.processes);
    for (one, other) in [(cn, intl), (intl, cn)] {
        for pid in parts(&one.dir).into_keys() {
            let files = open_files(pid).into_iter().chain(mapped_files(pid));
            for file in files {
                assert!(!file.starts_with(&other.dir), "{pid}: {}", file.display());
            }
            assert_eq!(other_ways(pid), Vec::<String>::new());
        }
        let own = |path: &Path| std::fs::metadata(path).map(|file| (file.dev(), file.ino()));
        let theirs: BTreeSet<_> = files_below(&other.dir)
            .iter()
            .filter_map(|path| own(path).ok())
            .collect();
        for path in files_below(&one.dir) {
            let shared = own(&path).is_ok_and(|file| theirs.contains(&file));
            assert!(!shared, "{} is one file with another", path.display());
        }
    }
    let (ours, theirs) = (secrets(&cn.dir), secrets(&intl.dir));
    assert!(ours.len() >= 10 && theirs.len() >= 10);
    for (secret, path) in &ours {
        let other = theirs.get(secret);
        assert_eq!(other, None, "a secret of {path} too");
    }
}

/// Whatever is as long as a secret in the files that hold secrets, with the file.
fn secrets(dir: &Path) -> BTreeMap<Vec<u8>, String> {
    let mut found = BTreeMap::new();
    for path in files_below(dir) {
        let name = path
            .strip_prefix(dir)
            .unwrap_or(&path)
            .display()
            .to_string();
        let secret = ["keys/", "shares/", "governance/", "validator.json"]
            .iter()
            .any(|part| name.contains(part));
        if !(secret || name.ends_with(".key")) {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        // Certificates of two authorities agree in whole lines, and are for everybody.
        let has = |text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
        if has(b"BEGIN CERTIFICATE") && !has(b"PRIVATE KEY") {
            continue;
        }
        let word = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/_-".contains(byte);
        for run in bytes.split(|byte| !word(byte)) {
            // Names of fields and of files are shorter.
            if run.len() >= 40 {
                found.insert(run.to_vec(), name.clone());
            }
        }
    }
    found
}
