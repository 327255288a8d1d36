//! What messages of a reference topic make of its table, in whatever order they come, whoever has it, and whether anybody was there when
//! they came. Wanted tables are reckoned from the messages alone.

use std::collections::BTreeMap;

use serde_json::json;

use super::at;
use super::job::{DEADLINE, Job, Running};
use super::references::{names, over_topic, reference, region, sell_until};
use crate::kafka::broker::Broker;
use crate::kafka::messages::Sent;
use crate::tables::{Cell, Row};

/// A region that every table has, by which a test sees that all before it was applied.
const LAST: &str = "LAST";

/// A job over a topic of regions, and its two topics.
struct Table<'a> {
    broker: &'a Broker,
    sales: String,
    regions: String,
    job: Job,
}

impl<'a> Table<'a> {
    fn new(broker: &'a Broker, more: &str) -> Self {
        let sales = broker.topic("sales", 2);
        let regions = broker.topic("regions", 1);
        let job = over_topic(broker, &sales, &regions, "json", more);
        broker.send(&regions, [region(LAST, "begin", 0)]);
        Self {
            broker,
            sales,
            regions,
            job,
        }
    }

    fn send(&self, messages: impl IntoIterator<Item = Sent>) {
        self.broker.send(&self.regions, messages);
    }

    /// Sees to it that the running job has applied what was sent; `round` tells rounds apart.
    fn settle(&self, round: i64) {
        let name = format!("round {round}");
        self.send([region(LAST, &name, 100 + round)]);
        let first = 100_000 * (round + 1);
        sell_until(self.broker, &self.job, &self.sales, LAST, first, &name);
    }

    /// Sells one of each region; ids are those of the places, from `first` on.
    fn sell<'b>(&self, codes: impl IntoIterator<Item = &'b String>, first: i64) {
        let each = codes.into_iter().zip(first..).map(|(code, id)| {
            let value = json!({ "id": id, "ts": at("12:00:00"), "region": code, "amount": "1.00" });
            Sent::value(i32::try_from(id % 2).unwrap(), value.to_string())
        });
        self.broker.send(&self.sales, each);
    }

    /// What each region is called now, by the rows of new sales; those without a row are not there.
    fn called(&self, codes: &BTreeMap<String, Option<String>>, first: i64) -> Vec<Option<String>> {
        self.sell(codes.keys(), first);
        let ids = first..first + i64::try_from(codes.len()).unwrap();
        let of_ids = |job: &Job| {
            let mut all = names(job);
            all.retain(|(id, _)| ids.contains(id));
            all
        };
        self.job.await_that("a sale is missing", DEADLINE, |job| {
            of_ids(job).len() == codes.len()
        });
        let called = of_ids(&self.job).into_iter().map(|(_, name)| name);
        called.map(|name| (name != "-").then_some(name)).collect()
    }
}

/// Case O37: in whatever order updates come, before the job or while it runs, the newest by `order_by` counts and older ones are counted;
/// without it the last one that came does.
#[test]
fn the_newest_update_counts_in_any_order() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let newest = "duplicates = \"newest\"\norder_by = \"ts\"\nplacement = ";
    let shapes = [
        (format!("{newest}\"replicated\""), 1, 1),
        (format!("{newest}\"partitioned\""), 3, 2),
        (String::new(), 2, 3),
    ];
    let orders = [
        [1, 2, 3],
        [1, 3, 2],
        [2, 1, 3],
        [2, 3, 1],
        [3, 1, 2],
        [3, 2, 1],
    ];
    // Of each order those that come behind a newer one.
    let stale = 1 + 1 + 1 + 2 + 2;
    for (more, workers, before) in shapes {
        let table = Table::new(broker, &more);
        let updates = |place: usize| {
            let each = orders.iter().enumerate();
            each.map(move |(number, order)| {
                let ts = order[place];
                region(&format!("R{number}"), &format!("name{ts}"), ts)
            })
        };
        for place in 0..before {
            table.send(updates(place));
        }
        let running = Running::start(&table.job, workers);
        table.settle(0);
        for place in before..3 {
            table.send(updates(place));
        }
        table.settle(1);
        let wanted = orders.iter().enumerate().map(|(number, order)| {
            let last = if more.is_empty() { order[2] } else { 3 };
            (format!("R{number}"), Some(format!("name{last}")))
        });
        let wanted: BTreeMap<String, Option<String>> = wanted.collect();
        let called = table.called(&wanted, 1);
        assert_eq!(
            called,
            wanted.values().cloned().collect::<Vec<_>>(),
            "{more}"
        );
        let counted = table.job.metric("caudal_lookup_reference_stale_total");
        let counted: f64 = counted.iter().sum();
        let stale = if more.is_empty() {
            0.0
        } else {
            f64::from(stale)
        };
        assert!((counted - stale).abs() < 0.5, "{counted}: {more}");
        running.stop();
    }
}

/// What becomes of a key: it is put, or taken away.
fn sequences() -> Vec<&'static str> {
    vec![
        "p", "d", "pd", "dp", "pp", "pdp", "ppd", "dpd", "pdd", "pddp",
    ]
}

/// Case O38: a message without a value takes its key's row away, and a later one with a value brings it back, wherever in the topic both stand
/// and whether the job runs or not; an event of a region that is gone is unmatched, which is a null or a refused row.
#[test]
fn a_tombstone_takes_its_row_away_wherever_it_stands() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    for (then, placement, workers, cuts) in [
        ("null", "replicated", [1, 3], [0, 1]),
        ("null", "partitioned", [3, 2], [1, 3]),
        ("refuse", "replicated", [2, 1], [2, 3]),
    ] {
        let table = Table::new(broker, &format!("placement = \"{placement}\""));
        table
            .job
            .rewrite(|text| text.replace("then = \"null\"", &format!("then = \"{then}\"")));
        let step = |place: usize| {
            let of_all = sequences().into_iter().enumerate();
            of_all.filter_map(move |(number, sequence)| {
                let code = format!("R{number}");
                match sequence.chars().nth(place)? {
                    'p' => Some(region(&code, &format!("name{place}"), 1)),
                    _ => Some(reference(Some(&code), None)),
                }
            })
        };
        let steps = |places: std::ops::Range<usize>| {
            for place in places {
                table.send(step(place));
            }
        };
        // Some before the first life, some while nothing runs, and the others while it does.
        steps(0..cuts[0]);
        let running = Running::start(&table.job, workers[0]);
        table.settle(0);
        running.stop();
        steps(cuts[0]..cuts[1]);
        let running = Running::start(&table.job, workers[1]);
        table.settle(1);
        steps(cuts[1]..4);
        table.settle(2);
        let wanted = sequences()
            .into_iter()
            .enumerate()
            .map(|(number, sequence)| {
                let last = sequence.len() - 1;
                let is_there = sequence.ends_with('p');
                (
                    format!("R{number}"),
                    is_there.then(|| format!("name{last}")),
                )
            });
        let wanted: BTreeMap<String, Option<String>> = wanted.collect();
        if then == "null" {
            let called = table.called(&wanted, 1);
            assert_eq!(
                called,
                wanted.values().cloned().collect::<Vec<_>>(),
                "{placement}"
            );
        } else {
            let there: BTreeMap<_, _> = wanted
                .iter()
                .filter(|(_, name)| name.is_some())
                .map(|(code, name)| (code.clone(), name.clone()))
                .collect();
            let gone: Vec<&String> = wanted
                .iter()
                .filter_map(|(code, name)| name.is_none().then_some(code))
                .collect();
            let called = table.called(&there, 1);
            assert_eq!(called, there.values().cloned().collect::<Vec<_>>());
            let before = table.job.rows("refused").len();
            table.sell(gone.iter().copied(), 50);
            table.job.await_that("none is refused", DEADLINE, |job| {
                job.rows("refused").len() >= before + gone.len()
            });
            let mut refused: Vec<String> = table
                .job
                .rows("refused")
                .iter()
                .map(refused_region)
                .collect();
            refused.sort();
            // Sales of the last region were sent until its row had changed: none of them is refused.
            assert_eq!(refused.iter().collect::<Vec<_>>(), gone);
        }
        running.stop();
    }
}

/// The region of a row that is refused since the region is unknown.
fn refused_region(row: &Row) -> String {
    assert_eq!(row["reason"], Cell::text("unknown_regions"), "{row:?}");
    match &row["region"] {
        Cell::Text(region) => region.clone(),
        other => panic!("{other:?}"),
    }
}

/// Case O39: a message without a key is left out, told with its place and counted, wherever it stands; the others are applied.
#[test]
fn a_message_without_a_key_costs_nothing_else() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    // Offset 0 is the last region's; of the four behind it one or more have no key. So many of them are there before the job.
    for (keyless, before, workers) in [
        (vec![1], 4, 1),
        (vec![2, 3], 1, 2),
        (vec![4], 0, 3),
        (vec![1, 2, 3, 4], 2, 2),
    ] {
        let table = Table::new(broker, "");
        let message = |place: i64| {
            let code = format!("R{place}");
            let message = region(&code, &format!("name{place}"), 1);
            let key = message.key.filter(|_| !keyless.contains(&place));
            Sent { key, ..message }
        };
        table.send((1..=before).map(message));
        let running = Running::start(&table.job, workers);
        // At once, so that no other message comes between.
        table.send((before + 1..=4).map(message));
        table.settle(0);
        let wanted = (1..=4).map(|place| {
            let name = format!("name{place}");
            (
                format!("R{place}"),
                (!keyless.contains(&place)).then_some(name),
            )
        });
        let wanted: BTreeMap<String, Option<String>> = wanted.collect();
        let called = table.called(&wanted, 1);
        assert_eq!(
            called,
            wanted.values().cloned().collect::<Vec<_>>(),
            "{keyless:?}"
        );
        let counted = table.job.metric("caudal_lookup_reference_left_out_total");
        let counted: f64 = counted.iter().sum();
        let many = f64::from(u32::try_from(keyless.len()).unwrap());
        assert!((counted - many).abs() < 0.5, "{counted}: {keyless:?}");
        let (_, told) = running.stop_and_tell();
        for place in &keyless {
            let words = format!("partition 0 offset {place}: a message without a key (null_key)");
            assert_eq!(told.matches(&words).count(), 1, "{words}: {told}");
        }
    }
}
