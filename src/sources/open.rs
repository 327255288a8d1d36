//! Opening a text file: decompression by the file's first bytes, and by its name where it is too short to have them.

use std::fs::File;
use std::io::{BufReader, Cursor, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;
use liblzma::read::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};

use super::feed::length;
use super::files::{SourceError, io};

/// Most memory that an .xz file may ask for: eight times what the strongest usual setting (`xz -9`) takes, and little enough
/// to bear. A hostile file may ask for 4 GiB.
const XZ_MEMORY_BYTES: u64 = 512 << 20;

/// Longest of the first bytes that say how a file is compressed.
const LONGEST_MAGIC: usize = 6;

/// Opens `path` for reading its plain bytes. gzip, zstd, bzip2 and xz, each of several members, too, are recognised by their
/// first bytes, so that a wrongly named file is read for what it is. A file that is named after one of them and is shorter
/// than its first bytes was cut short.
pub fn open_text(
    owner: &str,
    path: &Path,
) -> Result<(Box<dyn Read + Send>, Compression), SourceError> {
    let mut file = File::open(path).map_err(|error| io(owner, path, "opened", 0, error))?;
    let mut magic = [0_u8; LONGEST_MAGIC];
    let read =
        read_full(&mut file, &mut magic).map_err(|error| io(owner, path, "read", 0, error))?;
    // What was looked at is put back in front, since a pipe can't be rewound.
    let file = Cursor::new(magic[..read].to_vec()).chain(file);
    let compression = Compression::of(&magic[..read]);
    let failed = |error| io(owner, path, "decompressed", 0, error);
    if compression == Compression::None && is_cut_short(path, &magic[..read]) {
        return Err(failed(ErrorKind::UnexpectedEof.into()));
    }
    Ok((unpack(file, compression).map_err(failed)?, compression))
}

/// The plain bytes of what begins with `file`.
pub(super) fn unpack(
    file: impl Read + Send + 'static,
    compression: Compression,
) -> std::io::Result<Box<dyn Read + Send>> {
    let buffered = |file| BufReader::with_capacity(1 << 18, file);
    Ok(match compression {
        Compression::None => Box::new(file),
        Compression::Gzip => Box::new(MultiGzDecoder::new(buffered(file))),
        Compression::Zstd => Box::new(zstd::Decoder::new(file)?),
        Compression::Bzip2 => Box::new(MultiBzDecoder::new(buffered(file))),
        Compression::Xz => {
            let stream = Stream::new_stream_decoder(XZ_MEMORY_BYTES, CONCATENATED)?;
            Box::new(XzDecoder::new_stream(buffered(file), stream))
        }
    })
}

/// The first bytes of a file, as many as say how it is compressed; where it stands for reading stays.
pub(super) fn first_bytes(file: &File) -> std::io::Result<Vec<u8>> {
    let mut first = [0; LONGEST_MAGIC];
    let mut filled = 0;
    while filled < first.len() {
        match file.read_at(&mut first[filled..], length(filled))? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(first[..filled].to_vec())
}

/// Whether a file that is not compressed by its first bytes is named as if, and ends within them.
fn is_cut_short(path: &Path, first: &[u8]) -> bool {
    let named = |(end, magic): &(&str, &[u8])| {
        path.extension()
            .is_some_and(|own| own.eq_ignore_ascii_case(end))
            && (magic.starts_with(first) || first.starts_with(magic))
    };
    first.len() < LONGEST_MAGIC && MAGIC.iter().any(named)
}

/// Ends of names, and first bytes of what they stand for.
const MAGIC: [(&str, &[u8]); 4] = [
    ("gz", &[0x1f, 0x8b]),
    ("zst", &[0x28, 0xb5, 0x2f, 0xfd]),
    ("bz2", b"BZh"),
    ("xz", &[0xfd, b'7', b'z', b'X', b'Z', 0]),
];

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// It is not.
    None,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
}

impl Compression {
    /// Whether a file that begins with no more than `first` may become a compressed one.
    pub(super) fn may_begin_with(path: &Path, first: &[u8]) -> bool {
        let begins = |(_, magic): &(&str, &[u8])| !first.is_empty() && magic.starts_with(first);
        is_cut_short(path, first) || (first.len() < LONGEST_MAGIC && MAGIC.iter().any(begins))
    }

    /// What a file's first bytes say.
    pub(super) fn of(first: &[u8]) -> Self {
        match first {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // The second is a skippable frame, which may come first.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            // The size of blocks, then the beginning of the first block or of the end.
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31 | 0x17, ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            _ => Self::None,
        }
    }
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn packed(compression: Compression, text: &[u8]) -> Vec<u8> {
        let level = flate2::Compression::default();
        match compression {
            Compression::None => text.to_vec(),
            Compression::Gzip => {
                let mut to = flate2::write::GzEncoder::new(Vec::new(), level);
                to.write_all(text).unwrap();
                to.finish().unwrap()
            }
            Compression::Zstd => zstd::encode_all(text, 3).unwrap(),
            Compression::Bzip2 => {
                let level = bzip2::Compression::default();
                let mut to = bzip2::write::BzEncoder::new(Vec::new(), level);
                to.write_all(text).unwrap();
                to.finish().unwrap()
            }
            Compression::Xz => {
                let mut to = liblzma::write::XzEncoder::new(Vec::new(), 6);
                to.write_all(text).unwrap();
                to.finish().unwrap()
            }
        }
    }

    fn unpacked(name: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let (mut input, _) = open_text("sources.s", &path).map_err(|error| error.to_string())?;
        let mut text = Vec::new();
        match input.read_to_end(&mut text) {
            Ok(_) => Ok(text),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn all_members_are_read_and_one_that_is_cut_short_is_an_error() {
        for (compression, end) in [
            (Compression::Gzip, "gz"),
            (Compression::Zstd, "zst"),
            (Compression::Bzip2, "bz2"),
            (Compression::Xz, "xz"),
        ] {
            let members =
                [&b"id,v\n1,a\n"[..], b"2,b\n", b"3,c\n"].map(|text| packed(compression, text));
            let whole = members.concat();
            // Whatever the name says.
            for name in ["a.csv", "a", "a.gz", "a.xz"] {
                assert_eq!(
                    unpacked(name, &whole).unwrap(),
                    b"id,v\n1,a\n2,b\n3,c\n",
                    "{end}"
                );
            }
            let name = format!("a.csv.{end}");
            let ends = [members[0].len(), members[0].len() + members[1].len()];
            for cut in (0..whole.len()).filter(|cut| !ends.contains(cut)) {
                let got = unpacked(&name, &whole[..cut]);
                assert!(
                    got.is_err(),
                    "{end} cut at {cut} of {} gave {got:?}",
                    whole.len()
                );
            }
        }
    }

    #[test]
    fn a_file_that_is_only_named_so_is_read_as_it_is() {
        for name in ["a.gz", "a.bz2", "a.xz", "a.zst"] {
            assert_eq!(
                unpacked(name, b"BZh is a name\n").unwrap(),
                b"BZh is a name\n"
            );
            assert!(unpacked(name, b"").is_err());
        }
        assert_eq!(unpacked("a.csv", b"").unwrap(), b"");
    }
}
