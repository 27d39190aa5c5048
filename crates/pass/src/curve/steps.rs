//! Additions of affine points in step: one inversion serves all.
//!
//! Adding two affine points takes an inversion, two multiplications and a squaring, and the
//! inversions of a step cost one and three multiplications each (Montgomery's trick). That is six
//! multiplications, where adding to a projective point takes eleven. Not constant time.

use blst::{
    blst_fp, blst_fp_add, blst_fp_eucl_inverse, blst_fp_from_uint64, blst_fp_mul, blst_fp_sqr,
    blst_fp_sub, blst_p1_affine,
};

/// The identity: no point of the curve has both coordinates zero.
pub(super) const IDENTITY: blst_p1_affine = blst_p1_affine {
    x: blst_fp { l: [0; 6] },
    y: blst_fp { l: [0; 6] },
};

/// An addition of a step: `points[into] += points[from]`. Both may be one, which doubles.
#[derive(Clone, Copy)]
pub(super) struct Addition {
    pub into: usize,
    pub from: usize,
}

/// Points, and room for what a step computes on the way.
#[derive(Default)]
pub(super) struct Steps {
    pub points: Vec<blst_p1_affine>,
    /// For each addition its slope's divisor, and the product of those before it.
    divisors: Vec<(blst_fp, blst_fp)>,
}

impl Steps {
    /// Adds. No point may stand in two additions of a step, but as `from` in both. Every case is
    /// answered rightly: the identity, equal points, opposite ones.
    pub fn add(&mut self, additions: &[Addition]) {
        let mut product = one();
        self.divisors.clear();
        for Addition { into, from } in additions {
            let divisor = slope_divisor(&self.points[*into], &self.points[*from]);
            self.divisors.push((divisor, product));
            product = mul(&product, &divisor);
        }
        let mut inverse = invert(&product);
        for (Addition { into, from }, (divisor, before)) in
            additions.iter().zip(&self.divisors).rev()
        {
            let own = mul(&inverse, before);
            inverse = mul(&inverse, divisor);
            self.points[*into] = sum(&self.points[*into], &self.points[*from], &own);
        }
    }
}

/// What the slope between two points is divided by; one where the sum needs no slope.
fn slope_divisor(left: &blst_p1_affine, right: &blst_p1_affine) -> blst_fp {
    if left.x != right.x {
        if *left == IDENTITY || *right == IDENTITY {
            return one();
        }
        return sub(&right.x, &left.x);
    }
    if left.y == right.y && *left != IDENTITY {
        // Not zero: points of odd order only come here.
        return add(&left.y, &left.y);
    }
    one()
}

/// The sum of two points, from the inverse of what [`slope_divisor`] answered.
fn sum(left: &blst_p1_affine, right: &blst_p1_affine, inverse: &blst_fp) -> blst_p1_affine {
    if *left == IDENTITY {
        return *right;
    }
    if *right == IDENTITY {
        return *left;
    }
    let rise = if left.x != right.x {
        sub(&right.y, &left.y)
    } else if left.y == right.y {
        let square = sqr(&left.x);
        add(&add(&square, &square), &square)
    } else {
        return IDENTITY;
    };
    let slope = mul(&rise, inverse);
    let x = sub(&sub(&sqr(&slope), &left.x), &right.x);
    let y = sub(&mul(&slope, &sub(&left.x, &x)), &left.y);
    blst_p1_affine { x, y }
}

macro_rules! field_operator {
    ($name:ident, $function:ident) => {
        #[inline]
        fn $name(left: &blst_fp, right: &blst_fp) -> blst_fp {
            let mut out = blst_fp::default();
            // SAFETY: all three are initialised field elements.
            unsafe { $function(&mut out, left, right) };
            out
        }
    };
}
field_operator!(add, blst_fp_add);
field_operator!(sub, blst_fp_sub);
field_operator!(mul, blst_fp_mul);

#[inline]
fn sqr(number: &blst_fp) -> blst_fp {
    let mut out = blst_fp::default();
    // SAFETY: both are initialised field elements.
    unsafe { blst_fp_sqr(&mut out, number) };
    out
}

fn invert(number: &blst_fp) -> blst_fp {
    let mut out = blst_fp::default();
    // SAFETY: both are initialised field elements.
    unsafe { blst_fp_eucl_inverse(&mut out, number) };
    out
}

fn one() -> blst_fp {
    let mut out = blst_fp::default();
    // SAFETY: six limbs are read, as the array holds.
    unsafe { blst_fp_from_uint64(&mut out, [1, 0, 0, 0, 0, 0].as_ptr()) };
    out
}
