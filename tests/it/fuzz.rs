//! Broken bytes through every decoder: `CAUDAL_FUZZ_SECONDS=120 cargo test --release --test it fuzz` is the long form.
//!
//! Files that are right are damaged a little, again and again, and read by the engine's own reader and decoder:
//!
//! - nothing panics and nothing hangs;
//! - the file gives the same rows, faults, raw bytes and places, or the same refusal, with chunks of 7 bytes and of a megabyte;
//! - the raw bytes of each row stand in the file at the place that is told, and one row ends before the next begins;
//! - memory stays below [`MOST_MEMORY`] beyond what the test began with.
//!
//! `CAUDAL_FUZZ_SEED` takes another path; what fails is kept as a file, whose name is told. A bug that was found here becomes a
//! case under `tests/cases`.

mod changes;
mod mutate;
mod read;
mod seeds;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use changes::Changes;
use mutate::Mutator;
use read::{Check, Target};

/// What the decoding of files of some kilobytes may hold at most: the longest record, a few times over.
const MOST_MEMORY: u64 = 256 << 20;

/// How long each of a decoder's variants is looked at.
fn time(variants: u32) -> Duration {
    let seconds = std::env::var("CAUDAL_FUZZ_SECONDS").map_or(1, |text| text.parse().unwrap());
    Duration::from_secs(seconds) / variants
}

/// Damages the seeds and reads what comes of it until the time is over.
fn fuzz(target: &dyn Check, seeds: &[Vec<u8>], words: &[&[u8]], time: Duration) {
    let name = target.name();
    for seed in seeds {
        target.check(seed);
    }
    let seed = std::env::var("CAUDAL_FUZZ_SEED").map_or(1, |text| text.parse().unwrap());
    let mut mutator = Mutator::new(seed, seeds, words);
    let (began, before) = (Instant::now(), memory());
    let mut files = 0_u64;
    while began.elapsed() < time {
        let damaged = mutator.next();
        let keep = Keep {
            name,
            bytes: &damaged,
        };
        target.check(&damaged);
        drop(keep);
        files += 1;
    }
    let grown = memory().saturating_sub(before);
    assert!(
        grown < MOST_MEMORY,
        "{name}: {grown} bytes more than before"
    );
    println!("{name}: {files} files");
}

/// Keeps the file that a panic was about.
struct Keep<'a> {
    name: &'a str,
    bytes: &'a [u8],
}

impl Drop for Keep<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
                .join(format!("fuzz-{}", self.name.replace(' ', "-")));
            std::fs::write(&path, self.bytes).unwrap();
            println!("{}: {} holds the file", self.name, path.display());
        }
    }
}

/// The most memory that this process has held, in bytes.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

/// Columns of every type.
const COLUMNS: &str = "columns = { id = \"bigint not null\", price = \"decimal(12,2)\", day = \"date\", at = \"timestamp\", note = \"varchar\", ok = \"boolean\", weight = \"double\" }";

#[test]
fn csv() {
    let words: &[&[u8]] = &[
        b"\"",
        b"\"\"",
        b",",
        b"\n",
        b"\r\n",
        b"\r",
        b",,,,,,",
        b"-",
        b"1e400",
        b"NaN",
        b"\0",
        b"\xEF\xBB\xBF",
        b"\xC3",
        b"\xF0\x9F",
        b"id,price,day,at,note,ok,weight",
        b"99999999999999999999",
        b"2026-02-30",
        b"\xFF\xFE",
        b"\\",
        b"#",
    ];
    for options in [
        "csv = {}",
        "csv = { skip_repeated_header = true, skip_blank = true, nulls = [\"\", \"NULL\"] }",
        "csv = { quote = \"\", delimiter = \";\" }",
        "csv = { escape = \"\\\\\", comment = \"#\", skip_last = 1, on_nul = \"strip\" }",
        "csv = { line_end = \"lf\" }",
    ] {
        let seeds = seeds::csv(if options.contains(';') { ';' } else { ',' });
        let target = Target::new("csv", &format!("{options}\n{COLUMNS}")).with_places();
        fuzz(&target, &seeds, words, time(5));
    }
}

#[test]
fn text_of_other_encodings() {
    let words: &[&[u8]] = &[
        b"\xFF\xFE",
        b"\xFE\xFF",
        b"\xEF\xBB\xBF",
        b"\0",
        b"\xD8\x00",
        b"\x00\xD8",
        b"\n\0",
        b"\0\n",
        b"\x81",
        b",",
    ];
    for (encoding, seeds) in seeds::encoded() {
        let options = format!("csv = {{ encoding = \"{encoding}\" }}\n{COLUMNS}");
        fuzz(&Target::new(encoding, &options), &seeds, words, time(4));
    }
}

#[test]
fn notations() {
    let columns = r#"columns = { id = "bigint not null", price = { type = "decimal(12,2)", decimal = ",", thousands = ".", currency = ["€"], negatives = ["parentheses", "trailing", "typographic"], round = "half_even" }, share = { type = "decimal(9,4)", percent = true }, at = { type = "timestamp", formats = ["%d/%m/%y %H:%M", "%d.%m.%Y %H:%M:%S"], time_zone = "Europe/Madrid", ambiguous = "earlier", nonexistent = "shift", pivot = 1950 }, ok = { type = "boolean", true = ["ja"], false = ["nein"] } }"#;
    let words: &[&[u8]] = &[
        b"(",
        b")",
        b"-",
        "\u{2212}".as_bytes(),
        "€".as_bytes(),
        b".",
        b",",
        b"%",
        b"e9",
        b"29/03/26 02:30",
        b"25/10/26 02:30",
        b"31/12/99 24:00",
        b"00/00/00 00:00",
    ];
    let target = Target::new(
        "notations",
        &format!("csv = {{ delimiter = \";\" }}\n{columns}"),
    )
    .with_places();
    fuzz(&target, &seeds::notations(), words, time(1));
}

#[test]
fn json() {
    let words: &[&[u8]] = &[
        b"{",
        b"}",
        b"[",
        b"]",
        b"\"",
        b"\\",
        b"\\u0000",
        b"\\uD800",
        b"\\u00e9",
        b":",
        b",",
        b"\n",
        b"null",
        b"1e400",
        b"NaN",
        b"-",
        b"9007199254740993",
        b"\"id\":",
        b"\xC3",
        b"[[[[[[[[",
        b"\0",
        b"\xEF\xBB\xBF",
    ];
    let unnested = r#"columns = { id = "bigint not null", price = { type = "decimal(12,2)", header = "items[].price" }, note = { type = "json", header = "items[].note" }, at = "timestamp" }"#;
    for records in ["lines", "objects", "array"] {
        let options = format!("json = {{ records = \"{records}\", max_depth = 9 }}");
        let seeds = seeds::json(records);
        let target = Target::new("json", &format!("{options}\n{COLUMNS}")).with_places();
        fuzz(&target, &seeds, words, time(6));
        let target = Target::new("json elements", &format!("{options}\n{unnested}"));
        fuzz(&target, &seeds, words, time(6));
    }
}

/// A format with a schema of its own.
fn table(format: &str, seeds: &[Vec<u8>]) {
    let lengths: &[&[u8]] = &[
        b"PAR1",
        b"ARROW1",
        b"Obj\x01",
        b"\0\0\0\0",
        b"\xFF\xFF\xFF\x7F",
        b"\xFF\xFF\xFF\xFF",
        b"\x80\x80\x80\x80\x80\x01",
    ];
    let target = Target::new(format, &format!("{format} = {{}}\n{COLUMNS}"));
    fuzz(&target, seeds, lengths, time(1));
}

#[test]
fn parquet() {
    table("parquet", &seeds::parquet());
}

#[test]
fn arrow() {
    table("arrow", &seeds::arrow());
}

#[test]
fn avro() {
    table("avro", &seeds::avro());
}

#[test]
fn compressed() {
    let columns =
        "columns = { id = \"bigint not null\", price = \"decimal(12,2)\", note = \"varchar\" }";
    for (name, seeds) in seeds::compressed() {
        let target = Target::new(name, &format!("csv = {{}}\n{columns}"));
        fuzz(
            &target,
            &seeds,
            &[b"\x1F\x8B", b"BZh9", b"\xFD7zXZ\0", b"\0\0\0\0"],
            time(4),
        );
    }
}

#[test]
fn changes() {
    let target = Changes::new();
    let words: &[&[u8]] = &[
        b"\"op\"",
        b"\"d\"",
        b"\"t\"",
        b"null",
        b"{",
        b"}",
        b"\"payload\"",
        b"\"after\"",
        b"\"before\"",
        b"[",
        b"\n",
        b"-",
    ];
    fuzz(&target, &seeds::changes(), words, time(1));
}
