//! The examples of OpenID4VP 1.0, both sides of a match, and the bounds.

use serde_json::json;

use super::*;

const VCT: &str = "https://credentials.example.com/identity_credential";

fn example(name: &str) -> DcqlQuery {
    let path = format!("{}/tests/dcql/{name}.json", env!("CARGO_MANIFEST_DIR"));
    DcqlQuery::parse(&serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()).unwrap()
}

fn map(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn person() -> Map<String, Value> {
    map(json!({
        "family_name": "Doe", "given_name": "John", "postal_code": "90210",
        "date_of_birth": "1990-01-01", "nationalities": ["XA", "XB"],
        "address": {"street_address": "42 Market Street", "region": "CA"}
    }))
}

fn held<'a>(kind: &'a str, claims: &'a Map<String, Value>) -> Held<'a> {
    Held {
        format: FORMAT,
        kind,
        claims,
        authority_keys: &[],
    }
}

fn matched(query: &DcqlQuery, claims: &Map<String, Value>) -> Result<Vec<String>, &'static str> {
    query.credentials[0]
        .matches(&held(VCT, claims))
        .map(|paths| paths.iter().map(ToString::to_string).collect())
        .map_err(DcqlError::code)
}

fn query_for(claims: Value) -> DcqlQuery {
    let credential =
        json!({"id": "pid", "format": FORMAT, "meta": {"vct_values": [VCT]}, "claims": claims});
    DcqlQuery::parse(&json!({"credentials": [credential]})).unwrap()
}

#[test]
fn the_examples_of_the_standard() {
    let all = ["family_name", "given_name", "address.street_address"];
    assert_eq!(matched(&example("simple"), &person()).unwrap(), all);
    let valued = matched(&example("value_matching_simple"), &person()).unwrap();
    assert_eq!(valued.len(), 4);
    let mut moved = person();
    moved.insert("postal_code".into(), json!("10001"));
    assert_eq!(
        matched(&example("value_matching_simple"), &moved),
        Err("dcql.value_mismatch")
    );
    // The first claim set needs a locality, so the second one is taken.
    let second = matched(&example("claims_alternatives"), &person()).unwrap();
    assert_eq!(second, ["family_name", "postal_code", "date_of_birth"]);
    let both = example("multi_credentials");
    assert_eq!(both.credentials.len(), 2);
    assert_eq!(
        both.credentials[1]
            .matches(&held(VCT, &person()))
            .unwrap_err()
            .code(),
        "dcql.other_format"
    );
    assert_eq!(example("simple_mdoc").credentials[0].format, "mso_mdoc");
}

#[test]
fn paths_and_values() {
    let check = |claims: Value| matched(&query_for(claims), &person());
    assert_eq!(
        check(json!([{"path": ["nationalities", null], "values": ["XB"]}])).unwrap(),
        ["nationalities[*]"]
    );
    assert_eq!(
        check(json!([{"path": ["nationalities", 1]}])).unwrap(),
        ["nationalities[1]"]
    );
    assert_eq!(
        check(json!([{"path": ["nationalities", 2]}])),
        Err("dcql.claim_missing")
    );
    assert_eq!(
        check(json!([{"path": ["nationalities", "XA"]}])),
        Err("dcql.claim_missing")
    );
    assert_eq!(
        check(json!([{"path": ["address", 0]}])),
        Err("dcql.claim_missing")
    );
    assert_eq!(
        check(json!([{"path": ["family_name", null]}])),
        Err("dcql.claim_missing")
    );
    assert_eq!(
        check(json!([{"path": ["family_name"], "values": ["doe"]}])),
        Err("dcql.value_mismatch")
    );
    let other = query_for(json!([{"path": ["a"]}]));
    let other = other.credentials[0].matches(&held("urn:other", &person()));
    assert_eq!(other.unwrap_err().code(), "dcql.other_type");
    let nothing = DcqlQuery::parse(&json!({"credentials": [
        {"id": "pid", "format": FORMAT, "meta": {"vct_values": [VCT]}}
    ]}));
    assert!(matched(&nothing.unwrap(), &person()).unwrap().is_empty());
}

#[test]
fn whose_credential_will_do_is_told_by_the_keys_of_its_authorities() {
    let claims = person();
    let query = |authorities: Value| {
        let credential = json!({
            "id": "pid", "format": FORMAT, "meta": {"vct_values": [VCT]},
            "trusted_authorities": authorities,
        });
        DcqlQuery::parse(&json!({"credentials": [credential]})).unwrap()
    };
    let told = |authorities: Value, authority_keys: &[Vec<u8>]| {
        let held = Held {
            authority_keys,
            ..held(VCT, &claims)
        };
        let told = query(authorities).credentials[0].matches(&held);
        told.map(|_| ()).map_err(DcqlError::code)
    };
    let (key, another) = (vec![1, 2, 3], vec![4]);
    let named = |key: &[u8]| json!({"type": "aki", "values": ["x", URL_SAFE_NO_PAD.encode(key)]});
    let list = json!({"type": "etsi_tl", "values": ["https://list.example"]});
    let refused = Err("dcql.other_authority");
    assert_eq!(
        told(json!([named(&key)]), std::slice::from_ref(&key)),
        Ok(())
    );
    assert_eq!(
        told(json!([list, named(&key)]), &[another.clone(), key.clone()]),
        Ok(())
    );
    assert_eq!(told(json!([named(&key)]), &[another]), refused);
    assert_eq!(told(json!([named(&key)]), &[]), refused);
    // A list that nobody here reads names nobody.
    assert_eq!(told(json!([list]), &[key]), refused);
}

#[test]
fn a_wallet_shows_the_first_option_of_each_set_that_it_can_and_nothing_beyond() {
    let credential = |id: &str| json!({"id": id, "format": FORMAT, "meta": {"vct_values": [VCT]}});
    let query = |sets: Value| {
        let credentials: Vec<_> = ["a", "b", "c"].map(credential).to_vec();
        let mut query = json!({"credentials": credentials});
        if !sets.is_null() {
            query["credential_sets"] = sets;
        }
        DcqlQuery::parse(&query).unwrap()
    };
    let chosen = |sets: Value, can: &[&str]| {
        let query = query(sets);
        let chosen = query.choose(&|id| can.contains(&id));
        let ids = chosen.map(|chosen| chosen.iter().map(|one| one.id.clone()).collect::<Vec<_>>());
        ids.map_err(DcqlError::code)
    };
    let ids = |ids: &[&str]| Ok(ids.iter().map(ToString::to_string).collect());
    let missing = Err("dcql.credential_missing");
    assert_eq!(chosen(Value::Null, &["a", "b", "c"]), ids(&["a", "b", "c"]));
    assert_eq!(chosen(Value::Null, &["a", "b"]), missing);
    let either = json!([{"options": [["a", "b"], ["c"]]}]);
    assert_eq!(chosen(either.clone(), &["a", "b", "c"]), ids(&["a", "b"]));
    assert_eq!(chosen(either.clone(), &["a", "c"]), ids(&["c"]));
    assert_eq!(chosen(either, &["a"]), missing);
    let and = json!([{"options": [["a"]]}, {"options": [["c"], ["b"]]}, {"options": [["b"]], "required": false}]);
    assert_eq!(chosen(and, &["a", "b", "c"]), ids(&["a", "c"]));
    // Nothing is needed: nothing is shown.
    let nothing = json!([{"options": [["a"]], "required": false}]);
    assert_eq!(chosen(nothing, &["a"]), missing);
}

#[test]
fn a_verifier_takes_no_less_than_it_asked_for() {
    let query = DcqlQuery::parse(&json!({"credentials": [
        {"id": "pid", "format": FORMAT, "meta": {"vct_values": [VCT]}, "claims": [{"path": ["address", "region"]}]},
        {"id": "did", "format": "rdid_proof", "meta": {}}
    ]}))
    .unwrap();
    let claims = map(json!({"address": {"region": "CA"}}));
    let empty = Map::new();
    let check = |entries: &[(&str, Presented<'_>)]| {
        let presented = entries
            .iter()
            .map(|(id, shown)| ((*id).to_owned(), *shown))
            .collect();
        query
            .satisfied(&presented)
            .err()
            .map_or("satisfied", DcqlError::code)
    };
    let pid = Presented::SdJwt {
        vct: VCT,
        claims: &claims,
    };
    assert_eq!(
        check(&[("pid", pid), ("did", Presented::Other)]),
        "satisfied"
    );
    assert_eq!(check(&[("pid", pid)]), "dcql.credential_missing");
    assert_eq!(check(&[]), "dcql.credential_missing");
    assert_eq!(
        check(&[
            ("pid", pid),
            ("did", Presented::Other),
            ("x", Presented::Other)
        ]),
        "dcql.credential_unasked"
    );
    assert_eq!(
        check(&[("pid", Presented::Other), ("did", Presented::Other)]),
        "dcql.other_format"
    );
    assert_eq!(check(&[("pid", pid), ("did", pid)]), "dcql.other_format");
    let bare = Presented::SdJwt {
        vct: VCT,
        claims: &empty,
    };
    assert_eq!(
        check(&[("pid", bare), ("did", Presented::Other)]),
        "dcql.claim_missing"
    );
    let typed = Presented::SdJwt {
        vct: "urn:other",
        claims: &claims,
    };
    assert_eq!(
        check(&[("pid", typed), ("did", Presented::Other)]),
        "dcql.other_type"
    );
    assert_eq!(
        query
            .requested_paths()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["address.region"]
    );
    assert!(query.credential("did").is_some());
}

#[test]
fn credential_sets_offer_alternatives() {
    let pass = |id: &str| json!({"id": id, "format": "other", "meta": {}});
    let query = DcqlQuery::parse(&json!({
        "credentials": [pass("a"), pass("b"), pass("c")],
        "credential_sets": [
            {"options": [["a", "b"], ["c"]]},
            {"options": [["b"]], "required": false}
        ]
    }))
    .unwrap();
    let check = |ids: &[&str]| {
        let presented = ids
            .iter()
            .map(|id| ((*id).to_owned(), Presented::Other))
            .collect();
        query.satisfied(&presented).is_ok()
    };
    assert!(check(&["a", "b"]) && check(&["c"]) && check(&["b", "c"]));
    assert!(!check(&["a"]) && !check(&["b"]) && !check(&[]));
}

#[test]
fn queries_out_of_bounds_are_refused() {
    let code = |value: &Value| {
        DcqlQuery::parse(value)
            .err()
            .map_or("accepted", DcqlError::code)
    };
    let base = json!({"id": "pid", "format": FORMAT, "meta": {"vct_values": [VCT]}});
    let with = |change: Value| {
        let mut credential = base.clone();
        credential.as_object_mut().unwrap().extend(map(change));
        code(&json!({"credentials": [credential]}))
    };
    assert_eq!(with(json!({})), "accepted");
    assert_eq!(with(json!({"unknown": [1, 2]})), "accepted");
    assert_eq!(
        with(json!({"require_cryptographic_holder_binding": false, "multiple": true})),
        "accepted"
    );
    for value in [
        json!(null),
        json!([]),
        json!({}),
        json!({"credentials": []}),
        json!({"credentials": {}}),
    ] {
        assert_eq!(code(&value), "dcql.malformed", "{value}");
    }
    assert_eq!(
        code(&json!({"credentials": vec![base.clone(); 9]})),
        "dcql.too_much"
    );
    assert_eq!(code(&json!({"credentials": [base, base]})), "dcql.id");
    assert_eq!(
        code(&json!({"credentials": [base], "credential_sets": [{"options": [["x"]]}]})),
        "dcql.id"
    );
    assert_eq!(
        code(&json!({"credentials": [base], "credential_sets": [{"options": []}]})),
        "dcql.malformed"
    );
    for (change, expected) in [
        (json!({"id": ""}), "dcql.id"),
        (json!({"id": "a b"}), "dcql.id"),
        (json!({"id": "a".repeat(65)}), "dcql.id"),
        (json!({"format": 1}), "dcql.format"),
        (json!({"meta": {}}), "dcql.meta"),
        (json!({"meta": null}), "dcql.meta"),
        (json!({"meta": {"vct_values": []}}), "dcql.malformed"),
        (json!({"meta": {"vct_values": [1]}}), "dcql.meta"),
        (json!({"multiple": "no"}), "dcql.malformed"),
        (json!({"trusted_authorities": []}), "dcql.malformed"),
        (json!({"trusted_authorities": [{}]}), "dcql.authorities"),
        (
            json!({"trusted_authorities": [{"type": "aki", "values": [1]}]}),
            "dcql.authorities",
        ),
        (json!({"claims": []}), "dcql.malformed"),
        (json!({"claims": [{}]}), "dcql.path"),
        (json!({"claims": [{"path": []}]}), "dcql.path"),
        (json!({"claims": [{"path": [null]}]}), "dcql.path"),
        (json!({"claims": [{"path": [0]}]}), "dcql.path"),
        (json!({"claims": [{"path": ["a", -1]}]}), "dcql.path"),
        (json!({"claims": [{"path": ["a", 1.5]}]}), "dcql.path"),
        (json!({"claims": [{"path": ["a", {}]}]}), "dcql.path"),
        (json!({"claims": [{"path": vec!["a"; 9]}]}), "dcql.path"),
        (
            json!({"claims": [{"path": ["a".repeat(129)]}]}),
            "dcql.path",
        ),
        (
            json!({"claims": [{"path": ["a"], "values": []}]}),
            "dcql.malformed",
        ),
        (
            json!({"claims": [{"path": ["a"], "values": [1.5]}]}),
            "dcql.values",
        ),
        (
            json!({"claims": [{"path": ["a"], "values": [{}]}]}),
            "dcql.values",
        ),
        (
            json!({"claims": [{"id": "x", "path": ["a"]}, {"id": "x", "path": ["b"]}]}),
            "dcql.id",
        ),
        (
            json!({"claims": [{"path": ["a"]}], "claim_sets": [["x"]]}),
            "dcql.id",
        ),
        (json!({"claim_sets": [["x"]]}), "dcql.id"),
        (
            json!({"claims": vec![json!({"path": ["a"]}); 33]}),
            "dcql.too_much",
        ),
    ] {
        assert_eq!(with(change.clone()), expected, "{change}");
    }
}
