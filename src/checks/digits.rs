//! Whole numbers as text, for statistics without a fixed size: between workers and in state they travel as a text does.
//!
//! A number is its bits six at a time, least first, each character but the last with its seventh bit set: all of them are ASCII.

/// Puts numbers into a text.
#[derive(Debug, Default)]
pub(super) struct Digits(pub(super) String);

impl Digits {
    pub(super) fn uint(&mut self, mut value: u64) {
        while value >= 0x40 {
            self.digit((value & 0x3F) | 0x40);
            value >>= 6;
        }
        self.digit(value);
    }

    pub(super) fn int(&mut self, value: i64) {
        self.uint(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    pub(super) fn count(&mut self, count: usize) {
        self.uint(u64::try_from(count).expect("a length has 64 bits at most"));
    }

    fn digit(&mut self, digit: u64) {
        let digit = u8::try_from(digit).expect("seven bits");
        self.0.push(char::from(digit));
    }
}

/// Takes them out again; `None` where there are none.
#[derive(Debug)]
pub(super) struct Read<'a>(pub(super) &'a str);

impl<'a> Read<'a> {
    pub(super) fn uint(&mut self) -> Option<u64> {
        let (mut value, mut shift) = (0_u64, 0_u32);
        loop {
            let (first, _) = self.0.as_bytes().split_first()?;
            let digit = u64::from(*first);
            self.0 = self.0.get(1..)?;
            let bits = digit & 0x3F;
            let shifted = bits.checked_shl(shift).filter(|all| all >> shift == bits)?;
            value |= shifted;
            if digit < 0x40 {
                return Some(value);
            }
            shift += 6;
        }
    }

    pub(super) fn int(&mut self) -> Option<i64> {
        let folded = self.uint()?;
        Some((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed())
    }

    /// The number of things of a character at least.
    pub(super) fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.uint()?).ok()?;
        (count <= self.0.len()).then_some(count)
    }

    /// So many bytes.
    pub(super) fn text(&mut self, bytes: usize) -> Option<&'a str> {
        let (text, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_ends_are_seen() {
        let numbers = [0, 1, -1, 63, 64, -64, i64::MAX, i64::MIN];
        let mut digits = Digits::default();
        for number in numbers {
            digits.int(number);
        }
        assert!(digits.0.is_ascii());
        let mut read = Read(&digits.0);
        for number in numbers {
            assert_eq!(read.int(), Some(number));
        }
        assert_eq!(read.int(), None);
        assert_eq!(Read("\u{7f}").uint(), None);
        assert_eq!(Read(&"\u{7f}".repeat(20)).uint(), None);
        assert_eq!(Read("é").uint(), None);
    }
}
