//! The deadline of a connection attempt. It stands still while the user is being asked for something.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::SshError;

/// A deadline shared by the thread that connects and the task that waits for it.
#[derive(Debug)]
pub(super) struct Clock {
    to: String,
    whole: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    end: Instant,
    asking_since: Option<Instant>,
    asked: bool,
    doing: &'static str,
}

impl Clock {
    /// Starts the deadline of connecting to `to` (`host:port`).
    pub(super) fn start(to: String, whole: Duration) -> Self {
        let state = State {
            end: Instant::now() + whole,
            asking_since: None,
            asked: false,
            doing: "connecting",
        };
        Self { to, whole, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is left; it does not shrink while somebody is being asked.
    pub(super) fn left(&self) -> Duration {
        let state = self.state();
        state.end.saturating_duration_since(state.asking_since.unwrap_or_else(Instant::now))
    }

    /// What is left for libssh2, in milliseconds: at least one, as zero means "for ever" there.
    pub(super) fn left_ms(&self) -> u32 {
        u32::try_from(self.left().as_millis()).unwrap_or(u32::MAX).max(1)
    }

    /// Notes what a timeout would interrupt.
    pub(super) fn doing(&self, what: &'static str) {
        self.state().doing = what;
    }

    /// Runs `ask` with the clock stopped.
    pub(super) fn while_asking<T>(&self, ask: impl FnOnce() -> T) -> T {
        let since = Instant::now();
        self.state().asking_since = Some(since);
        let answer = ask();
        let mut state = self.state();
        state.asking_since = None;
        state.asked = true;
        state.end += since.elapsed();
        answer
    }

    /// Whether somebody has been asked so far.
    pub(super) fn was_asked(&self) -> bool {
        self.state().asked
    }

    /// The error for a deadline that passed now.
    pub(super) fn timeout(&self) -> SshError {
        SshError::Timeout { to: self.to.clone(), doing: self.state().doing, after: self.whole }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stands_still_while_asking() {
        let clock = Clock::start("b1:22".into(), Duration::from_hours(1));
        let during = clock.while_asking(|| {
            let first = clock.left();
            std::thread::sleep(Duration::from_millis(20));
            (first, clock.left())
        });
        assert_eq!(during.0, during.1);
        assert!(clock.was_asked());
        assert!(clock.left() <= during.0);
    }
}
