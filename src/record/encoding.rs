//! How the text of a file is written, and the way to UTF-8 and back.
//!
//! Readers turn every text into UTF-8, so that nothing behind them knows of encodings. The way back is exact: the place and
//! the bytes of a row in its file follow from its text. What is no text in its encoding becomes bytes that are no UTF-8
//! and stand for themselves, so that the field they are in is refused and nothing is replaced in silence:
//!
//! - half of a UTF-16 surrogate pair: its three bytes as UTF-8 would write it, were it allowed;
//! - a byte without meaning in its code page, and a single byte at the end of UTF-16: `FF 8h 8l` with its two halves.

use std::sync::OnceLock;

use encoding_rs::{
    IBM866, ISO_8859_2, ISO_8859_3, ISO_8859_4, ISO_8859_5, ISO_8859_6, ISO_8859_7, ISO_8859_8,
    ISO_8859_8_I, ISO_8859_10, ISO_8859_13, ISO_8859_14, ISO_8859_15, ISO_8859_16, KOI8_R, KOI8_U,
    MACINTOSH, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_874, WINDOWS_1250, WINDOWS_1251, WINDOWS_1252,
    WINDOWS_1253, WINDOWS_1254, WINDOWS_1255, WINDOWS_1256, WINDOWS_1257, WINDOWS_1258,
    X_MAC_CYRILLIC,
};
use oem_cp::code_table::DECODING_TABLE_CP_MAP;
use oem_cp::code_table_type::TableType;
use serde::{Deserialize, Serialize};

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Encoding {
    /// UTF-8.
    #[default]
    Utf8,
    /// UTF-16, low byte first.
    Utf16Le,
    /// UTF-16, high byte first.
    Utf16Be,
    /// One byte a character, the lower half ASCII.
    Page(Page),
}

/// A code page, by its place among those that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page(u8);

struct Known {
    name: String,
    /// The characters of the bytes from 0x80.
    upper: [Option<char>; 128],
}

/// Begins a byte that is no text. It is in no UTF-8, and is followed by the byte's halves.
const RAW: u8 = 0xFF;

/// Pages of the web's names that are made of them alone.
static OF_WEB: [&encoding_rs::Encoding; 28] = [
    IBM866,
    ISO_8859_2,
    ISO_8859_3,
    ISO_8859_4,
    ISO_8859_5,
    ISO_8859_6,
    ISO_8859_7,
    ISO_8859_8,
    ISO_8859_8_I,
    ISO_8859_10,
    ISO_8859_13,
    ISO_8859_14,
    ISO_8859_15,
    ISO_8859_16,
    KOI8_R,
    KOI8_U,
    MACINTOSH,
    WINDOWS_874,
    WINDOWS_1250,
    WINDOWS_1251,
    WINDOWS_1252,
    WINDOWS_1253,
    WINDOWS_1254,
    WINDOWS_1255,
    WINDOWS_1256,
    WINDOWS_1257,
    WINDOWS_1258,
    X_MAC_CYRILLIC,
];

/// Pages that the web reads as a Windows page, which has letters where they have control characters (0x80 to 0x9F). Here
/// they are what their standard says.
static OF_STANDARD: [(&str, &encoding_rs::Encoding); 3] = [
    ("ISO-8859-1", WINDOWS_1252),
    ("ISO-8859-9", WINDOWS_1254),
    ("ISO-8859-11", WINDOWS_874),
];

/// Labels of pages in [`OF_STANDARD`], in lower case without `-` and `_`.
const LABELS_OF_STANDARD: [(&str, &str); 12] = [
    ("iso88591", "ISO-8859-1"),
    ("88591", "ISO-8859-1"),
    ("latin1", "ISO-8859-1"),
    ("l1", "ISO-8859-1"),
    ("cp819", "ISO-8859-1"),
    ("ibm819", "ISO-8859-1"),
    ("iso88599", "ISO-8859-9"),
    ("88599", "ISO-8859-9"),
    ("latin5", "ISO-8859-9"),
    ("l5", "ISO-8859-9"),
    ("iso885911", "ISO-8859-11"),
    ("885911", "ISO-8859-11"),
];

fn known() -> &'static [Known] {
    static KNOWN: OnceLock<Vec<Known>> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let mut known: Vec<Known> = OF_WEB
            .iter()
            .map(|web| Known {
                name: web.name().to_owned(),
                upper: upper(|byte| of_web(web, byte)),
            })
            .collect();
        known.extend(OF_STANDARD.iter().map(|(name, web)| Known {
            name: (*name).to_owned(),
            upper: upper(|byte| match byte {
                ..0xA0 => Some(char::from(byte)),
                0xA0.. => of_web(web, byte),
            }),
        }));
        let mut of_dos: Vec<(&u16, &TableType)> = DECODING_TABLE_CP_MAP.entries().collect();
        of_dos.sort_by_key(|(number, _)| **number);
        known.extend(of_dos.into_iter().map(|(number, table)| Known {
            name: format!("CP{number}"),
            upper: upper(|byte| match table {
                TableType::Complete(table) => Some(table[usize::from(byte - 0x80)]),
                TableType::Incomplete(table) => table[usize::from(byte - 0x80)],
            }),
        }));
        known
    })
}

fn upper(of: impl Fn(u8) -> Option<char>) -> [Option<char>; 128] {
    let mut upper = [None; 128];
    for (character, byte) in upper.iter_mut().zip(0x80..=u8::MAX) {
        *character = of(byte);
    }
    upper
}

fn of_web(web: &'static encoding_rs::Encoding, byte: u8) -> Option<char> {
    let byte = [byte];
    let text = web.decode_without_bom_handling_and_without_replacement(&byte)?;
    text.chars().next()
}

impl Page {
    fn named(name: &str) -> Option<Self> {
        let place = known().iter().position(|page| page.name == name)?;
        u8::try_from(place).ok().map(Self)
    }

    fn known(self) -> &'static Known {
        &known()[usize::from(self.0)]
    }
}

impl Encoding {
    /// The encoding with this label (`utf-8`, `utf-16le`, `windows-1252`, `iso-8859-15`, `cp437` and their other names, in
    /// any case); `None` where it is not known, or has characters of several bytes other than Unicode's.
    pub fn by_label(label: &str) -> Option<Self> {
        let label = label.trim().to_ascii_lowercase();
        let plain = label.replace(['-', '_'], "");
        if let Some((_, name)) = LABELS_OF_STANDARD.iter().find(|(known, _)| *known == plain) {
            return Page::named(name).map(Self::Page);
        }
        if let Some(web) = encoding_rs::Encoding::for_label(label.as_bytes()) {
            return match web {
                _ if web == UTF_8 => Some(Self::Utf8),
                _ if web == UTF_16LE => Some(Self::Utf16Le),
                _ if web == UTF_16BE => Some(Self::Utf16Be),
                _ => Page::named(web.name()).map(Self::Page),
            };
        }
        let number = ["cp", "ibm", "oem", "dos"]
            .iter()
            .find_map(|kind| plain.strip_prefix(kind))?;
        Page::named(&format!("CP{number}")).map(Self::Page)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Utf16Le => "UTF-16LE",
            Self::Utf16Be => "UTF-16BE",
            Self::Page(page) => &page.known().name,
        }
    }

    /// What the byte order mark at the beginning of a file says, and its length.
    pub fn of_mark(bytes: &[u8]) -> Option<(Self, usize)> {
        match bytes {
            [0xEF, 0xBB, 0xBF, ..] => Some((Self::Utf8, 3)),
            [0xFF, 0xFE, ..] => Some((Self::Utf16Le, 2)),
            [0xFE, 0xFF, ..] => Some((Self::Utf16Be, 2)),
            _ => None,
        }
    }

    /// How many bytes of the file a piece of its text stands for.
    pub fn length_in_file(self, text: &[u8]) -> u64 {
        let length = match self {
            Self::Utf8 => text.len(),
            Self::Page(_) => text.iter().filter(|byte| !is_inner(**byte)).count(),
            Self::Utf16Le | Self::Utf16Be => text
                .iter()
                .map(|byte| match byte {
                    0x80..0xC0 => 0,
                    &RAW => 1,
                    0xF0.. => 4,
                    _ => 2,
                })
                .sum(),
        };
        u64::try_from(length).expect("a length in memory fits 64 bits")
    }

    /// The text of bytes of a file that hold whole characters.
    pub fn text(self, bytes: Vec<u8>) -> Vec<u8> {
        if self == Self::Utf8 {
            return bytes;
        }
        let (mut transcoder, mut text) = (Transcoder::new(self), Vec::new());
        transcoder.push(&bytes, &mut text);
        transcoder.finish(&mut text);
        text
    }

    /// The bytes of the file that a piece of its text stands for.
    pub fn bytes_in_file(self, text: &[u8]) -> Vec<u8> {
        if self == Self::Utf8 {
            return text.to_vec();
        }
        let mut bytes = Vec::with_capacity(text.len() * 2);
        let mut at = 0;
        while let Some(&first) = text.get(at) {
            let inner = text[at + 1..]
                .iter()
                .take_while(|byte| is_inner(**byte))
                .count();
            let character = &text[at..=at + inner];
            at += 1 + inner;
            if first == RAW {
                let half = |place: usize| character.get(place).map_or(0, |byte| byte & 0x0F);
                bytes.push(half(1) << 4 | half(2));
                continue;
            }
            let lead = match inner {
                0 => first,
                1 => first & 0x1F,
                2 => first & 0x0F,
                _ => first & 0x07,
            };
            let join = |code: u32, byte: &u8| code << 6 | u32::from(byte & 0x3F);
            let code = character[1..].iter().fold(u32::from(lead), join);
            self.put(code, &mut bytes);
        }
        bytes
    }

    /// Writes a character, or half of a surrogate pair.
    fn put(self, code: u32, bytes: &mut Vec<u8>) {
        if let Self::Page(page) = self {
            let of_upper = || {
                let character = char::from_u32(code);
                let place = page
                    .known()
                    .upper
                    .iter()
                    .position(|own| *own == character)?;
                u8::try_from(place + 0x80).ok()
            };
            let of_lower = u8::try_from(code).ok().filter(u8::is_ascii);
            bytes.extend(of_lower.or_else(of_upper));
            return;
        }
        let mut units = [0; 2];
        let units = if let Some(character) = char::from_u32(code) {
            &*character.encode_utf16(&mut units)
        } else {
            units[0] = u16::try_from(code).unwrap_or(0xFFFD);
            &units[..1]
        };
        for unit in units {
            bytes.extend(match self {
                Self::Utf16Be => unit.to_be_bytes(),
                _ => unit.to_le_bytes(),
            });
        }
    }
}

/// Whether a byte goes on with a character of UTF-8.
const fn is_inner(byte: u8) -> bool {
    byte & 0xC0 == 0x80
}

/// Turns the bytes of a file into UTF-8, piece by piece.
#[derive(Debug, Clone)]
pub struct Transcoder {
    encoding: Encoding,
    /// The beginning of a character that the next piece may end.
    pending: Vec<u8>,
    /// The UTF-8 of each byte of a code page from 0x80, and its length.
    upper: Vec<([u8; 4], usize)>,
}

impl Transcoder {
    /// One that stands before the first byte of text.
    pub fn new(encoding: Encoding) -> Self {
        let upper = match encoding {
            Encoding::Page(page) => (0x80..=u8::MAX)
                .zip(&page.known().upper)
                .map(|(byte, character)| {
                    let mut text = [0; 4];
                    let length = if let Some(character) = character {
                        character.encode_utf8(&mut text).len()
                    } else {
                        text[..3].copy_from_slice(&raw(byte));
                        3
                    };
                    (text, length)
                })
                .collect(),
            _ => Vec::new(),
        };
        Self {
            encoding,
            pending: Vec::new(),
            upper,
        }
    }

    /// Adds the text of the next bytes to `text`. Cost: ASCII in a code page is copied as a whole.
    pub fn push(&mut self, bytes: &[u8], text: &mut Vec<u8>) {
        match self.encoding {
            Encoding::Utf8 => text.extend_from_slice(bytes),
            Encoding::Page(_) => self.push_page(bytes, text),
            Encoding::Utf16Le | Encoding::Utf16Be => {
                if self.pending.is_empty() {
                    let rest = self.push_units(bytes, text);
                    self.pending.extend_from_slice(rest);
                } else {
                    let mut all = std::mem::take(&mut self.pending);
                    all.extend_from_slice(bytes);
                    let rest = self.push_units(&all, text);
                    self.pending = rest.to_vec();
                }
            }
        }
    }

    /// Adds what is left at the end of the file: half of a pair, and a single byte.
    pub fn finish(&mut self, text: &mut Vec<u8>) {
        let pending = std::mem::take(&mut self.pending);
        let (units, rest) = pending.as_chunks::<2>();
        for unit in units {
            text.extend(half_pair(self.unit(*unit)));
        }
        for byte in rest {
            text.extend(raw(*byte));
        }
    }

    fn push_page(&self, bytes: &[u8], text: &mut Vec<u8>) {
        text.reserve(bytes.len());
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| !byte.is_ascii()) {
            text.extend_from_slice(&rest[..at]);
            let (character, length) = &self.upper[usize::from(rest[at] - 0x80)];
            text.extend_from_slice(&character[..*length]);
            rest = &rest[at + 1..];
        }
        text.extend_from_slice(rest);
    }

    fn unit(&self, bytes: [u8; 2]) -> u16 {
        match self.encoding {
            Encoding::Utf16Be => u16::from_be_bytes(bytes),
            _ => u16::from_le_bytes(bytes),
        }
    }

    /// Gives what may go on in the next piece.
    fn push_units<'a>(&self, bytes: &'a [u8], text: &mut Vec<u8>) -> &'a [u8] {
        let (units, _) = bytes.as_chunks::<2>();
        let mut at = 0;
        while let Some(unit) = units.get(at) {
            let unit = self.unit(*unit);
            if let Some(ascii) = u8::try_from(unit).ok().filter(u8::is_ascii) {
                text.push(ascii);
                at += 1;
                continue;
            }
            let is_high = (0xD800..0xDC00).contains(&unit);
            let next = units.get(at + 1).map(|next| self.unit(*next));
            if is_high && next.is_none() {
                break;
            }
            let pair = [unit, next.filter(|_| is_high).unwrap_or(0)];
            if let Some(Ok(character)) = char::decode_utf16(pair).next() {
                text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                at += character.len_utf16();
            } else {
                text.extend(half_pair(unit));
                at += 1;
            }
        }
        &bytes[2 * at..]
    }
}

/// A byte that is no text.
fn raw(byte: u8) -> [u8; 3] {
    [RAW, 0x80 | byte >> 4, 0x80 | byte & 0x0F]
}

/// Half of a surrogate pair.
fn half_pair(unit: u16) -> [u8; 3] {
    let [high, low] = unit.to_be_bytes();
    [
        0xE0 | high >> 4,
        0x80 | (high & 0x0F) << 2 | low >> 6,
        0x80 | low & 0x3F,
    ]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn every() -> Vec<Encoding> {
        let pages =
            (0..u8::try_from(known().len()).unwrap()).map(|page| Encoding::Page(Page(page)));
        [Encoding::Utf8, Encoding::Utf16Le, Encoding::Utf16Be]
            .into_iter()
            .chain(pages)
            .collect()
    }

    fn text(encoding: Encoding, bytes: &[u8], pieces: usize) -> Vec<u8> {
        let (mut transcoder, mut text) = (Transcoder::new(encoding), Vec::new());
        for piece in bytes.chunks(pieces) {
            transcoder.push(piece, &mut text);
        }
        transcoder.finish(&mut text);
        text
    }

    #[test]
    fn labels_name_what_they_mean() {
        for (label, name) in [
            ("UTF-8", "UTF-8"),
            ("utf8", "UTF-8"),
            ("UTF-16LE", "UTF-16LE"),
            ("utf-16be", "UTF-16BE"),
            ("Windows-1252", "windows-1252"),
            ("cp1250", "windows-1250"),
            ("latin1", "ISO-8859-1"),
            ("ISO_8859-1", "ISO-8859-1"),
            ("iso-8859-9", "ISO-8859-9"),
            ("iso-8859-15", "ISO-8859-15"),
            ("cp437", "CP437"),
            ("IBM850", "CP850"),
            ("cp866", "IBM866"),
        ] {
            let found = Encoding::by_label(label).map(Encoding::name);
            assert_eq!(found, Some(name), "{label}");
        }
        for label in ["", "utf-7", "shift_jis", "gbk", "cp", "cp9", "latin"] {
            assert_eq!(Encoding::by_label(label), None, "{label}");
        }
    }

    #[test]
    fn characters_are_those_of_the_page() {
        for (label, byte, character) in [
            ("windows-1252", 0x80, "€"),
            ("windows-1252", 0xFC, "ü"),
            ("iso-8859-1", 0x80, "\u{80}"),
            ("iso-8859-1", 0xFC, "ü"),
            ("iso-8859-15", 0xA4, "€"),
            ("iso-8859-9", 0xFD, "ı"),
            ("windows-1251", 0xC6, "Ж"),
            ("cp437", 0xA4, "ñ"),
            ("cp437", 0x84, "ä"),
            ("cp850", 0xD5, "ı"),
            ("cp858", 0xD5, "€"),
        ] {
            let encoding = Encoding::by_label(label).unwrap();
            assert_eq!(text(encoding, &[byte], 1), character.as_bytes(), "{label}");
        }
    }

    #[test]
    fn what_is_no_text_is_no_utf8() {
        let greek = Encoding::by_label("windows-1253").unwrap();
        for (encoding, bytes) in [
            (greek, &b"\xAA"[..]),
            (Encoding::Utf16Le, b"a\0b"),
            (Encoding::Utf16Le, b"\x00\xD8a\0"),
            (Encoding::Utf16Be, b"\xDC\x00"),
            (Encoding::Utf16Be, b"\xD8\x00"),
            (Encoding::Utf16Be, b"\xD8\x00\xD8\x00\xDC\x00"),
        ] {
            let text = text(encoding, bytes, 1);
            assert!(str::from_utf8(&text).is_err(), "{bytes:?} gave {text:?}");
            assert_eq!(encoding.bytes_in_file(&text), bytes);
        }
        let pair = text(Encoding::Utf16Be, b"\xD8\x3D\xDE\x00", 1);
        assert_eq!(pair, "😀".as_bytes());
    }

    proptest! {
        #[test]
        fn the_way_back_is_exact(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0xD8_u8..0xE0, Just(b'a'), Just(0)], 0..80),
            pieces in 1_usize..20,
        ) {
            for encoding in every() {
                let text = text(encoding, &bytes, pieces);
                prop_assert_eq!(encoding.bytes_in_file(&text), bytes.as_slice(), "{}", encoding.name());
                prop_assert_eq!(encoding.length_in_file(&text), u64::try_from(bytes.len()).unwrap());
            }
        }
    }
}
