//! How a run goes: on, failed, or ended by process 0. One for each process, shared by all its threads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::frame::Begin;
use super::{Deliveries, Interrupt, RunError};

/// How long who waits sleeps before it looks whether someone interrupts.
const LOOK: Duration = Duration::from_millis(20);

/// The fate of a run. The first failure counts; who waits is woken by whatever changes.
#[derive(Debug)]
pub struct Fate {
    interrupt: Arc<Interrupt>,
    failed: AtomicBool,
    drain: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
    deliveries: Deliveries,
}

#[derive(Debug, Default)]
struct State {
    failure: Option<RunError>,
    /// What process 0 has decided, on the others.
    begin: Option<Begin>,
    /// Workers of this process that have done all their work.
    done_workers: usize,
    /// Other processes that have done all their work, on process 0.
    done_peers: usize,
    /// The exit code by which process 0 ends the run, on the others.
    ended: Option<u8>,
}

impl Fate {
    /// The fate of a run that `interrupt` may end.
    pub fn new(interrupt: &Arc<Interrupt>) -> Self {
        Self {
            interrupt: Arc::clone(interrupt),
            failed: AtomicBool::new(false),
            drain: AtomicBool::new(false),
            state: Mutex::new(State::default()),
            changed: Condvar::new(),
            deliveries: Deliveries::default(),
        }
    }

    /// How far topics are.
    pub fn deliveries(&self) -> &Deliveries {
        &self.deliveries
    }

    /// Ends the run with this error; the first one counts.
    pub fn fail(&self, error: RunError) {
        self.change(|state| {
            state.failure.get_or_insert(error);
        });
        self.failed.store(true, Ordering::Release);
    }

    /// Whether workers should stop now.
    pub fn is_over(&self) -> bool {
        if self.interrupt.is_asked() && !self.failed.load(Ordering::Acquire) {
            self.fail(RunError::Interrupted);
        }
        self.failed.load(Ordering::Acquire)
    }

    /// The same, for who can't know what a fate is.
    pub fn over(self: &Arc<Self>) -> Arc<dyn Fn() -> bool + Send + Sync> {
        let fate = Arc::clone(self);
        Arc::new(move || fate.is_over())
    }

    /// Asks a continuous job to commit what it has and end.
    pub fn drain(&self) {
        self.drain.store(true, Ordering::Release);
    }

    /// Whether a continuous job is to commit what it has and end.
    pub fn is_draining(&self) -> bool {
        self.drain.load(Ordering::Acquire) || self.interrupt.is_draining()
    }

    /// Goes on, unless the run is over.
    pub(super) fn check(&self) -> Result<(), RunError> {
        // An interruption that nobody has looked for yet becomes the failure it is.
        self.is_over();
        self.take_failure().map_or(Ok(()), Err)
    }

    /// The failure, if any; taken once.
    pub fn take_failure(&self) -> Option<RunError> {
        self.lock().failure.take()
    }

    /// Says that a worker has done all its work.
    pub(super) fn worker_done(&self) {
        self.change(|state| state.done_workers += 1);
    }

    /// Says that another process has done all its work.
    pub(super) fn peer_done(&self) {
        self.change(|state| state.done_peers += 1);
    }

    /// Says what process 0 decided.
    pub(super) fn begin(&self, begin: Begin) {
        self.change(|state| state.begin = Some(begin));
    }

    /// Says that process 0 ended the run.
    pub(super) fn end(&self, exit_code: u8) {
        self.change(|state| state.ended = Some(exit_code));
    }

    /// Waits for what process 0 decides.
    pub(super) fn wait_begin(&self) -> Result<Begin, RunError> {
        self.wait(|state| state.begin.clone())
    }

    /// Waits until `workers` are done.
    pub(super) fn wait_workers(&self, workers: usize) -> Result<(), RunError> {
        self.wait(|state| (state.done_workers == workers || state.ended.is_some()).then_some(()))
    }

    /// Waits until as many other processes have done their work as well.
    pub(super) fn wait_peers(&self, peers: usize) -> Result<(), RunError> {
        self.wait(|state| (state.done_peers == peers).then_some(()))
    }

    /// Waits for the exit code by which process 0 ends the run, or for why it does. The first interruption is told by
    /// `interrupted` and waited on: whether it came too late is for process 0 to say.
    pub(super) fn wait_end(&self, interrupted: impl FnOnce()) -> Result<u8, RunError> {
        match self.wait(|state| state.ended) {
            Err(RunError::Interrupted) => {
                interrupted();
                self.wait_for(|state| state.ended, false)
            }
            ended => ended,
        }
    }

    /// Whatever ends the run within `time`, if anything does.
    pub(super) fn failure_within(&self, time: Duration) -> Option<RunError> {
        let mut state = self.lock();
        let mut left = time;
        while state.failure.is_none() && !left.is_zero() {
            let look = left.min(LOOK);
            left -= look;
            state = self
                .changed
                .wait_timeout(state, look)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        state.failure.take()
    }

    fn wait<T>(&self, until: impl FnMut(&State) -> Option<T>) -> Result<T, RunError> {
        self.wait_for(until, true)
    }

    fn wait_for<T>(
        &self,
        mut until: impl FnMut(&State) -> Option<T>,
        interruptible: bool,
    ) -> Result<T, RunError> {
        let mut state = self.lock();
        loop {
            if let Some(found) = until(&state) {
                return Ok(found);
            }
            if let Some(failure) = state.failure.take() {
                return Err(failure);
            }
            if interruptible && self.interrupt.is_asked() {
                return Err(RunError::Interrupted);
            }
            state = self
                .changed
                .wait_timeout(state, LOOK)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
