//! Commands that have ended, and cephdock while it runs.

use super::{BufRead, BufReader, Child, Command, Duration, Instant, Stdio, Value};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Run {
    what: String,
    /// Its exit code; 124 is `timeout`'s, and -1 stands for a signal.
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    /// Runs it to its end.
    pub(crate) fn of(what: &str, command: &mut Command) -> Self {
        let output = command.output().unwrap_or_else(|e| panic!("{what}: {e}"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap_or(-1);
        Self { what: what.into(), code, out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// It has to have succeeded.
    pub(crate) fn ok(self) -> Self {
        self.exits(0)
    }

    /// It has to have ended with this code.
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "exit code of {}\n{}", self.what, self.all());
        self
    }

    /// Both streams.
    pub(crate) fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    /// Each of `parts` has to be somewhere in what it said.
    pub(crate) fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            let all = self.all();
            assert!(all.contains(part), "{} does not say {part:?}:\n{all}", self.what);
        }
        self
    }

    /// Its one JSON object.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|e| panic!("{}: {e}\n{}", self.what, self.all()))
    }

    /// Its events, one a line.
    pub(crate) fn events(&self) -> Vec<Value> {
        let event = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|e| panic!("{}: {e}: {line}", self.what))
        };
        self.out.lines().map(event).collect()
    }

    /// The events of this kind.
    pub(crate) fn events_of(&self, kind: &str) -> Vec<Value> {
        self.events().into_iter().filter(|e| e["event"] == kind).collect()
    }

    /// The summary of a run.
    pub(crate) fn summary(&self) -> Value {
        let last = self.events_of("summary").pop();
        last.unwrap_or_else(|| panic!("{} gave no summary:\n{}", self.what, self.all()))
    }
}

/// `cephdock --json` while it runs. Dropping it kills it.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("cephdock starts");
        let stdout = child.stdout.take().expect("its output");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines, seen: Vec::new() }
    }

    /// Waits for an event that `is` it.
    pub(crate) fn wait_for(&mut self, what: &str, seconds: u64, is: impl Fn(&Value) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let event = serde_json::from_str(&line).unwrap_or(Value::Null);
                    self.seen.push(line);
                    if is(&event) {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    panic!("no {what} within {seconds} s:\n{}", self.seen.join("\n"))
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("cephdock ended before {what}:\n{}", self.seen.join("\n"))
                }
            }
        }
    }

    /// Waits for its end: its exit code and everything that it printed.
    pub(crate) fn end(mut self, what: &str, seconds: u64) -> Run {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("{what} did not end within {seconds} s:\n{}", self.seen.join("\n"))
                }
            }
        }
        let status = self.child.wait().expect("it ends");
        let (code, out) = (status.code().unwrap_or(-1), self.seen.join("\n"));
        Run { what: what.into(), code, out, err: String::new() }
    }

    /// Whether it has come to its end.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it is a child").is_some()
    }

    /// SIGKILL.
    pub(crate) fn kill(self) {
        assert!(self.kill_now(), "it ended by itself before it was killed");
    }

    /// SIGKILL; false: it had ended by itself.
    pub(crate) fn kill_now(mut self) -> bool {
        drop(self.child.kill());
        self.child.wait().expect("it ends").code().is_none()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
