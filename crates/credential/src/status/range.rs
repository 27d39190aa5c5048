//! The range coder of a delta (spec/status.md, U11): adaptive binary probabilities of 12 bits.
//!
//! Each bit is coded under a [`Bit`], which learns how often it is set. So what is likely costs a
//! fraction of a bit, and no parameter has to be chosen or sent.

/// A bit's probability of being clear, of 4096; it begins even.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bit(u16);

const HALF: Bit = Bit(2048);
/// How fast a probability follows what it sees: by a 32nd part of what is missing.
const RATE: u32 = 5;

impl Bit {
    fn learn(&mut self, set: bool) {
        if set {
            self.0 -= self.0 >> RATE;
        } else {
            self.0 += (4096 - self.0) >> RATE;
        }
    }
}

/// A number of a fixed count of bits, high bit first, each under those before it.
#[derive(Debug, Clone)]
pub(super) struct Tree(Vec<Bit>);

impl Tree {
    pub(super) fn new(bits: u32) -> Self {
        Self(vec![HALF; 1 << bits])
    }

    fn bits(&self) -> u32 {
        self.0.len().trailing_zeros()
    }
}

/// Input that ended too early.
#[derive(Debug)]
pub(super) struct Ended;

#[derive(Debug)]
pub(super) struct Encoder {
    low: u32,
    range: u32,
    out: Vec<u8>,
}

impl Encoder {
    /// Writes behind `out`.
    pub(super) fn new(out: Vec<u8>) -> Self {
        Self {
            low: 0,
            range: u32::MAX,
            out,
        }
    }

    fn add(&mut self, amount: u32) {
        let (low, carry) = self.low.overflowing_add(amount);
        self.low = low;
        if carry {
            for byte in self.out.iter_mut().rev() {
                *byte = byte.wrapping_add(1);
                if *byte != 0 {
                    break;
                }
            }
        }
    }

    fn normalise(&mut self) {
        while self.range < 1 << 24 {
            self.out.push((self.low >> 24) as u8);
            self.low <<= 8;
            self.range <<= 8;
        }
    }

    fn bit(&mut self, set: bool, bit: &mut Bit) {
        let bound = (self.range >> 12) * u32::from(bit.0);
        if set {
            self.add(bound);
            self.range -= bound;
        } else {
            self.range = bound;
        }
        bit.learn(set);
        self.normalise();
    }

    pub(super) fn number(&mut self, value: u32, tree: &mut Tree) {
        let mut at = 1;
        for place in (0..tree.bits()).rev() {
            let set = value >> place & 1 == 1;
            self.bit(set, &mut tree.0[at]);
            at = 2 * at + usize::from(set);
        }
    }

    /// The lowest `bits` of `value`, each as likely set as not.
    pub(super) fn plain(&mut self, value: u64, bits: u32) {
        for place in (0..bits).rev() {
            self.range >>= 1;
            if value >> place & 1 == 1 {
                self.add(self.range);
            }
            self.normalise();
        }
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.out.extend_from_slice(&self.low.to_be_bytes());
        self.out
    }
}

#[derive(Debug)]
pub(super) struct Decoder<'a> {
    code: u32,
    range: u32,
    input: &'a [u8],
}

impl<'a> Decoder<'a> {
    pub(super) fn new(input: &'a [u8]) -> Result<Self, Ended> {
        let (first, input) = input.split_first_chunk::<4>().ok_or(Ended)?;
        Ok(Self {
            code: u32::from_be_bytes(*first),
            range: u32::MAX,
            input,
        })
    }

    fn normalise(&mut self) -> Result<(), Ended> {
        while self.range < 1 << 24 {
            let (byte, input) = self.input.split_first().ok_or(Ended)?;
            self.input = input;
            self.code = self.code << 8 | u32::from(*byte);
            self.range <<= 8;
        }
        Ok(())
    }

    fn bit(&mut self, bit: &mut Bit) -> Result<bool, Ended> {
        let bound = (self.range >> 12) * u32::from(bit.0);
        let set = self.code >= bound;
        if set {
            self.code -= bound;
            self.range -= bound;
        } else {
            self.range = bound;
        }
        bit.learn(set);
        self.normalise()?;
        Ok(set)
    }

    pub(super) fn number(&mut self, tree: &mut Tree) -> Result<u32, Ended> {
        let mut at = 1;
        for _ in 0..tree.bits() {
            at = 2 * at + usize::from(self.bit(&mut tree.0[at])?);
        }
        Ok((at - tree.0.len()) as u32)
    }

    pub(super) fn plain(&mut self, bits: u32) -> Result<u64, Ended> {
        let mut value = 0;
        for _ in 0..bits {
            self.range >>= 1;
            let set = self.code >= self.range;
            if set {
                self.code -= self.range;
            }
            value = value << 1 | u64::from(set);
            self.normalise()?;
        }
        Ok(value)
    }

    /// Whether all input was used.
    pub(super) fn is_at_end(&self) -> bool {
        self.input.is_empty()
    }
}
