//! Where tests stop the code: between any two changes of the disk. Outside unit tests these are fail points of the process.

use super::SinkError;
#[cfg(not(test))]
use crate::fault;

#[cfg(test)]
type Hook = Box<dyn FnMut(&'static str) -> Result<(), SinkError> + Send>;

/// Told before each step.
#[derive(Default)]
pub(super) struct Steps {
    /// An error stops there, as a crash would; it may also wait.
    #[cfg(test)]
    pub(super) hook: Option<Hook>,
}

impl Steps {
    #[cfg(test)]
    pub(super) fn at(&mut self, step: &'static str) -> Result<(), SinkError> {
        self.hook.as_mut().map_or(Ok(()), |hook| hook(step))
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "as in tests")]
    pub(super) fn at(&mut self, step: &'static str) -> Result<(), SinkError> {
        fault::at(step);
        Ok(())
    }
}

impl std::fmt::Debug for Steps {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Steps")
    }
}
