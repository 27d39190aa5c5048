//! Frozen vectors of the RFCs, and what is refused.

use super::*;

const RFC8037_JWS: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
const RFC8037_X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

fn key() -> SigningKey {
    SigningKey::p256(&[7; 32]).unwrap()
}

fn header(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// A JWS with any header at all, signed by `key`.
fn forged(header: &str, payload: &str, key: &SigningKey) -> String {
    let input = format!(
        "{}.{}",
        encode(header.as_bytes()),
        encode(payload.as_bytes())
    );
    let signature = key.sign(input.as_bytes()).unwrap();
    format!("{input}.{}", encode(&signature))
}

fn refusal(compact: &str) -> &'static str {
    let verified = verify_compact(compact, &key().verifying_key(), "t");
    verified.err().map_or("accepted", JwsError::code)
}

#[test]
fn rfc_8037_signature_and_thumbprint() {
    let jwk = Jwk::parse(&json!({"kty": "OKP", "crv": "Ed25519", "x": RFC8037_X})).unwrap();
    assert_eq!(
        jwk.thumbprint_base64url(),
        "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    );
    let claimed = decode_unverified(RFC8037_JWS).unwrap();
    assert_eq!(claimed.payload, b"Example of Ed25519 signing");
    claimed.verify(&jwk.0).unwrap();
    let seed = URL_SAFE_NO_PAD
        .decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
        .unwrap();
    let key = SigningKey::ed25519(&seed.try_into().unwrap());
    assert_eq!(Jwk(key.verifying_key()), jwk);
    let again = sign_compact(&Map::new(), b"Example of Ed25519 signing", &key).unwrap();
    assert_eq!(again, RFC8037_JWS);
}

#[test]
fn rfc_7515_a3_es256() {
    let jwk = Jwk::parse(&json!({
        "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
    }))
    .unwrap();
    let jws = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    decode_unverified(jws).unwrap().verify(&jwk.0).unwrap();
}

#[test]
fn keys_travel_as_jwk() {
    for key in [key(), SigningKey::ed25519(&[9; 32])] {
        let jwk = Jwk(key.verifying_key());
        assert_eq!(Jwk::parse(&jwk.to_value()).unwrap(), jwk);
        let text = serde_json::to_string(&jwk).unwrap();
        assert_eq!(serde_json::from_str::<Jwk>(&text).unwrap(), jwk);
        assert_eq!(
            jwk.thumbprint(),
            <[u8; 32]>::from(Sha256::digest(text.as_bytes()))
        );
        assert!(!format!("{key:?}").contains("07, 07"));
    }
}

#[test]
fn bad_keys_are_refused() {
    let good = Jwk(key().verifying_key()).to_value();
    let with = |name: &str, value: Value| {
        let mut jwk = good.clone();
        jwk[name] = value;
        Jwk::parse(&jwk).unwrap_err().code()
    };
    assert_eq!(with("d", json!("AAAA")), "jwk.private");
    assert_eq!(with("kty", json!("RSA")), "jwk.malformed");
    assert_eq!(with("crv", json!("P-384")), "jwk.malformed");
    assert_eq!(with("x", json!("AAAA")), "jwk.malformed");
    assert_eq!(with("x", json!(encode(&[1; 32]))), "jwk.invalid");
    assert_eq!(with("y", json!(encode(&[0xff; 32]))), "jwk.invalid");
    let okp = |x: [u8; 32]| Jwk::parse(&json!({"kty": "OKP", "crv": "Ed25519", "x": encode(&x)}));
    let mut identity = [0; 32];
    identity[0] = 1;
    assert_eq!(okp(identity).unwrap_err().code(), "jwk.invalid");
    assert_eq!(
        SigningKey::p256(&[0; 32]).unwrap_err().code(),
        "jwk.secret_invalid"
    );
    assert_eq!(
        SigningKey::p256(&[0xff; 32]).unwrap_err().code(),
        "jwk.secret_invalid"
    );
}

#[test]
fn refusals_have_names() {
    let key = key();
    let good = sign_compact(&header(json!({"typ": "t"})), b"{}", &key).unwrap();
    assert_eq!(refusal(&good), "accepted");
    let cases = [
        (r#"{"alg":"none","typ":"t"}"#, "jws.alg_refused"),
        (r#"{"alg":"None","typ":"t"}"#, "jws.alg_refused"),
        (r#"{"alg":"HS256","typ":"t"}"#, "jws.alg_refused"),
        (r#"{"alg":"ES384","typ":"t"}"#, "jws.alg_refused"),
        (r#"{"alg":["ES256"],"typ":"t"}"#, "jws.alg_refused"),
        (r#"{"typ":"t"}"#, "jws.alg_refused"),
        (r#"{"alg":"EdDSA","typ":"t"}"#, "jws.alg_mismatch"),
        (r#"{"alg":"none","alg":"ES256","typ":"t"}"#, "jws.malformed"),
        (
            r#"{"alg":"ES256","typ":"t","crit":["exp"]}"#,
            "jws.crit_refused",
        ),
        (r#"{"alg":"ES256","typ":"t","crit":[]}"#, "jws.crit_refused"),
        (
            r#"{"alg":"ES256","typ":"t","b64":false}"#,
            "jws.crit_refused",
        ),
        (r#"{"alg":"ES256","typ":"T"}"#, "jws.typ_mismatch"),
        (r#"{"alg":"ES256"}"#, "jws.typ_mismatch"),
        (r#"["alg"]"#, "jws.malformed"),
        (
            r#"{"alg":"ES256","typ":"t","jwk":{"kty":"EC"},"x":1}"#,
            "accepted",
        ),
    ];
    for (header, code) in cases {
        assert_eq!(refusal(&forged(header, "{}", &key)), code, "{header}");
    }
    let other = SigningKey::p256(&[8; 32]).unwrap();
    assert_eq!(
        refusal(&forged(r#"{"alg":"ES256","typ":"t"}"#, "{}", &other)),
        "jws.signature"
    );
    let (input, _) = good.rsplit_once('.').unwrap();
    for (compact, code) in [
        (String::new(), "jws.malformed"),
        ("a.b".to_owned(), "jws.malformed"),
        (format!("{input}."), "jws.signature"),
        (format!("{input}.{}", encode(&[0; 64])), "jws.signature"),
        (format!("{input}.{}", encode(&[1; 63])), "jws.signature"),
        (format!("{good}="), "jws.malformed"),
        (format!("{good}.e30"), "jws.malformed"),
        ("a".repeat(MAX_COMPACT_LEN + 1), "jws.oversize"),
        (
            format!("{}.e30.AA", "e".repeat(MAX_HEADER_LEN + 1)),
            "jws.oversize",
        ),
    ] {
        assert_eq!(
            refusal(&compact),
            code,
            "{}",
            &compact[..compact.len().min(80)]
        );
    }
    let verified = verify_compact(
        &forged(r#"{"alg":"ES256","typ":"t"}"#, "[]", &key),
        &key.verifying_key(),
        "t",
    );
    assert_eq!(
        verified.unwrap().claims().unwrap_err().code(),
        "jws.payload_malformed"
    );
}
