//! Ctrl-C: once stops after the steps that run, twice stops at once.

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Exit;
use crate::event::{Event, Events};

/// Listens for Ctrl-C until it is dropped.
pub(super) struct CtrlC {
    /// Turns true when the user asks to stop.
    pub(super) stop: watch::Receiver<bool>,
    listener: JoinHandle<()>,
}

impl CtrlC {
    /// The first Ctrl-C lets running steps finish and begins no other; the second ends the process at once, which is
    /// safe too: the next run takes it up.
    pub(super) fn listen(events: &Events) -> Self {
        let (sender, stop) = watch::channel(false);
        let events = events.clone();
        let listener = tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_err() {
                return;
            }
            let message =
                "stopping after the steps that are running; Ctrl-C again stops at once".into();
            events.send(Event::Warning { node: None, message });
            drop(events); // the screen waits for the last of these
            sender.send_replace(true);
            if tokio::signal::ctrl_c().await.is_ok() {
                // the user asked twice; the reporter may hold the terminal
                std::process::exit(Exit::Stopped as i32);
            }
        });
        Self { stop, listener }
    }
}

impl Drop for CtrlC {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write, stdout};
    use std::process::{Command, Stdio};

    use rustix::process::{Pid, Signal, kill_process};

    use super::*;

    const CHILD: &str = "command::ctrl_c::tests::the_process_that_is_interrupted";

    /// A run with a step that does not end by itself.
    #[test]
    #[ignore = "it is started and interrupted by the test below"]
    fn the_process_that_is_interrupted() {
        let say = |word: &str| {
            writeln!(stdout(), "{word}").unwrap();
            stdout().flush().unwrap();
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (events, mut received) = Events::channel();
            let ctrl_c = CtrlC::listen(&events);
            tokio::task::yield_now().await;
            say("ready");
            let mut stop = ctrl_c.stop.clone();
            stop.wait_for(|stop| *stop).await.unwrap();
            let Some(Event::Warning { message, .. }) = received.recv().await else {
                panic!("nothing is said")
            };
            say(&message);
            std::future::pending::<()>().await;
        });
    }

    #[test]
    fn once_asks_to_stop_and_twice_ends_the_process() {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", CHILD, "--ignored", "--nocapture"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let interrupt = |child: &std::process::Child| {
            kill_process(Pid::from_child(child), Signal::INT).unwrap();
        };
        assert!(lines.any(|l| l.ends_with("ready")));
        interrupt(&child);
        assert!(lines.any(|l| l.contains("Ctrl-C again stops at once")));
        assert!(child.try_wait().unwrap().is_none(), "a step still runs");
        interrupt(&child);
        assert_eq!(child.wait().unwrap().code(), Some(Exit::Stopped as i32));
    }
}
