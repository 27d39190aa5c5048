//! BLS12-381 as the drafts use it, on `blst`: scalars, points of both groups, multiplications,
//! hashing to the curve and the pairing product (spec/realpass.md, rules B1 to B5).
//!
//! Sums with public scalars are in `sums`, and what makes many of them quick in `steps`.
//!
//! These are the only modules with unsafe code. `blst`'s safe face knows BLS signatures only; scalar
//! fields, bare points and pairing products are reachable through its C functions alone. Each call
//! here passes references to initialised values of the types that the C header names, and lengths
//! taken from the slices themselves; no pointer outlives its call.
//!
//! Two rules hold everywhere above:
//! - **A point is checked once.** [`Affine`] and [`PublicPoint`] come from bytes only through
//!   checks for the curve, the subgroup and the identity, so arithmetic never meets another point.
//! - **The name says whether a scalar may be secret.** `*_secret` runs in constant time;
//!   `*_public` does not and is for values that everybody knows, or that only the caller knows
//!   and that appear in what it sends.

#![allow(unsafe_code)]

mod steps;
mod sums;

use std::ptr;

use blst::{
    BLST_ERROR, blst_bendian_from_scalar, blst_expand_message_xmd, blst_final_exp, blst_fp6,
    blst_fp12, blst_fp12_is_one, blst_fp12_mul, blst_fr, blst_fr_add, blst_fr_cneg,
    blst_fr_eucl_inverse, blst_fr_from_scalar, blst_fr_mul, blst_fr_sub, blst_hash_to_g1,
    blst_lendian_from_scalar, blst_miller_loop_lines, blst_p1, blst_p1_add_or_double,
    blst_p1_add_or_double_affine, blst_p1_affine, blst_p1_affine_compress, blst_p1_affine_in_g1,
    blst_p1_affine_is_inf, blst_p1_cneg, blst_p1_double, blst_p1_from_affine, blst_p1_is_equal,
    blst_p1_is_inf, blst_p1_mult, blst_p1_to_affine, blst_p1_uncompress, blst_p1s_to_affine,
    blst_p2, blst_p2_affine, blst_p2_affine_compress, blst_p2_affine_generator,
    blst_p2_affine_in_g2, blst_p2_affine_is_inf, blst_p2_generator, blst_p2_mult,
    blst_p2_to_affine, blst_p2_uncompress, blst_precompute_lines, blst_scalar,
    blst_scalar_fr_check, blst_scalar_from_be_bytes, blst_scalar_from_bendian, blst_scalar_from_fr,
};
use subtle::{ConditionallySelectable, ConstantTimeEq};
use zeroize::{Zeroize, Zeroizing};

pub use sums::{
    Multiples, Terms, WEIGHT_BYTES, sum_of_multiples, sum_public, sums_of_multiples, weighted_sum,
};

/// Length of a scalar, in bytes (`octet_scalar_length`).
pub const SCALAR_BYTES: usize = 32;
/// Length of a point of G1, in bytes, compressed (`octet_point_length`).
pub const POINT_BYTES: usize = 48;
/// Length of a point of G2, in bytes, compressed.
pub const PUBLIC_POINT_BYTES: usize = 96;
/// Bits of a scalar: the order has 255.
const SCALAR_BITS: usize = 255;
/// What is hashed to one scalar (`expand_len`), in bytes.
pub const WIDE_BYTES: usize = 48;
/// Longest output of `expand_message_xmd` with SHA-256: 255 blocks of 32 bytes.
const MAX_EXPANDED_BYTES: usize = 255 * 32;

/// Why bytes are not a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAPoint {
    /// Not the compressed form of a point of the curve.
    Curve,
    /// On the curve, outside the subgroup of prime order.
    Subgroup,
    /// The identity, which no message of the scheme may hold.
    Identity,
}

/// A number modulo the order r of the groups.
///
/// It has no `Debug`: most scalars here are secrets or would reveal one.
#[derive(Clone, Copy, Default)]
pub struct Scalar(blst_fr);

impl Scalar {
    /// Reads 32 bytes, big-endian. `None` unless the number is below r: one number, one spelling.
    pub fn from_bytes(bytes: &[u8; SCALAR_BYTES]) -> Option<Self> {
        let mut scalar = blst_scalar::default();
        let mut fr = blst_fr::default();
        // SAFETY: 32 bytes are read, as the array holds; outputs are initialised values.
        unsafe {
            blst_scalar_from_bendian(&mut scalar, bytes.as_ptr());
            if !blst_scalar_fr_check(&scalar) {
                return None;
            }
            blst_fr_from_scalar(&mut fr, &scalar);
        }
        Some(Self(fr))
    }

    /// Reduces 48 uniform bytes, big-endian: within 2^-128 of uniform.
    pub fn from_wide(bytes: &[u8; WIDE_BYTES]) -> Self {
        let mut scalar = blst_scalar::default();
        let mut fr = blst_fr::default();
        // SAFETY: length and pointer are of the same array. The answer says whether the number is
        // zero, which is a scalar like any other here.
        unsafe {
            blst_scalar_from_be_bytes(&mut scalar, bytes.as_ptr(), bytes.len());
            blst_fr_from_scalar(&mut fr, &scalar);
        }
        Self(fr)
    }

    /// One.
    pub fn one() -> Self {
        let mut bytes = [0; SCALAR_BYTES];
        bytes[SCALAR_BYTES - 1] = 1;
        // One is below r.
        Self::from_bytes(&bytes).unwrap_or_default()
    }

    /// 32 bytes, big-endian.
    pub fn to_bytes(&self) -> [u8; SCALAR_BYTES] {
        let mut out = [0; SCALAR_BYTES];
        let scalar = self.to_blst();
        // SAFETY: 32 bytes are written, as the array holds.
        unsafe { blst_bendian_from_scalar(out.as_mut_ptr(), &scalar) };
        out
    }

    /// Whether this is zero.
    pub fn is_zero(&self) -> bool {
        self.0.l.iter().fold(0, |any, limb| any | limb) == 0
    }

    /// The inverse; zero for zero. Constant time.
    pub fn invert(&self) -> Self {
        let mut out = blst_fr::default();
        // SAFETY: both are initialised field elements.
        unsafe { blst_fr_eucl_inverse(&mut out, &self.0) };
        Self(out)
    }

    /// The scalar as blst's multiplications read it.
    fn to_blst(self) -> blst_scalar {
        let mut scalar = blst_scalar::default();
        // SAFETY: both are initialised.
        unsafe { blst_scalar_from_fr(&mut scalar, &self.0) };
        scalar
    }

    /// 32 bytes, little-endian, as multiplications read them.
    fn to_little_endian(self) -> Zeroizing<[u8; SCALAR_BYTES]> {
        let mut out = Zeroizing::new([0; SCALAR_BYTES]);
        let scalar = self.to_blst();
        // SAFETY: 32 bytes are written, as the array holds.
        unsafe { blst_lendian_from_scalar(out.as_mut_ptr(), &scalar) };
        out
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.0.l.ct_eq(&other.0.l).into()
    }
}
impl Eq for Scalar {}

impl Zeroize for Scalar {
    fn zeroize(&mut self) {
        self.0.l.zeroize();
    }
}

macro_rules! scalar_operator {
    ($trait:ident, $method:ident, $function:ident) => {
        impl std::ops::$trait for Scalar {
            type Output = Scalar;
            fn $method(self, other: Scalar) -> Scalar {
                let mut out = blst_fr::default();
                // SAFETY: all three are initialised field elements.
                unsafe { $function(&mut out, &self.0, &other.0) };
                Scalar(out)
            }
        }
    };
}
scalar_operator!(Add, add, blst_fr_add);
scalar_operator!(Sub, sub, blst_fr_sub);
scalar_operator!(Mul, mul, blst_fr_mul);

impl std::ops::Neg for Scalar {
    type Output = Scalar;
    fn neg(self) -> Scalar {
        let mut out = blst_fr::default();
        // SAFETY: both are initialised field elements.
        unsafe { blst_fr_cneg(&mut out, &self.0, true) };
        Scalar(out)
    }
}

/// A point of G1 in affine form, of the right subgroup; from bytes never the identity.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Affine(blst_p1_affine);

impl Affine {
    /// Reads a compressed point and checks curve, subgroup and identity.
    pub fn from_bytes(bytes: &[u8; POINT_BYTES]) -> Result<Self, NotAPoint> {
        let mut point = blst_p1_affine::default();
        // SAFETY: 48 bytes are read, as the array holds; the point is initialised before the
        // checks read it.
        unsafe {
            if blst_p1_uncompress(&mut point, bytes.as_ptr()) != BLST_ERROR::BLST_SUCCESS {
                return Err(NotAPoint::Curve);
            }
            if blst_p1_affine_is_inf(&point) {
                return Err(NotAPoint::Identity);
            }
            if !blst_p1_affine_in_g1(&point) {
                return Err(NotAPoint::Subgroup);
            }
        }
        Ok(Self(point))
    }

    /// 48 bytes, compressed.
    pub fn to_bytes(&self) -> [u8; POINT_BYTES] {
        let mut out = [0; POINT_BYTES];
        // SAFETY: 48 bytes are written, as the array holds.
        unsafe { blst_p1_affine_compress(out.as_mut_ptr(), &self.0) };
        out
    }

    /// Whether this is the identity, which only arithmetic can make.
    pub fn is_identity(&self) -> bool {
        // SAFETY: an initialised point.
        unsafe { blst_p1_affine_is_inf(&self.0) }
    }
}

impl PartialEq for Affine {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl Eq for Affine {}

/// A point of G1 in the form that arithmetic uses. The default is the identity.
#[derive(Clone, Copy, Default)]
#[repr(transparent)]
pub struct Point(blst_p1);

impl Point {
    /// Whether this is the identity.
    pub fn is_identity(&self) -> bool {
        // SAFETY: an initialised point.
        unsafe { blst_p1_is_inf(&self.0) }
    }

    /// The affine form of this one point; see [`to_affine`] for several.
    pub fn to_affine(self) -> Affine {
        let mut out = blst_p1_affine::default();
        // SAFETY: both are initialised.
        unsafe { blst_p1_to_affine(&mut out, &self.0) };
        Affine(out)
    }

    /// The point times a secret. Constant time.
    pub fn mul_secret(&self, scalar: &Scalar) -> Point {
        let bytes = scalar.to_little_endian();
        let mut out = blst_p1::default();
        // SAFETY: 255 bits are read from 32 bytes. blst's p1 multiplication is constant-time at
        // this width, and right for points of the subgroup, which all of ours are.
        unsafe { blst_p1_mult(&mut out, &self.0, bytes.as_ptr(), SCALAR_BITS) };
        Point(out)
    }
}

impl PartialEq for Point {
    fn eq(&self, other: &Self) -> bool {
        // SAFETY: both are initialised.
        unsafe { blst_p1_is_equal(&self.0, &other.0) }
    }
}
impl Eq for Point {}

impl From<Affine> for Point {
    fn from(affine: Affine) -> Self {
        let mut out = blst_p1::default();
        // SAFETY: both are initialised.
        unsafe { blst_p1_from_affine(&mut out, &affine.0) };
        Self(out)
    }
}

impl std::ops::Add for Point {
    type Output = Point;
    fn add(self, other: Point) -> Point {
        let mut out = blst_p1::default();
        // SAFETY: all three are initialised. This addition is complete and constant-time.
        unsafe { blst_p1_add_or_double(&mut out, &self.0, &other.0) };
        Point(out)
    }
}

impl std::ops::Neg for Point {
    type Output = Point;
    fn neg(mut self) -> Point {
        // SAFETY: an initialised point.
        unsafe { blst_p1_cneg(&mut self.0, true) };
        self
    }
}

/// Brings several points into affine form with one inversion for all.
pub fn to_affine<const N: usize>(points: [Point; N]) -> [Affine; N] {
    let mut out = [Affine(blst_p1_affine::default()); N];
    write_affine(&points, &mut out);
    out
}

/// The same for as many points as both slices hold.
fn write_affine(points: &[Point], out: &mut [Affine]) {
    let count = points.len().min(out.len());
    if count == 0 {
        return;
    }
    // A null after the first pointer says that the points lie one after another.
    let first: [*const blst_p1; 2] = [points.as_ptr().cast(), ptr::null()];
    // SAFETY: `count` points are read and written, and both slices hold as many; `Point` and
    // `Affine` are laid out as what they wrap.
    unsafe { blst_p1s_to_affine(out.as_mut_ptr().cast(), first.as_ptr(), count) };
}

/// Entries of a row of [`SecretTable`]: the multiples 0 to 15, one for each window of four bits.
const SECRET_ROW: usize = 16;

/// Multiples of fixed points for sums with secret scalars, in constant time: one chain of
/// doublings for all bases, every entry of a row read for each window.
pub struct SecretTable {
    rows: Vec<[blst_p1_affine; SECRET_ROW]>,
}

impl SecretTable {
    /// Computes the multiples of `bases`.
    pub fn new(bases: &[Affine]) -> Self {
        let rows = bases
            .iter()
            .map(|base| {
                let base = Point::from(*base);
                let mut multiples = [Point::default(); SECRET_ROW];
                for index in 1..SECRET_ROW {
                    multiples[index] = multiples[index - 1] + base;
                }
                to_affine(multiples).map(|multiple| multiple.0)
            })
            .collect();
        Self { rows }
    }

    /// The sum of the named bases, each times its scalar. Constant time in the scalars; which
    /// bases are named is public. `None` if there is no such base.
    pub fn sum_secret(&self, terms: &[(usize, Scalar)]) -> Option<Point> {
        let mut rows = Vec::with_capacity(terms.len());
        for (base, scalar) in terms {
            rows.push((self.rows.get(*base)?, scalar.to_little_endian()));
        }
        let mut sum = blst_p1::default();
        for window in (0..2 * SCALAR_BYTES).rev() {
            for _ in 0..4 {
                let before = sum;
                // SAFETY: both are initialised.
                unsafe { blst_p1_double(&mut sum, &before) };
            }
            for (row, digits) in &rows {
                let nibble = (digits[window / 2] >> (4 * (window % 2))) & 0x0f;
                let term = select(row, nibble);
                let before = sum;
                // SAFETY: all are initialised. This addition is complete and constant-time; an
                // affine point of zeros is its identity.
                unsafe { blst_p1_add_or_double_affine(&mut sum, &before, &term) };
            }
        }
        Some(Point(sum))
    }
}

/// The entry at a secret index, with every entry read.
fn select(row: &[blst_p1_affine; SECRET_ROW], index: u8) -> blst_p1_affine {
    let mut out = blst_p1_affine::default();
    for (at, entry) in row.iter().enumerate() {
        let chosen = (at as u8).ct_eq(&index);
        for limb in 0..out.x.l.len() {
            out.x.l[limb].conditional_assign(&entry.x.l[limb], chosen);
            out.y.l[limb].conditional_assign(&entry.y.l[limb], chosen);
        }
    }
    out
}

/// A point of G2, checked as [`Affine`] is, with the lines that its Miller loops need.
#[derive(Clone)]
pub struct PublicPoint {
    point: blst_p2_affine,
    lines: Box<[blst_fp6; LINES]>,
}

/// Lines of a Miller loop: 63 doublings and 5 additions.
const LINES: usize = 68;

impl PublicPoint {
    /// Reads a compressed point and checks curve, subgroup and identity.
    pub fn from_bytes(bytes: &[u8; PUBLIC_POINT_BYTES]) -> Result<Self, NotAPoint> {
        let mut point = blst_p2_affine::default();
        // SAFETY: 96 bytes are read, as the array holds.
        unsafe {
            if blst_p2_uncompress(&mut point, bytes.as_ptr()) != BLST_ERROR::BLST_SUCCESS {
                return Err(NotAPoint::Curve);
            }
            if blst_p2_affine_is_inf(&point) {
                return Err(NotAPoint::Identity);
            }
            if !blst_p2_affine_in_g2(&point) {
                return Err(NotAPoint::Subgroup);
            }
        }
        Ok(Self::with_lines(point))
    }

    /// 96 bytes, compressed.
    pub fn to_bytes(&self) -> [u8; PUBLIC_POINT_BYTES] {
        let mut out = [0; PUBLIC_POINT_BYTES];
        // SAFETY: 96 bytes are written, as the array holds.
        unsafe { blst_p2_affine_compress(out.as_mut_ptr(), &self.point) };
        out
    }

    /// The generator of G2 (`BP2`).
    pub fn generator() -> Self {
        // SAFETY: blst answers with a pointer to a constant.
        Self::with_lines(unsafe { blst_p2_affine_generator().read_unaligned() })
    }

    /// The generator times a secret. Constant time.
    pub fn generator_times_secret(scalar: &Scalar) -> Self {
        let bytes = scalar.to_little_endian();
        let mut point = blst_p2::default();
        let mut affine = blst_p2_affine::default();
        // SAFETY: 255 bits are read from 32 bytes; the generator is a constant of blst.
        unsafe {
            blst_p2_mult(&mut point, blst_p2_generator(), bytes.as_ptr(), SCALAR_BITS);
            blst_p2_to_affine(&mut affine, &point);
        }
        Self::with_lines(affine)
    }

    fn with_lines(point: blst_p2_affine) -> Self {
        let mut lines = Box::new([blst_fp6::default(); LINES]);
        // SAFETY: blst writes 68 lines, as the array holds.
        unsafe { blst_precompute_lines(lines.as_mut_ptr(), &point) };
        Self { point, lines }
    }
}

impl PartialEq for PublicPoint {
    fn eq(&self, other: &Self) -> bool {
        self.point == other.point
    }
}
impl Eq for PublicPoint {}

/// Whether h(a, b) · h(c, d) is one: two Miller loops, one final exponentiation.
pub fn pairings_cancel(a: &Affine, b: &PublicPoint, c: &Affine, d: &PublicPoint) -> bool {
    // blst's Miller loop over kept lines does not know the identity, whose pairing is one.
    if a.is_identity() || c.is_identity() {
        return a.is_identity() && c.is_identity();
    }
    let mut first = blst_fp12::default();
    let mut second = blst_fp12::default();
    let mut product = blst_fp12::default();
    let mut out = blst_fp12::default();
    // SAFETY: each line array holds the 68 lines that blst reads; the rest are initialised values.
    unsafe {
        blst_miller_loop_lines(&mut first, b.lines.as_ptr(), &a.0);
        blst_miller_loop_lines(&mut second, d.lines.as_ptr(), &c.0);
        blst_fp12_mul(&mut product, &first, &second);
        blst_final_exp(&mut out, &product);
        blst_fp12_is_one(&out)
    }
}

/// `hash_to_curve_g1` of the suite BLS12381G1_XMD:SHA-256_SSWU_RO_ (RFC 9380, section 8.8.1).
pub fn hash_to_curve_g1(message: &[u8], dst: &[u8]) -> Point {
    let mut out = blst_p1::default();
    // SAFETY: pointers and lengths are of the same slices; no augmentation.
    unsafe {
        blst_hash_to_g1(
            &mut out,
            message.as_ptr(),
            message.len(),
            dst.as_ptr(),
            dst.len(),
            ptr::null(),
            0,
        );
    }
    Point(out)
}

/// `expand_message_xmd` with SHA-256 (RFC 9380, section 5.3.1). `N` is at most 8160.
pub fn expand_message<const N: usize>(message: &[u8], dst: &[u8]) -> [u8; N] {
    const { assert!(N <= MAX_EXPANDED_BYTES) };
    let mut out = [0; N];
    // SAFETY: pointers and lengths are of the same slices.
    unsafe {
        blst_expand_message_xmd(
            out.as_mut_ptr(),
            out.len(),
            message.as_ptr(),
            message.len(),
            dst.as_ptr(),
            dst.len(),
        );
    }
    out
}

#[cfg(test)]
#[path = "curve_tests.rs"]
mod tests;
