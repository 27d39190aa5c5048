//! Sums of points of G1 times public scalars, none in constant time: one alone, and many at once
//! (spec/realpass.md, rules B7, B14 and B16).
//!
//! Straus' way, with one chain of doublings for a sum, over scalars that are halved by the curve's
//! endomorphism (Gallant, Lambert, Vanstone): k·P = low·P + high·(z²·P), and z²·P = (β·x, -y).
//! A sum alone runs over projective points. Many run [in step](super::steps) over affine ones.

use std::ptr;
use std::sync::OnceLock;

use blst::{
    blst_fp, blst_fp_cneg, blst_fp_eucl_inverse, blst_fp_mul, blst_p1, blst_p1_add_affine,
    blst_p1_add_or_double_affine, blst_p1_affine, blst_p1_affine_generator, blst_p1_double,
    blst_p1_generator, blst_p1_is_inf, blst_p1_mult, blst_p1_to_affine, blst_p1s_mult_pippenger,
    blst_p1s_mult_pippenger_scratch_sizeof, limb_t,
};

use super::steps::{Addition, IDENTITY, Steps};
use super::{Affine, Point, SCALAR_BITS, SCALAR_BYTES, Scalar, write_affine};

/// Length of the weights of [`weighted_sum`], in bytes.
pub const WEIGHT_BYTES: usize = 16;
/// How many at once are quicker in step: with fewer, an inversion serves too few.
const LEAST_IN_STEP: usize = 30;

/// The sum of points times public scalars.
pub fn sum_public(terms: &[(Affine, Scalar)]) -> Point {
    let points: Vec<Affine> = terms.iter().map(|(point, _)| *point).collect();
    let multiples = Multiples::of_passing(&points);
    sum_of_multiples(
        multiples
            .iter()
            .zip(terms)
            .map(|(multiples, (_, scalar))| (multiples, *scalar)),
    )
}

/// The sum of many points, each times a weight: two numbers of 64 bits, little-endian, the weight
/// a + b·z². Different pairs are different weights, since both are below z².
pub fn weighted_sum(points: &[Affine], weights: &[[u8; WEIGHT_BYTES]]) -> Point {
    let count = points.len().min(weights.len());
    let mut out = blst_p1::default();
    if count == 0 {
        return Point(out);
    }
    // P and z²·P, so that all scalars are half as long.
    let mut halves: Vec<blst_p1_affine> = Vec::with_capacity(2 * count);
    for Affine(point) in &points[..count] {
        let mut image = *point;
        image.x = times_beta(&point.x);
        // SAFETY: both are initialised, and may be one.
        unsafe { blst_fp_cneg(&mut image.y, &point.y, true) };
        halves.extend([*point, image]);
    }
    let point_list: [*const blst_p1_affine; 2] = [halves.as_ptr(), ptr::null()];
    let scalar_list: [*const u8; 2] = [weights.as_ptr().cast(), ptr::null()];
    // SAFETY: the scratch has the size that blst asks for this count; `2 * count` points, and as
    // many scalars of half a weight, lie one after another behind the first pointers. blst steps
    // from scalar to scalar by as many bytes as the bits fill, which is what each has.
    unsafe {
        let scratch_bytes = blst_p1s_mult_pippenger_scratch_sizeof(halves.len());
        let mut scratch = vec![0 as limb_t; scratch_bytes.div_ceil(size_of::<limb_t>())];
        blst_p1s_mult_pippenger(
            &mut out,
            point_list.as_ptr(),
            halves.len(),
            scalar_list.as_ptr(),
            4 * WEIGHT_BYTES,
            scratch.as_mut_ptr(),
        );
    }
    Point(out)
}

/// Width of the digits for a point that stays: 256 odd multiples, 36 KiB, of which those of a key
/// fit a processor's cache.
const STAYING_WIDTH: u32 = 10;
/// Width of the digits for a point that is used once or twice: 8 odd multiples.
const PASSING_WIDTH: u32 = 5;

/// Odd multiples of a point.
pub struct Multiples {
    /// P, 3P, 5P, …
    odd: Vec<Multiple>,
    width: u32,
}

/// A point M, and z²·M = (β·x, -y).
#[derive(Clone, Copy)]
struct Multiple {
    x: blst_fp,
    beta_x: blst_fp,
    y: blst_fp,
}

impl Multiples {
    /// Of points that many sums will use: about 0.2 ms each.
    pub fn of_staying(points: &[Affine]) -> Vec<Self> {
        Self::of(points, STAYING_WIDTH)
    }

    /// Of points that a sum or two will use.
    pub fn of_passing(points: &[Affine]) -> Vec<Self> {
        Self::of(points, PASSING_WIDTH)
    }

    fn of(points: &[Affine], width: u32) -> Vec<Self> {
        let each = 1usize << (width - 2);
        let odd = if points.len() < LEAST_IN_STEP {
            odd_multiples(points, each)
        } else {
            odd_multiples_in_step(points, each)
        };
        (0..points.len())
            .map(|point| Self {
                odd: (odd[point..].iter().step_by(points.len()))
                    .map(|Affine(multiple)| Multiple {
                        x: multiple.x,
                        beta_x: times_beta(&multiple.x),
                        y: multiple.y,
                    })
                    .collect(),
                width,
            })
            .collect()
    }

    /// What an odd digit picks, but for its sign.
    fn entry(&self, digit: i16) -> &Multiple {
        &self.odd[usize::from(digit.unsigned_abs() / 2)]
    }
}

impl Multiple {
    /// What a digit of half a scalar stands for: M or z²·M, or its opposite.
    fn term(&self, is_high: bool, is_negative: bool) -> blst_p1_affine {
        let mut term = blst_p1_affine {
            x: if is_high { self.beta_x } else { self.x },
            y: self.y,
        };
        // SAFETY: both are initialised.
        unsafe { blst_fp_cneg(&mut term.y, &self.y, is_high != is_negative) };
        term
    }
}

/// The points, then thrice the points, and so on: `each` multiples of all.
fn odd_multiples(points: &[Affine], each: usize) -> Vec<Affine> {
    let mut all: Vec<Point> = points.iter().map(|point| Point::from(*point)).collect();
    let twice: Vec<Point> = all.iter().map(|point| *point + *point).collect();
    for at in 0..(each - 1) * points.len() {
        all.push(all[at] + twice[at % points.len()]);
    }
    let mut affine = vec![Affine(IDENTITY); all.len()];
    write_affine(&all, &mut affine);
    affine
}

/// The same, each multiple of all points in one step.
fn odd_multiples_in_step(points: &[Affine], each: usize) -> Vec<Affine> {
    let count = points.len();
    let mut steps = Steps::default();
    // Twice the points stand behind all others.
    let twice = each * count;
    steps.points.reserve_exact(twice + count);
    for _ in 0..=each {
        steps.points.extend(points.iter().map(|point| point.0));
    }
    let add = |steps: &mut Steps, into: usize, from: usize| {
        let additions: Vec<Addition> = (0..count)
            .map(|at| Addition {
                into: into + at,
                from: from + at,
            })
            .collect();
        steps.add(&additions);
    };
    add(&mut steps, twice, twice);
    for multiple in 1..each {
        let into = multiple * count;
        steps.points.copy_within(into - count..into, into);
        add(&mut steps, into, twice);
    }
    steps.points.truncate(twice);
    steps.points.into_iter().map(Affine).collect()
}

/// Bits of half a scalar, and one for the carry.
const HALF_BITS: usize = 129;

/// The sum of points, given by their multiples, times public scalars.
pub fn sum_of_multiples<'a>(terms: impl IntoIterator<Item = (&'a Multiples, Scalar)>) -> Point {
    let halves: Vec<(&Multiples, bool, u128)> = terms.into_iter().flat_map(halved).collect();
    // Digits by bit, then by half: what one step of the chain reads lies together.
    let mut digits = vec![0; HALF_BITS * halves.len()];
    for (index, (multiples, _, half)) in halves.iter().enumerate() {
        non_adjacent_form(*half, multiples.width, |bit, digit| {
            digits[bit * halves.len() + index] = digit;
        });
    }
    // The sum and room for the next, which change places instead of being copied.
    let (mut one, mut other) = (blst_p1::default(), blst_p1::default());
    let (mut sum, mut next) = (&mut one, &mut other);
    let mut begun = false;
    for bit in (0..HALF_BITS).rev() {
        if begun {
            // SAFETY: both are initialised.
            unsafe { blst_p1_double(next, sum) };
            (sum, next) = (next, sum);
        }
        let row = &digits[bit * halves.len()..][..halves.len()];
        for (digit, (multiples, is_high, _)) in row.iter().zip(&halves) {
            if *digit == 0 {
                continue;
            }
            begun = true;
            let term = multiples.entry(*digit).term(*is_high, *digit < 0);
            // SAFETY: all are initialised. The quick addition is wrong for equal points alone, and
            // then answers with the identity; that is looked for, so that whoever chooses the
            // scalars finds none for which the sum is wrong.
            unsafe {
                blst_p1_add_affine(next, sum, &term);
                if blst_p1_is_inf(next) {
                    blst_p1_add_or_double_affine(next, sum, &term);
                }
            }
            (sum, next) = (next, sum);
        }
    }
    Point(*sum)
}

/// Both halves of a scalar, with their multiples and whether it is the high one.
fn halved((multiples, scalar): (&Multiples, Scalar)) -> [(&Multiples, bool, u128); 2] {
    let (low, high) = split(&scalar);
    [(multiples, false, low), (multiples, true, high)]
}

/// The terms of one of [`sums_of_multiples`].
pub type Terms<'a> = Vec<(&'a Multiples, Scalar)>;

/// Many sums at once, each as [`sum_of_multiples`] would make it.
pub fn sums_of_multiples(sums: Vec<Terms<'_>>) -> Vec<Affine> {
    if sums.len() < LEAST_IN_STEP {
        let alone: Vec<Point> = sums.into_iter().map(sum_of_multiples).collect();
        let mut affine = vec![Affine(IDENTITY); alone.len()];
        write_affine(&alone, &mut affine);
        return affine;
    }
    sums_in_step(sums)
}

/// How many bits of all sums are prepared together: what they need fits a processor's cache.
const ROWS: usize = 16;

/// A digit of a sum at some bit.
struct Digit<'a> {
    sum: usize,
    entry: &'a Multiple,
    is_high: bool,
    is_negative: bool,
}

/// Neighbours among the points of [`Steps`] that are to be added to a sum at some bit.
struct Run {
    sum: usize,
    start: usize,
    length: usize,
}

fn sums_in_step(sums: Vec<Terms<'_>>) -> Vec<Affine> {
    let count = sums.len();
    // Those of one sum stand together in a row.
    let mut rows: Vec<Vec<Digit<'_>>> = (0..HALF_BITS).map(|_| Vec::new()).collect();
    for (sum, terms) in sums.into_iter().enumerate() {
        for (multiples, is_high, half) in terms.into_iter().flat_map(halved) {
            non_adjacent_form(half, multiples.width, |bit, digit| {
                rows[bit].push(Digit {
                    sum,
                    entry: multiples.entry(digit),
                    is_high,
                    is_negative: digit < 0,
                });
            });
        }
    }
    let mut steps = Steps::default();
    // The sums stand first.
    steps.points = vec![IDENTITY; count];
    let doublings: Vec<Addition> = (0..count)
        .map(|sum| Addition {
            into: sum,
            from: sum,
        })
        .collect();
    let mut additions = Vec::new();
    for block in rows.rchunks(ROWS) {
        steps.points.truncate(count);
        let mut runs: Vec<Vec<Run>> = block
            .iter()
            .map(|row| lay_out(row, &mut steps.points))
            .collect();
        // Runs are folded in half until they are single points.
        loop {
            additions.clear();
            for run in runs.iter_mut().flatten() {
                let kept = run.length.div_ceil(2);
                let folded = run.start + kept..run.start + run.length;
                additions.extend(folded.map(|from| Addition {
                    into: from - kept,
                    from,
                }));
                run.length = kept;
            }
            if additions.is_empty() {
                break;
            }
            steps.add(&additions);
        }
        for row in runs.iter().rev() {
            steps.add(&doublings);
            additions.clear();
            additions.extend(row.iter().map(|run| Addition {
                into: run.sum,
                from: run.start,
            }));
            steps.add(&additions);
        }
    }
    steps.points.truncate(count);
    steps.points.into_iter().map(Affine).collect()
}

/// Appends what the digits of a row stand for, and answers with a run for each sum that has any.
fn lay_out(row: &[Digit<'_>], points: &mut Vec<blst_p1_affine>) -> Vec<Run> {
    row.chunk_by(|one, next| one.sum == next.sum)
        .map(|digits| {
            let start = points.len();
            points.extend(
                digits
                    .iter()
                    .map(|digit| digit.entry.term(digit.is_high, digit.is_negative)),
            );
            Run {
                sum: digits[0].sum,
                start,
                length: digits.len(),
            }
        })
        .collect()
}

/// z, by whose powers the curve is made; its sign is of no matter here.
const Z: u64 = 0xd201_0000_0001_0000;

/// Halves a scalar: low + high · z², both below 2^128.
fn split(scalar: &Scalar) -> (u128, u128) {
    let bytes = scalar.to_little_endian();
    let mut limbs = [0u64; 4];
    for (limb, bytes) in limbs.iter_mut().zip(bytes.chunks_exact(8)) {
        *limb = bytes
            .iter()
            .rev()
            .fold(0, |limb, byte| (limb << 8) | u64::from(*byte));
    }
    let mut divide = || {
        let mut rest = 0u128;
        for limb in limbs.iter_mut().rev() {
            let dividend = (rest << 64) | u128::from(*limb);
            *limb = (dividend / u128::from(Z)) as u64;
            rest = dividend % u128::from(Z);
        }
        rest
    };
    let (first, second) = (divide(), divide());
    // The order is below z^4, so the quotient has two limbs.
    let high = (u128::from(limbs[1]) << 64) | u128::from(limbs[0]);
    (second * u128::from(Z) + first, high)
}

/// The digits of a number that are not zero, by their bits: each odd and below 2^(width-1) either
/// way, and no two within `width` bits.
fn non_adjacent_form(mut number: u128, width: u32, mut digit_at: impl FnMut(usize, i16)) {
    let mut bit = 0;
    while number != 0 {
        let zeros = number.trailing_zeros();
        number >>= zeros;
        bit += zeros as usize;
        let window = (number & ((1 << width) - 1)) as i16;
        number >>= width;
        if window >= 1 << (width - 1) {
            number += 1;
            digit_at(bit, window - (1 << width));
        } else {
            digit_at(bit, window);
        }
        bit += width as usize;
    }
}

/// The x of z²·P, from that of P.
fn times_beta(x: &blst_fp) -> blst_fp {
    let mut product = blst_fp::default();
    // SAFETY: all are initialised.
    unsafe { blst_fp_mul(&mut product, x, endomorphism()) };
    product
}

/// β: by what z² multiplies the x of every point. Taken from the generator, once.
fn endomorphism() -> &'static blst_fp {
    static BETA: OnceLock<blst_fp> = OnceLock::new();
    BETA.get_or_init(|| {
        let mut z_squared = [0; SCALAR_BYTES];
        z_squared[..16].copy_from_slice(&(u128::from(Z) * u128::from(Z)).to_le_bytes());
        let mut image = blst_p1::default();
        let mut affine = blst_p1_affine::default();
        let mut inverse = blst_fp::default();
        let mut beta = blst_fp::default();
        // SAFETY: 255 bits are read from 32 bytes; the generators are constants of blst, which in
        // WebAssembly lie on 4 bytes where ours lie on 8: hence read without alignment.
        unsafe {
            let generator = blst_p1_generator();
            let affine_generator = blst_p1_affine_generator().read_unaligned();
            blst_p1_mult(&mut image, generator, z_squared.as_ptr(), SCALAR_BITS);
            blst_p1_to_affine(&mut affine, &image);
            blst_fp_eucl_inverse(&mut inverse, &affine_generator.x);
            blst_fp_mul(&mut beta, &affine.x, &inverse);
        }
        beta
    })
}

#[cfg(test)]
mod tests {
    use super::super::{WIDE_BYTES, expand_message, hash_to_curve_g1};
    use super::*;

    #[test]
    fn halves_and_digits_give_the_number_back() {
        let z = Scalar::from_wide(&{
            let mut wide = [0; WIDE_BYTES];
            wide[WIDE_BYTES - 8..].copy_from_slice(&Z.to_be_bytes());
            wide
        });
        let of = |number: u128| {
            let mut wide = [0; WIDE_BYTES];
            wide[WIDE_BYTES - 16..].copy_from_slice(&number.to_be_bytes());
            Scalar::from_wide(&wide)
        };
        let point = hash_to_curve_g1(b"point", b"test").to_affine();
        let mut cases: Vec<Scalar> = (0..=255u8)
            .map(|seed| Scalar::from_wide(&expand_message(&[seed], b"test")))
            .collect();
        cases.extend([
            Scalar::default(),
            Scalar::one(),
            -Scalar::one(),
            z,
            z * z,
            -z,
        ]);
        cases.extend([z * z - Scalar::one(), z * z * z, of(u128::MAX)]);
        for case in cases {
            let (low, high) = split(&case);
            assert!(of(low) + of(high) * z * z == case);
            for width in [PASSING_WIDTH, STAYING_WIDTH] {
                for number in [low, high, u128::MAX, 1 << 127] {
                    let mut digits = [0i16; HALF_BITS];
                    non_adjacent_form(number, width, |bit, digit| digits[bit] = digit);
                    let two = of(2);
                    let sum = digits.iter().rev().fold(Scalar::default(), |sum, digit| {
                        let size = of(u128::from(digit.unsigned_abs()));
                        sum * two + if *digit < 0 { -size } else { size }
                    });
                    assert!(sum == of(number));
                    assert!(digits.iter().all(|digit| *digit == 0 || digit % 2 != 0));
                }
            }
            assert!(sum_public(&[(point, case)]) == Point::from(point).mul_secret(&case));
        }
    }
}
