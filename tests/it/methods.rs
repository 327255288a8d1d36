//! What the documents say to start from, tried on a small year of sales whose incidents are known: the bench `methods` has the large one.

#[path = "../../benches/methods/measured.rs"]
mod measured;
#[path = "../../benches/methods/score.rs"]
mod score;
#[path = "../../benches/methods/year.rs"]
mod year;

use std::path::Path;

use measured::{measure, reached};
use year::Kind;

/// Shops: five incidents each.
const STORES: u32 = 20;

#[test]
fn methods_find_what_happened_with_the_settings_to_start_from() {
    let place = tempfile::tempdir().unwrap();
    let incidents = year::write(&place.path().join("sales.csv"), STORES, 1).unwrap();
    assert_eq!(incidents.len(), 5 * STORES as usize);
    let binary = Path::new(env!("CARGO_BIN_EXE_caudal"));
    let (_, measured) = measure(binary, place.path(), 2).unwrap();
    let (lines, table, starts) = reached(&measured, &incidents, STORES);
    println!("{table}");
    assert!(lines.len() > 100);
    // Far below what each reaches, and far above what chance would.
    let days = &starts["days_z"];
    assert!(
        days.precision() > 0.4 && days.recall() > 0.5 && days.f1() > 0.5,
        "{days:?}"
    );
    assert!(days.recall_of(Kind::Twice) > 0.9, "{days:?}");
    let hours = &starts["days_hours"];
    assert!(
        hours.precision() > 0.8 && hours.recall_of(Kind::Outage) > 0.8,
        "{hours:?}"
    );
    let weeks = &starts["weeks_z"];
    assert!(weeks.recall_of(Kind::Spike) > 0.7, "{weeks:?}");
    // The hours before know nothing of the hour of the day.
    assert!(weeks.recall() > starts["hours_z"].recall(), "{weeks:?}");
}
