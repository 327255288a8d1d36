//! The thread of a receiver: what has to be told is told, written down as known, and tried again while nobody answers.

use std::sync::Arc;
use std::sync::mpsc::{Receiver as Hears, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::message::{self, Names};
use super::told::{Change, Common, Told, Turn, bad_for, groups, is_settling};
use super::watch::{Stand, Watch};
use crate::cluster::{Run, RunError};
use crate::epoch::{Store, wall_time};
use crate::job::plan::{AlertsPlan, Receiver};

/// Pause before a delivery is tried again the first time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Longest wait for something new: nothing else is due then.
const IDLE: Duration = Duration::from_hours(1);

/// Alerts of one request to an Alertmanager.
const OF_REQUEST: usize = 500;

/// Bytes of an answer that are read.
const MOST_ANSWER: u64 = 64 << 10;

/// Folder of what receivers know, where the state is.
const FOLDER: &str = "alerts";

/// What was committed.
struct Committed {
    stand: Stand,
    watch: Arc<Watch>,
}

/// The threads of all receivers of a job, on process 0.
#[derive(Debug)]
pub struct Receivers {
    tells: Vec<Sender<Committed>>,
    threads: Vec<JoinHandle<()>>,
}

impl Receivers {
    /// Reads what each receiver knows, and starts its thread.
    ///
    /// Errors: the state can't be read; a thread can't be started.
    pub fn start(run: &Arc<Run>, store: &Arc<dyn Store>) -> Result<Self, RunError> {
        let (mut tells, mut threads) = (Vec::new(), Vec::new());
        let names = Arc::new(Names::of(&run.plan));
        for (index, plan) in run.plan.alerts.iter().enumerate() {
            let told = known(&**store, plan)?;
            run.observer.alerts_open(index, told.open.len());
            let config = ureq::Agent::config_builder()
                .http_status_as_error(false)
                .timeout_global(Some(plan.timeout))
                .max_redirects(0)
                .build();
            let teller = Teller {
                run: Arc::clone(run),
                index,
                plan: plan.clone(),
                names: Arc::clone(&names),
                store: Arc::clone(store),
                agent: config.new_agent(),
                told,
                is_unwritten: false,
                is_one: false,
                resent: None,
                failed: 0,
            };
            let (tell, hears) = channel();
            let thread = std::thread::Builder::new()
                .name(format!("alerts-{index}"))
                .spawn(move || teller.tell_all(&hears))
                .map_err(RunError::no_thread)?;
            tells.push(tell);
            threads.push(thread);
        }
        Ok(Self { tells, threads })
    }

    /// An epoch is committed, and this is bad with it.
    pub fn committed(&self, stand: Stand, watch: &Watch) {
        let watch = Arc::new(watch.clone());
        for tell in &self.tells {
            let watch = Arc::clone(&watch);
            // A thread that has ended told why.
            drop(tell.send(Committed { stand, watch }));
        }
    }

    /// Waits until each receiver that answers was told all.
    pub fn end(self) {
        drop(self.tells);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!(action = "alerts-panicked", "a thread of alerts panicked");
            }
        }
    }
}

fn folder(plan: &AlertsPlan) -> String {
    format!("{FOLDER}/{}", plan.name)
}

fn name(plan: &AlertsPlan, number: u64) -> String {
    format!("{}/{number:012}.json", folder(plan))
}

/// What a receiver knows, as it was written down last.
fn known(store: &dyn Store, plan: &AlertsPlan) -> Result<Told, RunError> {
    let numbers = store.list(&folder(plan))?.into_iter();
    let numbers = numbers.filter_map(|name| name.strip_suffix(".json")?.parse::<u64>().ok());
    let Some(number) = numbers.max() else {
        return Ok(Told::default());
    };
    let name = name(plan, number);
    let bytes = store.get(&name)?.unwrap_or_default();
    serde_json::from_slice(&bytes).map_err(|error| RunError::State {
        place: store.place(&name),
        problem: error.to_string(),
    })
}

/// Why something was not told.
enum Untold {
    /// In words.
    Failed(String),
    /// A later life tells now.
    Superseded,
}

struct Teller {
    run: Arc<Run>,
    index: usize,
    plan: AlertsPlan,
    names: Arc<Names>,
    store: Arc<dyn Store>,
    agent: ureq::Agent,
    told: Told,
    /// Whether what was told is not written down yet.
    is_unwritten: bool,
    /// Whether all that changed is one message, since the job was down.
    is_one: bool,
    /// When an Alertmanager was told all that is open.
    resent: Option<Instant>,
    /// How often it failed, one after another.
    failed: u32,
}

impl Teller {
    fn tell_all(mut self, hears: &Hears<Committed>) {
        let mut newest: Option<Committed> = None;
        let mut again: Option<Instant> = None;
        loop {
            let due = again.or_else(|| self.next_due(newest.is_some()));
            let patience = due.map_or(IDLE, |due| due.saturating_duration_since(Instant::now()));
            let mut is_end = false;
            match hears.recv_timeout(patience) {
                Ok(committed) => self.take(&mut newest, committed),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => is_end = true,
            }
            // Only what is newest counts.
            for committed in hears.try_iter() {
                self.take(&mut newest, committed);
            }
            let waits = again.is_some_and(|again| Instant::now() < again);
            if let Some(committed) = newest.as_ref().filter(|_| !waits) {
                match self.tell(committed) {
                    Ok(()) => {
                        if self.failed > 0 {
                            tracing::info!(
                                action = "alerts-delivered-again",
                                alerts = self.plan.name,
                                receiver = self.plan.to.to_string(),
                                "a receiver of alerts answers again, and knows all"
                            );
                        }
                        self.failed = 0;
                        again = None;
                    }
                    Err(Untold::Failed(problem)) => {
                        let pause = self.pause();
                        self.failed += 1;
                        self.run.observer.alerts_failed(self.index);
                        again = Some(Instant::now() + pause);
                        tracing::warn!(
                            action = "alerts-not-delivered",
                            alerts = self.plan.name,
                            receiver = self.plan.to.to_string(),
                            problem,
                            tries = self.failed,
                            pause_secs = pause.as_secs_f64(),
                            "alerts could not be delivered; what has changed by then is told when it answers"
                        );
                    }
                    Err(Untold::Superseded) => {
                        tracing::info!(
                            action = "alerts-superseded",
                            alerts = self.plan.name,
                            "another life of the job tells alerts now"
                        );
                        return;
                    }
                }
            }
            if is_end || self.run.fate.is_over() {
                return;
            }
        }
    }

    fn take(&mut self, newest: &mut Option<Committed>, committed: Committed) {
        self.is_one |= committed.stand.has_paused;
        *newest = Some(committed);
    }

    /// Twice as long each time.
    fn pause(&self) -> Duration {
        let factor = 1_u32.checked_shl(self.failed.min(16)).unwrap_or(u32::MAX);
        FIRST_PAUSE
            .min(self.plan.retry)
            .saturating_mul(factor)
            .min(self.plan.retry)
    }

    /// When something has to be told though nothing was committed.
    fn next_due(&self, has_heard: bool) -> Option<Instant> {
        match &self.plan.to {
            Receiver::Alertmanager { resend, .. } if has_heard && !self.told.open.is_empty() => {
                Some(self.resent.map_or_else(Instant::now, |at| at + *resend))
            }
            _ => None,
        }
    }

    /// Tells what the receiver does not know.
    fn tell(&mut self, committed: &Committed) -> Result<(), Untold> {
        let Committed { stand, watch } = committed;
        self.write_down()?;
        // The life before told of later epochs: this one reads them again.
        let is_read_again = stand.epoch < self.told.epoch;
        if !is_read_again && !is_settling(&self.plan, stand) {
            let bad = bad_for(&self.plan, watch, &self.told);
            let changes = self.told.difference(&bad, self.remind_before());
            if !changes.is_empty() {
                self.tell_changes(changes, stand)?;
            }
            self.is_one = false;
        }
        self.resend()
    }

    fn remind_before(&self) -> Option<i64> {
        match self.plan.to {
            Receiver::Webhook { remind, .. } => {
                let remind = i64::try_from(remind?.as_micros()).unwrap_or(i64::MAX);
                Some(wall_time().saturating_sub(remind))
            }
            Receiver::Alertmanager { .. } | Receiver::Log => None,
        }
    }

    fn tell_changes(&mut self, changes: Vec<Change>, stand: &Stand) -> Result<(), Untold> {
        if matches!(self.plan.to, Receiver::Alertmanager { .. }) {
            for part in changes.chunks(OF_REQUEST) {
                let now = wall_time();
                let each = part.iter().map(|change| self.for_alertmanager(change, now));
                let alerts: Vec<Value> = each.collect();
                self.post_alerts(&alerts)?;
                self.was_told(part, stand)?;
            }
            return Ok(());
        }
        let names = Arc::clone(&self.names);
        let value = |change: &Change, word: &str| names.value(change, word);
        for group in groups(changes, &self.plan.group_by, self.is_one, value) {
            let id = message::id(&self.names, &self.plan.name, &self.told, &group.1);
            match &self.plan.to {
                Receiver::Webhook { url, secret, .. } => {
                    self.post_message(url, secret.as_deref(), &id, &group, stand)?;
                }
                _ => self.log(&id, &group),
            }
            self.was_told(&group.1, stand)?;
        }
        Ok(())
    }

    /// The receiver has answered.
    fn was_told(&mut self, changes: &[Change], stand: &Stand) -> Result<(), Untold> {
        self.told.apply(changes, stand.epoch, wall_time());
        self.is_unwritten = true;
        let open = self.told.open.len();
        self.run.observer.alerts_told(self.index, open);
        self.write_down()
    }

    /// Writes down what the receiver knows, under the next number.
    fn write_down(&mut self) -> Result<(), Untold> {
        if !self.is_unwritten {
            return Ok(());
        }
        let failed = |error: &dyn std::fmt::Display| Untold::Failed(format!("the state: {error}"));
        let before = name(&self.plan, self.told.number);
        let written = Told {
            number: self.told.number + 1,
            ..self.told.clone()
        };
        let bytes = serde_json::to_vec(&written).expect("what is known is JSON");
        let name = name(&self.plan, written.number);
        if !self
            .store
            .put_if_absent(&name, &bytes)
            .map_err(|error| failed(&error))?
        {
            // It may be our own, whose answer did not come.
            let found = self.store.get(&name).map_err(|error| failed(&error))?;
            if found.as_ref() != Some(&bytes) {
                return Err(Untold::Superseded);
            }
        }
        self.told.number = written.number;
        self.is_unwritten = false;
        // What is left of it is removed with a later one.
        drop(self.store.delete(&before));
        Ok(())
    }

    fn for_alertmanager(&self, change: &Change, now: i64) -> Value {
        let Receiver::Alertmanager {
            expires_after,
            labels,
            ..
        } = &self.plan.to
        else {
            unreachable!("it is asked of an Alertmanager alone");
        };
        let known = self.told.open.get(&change.about);
        let told_at = known.map_or(now, |known| known.told_at);
        let times = match change.turn {
            Turn::Opened => (now, after(now, *expires_after)),
            Turn::Still => (told_at, after(now, *expires_after)),
            Turn::Resolved => (told_at, now),
        };
        message::alertmanager(&self.names, labels, &change.about, &change.alert, times)
    }

    /// Tells an Alertmanager of all that is open, when it is time.
    fn resend(&mut self) -> Result<(), Untold> {
        let Receiver::Alertmanager {
            resend,
            expires_after,
            labels,
            ..
        } = &self.plan.to
        else {
            return Ok(());
        };
        if self.told.open.is_empty() || self.resent.is_some_and(|at| at.elapsed() < *resend) {
            return Ok(());
        }
        let ends_at = after(wall_time(), *expires_after);
        let alerts = message::alertmanager_all(&self.names, labels, &self.told.open, ends_at);
        for part in alerts.chunks(OF_REQUEST) {
            self.post_alerts(part)?;
        }
        self.resent = Some(Instant::now());
        Ok(())
    }

    fn post_alerts(&self, alerts: &[Value]) -> Result<(), Untold> {
        let Receiver::Alertmanager { url, .. } = &self.plan.to else {
            unreachable!("it is asked of an Alertmanager alone");
        };
        let body = Value::from(alerts.to_vec()).to_string();
        let request = self.agent.post(format!("{url}/api/v2/alerts"));
        let request = request.header("content-type", "application/json");
        answered(request.send(&body))
    }

    fn post_message(
        &self,
        url: &str,
        secret: Option<&str>,
        id: &str,
        group: &(Common, Vec<Change>),
        stand: &Stand,
    ) -> Result<(), Untold> {
        let mut told = self.told.clone();
        told.apply(&group.1, stand.epoch, stand.now);
        let body = message::webhook(
            &self.names,
            (&self.plan.name, id),
            group,
            (stand.epoch, stand.now),
            told.open.len(),
        );
        let body = body.to_string();
        let mut request = self
            .agent
            .post(url)
            .header("content-type", "application/json")
            .header("caudal-message-id", id);
        if let Some(secret) = secret {
            let seconds = wall_time() / 1_000_000;
            let signature = message::signature(secret, seconds, &body);
            request = request.header("caudal-signature", signature);
        }
        answered(request.send(&body))
    }

    fn log(&self, id: &str, (_, changes): &(Common, Vec<Change>)) {
        let words = message::words(changes);
        let count = |turn: Turn| changes.iter().filter(|of| of.turn == turn).count();
        let (opened, resolved) = (count(Turn::Opened), count(Turn::Resolved));
        let alerts = self.plan.name.as_str();
        let mut open = changes.iter().filter(|of| of.turn != Turn::Resolved);
        if opened == 0 {
            tracing::info!(action = "alert", alerts, id, opened, resolved, "{words}");
        } else if open.any(|of| of.alert.condition.severity() == "fail") {
            tracing::error!(action = "alert", alerts, id, opened, resolved, "{words}");
        } else {
            tracing::warn!(action = "alert", alerts, id, opened, resolved, "{words}");
        }
    }
}

fn after(now: i64, duration: Duration) -> i64 {
    now.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
}

/// Whether a receiver took what it was sent.
fn answered(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<(), Untold> {
    let mut answer = answer.map_err(|error| Untold::Failed(error.to_string()))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let body = answer.body_mut().with_config().limit(MOST_ANSWER);
    let body = body.read_to_vec().unwrap_or_default();
    Err(Untold::Failed(format!(
        "status {}: {:?}",
        status.as_u16(),
        crate::record::shown(&body, 64)
    )))
}
