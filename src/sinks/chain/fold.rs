//! Old manifests, a thousand to a file, and all manifests in order for who wants to know every file.
//!
//! A thousand is folded when at least another thousand manifests follow it; a manifest is copied once in its life. What is in a fold
//! does not depend on who folds: the same bytes in the same order.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::manifest::read;
use super::steps::Steps;
use super::{Manifest, tag};
use crate::record::Epoch;
use crate::sinks::SinkError;
use crate::sinks::output::{entries, put_beside, write_beside};
use crate::sinks::publish::{manifest_number, manifest_path};

/// Manifests in a fold; part of the format. Fewer: more files of folds; more: more names in the folder, of which up to twice as
/// many lie there.
const FOLD: u64 = if cfg!(test) { 4 } else { 1000 };

/// Where the fold is, or would be, that has manifest `number`.
pub(super) fn of(root: &Path, number: u64) -> PathBuf {
    let last = number.div_ceil(FOLD) * FOLD;
    root.join("_caudal")
        .join("manifest")
        .join(format!("fold-{last:08}.jsonl"))
}

fn last_of(name: &str) -> Option<u64> {
    let last = name.strip_prefix("fold-")?.strip_suffix(".jsonl")?;
    last.parse().ok()
}

/// Folds what is old enough once `newest` is put, all below which is shown, and removes what is folded.
pub(super) fn fold(root: &Path, newest: &Manifest, steps: &mut Steps) -> Result<(), SinkError> {
    if !newest.number.is_multiple_of(FOLD) {
        return Ok(());
    }
    let folder = root.join("_caudal").join("manifest");
    let mut singles: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for number in entries(&folder)?
        .iter()
        .filter_map(|name| manifest_number(name))
    {
        let last = number.div_ceil(FOLD) * FOLD;
        singles.entry(last).or_default().push(number);
    }
    for (last, mut numbers) in singles {
        if last + FOLD > newest.number {
            break;
        }
        let path = of(root, last);
        numbers.sort_unstable();
        if !path.exists() {
            if !numbers.iter().copied().eq(last + 1 - FOLD..=last) {
                // Another folds it now, and has removed some.
                continue;
            }
            steps.at("write a fold")?;
            let write = |file: &mut io::BufWriter<File>| {
                numbers.iter().try_for_each(|&number| {
                    let content = fs::read(manifest_path(root, number))?;
                    file.write_all(&content)
                })
            };
            let temporary = write_beside(&path, &tag(newest.generation), write)?;
            steps.at("put a fold")?;
            put_beside(&temporary, &path)?;
        }
        for number in numbers {
            steps.at("remove a folded manifest")?;
            let path = manifest_path(root, number);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(SinkError::io(&path, "removing a folded manifest", error));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// A file that a continuous job has committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedFile {
    /// Its sink.
    pub sink: String,
    /// Where it is, or was, visible; relative to the root, with `/`.
    pub path: String,
    /// Rows.
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// The `to` of its commit.
    pub to: Epoch,
}

/// How often a file is looked for that a commit is just making visible, and how long between.
const LOOKS: (u32, Duration) = (20, Duration::from_millis(50));

/// Opens a committed file. Those of the newest commit, which goes to `newest`, may not be visible for a moment.
pub fn open(root: &Path, file: &CommittedFile, newest: Epoch) -> io::Result<File> {
    let path = root.join(&file.path);
    let (looks, rest) = LOOKS;
    for _ in 0..looks {
        match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && file.to >= newest => {
                std::thread::sleep(rest);
            }
            opened => return opened,
        }
    }
    File::open(&path)
}

/// All files that were ever committed below a root, in order. Takes no lock.
///
/// Cost: one manifest in memory at a time.
pub fn files(
    root: &Path,
) -> Result<impl Iterator<Item = Result<CommittedFile, SinkError>> + use<>, SinkError> {
    let of_manifest = |manifest: Manifest| {
        let to = manifest.to.unwrap_or_default();
        manifest.sinks.into_iter().flat_map(move |added| {
            let (sink, folder) = (added.sink, added.path);
            added.files.into_iter().map(move |file| CommittedFile {
                sink: sink.clone(),
                path: format!("{folder}/{}", file.path),
                rows: file.rows,
                bytes: file.bytes,
                to,
            })
        })
    };
    let all = manifests(root)?.flat_map(move |manifest| {
        let (manifest, error) = match manifest {
            Ok(manifest) => (Some(manifest), None),
            Err(error) => (None, Some(Err(error))),
        };
        let files = manifest.into_iter().flat_map(of_manifest).map(Ok);
        files.chain(error)
    });
    Ok(all)
}

/// All manifests of the chain, from the first to the one that is the newest when it is come to.
pub fn manifests(root: &Path) -> Result<Manifests, SinkError> {
    let mut manifests = Manifests {
        root: root.to_path_buf(),
        next: 1,
        pieces: VecDeque::new(),
        fold: None,
        listed_for: 1,
    };
    manifests.list()?;
    Ok(manifests)
}

/// See [`manifests`]. Ends after an error.
#[derive(Debug)]
pub struct Manifests {
    root: PathBuf,
    /// Number of the one that comes next.
    next: u64,
    pieces: VecDeque<Piece>,
    /// The fold that is read now.
    fold: Option<Reading>,
    /// What came next when the folder was listed last.
    listed_for: u64,
}

#[derive(Debug)]
struct Reading {
    path: PathBuf,
    last: u64,
    lines: BufReader<File>,
}

impl Reading {
    fn next(&mut self) -> Result<Option<Manifest>, SinkError> {
        let mut line = String::new();
        let read = self.lines.read_line(&mut line);
        if read.map_err(|error| SinkError::io(&self.path, "reading a file", error))? == 0 {
            return Ok(None);
        }
        let manifest = serde_json::from_str(&line);
        let broken = |error: serde_json::Error| SinkError::Unreadable {
            path: self.path.clone(),
            problem: error.to_string(),
        };
        manifest.map(Some).map_err(broken)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    /// By its last number.
    Fold(u64),
    One(u64),
}

impl Piece {
    fn last(self) -> u64 {
        match self {
            Self::Fold(last) | Self::One(last) => last,
        }
    }
}

impl Manifests {
    fn list(&mut self) -> Result<(), SinkError> {
        let names = entries(&self.root.join("_caudal").join("manifest"))?;
        let fold = |name: &String| last_of(name).map(Piece::Fold);
        let one = |name: &String| manifest_number(name).map(Piece::One);
        let mut pieces: Vec<Piece> = names
            .iter()
            .filter_map(|name| fold(name).or_else(|| one(name)))
            .filter(|piece| piece.last() >= self.next)
            .collect();
        // By where they begin, and a fold before what it is of.
        let first = |piece: &Piece| match piece {
            Piece::Fold(last) => (last + 1 - FOLD, 0),
            Piece::One(number) => (*number, 1),
        };
        pieces.sort_by_key(first);
        self.pieces = pieces.into();
        self.listed_for = self.next;
        Ok(())
    }

    fn try_next(&mut self) -> Result<Option<Manifest>, SinkError> {
        loop {
            if let Some(fold) = &mut self.fold {
                match fold.next()? {
                    Some(manifest) if manifest.number == self.next => return Ok(Some(manifest)),
                    // It was folded when some of it had been read.
                    Some(_) => continue,
                    None if fold.last >= self.next => {
                        return Err(SinkError::Unreadable {
                            path: fold.path.clone(),
                            problem: format!("manifest {} is missing in it", self.next),
                        });
                    }
                    None => self.fold = None,
                }
            }
            let Some(piece) = self.pieces.pop_front() else {
                return Ok(None);
            };
            match piece {
                piece if piece.last() < self.next => {}
                Piece::Fold(last) => {
                    let path = of(&self.root, last);
                    let file = File::open(&path)
                        .map_err(|error| SinkError::io(&path, "reading a file", error))?;
                    let lines = BufReader::new(file);
                    self.fold = Some(Reading { path, last, lines });
                }
                Piece::One(number) if number == self.next => match read(&self.root, number) {
                    Err(SinkError::Io { source, .. })
                        if source.kind() == io::ErrorKind::NotFound =>
                    {
                        self.again()?;
                    }
                    found => return found.map(Some),
                },
                Piece::One(_) => self.again()?,
            }
        }
    }

    /// A manifest is not where it was, or was not seen: it has been folded meanwhile.
    fn again(&mut self) -> Result<(), SinkError> {
        let path = manifest_path(&self.root, self.next);
        if of(&self.root, self.next).exists() || self.listed_for < self.next || path.exists() {
            return self.list();
        }
        Err(SinkError::Unreadable {
            path,
            problem: "this manifest is missing, though later ones are there".to_owned(),
        })
    }
}

impl Iterator for Manifests {
    type Item = Result<Manifest, SinkError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.try_next();
        if next.is_ok() {
            self.next += 1;
        } else {
            (self.pieces, self.fold) = (VecDeque::new(), None);
        }
        next.transpose()
    }
}
