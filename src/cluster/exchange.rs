//! Which worker a row belongs to: key → hash → bin → worker.
//!
//! The hash is ours and pinned by a test, because it decides where state lives: a library's default hash may change with a
//! version or be seeded by chance. The bin is the hash's top eight bits; a table says which worker owns a bin. Never modulo
//! the number of workers: with a table, another number of workers moves whole bins and their state.
//!
//! Keys are few and uneven: one region with a third of the rows would keep one worker busy and the others waiting. So bins that hold
//! much of what a worker has read are *hot* ([`Hot`]): their rows stay where they were read, and readers share the input evenly.
//! Whatever a key's rows are needed together for must therefore be able to merge, as statistics do; what must meet all rows of a
//! key has an exchange of its own without hot bins ([`ByBin::meeting`]). Where rows go changes which files they are written
//! to, and no result.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow_buffer::NullBuffer;
use arrow_schema::DataType;
use arrow_select::take::take_record_batch;
use timely::communication::Push;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::Message;
use timely::dataflow::channels::pact::DistributorPact;
use timely::dataflow::channels::pushers::exchange::Distributor;
use timely::dataflow::operators::generic::Operator;
use timely::progress::Stamp;

use crate::cluster::Run;
use crate::record::{Batch, Epoch};
use crate::transform::text::Text;

/// Number of bins: many more than workers, so that a table can spread them evenly, and few enough to keep state by bin.
pub const BINS: usize = 256;

/// What a null key hashes to.
pub const NULL_HASH: u64 = 0x9E37_79B9_7F4A_7C15;

/// Mixes 64 bits so that each bit of the input moves half of the output: the finaliser of splitmix64 (Steele, Lea and Flood,
/// "Fast splittable pseudorandom number generators", 2014).
pub fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Hashes bytes: FNV-1a of 64 bits (Fowler, Noll and Vo), mixed so that its top bits are as good as its low ones.
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
    }
    mix(hash)
}

/// The bin of a hash.
pub fn bin(hash: u64) -> usize {
    usize::try_from(hash >> 56).expect("eight bits fit")
}

/// The worker that owns each bin: bins in runs of equal length.
pub fn table(peers: usize) -> Vec<usize> {
    (0..BINS).map(|bin| bin * peers / BINS).collect()
}

/// Sends each row to the worker that owns the bin of its key; rows of hot bins, and all without a key, stay where they were
/// read.
pub fn by_bin<'scope>(
    rows: Stream<'scope, Epoch, Batch>,
    run: &Arc<Run>,
) -> Stream<'scope, Epoch, Batch> {
    let key = run.plan.key.clone();
    if key.is_empty() {
        return rows;
    }
    let worker = rows.scope().index();
    let pact = DistributorPact(move |peers| ByBin::new(key, worker, peers));
    let observer = Arc::clone(&run.observer);
    rows.unary::<CapacityContainerBuilder<Batch>, _, _, _>(pact, "exchange:by_bin", |_, _| {
        move |input, output| {
            input.for_each(|capability, batch| {
                if let Some(rows) = &batch.rows {
                    observer.exchanged(worker, rows.num_rows(), rows.get_array_memory_size());
                }
                output.session(&capability).give_container(batch);
            });
        }
    })
}

/// Which bins are hot on a worker: those that held more than a share of the rows it has seen so far.
///
/// Until enough rows are seen, all bins count as hot. The share is a small part of what a worker would have of evenly
/// spread rows: what is left to be placed by the table is then in pieces so small that they even out, or of no weight, and
/// with few keys hardly a row leaves its reader.
#[derive(Debug)]
pub struct Hot {
    rows: [u64; BINS],
    all: u64,
    peers: u64,
}

/// Rows after which shares are taken for what they are.
const ROWS_TO_KNOW: u64 = 1 << 14;

/// Parts of a worker's even share; a bin above one of them is hot.
const PARTS: u64 = 32;

impl Hot {
    /// Nothing is seen yet; rows are for `peers` workers.
    pub fn new(peers: usize) -> Self {
        Self {
            rows: [0; BINS],
            all: 0,
            peers: u64::try_from(peers).expect("a number of workers fits 64 bits"),
        }
    }

    /// Counts the rows of a batch.
    pub fn see(&mut self, bins: &[usize]) {
        for bin in bins {
            self.rows[*bin] += 1;
        }
        self.all += u64::try_from(bins.len()).expect("a number of rows fits 64 bits");
    }

    /// For each bin whether it is hot now.
    pub fn bins(&self) -> [bool; BINS] {
        self.rows
            .map(|rows| self.all < ROWS_TO_KNOW || rows * PARTS * self.peers > self.all)
    }
}

/// Cuts batches by where each row goes.
///
/// Cost: one pass to hash and count, and one copy of every row, unless all rows of a batch have one owner.
pub struct ByBin {
    key: Vec<usize>,
    table: Vec<usize>,
    /// Bins whose rows stay; none where all rows of a key must meet.
    hot: Option<Hot>,
    /// Whether rows with a null in their key stay.
    nulls_stay: bool,
    worker: usize,
    peers: usize,
}

impl ByBin {
    /// For rows that `worker` of `peers` has read, whose key is the columns with these ids.
    pub fn new(key: Vec<usize>, worker: usize, peers: usize) -> Self {
        Self {
            key,
            table: table(peers),
            hot: Some(Hot::new(peers)),
            nulls_stay: false,
            worker,
            peers,
        }
    }

    /// The same, with all rows of a key meeting on its owner, however many they are; those with a null in their key stay where
    /// they were read where `nulls_stay`.
    pub fn meeting(key: Vec<usize>, nulls_stay: bool, worker: usize, peers: usize) -> Self {
        Self {
            hot: None,
            nulls_stay,
            ..Self::new(key, worker, peers)
        }
    }
}

impl Distributor<Batch> for ByBin {
    fn partition<T: Clone, P: Push<Message<T, Batch>>>(
        &mut self,
        batch: &mut Batch,
        stamp: &Stamp<T>,
        pushers: &mut [P],
    ) {
        let batch = std::mem::take(batch);
        let Some(rows) = &batch.rows else { return };
        let keys: Vec<ArrayRef> = self
            .key
            .iter()
            .map(|id| {
                Arc::clone(
                    rows.column_by_name(&id.to_string())
                        .expect("the split carries the key's columns"),
                )
            })
            .collect();
        let hashes = hash_rows(&keys, rows.num_rows());
        let bins: Vec<usize> = hashes.into_iter().map(bin).collect();
        let mut goes_to = [self.worker; BINS];
        let is_hot = self.hot.as_mut().map_or([false; BINS], |hot| {
            hot.see(&bins);
            hot.bins()
        });
        for (bin, is_hot) in is_hot.into_iter().enumerate() {
            if !is_hot {
                goes_to[bin] = self.table[bin];
            }
        }
        let mut of_worker: Vec<Vec<u32>> = vec![Vec::new(); self.peers];
        let stays = self.nulls_stay.then(|| any_null(&keys)).flatten();
        for (row, bin) in bins.into_iter().enumerate() {
            let worker = match &stays {
                Some(stays) if stays.is_null(row) => self.worker,
                _ => goes_to[bin],
            };
            let row = u32::try_from(row).expect("a batch has fewer than 2^32 rows");
            of_worker[worker].push(row);
        }
        for (worker, indices) in of_worker.into_iter().enumerate() {
            if indices.is_empty() {
                continue;
            }
            let part = if indices.len() == rows.num_rows() {
                rows.clone()
            } else {
                part(rows, indices)
            };
            let mut part = Batch {
                rows: Some(part),
                epoch: batch.epoch,
                lease: batch.lease.clone(),
            };
            Message::push_at(&mut part, stamp.clone(), &mut pushers[worker]);
        }
    }

    fn flush<T: Clone, P: Push<Message<T, Batch>>>(&mut self, _: &Stamp<T>, _: &mut [P]) {}
}

/// The rows with a null in one of the columns; `None` where there is none.
pub fn any_null(columns: &[ArrayRef]) -> Option<NullBuffer> {
    columns.iter().fold(None, |nulls, column| {
        NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref())
    })
}

fn part(rows: &RecordBatch, indices: Vec<u32>) -> RecordBatch {
    take_record_batch(rows, &UInt32Array::from(indices)).expect("indices are rows of the batch")
}

/// A container that knows which worker it goes to.
pub trait Addressed {
    /// The worker's index among all.
    fn worker(&self) -> usize;
}

/// Sends each container whole to the worker it names.
#[derive(Debug, Clone, Copy)]
pub struct ToWorker;

/// The pact of containers that name their worker.
pub fn to_worker() -> DistributorPact<fn(usize) -> ToWorker> {
    DistributorPact(|_| ToWorker)
}

impl<C: Addressed + Default> Distributor<C> for ToWorker {
    fn partition<T: Clone, P: Push<Message<T, C>>>(
        &mut self,
        container: &mut C,
        stamp: &Stamp<T>,
        pushers: &mut [P],
    ) {
        let worker = container.worker();
        Message::push_at(container, stamp.clone(), &mut pushers[worker]);
    }

    fn flush<T: Clone, P: Push<Message<T, C>>>(&mut self, _: &Stamp<T>, _: &mut [P]) {}
}

/// The hash of each row's key.
pub fn hash_rows(keys: &[ArrayRef], rows: usize) -> Vec<u64> {
    let mut hashes = vec![0; rows];
    for key in keys {
        for (hash, value) in hashes.iter_mut().zip(hash_column(key)) {
            *hash = mix(*hash ^ value);
        }
    }
    hashes
}

/// The hash of each value. Equal values of one logical type hash alike, whatever their encoding.
fn hash_column(column: &ArrayRef) -> Vec<u64> {
    /// Hashes a value's 64 bits.
    macro_rules! words {
        ($type:ty, $word:expr) => {{
            let word = $word;
            column
                .as_primitive::<$type>()
                .iter()
                .map(|value| value.map_or(NULL_HASH, |value| mix(word(value))))
                .collect()
        }};
    }
    let signed = |value: i64| u64::from_le_bytes(value.to_le_bytes());
    match column.data_type() {
        DataType::Int8 => words!(Int8Type, |value| signed(i64::from(value))),
        DataType::Int16 => words!(Int16Type, |value| signed(i64::from(value))),
        DataType::Int32 => words!(Int32Type, |value| signed(i64::from(value))),
        DataType::Int64 => words!(Int64Type, signed),
        DataType::Date32 => words!(Date32Type, |value| signed(i64::from(value))),
        DataType::Timestamp(_, _) => words!(TimestampMicrosecondType, signed),
        DataType::Decimal128(_, _) => words!(Decimal128Type, |value: i128| hash_bytes(
            &value.to_le_bytes()
        )),
        // Nought is one value, whatever its sign.
        DataType::Float64 => words!(Float64Type, |value: f64| (value + 0.0).to_bits()),
        DataType::Boolean => column
            .as_boolean()
            .iter()
            .map(|value| value.map_or(NULL_HASH, |value| mix(u64::from(value))))
            .collect(),
        DataType::Dictionary(_, _) => {
            let dictionary = column.as_dictionary::<Int32Type>();
            let of_value = hash_texts(dictionary.values());
            let codes = dictionary.keys().iter();
            codes
                .map(|code| {
                    code.map_or(NULL_HASH, |code| {
                        of_value[usize::try_from(code).expect("codes are not negative")]
                    })
                })
                .collect()
        }
        _ => hash_texts(column),
    }
}

fn hash_texts(column: &ArrayRef) -> Vec<u64> {
    let texts = Text::new(column);
    (0..column.len())
        .map(|row| {
            texts
                .value(row)
                .map_or(NULL_HASH, |text| hash_bytes(text.as_bytes()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use arrow_array::{DictionaryArray, Int32Array, StringArray};

    use super::*;

    #[test]
    fn the_hash_is_pinned() {
        assert_eq!(mix(0), 0xE220_A839_7B1D_CDAF);
        assert_eq!(mix(1), 0x910A_2DEC_8902_5CC1);
        assert_eq!(hash_bytes(b""), mix(0xCBF2_9CE4_8422_2325));
        assert_eq!(hash_bytes(b"a"), mix(0xAF63_DC4C_8601_EC8C));
        let five: ArrayRef = Arc::new(Int32Array::from(vec![Some(5), None]));
        assert_eq!(hash_rows(&[five], 2), [mix(mix(5)), mix(NULL_HASH)]);
    }

    #[test]
    fn encodings_of_one_text_hash_alike() {
        let plain: ArrayRef = Arc::new(StringArray::from(vec![Some("ES-MD"), None, Some("")]));
        let dictionary: DictionaryArray<Int32Type> =
            vec![Some("ES-MD"), None, Some("")].into_iter().collect();
        let dictionary: ArrayRef = Arc::new(dictionary);
        assert_eq!(hash_rows(&[plain], 3), hash_rows(&[dictionary], 3));
    }

    #[test]
    fn a_bin_is_hot_while_it_holds_much_of_what_was_seen() {
        let mut hot = Hot::new(4);
        hot.see(&[7; 100]);
        assert_eq!(hot.bins(), [true; BINS], "too few rows to know");
        // One bin with nine rows in ten, the others spread evenly.
        for _ in 0..100 {
            let even = (0..256).map(|row| row % BINS);
            let bins: Vec<usize> = even.chain(std::iter::repeat_n(7, 9 * 256)).collect();
            hot.see(&bins);
        }
        let is_hot: Vec<usize> = (0..BINS).filter(|bin| hot.bins()[*bin]).collect();
        assert_eq!(is_hot, [7]);
    }

    #[test]
    fn bins_are_spread_evenly_over_any_number_of_workers() {
        for peers in [1, 2, 3, 7, 64, 256] {
            let table = table(peers);
            let counts: Vec<usize> = (0..peers)
                .map(|worker| table.iter().filter(|owner| **owner == worker).count())
                .collect();
            assert!(
                counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1,
                "{peers}: {counts:?}"
            );
        }
    }
}
