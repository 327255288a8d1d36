//! Partition folders as Hive names them: `column=value`, with the characters that Hive escapes escaped as Hive does.
//!
//! Null and the empty text become `__HIVE_DEFAULT_PARTITION__`, as in Hive and Spark, and readers give null back: the
//! path can't tell them apart.

/// What stands in the path for null.
pub(super) const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// Appends `name=value` to `path`, after a `/` where there is something before it.
pub(super) fn push_folder(path: &mut String, name: &str, value: Option<&str>) {
    if !path.is_empty() {
        path.push('/');
    }
    push_escaped(path, name);
    path.push('=');
    match value {
        None | Some("") => path.push_str(NULL),
        Some(value) => push_escaped(path, value),
    }
}

/// The value that a folder's name tells after `=`; `None` is null.
pub(super) fn value(text: &str) -> Option<String> {
    if text == NULL {
        return None;
    }
    let bytes = text.as_bytes();
    let mut value = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        if let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            value.push(byte);
            at += 3;
        } else {
            value.push(bytes[at]);
            at += 1;
        }
    }
    Some(String::from_utf8_lossy(&value).into_owned())
}

/// Appends `text` with `%XX` for each character of Hive's list (`FileUtils.escapePathName`), and for NUL, which no path
/// can hold. Characters beyond ASCII stay as they are.
fn push_escaped(path: &mut String, text: &str) {
    const HEX: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    for character in text.chars() {
        match u8::try_from(character) {
            Ok(byte) if is_escaped(byte) => {
                path.push('%');
                path.push(HEX[usize::from(byte >> 4)]);
                path.push(HEX[usize::from(byte & 15)]);
            }
            _ => path.push(character),
        }
    }
}

fn is_escaped(byte: u8) -> bool {
    matches!(byte, 0..=0x1F | 0x7F)
        || matches!(
            byte,
            b'"' | b'#'
                | b'%'
                | b'\''
                | b'*'
                | b'/'
                | b':'
                | b'='
                | b'?'
                | b'\\'
                | b'{'
                | b'['
                | b']'
                | b'^'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str, value: Option<&str>) -> String {
        let mut path = String::new();
        push_folder(&mut path, name, value);
        path
    }

    #[test]
    fn values_are_escaped_as_hive_does() {
        assert_eq!(folder("zone", Some("ES-MD")), "zone=ES-MD");
        assert_eq!(folder("a", Some("x/y=z:%?")), "a=x%2Fy%3Dz%3A%25%3F");
        assert_eq!(
            folder("a", Some("{[^]\\'\"#*}")),
            "a=%7B%5B%5E%5D%5C%27%22%23%2A}"
        );
        assert_eq!(folder("a", Some("\u{0}\t\u{7f} ñ€")), "a=%00%09%7F ñ€");
        assert_eq!(folder("a=b", Some("1")), "a%3Db=1");
    }

    #[test]
    fn null_and_the_empty_text_are_the_default_partition() {
        assert_eq!(folder("zone", None), "zone=__HIVE_DEFAULT_PARTITION__");
        assert_eq!(folder("zone", Some("")), "zone=__HIVE_DEFAULT_PARTITION__");
    }

    #[test]
    fn folders_nest_in_order() {
        let mut path = folder("zone", Some("EU"));
        push_folder(&mut path, "date", Some("2026-03-14"));
        assert_eq!(path, "zone=EU/date=2026-03-14");
    }
}
