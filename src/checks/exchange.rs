//! Partials of one segment meet on one worker, and become one difference for each epoch and window.
//!
//! Workers of one process hand partials over as they are; for those of other processes they are written to bytes, by the
//! codec of the job (`[job] partials`). Both codecs give the same partials; `benches/partials.rs` shows what each costs.

use differential_dataflow::operators::arrange::arrangement::arrange_core;
use differential_dataflow::trace::implementations::{KeyBatcher, KeySpine};
use timely::Container;
use timely::communication::Push;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::Message;
use timely::dataflow::channels::pact::{
    DistributorPact, Exchange, ParallelizationContract, Pipeline,
};
use timely::dataflow::channels::pushers::exchange::Distributor;
use timely::dataflow::operators::Operator;
use timely::progress::Stamp;

use crate::cluster::exchange;
use crate::job::plan::PartialsCodec;
use crate::record::Epoch;

use super::operators::Partials;
use super::reduce::Group;
use super::value::Segment;
use super::wire::{Records, Update};

/// Partials that are sent together: some 70 KB, so that the head and timely's own work are spread over many.
const TOGETHER: usize = 512;

/// Which worker has what belongs to a segment.
#[derive(Debug, Clone, Copy)]
pub(super) enum Placement {
    /// The owner of its bin.
    BySegment,
    /// The first one has all.
    OnOne,
}

impl Placement {
    /// The worker of a segment, among `peers`.
    pub(super) fn among(self, peers: usize) -> impl Fn(&Segment) -> usize + 'static {
        let owners = exchange::table(peers);
        move |segment| match self {
            Self::BySegment => owners[exchange::bin(segment.placement())],
            Self::OnOne => 0,
        }
    }
}

/// Brings all partials of a segment to its worker, one difference for each epoch and window.
pub(super) fn meet(
    partials: Partials<'_>,
    codec: PartialsCodec,
    placement: Placement,
) -> Partials<'_> {
    let owner = placement.among(partials.inner.scope().peers());
    consolidate(partials, codec, move |(segment, _)| owner(segment))
}

fn consolidate(
    partials: Partials<'_>,
    codec: PartialsCodec,
    owner: impl Fn(&Group) -> usize + 'static,
) -> Partials<'_> {
    let exchanged = match codec {
        PartialsCodec::Abomonation => {
            let pact = DistributorPact(move |peers| ByOwner::new(owner, peers));
            hand_over(keyed::<Records>(partials), pact)
        }
        PartialsCodec::Serde => {
            // timely takes the remainder by the number of workers, which leaves the index of a worker as it is.
            let pact = Exchange::new(move |update: &Update| {
                u64::try_from(owner(&update.0.0)).expect("an index fits 64 bits")
            });
            hand_over(keyed::<Vec<Update>>(partials), pact)
        }
    };
    arrange_core::<_, _, KeyBatcher<_, _, _>, KeySpine<_, _, _>>(
        exchanged,
        Pipeline,
        "checks:consolidate",
        KeyBatcher::new,
    )
    .as_collection(|group, &()| group.clone())
}

/// Partials with their groups as keys, in the container they are exchanged in.
fn keyed<C: Container + Clone + From<Vec<Update>>>(partials: Partials<'_>) -> Stream<'_, Epoch, C> {
    partials
        .inner
        .unary::<CapacityContainerBuilder<C>, _, _, _>(Pipeline, "checks:key", |_, _| {
            move |input, output| {
                input.for_each(|capability, partials| {
                    let updates = partials
                        .drain(..)
                        .map(|(group, epoch, partial)| ((group, ()), epoch, partial));
                    let mut container = C::from(updates.collect());
                    output.session(&capability).give_container(&mut container);
                });
            }
        })
}

/// Sends partials to their owners.
fn hand_over<C: Container + Clone + Into<Vec<Update>>>(
    partials: Stream<'_, Epoch, C>,
    pact: impl ParallelizationContract<Epoch, C>,
) -> Stream<'_, Epoch, Vec<Update>> {
    partials.unary::<CapacityContainerBuilder<Vec<Update>>, _, _, _>(
        pact,
        "checks:exchange",
        |_, _| {
            move |input, output| {
                input.for_each(|capability, partials| {
                    let mut updates = std::mem::take(partials).into();
                    output.session(&capability).give_container(&mut updates);
                });
            }
        },
    )
}

/// Parts partials by the worker that owns their group.
///
/// Cost: holds up to [`TOGETHER`] partials for each worker, until timely asks for them.
struct ByOwner<F> {
    owner: F,
    parts: Vec<Records>,
}

impl<F: Fn(&Group) -> usize> ByOwner<F> {
    fn new(owner: F, peers: usize) -> Self {
        Self {
            owner,
            parts: vec![Records::default(); peers],
        }
    }
}

/// Sends what there is. A part that went out as bytes is still there behind it.
fn send<T: Clone, P: Push<Message<T, Records>>>(
    part: &mut Records,
    stamp: &Stamp<T>,
    pusher: &mut P,
) {
    Message::push_at(part, stamp.clone(), pusher);
    part.0.clear();
}

impl<F: Fn(&Group) -> usize> Distributor<Records> for ByOwner<F> {
    fn partition<T: Clone, P: Push<Message<T, Records>>>(
        &mut self,
        partials: &mut Records,
        stamp: &Stamp<T>,
        pushers: &mut [P],
    ) {
        for update in partials.0.drain(..) {
            let owner = (self.owner)(&update.0.0);
            let part = &mut self.parts[owner];
            part.0.push(update);
            if part.0.len() >= TOGETHER {
                send(part, stamp, &mut pushers[owner]);
            }
        }
    }

    fn flush<T: Clone, P: Push<Message<T, Records>>>(
        &mut self,
        stamp: &Stamp<T>,
        pushers: &mut [P],
    ) {
        for (part, pusher) in self.parts.iter_mut().zip(pushers) {
            if !part.0.is_empty() {
                send(part, stamp, pusher);
            }
        }
    }

    fn relax(&mut self) {
        self.parts.fill(Records::default());
    }
}
