//! Keys of a look-up as `fold` compares them: blanks, case and the form of accents do not count.
//!
//! Both sides are folded, the reference rows once and the rows' keys once a distinct spelling where they come as a dictionary;
//! what goes on is never the folded text but the reference row's own. Case is Unicode's: a text in upper and then in lower
//! case, which is the same for `ß` and `SS`, and for both forms of the Greek sigma.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, StringArray};
use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::job::plan::Fold;

/// The keys as they are compared.
pub(super) fn folded(keys: Vec<ArrayRef>, fold: Option<Fold>) -> Vec<ArrayRef> {
    match fold {
        Some(fold) => keys.iter().map(|key| folded_array(key, fold)).collect(),
        None => keys,
    }
}

fn folded_array(key: &ArrayRef, fold: Fold) -> ArrayRef {
    let texts = |texts: &StringArray| -> ArrayRef {
        let folded = texts
            .iter()
            .map(|value| value.map(|value| text(value, fold)));
        Arc::new(folded.collect::<StringArray>())
    };
    if let Some(plain) = key.as_string_opt::<i32>() {
        return texts(plain);
    }
    let dictionary = key
        .as_dictionary_opt::<Int32Type>()
        .and_then(|dictionary| Some((dictionary, dictionary.values().as_string_opt::<i32>()?)));
    match dictionary {
        Some((dictionary, values)) => Arc::new(
            DictionaryArray::<Int32Type>::try_new(dictionary.keys().clone(), texts(values))
                .expect("there are as many values as before"),
        ),
        // Numbers, dates and truth values are spelled in one way only.
        None => Arc::clone(key),
    }
}

/// Whether a character is blank to a reader: white space of Unicode, and what has no width.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{200B}' | '\u{2060}' | '\u{FEFF}')
}

/// A text as it is compared.
pub(super) fn text(text: &str, fold: Fold) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(if fold.trim {
        text.trim_matches(is_blank)
    } else {
        text
    });
    if fold.spaces && text.contains(is_blank) {
        let mut collapsed = String::with_capacity(text.len());
        let mut after_blank = false;
        for c in text.chars() {
            if !is_blank(c) {
                collapsed.push(c);
            } else if !after_blank {
                collapsed.push(' ');
            }
            after_blank = is_blank(c);
        }
        text = Cow::Owned(collapsed);
    }
    if fold.case {
        text = Cow::Owned(if text.is_ascii() {
            text.to_ascii_lowercase()
        } else {
            text.to_uppercase().to_lowercase()
        });
    }
    // Last, since another case may have another form.
    if fold.nfc && !text.is_ascii() && !is_nfc(&text) {
        text = Cow::Owned(text.nfc().collect());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Fold = Fold {
        trim: true,
        case: true,
        nfc: true,
        spaces: true,
    };

    #[test]
    fn spellings_of_one_name_are_one() {
        for spellings in [
            &[
                "EU-S",
                "eu-s",
                " EU-S ",
                "\u{A0}Eu-S\u{3000}",
                "\u{FEFF}eu-S",
            ][..],
            &["South EU", "South  EU", "south\u{A0}\t eu"],
            &["Málaga", "Ma\u{301}laga", "MÁLAGA", "MA\u{301}LAGA "],
            &["Straße", "STRASSE", "strasse"],
            &["ΟΔΟΣ", "οδος", "οδοσ"],
            &["Å", "\u{212B}", "a\u{30A}"],
        ] {
            for spelling in spellings {
                assert_eq!(text(spelling, ALL), text(spellings[0], ALL), "{spelling:?}");
            }
        }
        for (one, other) in [
            ("EU-S", "EUS"),
            ("Malaga", "Málaga"),
            ("a b", "ab"),
            ("", "x"),
        ] {
            assert_ne!(text(one, ALL), text(other, ALL));
        }
    }

    #[test]
    fn only_what_is_asked_for_is_folded() {
        let none = Fold {
            trim: false,
            case: false,
            nfc: false,
            spaces: false,
        };
        let odd = " A  \u{301}b ";
        assert_eq!(text(odd, none), odd);
        assert_eq!(text(odd, Fold { trim: true, ..none }), "A  \u{301}b");
        assert_eq!(
            text(
                odd,
                Fold {
                    spaces: true,
                    ..none
                }
            ),
            " A \u{301}b "
        );
        assert_eq!(text(odd, Fold { case: true, ..none }), " a  \u{301}b ");
        assert_eq!(text("a\u{301} ", Fold { nfc: true, ..none }), "á ");
    }

    #[test]
    fn both_encodings_fold_and_nulls_stay() {
        let rows = [Some(" A"), None, Some("a")];
        let plain: ArrayRef = Arc::new(StringArray::from(rows.to_vec()));
        let dictionary: ArrayRef =
            Arc::new(rows.into_iter().collect::<DictionaryArray<Int32Type>>());
        for array in folded(vec![plain, dictionary], Some(ALL)) {
            let text = crate::transform::text::Text::of(&array).unwrap();
            assert_eq!(
                text.iter().collect::<Vec<_>>(),
                [Some("a"), None, Some("a")]
            );
        }
    }
}
