//! Where a file is now that was read before, whatever it is called.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::super::files::is_glob;
use super::super::open::{Compression, first_bytes, unpack};
use super::mark::Marker;
use crate::epoch::{FileMark, FilePlace};

/// What a file system knows a file by, as long as it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Id {
    pub(super) inode: u64,
    /// When it was made, in microseconds since 1970: inodes are used again.
    pub(super) created: Option<i64>,
}

impl Id {
    /// That of a file that was read.
    pub(super) fn of(mark: &FileMark) -> Self {
        Self {
            inode: mark.inode,
            created: mark.created,
        }
    }

    /// That of a file in its place.
    pub(super) fn at(place: &FilePlace) -> Self {
        Self {
            inode: place.inode,
            created: place.created,
        }
    }
}

/// A file as it stands in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) path: PathBuf,
    pub(super) id: Id,
    pub(super) size: u64,
    /// When it was written last, in nanoseconds since 1970; only held against itself.
    pub(super) written: i128,
}

impl Seen {
    /// A regular file of this path, or what a link leads to.
    pub(super) fn at(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        Some(Self {
            path: path.to_owned(),
            id: id(&metadata),
            size: metadata.len(),
            written: i128::from(metadata.mtime()) * 1_000_000_000
                + i128::from(metadata.mtime_nsec()),
        })
    }

    /// The file itself. One that is called otherwise by now is not found, whatever has its name.
    pub(super) fn open(&self) -> io::Result<File> {
        let file = File::open(&self.path)?;
        if id(&file.metadata()?) == self.id {
            Ok(file)
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }
}

/// The identity of an open file, or one of a folder.
pub(super) fn id(metadata: &fs::Metadata) -> Id {
    let created = metadata.created().ok();
    let since = created.and_then(|created| created.duration_since(UNIX_EPOCH).ok());
    Id {
        inode: metadata.ino(),
        created: since.and_then(|since| i64::try_from(since.as_micros()).ok()),
    }
}

/// The files that patterns match now, by name. What can't be looked at is not there; names that end in `.tmp` are their writers'.
pub(super) fn listed(patterns: &[PathBuf]) -> Vec<Seen> {
    let options = glob::MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let mut paths = BTreeSet::new();
    for pattern in patterns {
        if !is_glob(pattern) {
            paths.insert(pattern.clone());
        } else if let Ok(found) = glob::glob_with(&pattern.to_string_lossy(), options) {
            paths.extend(found.flatten());
        }
    }
    let is_ready = |path: &&PathBuf| path.extension().is_none_or(|end| end != "tmp");
    let paths = paths.iter().filter(is_ready);
    paths.filter_map(|path| Seen::at(path)).collect()
}

/// The files in the same folder.
pub(super) fn beside(path: &Path) -> impl Iterator<Item = Seen> + use<> {
    let folder = path.parent().map_or(Path::new("."), |folder| {
        if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        }
    });
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| Seen::at(&entry.path()))
}

/// How a file holds its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is too short to tell.
    Unknown,
    /// As they are, or compressed.
    Known(Compression),
}

/// How a file holds its bytes, by its first ones and its name.
pub(super) fn kind(path: &Path, file: &File) -> io::Result<Kind> {
    let first = first_bytes(file)?;
    Ok(match Compression::of(&first) {
        Compression::None if Compression::may_begin_with(path, &first) => Kind::Unknown,
        known => Kind::Known(known),
    })
}

/// What a file is, next to one that was read up to `at`.
#[derive(Debug)]
pub(super) enum Fit {
    /// It begins with all that was read.
    Is(Box<Marker>),
    /// It does not.
    IsNot,
    /// It is compressed and not whole yet, or called otherwise by now.
    NotYet,
}

/// Whether a file holds the bytes before `at` that `mark` is of. Where inode and times are the same, samples are enough.
pub(super) fn fits(seen: &Seen, at: u64, mark: &FileMark) -> io::Result<Fit> {
    let file = match seen.open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Fit::NotYet),
        opened => opened?,
    };
    if at == 0 {
        return Ok(Fit::Is(Box::new(Marker::new())));
    }
    let is_same = seen.id == Id::of(mark);
    let found = match kind(&seen.path, &file)? {
        Kind::Unknown => return Ok(Fit::NotYet),
        Kind::Known(Compression::None) if is_same => Marker::of_file(&file, at, mark)?,
        Kind::Known(Compression::None) => Marker::of_bytes(&mut &file, at, mark)?,
        Kind::Known(compression) => {
            let mut input = unpack(file, compression)?;
            match Marker::of_bytes(input.as_mut(), at, mark) {
                Ok(found) => found,
                Err(_) => return Ok(Fit::NotYet),
            }
        }
    };
    Ok(found.map_or(Fit::IsNot, |marker| Fit::Is(Box::new(marker))))
}

/// How long a compressed file is that can be unpacked to its end; `None` where it can't be yet.
pub(super) fn unpacked_length(file: File, compression: Compression) -> Option<u64> {
    let mut input = unpack(file, compression).ok()?;
    io::copy(&mut input, &mut io::sink()).ok()
}

/// Whether one file holds the beginning of another, or all of it, unpacked; `None` where one is not whole, or not there any more.
pub(super) fn holds_the_beginning(one: &Seen, other: &Seen) -> Option<bool> {
    let open = |seen: &Seen| -> Option<Box<dyn Read + Send>> {
        let file = seen.open().ok()?;
        match kind(&seen.path, &file).ok()? {
            Kind::Unknown => None,
            Kind::Known(compression) => unpack(file, compression).ok(),
        }
    };
    let (mut one, mut other) = (open(one)?, open(other)?);
    let (mut left, mut right) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let read =
            |input: &mut dyn Read, into: &mut [u8]| super::super::open::read_full(input, into).ok();
        let (n, m) = (
            read(one.as_mut(), &mut left)?,
            read(other.as_mut(), &mut right)?,
        );
        if n > m || left[..n] != right[..n] {
            return Some(false);
        }
        if n < left.len() {
            return Some(true);
        }
    }
}
