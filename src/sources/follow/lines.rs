//! Whether bytes of a file end a line.

use crate::record::Encoding;

/// Whether a file goes on in the middle of a line: neither the bytes `before` a place end one, nor do those that come `next`, of which
/// two are enough. Where nothing comes there is nothing to cut.
pub(super) fn is_cut(before: &[u8], next: &[u8], encoding: Encoding) -> bool {
    !next.is_empty()
        && !is_line_end(last_unit(before, encoding), encoding)
        && !is_line_end(first_unit(next, encoding), encoding)
}

/// The last character of a text's bytes, or the last byte.
fn last_unit(bytes: &[u8], encoding: Encoding) -> &[u8] {
    let length = unit(encoding).min(bytes.len());
    &bytes[bytes.len() - length..]
}

fn first_unit(bytes: &[u8], encoding: Encoding) -> &[u8] {
    &bytes[..unit(encoding).min(bytes.len())]
}

fn unit(encoding: Encoding) -> usize {
    if matches!(encoding, Encoding::Utf16Le | Encoding::Utf16Be) {
        2
    } else {
        1
    }
}

fn is_line_end(bytes: &[u8], encoding: Encoding) -> bool {
    matches!(
        (encoding, bytes),
        (Encoding::Utf16Le, [b'\n' | b'\r', 0])
            | (Encoding::Utf16Be, [0, b'\n' | b'\r'])
            | (Encoding::Utf8 | Encoding::Page(_), [b'\n' | b'\r'])
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_where_neither_side_ends_it() {
        let latin = Encoding::by_label("windows-1252").unwrap();
        for (before, next, encoding, cut) in [
            (&b"a"[..], &b"b"[..], Encoding::Utf8, true),
            (b"a\n", b"b", Encoding::Utf8, false),
            (b"a", b"\r\n", latin, false),
            (b"a", b"", latin, false),
            (b"", b"a", latin, true),
            (b"a\0", b"b\0", Encoding::Utf16Le, true),
            (b"a\0\n\0", b"b\0", Encoding::Utf16Le, false),
            (b"\0a", b"\0\n", Encoding::Utf16Be, false),
            (b"\0\n", b"\0b", Encoding::Utf16Be, false),
            // No line end, though it has the byte.
            (b"a\x0a", b"\x0a\x0a", Encoding::Utf16Le, true),
        ] {
            assert_eq!(is_cut(before, next, encoding), cut, "{before:?} {next:?}");
        }
    }
}
