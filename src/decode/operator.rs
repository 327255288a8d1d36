//! The operator that decodes.

use std::sync::Arc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

use super::Decoder;
use crate::cluster::Run;
use crate::record::{Draft, Epoch, Piece};

/// Turns pieces of input into drafts: typed columns, with a fault for whatever could not be read.
pub fn decode<'scope>(
    pieces: Stream<'scope, Epoch, Piece>,
    run: &Arc<Run>,
) -> Stream<'scope, Epoch, Draft> {
    let columns = run.plan.columns.len();
    let mut decoders: Vec<Decoder> = run
        .plan
        .sources
        .iter()
        .map(|source| Decoder::new(&source.columns, &source.format, columns))
        .collect();
    pieces.unary::<CapacityContainerBuilder<Draft>, _, _, _>(
        Pipeline,
        "decode:decode",
        move |_, _| {
            move |input, output| {
                input.for_each(|capability, piece| {
                    let mut draft = match std::mem::take(piece) {
                        Piece::Empty => return,
                        Piece::Text(chunk) => {
                            let number = chunk.number;
                            let mut draft = decoders[chunk.source].decode(chunk);
                            draft.number = number;
                            draft
                        }
                        Piece::Table {
                            number,
                            source,
                            file,
                            first_row,
                            batch,
                            epoch,
                            lease,
                        } => {
                            let mut draft = decoders[source]
                                .decode_table(batch, file, first_row, source, epoch);
                            draft.number = number;
                            draft.lease = lease;
                            draft
                        }
                    };
                    output.session(&capability).give_container(&mut draft);
                });
            }
        },
    )
}
