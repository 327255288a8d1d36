//! Which of two changes is the later one.

/// Where a change stands in the database's log, as far as its envelope says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Order {
    /// Log sequence number (`PostgreSQL`).
    pub lsn: Option<i64>,
    /// Number of the binary log's file, place in it, row of the statement (`MySQL`).
    pub binlog: Option<(u64, i64, i64)>,
    /// System change number (Oracle).
    pub scn: Option<i128>,
    /// When the database made the change, in milliseconds since 1970.
    pub ts_ms: Option<i64>,
}

impl Order {
    /// Whether this change, which came later, is later than `other`: always, unless the log says that it is earlier.
    pub fn is_after(&self, other: &Self) -> bool {
        fn compared<T: Ord>(later: Option<T>, earlier: Option<T>) -> Option<std::cmp::Ordering> {
            Some(later?.cmp(&earlier?))
        }
        let order = compared(self.lsn, other.lsn)
            .or_else(|| compared(self.binlog, other.binlog))
            .or_else(|| compared(self.scn, other.scn))
            .or_else(|| compared(self.ts_ms, other.ts_ms));
        order.is_none_or(std::cmp::Ordering::is_ge)
    }
}

/// The number at the end of a binary log's name: that of `mysql-bin.000012` is 12.
pub(super) fn file_number(name: &[u8]) -> Option<u64> {
    let digits = name
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let digits = std::str::from_utf8(&name[name.len() - digits..]).ok()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_decides_before_the_clock_and_the_clock_before_the_order_of_coming() {
        let at = |lsn: Option<i64>, ts_ms: Option<i64>| Order {
            lsn,
            ts_ms,
            ..Order::default()
        };
        assert!(at(Some(2), Some(1)).is_after(&at(Some(1), Some(9))));
        assert!(!at(Some(1), Some(9)).is_after(&at(Some(2), Some(1))));
        assert!(
            at(Some(2), None).is_after(&at(Some(2), None)),
            "the later to come"
        );
        assert!(!at(None, Some(1)).is_after(&at(Some(5), Some(2))));
        assert!(at(None, None).is_after(&at(Some(5), Some(2))));
        let binlog = |file: u64, place: i64| Order {
            binlog: Some((file, place, 0)),
            ..Order::default()
        };
        assert!(binlog(10, 4).is_after(&binlog(9, 800)));
        assert_eq!(file_number(b"mysql-bin.000012"), Some(12));
        assert_eq!(file_number(b""), None);
        assert_eq!(file_number(b"bin."), None);
    }
}
