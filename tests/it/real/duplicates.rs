//! Rows that repeat another, told and dropped: the counts of equal rows and of keys, and what is left without them.

use serde_json::Value;

use super::table::Exact;
use super::{Done, data, facts, run};

/// A job on a data set.
struct Set {
    name: &'static str,
    job: &'static str,
    variable: (&'static str, &'static str),
    /// The sink of clean rows, and the column of their amount.
    sink: (&'static str, &'static str),
}

const fn till(name: &'static str, file: &'static str) -> Set {
    Set {
        name,
        job: "jobs/till_exports.toml",
        variable: ("TILL_FILES", file),
        sink: ("sales", "amount"),
    }
}

const fn shop(name: &'static str, files: &'static str) -> Set {
    Set {
        name,
        job: "jobs/tienda_web.toml",
        variable: ("LINES", files),
        sink: ("lines", "amount"),
    }
}

const SETS: [Set; 6] = [
    till("electronics_2019_01", "Sales_January_2019.csv.gz"),
    till("electronics_2019_04", "Sales_April_2019.csv"),
    till("electronics_2019_12", "Sales_December_2019.csv.zst"),
    shop("online_retail_2010_12", "2010-12/*.csv"),
    shop("online_retail_2011H1", "online_retail_2011H1.csv.gz"),
    Set {
        name: "sales_data_sample",
        job: "jobs/territories.toml",
        variable: ("EQUAL_ROWS", "report"),
        sink: ("lines", "sales"),
    },
];

/// How many rows repeat another by a rule of the job.
fn repeated(done: &Done, rule: &str) -> Option<u64> {
    done.summary["duplicates"][rule]["rows"].as_u64()
}

#[test]
fn rows_that_repeat_another_are_told_and_stay() {
    let Some(data) = data() else { return };
    let facts = facts(&data);
    for Set {
        name: set,
        job,
        variable,
        sink: (sink, amount),
    } in SETS
    {
        let of_set = &facts["datasets"][set];
        for workers in ["1", "2"] {
            let done = run(&data, job, &["-w", workers], &[variable]);
            let equal = of_set["exact_duplicate_rows"].as_u64();
            assert_eq!(repeated(&done, "equal"), equal, "{set}");
            // The first key of each set is that of an order line.
            let of_key = of_set["keys"][0]["duplicate_rows"].as_u64();
            assert_eq!(repeated(&done, "order_line"), of_key, "{set}");
            let rows = of_set["well_formed_rows"].as_u64();
            assert_eq!(Some(done.rows("clean")), rows, "{set}");
            let again = done.table("again");
            assert_eq!(again.rows as u64, equal.unwrap() + of_key.unwrap(), "{set}");
            let sum = Exact::read(of_set["amount"]["sum"].as_str().unwrap());
            assert_eq!(done.table(sink).sum(amount), sum.text(), "{set}");
        }
    }
}

#[test]
fn of_equal_rows_one_is_kept_where_the_job_says_so() {
    let Some(data) = data() else { return };
    let facts = facts(&data);
    for Set {
        name: set,
        job,
        variable,
        sink: (sink, amount),
    } in SETS
    {
        let of_set = &facts["datasets"][set];
        let count = |name: &str| of_set[name].as_u64().unwrap();
        let variables = [variable, ("EQUAL_ROWS", "first")];
        for workers in ["1", "2"] {
            let done = run(&data, job, &["-w", workers], &variables);
            let equal = count("exact_duplicate_rows");
            assert_eq!(
                done.rows("clean"),
                count("well_formed_rows") - equal,
                "{set}"
            );
            let skipped = count("blank_records") + count("repeated_header_records");
            assert_eq!(done.rows("dropped"), skipped + equal, "{set}");
            let left = &facts["joins_and_checks"][set]["after_dropping_exact_duplicates"];
            if let (Some(rows), Value::String(sum)) = (left["rows"].as_u64(), &left["amount"]) {
                assert_eq!(done.rows("clean"), rows, "{set}");
                let sum = Exact::read(sum).text();
                assert_eq!(done.table(sink).sum(amount), sum, "{set}");
                // Windows come after it.
                assert_eq!(done.table("days").sum(amount), sum, "{set}");
            }
        }
    }
}
