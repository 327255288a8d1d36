//! Strings without their escapes.

/// The text of a string whose escapes are known to be right.
pub(super) fn unescape<'a>(raw: &[u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    scratch.clear();
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        scratch.extend_from_slice(&rest[..at]);
        let (character, length) = escaped(&rest[at..]);
        scratch.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        rest = &rest[at + length..];
    }
    scratch.extend_from_slice(rest);
    scratch
}

/// The character of the escape that `text` begins with, and the escape's length.
fn escaped(text: &[u8]) -> (char, usize) {
    let simple = match text[1] {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let high = unit(&text[2..6]);
            if !(0xD800..0xDC00).contains(&high) {
                return (char::from_u32(high).expect("no half of a pair"), 6);
            }
            let code = 0x1_0000 + ((high - 0xD800) << 10) + (unit(&text[8..12]) - 0xDC00);
            return (char::from_u32(code).expect("a pair is a character"), 12);
        }
        other => char::from(other),
    };
    (simple, 2)
}

/// Four hexadecimal digits.
fn unit(digits: &[u8]) -> u32 {
    digits.iter().fold(0, |unit, &digit| {
        unit * 16
            + char::from(digit)
                .to_digit(16)
                .expect("digits were asked for")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_what_serde_json_says_they_are() {
        for raw in [
            r"plain",
            r#"\"\\\/\b\f\n\r\t"#,
            r"\u0041\u00e9\u20AC",
            r"\ud83d\ude00 and \uD834\uDD1E",
            r"\u0000",
            r"a\u0041",
            r"\\u0041",
            r"\ud7ff\ue000",
        ] {
            let wanted: String = serde_json::from_str(&format!("\"{raw}\"")).unwrap();
            let mut scratch = Vec::new();
            assert_eq!(unescape(raw.as_bytes(), &mut scratch), wanted.as_bytes());
        }
    }
}
