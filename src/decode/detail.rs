//! Bytes of a file made fit to be read by people.

use std::fmt::Write;

/// Longest detail of a fault, in characters.
pub(super) const LONGEST: usize = 64;

/// What is said behind text that follows a closing quote.
pub(super) const AFTER_QUOTE: &str = " after a closing quote";

/// Longest words, in characters, about what is no record: they are ours, and may list the names of a header.
pub(super) const LONGEST_WORDS: usize = 1024;

/// All bytes as text: those that are no UTF-8, and NUL, as `\xNN`. A backslash that such letters follow by themselves is
/// `\x5C`, so that the bytes follow from the text.
pub(super) fn lossless(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    let escape = |out: &mut String, byte: u8| {
        write!(out, "\\x{byte:02X}").expect("a string takes everything");
    };
    for chunk in text.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(at) = memchr::memchr2(0, b'\\', rest.as_bytes()) {
            out.push_str(&rest[..at]);
            match rest.as_bytes()[at] {
                b'\\' if escaped_byte(&rest.as_bytes()[at..]).is_none() => out.push('\\'),
                byte => escape(&mut out, byte),
            }
            rest = &rest[at + 1..];
        }
        out.push_str(rest);
        for byte in chunk.invalid() {
            escape(&mut out, *byte);
        }
    }
    out
}

/// The bytes that quarantine shows as `raw`, or as the text of a column.
pub fn bytes_of_raw(raw: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if let Some(byte) = escaped_byte(rest) {
            bytes.push(byte);
            rest = &rest[4..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    bytes
}

/// The byte that a text begins with as `\xNN`.
fn escaped_byte(text: &[u8]) -> Option<u8> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    };
    match text {
        [b'\\', b'x', high, low, ..] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_is_lost() {
        assert_eq!(lossless(b"a\n\xC3(\0"), "a\n\\xC3(\\x00");
        assert_eq!(lossless(b"C:\\x \\n \\xFC"), "C:\\x \\n \\x5CxFC");
        for text in [
            &b"a\n\xC3(\0"[..],
            b"\\xFC\xFC\\",
            b"\\x5CxFC",
            b"\\\xFF",
            b"\\x",
        ] {
            assert_eq!(bytes_of_raw(&lossless(text)), text);
        }
    }
}
