//! Where tests stop the code: between any two changes of the disk. Outside tests there is nothing here.

use super::SinkError;

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
    pub(super) fn at(&mut self, _step: &'static str) -> Result<(), SinkError> {
        Ok(())
    }
}

impl std::fmt::Debug for Steps {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Steps")
    }
}
