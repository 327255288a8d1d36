//! Order lines whose dates come in two spellings, both month first.

use super::facts::names;
use super::{data, facts, run};

#[test]
fn both_spellings_of_a_date_are_month_first() {
    let Some(data) = data() else { return };
    let facts = facts(&data);
    for (set, file) in [
        ("adventureworks_2017", "AdventureWorks_Sales_2017.csv"),
        ("adventureworks_2018", "AdventureWorks_Sales_2018.csv.zst"),
    ] {
        let joins = &facts["joins_and_checks"][set];
        let job = "tests/data/adventureworks.toml";
        let done = run(&data, job, &[], &[("YEAR_FILE", file)]);
        done.holds(&facts, set, "orders", "quantity", &[]);
        let orders = done.table("orders");
        let revenue = joins["revenue_quantity_times_ProductPrice"].as_str();
        assert_eq!(Some(orders.sum("revenue").as_str()), revenue, "{set}");
        let unmatched = joins["product_lookup_unmatched"].as_u64();
        assert_eq!(Some(done.warned("product_known")), unmatched, "{set}");
        // Read day first, the months from the first to the twelfth day would be other days, and no error would tell.
        let either = names(&done.job)["OrderDate"].clone();
        let read_otherwise = orders.days(&either).into_iter().flatten().filter(|day| {
            let (month, day) = (chrono::Datelike::month(day), chrono::Datelike::day(day));
            day <= 12 && day != month
        });
        let expected = joins["rows_whose_OrderDate_reads_differently_as_dd_mm"].as_u64();
        assert_eq!(Some(read_otherwise.count() as u64), expected, "{set}");
    }
}

#[test]
fn a_colour_that_is_called_na_is_a_value() {
    let Some(data) = data() else { return };
    let facts = facts(&data);
    let done = run(&data, "tests/data/adventureworks_products.toml", &[], &[]);
    done.holds(&facts, "adventureworks_products", "products", "", &[]);
}
