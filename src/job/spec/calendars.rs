//! `[calendars.NAME]`.

use schemars::JsonSchema;

use super::WeekdaySpec;

/// When a business is open: ages that a check measures by it grow in these hours alone. It is the wall clock of its time zone that is open, so
/// days on which clocks change have the hours that the clock shows. Ages are counted from 1970 to 2099.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CalendarSpec {
    /// Its time zone, by its IANA name. Default: that of the job. Example: `"Europe/Madrid"`.
    pub time_zone: Option<String>,
    /// The days of the week on which it is open. Default: Monday to Friday. Example: `["monday", "saturday"]`.
    pub days: Option<Vec<WeekdaySpec>>,
    /// The hours of such a day: from the first to the second, which is not in it; a night over midnight is two of them. Default: the whole
    /// day. Example: `["09:00..13:30", "17:00..20:00"]`.
    pub hours: Option<Vec<String>>,
    /// Days on which it is closed, a date or `DATE..DATE` with both. Default: none. Example: `["2026-12-25", "2026-08-01..2026-08-15"]`.
    pub holidays: Option<Vec<String>>,
    /// A file of such days, relative to the job file: one date a line (`2026-12-25`), or CSV whose first column that is; blank lines, what
    /// follows a `#`, and one header line are passed over. Read when the job starts, and not again while it runs. Default: none.
    /// Example: `"calendars/madrid.csv"`.
    pub holidays_file: Option<String>,
}
