//! What is to be taken back when a create fails: a list beside the do-list, run backwards.

use crate::error::Result;
use crate::log;

/// One thing to take back.
type Step<'a> = Box<dyn FnOnce() -> Result<()> + 'a>;

/// The list. Dropped without [`Undo::keep`], it runs.
#[derive(Default)]
pub(super) struct Undo<'a>(Vec<Step<'a>>);

impl<'a> Undo<'a> {
    /// Adds what takes back the step just done.
    pub(super) fn push(&mut self, step: impl FnOnce() -> Result<()> + 'a) {
        self.0.push(Box::new(step));
    }

    /// All went well: nothing is taken back.
    pub(super) fn keep(mut self) {
        self.0.clear();
    }

    /// In a copy of the process that must not undo what its parent did.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        while let Some(step) = self.0.pop() {
            if let Err(error) = step() {
                log::warn(&error.to_string());
            }
        }
    }
}
