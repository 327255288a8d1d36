//! Where the workers' time went: seconds inside each operator, from timely's own log.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use timely::logging::{StartStop, TimelyEvent, TimelyEventBuilder};
use timely::worker::Worker;

use crate::observe::Observer;

/// Between two tellings of the observer: rarely enough to cost nothing, often enough for someone who looks once a second.
const TELLING: Duration = Duration::from_millis(100);

/// Seconds by operator name, for one worker.
#[derive(Debug, Clone, Default)]
pub(super) struct Busy {
    state: Rc<RefCell<State>>,
}

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<usize, String>,
    started: BTreeMap<usize, Duration>,
    busy: BTreeMap<String, Duration>,
    /// What the observer knows of `busy`, and when it was told, by the log's clock.
    told: BTreeMap<String, Duration>,
    told_at: Duration,
}

impl Busy {
    /// Listens to the worker's log; call before the dataflow is built. The observer is told of it now and then.
    pub(super) fn listen(worker: &Worker, observer: &Arc<Observer>) -> Self {
        let busy = Self::default();
        let (observer, index) = (Arc::clone(observer), worker.index());
        let state = Rc::clone(&busy.state);
        if let Some(mut registry) = worker.log_register() {
            registry.insert::<TimelyEventBuilder, _>("timely", move |_, events| {
                let Some(events) = events.as_mut() else {
                    return;
                };
                let mut state = state.borrow_mut();
                for (at, event) in events.drain(..) {
                    state.note(at, &event);
                    if at >= state.told_at + TELLING {
                        state.told_at = at;
                        state.tell(&observer, index);
                    }
                }
            });
        }
        busy
    }

    /// What was gathered, by operator name. Scopes that hold operators (`Dataflow`) are left out.
    pub(super) fn take(&self) -> BTreeMap<String, Duration> {
        std::mem::take(&mut self.state.borrow_mut().busy)
    }
}

impl State {
    fn tell(&mut self, observer: &Observer, worker: usize) {
        for (name, busy) in &self.busy {
            let told = self.told.get(name).copied().unwrap_or_default();
            if *busy > told {
                observer.busy(worker, name, busy.saturating_sub(told).as_secs_f64());
                self.told.insert(name.clone(), *busy);
            }
        }
    }

    fn note(&mut self, at: Duration, event: &TimelyEvent) {
        match event {
            TimelyEvent::Operates(operator) if operator.addr.len() > 1 => {
                self.names.insert(operator.id, operator.name.clone());
            }
            TimelyEvent::Schedule(schedule) => match schedule.start_stop {
                StartStop::Start => {
                    self.started.insert(schedule.id, at);
                }
                StartStop::Stop => {
                    if let (Some(start), Some(name)) = (
                        self.started.remove(&schedule.id),
                        self.names.get(&schedule.id),
                    ) {
                        *self.busy.entry(name.clone()).or_default() += at.saturating_sub(start);
                    }
                }
            },
            _ => {}
        }
    }
}
