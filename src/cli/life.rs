//! Where a continuous job stands, in words: as its process 0 says while it runs, as its journal says when it doesn't.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use super::stop::Stop;
use super::{convert, numbers};
use crate::epoch::{Binder, History, Totals, look_at_journal, wall_time};
use crate::job::plan::{Continuous, Plan};
use crate::observe::address;
use crate::observe::client;
use crate::observe::status::{Held, Life, PartitionStatus, Status, Target};
use crate::record::shown_time;
use crate::sinks::chain;

/// How long a process that runs the job may take to answer: one that stands still is told of by its journal.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is known of a continuous job.
pub(super) struct KnownLife {
    /// What its journal says.
    pub(super) history: History,
    /// What was counted up to the newest checkpoint.
    pub(super) totals: Totals,
    /// Where it stands: as it says itself, or as its journal and its output do.
    pub(super) life: Life,
    /// Whether it says so itself.
    pub(super) is_running: bool,
}

impl KnownLife {
    /// Asks the life that has claimed the job last, and where it does not answer its journal and its output.
    ///
    /// # Errors
    /// Where journal or output can't be read.
    pub(super) fn find(plan: &Plan, continuous: &Continuous) -> Result<Self, Stop> {
        let history = look_at_journal(&continuous.state, Arc::new(|| false))
            .map_err(|error| Stop::Run(error.into()))?;
        let newest = chain::newest(&plan.output).map_err(|error| Stop::Run(error.into()))?;
        let committed = newest.as_ref().and_then(|manifest| manifest.to);
        let checkpoint = history.checkpoints.first();
        let totals = checkpoint.map(|kept| serde_json::from_value(kept.totals.clone()));
        let totals = totals.and_then(Result::ok).unwrap_or_default();
        let said = asked(plan, history.generation);
        let is_running = said.is_some();
        let mut life = said.unwrap_or_else(|| written(plan, &history));
        if let Some(target) = life.targets.first_mut() {
            target.committed = committed;
            target.name = plan.output.display().to_string();
        }
        Ok(Self {
            history,
            totals,
            life,
            is_running,
        })
    }

    /// In which way the job is.
    pub(super) fn word(&self) -> &'static str {
        match (&self.life.replays_to, &self.history.drained) {
            (Some(_), _) if self.is_running => "replaying",
            _ if self.is_running => "live",
            (_, Some(_)) => "stopped",
            _ if self.history.is_new() => "new",
            _ => "not running",
        }
    }

    /// All of it in lines.
    pub(super) fn for_people(&self, plan: &Plan) -> String {
        let mut text = format!(
            "{}: generation {}, {}\n",
            plan.name,
            self.history.generation,
            match (self.word(), self.life.replays_to) {
                ("replaying", Some(to)) => format!(
                    "reads again what was bound before, up to epoch {}",
                    numbers::grouped(to)
                ),
                ("stopped", _) => "stopped in good order".to_owned(),
                ("not running", _) =>
                    "no life of it answers; this is what its journal says".to_owned(),
                ("new", _) => "it never ran".to_owned(),
                (word, _) => format!("{word} for {:.1} s", self.life.seconds),
            }
        );
        let rows = numbers::grouped(self.totals.rows_in);
        text.push_str(&lines(&self.life));
        writeln!(text, "  rows in     {rows} up to the checkpoint").expect("a String takes it");
        text
    }
}

/// A life in lines, without a head.
pub(super) fn lines(life: &Life) -> String {
    let mut text = String::new();
    let mut add = |name: &str, value: String| {
        writeln!(text, "  {name:<11} {value}").expect("a String takes everything");
    };
    let time = |micros: Option<i64>| micros.map_or_else(|| "none".to_owned(), shown_time);
    let durable = match life.durable.cmp(&life.bound) {
        std::cmp::Ordering::Less => format!(", durable {}", numbers::grouped(life.durable)),
        _ => String::new(),
    };
    add(
        "bound",
        format!("{}{durable}", numbers::grouped(life.bound)),
    );
    add("checkpoint", numbers::grouped(life.checkpoint));
    for target in &life.targets {
        let epoch = target
            .committed
            .map_or_else(|| "none".to_owned(), numbers::grouped);
        let ago = target.seconds_ago;
        let ago = ago.map_or_else(String::new, |ago| format!(", {ago:.1} s ago"));
        add("committed", format!("{epoch}  {}{ago}", target.name));
    }
    let by = life.watermark_held_by.as_ref().map_or_else(
        || {
            if life.seconds > 0.0 {
                ", all partitions are idle"
            } else {
                ""
            }
            .to_owned()
        },
        |held| format!(", as {}/{} has it", held.topic, held.partition),
    );
    add("watermark", format!("{}{by}", time(life.watermark)));
    for one in &life.partitions {
        let lag = match (one.end, one.lag) {
            (Some(end), Some(lag)) => format!(" of {end}, {lag} left"),
            _ => String::new(),
        };
        let age = match (one.newest, one.age_seconds) {
            (Some(newest), Some(age)) => {
                format!("; newest event {}, {age:.1} s old", shown_time(newest))
            }
            _ => "; no event yet".to_owned(),
        };
        add(
            "partition",
            format!(
                "{}/{} is bound up to {}{lag}{age}",
                one.partition.topic, one.partition.partition, one.bound
            ),
        );
    }
    for Held { words, seconds, .. } in &life.held {
        add("held", format!("for {seconds:.0} s: {words}"));
    }
    text
}

/// What the life of this generation says of itself, where it runs and answers.
fn asked(plan: &Plan, generation: u64) -> Option<Life> {
    let found = address::find(&plan.output).into_iter();
    let mut of_job = found.filter(|address| address.job == plan.name && address.process == 0);
    let at = of_job.next_back()?.address.parse().ok()?;
    let token = convert::token(convert::TOKEN).ok()?;
    let answer = client::get_within(at, "/status", token.as_deref(), PATIENCE).ok()?;
    let status: Status = serde_json::from_str(&answer.body).ok()?;
    // An older life may linger.
    let is_newest = u64::try_from(status.generation) == Ok(generation);
    status.life.filter(|_| status.job == plan.name && is_newest)
}

/// What the journal says.
fn written(plan: &Plan, history: &History) -> Life {
    let checkpoint = history.checkpoints.first();
    let epoch = checkpoint.map_or(0, |kept| kept.epoch);
    let bound = history.newest_epoch().unwrap_or(0);
    let partitions = checkpoint.map_or(&[][..], |kept| &kept.partitions);
    let at = checkpoint.map_or((0, 0, None), |kept| (epoch, kept.now, kept.watermark));
    let mut binder = Binder::new(
        history.generation,
        BTreeMap::new(),
        at,
        partitions,
        &[],
        (&[], 0),
    );
    for binding in history.bindings.iter().filter(|one| one.epoch > epoch) {
        binder.replay(binding);
    }
    let now = wall_time();
    Life {
        seconds: 0.0,
        replays_to: (bound > epoch).then_some(bound),
        bound,
        durable: bound,
        checkpoint: epoch,
        watermark: binder.watermark(),
        watermark_held_by: None,
        targets: vec![Target {
            name: String::new(),
            committed: None,
            seconds_ago: None,
        }]
        .into_iter()
        .chain(plan.clusters.iter().map(|cluster| Target {
            name: cluster.name(),
            committed: Some(epoch),
            seconds_ago: None,
        }))
        .collect(),
        partitions: binder
            .partitions()
            .into_iter()
            .map(|moved| PartitionStatus::of(&moved, None, now))
            .collect(),
        held: Vec::new(),
    }
}
