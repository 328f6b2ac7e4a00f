//! Questions on the terminal, out of the way of the bars.

use std::fs::File;
use std::io::IsTerminal;

use indicatif::MultiProgress;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

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
        self.bars.suspend(|| {
            let _silent = Silent::new();
            rpassword::prompt_password(format!("{question} ")).ok().map(Secret::new)
        })
    }
}

/// The terminal shows nothing of what is typed while this lives, and forgets what was typed before. rpassword does so only
/// once its question stands there, and whoever is quick sees a part of the answer.
struct Silent {
    terminal: File,
    before: Termios,
}

impl Silent {
    /// `None`: there is no terminal to be told.
    fn new() -> Option<Self> {
        let terminal = File::open("/dev/tty").ok()?;
        let before = tcgetattr(&terminal).ok()?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        silent.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(&terminal, OptionalActions::Flush, &silent).ok()?;
        Some(Self { terminal, before })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // it may have been hung up
        drop(
            tcsetattr(&self.terminal, OptionalActions::Now, &self.before)
                .map_err(std::io::Error::from),
        );
    }
}
