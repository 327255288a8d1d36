//! Notes of all workers on one.

use std::sync::Arc;

use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::Operator;

use crate::cluster::Run;
use crate::record::{Epoch, Note};

/// Sends every note to worker 0, which keeps them for the end of the run.
pub fn gather(notes: Stream<'_, Epoch, Vec<Note>>, run: &Arc<Run>) {
    let run = Arc::clone(run);
    notes.sink(
        Exchange::new(|_: &Note| 0),
        "epoch:gather",
        move |(input, _)| {
            input.for_each(|_, notes| run.tell(notes));
        },
    );
}
