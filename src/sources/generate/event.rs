//! One sale as numbers: a pure function of (rows, seed, index).

use std::ops::Range;

use super::dims::{PRODUCTS, REGIONS};

/// Milliseconds of the day all sales are on.
const DAY_MS: u64 = 86_400_000;
/// An event is up to this many milliseconds late, less one: a watermark 30 s behind the newest event loses nothing.
const LATE_MS: u64 = 30_000;
const STORES: u64 = 2_000;
const CUSTOMERS: u64 = 2_000_000;

/// Positions in [`super::dims::CURRENCIES`] as often as they come up.
const CURRENCY_WEIGHTS: [usize; 10] = [0, 0, 0, 0, 1, 1, 2, 3, 4, 5];

/// Ways to write a region code other than the canonical one.
pub(super) const VARIANTS: usize = 7;
pub(super) const CHANNELS: [&str; 3] = ["web", "store", "app"];

/// What is wrong with a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    MissingRegion,
    UnknownRegion,
    UnknownProduct,
    BadQuantity,
    ZeroQuantity,
    MissingPrice,
    NegativePrice,
    UnknownCurrency,
    BadTs,
}

impl Fault {
    /// Every kind, in the order of the declaration.
    pub(super) const ALL: [Self; 9] = [
        Self::MissingRegion,
        Self::UnknownRegion,
        Self::UnknownProduct,
        Self::BadQuantity,
        Self::ZeroQuantity,
        Self::MissingPrice,
        Self::NegativePrice,
        Self::UnknownCurrency,
        Self::BadTs,
    ];

    /// The reason a correct job refuses the sale for.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::MissingRegion => "missing_region",
            Self::UnknownRegion => "unknown_region",
            Self::UnknownProduct => "unknown_product",
            Self::BadQuantity => "bad_quantity",
            Self::ZeroQuantity => "zero_quantity",
            Self::MissingPrice => "missing_price",
            Self::NegativePrice => "negative_price",
            Self::UnknownCurrency => "unknown_currency",
            Self::BadTs => "bad_ts",
        }
    }
}

/// A sale. Its values are those it would have without the fault; the text shows the fault instead.
#[derive(Debug, Clone)]
pub(super) struct Event {
    /// Position in the stream, from 0.
    pub(super) index: u64,
    /// Milliseconds since midnight UTC.
    pub(super) ms_of_day: u64,
    /// From 1.
    pub(super) store: u64,
    /// Position in [`REGIONS`].
    pub(super) region: usize,
    /// How the region is written: 0 for its code, else one of [`VARIANTS`].
    pub(super) variant: usize,
    /// From 1.
    pub(super) product: u64,
    /// From 1.
    pub(super) customer: Option<u64>,
    /// Negative for a return, never 0.
    pub(super) quantity: i64,
    /// Unit price in cents.
    pub(super) cents: i64,
    /// Position in [`super::dims::CURRENCIES`].
    pub(super) currency: usize,
    /// Position in [`CHANNELS`].
    pub(super) channel: usize,
    pub(super) fault: Option<Fault>,
}

impl Event {
    /// From 1.
    pub(super) fn sale_id(&self) -> u64 {
        self.index + 1
    }

    /// The event at `index` of the stream of `rows` events with this seed.
    ///
    /// Every draw is made for every event, in the order written here: this order, and so the bytes of a seed, are pinned.
    pub(super) fn at(rows: u64, seed: u64, index: u64) -> Self {
        let mut draws = Draws::new(seed, index);
        let ms_of_day = base_ms(rows, index).saturating_sub(draws.below(LATE_MS));
        let store = draws.below(STORES) + 1;
        // 37 and 64 have no common factor: stores are spread evenly over the regions.
        let region = position(store * 37 % 64);
        let is_variant = draws.below(10) == 0;
        let variant = position(draws.below(7)) + 1;
        let product = draws.product();
        let customer = draws.below(CUSTOMERS) + 1;
        let is_unknown_customer = draws.below(50) == 0;
        let is_return = draws.below(100) == 0;
        let returned = -signed(draws.below(3) + 1);
        let sold = signed(draws.below(10) + 1);
        let cents = signed(50 + draws.below(4096) * draws.below(4096) / 64);
        let currency = CURRENCY_WEIGHTS[position(draws.below(10))];
        let channel = position(draws.below(3));
        let is_faulty = draws.below(100) == 0;
        let fault = Fault::ALL[position(draws.below(9))];
        Self {
            index,
            ms_of_day,
            store,
            region,
            variant: if is_variant { variant } else { 0 },
            product,
            customer: (!is_unknown_customer).then_some(customer),
            quantity: if is_return { returned } else { sold },
            cents,
            currency,
            channel,
            fault: is_faulty.then_some(fault),
        }
    }
}

/// Events of a range of indices, in order.
#[derive(Debug, Clone)]
pub(super) struct Events {
    rows: u64,
    seed: u64,
    left: Range<u64>,
}

impl Events {
    /// All events of a stream.
    pub(super) fn new(rows: u64, seed: u64) -> Self {
        Self {
            rows,
            seed,
            left: 0..rows,
        }
    }

    /// Those with an index in `range`, as far as the stream has them.
    pub(super) fn slice(rows: u64, seed: u64, range: Range<u64>) -> Self {
        Self {
            rows,
            seed,
            left: range.start..range.end.min(rows),
        }
    }

    /// Index of the next event.
    pub(super) fn position(&self) -> u64 {
        self.left.start
    }
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.left
            .next()
            .map(|index| Event::at(self.rows, self.seed, index))
    }
}

/// The time an event would have if none were late: `index / rows` of the day.
fn base_ms(rows: u64, index: u64) -> u64 {
    let ms = u128::from(index) * u128::from(DAY_MS) / u128::from(rows);
    u64::try_from(ms).expect("an index below the number of rows is a time within the day")
}

/// The random numbers of one event: splitmix64 (Steele, Lea and Flood 2014) from a state made of seed and index.
struct Draws {
    state: u64,
}

impl Draws {
    /// Step between states, 2^64 divided by the golden ratio and odd.
    const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
    /// Another odd constant, so that the next index's state is no state of this one.
    const INDEX_STEP: u64 = 0xD1B5_4A32_D192_ED03;

    fn new(seed: u64, index: u64) -> Self {
        let start = mix(seed.wrapping_add(Self::STEP));
        Self {
            state: mix(start.wrapping_add(index.wrapping_mul(Self::INDEX_STEP))),
        }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(Self::STEP);
        mix(self.state)
    }

    /// Evenly one of 0, 1, … `n` - 1, for `n` below 2^32, with a bias of less than `n` / 2^32.
    fn below(&mut self, n: u64) -> u64 {
        ((self.next() >> 32) * n) >> 32
    }

    /// A product, with a density that falls as p^(-2/3): the cube of an even draw, in 32-bit fractions so that it is
    /// exact everywhere.
    fn product(&mut self) -> u64 {
        let even = self.next() >> 32;
        let square = (even * even) >> 32;
        let cube = (square * even) >> 32;
        ((cube * PRODUCTS) >> 32) + 1
    }
}

/// The finaliser of splitmix64.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A small draw as a position in a table.
fn position(draw: u64) -> usize {
    usize::try_from(draw).expect("a draw below a table's length fits")
}

/// A small draw as a number that may get a sign.
fn signed(draw: u64) -> i64 {
    i64::try_from(draw).expect("a draw is below 2^32")
}

/// Zones and regions stand in tables, and the spreading of stores counts on this many.
const _: () = assert!(REGIONS.len() == 64);
