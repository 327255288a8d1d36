//! Files that are renamed, compressed and written anew between two looks at them.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::discover::Changes;
use super::find::{Id, Seen, listed};
use super::mark::Marker;
use super::reader::position;
use super::{FilesReader, Folders, FollowError};
use crate::cluster::Stands;
use crate::epoch::{Assigned, FileMark, Found, Moved, Partition};
use crate::job::plan::{Plan, Transport};
use crate::job::resolve::plan_of;

const TEXT: &str = "id,amount\n1,1.00\n2,2.00\n";

const OTHER: &str = "id,amount\n7,7.00\n8,8.00\n9,9.00\n";

/// What is done to the file, in one step or two.
type Change = (&'static str, fn(&Path), fn(&Path));

/// After each step the bytes are still there, under some name.
const CHANGES: [Change; 6] = [
    ("renamed", |_| (), |folder| rename(folder, "a.csv", "b.csv")),
    (
        "renamed to what no pattern matches",
        |_| (),
        |folder| rename(folder, "a.csv", "a.old"),
    ),
    (
        "renamed, and another has its name",
        |folder| rename(folder, "a.csv", "b.csv"),
        |folder| fs::write(folder.join("a.csv"), OTHER).unwrap(),
    ),
    (
        "compressed",
        |folder| pack(folder, "a.csv"),
        |folder| fs::remove_file(folder.join("a.csv")).unwrap(),
    ),
    (
        "renamed and compressed",
        |folder| {
            rename(folder, "a.csv", "a.csv.1");
            pack(folder, "a.csv.1");
        },
        |folder| fs::remove_file(folder.join("a.csv.1")).unwrap(),
    ),
    (
        "copied, and written anew",
        |folder| {
            fs::copy(folder.join("a.csv"), folder.join("b.csv")).unwrap();
        },
        |folder| fs::write(folder.join("a.csv"), OTHER).unwrap(),
    ),
];

fn pack(folder: &Path, name: &str) {
    let file = File::create(folder.join(format!("{name}.gz"))).unwrap();
    let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    let text = fs::read(folder.join(name)).unwrap();
    packed.write_all(&text).unwrap();
    packed.finish().unwrap();
}

fn rename(folder: &Path, from: &str, to: &str) {
    fs::rename(folder.join(from), folder.join(to)).unwrap();
}

/// A folder with `a.csv`, and a job that follows what is there.
struct Followed {
    place: tempfile::TempDir,
    plan: Plan,
}

impl Followed {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("in")).unwrap();
        fs::write(place.path().join("in/a.csv"), TEXT).unwrap();
        let paths = place.path().join("in/*.csv*");
        let plan = plan_of(&format!(
            "format = 1\n[job]\nname = \"t\"\nkey = [\"id\"]\nepoch = \"1 s\"\noutput = \"out\"\n\
             [sources.s]\nfiles = {{ paths = [\"{}\"], follow = true }}\ncsv = {{}}\n\
             [sources.s.columns]\nid = \"bigint not null\"\namount = \"decimal(9,2)\"\n\
             [sinks.rows]\nfiles = {{ path = \"rows\" }}\nparquet = {{}}\n",
            paths.display()
        ));
        Self { place, plan }
    }

    fn folder(&self) -> PathBuf {
        self.place.path().join("in")
    }

    /// All of the file is read.
    fn moved(&self, from: i64) -> Moved {
        let path = self.folder().join("a.csv");
        let mut marker = Marker::new();
        marker.push(TEXT.as_bytes());
        let id = Seen::at(&path).unwrap().id;
        Moved {
            partition: Partition {
                source: "s".to_owned(),
                topic: path.display().to_string(),
                partition: 0,
            },
            from,
            to: position(marker.at()),
            newest: None,
            caught_up: true,
            file: Some(marker.mark(id, marker.at(), 4)),
        }
    }

    /// What process 0 knows of when a life begins.
    fn folders(&self, known: &[Moved]) -> Folders {
        let Transport::Follow(follow) = &self.plan.sources[0].transport else {
            panic!("files are followed");
        };
        Folders::new("s", follow, known, &[])
    }

    /// A reader that has to read all of the file again.
    fn reader(&self) -> FilesReader {
        let source = &self.plan.sources[0];
        let Transport::Follow(follow) = &source.transport else {
            panic!("files are followed");
        };
        let mut reader = FilesReader::new(0, source, follow);
        let moved = self.moved(0);
        let id = Id::of(moved.file.as_ref().unwrap());
        reader.assign(&Assigned {
            number: 0,
            partition: moved.partition.clone(),
            at: 0,
            newest: None,
            file: Some(FileMark {
                inode: id.inode,
                created: id.created,
                ..FileMark::default()
            }),
            place: None,
        });
        reader.open(Some(&[moved]));
        reader
    }
}

/// Reads until all is given.
fn read(reader: &mut FilesReader) -> Result<Vec<u8>, super::SourceError> {
    let mut bytes = Vec::new();
    let deadline = Instant::now() + Duration::from_mins(1);
    while !reader.is_complete() {
        assert!(Instant::now() < deadline, "it is read to its end");
        match reader.next(1 << 10)? {
            Some(chunk) => bytes.extend_from_slice(&chunk.bytes),
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    Ok(bytes)
}

#[test]
fn what_has_to_be_read_again_is_found_whatever_becomes_of_its_name() {
    let records = TEXT.split_once('\n').unwrap().1;
    for (what, first, second) in CHANGES {
        let followed = Followed::new();
        let mut reader = followed.reader();
        first(&followed.folder());
        second(&followed.folder());
        let bytes = read(&mut reader).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(String::from_utf8(bytes).unwrap(), records, "{what}");
    }
}

#[test]
fn what_has_to_be_read_again_may_come_back_and_is_gone_after_several_looks() {
    let followed = Followed::new();
    let mut reader = followed.reader();
    let away = followed.place.path().join("away");
    fs::rename(followed.folder().join("a.csv"), &away).unwrap();
    assert!(reader.next(1 << 10).unwrap().is_none());
    fs::rename(&away, followed.folder().join("c.csv")).unwrap();
    read(&mut reader).unwrap();

    let followed = Followed::new();
    let mut reader = followed.reader();
    fs::remove_file(followed.folder().join("a.csv")).unwrap();
    let error = read(&mut reader).unwrap_err();
    assert!(error.to_string().contains("no file holds them"), "{error}");
}

#[test]
fn a_life_begins_when_several_looks_have_found_a_file_or_missed_it() {
    for is_back in [true, false] {
        let followed = Followed::new();
        let mut known = followed.moved(0);
        // More was seen of it than was read.
        known.file.as_mut().unwrap().size += 10;
        let mut folders = followed.folders(&[known]);
        let away = followed.place.path().join("away");
        fs::rename(followed.folder().join("a.csv"), &away).unwrap();
        let looks = Cell::new(0);
        let found = folders.begin(&|| {
            looks.set(looks.get() + 1);
            if is_back && looks.get() == 2 {
                fs::rename(&away, followed.folder().join("b.csv")).unwrap();
            }
            false
        });
        if is_back {
            assert_eq!(found.unwrap().renamed.len(), 1);
            assert_eq!(looks.get(), 2);
        } else {
            assert!(matches!(found, Err(FollowError::Gone { .. })), "{found:?}");
        }
    }
}

/// Each step lies between two looks, or between what was listed and what is found there. Whether the file was read to its end, or only
/// found: it stays one file.
#[test]
fn a_file_that_changes_between_its_name_and_its_bytes_stays_one_file() {
    for (what, first, second) in CHANGES {
        for (is_read, stale) in [(true, 1), (true, 2), (false, 1), (false, 2), (true, 0)] {
            let what = format!("{what}, is_read {is_read}, stale {stale}");
            let followed = Followed::new();
            let moved = followed.moved(0);
            let mut folders = followed.folders(&[]);
            let found = folders.begin(&|| false).unwrap().found;
            assert_eq!(found.len(), 1, "{what}");
            let mut answered = 0;
            // What a reader says that has read all, or one that begins now, with what has the place.
            let mut hear = |folders: &mut Folders, begins: bool| {
                answered += 1;
                let mut moved = moved.clone();
                if !is_read {
                    let seen = Seen::at(&followed.folder().join("a.csv"));
                    let id = Id::of(moved.file.as_ref().unwrap());
                    let mut marker = Marker::new();
                    if let Some(seen) = seen.filter(|seen| begins && seen.id == id) {
                        marker.push(&fs::read(seen.path).unwrap());
                    }
                    moved.to = position(marker.at());
                    if begins && marker.at() > 0 {
                        moved.file = Some(marker.mark(id, marker.at(), 4));
                    }
                    moved.caught_up = begins;
                }
                folders.hear(&Stands {
                    answered,
                    moved: vec![moved],
                });
            };
            hear(&mut folders, false);
            let patterns = [followed.place.path().join("in/*.csv*")];
            let mut new = Vec::new();
            let mut seen = listed(&patterns);
            for (number, step) in [(1, first), (2, second)] {
                if stale != number {
                    seen = listed(&patterns);
                }
                step(&followed.folder());
                hear(&mut folders, false);
                new.extend(folders.judge_listed(&seen).unwrap().found);
            }
            for _ in 0..20 {
                hear(&mut folders, true);
                new.extend(folders.look().unwrap().found);
            }
            let is_other = |found: &Found| {
                found.file.as_ref().unwrap().size == u64::try_from(OTHER.len()).unwrap()
            };
            assert!(!is_read || new.iter().all(is_other), "{what}: {new:?}");
            let has_other = listed(&patterns)
                .iter()
                .any(|seen| fs::read_to_string(&seen.path).is_ok_and(|text| text == OTHER));
            assert_eq!(new.len(), usize::from(has_other), "{what}: {new:?}");
        }
    }
}

#[test]
fn a_copy_that_is_being_made_is_no_file_of_its_own() {
    let followed = Followed::new();
    let folder = followed.folder();
    let lines = (3..400).map(|id| format!("{id},1.00\n"));
    let text: String = std::iter::once(TEXT.to_owned()).chain(lines).collect();
    fs::write(folder.join("a.csv"), &text).unwrap();
    let mut folders = followed.folders(&[]);
    let found = folders.begin(&|| false).unwrap().found;
    assert_eq!(found.len(), 1);
    for bytes in [1500, 2000, text.len()] {
        fs::write(folder.join("b.csv"), &text[..bytes]).unwrap();
        assert_eq!(folders.look().unwrap().found, [], "{bytes} bytes");
    }
    // It goes on otherwise: no copy.
    let other = format!("{}9000,1.00\n9001,1.00\n", &text[..1500]);
    fs::write(folder.join("c.csv"), other).unwrap();
    let found = folders.look().unwrap().found;
    assert_eq!(found.len(), 1);
    assert!(found[0].partition.topic.ends_with("c.csv"), "{found:?}");
}

#[test]
fn a_file_that_is_written_anew_before_anything_is_read_of_it_is_read_as_it_stands() {
    let followed = Followed::new();
    let mut folders = followed.folders(&[]);
    let mut moved = followed.moved(0);
    let found = folders.begin(&|| false).unwrap().found;
    (moved.to, moved.file) = (0, found[0].file.clone());
    fs::write(followed.folder().join("a.csv"), "id,am").unwrap();
    for answered in 1..20 {
        let moved = vec![moved.clone()];
        folders.hear(&Stands { answered, moved });
        assert_eq!(folders.look().unwrap(), Changes::default());
    }
    let path = followed.folder().join("a.csv");
    assert_eq!(folders.places().count(), 0, "it is where it was");
    fs::write(path, OTHER).unwrap();
    assert_eq!(folders.look().unwrap(), Changes::default());
}

#[test]
fn a_file_that_was_away_and_comes_back_is_no_new_one() {
    let followed = Followed::new();
    let path = followed.folder().join("a.csv");
    fs::write(&path, "id,amount\n").unwrap();
    let mut folders = followed.folders(&[]);
    let found = folders.begin(&|| false).unwrap().found;
    let mut moved = followed.moved(0);
    // Its header alone: all of it is read, and no row.
    let mut mark = found[0].file.clone().unwrap();
    mark.size = 0;
    (moved.to, moved.file) = (0, Some(mark));
    let away = followed.place.path().join("away");
    for step in 0..3 {
        match step {
            0 => {}
            1 => fs::rename(&path, &away).unwrap(),
            _ => {
                fs::write(&away, TEXT).unwrap();
                fs::rename(&away, &path).unwrap();
            }
        }
        for answered in 1..20 {
            folders.hear(&Stands {
                answered: step * 20 + answered,
                moved: vec![moved.clone()],
            });
            assert_eq!(folders.look().unwrap(), Changes::default(), "step {step}");
        }
    }
}

#[test]
fn what_held_the_bytes_of_a_replay_is_not_read_on() {
    let followed = Followed::new();
    let mut reader = followed.reader();
    // Another file begins alike.
    let more = format!("{TEXT}3,3.00\n");
    fs::write(followed.folder().join("b.csv"), more).unwrap();
    fs::remove_file(followed.folder().join("a.csv")).unwrap();
    read(&mut reader).unwrap();
    reader.open(None);
    let until = Instant::now() + Duration::from_millis(50);
    while Instant::now() < until {
        assert!(reader.next(1 << 10).unwrap().is_none());
    }
    let moved = reader.moved().next().unwrap();
    assert!(moved.caught_up, "{moved:?}");
}
