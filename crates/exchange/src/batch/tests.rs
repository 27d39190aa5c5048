//! What stands in a batch, and what is no request or path.

use super::*;
use crate::test_world::{AUTHORITY, Registered, World, jose_key, p256};
use proptest::prelude::*;

const BY: HashFunction = HashFunction::Sha256;

fn world() -> World {
    let registered = Registered {
        domain: "shop.example".to_owned(),
        purposes: vec!["login"],
        claims: Vec::new(),
        sandbox: false,
    };
    World::new(1_800_000_000_000, jose_key(&p256(4)), &registered)
}

#[test]
fn an_item_is_of_what_the_issuer_signed_whatever_is_shown_of_it() {
    let world = world();
    let issued = world.pid();
    let all = item(BY, &issued).unwrap();
    let jwt = issued.split('~').next().unwrap();
    assert_eq!(item(BY, &format!("{jwt}~")), Ok(all));
    assert_eq!(item(BY, &format!("{jwt}~x~y.z.w")), Ok(all));
    let other = world.pid_with(AUTHORITY, &world.authority_key, 1_800_000_061);
    assert_ne!(item(BY, &other), Ok(all));
    assert_ne!(item(HashFunction::Sm3, &issued), Ok(all));
    let mdoc = URL_SAFE_NO_PAD.encode(world.mdoc());
    assert!(item(BY, &mdoc).is_ok());
    for none in ["", "x", "e30", &"A".repeat(100_000)] {
        assert_eq!(item(BY, none), Err(BatchError::Credential));
    }
}

#[test]
fn requests_and_answers_are_bounded_and_read_back() {
    let items: Vec<Hash32> = (0..40u8).map(|n| Hash32([n; 32])).collect();
    for (count, good) in [(0, false), (1, true), (32, true), (33, false)] {
        let read = PathsRequest::new(&items[..count]).check();
        assert_eq!(read.is_ok(), good, "{count}");
    }
    let words = PathsRequest {
        items: vec!["xyz".to_owned()],
    };
    assert_eq!(words.check(), Err(BatchError::Request));

    let paths = [ListPath::of(BY, &items, 3), None];
    let answer = PathsResponse::new(&paths);
    assert_eq!(answer.check(2).unwrap(), paths);
    assert_eq!(answer.check(1), Err(BatchError::Path));
    let long = ListPath {
        siblings: vec![Hash32([1; 32]); 200],
        ..paths[0].clone().unwrap()
    };
    let answer = PathsResponse::new(&[Some(long)]);
    assert_eq!(answer.check(1), Err(BatchError::Path));
}

proptest! {
    #[test]
    fn hostile_bytes_are_no_batch_and_end(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = InBatch::decode(&bytes);
        let text = URL_SAFE_NO_PAD.encode(&bytes);
        let _ = item(BY, &text);
        let _ = PathsResponse { paths: vec![Some(text)] }.check(1);
    }
}
