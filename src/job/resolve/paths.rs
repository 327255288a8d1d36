//! Paths of columns into JSON records.

use super::report::{Report, Wrong};
use crate::job::path::{Step, path_text, read_path, unnested};
use crate::job::plan::SourceColumn;
use crate::job::problems::quoted;

/// Reads the path of a column from its `header`, if it says one, and writes it in its one spelling.
pub(super) fn read_header(
    report: &mut Report<'_>,
    path: &[&str],
    name: &str,
    header: Option<&str>,
) -> Option<String> {
    let Some(header) = header else {
        return Some(path_text(&[Step::Member(name.to_owned())]));
    };
    let place = [path, &["header"]].concat();
    let steps = match read_path(header) {
        Ok(steps) => steps,
        Err(words) => {
            let wrong = Wrong::new(format!("{} is no path: {words}", quoted(header)));
            report.add(
                &place,
                wrong.expected(
                    "names with dots between them, such as order.customer.id, items[].sku or tags[0]; a name that has a dot in double quotes",
                ),
            );
            return None;
        }
    };
    if steps.iter().filter(|step| **step == Step::Each).count() > 1 {
        let wrong = Wrong::new(format!("{} unnests an array in an array", quoted(header)));
        report.add(
            &place,
            wrong.expected("one [] in a path: the elements of one array are rows"),
        );
        return None;
    }
    Some(path_text(&steps))
}

/// All columns of a source that are read in elements must be read in those of one array.
pub(super) fn check_unnested(
    report: &mut Report<'_>,
    path: &[&str],
    column: &SourceColumn,
    earlier: &[SourceColumn],
) {
    let array = |column: &SourceColumn| {
        let steps = read_path(&column.header).ok()?;
        unnested(&steps).map(path_text)
    };
    let Some(own) = array(column) else { return };
    let other = earlier
        .iter()
        .find_map(|earlier| Some((earlier, array(earlier).filter(|array| *array != own)?)));
    if let Some((other, array)) = other {
        let what = format!(
            "{} unnests {own}, and {} unnests {array}",
            quoted(&column.name),
            quoted(&other.name)
        );
        let wrong = Wrong::new(what)
            .expected("one array for all columns of a source")
            .hint("read the files in two sources, one for each array");
        report.add(&[path, &["header"]].concat(), wrong);
    }
}
