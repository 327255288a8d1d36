//! The file of a calendar's holidays.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::job::plan::Plan;
use crate::job::problems::quoted;
use crate::job::resolve::read_date;

/// Bytes of such a file: thousands of years of holidays. A longer one is another file.
const MOST_BYTES: u64 = 1 << 20;

/// What is wrong with a file of holidays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HolidaysError {
    /// It can't be read.
    #[error(
        "calendars.{calendar}.holidays_file: {} can't be read\n  expected: a file with one date a line\n  now: nothing was started", path.display()
    )]
    Read {
        /// The calendar.
        calendar: String,
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// It is too long.
    #[error(
        "calendars.{calendar}.holidays_file: {} has {bytes} bytes\n  expected: {MOST_BYTES} at most, one date a line\n  now: nothing was started", path.display()
    )]
    Long {
        /// The calendar.
        calendar: String,
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// A line is no date.
    #[error(
        "{} line {line}, of calendars.{calendar}: {value} is no date\n  expected: a date such as 2026-12-25, alone in its line or as the first column of CSV\n  now: nothing was started", path.display()
    )]
    Line {
        /// The calendar.
        calendar: String,
        /// The file.
        path: PathBuf,
        /// Its number, from 1.
        line: usize,
        /// What stands there, quoted.
        value: String,
    },
}

/// The days of the file of each calendar of a plan; none of those without a file.
///
/// Errors: those of [`read_holidays`].
pub fn read_all_holidays(plan: &Plan) -> Result<Vec<Vec<i64>>, HolidaysError> {
    let calendars = plan.calendars.iter();
    calendars
        .map(|calendar| match &calendar.file {
            Some(file) => read_holidays(&calendar.name, file),
            None => Ok(Vec::new()),
        })
        .collect()
}

/// Reads a file of holidays, in days since 1970, in order.
///
/// Errors: it can't be read, is too long, or a line of it is no date: a holiday that is passed over would be a false alarm.
pub fn read_holidays(calendar: &str, path: &Path) -> Result<Vec<i64>, HolidaysError> {
    let failed = |source| HolidaysError::Read {
        calendar: calendar.to_owned(),
        path: path.to_path_buf(),
        source,
    };
    let bytes = fs::metadata(path).map_err(failed)?.len();
    if bytes > MOST_BYTES {
        return Err(HolidaysError::Long {
            calendar: calendar.to_owned(),
            path: path.to_path_buf(),
            bytes,
        });
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    dates(&text).map_err(|(line, value)| HolidaysError::Line {
        calendar: calendar.to_owned(),
        path: path.to_path_buf(),
        line,
        value,
    })
}

/// The dates of a text, or the number and value of the first line that has none.
fn dates(text: &str) -> Result<Vec<i64>, (usize, String)> {
    let mut dates = Vec::new();
    let mut may_be_header = true;
    let text = text.trim_start_matches('\u{feff}');
    for (number, line) in text.lines().enumerate() {
        let line = line.split_once('#').map_or(line, |(line, _)| line);
        let first = line.split([',', ';', '\t']).next().unwrap_or_default();
        let first = first.trim().trim_matches('"');
        if line.trim().is_empty() {
            continue;
        }
        match read_date(first) {
            Some(date) => dates.push(date),
            // Names of columns have no digit; a date in another form is none.
            None if may_be_header && !first.bytes().any(|byte| byte.is_ascii_digit()) => {}
            None => return Err((number + 1, quoted(first))),
        }
        may_be_header = false;
    }
    dates.sort_unstable();
    dates.dedup();
    Ok(dates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_stand_alone_or_first_in_csv() {
        let text = "\u{feff}date,name\r\n1970-01-03,\"Reyes, los\"\r\n\n# closed\n\"1970-01-02\";x\n1970-01-02 # again\n";
        assert_eq!(dates(text), Ok(vec![1, 2]));
        assert_eq!(dates(""), Ok(vec![]));
    }

    #[test]
    fn a_line_that_is_no_date_is_told() {
        for (text, line, value) in [
            ("date\n25/12/2026\n", 2, "\"25/12/2026\""),
            ("25/12/2026\n", 1, "\"25/12/2026\""),
            ("2026-12-25\nchristmas\n", 2, "\"christmas\""),
            ("2026-02-30\n", 1, "\"2026-02-30\""),
            ("a\nb\n", 2, "\"b\""),
            (",x\n,y\n", 2, "\"\""),
        ] {
            assert_eq!(dates(text), Err((line, value.to_owned())), "{text:?}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_or_too_long_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("days.csv");
        let missing = read_holidays("shop", &path).unwrap_err().to_string();
        assert!(
            missing.starts_with("calendars.shop.holidays_file: "),
            "{missing}"
        );
        let long = usize::try_from(MOST_BYTES + 1).unwrap();
        fs::write(&path, "\n".repeat(long)).unwrap();
        let long = read_holidays("shop", &path).unwrap_err().to_string();
        assert!(long.contains("has 1048577 bytes"), "{long}");
    }
}
