//! Where the data begin and end, of all segments: windows there are partial, and windows without rows are looked for in between.
//!
//! Each worker looks at the event times of its own clean rows, and all are told when an epoch is over, before what is due in it is judged.

use std::collections::BTreeMap;

use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::vec::Broadcast;
use timely::dataflow::operators::{Capability, Operator};
use timely::dataflow::{Stream, StreamVec};

use super::inputs::times;
use crate::record::{Batch, Epoch};

/// From when to when there are data, in microseconds; none where the first is behind the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ends {
    /// The first event.
    pub first: i64,
    /// Up to when there are data, without this time: behind the newest event, or at the end of its day where events are dates.
    pub last: i64,
}

impl Default for Ends {
    /// No data.
    fn default() -> Self {
        Self {
            first: i64::MAX,
            last: i64::MIN,
        }
    }
}

impl Ends {
    /// Those of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
        }
    }

    /// Whether there are data.
    pub fn is_some(self) -> bool {
        self.first <= self.last
    }

    /// Those of a batch, by its event time.
    fn of(rows: &RecordBatch, event_time: &str) -> Self {
        let Some(column) = rows.column_by_name(event_time) else {
            return Self::default();
        };
        let length = match column.data_type() {
            DataType::Date32 => DAY,
            _ => 1,
        };
        let (moments, nulls) = (times(column), column.logical_nulls());
        let of_rows = moments.iter().enumerate().filter(|(row, _)| {
            let nulls = nulls.as_ref();
            nulls.is_none_or(|nulls| nulls.is_valid(*row))
        });
        of_rows.fold(Self::default(), |ends, (_, time)| {
            ends.and(Self {
                first: *time,
                last: time.saturating_add(length),
            })
        })
    }
}

const DAY: i64 = 86_400_000_000;

/// Tells all workers the ends of each epoch's rows.
pub(super) fn ends<'scope>(
    clean: &Stream<'scope, Epoch, Batch>,
    event_time: usize,
) -> StreamVec<'scope, Epoch, (Epoch, Ends)> {
    let event_time = event_time.to_string();
    let ends: StreamVec<'scope, Epoch, (Epoch, Ends)> =
        clean
            .clone()
            .unary_frontier(Pipeline, "checks:ends", move |_capability, _info| {
                let mut open: BTreeMap<Epoch, (Capability<Epoch>, Ends)> = BTreeMap::new();
                move |(input, frontier), output| {
                    input.for_each_stamp(|capability, batches| {
                        let Some(capability) = capability.retain_least(output.output_index())
                        else {
                            return;
                        };
                        let of_epoch = open.entry(*capability.time());
                        let (_, ends) = of_epoch.or_insert((capability, Ends::default()));
                        for batch in batches {
                            if let Some(rows) = std::mem::take(batch).rows {
                                *ends = ends.and(Ends::of(&rows, &event_time));
                            }
                        }
                    });
                    while let Some(entry) = open.first_entry() {
                        if frontier.less_equal(entry.key()) {
                            break;
                        }
                        let (epoch, (capability, ends)) = entry.remove_entry();
                        if ends.is_some() {
                            output.session(&capability).give((epoch, ends));
                        }
                    }
                }
            });
    ends.broadcast()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Date32Array, TimestampMicrosecondArray};

    use super::*;

    fn ends(column: ArrayRef) -> Ends {
        Ends::of(&RecordBatch::try_from_iter([("3", column)]).unwrap(), "3")
    }

    #[test]
    fn dates_cover_their_day_and_nulls_nothing() {
        let times = TimestampMicrosecondArray::from(vec![None, Some(7), Some(3), None]);
        let times: ArrayRef = Arc::new(times.with_timezone("UTC"));
        assert_eq!(ends(times), Ends { first: 3, last: 8 });
        let days: ArrayRef = Arc::new(Date32Array::from(vec![Some(1), None, Some(2)]));
        let expected = Ends {
            first: DAY,
            last: 3 * DAY,
        };
        assert_eq!(ends(days), expected);
        let none: ArrayRef = Arc::new(Date32Array::from(vec![None::<i32>]));
        assert!(!ends(none).is_some());
    }
}
