//! What `/openapi.json` says is what a part does: its routes are those of the sources, each is there,
//! and schemathesis finds no answer that is not described.

use crate::nation::Nation;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The parts that people and programs call, and the folder of the crate that each is made of.
const PARTS: [(&str, &str); 4] = [
    ("node", "node"),
    ("authority", "authority"),
    ("registrar", "authority"),
    // the one with displays
    ("gates/2", "gate"),
];
/// Checks of schemathesis by which an answer that is not described fails.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_schema_conformance,response_headers_conformance,unsupported_method";
/// What of a resolver's answers the W3C gives a server's status: methods and features that are not
/// supported. Whatever else is one is a fault.
const CONFIG: &str = r#"
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "501", "503"]
"#;
/// Seconds for one part, at most.
const MOST_S: &str = "20";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The methods and paths of a router in the sources: what stands in `.route("…", get(…).post(…))`.
fn routes_in(source: &str, routes: &mut BTreeSet<String>) {
    for part in source.split(".route(").skip(1) {
        // A path that is put together stands in a constant of its own.
        let Some((path, rest)) = part
            .trim_start()
            .strip_prefix('"')
            .and_then(|p| p.split_once('"'))
        else {
            continue;
        };
        let mut depth = 1;
        let ends = |c: char| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth == 0
        };
        let handlers = &rest[..rest.find(ends).unwrap_or(rest.len())];
        for method in ["get", "post", "put", "delete", "patch"] {
            let call = format!("{method}(");
            let called = handlers.match_indices(&call);
            let alone =
                |at: usize| !handlers[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            if called.map(|(at, _)| at).any(alone) {
                routes.insert(format!("{method} {}", path.replace("{*", "{")));
            }
        }
    }
}

fn routes_of(folder: &Path, routes: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" && name != "sim" {
            routes_of(&path, routes);
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
            let source = std::fs::read_to_string(&path).unwrap();
            let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
            routes_in(source, routes);
        }
    }
}

fn described(api: &Value) -> BTreeSet<String> {
    let paths = api["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().keys();
        methods.map(move |method| format!("{method} {path}"))
    });
    operations.collect()
}

fn has_unique_ids(api: &Value) {
    let items = api["paths"].as_object().unwrap().values();
    let operations = items.flat_map(|item| item.as_object().unwrap().values());
    let ids = operations.map(|operation| operation["operationId"].as_str().unwrap());
    let ids: Vec<&str> = ids.collect();
    let unique: BTreeSet<&&str> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len(), "{ids:?}");
}

async fn json(client: &reqwest::Client, url: &str) -> Value {
    let answer = client.get(url).send().await.unwrap();
    answer.json().await.unwrap()
}

/// Each operation of a description is served, whatever else is wrong with a request of its.
async fn is_served(client: &reqwest::Client, base: &str, operation: &str) {
    let (method, path) = operation.split_once(' ').unwrap();
    let filled = path.split('/').map(|part| match part.starts_with('{') {
        true => "x",
        false => part,
    });
    let filled = filled.collect::<Vec<_>>().join("/");
    let method = method.to_uppercase().parse().unwrap();
    let request = client.request(method, format!("{base}{filled}"));
    let text = request.send().await.unwrap().text().await.unwrap();
    for unserved in ["request.not_found", "request.method"] {
        assert!(!text.contains(&format!("\"{unserved}\"")), "{operation}");
    }
}

#[test]
fn every_route_is_described_and_every_description_is_a_route() {
    let nation = Nation::start();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::builder();
        let client = client
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        for folder in ["node", "authority", "gate"] {
            let mut said = BTreeSet::new();
            for (part, _) in PARTS.iter().filter(|(_, of)| *of == folder) {
                let base = nation.url(part);
                let api = json(&client, &format!("{base}/openapi.json")).await;
                has_unique_ids(&api);
                let operations = described(&api);
                for operation in &operations {
                    is_served(&client, &base, operation).await;
                }
                said.extend(operations);
            }
            let mut routes = BTreeSet::from(["get /upstream/callback/{id}".to_owned()]);
            if folder != "authority" {
                routes.clear();
            }
            for of in [folder, "serve"] {
                routes_of(&root().join("crates").join(of).join("src"), &mut routes);
            }
            assert_eq!(said, routes, "{folder}: described, and in the sources");
        }
    });
}

#[test]
fn schemathesis_finds_no_answer_that_is_not_described() {
    let nation = Nation::start();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("schemathesis.toml");
    std::fs::write(&config, CONFIG).unwrap();
    let program = root().join("target/schemathesis/bin/st");
    let program = program
        .canonicalize()
        .expect("`cargo xtask test` installs schemathesis");
    let hooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemathesis_hooks.py");
    let mut failures = Vec::new();
    for (part, _) in PARTS {
        let output = Command::new(&program)
            .args(["--config-file", config.to_str().unwrap(), "run"])
            .arg(format!("{}/openapi.json", nation.url(part)))
            .args(["--checks", CHECKS, "--phases", "examples,coverage,fuzzing"])
            .args(["--max-examples", "15", "--seed", "1", "--max-time", MOST_S])
            .args([
                // Several threads meet a fault of Python 3.11 in its own parser.
                "--workers",
                "1",
                "--no-shrink",
                "--warnings",
                "off",
                "--continue-on-failure",
            ])
            .args(["--suppress-health-check", "all", "--request-timeout", "10"])
            // What it keeps stays here, and goes.
            .current_dir(folder.path())
            .env("NO_COLOR", "1")
            .env("SCHEMATHESIS_HOOKS", &hooks)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            let wrong = String::from_utf8_lossy(&output.stderr);
            failures.push(format!("{part}:\n{said}\n{wrong}"));
        }
        assert!(
            said.contains("Test Phases"),
            "{part} was not tested:\n{said}"
        );
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    for (part, _) in PARTS {
        let (status, body) = crate::nation::get(&format!("{}/readyz", nation.url(part)), &[]);
        assert_eq!(status, 200, "{part} after all that: {body}");
    }
}

#[test]
fn routes_are_found_in_sources() {
    let mut routes = BTreeSet::new();
    let source = r#"
        .route("/a", get(one).post(two))
        .route(
            "/b/{*rest}",
            post(budget(get_on)).layer(Limit::max(3)),
        )
        .route(&format!("{C}/x"), get(three))
    "#;
    routes_in(source, &mut routes);
    assert_eq!(
        Vec::from_iter(routes),
        ["get /a", "post /a", "post /b/{rest}"]
    );
}
