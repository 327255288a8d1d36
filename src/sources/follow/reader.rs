//! What one worker reads of followed files: whole records of each, in their order.
//!
//! A file that has no more is looked at again after a rest that grows while it is quiet. What is not behind a line end yet waits. A
//! file is read to its end as long as it is open, whatever becomes of its name; where it is when it has to be opened again is said
//! by process 0 ([`super::Folders`]), which alone judges what is the same file. That it is the same is looked at here, too.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::files::SourceError;
use super::super::files::io as io_error;
use super::super::open::Compression;
use super::super::text::Followed;
use super::FollowError;
use super::discover::{LOOK_AGAIN, LOOKS_TO_MISS};
use super::find::{Fit, Id, Kind, Seen, beside, fits, kind, listed, unpacked_length};
use super::growing::{From, Open, goes_by_lines};
use super::lines::is_cut;
use super::mark::Marker;
use crate::epoch::{Assigned, FileMark, FilePlace, Moved, Partition};
use crate::job::plan::{FollowSource, Format, OnDataLoss, SourceColumn, SourcePlan};
use crate::record::{Chunk, HeaderBinding};

/// First rest of a file that has no more: writers of logs write again within it.
const LEAST_REST: Duration = Duration::from_millis(2);

/// Longest rest: how late the next record of a file that was quiet may be noticed.
const MOST_REST: Duration = Duration::from_millis(250);

/// Files that one worker keeps open though they have no more: a process may have 1024 open by default.
const MOST_OPEN: usize = 64;

/// Reads the files of one source that are a worker's.
pub(in crate::sources) struct FilesReader {
    source: usize,
    owner: String,
    follow: FollowSource,
    format: Format,
    columns: Vec<SourceColumn>,
    files: Vec<Part>,
    /// The file that is asked first next time.
    turn: usize,
}

/// What is the same for all files of a source.
struct Common<'a> {
    followed: Followed<'a>,
    follow: &'a FollowSource,
    chunk: usize,
    now: Instant,
}

/// One file.
struct Part {
    partition: Partition,
    /// The name that its rows say: the one under which it was found.
    shown: Arc<PathBuf>,
    /// Where it is, as far as is known.
    path: PathBuf,
    id: Id,
    /// Where process 0 says it is, while a replay reads it from another place.
    said: Option<(PathBuf, Id)>,
    at: u64,
    line: u64,
    /// What was read of it; until it is opened in this life, `known` says what that was.
    marker: Option<Box<Marker>>,
    known: FileMark,
    header: Option<Arc<HeaderBinding>>,
    open: Option<Open>,
    /// Where the epoch began.
    from: u64,
    /// Where the epoch stops, in replay, and by what the file is known there.
    to: Option<(u64, FileMark)>,
    /// Bytes that were seen in it.
    size: u64,
    caught_up: bool,
    /// Whether something stands behind its place that is no whole record yet.
    has_rest: bool,
    rest: Duration,
    look_at: Option<Instant>,
    /// How many looks have missed what is to be read again.
    missed: u32,
    /// Its size and time when it was looked at last, and since when it has them.
    still: Option<((u64, i128), Instant)>,
    /// Whether it could not be unpacked as it was then.
    is_unready: bool,
}

impl FilesReader {
    /// A reader of no file yet.
    pub(in crate::sources) fn new(source: usize, plan: &SourcePlan, follow: &FollowSource) -> Self {
        Self {
            source,
            owner: super::super::feed::owner(plan),
            follow: follow.clone(),
            format: plan.format.clone(),
            columns: plan.columns.clone(),
            files: Vec::new(),
            turn: 0,
        }
    }

    /// Its source.
    pub(in crate::sources) fn source(&self) -> usize {
        self.source
    }

    /// Takes a file, to be read from where it stands on.
    pub(in crate::sources) fn assign(&mut self, assigned: &Assigned) {
        let known = assigned.file.clone().unwrap_or_default();
        let shown = PathBuf::from(&assigned.partition.topic);
        let at = offset(assigned.at);
        let place = assigned.place.as_ref();
        self.files.push(Part {
            partition: assigned.partition.clone(),
            path: place.map_or(shown.clone(), |place| PathBuf::from(&place.path)),
            shown: Arc::new(shown),
            id: place.map_or(Id::of(&known), Id::at),
            said: None,
            at,
            line: if at == 0 { 1 } else { known.line },
            marker: None,
            header: None,
            open: None,
            from: at,
            to: None,
            size: known.size,
            known,
            caught_up: false,
            has_rest: false,
            rest: LEAST_REST,
            look_at: None,
            missed: 0,
            still: None,
            is_unready: false,
        });
    }

    /// Says where a file is now.
    pub(in crate::sources) fn renamed(&mut self, partition: &Partition, place: &FilePlace) {
        let id = Id::at(place);
        for part in &mut self.files {
            if part.partition == *partition {
                part.said = None;
                part.path = PathBuf::from(&place.path);
                if part.id != id {
                    part.id = id;
                    part.open = None;
                    part.caught_up = false;
                }
                part.still = None;
                part.look_at = None;
            }
        }
    }

    /// An epoch begins; in replay it stops in each file where `stops` say, and before the first record of all others.
    pub(in crate::sources) fn open(&mut self, stops: Option<&[Moved]>) {
        for part in &mut self.files {
            let was_again = part.to.take().is_some();
            part.from = part.at;
            part.to = stops.map(|stops| {
                let stop = stops.iter().find(|moved| moved.partition == part.partition);
                let stop = stop.and_then(|stop| Some((offset(stop.to), stop.file.clone()?)));
                stop.unwrap_or_else(|| (part.at, FileMark::default()))
            });
            if let Some(said) = part.said.take_if(|_| part.to.is_none()) {
                // What held the bytes of a replay may be another file, which only began alike.
                (part.path, part.id) = said;
            }
            if was_again || part.to.is_some() {
                // What was opened for a replay ends where that did.
                part.open = None;
                part.caught_up = false;
                part.look_at = None;
            }
        }
    }

    /// Whether all is given that the epoch holds; only in replay.
    pub(in crate::sources) fn is_complete(&self) -> bool {
        let mut files = self.files.iter();
        files.all(|part| part.to.as_ref().is_some_and(|(to, _)| part.at >= *to))
    }

    /// What the epoch that ends held.
    pub(in crate::sources) fn moved(&self) -> impl Iterator<Item = Moved> {
        self.files.iter().map(|part| Moved {
            partition: part.partition.clone(),
            from: position(part.from),
            to: position(part.at),
            newest: None,
            caught_up: part.caught_up,
            file: Some(part.mark()),
        })
    }

    /// The next chunk of about `bytes`, if any file has one.
    pub(in crate::sources) fn next(&mut self, bytes: usize) -> Result<Option<Chunk>, SourceError> {
        let now = Instant::now();
        for _ in 0..self.files.len() {
            let place = self.turn % self.files.len();
            self.turn += 1;
            let part = &mut self.files[place];
            let shown = Arc::clone(&part.shown);
            let common = Common {
                followed: Followed {
                    owner: &self.owner,
                    source: self.source,
                    path: &shown,
                    format: &self.format,
                    columns: &self.columns,
                },
                follow: &self.follow,
                chunk: bytes,
                now,
            };
            let given = if part.to.is_some() {
                part.next_again(&common)
            } else if part.look_at.is_some_and(|look_at| now < look_at) {
                Ok(None)
            } else {
                part.next(&common)
            };
            let given = given.map_err(super::told)?;
            if let Some(mut chunk) = given {
                chunk.followed = Some(part.partition.partition);
                return Ok(Some(chunk));
            }
        }
        self.close_some();
        Ok(None)
    }

    /// Closes files that have no more, where many are open.
    fn close_some(&mut self) {
        let open = |part: &&mut Part| part.open.is_some();
        let many = self.files.iter_mut().filter(open).count();
        let quiet = |part: &&mut Part| open(part) && part.caught_up && part.rest >= MOST_REST;
        let needless = self.files.iter_mut().filter(quiet);
        for part in needless.take(many.saturating_sub(MOST_OPEN)) {
            part.open = None;
        }
    }
}

impl Part {
    /// By what it is known at its place.
    fn mark(&self) -> FileMark {
        let is_all = self.caught_up && !self.has_rest && self.marker.is_some();
        match &self.marker {
            Some(marker) if self.at > 0 => {
                let size = if is_all {
                    self.at
                } else {
                    self.size.max(self.at)
                };
                marker.mark(self.id, size, self.line)
            }
            // Nothing was read of it, in this life or at all.
            _ => FileMark {
                inode: self.id.inode,
                created: self.id.created,
                size: if is_all { 0 } else { self.known.size },
                ..self.known.clone()
            },
        }
    }

    /// The next chunk that is there by now.
    fn next(&mut self, common: &Common<'_>) -> Result<Option<Chunk>, SourceError> {
        let is_ready = match &self.open {
            None => self.is_there(common)? && self.reopen(common)?,
            Some(_) if self.caught_up => self.has_grown(common)?,
            Some(_) => true,
        };
        if let (true, Some(open)) = (is_ready, &mut self.open) {
            let given = open.text.next(common.chunk, &mut None)?;
            if given.is_some() {
                self.advance();
                self.caught_up = false;
                self.rest = LEAST_REST;
                self.look_at = None;
                return Ok(given);
            }
            self.caught_up = true;
            self.has_rest = open.text.has_begun_a_record();
            if open.text.is_at_its_end() {
                // Whatever comes now is behind another end.
                self.open = None;
            }
        }
        self.look_at = Some(common.now + self.rest);
        self.rest = (self.rest * 2).min(MOST_REST);
        Ok(None)
    }

    /// The next chunk of an epoch that is read again.
    fn next_again(&mut self, common: &Common<'_>) -> Result<Option<Chunk>, SourceError> {
        let Some((to, until)) = self.to.clone().filter(|(to, _)| self.at < *to) else {
            return Ok(None);
        };
        if self.look_at.is_some_and(|look_at| common.now < look_at) {
            return Ok(None);
        }
        if self.open.is_none() && !(self.find_again(common, to, &until)? && self.reopen(common)?) {
            return self.misses(common, to, until);
        }
        let open = self.open.as_mut().expect("it was opened");
        let Some(given) = open.text.next(common.chunk, &mut None)? else {
            self.open = None;
            return self.misses(common, to, until);
        };
        self.missed = 0;
        self.advance();
        let crc = self.marker.as_ref().map(|marker| marker.crc());
        if self.at > to || (self.at == to && crc != Some(until.crc)) {
            let problem = format!("what stands before byte {to} now is not what was read before");
            return Err(self.changed(common, problem).into());
        }
        self.size = self.size.max(until.size);
        Ok(Some(given))
    }

    /// Whether a file holds all that stands before `to`, as it was read; that one is read again then, whatever it is called by now.
    ///
    /// Where process 0 has seen it is where it most likely is, and cheap to ask; it may have been renamed, compressed or written anew
    /// since.
    fn find_again(
        &mut self,
        common: &Common<'_>,
        to: u64,
        until: &FileMark,
    ) -> Result<bool, SourceError> {
        let holds = |seen: &Seen| Ok(matches!(fits(seen, to, until)?, Fit::Is(_)));
        let failed = |error| io_error(common.followed.owner, &self.path, "read", 0, error);
        let at_its_place = Seen::at(&self.path).filter(|seen| seen.id == self.id);
        if let Some(seen) = at_its_place
            && holds(&seen).map_err(failed)?
        {
            return Ok(true);
        }
        let elsewhere = listed(&common.follow.paths).into_iter();
        let mut elsewhere = elsewhere.chain(beside(&self.path));
        // What can't be read is another's.
        let found = elsewhere.find(|seen| holds(seen).unwrap_or(false));
        let Some(seen) = found else {
            return Ok(false);
        };
        let said = (
            std::mem::replace(&mut self.path, seen.path),
            std::mem::replace(&mut self.id, seen.id),
        );
        self.said.get_or_insert(said);
        Ok(true)
    }

    /// What has to be read again is not there: after several looks it is gone.
    fn misses(
        &mut self,
        common: &Common<'_>,
        to: u64,
        until: FileMark,
    ) -> Result<Option<Chunk>, SourceError> {
        self.missed += 1;
        if self.missed < LOOKS_TO_MISS {
            self.look_at = Some(common.now + LOOK_AGAIN);
            return Ok(None);
        }
        self.missed = 0;
        if common.follow.on_data_loss == OnDataLoss::Stop {
            return Err(FollowError::Gone {
                owner: common.followed.owner.to_owned(),
                path: self.shown.to_path_buf(),
                from: self.at,
                to,
                is_replay: true,
            }
            .into());
        }
        tracing::warn!(
            action = "bytes-lost",
            file = %self.shown.display(),
            from = self.at,
            to,
            "bytes that had to be read again are gone; the job goes on without them"
        );
        self.at = to;
        self.line = until.line;
        self.marker = None;
        self.known = until;
        self.open = None;
        Ok(None)
    }

    /// Goes on behind what was given out.
    fn advance(&mut self) {
        let (Some(open), Some(marker)) = (&self.open, &mut self.marker) else {
            return;
        };
        open.advance(marker);
        (self.at, self.line) = open.text.position();
        self.size = self.size.max(self.at);
    }

    /// Nothing is on its way from where it was, as far as this reader can say; what was seen there and not read is missed.
    fn has_no_more(&mut self) {
        if !self.caught_up {
            self.has_rest |= self.size > self.at;
        }
        self.caught_up = true;
    }

    /// Whether an open file that was read to its end has more.
    fn has_grown(&mut self, common: &Common<'_>) -> Result<bool, SourceError> {
        let Some(open) = &self.open else {
            return Ok(false);
        };
        let failed = |error| io_error(common.followed.owner, &self.path, "read", 0, error);
        let metadata = open.file.metadata().map_err(failed)?;
        let written =
            i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
        let size = metadata.len();
        let still = still_for(&mut self.still, (size, written), common.now);
        if let Some(still) = still {
            let is_whole = common
                .follow
                .complete_after
                .is_some_and(|after| still >= after);
            if is_whole && open.text.has_begun_a_record() {
                open.ends_here();
                return Ok(true);
            }
            if metadata.nlink() == 0 {
                // Deleted; what has its name now may go on with it.
                self.open = None;
            }
            return Ok(false);
        }
        if size < self.at || !has_its_seam(&open.file, self.marker.as_deref()).map_err(failed)? {
            // Written anew in its place: where what was read is now is judged by process 0.
            self.open = None;
            return Ok(false);
        }
        self.size = self.size.max(size);
        Ok(true)
    }

    /// Whether a file that is not open is where it should be and has more than was read.
    fn is_there(&mut self, common: &Common<'_>) -> Result<bool, SourceError> {
        let seen = Seen::at(&self.path).filter(|seen| seen.id == self.id);
        let Some(seen) = seen else {
            self.has_no_more();
            return Ok(false);
        };
        let still = still_for(&mut self.still, (seen.size, seen.written), common.now);
        let failed = |error| io_error(common.followed.owner, &self.path, "read", 0, error);
        let file = match seen.open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened.map_err(failed)?,
        };
        match kind(&self.path, &file).map_err(failed)? {
            Kind::Unknown => Ok(false),
            Kind::Known(Compression::None) => {
                self.caught_up = seen.size <= self.at;
                self.size = self.size.max(seen.size);
                let is_whole = still.zip(common.follow.complete_after);
                let is_whole = is_whole.is_some_and(|(still, after)| still >= after);
                Ok(!self.caught_up && (goes_by_lines(common.followed.format) || is_whole))
            }
            Kind::Known(compression) => {
                if still.is_some() && (self.is_unready || self.caught_up) {
                    return Ok(false);
                }
                let length = unpacked_length(file, compression);
                self.is_unready = length.is_none();
                let Some(length) = length else {
                    tracing::info!(
                        action = "file-not-whole",
                        file = %self.path.display(),
                        "a compressed file is read when it can be unpacked to its end"
                    );
                    return Ok(false);
                };
                self.caught_up = length <= self.at;
                self.size = self.size.max(length);
                Ok(!self.caught_up)
            }
        }
    }

    /// Opens it where reading goes on; `false` where that can't be now.
    fn reopen(&mut self, common: &Common<'_>) -> Result<bool, SourceError> {
        let by_lines = goes_by_lines(common.followed.format);
        let Some(seen) = Seen::at(&self.path).filter(|seen| seen.id == self.id) else {
            return Ok(false);
        };
        let known = match &self.marker {
            Some(marker) => marker.mark(self.id, self.size, self.line),
            None => self.known.clone(),
        };
        let failed = |error| io_error(common.followed.owner, &self.path, "read", 0, error);
        match fits(&seen, self.at, &known) {
            Ok(Fit::Is(marker)) => {
                self.marker.get_or_insert(marker);
            }
            Ok(Fit::IsNot) => {
                // Written anew: what is to become of it is judged by process 0.
                self.has_no_more();
                return Ok(false);
            }
            Ok(Fit::NotYet) => return Ok(false),
            Err(error) => return Err(failed(error)),
        }
        let marker = self.marker.as_ref().expect("it is known by now");
        let whole_after = common.follow.complete_after.filter(|_| self.to.is_none());
        let still = self
            .still
            .map(|(_, since)| common.now.saturating_duration_since(since));
        let from = From {
            marker,
            line: self.line,
            header: self.header.as_ref(),
            to: self.to.as_ref().filter(|_| by_lines).map(|(to, _)| *to),
            is_whole: !by_lines || whole_after.is_some_and(|after| still >= Some(after)),
        };
        let Some(mut open) = Open::at(&common.followed, &self.path, &from)? else {
            // Its beginning is not whole.
            (self.caught_up, self.has_rest) = (true, true);
            return Ok(false);
        };
        if open.id != self.id {
            // Another file has its name by now.
            return Ok(false);
        }
        let begins = |marker: &Marker| (marker.at(), marker.crc());
        if by_lines {
            self.check_line(common, &open)?;
        } else {
            // Elements are cut alike whenever a whole file is read.
            let mut passed = Marker::new();
            while passed.at() < self.at && open.text.next(common.chunk, &mut None)?.is_some() {
                open.advance(&mut passed);
            }
            if begins(&passed) != begins(marker) {
                let problem = format!("its first {} bytes are others now", self.at);
                return Err(self.changed(common, problem).into());
            }
        }
        self.header = Some(Arc::clone(open.text.header()));
        self.open = Some(open);
        Ok(true)
    }

    /// Where a last line without an end was read as a record, what comes now must begin with that end.
    fn check_line(&self, common: &Common<'_>, open: &Open) -> Result<(), SourceError> {
        let Some(marker) = self
            .marker
            .as_ref()
            .filter(|_| self.at > 0 && !open.is_packed)
        else {
            return Ok(());
        };
        let encoding = open.text.header().encoding;
        let mut next = [0; 2];
        let failed = |error| io_error(common.followed.owner, &self.path, "read", self.at, error);
        let read = open.file.read_at(&mut next, self.at).map_err(failed)?;
        if is_cut(marker.seam(), &next[..read], encoding) {
            return Err(FollowError::WentOn {
                owner: common.followed.owner.to_owned(),
                path: self.path.clone(),
                at: self.at,
            }
            .into());
        }
        Ok(())
    }

    fn changed(&self, common: &Common<'_>, problem: String) -> FollowError {
        FollowError::Changed {
            owner: common.followed.owner.to_owned(),
            path: self.path.clone(),
            at: self.at,
            problem,
        }
    }
}

/// For how long a file has had this size and time; `None` where it has changed since it was looked at last.
fn still_for(
    still: &mut Option<((u64, i128), Instant)>,
    stamp: (u64, i128),
    now: Instant,
) -> Option<Duration> {
    match still {
        Some((known, since)) if *known == stamp => Some(now.saturating_duration_since(*since)),
        _ => {
            *still = Some((stamp, now));
            None
        }
    }
}

/// Whether the bytes before the place are those that were read last.
fn has_its_seam(file: &File, marker: Option<&Marker>) -> io::Result<bool> {
    let Some(marker) = marker else {
        return Ok(true);
    };
    let mut seam = vec![0; marker.seam().len()];
    let length = u64::try_from(seam.len()).expect("a sample is short");
    match file.read_exact_at(&mut seam, marker.at() - length) {
        Ok(()) => Ok(seam == marker.seam()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// A place as a byte.
pub(super) fn offset(at: i64) -> u64 {
    u64::try_from(at).expect("a file has no byte before its first")
}

/// A byte as a place.
pub(super) fn position(at: u64) -> i64 {
    i64::try_from(at).expect("a file has fewer bytes than that")
}
