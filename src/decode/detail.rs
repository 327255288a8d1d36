//! Bytes of a file made fit to be read by people.

use std::fmt::Write;

/// Longest detail of a fault, in characters.
pub(super) const LONGEST: usize = 64;

/// Longest words, in characters, about what is no record: they are ours, and may list the names of a header.
pub(super) const LONGEST_WORDS: usize = 1024;

/// All of a text, bytes that are no UTF-8 as `\xNN`.
pub(super) fn lossless(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        out.push_str(chunk.valid());
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02X}").expect("a string takes everything");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_is_lost() {
        assert_eq!(lossless(b"a\n\xC3("), "a\n\\xC3(");
    }
}
