//! Which files a source has, on process 0: what is new, what is only called otherwise, and what is gone.
//!
//! It is the only judge of what is the same file. A file that is not known is judged when every file that has lost its place was read
//! to its end, as far as it is open: until then it could be the rest of one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::super::open::{Compression, read_full, unpack};
use super::FollowError;
use super::find::{
    Fit, Id, Kind, Seen, beside, fits, holds_the_beginning, kind, listed, unpacked_length,
};
use super::mark::SAMPLE;
use super::reader::offset;
use crate::cluster::Stands;
use crate::cluster::exchange::hash_bytes;
use crate::epoch::{Binding, FileMark, FilePlace, Found, Moved, Partition};
use crate::job::plan::{FollowSource, OnDataLoss};

/// What one look at the folders brought.
#[derive(Debug, Default, PartialEq)]
pub struct Changes {
    /// New files.
    pub found: Vec<Found>,
    /// Known files that are elsewhere.
    pub renamed: Vec<(Partition, FilePlace)>,
    /// Bytes that are gone and that the job goes on without.
    pub lost: i64,
}

/// The files of one source.
#[derive(Debug)]
pub struct Folders {
    name: String,
    owner: String,
    follow: FollowSource,
    files: BTreeMap<Partition, Known>,
    /// How many files had each path.
    names: BTreeMap<String, i32>,
    /// What was judged to be no file of its own, or can't be judged yet, as it was then.
    passed: BTreeMap<Id, (u64, i128)>,
    /// What can't be read, as was said.
    unreadable: BTreeSet<Id>,
    /// How many epochs were answered for when it was heard last where files stand; `None` before this life reads.
    answered: Option<u64>,
}

/// Epochs that are answered for until all is told that was read before: the one that was open, and the one that is opened then.
const EPOCHS_TO_HEAR: u64 = 2;

/// Looks that must miss a file one after the other until it is gone: one look meets a folder in the middle of a renaming, and finds
/// the file under neither name.
pub(super) const LOOKS_TO_MISS: u32 = 3;

/// The time between two of them, at least.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A file that is known.
#[derive(Debug)]
struct Known {
    path: PathBuf,
    id: Id,
    /// Up to where it was read, as far as is bound, and by what it is known there.
    at: u64,
    mark: FileMark,
    caught_up: bool,
    /// The bytes that have to be read again when a life begins.
    again: Option<(u64, u64)>,
    /// How it stood when it was looked at last.
    stamp: Option<(u64, i128)>,
    state: State,
    /// How many epochs were answered for when it was lost.
    lost_at: Option<u64>,
    /// How many looks have missed it since.
    missed: u32,
}

/// Whether a file is where it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Here,
    /// Another one has its place, or nothing has.
    Lost,
    /// Its place was written anew; so many bytes stand there now.
    Overwritten(u64),
    /// It was looked for, and what was read of it is all that there was.
    Gone,
}

impl Changes {
    /// Adds what a later look brought.
    fn add(&mut self, later: Self) {
        self.found.extend(later.found);
        self.renamed.extend(later.renamed);
        self.lost += later.lost;
    }
}

impl Folders {
    /// The files of a source of which `known` was read, and `replay` is to be read again.
    pub fn new(name: &str, follow: &FollowSource, known: &[Moved], replay: &[Binding]) -> Self {
        let mut folders = Self {
            name: name.to_owned(),
            owner: format!("sources.{name}"),
            follow: follow.clone(),
            files: BTreeMap::new(),
            names: BTreeMap::new(),
            passed: BTreeMap::new(),
            unreadable: BTreeSet::new(),
            answered: None,
        };
        let of_source = |moved: &&Moved| moved.partition.source == name;
        for moved in known.iter().filter(of_source) {
            folders.stand(moved);
        }
        for moved in replay
            .iter()
            .flat_map(|binding| &binding.moved)
            .filter(of_source)
        {
            folders.stand(moved);
            let file = folders.files.get_mut(&moved.partition);
            if let Some(file) = file.filter(|_| moved.from < moved.to) {
                let again = file.again.get_or_insert((offset(moved.from), 0));
                again.1 = offset(moved.to);
            }
        }
        folders
    }

    /// The source's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where files stand now.
    pub fn hear(&mut self, stands: &Stands) {
        self.answered = Some(stands.answered);
        stands.moved.iter().for_each(|moved| self.stand(moved));
    }

    fn stand(&mut self, moved: &Moved) {
        let Some(mark) = moved
            .file
            .clone()
            .filter(|_| moved.partition.source == self.name)
        else {
            return;
        };
        let partition = &moved.partition;
        let names = self.names.entry(partition.topic.clone()).or_default();
        *names = (*names).max(partition.partition + 1);
        let id = Id::of(&mark);
        let file = self
            .files
            .entry(partition.clone())
            .or_insert_with(|| Known {
                path: PathBuf::from(&partition.topic),
                id,
                at: 0,
                mark: FileMark::default(),
                caught_up: false,
                again: None,
                stamp: None,
                state: State::Lost,
                lost_at: None,
                missed: 0,
            });
        file.at = offset(moved.to);
        if file.mark != mark {
            // It is held against what was read of it by now.
            (file.mark, file.stamp) = (mark, None);
        }
        file.caught_up = moved.caught_up;
    }

    /// Where known files are that are elsewhere than they were when they were found.
    pub fn places(&self) -> impl Iterator<Item = (Partition, FilePlace)> {
        self.files.iter().filter_map(|(partition, file)| {
            let place = file.place()?;
            let is_moved = place.path != partition.topic || file.id != Id::of(&file.mark);
            (file.state == State::Here && is_moved).then(|| (partition.clone(), place))
        })
    }

    /// Looks until it is known of every file where it is, or that it is gone; before anything is read. Errors and cost: as [`Self::look`].
    pub fn begin(&mut self, over: &dyn Fn() -> bool) -> Result<Changes, FollowError> {
        let mut changes = self.look()?;
        while self.files.values().any(|file| file.missed > 0) && !over() {
            std::thread::sleep(LOOK_AGAIN);
            changes.add(self.look()?);
        }
        Ok(changes)
    }

    /// Looks at the folders.
    ///
    /// Errors: bytes were changed, or are gone, that were not read or have to be read again, and the job stops at that, when several
    /// looks have said so. Cost: a look at each file's place; files that are not known are opened, and unpacked where they are
    /// compressed.
    pub fn look(&mut self) -> Result<Changes, FollowError> {
        let listed = listed(&self.follow.paths);
        self.judge_listed(&listed)
    }

    /// The same by what was listed, which may be otherwise by now.
    pub(super) fn judge_listed(&mut self, listed: &[Seen]) -> Result<Changes, FollowError> {
        let mut changes = Changes::default();
        self.find_known(listed, &mut changes);
        if !self.files.values().all(|file| self.is_heard(file)) {
            return Ok(changes);
        }
        // As long as something is missed, whatever is not known may be it.
        if self.is_any_lost() {
            self.find_unknown(listed, false, &mut changes);
            self.judge_lost(&mut changes)?;
        }
        if !self.is_any_lost() {
            self.files.values_mut().for_each(|file| file.again = None);
            self.find_unknown(listed, true, &mut changes);
        }
        Ok(changes)
    }

    fn is_any_lost(&self) -> bool {
        self.files.values().any(|file| file.state.is_lost())
    }

    /// Whether all is known that was read of a file, where it is lost.
    fn is_heard(&self, file: &Known) -> bool {
        let (Some(lost_at), Some(answered)) = (file.lost_at, self.answered) else {
            return true;
        };
        !file.state.is_lost() || file.caught_up && answered >= lost_at + EPOCHS_TO_HEAR
    }

    /// Finds known files by what the file system knows of them.
    fn find_known(&mut self, listed: &[Seen], changes: &mut Changes) {
        let by_id: BTreeMap<Id, &Seen> = listed.iter().map(|seen| (seen.id, seen)).collect();
        let there = self.files.values().filter(|file| file.state != State::Gone);
        let taken: BTreeSet<Id> = there.map(|file| file.id).collect();
        for (partition, file) in &mut self.files {
            if file.state == State::Gone {
                // It may come back, as a folder does that is mounted again; readers know it still.
                let back = by_id.get(&file.id).filter(|_| !taken.contains(&file.id));
                if let Some(seen) = back.filter(|seen| file.is(seen)) {
                    changes.renamed.extend(file.is_at(partition, seen));
                }
                continue;
            }
            let at_its_place = || Seen::at(&file.path).filter(|seen| seen.id == file.id);
            let seen = by_id.get(&file.id).map(|seen| Seen::clone(seen));
            // A name outside of the patterns, too, in the same folder.
            let seen = seen
                .or_else(at_its_place)
                .or_else(|| beside(&file.path).find(|seen| seen.id == file.id));
            let Some(seen) = seen else {
                file.is_lost(State::Lost, self.answered);
                continue;
            };
            let stamp = (seen.size, seen.written);
            if file.state == State::Here && file.stamp == Some(stamp) && file.path == seen.path {
                continue;
            }
            match file.fits(&seen) {
                Ok(Fit::Is(_)) => changes.renamed.extend(file.is_at(partition, &seen)),
                Ok(Fit::IsNot) => file.is_lost(State::Overwritten(seen.size), self.answered),
                // Looked at again next time.
                Ok(Fit::NotYet) | Err(_) => {}
            }
        }
    }

    /// Judges files that are not known; those that are new stay unknown unless `takes_new`.
    fn find_unknown(&mut self, listed: &[Seen], takes_new: bool, changes: &mut Changes) {
        let here = self.files.values().filter(|file| file.state == State::Here);
        let mut here: BTreeSet<Id> = here.map(|file| file.id).collect();
        // What was a copy may be all that is left by now.
        let is_any_lost = self.is_any_lost();
        for seen in listed {
            let stamp = (seen.size, seen.written);
            let is_passed = self.passed.get(&seen.id) == Some(&stamp);
            if seen.size == 0 || here.contains(&seen.id) || is_passed && !is_any_lost {
                continue;
            }
            match self.judge(seen) {
                Judged::Vanished => continue,
                Judged::Unreadable(error) => {
                    if self.unreadable.insert(seen.id) {
                        tracing::warn!(
                            action = "file-unreadable",
                            source = self.name,
                            file = %seen.path.display(),
                            error = error.to_string(),
                            "a file can't be read; it is tried again"
                        );
                    }
                    continue;
                }
                Judged::New { .. } if !takes_new => continue,
                Judged::NotYet => {}
                Judged::Same(partition) => {
                    let file = self.files.get_mut(&partition).expect("it is known");
                    changes.renamed.extend(file.moves_to(&partition, seen));
                    here.insert(seen.id);
                    continue;
                }
                Judged::Copy(_) if is_passed => {}
                Judged::Copy(of) => tracing::warn!(
                    action = "file-copied",
                    source = self.name,
                    file = %seen.path.display(),
                    of = %of.display(),
                    "a file holds the same as one that was read, and is not read"
                ),
                Judged::New { head, length } => {
                    if let Some(found) = self.add(seen, head, length) {
                        changes.found.push(found);
                        here.insert(seen.id);
                        continue;
                    }
                }
            }
            self.passed.insert(seen.id, stamp);
        }
        let there: BTreeSet<Id> = listed.iter().map(|seen| seen.id).collect();
        self.passed.retain(|id, _| there.contains(id));
        self.unreadable.retain(|id| there.contains(id));
    }

    fn judge(&self, seen: &Seen) -> Judged {
        let looked = match Looked::at(seen) {
            Ok(Some(looked)) => looked,
            Ok(None) => return Judged::NotYet,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Judged::Vanished,
            Err(error) => return Judged::Unreadable(error),
        };
        let mut best: Option<(&Partition, u64)> = None;
        let mut copy = None;
        for (partition, file) in &self.files {
            if file.state == State::Here {
                let is_asked = !self.follow.reads_copies && copy.is_none();
                let held = is_asked.then(|| looked.hold_against(seen, file));
                match held.flatten() {
                    Some(Beside::Copy) => copy = Some(file.path.clone()),
                    Some(Beside::Part) => return Judged::NotYet,
                    Some(Beside::Vanished) => return Judged::Vanished,
                    None => {}
                }
                continue;
            }
            if !looked.may_begin_with(file) {
                continue;
            }
            if file.at == 0 {
                // Nothing was read of it: whatever begins alike may be it.
                if file.state.is_lost() {
                    best = best.or(Some((partition, 0)));
                }
                continue;
            }
            if best.is_none_or(|(_, at)| at < file.at) && file.is(seen) {
                best = Some((partition, file.at));
            }
        }
        match (best, copy) {
            (Some((partition, _)), _) => Judged::Same(partition.clone()),
            (None, Some(of)) => Judged::Copy(of),
            (None, None) => Judged::New {
                head: hash_bytes(&looked.head),
                length: looked.length,
            },
        }
    }

    /// Takes a file that is new; `None` where it has a name that no text can say.
    fn add(&mut self, seen: &Seen, head: u64, length: u64) -> Option<Found> {
        let Some(path) = seen.path.to_str() else {
            tracing::warn!(
                action = "file-unnamed",
                file = %seen.path.display(),
                "a file whose name is no text is not read"
            );
            return None;
        };
        let partition = Partition {
            source: self.name.clone(),
            topic: path.to_owned(),
            partition: self.names.get(path).copied().unwrap_or_default(),
        };
        let mark = FileMark {
            inode: seen.id.inode,
            created: seen.id.created,
            size: length,
            head,
            ..FileMark::default()
        };
        self.stand(&Moved {
            partition: partition.clone(),
            from: 0,
            to: 0,
            newest: None,
            caught_up: false,
            file: Some(mark.clone()),
        });
        let file = self.files.get_mut(&partition).expect("it was added");
        file.is_here();
        Some(Found {
            partition,
            at: 0,
            file: Some(mark),
        })
    }

    /// Says what is not to be had of files that were not found.
    fn judge_lost(&mut self, changes: &mut Changes) -> Result<(), FollowError> {
        let stops = self.follow.on_data_loss == OnDataLoss::Stop;
        for (partition, file) in &mut self.files {
            if !file.state.is_lost() {
                continue;
            }
            file.missed += 1;
            if file.missed < LOOKS_TO_MISS {
                continue;
            }
            let to = file.mark.size.max(file.at);
            let (from, is_replay) = match file.again {
                Some((from, to)) => (from, from < to),
                None => (file.at, false),
            };
            if matches!(file.state, State::Overwritten(_)) && file.at == 0 && !is_replay {
                // Nothing was read of what was there: it is read as it stands.
                file.is_found();
                continue;
            }
            (file.missed, file.again) = (0, None);
            let path = PathBuf::from(&partition.topic);
            if let (State::Overwritten(size), true) = (file.state, stops) {
                return Err(FollowError::Changed {
                    owner: self.owner.clone(),
                    path,
                    at: file.at,
                    problem: if size < file.at {
                        format!("has {size} bytes now")
                    } else {
                        format!("of its {size} bytes those before it are others now")
                    },
                });
            }
            if from < to && stops {
                return Err(FollowError::Gone {
                    owner: self.owner.clone(),
                    path,
                    from,
                    to,
                    is_replay,
                });
            }
            if from < to {
                tracing::warn!(
                    action = "bytes-lost",
                    file = partition.topic,
                    from,
                    to,
                    "bytes that were not read are gone; the job goes on without them"
                );
                changes.lost += i64::try_from(to - from).unwrap_or(i64::MAX);
            }
            file.state = State::Gone;
        }
        Ok(())
    }
}

impl State {
    /// Whether its place has to be looked for.
    fn is_lost(self) -> bool {
        matches!(self, Self::Lost | Self::Overwritten(_))
    }
}

impl Known {
    /// How many bytes its mark is of: those that were read, or all that were there when it was found.
    fn known(&self) -> u64 {
        if self.at == 0 {
            self.mark.size
        } else {
            self.at
        }
    }

    /// Whether a file holds what was read of it, or begins with what was there when it was found: one that was written anew before
    /// anything was read of it may be read from another place.
    fn fits(&self, seen: &Seen) -> io::Result<Fit> {
        if self.at == 0
            && self.mark.size > 0
            && let Some(looked) = Looked::at(seen)?
            && !looked.may_begin_with(self)
        {
            return Ok(Fit::IsNot);
        }
        fits(seen, self.at, &self.mark)
    }

    /// The same, as far as can be told now.
    fn is(&self, seen: &Seen) -> bool {
        matches!(self.fits(seen), Ok(Fit::Is(_)))
    }

    /// It is known by what stands in its place now.
    fn is_found(&mut self) {
        let there = Seen::at(&self.path).filter(|there| there.id == self.id);
        if let Some(Ok(Some(looked))) = there.map(|there| Looked::at(&there)) {
            (self.mark.size, self.mark.head) = (looked.length, hash_bytes(&looked.head));
        }
        self.is_here();
    }

    /// It is where it was seen; readers are told where that is elsewhere.
    fn is_at(&mut self, partition: &Partition, seen: &Seen) -> Option<(Partition, FilePlace)> {
        if self.path != seen.path {
            return self.moves_to(partition, seen);
        }
        self.stamp = Some((seen.size, seen.written));
        self.is_here();
        None
    }

    /// Goes on in another place; readers are told.
    fn moves_to(&mut self, partition: &Partition, seen: &Seen) -> Option<(Partition, FilePlace)> {
        tracing::info!(
            action = "file-moved",
            file = partition.topic,
            path = %seen.path.display(),
            "a followed file is elsewhere"
        );
        self.path.clone_from(&seen.path);
        self.id = seen.id;
        self.stamp = Some((seen.size, seen.written));
        self.is_here();
        Some((partition.clone(), self.place()?))
    }

    /// Where it is; a name that is no text can't be told.
    fn place(&self) -> Option<FilePlace> {
        Some(FilePlace {
            path: self.path.to_str()?.to_owned(),
            inode: self.id.inode,
            created: self.id.created,
        })
    }

    /// It is where it is said to be.
    fn is_here(&mut self) {
        self.state = State::Here;
        self.lost_at = None;
        self.missed = 0;
    }

    /// It is not where it was, as is seen when so many epochs were answered for.
    fn is_lost(&mut self, state: State, answered: Option<u64>) {
        if !self.state.is_lost() || self.lost_at.is_none() {
            self.lost_at = answered;
        }
        self.state = state;
    }
}

/// What a file that is not known turned out to be.
enum Judged {
    New {
        /// Hash of its first bytes.
        head: u64,
        /// Bytes in it, unpacked.
        length: u64,
    },
    /// It can't be told before there is more of it.
    NotYet,
    /// This user may not read it, or the disk does not answer.
    Unreadable(io::Error),
    /// It, or what it is held against, is called otherwise by now: the next look tells.
    Vanished,
    /// A known file, by another name.
    Same(Partition),
    /// A copy of what stands there.
    Copy(PathBuf),
}

/// What a file that is not known is to one that is there.
enum Beside {
    /// It holds the same.
    Copy,
    /// It holds the beginning of the same: a copy that is being made.
    Part,
    /// One of them is called otherwise by now.
    Vanished,
}

/// The beginning of a file that is not known, and how long it is.
pub(super) struct Looked {
    pub(super) head: Vec<u8>,
    pub(super) length: u64,
}

impl Looked {
    /// `None` where it is compressed and not whole.
    pub(super) fn at(seen: &Seen) -> io::Result<Option<Self>> {
        let file = seen.open()?;
        let Kind::Known(compression) = kind(&seen.path, &file)? else {
            return Ok(None);
        };
        let length = if compression == Compression::None {
            Some(file.metadata()?.len())
        } else {
            unpacked_length(seen.open()?, compression)
        };
        let Some(length) = length else {
            return Ok(None);
        };
        let mut head = vec![0; usize::try_from(SAMPLE).expect("a sample is short")];
        let mut input = unpack(file, compression)?;
        let read = read_full(input.as_mut(), &mut head)?;
        // It may have grown since.
        let most = usize::try_from(length).unwrap_or(usize::MAX);
        head.truncate(read.min(most));
        Ok(Some(Self { head, length }))
    }

    fn may_begin_with(&self, file: &Known) -> bool {
        self.begins_like(file.known(), file.mark.head)
    }

    /// Whether it may begin with so many bytes, the first of which have this hash.
    pub(super) fn begins_like(&self, bytes: u64, head: u64) -> bool {
        let sample = usize::try_from(bytes.min(SAMPLE)).expect("a sample is short");
        bytes > 0
            && self.length >= bytes
            && self.head.len() >= sample
            && hash_bytes(&self.head[..sample]) == head
    }

    /// What it is to a file that is there; `None` where it is another. Cost: both are read where they begin alike.
    ///
    /// Less than a sample is not looked for as a part: whoever copies writes more at once.
    fn hold_against(&self, seen: &Seen, file: &Known) -> Option<Beside> {
        let is_sampled = self.length >= SAMPLE && file.known() >= SAMPLE;
        let bytes = if is_sampled { SAMPLE } else { file.known() };
        if !self.begins_like(bytes, file.mark.head) {
            return None;
        }
        let Some(known) = Seen::at(&file.path).filter(|known| known.id == file.id) else {
            return Some(Beside::Vanished);
        };
        let Ok(Some(looked)) = Self::at(&known) else {
            return Some(Beside::Vanished);
        };
        let length = looked.length;
        let is_same = if length < self.length {
            Some(false)
        } else {
            holds_the_beginning(seen, &known)
        };
        // What was compared is what is known of it, and was there to the end.
        let are_there = file.is(&known) && seen.open().is_ok();
        let Some(is_same) = is_same.filter(|_| are_there) else {
            return Some(Beside::Vanished);
        };
        is_same.then_some(if length == self.length {
            Beside::Copy
        } else {
            Beside::Part
        })
    }
}
