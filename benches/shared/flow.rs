//! What the benches of operators share: a job, a run of it, and a dataflow of one worker.
//!
//! The operators are the engine's own, with its schedule and its containers; a batch costs them a few microseconds more
//! than the kernel alone.

#![allow(dead_code, reason = "each bench uses its part")]

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use caudal::cluster::Run;
use caudal::cluster::outcome::RunOptions;
use caudal::job::document::Document;
use caudal::job::plan::Plan;
use caudal::job::resolve::resolve;
use caudal::lookup::{self, Loaded};
use caudal::record::{Budget, Epoch};
use caudal::sources::Feed;
use timely::WorkerConfig;
use timely::communication::allocator::{Allocator, thread::Thread};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Operator;
use timely::dataflow::operators::core::Input;
use timely::dataflow::operators::core::input::Handle;
use timely::dataflow::{Scope, Stream};
use timely::worker::Worker;

/// The epoch of every row: the first one after the reference rows'.
const EPOCH: Epoch = 1;

/// A job from its text; `variable` gives what it asks of the environment.
pub(crate) fn job(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Plan {
    let document = Document::parse(Path::new("bench.toml"), text.as_bytes().to_vec(), variable)
        .and_then(|document| resolve(&document));
    document.unwrap_or_else(|problems| panic!("the bench's job has faults:\n{problems}"))
}

/// What a run of the plan shares: its files are found and its look-ups loaded.
pub(crate) fn run(plan: &Arc<Plan>) -> Arc<Run> {
    run_of(plan, loaded(plan))
}

/// The rows of the plan's look-ups; a clone holds the same rows.
pub(crate) fn loaded(plan: &Plan) -> Vec<Loaded> {
    let load = |plan| {
        let loaded = lookup::load(plan, Duration::ZERO, &|| false)
            .expect("the bench's look-ups can be read");
        loaded.expect("nobody gives up")
    };
    plan.lookups.iter().map(load).collect()
}

/// What a run of the plan with these look-ups shares; one dataflow takes their rows.
pub(crate) fn run_of(plan: &Arc<Plan>, references: Vec<Loaded>) -> Arc<Run> {
    let options = RunOptions::new(plan);
    let feed = Feed::new(plan, &Budget::new(u64::MAX), options.limit, |_| true)
        .expect("the bench's files are there");
    Arc::new(Run::alone(plan, feed, references, &options, 0))
}

/// A worker that nobody else waits for.
fn worker() -> Worker {
    let alone = Allocator::Thread(Thread::default());
    Worker::new(
        WorkerConfig::default(),
        alone,
        Some(std::time::Instant::now()),
    )
}

/// Containers in, containers out.
pub(crate) struct Flow<I: timely::Container + Clone, O> {
    worker: Worker,
    input: Handle<Epoch, CapacityContainerBuilder<I>>,
    out: Rc<RefCell<Vec<O>>>,
}

impl<I: timely::Container + Clone, O: timely::Container> Flow<I, O> {
    /// The dataflow that `build` makes.
    pub(crate) fn new(
        build: impl for<'scope> FnOnce(
            Scope<'scope, Epoch>,
            Stream<'scope, Epoch, I>,
        ) -> Stream<'scope, Epoch, O>,
    ) -> Self {
        let mut worker = worker();
        let out = Rc::default();
        let mut input = worker.dataflow::<Epoch, _, _>(|scope| {
            let (input, stream) = scope.new_input::<I>();
            gather(build(scope, stream), &out);
            input
        });
        input.advance_to(EPOCH);
        Self { worker, input, out }
    }

    /// Sends the containers, and waits for as many to come out.
    pub(crate) fn send(&mut self, containers: Vec<I>) -> Vec<O> {
        let count = containers.len();
        for mut container in containers {
            self.input.send_batch(&mut container);
        }
        while self.out.borrow().len() < count {
            self.worker.step();
        }
        self.out.take()
    }
}

/// Everything that comes out of a dataflow that reads its own input.
pub(crate) fn collect<O: timely::Container>(
    build: impl for<'scope> FnOnce(Scope<'scope, Epoch>) -> Stream<'scope, Epoch, O>,
) -> Vec<O> {
    let mut worker = worker();
    let out = Rc::default();
    worker.dataflow::<Epoch, _, _>(|scope| gather(build(scope), &out));
    while worker.has_dataflows() {
        worker.step();
    }
    out.take()
}

fn gather<O: timely::Container>(stream: Stream<'_, Epoch, O>, out: &Rc<RefCell<Vec<O>>>) {
    let out = Rc::clone(out);
    stream.sink(Pipeline, "bench:gather", move |(input, _)| {
        input.for_each(|_, container| out.borrow_mut().push(std::mem::take(container)));
    });
}
