//! What else is refused: requests byte by byte, and facts that are not what was signed.

use super::*;

#[test]
fn every_byte_of_a_request_counts() {
    let world = World::new();
    let bytes = world.secrets.request(&mut system()).unwrap().to_bytes();
    for index in 0..bytes.len() {
        for change in [0x01, 0x80] {
            let mut other = bytes.clone();
            other[index] ^= change;
            let Ok(request) = Request::from_bytes(&other) else {
                continue;
            };
            let enrolled = world.issuer.enrol(&mut system(), &request);
            assert_eq!(
                enrolled.err(),
                Some(PassError::CommitmentProof),
                "byte {index} by {change:#x}"
            );
            assert!(
                world
                    .issuer
                    .issue(&request, &world.kept, &messages("2"))
                    .is_err()
            );
        }
    }
}

#[test]
fn a_stale_epoch_is_not_made_fresh_nor_a_fact_another() {
    let world = World::new();
    let bytes = world.present().to_bytes();
    // Mask, then the epoch: one character behind its length.
    let epoch = 3 + 1;
    assert_eq!(bytes[epoch], b'1');
    for other in [b'0', b'2'] {
        let mut bytes = bytes.clone();
        bytes[epoch] = other;
        assert_eq!(world.verify(&bytes), Err(PassError::Challenge));
    }
    // The same fact as another message.
    let mut moved = bytes.clone();
    moved[2] = 1 | 1 << 2;
    assert_eq!(world.verify(&moved), Err(PassError::Challenge));
    // Without the epoch there is a message too few for as many responses.
    let hidden = [&[bytes[0], 0, 1 << 3][..], &bytes[epoch + 1..]].concat();
    assert_eq!(world.verify(&hidden), Err(PassError::Length));
    // One that really hides it is true, and says no epoch: whoever wants one refuses it.
    let without = world
        .credential
        .present(&mut system(), world.key(), &world.service, &[3], BINDING)
        .unwrap();
    let shown = world.verify(&without.to_bytes()).unwrap();
    assert_eq!(
        facts::shown_epoch(&shown.messages),
        Err(PassError::Disclosed)
    );
}

#[test]
fn what_was_shown_once_is_of_no_use_for_another_request() {
    let world = World::new();
    let shown = world.present();
    let verify = |binding: &[u8]| shown.verify(world.key(), &world.service, binding);
    assert!(verify(BINDING).is_ok());
    for index in 0..BINDING.len() {
        let mut other = BINDING.to_vec();
        other[index] ^= 1;
        assert_eq!(verify(&other), Err(PassError::Challenge), "byte {index}");
    }
}
