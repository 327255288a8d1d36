//! The grammar of JSON (RFC 8259), as ends of values: nothing is built and nothing is copied.
//!
//! Eight bytes are looked at as one word wherever many bytes are passed over: the rest of a string up to its quote, and
//! the digits of a number. Whether strings are UTF-8 is not asked here; the bytes of a record are judged together.

/// Something should stand where the record has ended.
pub(super) const TOO_EARLY: &str = "the record ends too early";

/// Why a record is no JSON object of the kind that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wrong {
    /// The reason's code.
    pub(super) code: &'static str,
    /// Place in the chunk.
    pub(super) at: usize,
    /// What is wrong there.
    pub(super) what: &'static str,
}

impl Wrong {
    /// Text that is no JSON.
    #[cold]
    pub(super) fn json(at: usize, what: &'static str) -> Self {
        Self {
            code: "invalid_json",
            at,
            what,
        }
    }
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean,
    /// A number.
    Number,
    /// A string without escapes; its span has no quotes.
    Text,
    /// A string with escapes that are right; its span has no quotes.
    Escaped,
    /// An object.
    Object,
    /// An array.
    Array,
}

/// A value's place in the chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) shape: Shape,
    pub(super) start: usize,
    pub(super) end: usize,
    /// First byte behind the value, its closing quote included.
    pub(super) past: usize,
}

/// Bytes read as JSON. `LINES`: a line end ends the record and is no blank.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grammar<'a, const LINES: bool> {
    pub(super) bytes: &'a [u8],
    /// Brackets that may be open at once.
    pub(super) max_depth: usize,
}

/// Eight times the byte 1.
const ONES: u64 = 0x0101_0101_0101_0101;
/// The highest bit of eight bytes.
const HIGHEST: u64 = 0x8080_8080_8080_8080;

/// Bytes of the word that are zero have their highest bit set, up to the first one; what is above it is undefined.
#[inline(always)]
const fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHEST
}

/// Place of the lowest byte whose highest bit is set.
#[inline(always)]
#[expect(clippy::as_conversions, reason = "a word has at most eight bytes")]
const fn lowest(mask: u64) -> usize {
    (mask.trailing_zeros() / 8) as usize
}

impl<const LINES: bool> Grammar<'_, LINES> {
    /// The byte at `at`; 0, which JSON never has outside of strings, behind the end.
    #[inline(always)]
    pub(super) fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    /// The first byte from `at` that is no blank.
    #[inline(always)]
    pub(super) fn blanks(&self, at: usize) -> usize {
        if self.byte(at) > b' ' {
            return at;
        }
        self.more_blanks(at)
    }

    fn more_blanks(&self, mut at: usize) -> usize {
        while let Some(byte) = self.bytes.get(at) {
            match byte {
                b' ' | b'\t' => {}
                b'\n' | b'\r' if !LINES => {}
                _ => break,
            }
            at += 1;
        }
        at
    }

    /// The words for a byte that is not the one wanted.
    #[cold]
    pub(super) fn unexpected(&self, at: usize, what: &'static str) -> Wrong {
        let over = match self.bytes.get(at) {
            None => true,
            Some(byte) => LINES && matches!(byte, b'\n' | b'\r'),
        };
        Wrong::json(at, if over { TOO_EARLY } else { what })
    }

    /// The closing quote of the string whose text begins at `from`, and whether there are escapes. The highest bits of
    /// `seen` tell whether there was any byte beyond ASCII.
    #[inline(always)]
    pub(super) fn string(&self, from: usize, seen: &mut u64) -> Result<(usize, bool), Wrong> {
        let mut at = from;
        loop {
            let Some(word) = self
                .bytes
                .get(at..)
                .and_then(|rest| rest.first_chunk::<8>())
            else {
                return self.string_slowly(from, at, seen);
            };
            let word = u64::from_le_bytes(*word);
            *seen |= word;
            let quotes = zero_bytes(word ^ (ONES * 0x22));
            let escapes = zero_bytes(word ^ (ONES * 0x5C));
            // Bytes below the blank; those beyond ASCII are not.
            let controls = word.wrapping_sub(ONES * 0x20) & !word & HIGHEST;
            let found = quotes | escapes | controls;
            if found == 0 {
                at += 8;
                continue;
            }
            at += lowest(found);
            if self.bytes[at] == b'"' {
                return Ok((at, false));
            }
            return self.string_slowly(from, at, seen);
        }
    }

    /// The same for a string that has an escape, a control character or the end of the bytes at `at` or soon after.
    #[cold]
    fn string_slowly(
        &self,
        from: usize,
        mut at: usize,
        seen: &mut u64,
    ) -> Result<(usize, bool), Wrong> {
        let mut escaped = false;
        loop {
            match self.bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    at = self.escape(at)?;
                }
                Some(&byte) if byte < b' ' => {
                    return Err(self.unexpected(at, "a control character in a string"));
                }
                Some(byte) => {
                    *seen |= u64::from(*byte);
                    at += 1;
                }
                None => return Err(self.unexpected(at, "")),
            }
        }
        debug_assert!(at >= from, "a string ends behind its beginning");
        Ok((at, escaped))
    }

    /// What follows the escape that begins at `at`; half a pair of surrogates is no character.
    fn escape(&self, at: usize) -> Result<usize, Wrong> {
        match self.byte(at + 1) {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(at + 2),
            b'u' => {
                let lone = Wrong::json(at, "half a pair of surrogates");
                match self.four_digits(at + 2)? {
                    0xD800..=0xDBFF => {
                        if self.byte(at + 6) != b'\\' || self.byte(at + 7) != b'u' {
                            return Err(lone);
                        }
                        match self.four_digits(at + 8)? {
                            0xDC00..=0xDFFF => Ok(at + 12),
                            _ => Err(lone),
                        }
                    }
                    0xDC00..=0xDFFF => Err(lone),
                    _ => Ok(at + 6),
                }
            }
            _ => Err(self.unexpected(at + 1, "no escape")),
        }
    }

    fn four_digits(&self, at: usize) -> Result<u32, Wrong> {
        let mut value = 0;
        for at in at..at + 4 {
            let digit = char::from(self.byte(at)).to_digit(16);
            let Some(digit) = digit else {
                return Err(self.unexpected(at, "four hexadecimal digits belong here"));
            };
            value = value * 16 + digit;
        }
        Ok(value)
    }

    /// The first byte from `at` that is no digit.
    #[inline(always)]
    fn digits(&self, mut at: usize) -> usize {
        loop {
            let Some(word) = self
                .bytes
                .get(at..)
                .and_then(|rest| rest.first_chunk::<8>())
            else {
                while self.byte(at).is_ascii_digit() {
                    at += 1;
                }
                return at;
            };
            let values = u64::from_le_bytes(*word) ^ (ONES * 0x30);
            // A value above 9 carries into its highest bit or has it; a carry out of one byte changes only those above.
            let others = (values.wrapping_add(ONES * 0x76) | values) & HIGHEST;
            if others != 0 {
                return at + lowest(others);
            }
            at += 8;
        }
    }

    /// The end of the number that begins at `at` with a digit or a minus.
    #[inline(always)]
    fn number(&self, at: usize) -> Result<usize, Wrong> {
        let first = at + usize::from(self.byte(at) == b'-');
        let mut end = self.digits(first);
        if end == first {
            return Err(self.unexpected(end, "a digit belongs here"));
        }
        if end > first + 1 && self.bytes[first] == b'0' {
            return Err(Wrong::json(first, "a number with a leading zero"));
        }
        if self.byte(end) == b'.' {
            let fraction = end + 1;
            end = self.digits(fraction);
            if end == fraction {
                return Err(self.unexpected(end, "a digit belongs here"));
            }
        }
        if matches!(self.byte(end), b'e' | b'E') {
            let exponent = end + 1 + usize::from(matches!(self.byte(end + 1), b'+' | b'-'));
            end = self.digits(exponent);
            if end == exponent {
                return Err(self.unexpected(end, "a digit belongs here"));
            }
        }
        Ok(end)
    }

    /// The string, number or word that begins at `at`, or the object or array, as far as its opening bracket.
    #[inline(always)]
    pub(super) fn open(&self, at: usize, seen: &mut u64) -> Result<Span, Wrong> {
        let span = |shape, end| Span {
            shape,
            start: at,
            end,
            past: end,
        };
        match self.byte(at) {
            b'"' => {
                let (end, escaped) = self.string(at + 1, seen)?;
                Ok(Span {
                    shape: if escaped { Shape::Escaped } else { Shape::Text },
                    start: at + 1,
                    end,
                    past: end + 1,
                })
            }
            b'-' | b'0'..=b'9' => Ok(span(Shape::Number, self.number(at)?)),
            b'{' => Ok(span(Shape::Object, at + 1)),
            b'[' => Ok(span(Shape::Array, at + 1)),
            _ => {
                let rest = self.bytes.get(at..).unwrap_or(&[]);
                for (word, shape) in [
                    (&b"null"[..], Shape::Null),
                    (b"true", Shape::Boolean),
                    (b"false", Shape::Boolean),
                ] {
                    if rest.starts_with(word) {
                        return Ok(span(shape, at + word.len()));
                    }
                }
                Err(self.unexpected(at, "no JSON value"))
            }
        }
    }

    /// A whole value that nobody reads further; `depth` brackets are open around it.
    pub(super) fn value(&self, at: usize, depth: usize, seen: &mut u64) -> Result<Span, Wrong> {
        let mut span = self.open(at, seen)?;
        match span.shape {
            Shape::Object => {
                self.deeper(at, depth)?;
                span.past = self.members(span.past, depth + 1, seen)?;
                span.end = span.past;
            }
            Shape::Array => {
                self.deeper(at, depth)?;
                span.past = self.elements(span.past, depth + 1, seen)?;
                span.end = span.past;
            }
            _ => {}
        }
        Ok(span)
    }

    /// Whether one more bracket may be opened at `at`.
    #[inline(always)]
    pub(super) fn deeper(&self, at: usize, depth: usize) -> Result<(), Wrong> {
        if depth < self.max_depth {
            return Ok(());
        }
        Err(Wrong {
            code: "too_deep",
            at,
            what: "more brackets are open than `max_depth`",
        })
    }

    /// What follows the object whose opening bracket stands before `at`.
    fn members(&self, at: usize, depth: usize, seen: &mut u64) -> Result<usize, Wrong> {
        let mut at = self.blanks(at);
        if self.byte(at) == b'}' {
            return Ok(at + 1);
        }
        loop {
            let (_, past) = self.name(at, seen)?;
            let value = self.value(self.colon(past)?, depth, seen)?;
            at = self.blanks(value.past);
            match self.byte(at) {
                b',' => at = self.blanks(at + 1),
                b'}' => return Ok(at + 1),
                _ => return Err(self.unexpected(at, COMMA_OR_BRACE)),
            }
        }
    }

    /// What follows the array whose opening bracket stands before `at`.
    fn elements(&self, at: usize, depth: usize, seen: &mut u64) -> Result<usize, Wrong> {
        let mut at = self.blanks(at);
        if self.byte(at) == b']' {
            return Ok(at + 1);
        }
        loop {
            let value = self.value(at, depth, seen)?;
            at = self.blanks(value.past);
            match self.byte(at) {
                b',' => at = self.blanks(at + 1),
                b']' => return Ok(at + 1),
                _ => return Err(self.unexpected(at, COMMA_OR_BRACKET)),
            }
        }
    }

    /// The name of a member, whose quote stands at `at`, and what follows it.
    pub(super) fn name(&self, at: usize, seen: &mut u64) -> Result<(Span, usize), Wrong> {
        if self.byte(at) != b'"' {
            return Err(self.unexpected(at, "the name of a member belongs here"));
        }
        let span = self.open(at, seen)?;
        Ok((span, span.past))
    }

    /// Where the value behind a name that ends at `at` begins.
    #[inline(always)]
    pub(super) fn colon(&self, at: usize) -> Result<usize, Wrong> {
        let at = self.blanks(at);
        if self.byte(at) != b':' {
            return Err(self.unexpected(at, "a colon belongs here"));
        }
        Ok(self.blanks(at + 1))
    }
}

/// Between members.
pub(super) const COMMA_OR_BRACE: &str = "a comma or } belongs here";
/// Between elements.
pub(super) const COMMA_OR_BRACKET: &str = "a comma or ] belongs here";
