//! Sixty-five sales with every kind of fault, kept and refused.

use std::collections::BTreeMap;

use super::{data, facts, run};

#[test]
fn faults_become_nulls_and_warnings_where_the_job_says_so() {
    let Some(data) = data() else { return };
    let facts = facts(&data);
    let done = run(&data, "tests/data/ventas_sucio.toml", &[], &[]);
    done.holds(&facts, "ventas_sucio", "ventas", "importe", &[]);
    let of_set = &facts["datasets"]["ventas_sucio"];
    let dates = of_set["dates"]["fecha"]["unparseable"].as_u64();
    assert_eq!(Some(done.warned("fecha_dada")), dates);
    let negative = of_set["amount"]["negative_rows"].as_u64();
    assert_eq!(Some(done.warned("importe_positivo")), negative);
    // Three cities in seven spellings, one category in two, and two sales that come again under a new id.
    let ventas = done.table("ventas");
    let places = ventas.groups(&["lugar"], "importe");
    let places: Vec<(&str, usize)> = places
        .iter()
        .map(|(name, (rows, _))| (name.as_str(), *rows))
        .collect();
    assert_eq!(
        places,
        [
            ("", 3),
            ("LA VEGA", 21),
            ("SANTIAGO", 20),
            ("SANTO DOMINGO", 21)
        ]
    );
    assert_eq!(ventas.groups(&["clase"], "importe").len(), 1);
    let columns = [
        "fecha",
        "cliente",
        "producto",
        "cantidad",
        "precio_unitario",
    ];
    let columns: Vec<Vec<Option<String>>> = columns.iter().map(|name| ventas.texts(name)).collect();
    let mut sales: BTreeMap<Vec<&Option<String>>, Vec<usize>> = BTreeMap::new();
    for row in 0..ventas.rows {
        let sale = columns.iter().map(|column| &column[row]).collect();
        sales.entry(sale).or_default().push(row + 1);
    }
    let mut again: Vec<Vec<usize>> = sales.into_values().filter(|rows| rows.len() > 1).collect();
    again.sort();
    assert_eq!(again, [[6, 7], [11, 12]]);
}

#[test]
fn faults_refuse_their_rows_where_the_job_says_so() {
    let Some(data) = data() else { return };
    let facts = facts(&data);
    let of_set = &facts["datasets"]["ventas_sucio"];
    let nulls = |name: &str| of_set["column_facts"][name]["nulls"].as_u64().unwrap();
    let done = run(&data, "tests/data/ventas_sucio_strict.toml", &[], &[]);
    let refused = done.table("refused");
    let all = refused.texts("reasons");
    let with = |reason: &str| {
        let has = |reasons: &&Option<String>| reasons.as_deref().unwrap().contains(reason);
        all.iter().filter(has).count() as u64
    };
    let dates = of_set["dates"]["fecha"]["unparseable"].as_u64().unwrap();
    assert_eq!(with("fecha_imposible"), dates);
    assert_eq!(with("sin_cliente"), nulls("cliente"));
    assert_eq!(with("sin_cantidad"), nulls("cantidad"));
    assert_eq!(with("sin_ciudad"), nulls("ciudad"));
    let negative = of_set["amount"]["negative_rows"].as_u64().unwrap();
    assert_eq!(with("importe_negativo"), negative);
    assert_eq!(done.rows("refused"), refused.rows as u64);
}
