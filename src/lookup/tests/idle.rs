//! Look-ups that never change while epochs pass, and then lose all of their rows: what they hold stays as it was, and is given back.

use std::fs;
use std::process::Command;

use timely::dataflow::operators::Probe;
use timely::dataflow::operators::probe::Handle;

use super::*;
use crate::epoch::References;

/// Names the placement in the process that is looked at.
const PLACEMENT: &str = "CAUDAL_TEST_IDLE_LOOKUP";

/// Rows of the first look-up, and twice as many of the second.
const ROWS: u32 = 60_000;

/// Epochs behind which everything has its size.
const WARM: Epoch = 100;

/// Epochs in which nothing happens but an event now and then; the variable asks for more of them.
const IDLE: Epoch = 300;

/// Names how many epochs are idle: the case speaks of 100,000.
const EPOCHS: &str = "CAUDAL_IDLE_EPOCHS";

/// Epochs between two events.
const STRIDE: usize = 10;

/// Epochs behind the one that takes all rows away.
const AFTER: Epoch = 100;

/// Case O79: the clock advances for thousands of epochs while the look-ups are silent and events flow; then all of their rows are withdrawn.
#[test]
fn a_silent_lookup_takes_no_more_and_gives_back_what_is_withdrawn() {
    if let Ok(placement) = std::env::var(PLACEMENT) {
        return watched(&placement);
    }
    for placement in ["replicated", "partitioned"] {
        // Alone in its process, whose memory no other test changes.
        let name =
            "lookup::tests::idle::a_silent_lookup_takes_no_more_and_gives_back_what_is_withdrawn";
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(PLACEMENT, placement)
            .output()
            .unwrap();
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&told).into_owned();
        assert!(output.status.success(), "{placement}: {told}");
        assert!(told.contains("are gone"), "it was not run: {told}");
    }
}

/// Bytes that this process has in memory.
fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.unwrap().trim().strip_suffix(" kB").unwrap();
    1024 * kibibytes.parse::<u64>().unwrap()
}

fn write_rows(folder: &Path) {
    fs::write(folder.join("sales.csv"), "id,ts,product,region\n").unwrap();
    let mut products = "product_id,sku,weight,hidden\n".to_owned();
    let mut prices = "since,sku,region,price,until\n".to_owned();
    for n in 0..ROWS {
        let sku = format!("S{n}-{}", "x".repeat(40));
        writeln!(products, "{n},{sku},{n}.50,x").unwrap();
        for day in [1, 4] {
            writeln!(prices, "2026-01-0{day}T00:00:00Z,{sku},EU,{n},").unwrap();
        }
    }
    fs::write(folder.join("products.csv"), products).unwrap();
    fs::write(folder.join("prices.csv"), prices).unwrap();
}

/// An event of an epoch.
fn event(epoch: Epoch) -> Draft {
    let id = i64::try_from(epoch).unwrap();
    let day: TimestampMicrosecondArray = [Some(1_767_225_600_000_000_i64)].into_iter().collect();
    let product = i32::try_from(id * 37 % i64::from(ROWS)).unwrap();
    let columns: [ArrayRef; 4] = [
        Arc::new(Int64Array::from(vec![id])),
        Arc::new(day.with_data_type(timestamp_type())),
        Arc::new(Int32Array::from(vec![product])),
        Arc::new(StringArray::from(vec!["eu"])),
    ];
    Draft {
        rows: 1,
        epoch,
        columns: columns.map(Some).to_vec(),
        ..Draft::default()
    }
}

/// All rows of the look-ups as a change that takes them away.
fn withdrawn(plan: &Plan) -> Vec<Change> {
    let loaded = plan.lookups.iter().map(|lookup| {
        let loaded = load(lookup, Duration::ZERO, &|| false);
        Change {
            gone: loaded.unwrap().unwrap().pieces,
            new: Vec::new(),
        }
    });
    loaded.collect()
}

/// Runs the epochs with two workers, and looks at the memory of the process.
fn watched(placement: &str) {
    let folder = tempfile::tempdir().unwrap();
    write_rows(folder.path());
    let plan = plan(folder.path(), placement);
    let mut options = RunOptions::new(&plan);
    options.observer = Observer::new(&plan, &options.progress, 0, 2);
    let feed = Feed::new(&plan, &Budget::new(u64::MAX), None, |_| true).unwrap();
    let before = resident();
    let loaded = plan.lookups.iter();
    let loaded = loaded.map(|lookup| load(lookup, Duration::ZERO, &|| false).unwrap().unwrap());
    let run = Arc::new(Run::alone(&plan, feed, loaded.collect(), &options, 0));
    let guards = timely::execute(timely::Config::process(2), move |worker| {
        let index = worker.index();
        // Worker 0 is told of changes, and gives all rows.
        let references = (index == 0).then(|| References::new(run.plan.lookups.len(), 0));
        let (mut input, probe) = worker.dataflow::<Epoch, _, _>(|scope| {
            let (input, mut rows) = scope.new_input::<Draft>();
            let reference = collections(scope, &run, references.as_ref());
            for stage in &run.plan.stages {
                rows = enrich(rows, &reference, &run, &stage.lookups);
            }
            let probe = Handle::new();
            rows.probe_with(&probe);
            (input, probe)
        });
        input.advance_to(1);
        let idle = std::env::var(EPOCHS).map_or(IDLE, |text| text.parse().unwrap());
        let withdraws = WARM + idle;
        let (mut warm, mut most) = (0, 0);
        for epoch in 1..=withdraws + AFTER {
            if let Some(references) = &references {
                if epoch == withdraws + 1 {
                    for (lookup, change) in withdrawn(&run.plan).into_iter().enumerate() {
                        references.add(withdraws, lookup, change);
                    }
                }
                references.passed(epoch - 1);
            }
            if usize::try_from(epoch).unwrap() % STRIDE == index {
                let mut draft = event(epoch);
                input.send_batch(&mut draft);
            }
            input.advance_to(epoch + 1);
            worker.step_while(|| probe.less_than(&(epoch + 1)));
            if index == 0 && epoch == WARM {
                warm = resident();
            }
            if index == 0 && epoch > WARM && epoch <= withdraws && epoch % 100 == 0 {
                most = most.max(resident());
            }
        }
        let after = resident();
        if let Some(references) = &references {
            references.end_all();
        }
        (warm, most, after)
    });
    let guards = guards.unwrap().join();
    let (warm, most, after) = guards.into_iter().next().unwrap().unwrap();
    let rows = warm - before;
    println!(
        "{placement}: {rows} bytes of rows in {warm}, {most} at most, {after} when they are gone"
    );
    assert!(
        most <= warm + warm / 20,
        "memory grows while nothing changes"
    );
    assert!(after < warm - rows / 2, "rows that are withdrawn are kept");
}
