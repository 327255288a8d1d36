//! A job with nothing to do takes no more memory with time.

use super::job::Running;
use super::references::{over_topic, region};
use super::{at, sale};
use crate::kafka::broker::Broker;

/// Epochs behind which everything has its size, and epochs that are looked at; a variable asks for more of these.
const EPOCHS: [u64; 2] = [150, 200];

/// Case O79, as users meet it: look-ups are silent and few rows come, while epochs pass, are bound, checkpointed and compacted.
#[test]
fn an_idle_job_takes_no_more_memory() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let epochs =
        std::env::var("CAUDAL_IDLE_EPOCHS").map_or(EPOCHS[1], |text| text.parse().unwrap());
    let sales = broker.topic("idle", 2);
    let regions = broker.topic("regions", 1);
    broker.send(
        &regions,
        (0..2000).map(|number| region(&format!("R{number}"), "name", 1)),
    );
    let job = over_topic(broker, &sales, &regions, "json", "");
    let running = Running::start(&job, 2);
    let mut id = 0;
    let mut pass = |epochs: u64| {
        let wanted = job.await_epoch() + epochs;
        while job.said("bound") < Some(wanted) {
            broker.send(&sales, [sale(0, id, &at("12:00:00"), "1.00")]);
            id += 1;
            job.await_positions(&[id]);
        }
    };
    pass(EPOCHS[0]);
    let before = running.resident();
    let mut most = before;
    for _ in 0..4 {
        pass(epochs / 4);
        most = most.max(running.resident());
    }
    println!("{epochs} epochs: {before} bytes before, {most} at most");
    // Five of a hundred, and what an allocator may round up.
    assert!(
        most < before + before / 20 + (1 << 20),
        "{before} bytes became {most}"
    );
    assert!(job.said("bound") > Some(epochs), "epochs have passed");
    running.stop();
}
