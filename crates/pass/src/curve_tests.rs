use super::*;

/// z, by whose powers the curve is made.
const Z: u64 = 0xd201_0000_0001_0000;

fn scalar(seed: u8) -> Scalar {
    Scalar::from_wide(&expand_message(&[seed], b"test"))
}

fn point(seed: u8) -> Affine {
    hash_to_curve_g1(&[seed], b"test").to_affine()
}

/// The sum by single constant-time multiplications: what every faster way must agree with.
fn naive(terms: &[(Affine, Scalar)]) -> Point {
    terms.iter().fold(Point::default(), |sum, (base, scalar)| {
        sum + Point::from(*base).mul_secret(scalar)
    })
}

fn minus_one() -> Scalar {
    -Scalar::one()
}

#[test]
fn every_way_to_multiply_agrees() {
    for count in [1, 2, 3, 20, 40] {
        let mut terms: Vec<(Affine, Scalar)> =
            (0..count).map(|seed| (point(seed), scalar(seed))).collect();
        terms[0].1 = Scalar::default();
        if count > 2 {
            terms[1].1 = minus_one();
            terms[2].1 = Scalar::one();
        }
        let expected = naive(&terms);
        let bases: Vec<Affine> = terms.iter().map(|(base, _)| *base).collect();
        let scalars: Vec<Scalar> = terms.iter().map(|(_, scalar)| *scalar).collect();
        assert!(sum_public(&terms) == expected);
        let staying = Multiples::of_staying(&bases);
        let sum = sum_of_multiples(staying.iter().zip(scalars.iter().copied()));
        assert!(sum == expected);
        let indexed: Vec<(usize, Scalar)> = scalars.iter().copied().enumerate().collect();
        let table = SecretTable::new(&bases);
        assert!(table.sum_secret(&indexed) == Some(expected));
        assert!(table.sum_secret(&indexed[1..]) == Some(naive(&terms[1..])));
        assert!(table.sum_secret(&[(bases.len(), Scalar::one())]).is_none());
    }
    assert!(sum_public(&[]).is_identity());
    assert!(sum_public(&[(point(1), Scalar::default())]).is_identity());
}

#[test]
fn equal_and_opposite_terms_add_up() {
    let terms = [(point(1), scalar(7)), (point(1), scalar(7))];
    assert!(sum_public(&terms) == naive(&terms));
    let cancelled = [(point(1), scalar(7)), (point(1), -scalar(7))];
    assert!(sum_public(&cancelled).is_identity());
    let table = SecretTable::new(&[point(1), point(1)]);
    let opposite = [(0, scalar(7)), (1, -scalar(7))];
    assert!(table.sum_secret(&opposite) == Some(Point::default()));
    let equal = [(0, scalar(7)), (1, scalar(7))];
    assert!(table.sum_secret(&equal) == Some(naive(&terms)));
}

#[test]
fn sums_in_step_are_those_of_sums_alone() {
    // Enough for steps: multiples of all points, and sums of all kinds beside each other.
    let bases: Vec<Affine> = (0..30).map(|seed| point(seed % 28)).collect();
    let passing = Multiples::of_passing(&bases);
    let staying = Multiples::of_staying(&bases[..3]);
    let mut sums: Vec<Vec<(usize, Scalar)>> = vec![
        Vec::new(),
        vec![(0, Scalar::default())],
        vec![(0, Scalar::one())],
        vec![(0, minus_one())],
        // Points 0 and 28 are one, as are 1 and 29: equal terms, and opposite ones.
        vec![(0, scalar(7)), (28, scalar(7))],
        vec![(0, scalar(7)), (28, -scalar(7))],
        vec![
            (1, scalar(7)),
            (29, scalar(8)),
            (1, scalar(7)),
            (29, scalar(8)),
        ],
        vec![(1, small(2)), (29, Scalar::one()), (1, -small(3))],
    ];
    sums.extend((0..24u8).map(|sum| {
        let terms = (sum..sum + sum / 2).map(|at| (usize::from(at % 30), scalar(at)));
        terms.collect()
    }));
    for multiples in [passing, staying] {
        let sums: Vec<&Vec<(usize, Scalar)>> = (sums.iter())
            .filter(|terms| terms.iter().all(|(at, _)| *at < multiples.len()))
            .cycle()
            .take(40)
            .collect();
        let terms = sums.iter().map(|terms| {
            let terms = terms.iter().map(|(at, scalar)| (&multiples[*at], *scalar));
            terms.collect()
        });
        let together = sums_of_multiples(terms.collect());
        assert_eq!(together.len(), sums.len());
        for (index, (sum, terms)) in together.iter().zip(&sums).enumerate() {
            let terms: Vec<(Affine, Scalar)> = terms
                .iter()
                .map(|(at, scalar)| (bases[*at], *scalar))
                .collect();
            assert!(*sum == naive(&terms).to_affine(), "{index}");
        }
    }
    assert!(sums_of_multiples(Vec::new()).is_empty());
}

/// A number of 64 bits.
fn small(number: u64) -> Scalar {
    let mut wide = [0; WIDE_BYTES];
    wide[WIDE_BYTES - 8..].copy_from_slice(&number.to_be_bytes());
    Scalar::from_wide(&wide)
}

#[test]
fn a_weight_is_two_little_endian_numbers() {
    let mut weight = [0; WEIGHT_BYTES];
    weight[1] = 3;
    weight[8] = 5;
    let expected = small(3 << 8) + small(5) * small(Z) * small(Z);
    let expected = Point::from(point(3)).mul_secret(&expected);
    assert!(weighted_sum(&[point(3)], &[weight]) == expected);
}

#[test]
fn one_number_has_one_spelling() {
    let order = hex::decode("73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001")
        .unwrap()
        .try_into()
        .unwrap();
    assert!(Scalar::from_bytes(&order).is_none());
    assert!(Scalar::from_bytes(&[0xff; 32]).is_none());
    let mut below = order;
    below[31] = 0;
    assert!(Scalar::from_bytes(&below) == Some(minus_one()));
    assert!(minus_one().to_bytes() == below);
    assert!(Scalar::default().is_zero() && Scalar::default().invert().is_zero());
    assert!(scalar(1) * scalar(1).invert() == Scalar::one());
}

#[test]
fn a_point_is_on_the_curve_in_the_subgroup_and_not_the_identity() {
    let good = point(1).to_bytes();
    assert!(Affine::from_bytes(&good).is_ok());

    let mut identity = [0; POINT_BYTES];
    identity[0] = 0xc0;
    assert_eq!(
        Affine::from_bytes(&identity).err(),
        Some(NotAPoint::Identity)
    );
    let mut uncompressed = good;
    uncompressed[0] &= 0x7f;
    assert_eq!(
        Affine::from_bytes(&uncompressed).err(),
        Some(NotAPoint::Curve)
    );
    assert_eq!(
        Affine::from_bytes(&[0xff; POINT_BYTES]).err(),
        Some(NotAPoint::Curve)
    );
    // Of small x, about half are on the curve and nearly none of those in the subgroup.
    let mut reasons = Vec::new();
    for x in 1..=40 {
        let mut bytes = [0; POINT_BYTES];
        bytes[0] = 0x80;
        bytes[POINT_BYTES - 1] = x;
        reasons.push(Affine::from_bytes(&bytes).err());
    }
    assert!(reasons.contains(&Some(NotAPoint::Curve)));
    assert!(reasons.contains(&Some(NotAPoint::Subgroup)));
    assert!(!reasons.contains(&None));

    let mut identity = [0; PUBLIC_POINT_BYTES];
    identity[0] = 0xc0;
    assert_eq!(
        PublicPoint::from_bytes(&identity).err(),
        Some(NotAPoint::Identity)
    );
}

#[test]
fn pairings_are_bilinear() {
    let secret = scalar(5);
    let p = Point::from(point(1));
    let w = PublicPoint::generator_times_secret(&secret);
    let g = PublicPoint::generator();
    let minus = (-p.mul_secret(&secret)).to_affine();
    assert!(pairings_cancel(&p.to_affine(), &w, &minus, &g));
    assert!(!pairings_cancel(&p.to_affine(), &g, &minus, &g));
    let nothing = Point::default().to_affine();
    assert!(pairings_cancel(&nothing, &w, &nothing, &g));
    assert!(!pairings_cancel(&nothing, &w, &minus, &g));
}

#[test]
fn weighted_sums_agree_for_every_count() {
    for count in 1..=40u8 {
        let bases: Vec<Affine> = (0..count).map(|seed| point(seed % 3)).collect();
        let weights: Vec<[u8; WEIGHT_BYTES]> = (0..count)
            .map(|seed| expand_message(&[seed], b"w"))
            .collect();
        let terms: Vec<(Affine, Scalar)> = bases
            .iter()
            .zip(&weights)
            .map(|(base, weight)| {
                let number = |at: usize| u64::from_le_bytes(*weight[at..].first_chunk().unwrap());
                let z = small(Z);
                (*base, small(number(0)) + small(number(8)) * z * z)
            })
            .collect();
        assert!(weighted_sum(&bases, &weights) == naive(&terms), "{count}");
    }
    assert!(weighted_sum(&[], &[]) == Point::default());
}
