//! Types as job files write them: `"decimal(12,2) not null"`.
//!
//! Only the names of DESIGN and their SQL synonyms are types; names that other systems use for the same thing are faults
//! with a hint, so that a job reads the same everywhere.

use super::report::Wrong;
use crate::job::plan::ColumnType;
use crate::job::problems::quoted;

/// What a type may be.
const EXPECTED: &str = "boolean, smallint, int, bigint, double, decimal(p,s), varchar, date or timestamp, then `not null` where a value must be there";

/// The names of types, for the nearest word.
const NAMES: [&str; 12] = [
    "boolean",
    "smallint",
    "int",
    "integer",
    "bigint",
    "double",
    "decimal(p,s)",
    "numeric",
    "varchar",
    "text",
    "date",
    "timestamp",
];

/// What other systems call our types.
const ELSEWHERE: [(&str, &str); 26] = [
    ("bool", "boolean"),
    ("int2", "smallint"),
    ("int16", "smallint"),
    ("short", "smallint"),
    ("tinyint", "smallint"),
    ("int4", "int"),
    ("int32", "int"),
    ("i32", "int"),
    ("int8", "bigint"),
    ("int64", "bigint"),
    ("i64", "bigint"),
    ("long", "bigint"),
    ("float", "double"),
    ("float8", "double"),
    ("float64", "double"),
    ("f64", "double"),
    ("real", "double"),
    ("number", "decimal(p,s)"),
    ("money", "decimal(p,s)"),
    ("string", "varchar"),
    ("str", "varchar"),
    ("utf8", "varchar"),
    ("char", "varchar"),
    ("date32", "date"),
    ("datetime", "timestamp"),
    ("timestamptz", "timestamp"),
];

/// Most digits that a decimal of 128 bits holds.
const MOST_DIGITS: u8 = 38;

/// Reads a type and whether it is `not null`. Upper and lower case are the same, as in SQL.
pub fn read_type(text: &str) -> Result<(ColumnType, bool), Wrong> {
    let lower = text.trim().to_lowercase();
    let (name, not_null) = split_not_null(&lower);
    let column_type = match name {
        "boolean" => ColumnType::Boolean,
        "smallint" => ColumnType::SmallInt,
        "int" | "integer" => ColumnType::Int,
        "bigint" => ColumnType::BigInt,
        "double" | "double precision" => ColumnType::Double,
        "varchar" | "text" => ColumnType::Varchar,
        "date" => ColumnType::Date,
        "timestamp" => ColumnType::Timestamp,
        other => match other
            .strip_prefix("decimal")
            .or_else(|| other.strip_prefix("numeric"))
        {
            Some(digits) => decimal(text, digits.trim_start())?,
            None => return Err(unknown(text, name)),
        },
    };
    Ok((column_type, not_null))
}

/// The type as a job file would write it.
pub fn type_text(column_type: ColumnType) -> String {
    match column_type {
        ColumnType::Boolean => "boolean".to_owned(),
        ColumnType::SmallInt => "smallint".to_owned(),
        ColumnType::Int => "int".to_owned(),
        ColumnType::BigInt => "bigint".to_owned(),
        ColumnType::Double => "double".to_owned(),
        ColumnType::Decimal(precision, scale) => format!("decimal({precision},{scale})"),
        ColumnType::Varchar => "varchar".to_owned(),
        ColumnType::Date => "date".to_owned(),
        ColumnType::Timestamp => "timestamp".to_owned(),
    }
}

fn split_not_null(lower: &str) -> (&str, bool) {
    if let Some(before) = lower.strip_suffix("null") {
        let before = before.trim_end();
        if let Some(name) = before.strip_suffix("not")
            && name.ends_with([' ', '\t', ')'])
        {
            return (name.trim_end(), true);
        }
    }
    (lower, false)
}

/// `(p,s)` of a decimal.
fn decimal(text: &str, digits: &str) -> Result<ColumnType, Wrong> {
    let expected = "decimal(p,s) with 1 ≤ p ≤ 38 digits, of which 0 ≤ s ≤ p are decimals, such as decimal(12,2)";
    let wrong = |what: String| Wrong::new(what).expected(expected);
    if digits.is_empty() {
        return Err(wrong(format!(
            "{} does not say how many digits it has",
            quoted(text)
        ))
        .hint("prices fit decimal(12,2), totals decimal(18,2)"));
    }
    let inner = digits
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'));
    let Some((precision, scale)) = inner.and_then(|inner| inner.split_once(',')) else {
        return Err(wrong(format!("{} is no decimal type", quoted(text))));
    };
    let (Ok(precision), Ok(scale)) = (precision.trim().parse::<u8>(), scale.trim().parse::<i8>())
    else {
        return Err(wrong(format!("{} is no decimal type", quoted(text))));
    };
    let scale_fits = u8::try_from(scale).is_ok_and(|scale| scale <= precision);
    if precision == 0 || precision > MOST_DIGITS || !scale_fits {
        return Err(wrong(format!("{} has digits out of range", quoted(text))));
    }
    Ok(ColumnType::Decimal(precision, scale))
}

fn unknown(text: &str, name: &str) -> Wrong {
    let wrong = Wrong::new(format!("{} is not a type", quoted(text))).expected(EXPECTED);
    if let Some(before) = name.strip_suffix(" null") {
        return wrong.hint(format!(
            "a column may lack values unless it is `not null`: write {}",
            quoted(before.trim_end())
        ));
    }
    let bare = name.split('(').next().unwrap_or(name).trim_end();
    if matches!(bare, "varchar" | "text" | "timestamp" | "int" | "double") && bare != name {
        return wrong.hint(format!("{bare} takes nothing in brackets"));
    }
    match ELSEWHERE.iter().find(|(theirs, _)| *theirs == bare) {
        Some((_, ours)) => wrong.hint(format!("did you mean {}?", quoted(ours))),
        None => wrong.did_you_mean(bare, NAMES),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_whatever_their_case_and_spacing() {
        let cases = [
            ("boolean", ColumnType::Boolean, false),
            ("smallint not null", ColumnType::SmallInt, true),
            ("int", ColumnType::Int, false),
            ("Integer NOT NULL", ColumnType::Int, true),
            (" bigint  not  null ", ColumnType::BigInt, true),
            ("double precision", ColumnType::Double, false),
            ("decimal(12,2) not null", ColumnType::Decimal(12, 2), true),
            ("numeric( 38 , 38 )", ColumnType::Decimal(38, 38), false),
            ("decimal (5,0)not null", ColumnType::Decimal(5, 0), true),
            ("text", ColumnType::Varchar, false),
            ("varchar not null", ColumnType::Varchar, true),
            ("date", ColumnType::Date, false),
            ("timestamp not null", ColumnType::Timestamp, true),
        ];
        for (text, column_type, not_null) in cases {
            assert_eq!(read_type(text), Ok((column_type, not_null)), "{text}");
        }
    }

    #[test]
    fn a_type_reads_back_from_its_text() {
        for text in [
            "boolean",
            "smallint",
            "int",
            "bigint",
            "double",
            "decimal(18,6)",
            "varchar",
            "date",
            "timestamp",
        ] {
            assert_eq!(type_text(read_type(text).unwrap().0), text);
        }
    }

    #[test]
    fn faulty_types_say_what_would_be_right() {
        let hint = |text| read_type(text).unwrap_err().hint.unwrap_or_default();
        assert_eq!(hint("string"), "did you mean \"varchar\"?");
        assert_eq!(hint("int64 not null"), "did you mean \"bigint\"?");
        assert_eq!(hint("timestmp"), "did you mean \"timestamp\"?");
        assert_eq!(hint("varchar(20)"), "varchar takes nothing in brackets");
        assert_eq!(
            hint("int null"),
            "a column may lack values unless it is `not null`: write \"int\""
        );
        assert_eq!(
            hint("decimal"),
            "prices fit decimal(12,2), totals decimal(18,2)"
        );
        for text in [
            "",
            "not null",
            "decimal(39,2)",
            "decimal(2,3)",
            "decimal(0,0)",
            "decimal(12)",
            "decimal(12,-1)",
            "decimal(a,b)",
            "decimal(12,2",
            "int not nul",
        ] {
            assert!(read_type(text).is_err(), "{text}");
        }
        let wrong = read_type("decimal(40,2)").unwrap_err();
        assert_eq!(wrong.what, "\"decimal(40,2)\" has digits out of range");
    }
}
