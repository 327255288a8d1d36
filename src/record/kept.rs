//! Refused rows as caudal itself keeps them, beside whatever sinks the job has: what it takes to show one, and to read it again.
//!
//! A file of them is JSON, one [`KeptLine`] a line: the header of a file stands before the rows that were read under it. Sinks write
//! such files and sources read them, which is why their shape lives here.

use std::fmt::Write as _;
use std::io::{self, BufRead, ErrorKind};

use serde::{Deserialize, Serialize};

use super::Encoding;

/// One line of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeptLine {
    /// What the file of the rows that follow says of all of them.
    Header(KeptHeader),
    /// A refused row.
    Row(Kept),
}

/// What a file says of all its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptHeader {
    /// How it is written, by the name of the encoding.
    pub encoding: String,
    /// The text of its header record; empty where it has none.
    pub record: Raw,
}

impl Default for KeptHeader {
    fn default() -> Self {
        Self {
            encoding: Encoding::Utf8.name().to_owned(),
            record: Raw(Vec::new()),
        }
    }
}

/// A refused row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Name of its source.
    pub source: String,
    /// Its file.
    pub file: String,
    /// Its line there; 0 where the format has no lines.
    pub line: u64,
    /// Its first byte there, or the number of the row where the format has no bytes.
    pub byte: u64,
    /// What `raw` is.
    pub kind: Kind,
    /// Its bytes as they stand in the file, without line end.
    pub raw: Raw,
    /// The reason that comes first.
    pub reason: String,
    /// All reasons.
    pub reasons: Vec<KeptReason>,
}

/// What is kept of a refused row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// All bytes of a record of text.
    Record,
    /// The beginning of a record that is too long.
    Part,
    /// Nothing: the whole file was refused.
    File,
    /// The columns of a row of a columnar file, as text.
    Table,
}

impl Kind {
    /// Its word in the file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Part => "part",
            Self::File => "file",
            Self::Table => "table",
        }
    }

    /// The kind of a word.
    pub fn of(word: &str) -> Option<Self> {
        [Self::Record, Self::Part, Self::File, Self::Table]
            .into_iter()
            .find(|kind| kind.word() == word)
    }
}

/// One of a row's reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptReason {
    /// Where it was found, as the job names it.
    pub at: String,
    /// The code.
    pub reason: String,
    /// What was wrong, for people.
    pub detail: String,
}

/// Bytes: as text where they are UTF-8, else in hexadecimal digits. Nothing of them is lost or escaped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Written", try_from = "Written")]
pub struct Raw(pub Vec<u8>);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Written {
    Text(String),
    Hex(String),
}

impl From<Raw> for Written {
    fn from(raw: Raw) -> Self {
        match String::from_utf8(raw.0) {
            Ok(text) => Self::Text(text),
            Err(error) => Self::Hex(error.as_bytes().iter().fold(
                String::new(),
                |mut digits, byte| {
                    write!(digits, "{byte:02x}").expect("a string takes everything");
                    digits
                },
            )),
        }
    }
}

impl TryFrom<Written> for Raw {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, &'static str> {
        let digits = match written {
            Written::Text(text) => return Ok(Self(text.into_bytes())),
            Written::Hex(digits) => digits,
        };
        let pair = |pair: &[u8]| {
            let text = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(text, 16).ok()
        };
        if digits.len() % 2 == 1 {
            return Err("an odd number of hexadecimal digits");
        }
        let bytes: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(pair).collect();
        bytes.map(Self).ok_or("no hexadecimal digits")
    }
}

/// Reads the rows of a file, each with its header.
pub struct KeptLines<R> {
    lines: io::Lines<R>,
    header: KeptHeader,
}

impl<R: BufRead> KeptLines<R> {
    /// Reads from the beginning of a file.
    pub fn new(file: R) -> Self {
        Self {
            lines: file.lines(),
            header: KeptHeader::default(),
        }
    }

    /// What the file of the row that was read last says of all its rows.
    pub fn header(&self) -> &KeptHeader {
        &self.header
    }

    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// What reading says; `InvalidData` where a line is none of ours.
    pub fn next_row(&mut self) -> io::Result<Option<Kept>> {
        for line in self.lines.by_ref() {
            let line: KeptLine = serde_json::from_str(&line?)
                .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            match line {
                KeptLine::Header(header) => self.header = header,
                KeptLine::Row(row) => return Ok(Some(row)),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_whatever_they_are() {
        for bytes in [
            b"".to_vec(),
            b"1,\"a\nb\",\\xFF".to_vec(),
            vec![0xFF, 0, b'a'],
            (0..=255).collect(),
        ] {
            let text = serde_json::to_string(&Raw(bytes.clone())).unwrap();
            assert!(!text.contains('\n'));
            assert_eq!(serde_json::from_str::<Raw>(&text).unwrap(), Raw(bytes));
        }
        for wrong in ["{\"hex\":\"abc\"}", "{\"hex\":\"zz\"}", "{\"hexa\":\"00\"}"] {
            assert!(serde_json::from_str::<Raw>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rows_have_the_header_that_stands_before_them() {
        let row = |line| Kept {
            source: "sales".to_owned(),
            file: "a.csv".to_owned(),
            line,
            byte: 9,
            kind: Kind::Record,
            raw: Raw(b"1,2".to_vec()),
            reason: "bad_integer".to_owned(),
            reasons: Vec::new(),
        };
        let header = KeptHeader {
            encoding: "windows-1252".to_owned(),
            record: Raw(b"a,b".to_vec()),
        };
        let none = KeptHeader::default();
        let lines = [
            KeptLine::Row(row(1)),
            KeptLine::Header(header.clone()),
            KeptLine::Row(row(2)),
            KeptLine::Row(row(3)),
        ];
        let text: String = lines
            .iter()
            .map(|line| serde_json::to_string(line).unwrap() + "\n")
            .collect();
        let mut read = KeptLines::new(text.as_bytes());
        for (line, header) in [(1, &none), (2, &header), (3, &header)] {
            assert_eq!(read.next_row().unwrap(), Some(row(line)));
            assert_eq!(read.header(), header);
        }
        assert_eq!(read.next_row().unwrap(), None);
        assert!(KeptLines::new(&b"{}\n"[..]).next_row().is_err());
    }
}
