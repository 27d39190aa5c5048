use super::*;
use clap::Parser;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    wallet: WalletArgs,
}

fn parse(words: &str) -> Result<WalletArgs, clap::Error> {
    Line::try_parse_from(words.split(' ')).map(|line| line.wallet)
}

async fn run_line(words: &str) -> Result<Value, CliError> {
    run(parse(words).unwrap()).await
}

#[test]
fn the_words_of_the_contract_are_understood() {
    for words in [
        "wallet --dir W init",
        "wallet --dir W init --kit K",
        "wallet --dir W enrol --authority http://a --evidence F",
        "wallet --dir W enrol --authority http://a --evidence F --trust 00",
        "wallet --dir W receive O --tx-code 1",
        "wallet --dir W present R --allow given_name --allow address.region",
        "wallet --dir W login http://s",
        "wallet login http://s --yes --dir W",
        "wallet --dir W refresh",
        "wallet --dir W keep",
        "wallet --dir W keep --once",
        "wallet --dir W show",
        "wallet --dir W journal",
        "wallet --dir W did list",
        "wallet --dir W did list --prove",
        "wallet --dir W did new --inception F",
        "wallet --dir W did anchor D",
        "wallet --dir W did anchor D --sponsored",
        "wallet --dir W did rotate D --kit K",
        "wallet --dir W did recover D",
        "wallet --dir W did cancel D",
        "wallet --dir W did freeze D",
        "wallet --dir W did deactivate D",
        "wallet --dir W kit top-up",
    ] {
        assert!(parse(words).is_ok(), "{words}");
    }
    assert!(parse("wallet did").is_err());
    assert!(parse("wallet login").is_err());
}

#[tokio::test]
async fn a_wallet_is_made_once_and_rebuilt_from_its_kit() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (first, second) = (path("first"), path("second"));
    let made = run_line(&format!("wallet --dir {first} init"))
        .await
        .unwrap();
    let kit = made["kit"].as_str().unwrap().to_owned();
    assert_eq!(made["sparesLeft"], 256);
    let again = run_line(&format!("wallet --dir {first} init"))
        .await
        .unwrap_err();
    assert_eq!(again.code, "wallet.exists");

    let rebuilt = run_line(&format!("wallet --dir {second} init --kit {kit}"))
        .await
        .unwrap();
    assert_eq!(rebuilt["kit"], Value::Null);
    let open = |dir: &str| Wallet::open(Path::new(dir)).unwrap();
    let root = open(&first).content.pairwise_root.clone();
    assert_eq!(open(&second).content.pairwise_root, root);

    let more = run_line(&format!("wallet --dir {second} kit top-up --kit {kit}"))
        .await
        .unwrap();
    assert_eq!(more["sparesLeft"], 512);
    let missing = run_line(&format!("wallet --dir {second} kit top-up"))
        .await
        .unwrap_err();
    assert_eq!(missing.code, "kit.needed");
}

#[tokio::test]
async fn refusals_are_one_line_with_rule_fault_and_fix() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("w").display().to_string();
    let refused = run_line(&format!("wallet --dir {dir} show"))
        .await
        .unwrap_err();
    assert_eq!(refused.code, "wallet.missing");
    let line = refused.to_string();
    assert_eq!(line.lines().count(), 1);
    assert!(
        line.contains("; fault: ") && line.contains("; do: "),
        "{line}"
    );

    run_line(&format!("wallet --dir {dir} init")).await.unwrap();
    for (words, code) in [
        ("did list", None),
        ("journal", None),
        ("show", None),
        ("did new", Some("wallet.no_network")),
        ("refresh", Some("credential.none")),
        ("keep --once", Some("wallet.no_network")),
        ("login http://127.0.0.1:9", Some("wallet.no_network")),
        ("did rotate did:rdid:dev:zQm", Some("did.malformed")),
        ("receive nonsense", Some("vci.offer")),
    ] {
        let result = run_line(&format!("wallet --dir {dir} {words}")).await;
        assert_eq!(
            result.err().map(|error| error.code).as_deref(),
            code,
            "{words}"
        );
    }
    let bad = "wallet --dir x enrol --authority http://127.0.0.1:9 --evidence F --trust 00";
    assert_eq!(run_line(bad).await.unwrap_err().code, "trust.malformed");
}

#[test]
fn p1_no_secret_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let (wallet, _) = Wallet::create(dir.path(), None).unwrap();
    let shown = format!("{:?}", wallet);
    let root = wallet.content.pairwise_root.bytes();
    assert!(!shown.contains(&hex::encode(root)) && !shown.contains(&format!("{root:?}")));
}

#[test]
fn people_get_one_fact_a_line() {
    let value = json!({"did": "d", "state": {"seq": 1, "keys": []}, "dids": [{"did": "e"}]});
    assert_eq!(
        render(&value),
        "did: d\nstate:\n  seq: 1\n  keys: none\ndids:\n  1:\n    did: e\n"
    );
}
