//! Partials of every kind come back as they were, and no bytes do harm.

use proptest::collection::vec;
use proptest::prelude::*;
use timely::bytes::arc::BytesMut;

use super::*;

fn bytes(records: &Records) -> Vec<u8> {
    let mut bytes = Vec::new();
    records.into_bytes(&mut bytes);
    assert_eq!(bytes.len(), records.length_in_bytes());
    assert_eq!(bytes.len() % 8, 0);
    bytes
}

/// Reads bytes that begin so many bytes behind a multiple of 64.
fn decode_at(offset: usize, bytes: &[u8]) -> Result<Vec<Update>, Broken> {
    let mut own = MutableBuffer::from_len_zeroed(offset);
    own.extend_from_slice(bytes);
    decode(&mut own.as_slice_mut()[offset..])
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::Int),
        any::<i128>().prop_map(Value::Wide),
        ".{0,12}".prop_map(|text| Value::Text(text.into())),
    ]
}

fn sums() -> impl Strategy<Value = Sum> {
    any::<(i64, i64, i128)>().prop_map(|(n, wide, sum)| Sum { n, wide, sum })
}

fn accumulators(kind: Kind) -> BoxedStrategy<Accumulator> {
    match kind {
        Kind::Count => any::<i64>().prop_map(Accumulator::Count).boxed(),
        Kind::Sum => sums().prop_map(Accumulator::Sum).boxed(),
        Kind::Moments => (sums(), any::<[u64; 3]>())
            .prop_map(|(first, squares)| {
                Accumulator::Moments(Moments {
                    first,
                    squares: Int192::from_words(squares),
                })
            })
            .boxed(),
        Kind::Least => values().prop_map(Accumulator::Least).boxed(),
        Kind::Greatest => values().prop_map(Accumulator::Greatest).boxed(),
        Kind::Distinct => proptest::collection::btree_map(values(), 1..9_i64, 0..9)
            .prop_map(|values| Distinct::Exact(values.into_iter().collect()))
            .prop_map(|distinct| Accumulator::Distinct(Box::new(distinct)))
            .boxed(),
        Kind::Sketch => (any::<i64>(), vec((-2_000..2_000_i64, 1..9_i64), 0..9))
            .prop_map(|(wide, counts)| {
                let counts: std::collections::BTreeMap<i64, i64> = counts.into_iter().collect();
                Accumulator::Sketch(Box::new(Sketch::of(wide, counts)))
            })
            .boxed(),
    }
}

/// Partials of one shape.
fn layouts() -> impl Strategy<Value = Vec<Update>> {
    let kinds = vec(proptest::sample::select(KINDS.to_vec()), 0..6);
    (0..4_usize, kinds).prop_flat_map(|(columns, kinds)| {
        let accumulators: Vec<_> = kinds.into_iter().map(accumulators).collect();
        let update = (
            vec(values(), columns),
            any::<(i64, Epoch, i64)>(),
            accumulators,
        );
        let update = update.prop_map(|(segment, (start, epoch, rows), accumulators)| {
            let partial = Partial {
                rows,
                accumulators: accumulators.into(),
            };
            (((Segment(segment.into()), start), ()), epoch, partial)
        });
        vec(update, 0..5)
    })
}

fn partials() -> impl Strategy<Value = Records> {
    vec(layouts(), 0..4).prop_map(|runs| Records(runs.concat()))
}

/// One of each kind of value and accumulator.
fn everything() -> Records {
    let text = |text: &str| Value::Text(text.into());
    let sum = Sum {
        n: -1,
        wide: 2,
        sum: i128::MIN + 5,
    };
    let partial = Partial {
        rows: 7,
        accumulators: Box::new([
            Accumulator::Count(3),
            Accumulator::Sum(sum),
            Accumulator::Moments(Moments {
                first: sum,
                squares: Int192::from_words([1, 2, u64::MAX]),
            }),
            Accumulator::Least(text("ñandú")),
            Accumulator::Greatest(Value::Wide(-1)),
        ]),
    };
    let segment = Segment(Box::new([Value::Null, Value::Int(i64::MIN), text("ES-MD")]));
    Records(vec![(((segment, -60), ()), 4, partial); 3])
}

#[test]
fn a_partial_costs_its_records_and_its_text() {
    let records = everything();
    let shared = size_of::<Head>() + size_of::<Run>() + 5 * 8;
    let each = 24 + 3 * 24 + 8 + 32 + 56 + 24 + 24;
    let text = 3 * ("ES-MD".len() + "ñandú".len());
    assert_eq!(
        bytes(&records).len(),
        shared + 3 * each + text.next_multiple_of(8)
    );
    assert_eq!(bytes(&Records::default()).len(), size_of::<Head>());
}

#[test]
fn bytes_that_are_cut_anywhere_are_refused() {
    let whole = bytes(&everything());
    assert_eq!(decode_at(0, &whole), Ok(everything().0));
    for length in 0..whole.len() {
        let cut = decode_at(0, &whole[..length]);
        assert!(cut.is_err(), "{length} of {}: {cut:?}", whole.len());
    }
    let longer = [&whole[..], &[0; 8]].concat();
    assert!(decode_at(0, &longer).is_err());
}

#[test]
fn records_at_odd_addresses_are_refused_and_received_bytes_may_stand_anywhere() {
    let whole = bytes(&everything());
    for offset in 1..8 {
        assert_eq!(decode_at(offset, &whole), Err(Broken::Misaligned));
        let mut shifted = BytesMut::from([&vec![0; offset][..], &whole].concat());
        drop(shifted.extract_to(offset));
        assert_eq!(Records::from_bytes(shifted.freeze()), everything());
    }
    assert_eq!(decode_at(8, &whole), Ok(everything().0));
}

#[test]
fn a_record_that_is_refused_is_not_taken() {
    let mut own = MutableBuffer::from_len_zeroed(24);
    let (short, odd) = own.as_slice_mut().split_at_mut(15);
    let mut rest = Front::new(short);
    let needed = Broken::Short {
        needed: 16,
        left: 15,
    };
    assert_eq!(rest.take::<Head>(), Err(needed));
    assert_eq!(rest.left(), 15);
    let mut rest = Front::new(odd);
    assert_eq!(rest.take::<u64>(), Err(Broken::Misaligned));
    assert_eq!(rest.left(), 9);
}

#[test]
fn words_that_mean_nothing_are_told() {
    /// The message with a word put at a place in bytes.
    fn with(place: usize, word: u64) -> Result<Vec<Update>, Broken> {
        let mut bytes = bytes(&everything());
        bytes[place..place + 8].copy_from_slice(&word.to_ne_bytes());
        decode_at(0, &bytes)
    }
    let (run, kinds) = (size_of::<Head>(), size_of::<Head>() + size_of::<Run>());
    let partial = kinds + 5 * 8;
    let text = partial + 24 + 2 * 24;
    let told = [
        (with(0, 4), "4 partials were said to be there, 3 are"),
        (
            with(0, u64::MAX),
            "18446744073709551615 partials were said to be there, 3 are",
        ),
        (
            with(8, 1 << 40),
            "1099511627776 bytes are needed where 824 are left",
        ),
        (
            with(8, u64::MAX),
            "18446744073709551615 bytes are needed where 824 are left",
        ),
        (with(run, 4), "960 bytes are needed where 720 are left"),
        (
            with(run + 8, u64::MAX),
            "18446744073709551615 is no number of values",
        ),
        (with(kinds, 7), "7 is no kind of accumulator"),
        (with(partial + 24, 4), "4 is no kind of value"),
        (with(text + 8, 34), "there is no text of 5 bytes at 34"),
        (
            with(text + 8, u64::MAX),
            "there is no text of 5 bytes at 18446744073709551615",
        ),
        // The second byte of ñ.
        (with(text + 8, 6), "there is no text of 5 bytes at 6"),
    ];
    for (got, expected) in told {
        assert_eq!(got.unwrap_err().to_string(), expected);
    }
    let mut bytes = bytes(&everything());
    let end = bytes.len();
    bytes[end - 8] = 0xff;
    assert_eq!(decode_at(0, &bytes), Err(Broken::Text));
}

proptest! {
    #[test]
    fn partials_of_every_kind_come_back(records in partials()) {
        let back = Records::from_bytes(BytesMut::from(bytes(&records)).freeze());
        prop_assert_eq!(&back, &records);
        // And are what the other codec makes of them.
        let mut other = Vec::new();
        records.0.into_bytes(&mut other);
        prop_assert_eq!(Vec::<Update>::from_bytes(BytesMut::from(other).freeze()), back.0);
    }

    #[test]
    fn changed_bytes_are_partials_or_are_refused(
        records in partials(),
        changes in vec((any::<proptest::sample::Index>(), prop_oneof![0..9_u64, any::<u64>()]), 1..4),
    ) {
        let mut bytes = bytes(&records);
        for (place, word) in changes {
            let place = place.index(bytes.len() / 8) * 8;
            bytes[place..place + 8].copy_from_slice(&word.to_ne_bytes());
        }
        if let Ok(updates) = decode_at(0, &bytes) {
            // They are whole: all of them can be written and read again.
            let again = self::bytes(&Records(updates.clone()));
            prop_assert_eq!(decode_at(0, &again), Ok(updates));
        }
    }
}
