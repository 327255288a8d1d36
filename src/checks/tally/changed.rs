//! Which segments are others than when the state was written last.
//!
//! Nothing is noted before the state was written once, so that runs with an end pay nothing. Windows that close need no note: how far windows are
//! closed stands in what is written, and whoever reads it leaves out those before.

use super::segments::{SegmentId, at};

/// Ids of segments that changed; one that was forgotten since may be among them, or its id be another's that changed.
///
/// Cost: a bit for each segment, and four bytes for each that changed.
#[derive(Debug, Default)]
pub(super) struct Changed(Option<Noted>);

#[derive(Debug, Default)]
struct Noted {
    /// Whether it is in `ids`, for each segment.
    is_in: Vec<u64>,
    ids: Vec<SegmentId>,
}

impl Changed {
    /// Notes that a segment changed.
    pub(super) fn note(&mut self, id: SegmentId) {
        let Some(noted) = &mut self.0 else { return };
        let (word, bit) = (at(id) / 64, 1 << (at(id) % 64));
        if noted.is_in.len() <= word {
            noted.is_in.resize(word + 1, 0);
        }
        if noted.is_in[word] & bit == 0 {
            noted.is_in[word] |= bit;
            noted.ids.push(id);
        }
    }

    /// The state was written: from here on it is noted what changes.
    pub(super) fn begin(&mut self) {
        let noted = self.0.get_or_insert_default();
        for id in std::mem::take(&mut noted.ids) {
            noted.is_in[at(id) / 64] = 0;
        }
    }

    /// Those that changed; `None` where that is not known.
    pub(super) fn ids(&self) -> Option<&[SegmentId]> {
        self.0.as_ref().map(|noted| noted.ids.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_noted_once_until_it_begins_anew() {
        let mut changed = Changed::default();
        changed.note(3);
        assert_eq!(changed.ids(), None);
        changed.begin();
        assert_eq!(changed.ids(), Some(&[][..]));
        for id in [3, 700, 3, 64, 63, 700] {
            changed.note(id);
        }
        assert_eq!(changed.ids(), Some(&[3, 700, 64, 63][..]));
        changed.begin();
        changed.note(64);
        assert_eq!(changed.ids(), Some(&[64][..]));
    }
}
