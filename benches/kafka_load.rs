//! Fills a topic with the benchmark's sales: `cargo bench --bench kafka_load`.
//!
//! What is measured is how fast a broker takes them; what it is for is to have them there, for the drain of a topic or for the
//! tour. `LOAD_BROKERS` names brokers that run; without it one is started, and ended with the bench. `LOAD_TOPIC` (`ventas`)
//! holds nothing yet. `LOAD_ROWS` (5,000,000) and `LOAD_SEED` (1) are those of `caudal generate ventas`, `LOAD_RATE` is how
//! many messages a second there may be (all at once), and `LOAD_COMPRESSION` (`none`) how they are packed. Prints one line of
//! JSON.

#[path = "shared/kafka.rs"]
mod kafka;

use std::env;
use std::error::Error;

use serde_json::json;

use kafka::Load;
use kafka::broker::Broker;

#[expect(
    clippy::print_stdout,
    reason = "one line a run is what this bench gives"
)]
fn main() -> Result<(), Box<dyn Error>> {
    let own;
    let brokers = if let Ok(brokers) = env::var("LOAD_BROKERS") {
        brokers
    } else {
        own = Broker::start(&["--heap", "1g"]);
        let Some(broker) = &own else { return Ok(()) };
        broker.addresses().to_owned()
    };
    let load = Load {
        brokers,
        topic: variable("LOAD_TOPIC", "ventas"),
        rows: variable("LOAD_ROWS", "5000000").parse()?,
        seed: variable("LOAD_SEED", "1").parse()?,
        rate: env::var("LOAD_RATE")
            .ok()
            .map(|rate| rate.parse())
            .transpose()?,
        compression: variable("LOAD_COMPRESSION", "none"),
    };
    let loaded = kafka::load(&load)?;
    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        reason = "a count of rows for people"
    )]
    let rows = load.rows as f64;
    println!(
        "{}",
        json!({
            "topic": load.topic, "rows": load.rows, "bytes": loaded.bytes, "seconds": loaded.seconds,
            "rows_per_second": (rows / loaded.seconds).round(),
        })
    );
    Ok(())
}

fn variable(name: &str, default: &str) -> String {
    env::var(name).unwrap_or_else(|_| default.to_owned())
}
