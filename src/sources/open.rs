//! Opening a text file: decompression by the file's name and first bytes.

use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::files::{SourceError, io};

/// Opens `path` for reading its plain bytes. Gzip (of several members, too) and zstd are recognised by their first bytes, so
/// that a wrongly named file is read for what it is.
pub fn open_text(
    owner: &str,
    path: &Path,
) -> Result<(Box<dyn Read + Send>, Compression), SourceError> {
    let mut file = File::open(path).map_err(|error| io(owner, path, "opened", 0, error))?;
    let mut magic = [0_u8; 4];
    let read =
        read_full(&mut file, &mut magic).map_err(|error| io(owner, path, "read", 0, error))?;
    // What was looked at is put back in front, since a pipe can't be rewound.
    let file = Cursor::new(magic[..read].to_vec()).chain(file);
    let opened: (Box<dyn Read + Send>, Compression) = match &magic[..read] {
        [0x1f, 0x8b, ..] => (
            Box::new(MultiGzDecoder::new(BufReader::with_capacity(1 << 18, file))),
            Compression::Gzip,
        ),
        [0x28, 0xb5, 0x2f, 0xfd] => {
            let decoder = zstd::Decoder::new(file)
                .map_err(|error| io(owner, path, "decompressed", 0, error))?;
            (Box::new(decoder), Compression::Zstd)
        }
        _ => (Box::new(file), Compression::None),
    };
    Ok(opened)
}

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// It is not.
    None,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

/// Reads until `buffer` is full or the input ends; gives the number of bytes read.
pub(super) fn read_full(input: &mut dyn Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
