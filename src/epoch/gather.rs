//! Notes of all workers on one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::Control;
use crate::cluster::{Run, Told};
use crate::record::{Epoch, Note};

/// Sends every note to worker 0, which keeps them for the end of the run; in a continuous job it hands those of each commit to
/// whoever commits, when every worker has told all of them.
pub fn gather<'scope>(
    notes: StreamVec<'scope, Epoch, Note>,
    control: &StreamVec<'scope, Epoch, Control>,
    run: &Arc<Run>,
) {
    let run = Arc::clone(run);
    let worker = notes.scope().index();
    let mut builder = OperatorBuilder::new("epoch:gather".to_owned(), notes.scope());
    let mut input = builder.new_input(notes, Exchange::new(|_: &Note| 0));
    let mut control = builder.new_input(control.clone(), Pipeline);
    builder.build(move |_| {
        let mut life = run.life.clone().filter(|_| worker == 0);
        let mut of_epochs: BTreeMap<Epoch, Vec<Note>> = BTreeMap::new();
        let mut checkpoints: VecDeque<Epoch> = VecDeque::new();
        move |frontiers| {
            control.for_each(|_, said| {
                let opened = said.drain(..).filter_map(|control| match control {
                    Control::Open(opening) => opening.checkpoint.then_some(opening.epoch),
                    Control::Close(_) => None,
                });
                checkpoints.extend(opened);
            });
            input.for_each(|capability, notes| {
                if run.resumed.is_none() {
                    run.tell(notes);
                } else if let Some(epoch) = capability.least() {
                    of_epochs.entry(*epoch).or_default().append(notes);
                }
            });
            let Some(told) = &life else { return };
            while let Some(epoch) = checkpoints.front().copied()
                && !frontiers.iter().any(|frontier| frontier.less_equal(&epoch))
            {
                checkpoints.pop_front();
                let later = of_epochs.split_off(&(epoch + 1));
                let notes = std::mem::replace(&mut of_epochs, later);
                let notes = notes.into_values().flatten().collect();
                told.tell(Told::Staged { epoch, notes });
            }
            if frontiers
                .iter()
                .all(timely::progress::frontier::MutableAntichain::is_empty)
            {
                told.tell(Told::End);
                life = None;
            }
        }
    });
}
