//! What was said of closed windows that are not final, as bytes.
//!
//! ```text
//! count │ for each window, in order: start less that before, epoch, verdicts: count │ name, status, parts, numbers, text
//!       │ where changes are told: numbers of statistics, values of checks
//! ```

use std::io::Write;

use super::form::{Reader, Writer};
use super::{Begins, Broken, is_start};
use crate::checks::layout::Layout;
use crate::checks::tally::correct::Said;
use crate::checks::tally::judge::{Number, Row};
use crate::checks::verdict::Judged;

/// Which parts of a verdict are there.
const VALUE: u8 = 1;
const NUMERATOR: u8 = 2;
const DENOMINATOR: u8 = 4;
const EXPECTED: u8 = 8;
const BASELINE: u8 = 16;
const ALL: u8 = VALUE | NUMERATOR | DENOMINATOR | EXPECTED | BASELINE;

impl<W: Write> Writer<'_, W> {
    pub(super) fn said(&mut self, layout: &Layout, said: &[(i64, Said)]) {
        self.count(said.len());
        let mut before = 0_i64;
        for (start, said) in said {
            self.int(start.wrapping_sub(before));
            before = *start;
            self.uint(said.epoch);
            self.count(said.verdicts.len());
            for (of, judged) in &said.verdicts {
                self.count(*of);
                self.judged(judged);
            }
            if layout.tells_changes {
                self.row(said.row.as_ref().expect("changes are told of each window"));
            }
        }
    }

    fn judged(&mut self, judged: &Judged) {
        self.status(Some(judged.status));
        let parts = [
            (VALUE, judged.value.is_some()),
            (NUMERATOR, judged.numerator.is_some()),
            (DENOMINATOR, judged.denominator.is_some()),
            (EXPECTED, judged.expected.is_some()),
            (BASELINE, judged.baseline.is_some()),
        ];
        let there = parts.iter().filter(|(_, is_there)| *is_there);
        self.byte(there.fold(0, |parts, (part, _)| parts | part));
        for number in [judged.value, judged.baseline].into_iter().flatten() {
            self.double(number);
        }
        for rows in [judged.numerator, judged.denominator].into_iter().flatten() {
            self.int(rows);
        }
        if let Some(expected) = &judged.expected {
            self.text(expected);
        }
    }

    fn row(&mut self, row: &Row) {
        for number in &row.numbers {
            self.byte(u8::from(matches!(number, Number::Overflow(_))));
            match number {
                Number::Exact(value) => self.value(value),
                Number::Overflow(wide) => self.int(*wide),
            }
        }
        for value in &row.values {
            self.byte(u8::from(value.is_some()));
            if let Some(value) = value {
                self.double(*value);
            }
        }
    }
}

impl Reader<'_> {
    /// What was said of a segment; `names` are the places of the names that are written.
    pub(super) fn read_said(
        &mut self,
        layout: &Layout,
        begins: Begins,
        names: &[usize],
    ) -> Result<Vec<(i64, Said)>, Broken> {
        // Start, epoch and a count have a byte each at least.
        let count = self.count(3)?;
        let mut all: Vec<(i64, Said)> = Vec::new();
        for _ in 0..count {
            let before = all.last().map(|(start, _)| *start);
            let start = before.unwrap_or(0).wrapping_add(self.int()?);
            let is_closed = (begins.provisional..begins.open).contains(&start);
            if !is_closed
                || !is_start(layout.windows, start)
                || before.is_some_and(|before| start <= before)
            {
                return Err(self.wrong(format!(
                    "something was said of a window from {start} µs, behind {before:?}; those that are closed and not final start \
                     from {} to {} µs",
                    begins.provisional, begins.open
                )));
            }
            let epoch = self.uint()?;
            if i64::try_from(epoch).is_err() {
                return Err(self.wrong(format!("{epoch} is no epoch: it has more than 63 bits")));
            }
            let verdicts = (0..self.count(3)?)
                .map(|_| {
                    let place = self.uint()?;
                    let name = usize::try_from(place).ok();
                    let name = name.and_then(|place| names.get(place)).copied();
                    let Some(name) = name else {
                        return Err(
                            self.wrong(format!("a verdict is about {place}, which has no name"))
                        );
                    };
                    Ok((name, self.judged()?))
                })
                .collect::<Result<_, _>>()?;
            let row = if layout.tells_changes {
                Some(self.row(layout)?)
            } else {
                None
            };
            let said = Said {
                epoch,
                verdicts,
                row,
            };
            all.push((start, said));
        }
        Ok(all)
    }

    fn judged(&mut self) -> Result<Judged, Broken> {
        let Some(status) = self.status()? else {
            return Err(self.wrong("a verdict has no status".to_owned()));
        };
        let parts = self.byte()?;
        if parts & !ALL != 0 {
            return Err(self.wrong(format!("a verdict has the parts {parts:#b}")));
        }
        let has = |part: u8| parts & part != 0;
        Ok(Judged {
            status,
            value: has(VALUE).then(|| self.double()).transpose()?,
            baseline: has(BASELINE).then(|| self.double()).transpose()?,
            numerator: has(NUMERATOR).then(|| self.int()).transpose()?,
            denominator: has(DENOMINATOR).then(|| self.int()).transpose()?,
            expected: has(EXPECTED)
                .then(|| self.text().map(str::to_owned))
                .transpose()?,
        })
    }

    fn row(&mut self, layout: &Layout) -> Result<Row, Broken> {
        let statistics = layout.statistics.iter();
        let numbers = statistics
            .map(|statistic| {
                Ok(if self.flag()? {
                    Number::Overflow(self.int()?)
                } else {
                    Number::Exact(self.value(&statistic.data_type)?)
                })
            })
            .collect::<Result<_, _>>()?;
        let values = layout.checks.iter().filter(|check| check.value.is_some());
        let values = values
            .map(|_| {
                Ok(if self.flag()? {
                    Some(self.double()?)
                } else {
                    None
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Row { numbers, values })
    }
}
