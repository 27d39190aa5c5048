use super::*;
use serde::Deserialize;
use std::net::SocketAddr;

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Gate {
    listen: SocketAddr,
    #[serde(default)]
    client_id: Option<String>,
    #[serde(default)]
    purposes: Vec<String>,
    #[serde(default)]
    mode: Mode,
    store: Store,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    Sandbox,
    Production,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Store {
    path: PathBuf,
    secret: String,
    #[serde(default)]
    max_open: u16,
    #[serde(default)]
    sync: bool,
}

const FILE: &str = r#"
listen = "127.0.0.1:18000"
purposes = ["login"]
[store]
path = "gate.db"
secret = "hunter2"
"#;

fn read(text: &str, environment: &[(&str, &str)]) -> Result<Gate, ConfigError> {
    let environment = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    parse(Path::new("gate.toml"), text, "REALDID_GATE", environment)
}

#[test]
fn a_file_alone_is_enough() {
    let gate = read(FILE, &[]).unwrap();
    assert_eq!(gate.listen.port(), 18000);
    assert_eq!(gate.purposes, ["login"]);
    assert_eq!(gate.mode, Mode::Sandbox);
}

#[test]
fn the_environment_overrides_in_the_type_of_the_field() {
    let gate = read(
        FILE,
        &[
            ("REALDID_GATE_LISTEN", "[::1]:1"),
            ("REALDID_GATE_CLIENT_ID", "12345"),
            ("REALDID_GATE_PURPOSES", "login, age"),
            ("REALDID_GATE_MODE", "production"),
            ("REALDID_GATE_STORE__MAX_OPEN", "7"),
            ("REALDID_GATE_STORE__SYNC", "true"),
            ("REALDID_NODE_LISTEN", "of another part"),
            ("REALDID_LOG", "of nobody"),
        ],
    )
    .unwrap();
    assert_eq!(gate.listen.port(), 1);
    assert_eq!(gate.client_id.as_deref(), Some("12345"));
    assert_eq!(gate.purposes, ["login", "age"]);
    assert_eq!(gate.mode, Mode::Production);
    assert_eq!(gate.store.max_open, 7);
    assert!(gate.store.sync);
    assert_eq!(gate.store.path, Path::new("gate.db"));
}

#[test]
fn a_list_may_also_be_written_as_toml() {
    let gate = read(FILE, &[("REALDID_GATE_PURPOSES", r#"["a,b", "c"]"#)]).unwrap();
    assert_eq!(gate.purposes, ["a,b", "c"]);
}

#[test]
fn an_unknown_key_is_refused_with_file_key_and_allowed_keys() {
    let error = read(&FILE.replace("path =", "paht ="), &[]).unwrap_err();
    assert_eq!(
        error,
        ConfigError::UnknownKey {
            place: Place::File("gate.toml".into()),
            key: "store.paht".to_owned(),
            allowed: vec!["path", "secret", "max_open", "sync"],
        }
    );
    let line = error.to_string();
    assert!(line.starts_with("config.unknown_key: gate.toml"), "{line}");
    assert!(line.ends_with("path, secret, max_open, sync"), "{line}");
}

#[test]
fn an_unknown_variable_is_refused_by_its_name() {
    for variable in ["REALDID_GATE_LISTNE", "REALDID_GATE_STORE__SECRETS"] {
        let error = read(FILE, &[(variable, "hunter3")]).unwrap_err();
        assert_eq!(error.code(), "config.unknown_key");
        assert!(error.to_string().contains(variable), "{error}");
        assert!(!error.to_string().contains("hunter3"), "{error}");
    }
}

#[test]
fn a_missing_key_names_both_ways_to_set_it() {
    let error = read(&FILE.replace("secret", "#"), &[]).unwrap_err();
    assert_eq!(
        error,
        ConfigError::MissingKey {
            path: "gate.toml".into(),
            key: "store.secret".to_owned(),
            variable: "REALDID_GATE_STORE__SECRET".to_owned(),
        }
    );
}

#[test]
fn no_error_quotes_a_value() {
    let wrong_type = read(&FILE.replace("\"gate.db\"", "7342"), &[]).unwrap_err();
    assert_eq!(wrong_type.code(), "config.wrong_value");
    assert!(!wrong_type.to_string().contains("7342"), "{wrong_type}");

    let wrong_text = read(FILE, &[("REALDID_GATE_STORE__MAX_OPEN", "hunter2")]).unwrap_err();
    assert!(wrong_text.to_string().contains("STORE__MAX_OPEN"));
    assert!(!wrong_text.to_string().contains("hunter2"), "{wrong_text}");

    let variant = read(FILE, &[("REALDID_GATE_MODE", "hunter2")]).unwrap_err();
    assert!(variant.to_string().contains("sandbox, production"));
    assert!(!variant.to_string().contains("hunter2"), "{variant}");

    let syntax = read("secret = hunter2\n", &[]).unwrap_err();
    assert!(matches!(syntax, ConfigError::Syntax { line: 1, .. }));
    assert!(!syntax.to_string().contains("hunter2"), "{syntax}");
}

#[test]
fn a_missing_file_is_named() {
    let error = load::<Gate>(Path::new("no/such.toml"), "REALDID_GATE").unwrap_err();
    assert_eq!(error.code(), "config.unreadable");
    assert!(error.to_string().contains("no/such.toml"));
}
