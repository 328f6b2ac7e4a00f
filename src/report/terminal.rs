//! Questions on the terminal, out of the way of the bars.

use std::io::IsTerminal;

use indicatif::MultiProgress;

use crate::secret::Secret;
use crate::ssh::Prompt;

/// The terminal: whoever draws on it and whoever asks on it share one of these.
#[derive(Debug, Clone, Default)]
pub struct Terminal {
    pub(super) bars: MultiProgress,
}

impl Prompt for Terminal {
    /// Asks where somebody can answer, and shows nothing of the answer.
    fn secret(&self, question: &str) -> Option<Secret> {
        if !std::io::stdin().is_terminal() {
            return None;
        }
        let question = super::text::clean(question);
        self.bars
            .suspend(|| rpassword::prompt_password(format!("{question} ")).ok().map(Secret::new))
    }
}
