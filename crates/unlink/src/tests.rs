use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;

/// Bytes that nothing else has (SplitMix64, from a seed that went through it too).
fn bytes<const N: usize>(seed: u64) -> [u8; N] {
    let mut state = mixed(seed);
    let mut out = [0; N];
    for chunk in out.chunks_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        chunk.copy_from_slice(&mixed(state).to_be_bytes()[..chunk.len()]);
    }
    out
}

fn mixed(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const ISSUER: u64 = 1;
const PEOPLE: u64 = 6;

/// A login as a gate sees it, with something that everybody shares in each form.
fn login(service: u64, person: u64, extra: Value) -> Value {
    let own = |what: u64| bytes::<32>(1000 * service + 10 * person + what);
    let issuer = bytes::<32>(ISSUER);
    let header =
        URL_SAFE_NO_PAD.encode(json!({"alg": "EdDSA", "kid": hex::encode(issuer)}).to_string());
    json!({
        "time_ms": 1_764_000_000_000_u64 + service * 1_234_567 + person * 987_654,
        "subject": URL_SAFE_NO_PAD.encode(own(0)),
        "received": {
            "pass": format!("{}.{}", hex::encode(issuer), URL_SAFE_NO_PAD.encode(bytes::<400>(50 * service + person))),
            "did": format!("did:rdid:dev:z{}", bs58::encode([&[0x12, 0x20][..], &own(1)].concat()).into_string()),
            "proof": format!("{header}.{}", URL_SAFE_NO_PAD.encode(own(2))),
            "facts": {"region": "south-central", "assurance": "substantial", "adult": "yes"},
            "extra": extra,
        },
    })
}

fn transcript(service: u64, extra: impl Fn(u64) -> Value) -> Transcript {
    let lines = (0..PEOPLE).map(|person| login(service, person, extra(person)).to_string() + "\n");
    let name = ["the first service", "the second service"][service as usize - 10];
    Transcript::parse(name, lines.collect::<String>().as_bytes()).unwrap()
}

fn clean() -> [Transcript; 2] {
    [
        transcript(10, |_| Value::Null),
        transcript(11, |_| Value::Null),
    ]
}

/// What an authority or a node may have stored: everything that everybody has, and other values.
fn innocent_store() -> Vec<u8> {
    let mut store = b"SQLite format 3\0".to_vec();
    store.extend(bytes::<4000>(77));
    store.extend(bytes::<32>(ISSUER));
    store.extend(hex::encode(bytes::<32>(ISSUER)).as_bytes());
    store.extend(br#"{"assurance":"substantial","region":"south-central","alg":"EdDSA"}"#);
    store.extend([0; 4096]);
    store
}

/// Each form in which a value may stand, within something else.
fn forms(value: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let json = json!({"a": [{"b": hex::encode(value)}]}).to_string();
    let mut cbor = Vec::new();
    let mut encoder = minicbor::Encoder::new(&mut cbor);
    encoder.map(1).unwrap().u8(7).unwrap().bytes(value).unwrap();
    let payload = json!({"sub": STANDARD.encode(value)}).to_string();
    let jwt = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(&payload));
    let percent: String = STANDARD
        .encode(value)
        .bytes()
        .map(|byte| match byte {
            b'+' | b'/' | b'=' => format!("%{byte:02X}"),
            byte => char::from(byte).to_string(),
        })
        .collect();
    let in_column = |text: String| [b"column".as_slice(), text.as_bytes(), b"other"].concat();
    vec![
        ("raw", value.to_vec()),
        ("hex", hex::encode(value).into_bytes()),
        ("hex in capitals", hex::encode_upper(value).into_bytes()),
        ("base64", STANDARD.encode(value).into_bytes()),
        ("base64url", URL_SAFE_NO_PAD.encode(value).into_bytes()),
        ("base64url, padded", URL_SAFE.encode(value).into_bytes()),
        (
            "base58",
            format!("did:rdid:dev:z{}#0", bs58::encode(value).into_string()).into_bytes(),
        ),
        ("JSON", json.clone().into_bytes()),
        (
            "JSON within JSON",
            json!({"text": json}).to_string().into_bytes(),
        ),
        ("JSON in base64", URL_SAFE_NO_PAD.encode(&json).into_bytes()),
        ("CBOR", cbor.clone()),
        ("CBOR in base64", STANDARD.encode(&cbor).into_bytes()),
        ("JWT", jwt.clone().into_bytes()),
        (
            "JWT in a form",
            format!("state=x&vp_token={jwt}&y=z").into_bytes(),
        ),
        (
            "percent-encoded form",
            format!("a=b&c={percent}").into_bytes(),
        ),
        ("hex between columns", in_column(hex::encode(value))),
        (
            "base64url between columns",
            in_column(URL_SAFE_NO_PAD.encode(value)),
        ),
    ]
}

fn check(transcripts: &[Transcript; 2], authority: &[u8], node: &[u8]) -> Report {
    let mut check = Check::new(&transcripts[0], &transcripts[1]);
    check.store("the authority", "authority.db", authority);
    check.store("the node", "blocks", node);
    check.report()
}

#[test]
fn p4_what_everybody_shares_joins_nobody() {
    let report = check(&clean(), &innocent_store(), &innocent_store());
    assert_eq!(report.values, []);
    assert_eq!(report.times, []);
    assert!(!report.joined);
    assert_eq!(report.people, [PEOPLE as usize; 2]);
}

/// Every form in one source against every form in the other, between each service and each store by
/// turns, and every form at both services.
#[test]
fn p4_a_planted_value_is_found_in_every_form_between_every_two_sources() {
    let value = bytes::<20>(4242);
    let mut tried = BTreeSet::new();
    for (at, (form, here)) in forms(&value).into_iter().enumerate() {
        // A gate hears text: bytes reach it in base64 at least.
        let heard =
            String::from_utf8(here).unwrap_or_else(|raw| URL_SAFE_NO_PAD.encode(raw.as_bytes()));
        let planted = |service: u64| {
            let heard = heard.clone();
            transcript(service, move |person| {
                if person == 2 {
                    json!(heard)
                } else {
                    Value::Null
                }
            })
        };
        for (other, (other_form, there)) in forms(&value).into_iter().enumerate() {
            let stored = [innocent_store(), there, innocent_store()].concat();
            let turn = at + other;
            let [first, second] = clean();
            let (name, transcripts) = if turn % 2 == 0 {
                ("the first service", [planted(10), second])
            } else {
                ("the second service", [first, planted(11)])
            };
            let (source, authority, node) = if turn % 4 < 2 {
                ("the authority", stored, innocent_store())
            } else {
                ("the node", innocent_store(), stored)
            };
            let report = check(&transcripts, &authority, &node);
            assert!(report.joined);
            let between: BTreeSet<_> = report.values.iter().map(|j| j.between.clone()).collect();
            let expected = [name.to_owned(), source.to_owned()];
            assert_eq!(
                between,
                BTreeSet::from([expected.clone()]),
                "{form} against {other_form}"
            );
            tried.insert(expected);
        }
        let report = check(
            &[planted(10), planted(11)],
            &innocent_store(),
            &innocent_store(),
        );
        let most = report.values.iter().map(|join| join.bytes).max();
        assert!(most >= Some(value.len()), "{form}: {:?}", report.values);
    }
    assert_eq!(tried.len(), 4, "each service with each store");
}

#[test]
fn p4_eight_bytes_are_a_value_and_seven_are_none() {
    let value = bytes::<8>(99);
    for (length, joined) in [(8, true), (7, false)] {
        let plant = |service: u64| {
            // Between bytes that differ at the two services.
            let around = [
                &bytes::<9>(service)[..],
                &value[..length],
                &bytes::<9>(service + 5),
            ]
            .concat();
            transcript(service, move |person| {
                if person == 0 {
                    json!(hex::encode(&around))
                } else {
                    Value::Null
                }
            })
        };
        let report = check(&[plant(10), plant(11)], &[], &[]);
        assert_eq!(report.joined, joined, "{length} bytes: {:?}", report.values);
    }
}

#[test]
fn p4_a_value_of_a_few_joins_and_one_of_most_does_not() {
    for (people, joined) in [(1, true), (3, true), (4, false), (6, false)] {
        let plant = |service: u64| {
            transcript(service, move |person| {
                if person < people {
                    json!("the-same-word-for-some")
                } else {
                    Value::Null
                }
            })
        };
        let report = check(&[plant(10), plant(11)], &[], &[]);
        assert_eq!(report.joined, joined, "{people} of {PEOPLE}");
    }
}

/// A table's leaf page of rows with a text and a time, as SQLite writes it.
fn database(times_s: &[u64]) -> Vec<u8> {
    let mut file = vec![0; 4096];
    file[..16].copy_from_slice(b"SQLite format 3\0");
    file[16..18].copy_from_slice(&4096u16.to_be_bytes());
    for page_of in times_s.chunks(50) {
        let mut page = vec![0; 4096];
        page[0] = 0x0d;
        page[3..5].copy_from_slice(&(page_of.len() as u16).to_be_bytes());
        let mut end = 4096;
        for (index, time) in page_of.iter().enumerate() {
            // Payload length, row id, header of 3 (text of 4 characters, integer of 4 bytes).
            let mut cell = vec![11, index as u8, 3, 13 + 2 * 4, 4];
            cell.extend(b"name");
            cell.extend((*time as u32).to_be_bytes());
            end -= cell.len();
            page[end..end + cell.len()].copy_from_slice(&cell);
            page[8 + 2 * index..10 + 2 * index].copy_from_slice(&(end as u16).to_be_bytes());
        }
        file.extend(page);
    }
    file
}

/// Rows as PostgreSQL lays them out in its pages: a name, and a time in a column of eight bytes.
fn postgres(times: impl Iterator<Item = u64>) -> Vec<u8> {
    let mut file = vec![0; 24];
    for time in times {
        file.extend(b"a name  ");
        file.extend(time.to_le_bytes());
    }
    file
}

/// Times that follow no pattern, spread over `span_s`.
fn spread(seed: u64, count: u64, span_s: u64) -> Vec<u64> {
    let draw = |index| u64::from_be_bytes(bytes::<8>(seed + index)) % span_s;
    (0..count)
        .map(draw)
        .map(|offset| 1_764_000_000 + offset)
        .collect()
}

fn at_times(service: u64, times_s: &[u64]) -> Transcript {
    let lines = times_s
        .iter()
        .zip((0..PEOPLE).cycle())
        .map(|(time, person)| {
            let mut login = login(service, person, Value::Null);
            login["time_ms"] = json!(time * 1000 + 500);
            login.to_string() + "\n"
        });
    Transcript::parse(
        &format!("service {service}"),
        lines.collect::<String>().as_bytes(),
    )
    .unwrap()
}

#[test]
fn p4_logins_that_follow_what_the_authority_stored_are_seen() {
    const DAY: u64 = 86_400;
    let refreshes = spread(1, 200, DAY);
    let logins = spread(5000, 100, DAY);
    let elsewhere = at_times(11, &spread(9000, 100, DAY));
    let report = check(
        &[at_times(10, &logins), elsewhere.clone()],
        &database(&refreshes),
        &[],
    );
    assert_eq!(report.times, [], "independent times are no join");
    // A quarter of the logins a few seconds after a refresh.
    let on_demand: Vec<u64> = refreshes
        .iter()
        .take(25)
        .map(|time| time + 3)
        .chain(logins)
        .collect();
    const YEAR_2000_S: u64 = 946_684_800;
    let forms = [
        database(&refreshes),
        postgres(refreshes.iter().copied()),
        postgres(refreshes.iter().map(|time| time * 1000 + 7)),
        // Microseconds since 2000, as commits stand in its log, at no column's place.
        postgres(
            refreshes
                .iter()
                .map(|time| (time - YEAR_2000_S) * 1_000_000),
        )[3..]
            .to_vec(),
    ];
    for stored in forms {
        let report = check(&[at_times(10, &on_demand), elsewhere.clone()], &stored, &[]);
        let between: Vec<_> = report
            .times
            .iter()
            .map(|join| join.between.join(" and "))
            .collect();
        assert_eq!(between, ["service 10 and the authority"]);
        assert!(report.joined && report.times[0].close >= 25);
    }
    // Two services visited one after the other.
    let visits: Vec<u64> = spread(9000, 100, DAY).iter().map(|time| time + 4).collect();
    let report = check(&[at_times(10, &visits), elsewhere], &[], &[]);
    assert_eq!(
        report.times[0].between.join(" and "),
        "service 10 and service 11"
    );
}

#[test]
fn a_transcript_is_read_whole_or_refused() {
    let refused = |text: &str| Transcript::parse("t", text.as_bytes()).err();
    let line = |person| login(10, person, Value::Null).to_string();
    assert_eq!(
        refused(&[line(0), line(1)].join("\n")),
        Some(TranscriptError::People)
    );
    assert_eq!(refused(""), Some(TranscriptError::People));
    assert_eq!(
        refused(&[line(0), "{}".into(), line(1)].join("\n")),
        Some(TranscriptError::Line(2))
    );
    let mut more = login(10, 0, Value::Null);
    more["note"] = json!("x");
    assert_eq!(refused(&more.to_string()), Some(TranscriptError::Line(1)));
    assert_eq!(
        refused(&[line(0), String::new(), line(1), line(2)].join("\n")),
        None
    );
}

#[test]
fn hostile_files_are_looked_at_without_harm() {
    let mut check = Check::new(&clean()[0], &clean()[1]);
    let mut cut = database(&spread(1, 60, 1000));
    for length in [0, 1, 15, 16, 17, 100, 4096, 4100, 5000] {
        check.store("s", "f", &cut[..length]);
    }
    for index in (0..cut.len()).step_by(3) {
        cut[index] ^= 0xff;
    }
    check.store("s", "f", &cut);
    check.store("s", "f", &[b'%'; 100]);
    check.store("s", "f", b"\\u\\u00\\\"\\");
    assert!(!check.report().joined);
}

#[test]
fn a_staple_is_everybodys_and_what_stands_beside_it_in_a_proof_is_not() {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let proof = |service: u64, person: u64, beside: &str| {
        // Two of the people came in one slot, and so with one checkpoint.
        let staple = URL_SAFE_NO_PAD.encode(bytes::<300>(7_000 + person / 2));
        let payload = json!({ "did": "did", "staple": staple, "beside": beside });
        format!(
            "{}.{}.{}",
            part(&json!({"typ": "t"})),
            part(&payload),
            hex::encode(bytes::<8>(100 * service + person))
        )
    };
    let own =
        |service: u64, person: u64| hex::encode(bytes::<16>(90_000 + 1_000 * service + person));
    let clean = [10, 11].map(|service| {
        transcript(service, move |person| {
            proof(service, person, &own(service, person)).into()
        })
    });
    let shared = [10, 11].map(|service| {
        transcript(service, move |person| {
            // The same signature would be a join too: another one at each service.
            proof(service, person, &own(0, person)).into()
        })
    });
    assert!(!check(&clean, b"", b"").joined);
    assert!(check(&shared, b"", b"").joined);
    assert_eq!(transcript::without_staple("a.b.c"), None);
}
