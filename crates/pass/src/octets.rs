//! Reading fixed parts off bytes, each checked once (spec/realpass.md, rule B3).

use crate::curve::{Affine, POINT_BYTES, SCALAR_BYTES, Scalar};
use crate::error::PassError;

/// What is left to read.
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.0.len()
    }

    pub fn take(&mut self, length: usize) -> Result<&'a [u8], PassError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(PassError::Length)?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], PassError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(PassError::Length)?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn byte(&mut self) -> Result<u8, PassError> {
        self.array::<1>().map(|[byte]| *byte)
    }

    pub fn point(&mut self) -> Result<Affine, PassError> {
        Ok(Affine::from_bytes(self.array::<POINT_BYTES>()?)?)
    }

    /// A scalar below the order; zero is a number like any other.
    pub fn scalar(&mut self) -> Result<Scalar, PassError> {
        Scalar::from_bytes(self.array::<SCALAR_BYTES>()?).ok_or(PassError::Scalar)
    }

    /// A scalar below the order and not zero.
    pub fn nonzero_scalar(&mut self) -> Result<Scalar, PassError> {
        let scalar = self.scalar()?;
        if scalar.is_zero() {
            return Err(PassError::Scalar);
        }
        Ok(scalar)
    }

    /// All scalars up to the last, and the last: responses and the challenge.
    pub fn scalars_and_challenge(
        &mut self,
        most: usize,
    ) -> Result<(Vec<Scalar>, Scalar), PassError> {
        let count = self.left() / SCALAR_BYTES;
        if !self.left().is_multiple_of(SCALAR_BYTES) || count == 0 || count > most + 1 {
            return Err(PassError::Length);
        }
        let scalars = (1..count)
            .map(|_| self.nonzero_scalar())
            .collect::<Result<_, _>>()?;
        Ok((scalars, self.nonzero_scalar()?))
    }

    pub fn end(&self) -> Result<(), PassError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(PassError::Length)
        }
    }
}
