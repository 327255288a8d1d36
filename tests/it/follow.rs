//! Files that go on: what a continuous job reads of them while they grow, are renamed, compressed, cut and replaced, and while
//! it is killed. Each row is reckoned from the bytes that the test wrote, and from a run with an end over the same bytes.

mod alerts;
mod deliveries;
pub(crate) mod job;
mod verdicts;

use std::collections::BTreeMap;
use std::fs;

use super::tables::{self, Cell, Row};
use job::{Job, Running, gzip, id};

const HEADER: &str = "id,ts,region,amount\n";
const CSV: &str = "csv = {}";

/// A row of the tests' files.
fn line(id: i64) -> String {
    let (minute, second) = (id / 60 % 60, id % 60);
    format!(
        "{id},2026-03-14T12:{minute:02}:{second:02}Z,r{},{id}.25\n",
        id % 3
    )
}

/// So many rows, from this id on.
fn lines(ids: std::ops::Range<i64>) -> String {
    ids.map(line).collect()
}

fn all(ids: std::ops::Range<i64>) -> Vec<i64> {
    ids.collect()
}

fn text(row: &Row, column: &str) -> String {
    match &row[column] {
        Cell::Text(text) => text.clone(),
        other => format!("{other:?}"),
    }
}

/// Case O14.
#[test]
fn a_record_waits_for_its_end_wherever_the_file_is_cut() {
    let job = Job::new("*.csv", "", "csv = {}");
    let running = Running::start(&job, 2);
    // Quotes with line ends in them, characters of several bytes, and each kind of line end.
    let records = [
        "1,2026-03-14T12:00:00Z,\"a\nb\",1.00\n",
        "2,2026-03-14T12:00:01Z,\"ñ\r\n\"\"€\",2.00\r\n",
        "3,2026-03-14T12:00:02Z,c,3.00\n",
        "4,2026-03-14T12:00:03Z,\"\n\n\",4.00\n",
        "5,2026-03-14T12:00:04Z,e,5.00\n",
    ];
    let text = format!("{HEADER}{}", records.concat()).into_bytes();
    // How many records are whole at each place, by the records alone.
    let ends: Vec<usize> = records
        .iter()
        .scan(HEADER.len(), |at, record| {
            *at += record.len();
            Some(*at)
        })
        .collect();
    let cuts = [
        5,
        19,
        20,
        47,
        48,
        50,
        60,
        84,
        86,
        88,
        91,
        100,
        118,
        140,
        150,
        152,
        170,
        text.len(),
    ];
    let mut at = 0;
    for cut in cuts {
        job.append("a.csv", &text[at..cut]);
        at = cut;
        let whole = ends.iter().filter(|end| **end <= cut).count();
        job.await_ids(&all(1..1 + i64::try_from(whole).unwrap()));
    }
    job.await_epochs(10);
    job.await_ids(&all(1..6));
    running.stop();
    assert!(job.rows("refused").is_empty());
    let stand = u64::try_from(text.len()).unwrap();
    assert_eq!(job.stands(), [("a.csv".to_owned(), 0, stand)]);
    let (_place, bounded) = job.bounded("*.csv", CSV);
    same(&job.out(), &bounded);
}

/// Both jobs have written the same rows and windows.
fn same(one: &std::path::Path, other: &std::path::Path) {
    for sink in ["rows", "minutes"] {
        let rows = |out: &std::path::Path| {
            let rows = tables::read(&out.join(sink)).into_iter();
            let mut rows: Vec<String> = rows.map(|row| format!("{row:?}")).collect();
            rows.sort();
            rows
        };
        let (one, other) = (rows(one), rows(other));
        if sink == "rows" {
            assert_eq!(one, other);
        } else {
            // Of the last windows one that goes on does not know yet.
            assert!(
                one.iter().all(|row| other.contains(row)),
                "{one:?} in {other:?}"
            );
        }
    }
}

#[test]
fn o14_half_a_line_is_no_row() {
    let job = Job::new("*.csv", "", CSV);
    let running = Running::start(&job, 1);
    job.append("a.csv", format!("{HEADER}{}2,2026-03-14T12:0", line(1)));
    job.await_ids(&[1]);
    job.await_epochs(10);
    job.await_ids(&[1]);
    job.append("a.csv", "1:00Z,EU-N,5.50\n");
    job.await_ids(&[1, 2]);
    // One that is written under another name and renamed when it is whole.
    job.append("b.csv.tmp", HEADER);
    job.append("b.csv.tmp", line(3));
    job.await_epochs(10);
    job.rename("b.csv.tmp", "b.csv");
    job.await_ids(&[1, 2, 3]);
    running.stop();
    assert!(job.rows("refused").is_empty());
}

#[test]
fn o15_what_is_rotated_and_compressed_is_not_read_again() {
    let job = Job::new("sales.csv*", "", CSV);
    job.append("sales.csv", format!("{HEADER}{}", lines(1..3)));
    let running = Running::start(&job, 1);
    job.await_ids(&[1, 2]);
    job.rename("sales.csv", "sales.csv.1");
    job.append("sales.csv", format!("{HEADER}{}", line(3)));
    job.await_ids(&[1, 2, 3]);
    job.gzip("sales.csv.1");
    job.append("sales.csv", line(4));
    job.await_ids(&[1, 2, 3, 4]);
    job.await_epochs(20);
    running.stop();
    // Again while nothing runs, twice over.
    job.rename("sales.csv.1.gz", "sales.csv.2.gz");
    job.rename("sales.csv", "sales.csv.1");
    job.gzip("sales.csv.1");
    job.append("sales.csv", format!("{HEADER}{}", line(5)));
    let running = Running::start(&job, 2);
    job.await_ids(&[1, 2, 3, 4, 5]);
    job.await_epochs(20);
    running.stop();
    job.await_ids(&[1, 2, 3, 4, 5]);
    let names: Vec<(String, u64)> = job
        .stands()
        .into_iter()
        .map(|(name, number, _)| (name, number))
        .collect();
    let sales = |number| ("sales.csv".to_owned(), number);
    assert_eq!(names, [sales(0), sales(1), sales(2)]);
}

/// Case O15.
#[test]
fn a_renamed_file_is_read_to_its_end_whatever_it_is_called() {
    // The pattern does not match what rotation makes of names.
    let job = Job::new("sales.csv", "", CSV);
    let running = Running::start(&job, 2);
    job.append("sales.csv", format!("{HEADER}{}", line(1)));
    job.await_ids(&[1]);
    job.rename("sales.csv", "sales.csv.1");
    job.append("sales.csv", format!("{HEADER}{}", line(10)));
    job.append("sales.csv.1", line(2));
    job.await_ids(&[1, 2, 10]);
    running.stop();
    job.append("sales.csv.1", line(3));
    job.rename("sales.csv.1", "sales.csv.2");
    job.rename("sales.csv", "sales.csv.1");
    job.append("sales.csv.1", line(11));
    job.append("sales.csv", format!("{HEADER}{}", line(20)));
    let running = Running::start(&job, 1);
    job.await_ids(&[1, 2, 3, 10, 11, 20]);
    running.stop();
}

/// Case O15.
#[test]
fn what_was_not_read_before_it_was_compressed_is_read_from_there() {
    let job = Job::new("*.csv*", "", CSV);
    let running = Running::start(&job, 1);
    job.append("a.csv", format!("{HEADER}{}", lines(1..4)));
    job.await_ids(&all(1..4));
    running.stop();
    // The last line has no end, which the end of a compressed file is.
    job.append("a.csv", lines(4..6).trim_end());
    job.gzip("a.csv");
    let running = Running::start(&job, 1);
    job.await_ids(&all(1..6));
    running.stop();
    assert_eq!(job.stands().len(), 1);
}

#[test]
fn a_compressed_file_is_read_when_it_is_whole() {
    let job = Job::new("*.gz", "", CSV);
    let packed = gzip(format!("{HEADER}{}", lines(1..50)).as_bytes());
    let more = gzip(lines(50..60).as_bytes());
    let half = packed.len() / 2;
    let running = Running::start(&job, 2);
    job.append("a.csv.gz", &packed[..1]);
    job.await_epochs(5);
    job.append("a.csv.gz", &packed[1..half]);
    job.await_epochs(10);
    assert!(job.ids().is_empty());
    job.append("a.csv.gz", &packed[half..]);
    job.await_ids(&all(1..50));
    // Another member.
    job.append("a.csv.gz", &more);
    job.await_ids(&all(1..60));
    running.stop();
}

#[test]
fn a_file_that_is_cut_or_changed_stops_the_job_unless_it_may_go_on() {
    type Change = (&'static str, fn(&Job));
    let cases: [Change; 3] = [
        (
            "a.csv was read up to byte 113, and has 8 bytes now",
            |job| {
                fs::write(job.file("a.csv"), "id,ts,re").unwrap();
            },
        ),
        ("those before it are others now", |job| {
            let other = format!("{HEADER}{}", lines(7..30));
            fs::write(job.file("a.csv"), other).unwrap();
        }),
        (
            "has bytes 113 to 118 to be read, and no file holds them any more",
            |job| {
                job.append("a.csv", "4,202");
                job.await_epochs(20);
                fs::remove_file(job.file("a.csv")).unwrap();
            },
        ),
    ];
    for (words, change) in cases {
        for is_running in [true, false] {
            let job = Job::new("*.csv", "", CSV);
            job.append("a.csv", format!("{HEADER}{}", lines(1..4)));
            let mut running = Some(Running::start(&job, 1));
            job.await_ids(&all(1..4));
            if is_running || words.contains("113 to 118") {
                change(&job);
            }
            if !is_running {
                if words.contains("113 to 118") {
                    // It was seen while it ran.
                    drop(running.take());
                } else {
                    running.take().unwrap().stop();
                    change(&job);
                }
            }
            let running = running.unwrap_or_else(|| Running::start_only(&job, 1, 1));
            running.ends_with(3, &[words, "on_data_loss = \"earliest\""]);
            job.await_ids(&all(1..4));
        }
    }
    // What stands there now is a new file.
    let job = Job::new("*.csv", ", on_data_loss = \"earliest\"", CSV);
    job.append("a.csv", format!("{HEADER}{}", lines(1..4)));
    let running = Running::start(&job, 1);
    job.await_ids(&all(1..4));
    fs::write(job.file("a.csv"), format!("{HEADER}{}", line(9))).unwrap();
    job.await_ids(&[1, 2, 3, 9]);
    job.append("a.csv", line(10));
    job.await_ids(&[1, 2, 3, 9, 10]);
    running.stop();
}

#[test]
fn a_file_that_is_copied_away_and_cut_goes_on_in_its_copy() {
    let job = Job::new("*.csv*", "", CSV);
    job.append("a.csv", format!("{HEADER}{}", lines(1..4)));
    let running = Running::start(&job, 1);
    job.await_ids(&all(1..4));
    fs::copy(job.file("a.csv"), job.file("a.csv.1")).unwrap();
    fs::write(job.file("a.csv"), format!("{HEADER}{}", line(4))).unwrap();
    job.await_ids(&all(1..5));
    job.append("a.csv", line(5));
    job.await_ids(&all(1..6));
    job.await_epochs(20);
    job.await_ids(&all(1..6));
    running.stop();
}

#[test]
fn a_file_that_is_written_anew_with_more_goes_on() {
    let job = Job::new("*.csv", "", CSV);
    job.put("a.csv", format!("{HEADER}{}", lines(1..4)));
    let running = Running::start(&job, 1);
    job.await_ids(&all(1..4));
    job.put("a.csv", format!("{HEADER}{}", lines(1..6)));
    job.await_ids(&all(1..6));
    running.stop();
    job.put("a.csv", format!("{HEADER}{}", lines(1..8)));
    let running = Running::start(&job, 1);
    job.await_ids(&all(1..8));
    // Gone, and all of it was read: nothing is missed.
    fs::remove_file(job.file("a.csv")).unwrap();
    job.append("b.csv", format!("{HEADER}{}", line(8)));
    job.await_ids(&all(1..9));
    job.await_epochs(20);
    running.stop();
}

#[test]
fn a_launch_whose_first_life_ends_before_its_claim_begins_another() {
    let job = Job::new("*.csv", "", CSV);
    job.append("a.csv", format!("{HEADER}{}", lines(0..5)));
    let running = Running::shaped(&job, 2, 1);
    job.await_ids(&all(0..5));
    running.kill();
    job.append("a.csv", lines(5..9));
    // When its first life ends the newest claim is that of the launch before, which is no other one at work.
    let running = Running::dying(&job, 2, 1, "claim:1");
    job.await_ids(&all(0..9));
    running.stop();
    assert!(job.out().join("../marks/claim").exists(), "no life ended");
}

#[test]
fn copies_are_skipped_or_read_as_the_job_says() {
    for (options, wanted) in [
        ("", vec![1, 2, 3]),
        (", copies = \"read\"", vec![1, 1, 2, 2, 3]),
    ] {
        let job = Job::new("*.csv*", options, CSV);
        let text = format!("{HEADER}{}", lines(1..3));
        job.append("a.csv", &text);
        let running = Running::start(&job, 1);
        job.await_ids(&[1, 2]);
        job.put("b.csv", &text);
        job.await_epochs(20);
        job.append("c.csv", format!("{HEADER}{}", line(3)));
        job.await_ids(&wanted);
        running.stop();
    }
}

#[test]
fn a_last_line_without_an_end_is_read_when_the_job_says_that_files_are_whole() {
    let job = Job::new("*.csv", ", complete_after = \"3 s\"", CSV);
    job.append("a.csv", format!("{HEADER}{}", lines(1..3).trim_end()));
    let running = Running::start(&job, 1);
    job.await_ids(&[1, 2]);
    // Its end comes after all, and more.
    job.append("a.csv", "\n");
    job.append("a.csv", lines(3..5).trim_end());
    job.await_ids(&all(1..5));
    job.append("a.csv", "00");
    running.ends_with(
        3,
        &[
            "in the middle of a line that was read as its last",
            "complete_after",
        ],
    );
}

#[test]
fn a_file_with_other_columns_stops_the_job_and_is_named() {
    let job = Job::new("*.csv", "", CSV);
    let running = Running::start(&job, 1);
    job.append("a.csv", format!("{HEADER}{}", line(1)));
    job.await_ids(&[1]);
    job.append("b.csv", "id,ts,region\n");
    running.ends_with(
        3,
        &["b.csv line 1: ", "amount", "what was read is committed"],
    );
    job.await_ids(&[1]);
}

#[test]
fn o78_a_refused_row_says_file_line_and_byte_whatever_the_file_is_called_by_then() {
    let job = Job::new("*.csv*", "", CSV);
    let running = Running::start(&job, 1);
    let first = format!("{HEADER}{}", lines(1..3));
    job.append("a.csv", &first);
    job.await_ids(&[1, 2]);
    job.rename("a.csv", "a.csv.1");
    running.stop();
    job.append(
        "a.csv.1",
        format!("x,2026-03-14T12:00:00Z,r,1\n{}", line(3)),
    );
    let running = Running::start(&job, 2);
    job.await_ids(&[1, 2, 3]);
    running.stop();
    let refused = job.rows("refused");
    let row = &refused[0];
    assert_eq!(refused.len(), 1);
    assert!(text(row, "file").ends_with("in/a.csv"), "{row:?}");
    assert_eq!(row["line"], Cell::Whole(4));
    assert_eq!(
        row["byte"],
        Cell::Whole(i128::try_from(first.len()).unwrap())
    );
}

#[test]
fn encodings_and_formats_are_those_of_files_that_end() {
    let latin = |text: &str| -> Vec<u8> {
        text.chars()
            .map(|one| u8::try_from(u32::from(one)).unwrap())
            .collect()
    };
    let wide = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let csv = |id: i64| format!("{id},2026-03-14T12:00:0{id}Z,ñandú,1.00\n");
    let json = |id: i64| {
        format!(
            "{{\"id\":{id},\"ts\":\"2026-03-14T12:00:0{id}Z\",\"region\":\"ñandú\",\"amount\":1.00}}"
        )
    };
    let mark = [0xFF_u8, 0xFE];
    let row = |id: i64| format!("{}\n", json(id));
    type Pieces = Vec<Vec<u8>>;
    let cases: [(&str, &str, Pieces); 6] = [
        (
            "csv = { encoding = \"windows-1252\" }",
            "",
            vec![
                latin(&format!("{HEADER}{}", csv(1))),
                latin(&csv(2)[..9]),
                latin(&csv(2)[9..]),
            ],
        ),
        (
            CSV,
            "",
            vec![
                [&mark[..], &wide(&format!("{HEADER}{}", csv(1)))].concat(),
                wide(&csv(2))[..31].to_vec(),
                wide(&csv(2))[31..].to_vec(),
            ],
        ),
        (
            "csv = { header = false, delimiter = \";\", comment = \"#\", skip_first = 1 }",
            "",
            vec![
                b"Title\n# a remark\n".to_vec(),
                csv(1).replace(',', ";").into_bytes(),
                csv(2).replace(',', ";").into_bytes(),
            ],
        ),
        (
            "json = {}",
            "",
            vec![row(1).into_bytes(), row(2).into_bytes()],
        ),
        (
            "json = { records = \"array\" }",
            ", complete_after = \"10 s\"",
            vec![
                format!("[{},", json(1)).into_bytes(),
                format!("{}]", json(2)).into_bytes(),
            ],
        ),
        (
            "json = { records = \"objects\" }",
            ", complete_after = \"10 s\"",
            vec![
                json(1).replace(',', ",\n").into_bytes(),
                json(2).into_bytes(),
            ],
        ),
    ];
    for (format, options, pieces) in cases {
        let job = Job::new("a.txt", options, format);
        let running = Running::start(&job, 1);
        for piece in &pieces {
            job.append("a.txt", piece);
            job.await_epochs(3);
        }
        job.await_ids(&[1, 2]);
        // And again from the checkpoint.
        running.kill();
        job.append("b.txt", "");
        let running = Running::start(&job, 2);
        job.await_epochs(5);
        running.stop();
        job.await_ids(&[1, 2]);
        assert!(job.rows("refused").is_empty(), "{format}");
        let regions: Vec<String> = job
            .rows("rows")
            .iter()
            .map(|row| text(row, "region"))
            .collect();
        assert_eq!(regions, ["ñandú", "ñandú"], "{format}");
        let (_place, bounded) = job.bounded("a.txt", format);
        same(&job.out(), &bounded);
    }
}

#[test]
fn windows_close_when_all_files_have_passed_them_or_are_quiet() {
    let quick = |text: String| {
        text.replace(
            "event_time = \"ts\"",
            "event_time = \"ts\"\ndisorder = \"0 s\"\nidle_after = \"400 ms\"",
        )
    };
    let job = Job::with("*.csv", "", CSV, quick);
    let running = Running::start(&job, 2);
    // Ids are seconds of one hour.
    job.append("a.csv", format!("{HEADER}{}", line(60 * 3)));
    job.append("b.csv", format!("{HEADER}{}", line(60)));
    job.await_ids(&[60, 180]);
    // Both are quiet: what is before the last event is closed.
    job.await_that("minute 1 is not closed", |job| {
        !job.rows("minutes").is_empty()
    });
    job.append("b.csv", line(61));
    job.await_that("a late row is not refused", |job| {
        !job.rows("refused").is_empty()
    });
    running.stop();
    assert_eq!(text(&job.rows("refused")[0], "reason"), "too_late");
    assert_eq!(job.ids(), [60, 180]);
}

/// Small numbers that are the same in each run.
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

#[test]
fn writers_rotations_kills_and_other_shapes_neither_lose_nor_repeat_a_row() {
    // One variable runs others.
    let seeds = std::env::var("CAUDAL_FOLLOW_SEEDS").unwrap_or("1 2".to_owned());
    for seed in seeds.split_whitespace().map(|seed| seed.parse().unwrap()) {
        println!("seed {seed}");
        let job = Job::with("*.csv*", "", CSV, |text| {
            text.replace(
                "event_time = \"ts\"",
                "event_time = \"ts\"\ndisorder = \"2 hours\"",
            )
        });
        let mut dice = Dice(seed);
        let mut written: BTreeMap<String, u64> = BTreeMap::new();
        let mut next = 0;
        let mut bytes: Vec<u8> = HEADER.as_bytes().to_vec();
        for life in 0..5_u64 {
            let shape = [(1, 1), (2, 1), (1, 3), (2, 2), (1, 2)][usize::try_from(life).unwrap()];
            let running = Running::shaped(&job, shape.0, shape.1);
            for _ in 0..12 {
                let shop = format!("shop{}.csv", dice.next(3));
                let many = i64::try_from(dice.next(40)).unwrap();
                let text = lines(next..next + many);
                next += many;
                bytes.extend_from_slice(text.as_bytes());
                let rotations = written.entry(shop.clone()).or_default();
                if !job.file(&shop).exists() {
                    job.append(&shop, HEADER);
                }
                // In two pieces, cut anywhere.
                let cut =
                    usize::try_from(dice.next(u64::try_from(text.len()).unwrap() + 1)).unwrap();
                job.append(&shop, &text.as_bytes()[..cut]);
                if dice.next(3) == 0 {
                    job.await_epochs(2);
                }
                job.append(&shop, &text.as_bytes()[cut..]);
                if dice.next(4) == 0 {
                    *rotations += 1;
                    let old = format!("{shop}.{rotations}");
                    job.rename(&shop, &old);
                    if dice.next(2) == 0 {
                        job.gzip(&old);
                    }
                }
            }
            if life < 4 {
                running.kill();
            } else {
                job.await_ids(&all(0..next));
                running.stop();
            }
        }
        job.await_ids(&all(0..next));
        assert!(job.rows("refused").is_empty());
        // The same bytes in one file, read by a job with an end.
        let whole = Job::new("*.csv", "", CSV);
        whole.append("all.csv", &bytes);
        let (_place, bounded) = whole.bounded("all.csv", CSV);
        same(&job.out(), &bounded);
    }
}

#[test]
fn many_files_are_read_though_few_are_open() {
    let job = Job::new("*.csv", "", CSV);
    let put = |number: i64, ids: std::ops::Range<i64>| {
        let name = format!("{number}.csv");
        if !job.file(&name).exists() {
            job.append(&name, HEADER);
        }
        job.append(&name, lines(ids));
    };
    for number in 0..150 {
        put(number, number..number + 1);
    }
    let running = Running::start(&job, 2);
    job.await_ids(&all(0..150));
    for number in 0..150 {
        put(number, 150 + number..151 + number);
    }
    job.await_ids(&all(0..300));
    running.stop();
    let amounts: Vec<i64> = job.rows("rows").iter().map(id).collect();
    assert_eq!(amounts.len(), 300);
}
