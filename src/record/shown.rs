//! Text of others made fit to be read by people: bytes of a file, words of another process; and times.

use chrono::{DateTime, SecondsFormat};

/// At most `longest` characters of a text, control characters and bytes that are no UTF-8 escaped.
pub fn shown(text: &[u8], longest: usize) -> String {
    // A character has at most four bytes, so nothing beyond can be shown.
    let text = text.get(..longest * 4).unwrap_or(text);
    let mut out = String::new();
    let mut count = 0;
    let mut put = |piece: &str| {
        count += piece.chars().count();
        if count <= longest {
            out.push_str(piece);
        }
        count <= longest
    };
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            let whole = if character.is_control() {
                put(&character.escape_default().to_string())
            } else {
                put(character.encode_utf8(&mut [0; 4]))
            };
            if !whole {
                return out;
            }
        }
        for byte in chunk.invalid() {
            if !put(&format!("\\x{byte:02X}")) {
                return out;
            }
        }
    }
    out
}

/// A time in microseconds since 1970, as RFC 3339 in UTC; as the number where no calendar has it.
pub fn shown_time(micros: i64) -> String {
    DateTime::from_timestamp_micros(micros).map_or_else(
        || micros.to_string(),
        |time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_short_and_printable() {
        assert_eq!(shown(b"a\tb\n\xFFc", 64), "a\\tb\\n\\xFFc");
        assert_eq!(shown("ñ".repeat(100).as_bytes(), 64), "ñ".repeat(64));
        assert_eq!(
            shown(b"\0\0\0", 7),
            "\\u{0}",
            "an escape is whole or not there"
        );
    }
}
