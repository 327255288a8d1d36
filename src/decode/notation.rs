//! Numbers as people and programs write them: `1.299,00`, `€ 5`, `(1,234.50)`, `12-`, `7 %`.
//!
//! A text is turned into the plain form (`-1299.00`), which the exact kernels read; what is not of the declared notation is
//! a fault, never a guess: with `decimal = ","` the text `1.299` is refused, and so is `2,40` without it. Between a sign and
//! the digits there may be blanks; groups are of three digits, or, as in India, of two before the last three.

use arrow_array::ArrayRef;
use arrow_buffer::NullBuffer;

use super::kernel::{Adjusted, Bad, Kernel, trim};
use crate::job::plan::NumberNotation;

/// A kernel for numbers behind another notation.
#[derive(Debug)]
pub(super) struct Notated<K> {
    inner: K,
    notation: NumberNotation,
    /// Whether plain numbers mean the same in the notation, so that the fast way is open.
    plain: bool,
    scratch: Vec<u8>,
    /// The fault of what is no number.
    bad: Bad,
}

impl<K: Kernel> Notated<K> {
    /// Reads `notation` and hands plain numbers to `inner`; what can't be read is the fault `bad`.
    pub(super) fn new(inner: K, notation: NumberNotation, bad: Bad) -> Self {
        Self {
            inner,
            plain: notation.decimal == b'.' && !notation.percent,
            notation,
            scratch: Vec::new(),
            bad,
        }
    }
}

impl<K: Kernel> Kernel for Notated<K> {
    type Native = K::Native;

    #[inline(always)]
    fn fast(&mut self, bytes: &[u8], start: usize, end: usize) -> Option<K::Native> {
        if self.plain {
            self.inner.fast(bytes, start, end)
        } else {
            None
        }
    }

    fn parse(&mut self, text: &[u8], lenient: bool) -> Result<K::Native, Bad> {
        let text = if lenient { trim(text) } else { text };
        self.scratch.clear();
        if to_plain(text, &self.notation, &mut self.scratch).is_none() {
            return Err(self.bad.or_hint(hint(text, &self.notation)));
        }
        self.inner.parse(&self.scratch, lenient).map_err(|mut bad| {
            // Hints of the plain kernel are about the plain notation.
            bad.hint = "";
            bad
        })
    }

    fn parse_value(&mut self, text: &[u8], lenient: bool) -> Result<K::Native, Bad> {
        self.inner.parse(text, lenient)
    }

    fn array(&self, values: Vec<K::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
        self.inner.array(values, nulls)
    }

    fn adjusted(&mut self) -> Adjusted {
        self.inner.adjusted()
    }
}

/// Appends the plain form of `text`: `[-] digits [. digits] [e [+-] digits]`. `None` where it is not of the notation;
/// what is appended then means nothing.
fn to_plain(text: &[u8], notation: &NumberNotation, plain: &mut Vec<u8>) -> Option<()> {
    let (negative, digits) = signs(text, notation)?;
    if negative {
        plain.push(b'-');
    }
    let (number, exponent) = match digits.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => digits.split_at(at),
        None => (digits, &[][..]),
    };
    let (whole, fraction) = match number.iter().position(|&byte| byte == notation.decimal) {
        Some(at) => (&number[..at], Some(&number[at + 1..])),
        None => (number, None),
    };
    grouped(whole, notation.thousands, plain)?;
    if let Some(fraction) = fraction {
        fraction.iter().all(u8::is_ascii_digit).then_some(())?;
        plain.push(b'.');
        plain.extend_from_slice(fraction);
    }
    match (notation.percent, exponent) {
        (true, []) => plain.extend_from_slice(b"e-2"),
        // A share in powers of ten is nobody's notation.
        (true, _) => return None,
        (false, exponent) => plain.extend_from_slice(exponent),
    }
    Some(())
}

/// Takes signs off both ends: whether the number is negative, and what is left. Each sign may stand once.
fn signs<'a>(text: &'a [u8], notation: &NumberNotation) -> Option<(bool, &'a [u8])> {
    const MINUS: &[u8] = "\u{2212}".as_bytes();
    let (mut rest, mut negative) = (text, false);
    let (mut signed, mut currency, mut open) = (false, false, false);
    // Where nothing but a sign may stand before a number, nothing stands between the two.
    let is_spaced = notation.parentheses || notation.typographic || !notation.currency.is_empty();
    loop {
        let sign = notation.currency.iter().map(String::as_bytes);
        let mut sign = sign.filter(|_| !currency);
        rest = match rest {
            [b'-', after @ ..] if !signed => {
                (signed, negative) = (true, true);
                after
            }
            [b'+', after @ ..] if !signed => {
                signed = true;
                after
            }
            [b'(', after @ ..] if !signed && notation.parentheses => {
                (signed, negative, open) = (true, true, true);
                after
            }
            _ => {
                if let Some(after) = rest.strip_prefix(MINUS)
                    && !signed
                    && notation.typographic
                {
                    (signed, negative) = (true, true);
                    after
                } else if let Some(after) = sign.find_map(|sign| rest.strip_prefix(sign)) {
                    currency = true;
                    after
                } else {
                    break;
                }
            }
        };
        if is_spaced {
            rest = without_blanks_before(rest);
        }
    }
    let (mut percent, mut closed) = (false, false);
    loop {
        let sign = notation.currency.iter().map(String::as_bytes);
        let mut sign = sign.filter(|_| !currency);
        rest = match rest {
            [before @ .., b')'] if open && !closed => {
                closed = true;
                before
            }
            [before @ .., b'%'] if notation.percent && !percent => {
                percent = true;
                before
            }
            [before @ .., end @ (b'-' | b'+')] if notation.trailing && !signed => {
                (signed, negative) = (true, *end == b'-');
                before
            }
            _ => {
                if let Some(before) = sign.find_map(|sign| rest.strip_suffix(sign)) {
                    currency = true;
                    before
                } else {
                    break;
                }
            }
        };
        rest = without_blanks_behind(rest);
    }
    (open == closed && percent == notation.percent).then_some((negative, rest))
}

/// Blanks of Unicode that stand in numbers: the space, and those at which no line is broken.
const BLANKS: [&[u8]; 4] = [
    b" ",
    "\u{A0}".as_bytes(),
    "\u{202F}".as_bytes(),
    "\u{2009}".as_bytes(),
];

fn without_blanks_before(mut text: &[u8]) -> &[u8] {
    while let Some(after) = BLANKS.iter().find_map(|blank| text.strip_prefix(*blank)) {
        text = after;
    }
    text
}

fn without_blanks_behind(mut text: &[u8]) -> &[u8] {
    while let Some(before) = BLANKS.iter().find_map(|blank| text.strip_suffix(*blank)) {
        text = before;
    }
    text
}

/// Appends the digits of a whole number; groups must be whole.
fn grouped(whole: &[u8], mark: Option<char>, plain: &mut Vec<u8>) -> Option<()> {
    let mut rest = whole;
    // Lengths of the groups: the first, those between (which are alike), and the last.
    let (mut first, mut between) = (None, None);
    let last = loop {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        plain.extend_from_slice(&rest[..digits]);
        rest = &rest[digits..];
        if rest.is_empty() {
            break digits;
        }
        rest = without_mark(rest, mark?)?;
        if first.is_none() {
            first = Some(digits);
        } else if *between.get_or_insert(digits) != digits {
            return None;
        }
    };
    let Some(first) = first else {
        return Some(());
    };
    let widest = between.unwrap_or(3);
    (last == 3 && (2..=3).contains(&widest) && (1..=widest).contains(&first)).then_some(())
}

fn without_mark(text: &[u8], mark: char) -> Option<&[u8]> {
    match mark {
        ' ' => BLANKS.iter().find_map(|blank| text.strip_prefix(*blank)),
        '\'' => text
            .strip_prefix(b"'")
            .or_else(|| text.strip_prefix("\u{2019}".as_bytes())),
        mark => text.strip_prefix(mark.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// The option that would read `text`, where one would; for the detail of a fault, which people read.
#[cold]
pub(super) fn hint(text: &[u8], notation: &NumberNotation) -> &'static str {
    let reads = |changed: NumberNotation| {
        let mut plain = Vec::with_capacity(text.len());
        to_plain(text, &changed, &mut plain).is_some() && plain.iter().any(u8::is_ascii_digit)
    };
    // A number that does not fit its column for another cause is written well.
    if reads(notation.clone()) {
        return "";
    }
    let marks = |decimal: u8, thousands: Option<char>| NumberNotation {
        decimal,
        thousands,
        ..notation.clone()
    };
    let comma = reads(marks(b',', None));
    let comma_groups = reads(marks(b'.', Some(',')));
    if comma && comma_groups && notation.decimal == b'.' {
        return "decimal or thousands = \",\"?";
    }
    let signs = NumberNotation {
        parentheses: true,
        trailing: true,
        typographic: true,
        ..notation.clone()
    };
    let currency = |signs: &[&str]| NumberNotation {
        currency: signs.iter().map(|&sign| sign.to_owned()).collect(),
        ..notation.clone()
    };
    for (changed, hint) in [
        (marks(b',', None), "decimal = \",\"?"),
        (marks(b'.', None), "decimal = \".\"?"),
        (marks(b'.', Some(',')), "thousands = \",\"?"),
        (
            marks(b',', Some('.')),
            "decimal = \",\", thousands = \".\"?",
        ),
        (marks(notation.decimal, Some(' ')), "thousands = \" \"?"),
        (marks(notation.decimal, Some('\'')), "thousands = \"'\"?"),
        (
            marks(b',', Some(' ')),
            "decimal = \",\", thousands = \" \"?",
        ),
        (
            NumberNotation {
                percent: text.contains(&b'%'),
                ..notation.clone()
            },
            if notation.percent {
                "without %"
            } else {
                "percent = true?"
            },
        ),
        (
            currency(&["€", "EUR", "$", "USD", "£", "GBP", "¥", "R$", "CHF", "zł"]),
            "currency = [\"…\"]?",
        ),
    ] {
        if reads(changed) {
            return hint;
        }
    }
    if !reads(signs) {
        return "";
    }
    match text {
        [b'(', ..] => "negatives = [\"parentheses\"]?",
        [.., b'-' | b'+'] => "negatives = [\"trailing\"]?",
        _ => "negatives = [\"typographic\"]?",
    }
}

#[cfg(test)]
mod tests;
