use std::convert::Infallible;

use getrandom::SysRng;
use proptest::prelude::*;
use rand_core::{TryCryptoRng, TryRng, UnwrapErr};

use super::*;
use crate::bbs::{Signature, random_scalars_for_proof};
use crate::curve::{POINT_BYTES, Point, SCALAR_BYTES, Scalar, hash_to_curve_g1};
use crate::nym::Showing;

/// A generator that gives one byte for ever: the worst there is.
pub struct Fixed(pub u8);

impl TryRng for Fixed {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from(self.0))
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from(self.0))
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.fill(self.0);
        Ok(())
    }
}
impl TryCryptoRng for Fixed {}

/// The operating system's generator; whoever runs this wants to hear if it fails.
pub fn system() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

mod refusals;

const TERMS: &[u8] = b"dev|authority";
const BINDING: &[u8] = b"nonce|audience|did";
const SHOWN: [usize; 2] = [0, 3];

fn issuer(seed: u8) -> IssuerKey {
    IssuerKey::from_material(&[seed; 32], TERMS, 5).unwrap()
}

fn messages(epoch: &str) -> Messages {
    let texts = [epoch, "adult", "region 7", "resident", "high"];
    Messages::new(texts.map(|text| text.as_bytes().to_vec()).to_vec()).unwrap()
}

/// An issuer, a person it enrolled, and what the person holds.
struct World {
    issuer: IssuerKey,
    secrets: PseudonymSecrets,
    kept: Kept,
    credential: Credential,
    service: Context,
}

impl World {
    fn new() -> Self {
        Self::of(1)
    }

    fn of(person: u8) -> Self {
        let issuer = issuer(1);
        let secrets = PseudonymSecrets::from_seed(&[person; 32]);
        let request = secrets.request(&mut system()).unwrap();
        let kept = issuer.enrol(&mut system(), &request).unwrap();
        let issued = issuer.issue(&request, &kept, &messages("1")).unwrap();
        let credential =
            Credential::accept(issuer.public(), &secrets, messages("1"), issued).unwrap();
        Self {
            issuer,
            secrets,
            kept,
            credential,
            service: Context::service(b"shop"),
        }
    }

    fn key(&self) -> &PassKey {
        self.issuer.public()
    }

    fn present(&self) -> Presentation {
        self.present_in(&self.service)
    }

    fn present_in(&self, context: &Context) -> Presentation {
        self.credential
            .present(&mut system(), self.key(), context, &SHOWN, BINDING)
            .unwrap()
    }

    fn verify(&self, bytes: &[u8]) -> Result<Shown, PassError> {
        Presentation::from_bytes(bytes)?.verify(self.key(), &self.service, BINDING)
    }

    /// A credential like this one whose signature is false by `offset`: its proofs answer every
    /// challenge and fail at the pairing alone.
    fn forged(&self, offset: Point) -> Credential {
        let true_a = Point::from(self.credential.issued.signature.a);
        Credential {
            messages: messages("1"),
            issued: Issued {
                signature: Signature {
                    a: (true_a + offset).to_affine(),
                    e: self.credential.issued.signature.e,
                },
                entropy: self.credential.issued.entropy,
            },
            scalars: self.credential.scalars.clone(),
            b: self.credential.b,
        }
    }
}

/// Where the pseudonym begins in a presentation of [`World`].
fn offset_of_points() -> usize {
    3 + 1 + "1".len() + 1 + "resident".len()
}

#[test]
fn one_person_has_one_pseudonym_in_a_context_for_ever() {
    let world = World::new();
    let shown = world.verify(&world.present().to_bytes()).unwrap();
    assert_eq!(
        shown.messages,
        [(0, b"1".to_vec()), (3, b"resident".to_vec())]
    );
    let pseudonym = shown.pseudonym;
    assert_eq!(world.credential.pseudonym(&world.service), Ok(pseudonym));

    // A refresh in the next epoch.
    let request = world.secrets.request(&mut system()).unwrap();
    let issued = world
        .issuer
        .issue(&request, &world.kept, &messages("2"))
        .unwrap();
    let renewed = world
        .credential
        .renew(world.key(), &world.secrets, messages("2"), issued)
        .unwrap();
    assert_eq!(renewed.pseudonym(&world.service), Ok(pseudonym));

    // Another device: the words give the seed, the issuer has what it keeps.
    let words = PseudonymSecrets::from_seed(&[1; 32]);
    let kept = Kept::from_bytes(world.kept.to_bytes().as_slice()).unwrap();
    let request = Request::from_bytes(&words.request(&mut system()).unwrap().to_bytes()).unwrap();
    let issued = world.issuer.issue(&request, &kept, &messages("3")).unwrap();
    let issued = Issued::from_bytes(issued.to_bytes().as_slice()).unwrap();
    let found = Credential::accept(world.key(), &words, messages("3"), issued).unwrap();
    assert_eq!(found.pseudonym(&world.service), Ok(pseudonym));

    // Other people and other contexts have others.
    let other = World::of(2);
    assert_ne!(other.credential.pseudonym(&world.service), Ok(pseudonym));
    for context in [Context::service(b"bank"), Context::personhood_slot(b"shop")] {
        assert_ne!(world.credential.pseudonym(&context), Ok(pseudonym));
    }
}

#[test]
fn presentations_of_one_person_have_nothing_in_common() {
    let world = World::new();
    let first = world.present().to_bytes();
    let again = world.present().to_bytes();
    let elsewhere = world.present_in(&Context::service(b"bank")).to_bytes();
    let points = offset_of_points();
    // The pseudonym is the same in one context, and nothing else is.
    assert_eq!(
        first[points..points + POINT_BYTES],
        again[points..points + POINT_BYTES]
    );
    for (left, right, from) in [
        (&first, &again, points + POINT_BYTES),
        (&first, &elsewhere, points),
    ] {
        for window in left[from..].windows(16) {
            assert!(!right[from..].windows(16).any(|other| other == window));
        }
    }
}

#[test]
fn a_generator_that_repeats_gives_no_nonce_twice() {
    let world = World::new();
    let present = |binding: &[u8]| {
        world
            .credential
            .present(&mut Fixed(0), world.key(), &world.service, &SHOWN, binding)
            .unwrap()
            .to_bytes()
    };
    // Equal statements give equal proofs, which reveals nothing; others share no part.
    assert_eq!(present(b"a"), present(b"a"));
    let (a, b) = (present(b"a"), present(b"b"));
    let after_pseudonym = offset_of_points() + POINT_BYTES;
    for window in a[after_pseudonym..].windows(16) {
        assert!(
            !b[after_pseudonym..]
                .windows(16)
                .any(|other| other == window)
        );
    }
}

#[test]
fn a_presentation_is_for_one_context_binding_key_and_shape() {
    let world = World::new();
    let presentation = world.present();
    let verify = |key: &PassKey, context: &Context, binding: &[u8]| {
        presentation.verify(key, context, binding).err()
    };
    let key = world.key();
    assert_eq!(verify(key, &world.service, BINDING), None);
    let challenge = Some(PassError::Challenge);
    assert_eq!(verify(key, &Context::service(b"bank"), BINDING), challenge);
    assert_eq!(
        verify(key, &Context::personhood_slot(b"shop"), BINDING),
        challenge
    );
    assert_eq!(verify(key, &world.service, b"other nonce"), challenge);
    assert_eq!(verify(key, &world.service, b""), challenge);
    // Another issuer; the same issuer for another network; credentials of another shape.
    assert_eq!(
        verify(issuer(2).public(), &world.service, BINDING),
        challenge
    );
    let elsewhere = PassKey::new(&key.to_bytes(), b"intl|authority", 5).unwrap();
    assert_eq!(verify(&elsewhere, &world.service, BINDING), challenge);
    for count in [4, 6] {
        let shape = PassKey::new(&key.to_bytes(), TERMS, count).unwrap();
        assert_eq!(
            verify(&shape, &world.service, BINDING),
            Some(PassError::Length)
        );
    }
    let narrow = PassKey::new(&key.to_bytes(), TERMS, 2).unwrap();
    assert_eq!(
        verify(&narrow, &world.service, BINDING),
        Some(PassError::Disclosed)
    );
}

#[test]
fn a_pseudonym_of_another_does_not_match_the_proof() {
    let world = World::new();
    let other = World::of(2);
    let bytes = world.present().to_bytes();
    let at = offset_of_points();
    let others = [
        other.credential.pseudonym(&world.service).unwrap().0,
        world
            .credential
            .pseudonym(&Context::service(b"bank"))
            .unwrap()
            .0,
        suite::p1().to_bytes(),
    ];
    for pseudonym in others {
        let mut bytes = bytes.clone();
        bytes[at..at + POINT_BYTES].copy_from_slice(&pseudonym);
        assert_eq!(world.verify(&bytes), Err(PassError::Challenge));
    }
}

#[test]
fn a_proof_without_a_signature_of_the_issuer_fails_at_the_pairing() {
    let world = World::new();
    let forged = world.forged(suite::p1().into());
    let presentation = forged
        .present(&mut system(), world.key(), &world.service, &SHOWN, BINDING)
        .unwrap();
    assert_eq!(
        presentation.verify(world.key(), &world.service, BINDING),
        Err(PassError::Pairing)
    );
}

#[test]
fn points_off_the_curve_outside_the_subgroup_and_the_identity_are_refused() {
    let world = World::new();
    let bytes = world.present().to_bytes();
    let mut identity = [0; POINT_BYTES];
    identity[0] = 0xc0;
    // x = 4 is on the curve and outside the subgroup, x = 1 is not on the curve.
    let with_x = |x: u8| {
        let mut point = [0; POINT_BYTES];
        point[0] = 0x80;
        point[POINT_BYTES - 1] = x;
        point
    };
    let cases = [
        (identity, PassError::Identity),
        (with_x(4), PassError::Subgroup),
        (with_x(1), PassError::Curve),
        ([0; POINT_BYTES], PassError::Curve),
        ([0xff; POINT_BYTES], PassError::Curve),
    ];
    for place in 0..4 {
        for (point, reason) in cases {
            let mut bytes = bytes.clone();
            let at = offset_of_points() + place * POINT_BYTES;
            bytes[at..at + POINT_BYTES].copy_from_slice(&point);
            assert_eq!(world.verify(&bytes), Err(reason), "point {place}");
        }
    }
    for (point, reason) in cases {
        let mut request = world.secrets.request(&mut system()).unwrap().to_bytes();
        request[1..1 + POINT_BYTES].copy_from_slice(&point);
        assert_eq!(Request::from_bytes(&request).err(), Some(reason));
        let mut issued = world.credential.issued.to_bytes();
        issued[1..1 + POINT_BYTES].copy_from_slice(&point);
        let refused = Issued::from_bytes(issued.as_slice()).err();
        assert_eq!(refused, Some(reason));
    }
    let mut key = world.key().to_bytes();
    key[50] ^= 1;
    assert!(PassKey::new(&key, TERMS, 5).is_err());
    let mut identity = [0; 96];
    identity[0] = 0xc0;
    let refused = PassKey::new(&identity, TERMS, 5).err();
    assert_eq!(refused, Some(PassError::Identity));
}

/// The order of the groups, big-endian.
const ORDER: [u8; 32] = [
    0x73, 0xed, 0xa7, 0x53, 0x29, 0x9d, 0x7d, 0x48, 0x33, 0x39, 0xd8, 0x08, 0x09, 0xa1, 0xd8, 0x05,
    0x53, 0xbd, 0xa4, 0x02, 0xff, 0xfe, 0x5b, 0xfe, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x01,
];

/// The same number in its other spelling, where 32 bytes have room for it.
fn plus_order(scalar: &[u8]) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    let mut carry = 0;
    for index in (0..32).rev() {
        let sum = u16::from(scalar[index]) + u16::from(ORDER[index]) + carry;
        out[index] = sum as u8;
        carry = sum >> 8;
    }
    (carry == 0).then_some(out)
}

#[test]
fn a_scalar_has_one_spelling() {
    let world = World::new();
    let bytes = world.present().to_bytes();
    let mut at = offset_of_points() + 4 * POINT_BYTES;
    let mut tried = 0;
    while at < bytes.len() {
        let range = at..at + SCALAR_BYTES;
        let spellings = [
            Some([0; 32]),
            Some(ORDER),
            plus_order(&bytes[range.clone()]),
        ];
        for other in spellings.into_iter().flatten() {
            let mut bytes = bytes.clone();
            bytes[range.clone()].copy_from_slice(&other);
            assert_eq!(world.verify(&bytes), Err(PassError::Scalar));
            tried += 1;
        }
        at = range.end;
    }
    // 3 responses, 3 hidden messages, the blind, the secrets, the challenge.
    assert!(tried >= 2 * (3 + 3 + 1 + SECRETS + 1));
}

#[test]
fn an_encoding_has_one_length() {
    let world = World::new();
    let presentation = world.present().to_bytes();
    let credential = world.credential.to_bytes();
    let request = world.secrets.request(&mut system()).unwrap().to_bytes();
    let issued = world.credential.issued.to_bytes();
    let kept = world.kept.to_bytes();
    type Decoder<'a> = Box<dyn Fn(&[u8]) -> bool + 'a>;
    let accepts: [(&[u8], Decoder<'_>); 5] = [
        (&presentation, Box::new(|bytes| world.verify(bytes).is_ok())),
        (
            &credential,
            Box::new(|bytes| Credential::from_bytes(world.key(), &world.secrets, bytes).is_ok()),
        ),
        (
            &request,
            Box::new(|bytes| Request::from_bytes(bytes).is_ok()),
        ),
        (
            issued.as_slice(),
            Box::new(|bytes| Issued::from_bytes(bytes).is_ok()),
        ),
        (
            kept.as_slice(),
            Box::new(|bytes| Kept::from_bytes(bytes).is_ok()),
        ),
    ];
    for (bytes, accepts) in accepts {
        assert!(accepts(bytes));
        for length in 0..bytes.len() {
            assert!(!accepts(&bytes[..length]));
        }
        for extra in [1, SCALAR_BYTES, POINT_BYTES, 4096] {
            let longer = [bytes, &vec![1; extra]].concat();
            assert!(!accepts(&longer));
        }
        let mut other_version = bytes.to_vec();
        other_version[0] = VERSION + 1;
        assert!(!accepts(&other_version));
    }
    let mut other_version = presentation.clone();
    other_version[0] = 0;
    assert_eq!(world.verify(&other_version), Err(PassError::Version));
}

#[test]
fn messages_and_indexes_stay_in_their_bounds() {
    let refused = Some(PassError::Messages);
    assert_eq!(Messages::new(Vec::new()).err(), refused);
    assert_eq!(Messages::new(vec![vec![0]; 17]).err(), refused);
    assert_eq!(Messages::new(vec![vec![0; 65]]).err(), refused);
    assert!(Messages::new(vec![vec![0; 64]; 16]).is_ok());
    let world = World::new();
    for indexes in [&[5][..], &[1, 1], &[3, 0], &[5, 6], &[16], &[usize::MAX]] {
        let refused = world
            .credential
            .present(&mut system(), world.key(), &world.service, indexes, BINDING)
            .err();
        assert_eq!(refused, Some(PassError::Disclosed), "{indexes:?}");
    }
    // Nothing shown and everything shown are both fine.
    for indexes in [&[][..], &[0, 1, 2, 3, 4]] {
        let presentation = world
            .credential
            .present(&mut system(), world.key(), &world.service, indexes, BINDING)
            .unwrap();
        let shown = world.verify(&presentation.to_bytes()).unwrap();
        assert_eq!(shown.messages.len(), indexes.len());
    }
    let other_count = Messages::new(vec![vec![0]; 4]).unwrap();
    let request = world.secrets.request(&mut system()).unwrap();
    assert_eq!(
        world
            .issuer
            .issue(&request, &world.kept, &other_count)
            .err(),
        refused
    );
}

#[test]
fn a_commitment_needs_its_own_proof() {
    let world = World::new();
    let request = world.secrets.request(&mut system()).unwrap().to_bytes();
    let other = PseudonymSecrets::from_seed(&[9; 32])
        .request(&mut system())
        .unwrap()
        .to_bytes();
    // Somebody else's proof, and each single response changed.
    let mut cases = vec![[&request[..1 + POINT_BYTES], &other[1 + POINT_BYTES..]].concat()];
    for scalar in 0..SECRETS + 2 {
        let mut case = request.clone();
        case[1 + POINT_BYTES + scalar * SCALAR_BYTES + 31] ^= 1;
        cases.push(case);
    }
    for case in cases {
        let case = Request::from_bytes(&case).unwrap();
        let refused = Some(PassError::CommitmentProof);
        assert_eq!(world.issuer.enrol(&mut system(), &case).err(), refused);
        let issued = world.issuer.issue(&case, &world.kept, &messages("2"));
        assert_eq!(issued.err(), refused);
    }
    // No proof at all.
    let bare = Request::from_bytes(&request[..1 + POINT_BYTES]).err();
    assert_eq!(bare, Some(PassError::Length));
}

#[test]
fn a_refresh_commits_to_the_secrets_of_the_enrolment() {
    let world = World::new();
    let other = PseudonymSecrets::from_seed(&[2; 32]);
    let request = other.request(&mut system()).unwrap();
    let refused = world.issuer.issue(&request, &world.kept, &messages("2"));
    assert_eq!(refused.err(), Some(PassError::OtherCommitment));
}

#[test]
fn a_wallet_takes_only_what_it_asked_for() {
    let world = World::new();
    let request = world.secrets.request(&mut system()).unwrap();
    let issue = |kept: &Kept| world.issuer.issue(&request, kept, &messages("2")).unwrap();
    let accept = |epoch: &str, issued: Issued, secrets: &PseudonymSecrets| {
        Credential::accept(world.key(), secrets, messages(epoch), issued).err()
    };
    let refused = Some(PassError::Signature);
    assert_eq!(accept("2", issue(&world.kept), &world.secrets), None);
    assert_eq!(accept("1", issue(&world.kept), &world.secrets), refused);
    let other = PseudonymSecrets::from_seed(&[2; 32]);
    assert_eq!(accept("2", issue(&world.kept), &other), refused);
    let by_another = issuer(2)
        .issue(&request, &world.kept, &messages("2"))
        .unwrap();
    assert_eq!(accept("2", by_another, &world.secrets), refused);

    // An issuer that draws new entropy would change every pseudonym.
    let drawn_again = world.issuer.enrol(&mut system(), &request).unwrap();
    let renewed = world.credential.renew(
        world.key(),
        &world.secrets,
        messages("2"),
        issue(&drawn_again),
    );
    assert_eq!(renewed.err(), Some(PassError::OtherEntropy));
}

#[test]
fn a_credential_is_read_back_and_verified_again() {
    let world = World::new();
    let bytes = world.credential.to_bytes();
    let read = Credential::from_bytes(world.key(), &world.secrets, &bytes).unwrap();
    assert_eq!(read.messages(), world.credential.messages());
    assert_eq!(*read.to_bytes(), *bytes);
    for index in 0..bytes.len() {
        let mut other = bytes.to_vec();
        other[index] ^= 1;
        assert!(Credential::from_bytes(world.key(), &world.secrets, &other).is_err());
    }
}

#[test]
fn an_issuers_key_is_the_same_from_its_bytes() {
    let key = issuer(1);
    let same = IssuerKey::from_secret_bytes(&key.secret_bytes(), TERMS, 5).unwrap();
    assert_eq!(same.public().to_bytes(), key.public().to_bytes());
    assert!(IssuerKey::from_material(&[1; 31], TERMS, 5).is_err());
    assert!(IssuerKey::from_secret_bytes(&[0; 32], TERMS, 5).is_err());
    assert!(IssuerKey::from_secret_bytes(&ORDER, TERMS, 5).is_err());
}

#[test]
fn a_batch_answers_what_each_alone_would() {
    let world = World::new();
    let other = World::of(2);
    let bank = Context::service(b"bank");
    let forged = world.forged(suite::p1().into());
    let good = world.present();
    let at_the_bank = other.present_in(&bank);
    let bad = forged
        .present(&mut system(), world.key(), &world.service, &SHOWN, BINDING)
        .unwrap();
    let claim = |presentation, context| Claim {
        presentation,
        context,
        binding: BINDING,
    };
    // 0 good, 1 good in another context, 2 false at the pairing, 3 false at the challenge.
    let layouts: [&[u8]; 10] = [
        &[],
        &[0],
        &[2],
        &[3],
        &[0, 1, 0, 1, 0, 1, 0],
        &[0, 1, 2],
        &[2, 0, 3, 1, 2, 0, 2],
        &[2, 2, 2, 2],
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
        &[3, 0, 1, 0, 3, 0, 0, 1, 2, 0, 0, 3, 1],
    ];
    for layout in layouts {
        let claims: Vec<Claim<'_>> = layout
            .iter()
            .map(|kind| match kind {
                0 => claim(&good, &world.service),
                1 => claim(&at_the_bank, &bank),
                2 => claim(&bad, &world.service),
                _ => claim(&good, &bank),
            })
            .collect();
        let answers = verify_batch(&mut system(), world.key(), &claims);
        assert_eq!(answers.len(), claims.len());
        for (answer, claim) in answers.iter().zip(&claims) {
            let alone = claim
                .presentation
                .verify(world.key(), claim.context, claim.binding);
            assert_eq!(*answer, alone);
        }
    }
}

#[test]
fn two_false_proofs_that_cancel_are_both_found() {
    let world = World::new();
    let offset = Point::from(hash_to_curve_g1(b"offset", b"test").to_affine());
    // With one randomness, the errors at the pairing are opposite points: a sum without weights
    // would hold.
    let count = random_scalars_for_proof(world.credential.scalars.len(), 0);
    let random: Vec<Scalar> = (0..count)
        .map(|index| suite::hash_to_scalar(&[index as u8], b"test"))
        .collect();
    let header = b"rdid/1/realpass-presentation\0nonce";
    let make = |credential: &Credential| {
        nym::proof_gen(
            &world.key().setting,
            credential.signature(),
            &credential.b,
            &credential.scalars,
            SECRETS,
            &Showing {
                context: world.service.point(),
                disclosed: &[],
                presentation_header: header,
            },
            &random,
        )
        .unwrap()
    };
    let proofs = [offset, -offset].map(|offset| make(&world.forged(offset)));
    let sum = |side: fn(&bbs::Proof) -> curve::Affine| {
        Point::from(side(&proofs[0].0)) + Point::from(side(&proofs[1].0))
    };
    let (left, right) = (sum(|proof| proof.a_bar), sum(|proof| proof.b_bar));
    assert!(world.key().setting.pairing_holds(left, right));

    let presentations = proofs.map(|(proof, pseudonym)| {
        let bytes = [
            &[VERSION, 0, 0][..],
            &pseudonym.to_bytes(),
            &proof.to_bytes(),
        ]
        .concat();
        Presentation::from_bytes(&bytes).unwrap()
    });
    let claims = presentations.each_ref().map(|presentation| Claim {
        presentation,
        context: &world.service,
        binding: b"nonce",
    });
    let answers = verify_batch(&mut system(), world.key(), &claims);
    assert_eq!(answers, vec![Err(PassError::Pairing); 2]);
}

#[test]
fn every_byte_of_a_presentation_counts() {
    let world = World::new();
    let bytes = world.present().to_bytes();
    for index in 0..bytes.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut other = bytes.clone();
            other[index] ^= change;
            assert!(world.verify(&other).is_err(), "byte {index} by {change:#x}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_mauled_presentation_is_refused(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), 1..=255u8), 1..4)
    ) {
        let world = World::new();
        let bytes = world.present().to_bytes();
        let mut other = bytes.clone();
        for (index, change) in changes {
            other[index.index(bytes.len())] ^= change;
        }
        prop_assume!(other != bytes);
        prop_assert!(world.verify(&other).is_err());
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..1200),
        versioned in any::<bool>()
    ) {
        if let (true, Some(first)) = (versioned, bytes.first_mut()) {
            *first = VERSION;
        }
        decode_anything(&bytes);
    }
}

#[test]
fn what_is_read_is_written_alike() {
    let world = World::new();
    let bytes = world.present().to_bytes();
    assert_eq!(Presentation::from_bytes(&bytes).unwrap().to_bytes(), bytes);
    assert!(bytes.len() <= MAX_PRESENTATION_BYTES);
    decode_anything(&bytes);
}

#[test]
fn the_longest_presentation_fits_its_bound() {
    let key = IssuerKey::from_material(&[1; 32], TERMS, MAX_MESSAGES).unwrap();
    let full = Messages::new(vec![vec![7; MAX_MESSAGE_BYTES]; MAX_MESSAGES]).unwrap();
    let secrets = PseudonymSecrets::from_seed(&[1; 32]);
    let request = secrets.request(&mut system()).unwrap();
    let kept = key.enrol(&mut system(), &request).unwrap();
    let issued = key.issue(&request, &kept, &full).unwrap();
    let held = Credential::accept(key.public(), &secrets, full, issued).unwrap();
    let context = Context::service(b"shop");
    let all: Vec<usize> = (0..MAX_MESSAGES).collect();
    for indexes in [&all[..], &[]] {
        let bytes = held
            .present(&mut system(), key.public(), &context, indexes, BINDING)
            .unwrap()
            .to_bytes();
        let all_shown = !indexes.is_empty();
        assert_eq!(bytes.len() == MAX_PRESENTATION_BYTES, all_shown);
        let read = Presentation::from_bytes(&bytes).unwrap();
        assert!(read.verify(key.public(), &context, BINDING).is_ok());
    }
}

#[test]
fn nothing_about_a_person_reaches_a_log() {
    let world = World::new();
    let shown = world.verify(&world.present().to_bytes()).unwrap();
    let text = format!("{shown:?} {:?}", shown.pseudonym);
    assert_eq!(text, "{0, 3} Pseudonym(..)");
}
