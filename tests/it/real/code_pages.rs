//! A code page that a job does not declare refuses the rows that need it, and no other.

use super::{data, facts, run};

#[test]
fn a_code_page_of_dos_refuses_its_rows_where_it_is_not_declared() {
    let Some(data) = data() else { return };
    let facts = &facts(&data)["datasets"]["sales_data_sample"];
    let job = "tests/data/model_vehicles.toml";
    let beyond = |column: &str| facts["column_facts"][column]["non_ascii"].as_u64().unwrap();
    let done = run(&data, job, &["-w", "2"], &[("ENCODING", "utf-8")]);
    let refused = done.refused("invalid_utf8");
    assert_eq!(done.rows("refused"), refused);
    assert!(refused >= beyond("ADDRESSLINE1"), "{refused}");
    assert!(refused <= beyond("ADDRESSLINE1") + beyond("CONTACTFIRSTNAME"));
    let done = run(&data, job, &["-w", "2"], &[("ENCODING", "cp437")]);
    assert_eq!(done.rows("refused"), 0);
    let rows = facts["well_formed_rows"].as_u64();
    assert_eq!(Some(done.rows("clean")), rows);
}
