//! What sending rows to another process costs: batches through timely, our wire format and a socket, beside bare sockets with
//! the same bytes.
//!
//!   cargo bench --bench link
//!
//! Both sides run in this program, as two processes of one worker, joined by TCP over loopback. `LINK_MIB` (default 2048) is how
//! much is sent, `LINK_RUNS` (default 5) how often; pairs alternate. Prints one line of JSON a run, then medians.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{
    ArrayRef, Decimal128Array, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray,
};
use caudal::record::{Batch, Epoch};
use timely::WorkerConfig;
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::allocator::{AllocatorBuilder, ProcessBuilder};
use timely::communication::{Hooks, Push};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::ContainerBytes;
use timely::dataflow::channels::Message;
use timely::dataflow::channels::pact::DistributorPact;
use timely::dataflow::channels::pushers::exchange::Distributor;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::generic::operator::source;
use timely::dataflow::operators::{Probe, probe};
use timely::progress::Stamp;
use timely::worker::Worker;

/// Rows of a batch: about what a chunk of text decodes to.
const ROWS: i32 = 14_000;

/// Batches on the way at once, so that queues stay short.
const AHEAD: u64 = 32;

/// A write to a bare socket.
const BLOCK: usize = 1 << 20;

fn main() {
    let option = |name: &str, default: usize| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let batch = batch();
    let bytes = batch.length_in_bytes();
    let batches = (option("LINK_MIB", 2048) << 20) / bytes;
    let (mut bare, mut rows) = (Vec::new(), Vec::new());
    for _ in 0..option("LINK_RUNS", 5) {
        bare.push(measured("bare", bytes * batches, || {
            sockets(bytes * batches);
        }));
        rows.push(measured("rows", bytes * batches, || send(&batch, batches)));
    }
    let [bare, rows] = [bare, rows].map(median);
    say(&format!(
        "{{\"bare_mib_per_s\":{:.0},\"rows_mib_per_s\":{:.0},\"share\":{:.2},\"batch_bytes\":{bytes}}}",
        bare,
        rows,
        rows / bare
    ));
}

/// Columns as the benchmark job exchanges them.
fn batch() -> Batch {
    let ids = Int64Array::from_iter_values((0..i64::from(ROWS)).map(|row| row * 7919));
    let regions = Int32Array::from_iter_values((0..ROWS).map(|row| row % 64));
    let money = Decimal128Array::from_iter_values((0..ROWS).map(|row| i128::from(row) * 101));
    let zones: DictionaryArray<Int32Type> = (0..ROWS)
        .map(|row| Some(["EU", "NA", "APAC"][usize::try_from(row % 3).expect("small")]))
        .collect();
    let names = StringArray::from_iter_values((0..ROWS).map(|row| format!("store-{}", row % 2000)));
    let columns: [ArrayRef; 5] = [
        Arc::new(ids),
        Arc::new(regions),
        Arc::new(money),
        Arc::new(zones),
        Arc::new(names),
    ];
    let numbered = (0..).map(|number: usize| number.to_string()).zip(columns);
    let rows = RecordBatch::try_from_iter_with_nullable(
        numbered.map(|(name, column)| (name, column, true)),
    );
    Batch::new(rows.expect("columns fit together"), 1)
}

/// MiB per second of wall time.
fn measured(what: &str, bytes: usize, work: impl FnOnce()) -> f64 {
    let (wall, cpu) = (Instant::now(), cpu_seconds());
    work();
    let (wall, cpu) = (wall.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let mib = f64::from(u32::try_from(bytes >> 20).expect("below 4 PiB"));
    say(&format!(
        "{{\"what\":\"{what}\",\"mib\":{mib:.0},\"wall_s\":{wall:.2},\"cpu_s\":{cpu:.2},\"mib_per_s\":{:.0},\"mib_per_cpu_s\":{:.0}}}",
        mib / wall,
        mib / cpu
    ));
    mib / wall
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields = stat.rsplit_once(')').expect("a name in brackets").1;
    let ticks = fields.split_ascii_whitespace().skip(11).take(2);
    ticks
        .map(|ticks| ticks.parse::<f64>().expect("a number") / 100.0)
        .sum()
}

/// A connected pair over loopback.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let near = TcpStream::connect(address).expect("it listens");
    let (far, _) = listener.accept().expect("it was dialled");
    for stream in [&near, &far] {
        stream.set_nodelay(true).expect("an option of TCP");
    }
    (near, far)
}

/// As many bytes through a bare socket.
fn sockets(bytes: usize) {
    let (mut near, mut far) = pair();
    let reader = std::thread::spawn(move || {
        let (mut block, mut all) = (vec![0; BLOCK], 0);
        loop {
            match far.read(&mut block).expect("the socket is whole") {
                0 => return all,
                read => all += read,
            }
        }
    });
    let block = vec![1; BLOCK];
    let mut left = bytes;
    while left > 0 {
        let piece = left.min(BLOCK);
        near.write_all(&block[..piece])
            .expect("the socket is whole");
        left -= piece;
    }
    drop(near);
    assert_eq!(reader.join().expect("it counts"), bytes);
}

/// Sends everything to the last worker.
struct ToLast;

impl Distributor<Batch> for ToLast {
    fn partition<T: Clone, P: Push<Message<T, Batch>>>(
        &mut self,
        batch: &mut Batch,
        stamp: &Stamp<T>,
        pushers: &mut [P],
    ) {
        let last = pushers.len() - 1;
        Message::push_at(batch, stamp.clone(), &mut pushers[last]);
    }

    fn flush<T: Clone, P: Push<Message<T, Batch>>>(&mut self, _: &Stamp<T>, _: &mut [P]) {}
}

/// As many batches from one process to the other, which reads each value of two columns.
fn send(batch: &Batch, batches: usize) {
    let (near, far) = pair();
    let sides = [(0, vec![None, Some(near)]), (1, vec![Some(far), None])];
    let threads = sides.map(|(index, sockets)| {
        let batch = batch.clone();
        std::thread::spawn(move || {
            let hooks = Hooks::default();
            let inner = ProcessBuilder::new_typed_vector(1, hooks.refill.clone(), None);
            let (builders, guard) =
                initialize_networking_from_sockets(inner, sockets, index, 1, hooks)
                    .expect("threads for the sockets");
            let builders = builders.into_iter().map(AllocatorBuilder::Tcp).collect();
            let work = move |worker: &mut Worker| work(worker, batch.clone(), batches);
            let config = WorkerConfig::default();
            let guards = timely::execute::execute_from(builders, Box::new(guard), config, work)
                .expect("a thread for the worker");
            for joined in guards.join() {
                joined.expect("the worker ends well");
            }
        })
    });
    for thread in threads {
        thread.join().expect("both sides end well");
    }
}

fn work(worker: &mut Worker, batch: Batch, batches: usize) {
    let is_first = worker.index() == 0;
    worker.dataflow::<Epoch, _, _>(move |scope| {
        let passed = probe::Handle::<Epoch>::new();
        let seen = passed.clone();
        let mut left = if is_first { batches } else { 0 };
        source::<_, CapacityContainerBuilder<Batch>, _, _>(scope, "give", |capability, info| {
            let activator = scope.activator_for(info.address);
            let mut capability = is_first.then_some(capability);
            move |output| {
                let Some(held) = capability.as_mut() else {
                    return;
                };
                while left > 0 && !passed.less_than(&held.time().saturating_sub(AHEAD)) {
                    output.session(held).give_container(&mut batch.clone());
                    let next = *held.time() + 1;
                    held.downgrade(&next);
                    left -= 1;
                }
                if left == 0 {
                    capability = None;
                } else {
                    activator.activate();
                }
            }
        })
        .unary::<CapacityContainerBuilder<Batch>, _, _, _>(
            DistributorPact(|_| ToLast),
            "take",
            |_, _| {
                let mut sum = 0_i64;
                move |input, output| {
                    input.for_each(|capability, batch| {
                        let rows = batch.rows.as_ref().expect("it was sent with rows");
                        let ids = rows.column(0).as_primitive::<Int64Type>();
                        let money = rows
                            .column(2)
                            .as_primitive::<arrow_array::types::Decimal128Type>();
                        sum = ids
                            .values()
                            .iter()
                            .fold(sum, |sum, id| sum.wrapping_add(*id));
                        for units in money.values() {
                            sum = sum.wrapping_add(i64::try_from(*units).expect("small"));
                        }
                        std::hint::black_box(sum);
                        output
                            .session(&capability)
                            .give_container(&mut Batch::default());
                    });
                }
            },
        )
        .probe_with(&seen);
    });
}

fn say(line: &str) {
    #[expect(clippy::print_stdout, reason = "lines are what this bench gives")]
    {
        println!("{line}");
    }
}
