//! Columns that say something of the message that a row came in.

use super::report::{Report, Wrong};
use super::types::type_text;
use crate::job::plan::{ColumnType, Metadata, SourceColumn};
use crate::job::problems::quoted;
use crate::job::spec::{ColumnSpec, KafkaMetadata};

/// Reads `kafka` of the column at `path`, which only columns of messages have.
pub(super) fn read_metadata(
    report: &mut Report<'_>,
    path: &[&str],
    spec: &ColumnSpec,
    column_type: ColumnType,
    of_messages: bool,
) -> Option<Metadata> {
    let kafka = spec.kafka?;
    let at = |option: &'static str| [path, &[option]].concat();
    if !of_messages {
        report.add(
            &at("kafka"),
            Wrong::new("only messages of Kafka have it")
                .expected("a source with the transport `kafka`"),
        );
        return None;
    }
    let (metadata, fitting) = match kafka {
        KafkaMetadata::Key => (Metadata::Key, ColumnType::Varchar),
        KafkaMetadata::Headers => (Metadata::Headers, ColumnType::Varchar),
        KafkaMetadata::Topic => (Metadata::Topic, ColumnType::Varchar),
        KafkaMetadata::Partition => (Metadata::Partition, ColumnType::Int),
        KafkaMetadata::Offset => (Metadata::Offset, ColumnType::BigInt),
        KafkaMetadata::Timestamp => (Metadata::Timestamp, ColumnType::Timestamp),
    };
    let word = metadata.word();
    if column_type != fitting {
        let what = format!("the {word} of a message is no {}", type_text(column_type));
        report.add(
            &at("type"),
            Wrong::new(what)
                .expected(type_text(fitting))
                .hint("[derive] casts it"),
        );
    }
    check_text_options(report, path, spec, word);
    Some(metadata)
}

/// Options that say how a value is written or found in the record would do nothing.
fn check_text_options(report: &mut Report<'_>, path: &[&str], spec: &ColumnSpec, word: &str) {
    for (option, given) in [
        ("header", spec.header.is_some()),
        ("from", spec.from.is_some()),
        ("formats", spec.formats.is_some()),
        ("time_zone", spec.time_zone.is_some()),
        ("unit", spec.unit.is_some()),
        ("nulls", spec.nulls.is_some()),
        ("on_bad", spec.on_bad.is_some()),
        ("optional", spec.optional.is_some()),
        ("lenient", spec.lenient.is_some()),
        ("decimal", spec.decimal.is_some()),
        ("thousands", spec.thousands.is_some()),
        ("currency", spec.currency.is_some()),
        ("percent", spec.percent.is_some()),
        ("negatives", spec.negatives.is_some()),
        ("round", spec.round.is_some()),
        ("true", spec.true_words.is_some()),
        ("false", spec.false_words.is_some()),
        ("pivot", spec.pivot.is_some()),
        ("ambiguous", spec.ambiguous.is_some()),
        ("nonexistent", spec.nonexistent.is_some()),
        ("min", spec.min.is_some()),
        ("max", spec.max.is_some()),
    ] {
        if given {
            let wrong = Wrong::new(format!("the {word} of a message is not read from a text"));
            report.add(
                &[path, &[option]].concat(),
                wrong.hint(format!("leave out `{option}` or `kafka`")),
            );
        }
    }
}

/// What is said of a message feeds one column.
pub(super) fn check_own(
    report: &mut Report<'_>,
    path: &[&str],
    column: &SourceColumn,
    earlier: &[SourceColumn],
) {
    let same = earlier
        .iter()
        .find(|other| column.metadata.is_some() && other.metadata == column.metadata);
    if let Some(other) = same {
        let what = format!(
            "{} says the same of the message as {}",
            quoted(&column.name),
            quoted(&other.name)
        );
        report.add_name(
            path,
            Wrong::new(what).hint("[derive] makes a second column of one"),
        );
    }
}
