//! The clean file stays as it is.

use super::{data, facts, run};

#[test]
fn the_clean_file_stays_as_it_is() {
    let Some(data) = data() else { return };
    let facts = facts(&data);
    let done = run(&data, "tests/data/ecommerce.toml", &[], &[]);
    done.holds(&facts, "ecommerce_sales", "sales", "sales", &[]);
    assert_eq!(done.rows("refused"), 0);
}
