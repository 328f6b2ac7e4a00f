//! Programs in containers.

use std::ops::ControlFlow;
use std::pin::Pin;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use futures_util::Stream;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::node::Node;
use super::talk::{Broken, Listener, pass_on};
use super::{DOCKER_HANGS, HostError, docker_late};
use crate::daemon::DaemonId;
use crate::event::Said;

/// What Docker gets to start one.
const START: Duration = Duration::from_secs(30);
/// What a step's own program gets to end.
const END: Duration = Duration::from_secs(180);

/// Runs a program that ends when nobody holds its stdin any more: Docker lets what it has started in a container go on
/// when its client has gone, and `ceph -w` would stay there for good. A command in the background reads `/dev/null`.
const WHILE_HELD: &str = r#"exec 3<&0
"$@" 3<&- & program=$!
{ read -r _ <&3; kill "$program"; } >/dev/null 2>&1 & watch=$!
wait "$program"; code=$?
kill "$watch" 2>/dev/null
exit "$code""#;

/// One that runs.
pub(super) struct Started {
    id: String,
    /// Its stdin, where it was given one.
    pub(super) input: Pin<Box<dyn AsyncWrite + Send>>,
    /// Its stdout and stderr.
    pub(super) output: Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>,
}

impl Node {
    /// Starts a program. `doing` says what for: "run `ceph -s` in the container mon".
    pub(super) async fn start_in(
        &self,
        container: &str,
        argv: &[&str],
        stdin: bool,
        doing: &str,
    ) -> Result<Started, HostError> {
        let docker = self.docker()?;
        let options = CreateExecOptions {
            attach_stdin: Some(stdin),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            // what a Python program, and `ceph` is one, says to a pipe would come when there are 8 KiB of it
            env: Some(vec!["PYTHONUNBUFFERED=1"]),
            cmd: Some(argv.to_vec()),
            ..CreateExecOptions::default()
        };
        let start = async {
            let id = docker.create_exec(container, options).await?.id;
            Ok((docker.start_exec(&id, None::<StartExecOptions>).await?, id))
        };
        let started = timeout(START, start).await.map_err(|_| docker_late(doing, START))?;
        match started.map_err(|e| self.docker_error(doing, &e))? {
            (StartExecResults::Attached { output, input }, id) => Ok(Started { id, input, output }),
            (StartExecResults::Detached, _) => {
                Err(HostError::new(format!("Docker gave no streams to {doing}")))
            }
        }
    }

    /// Runs a program in a daemon's container, its output passed on as it comes, and gives its exit code; `None`: the
    /// listener had enough. `input` is all of its stdin; `None`: it has none, and is ended when this process goes or the
    /// listener has had enough.
    ///
    /// # Errors
    /// Docker does not run it (the container is not there, or paused), or the connection is lost.
    pub async fn run_in(
        &self,
        daemon: &DaemonId,
        argv: &[String],
        input: Option<&[u8]>,
        each: &mut impl Listener,
    ) -> Result<Option<i64>, HostError> {
        let doing = format!("run `{}` in the container {}", argv.join(" "), daemon.container());
        let frame = if input.is_none() { &["sh", "-c", WHILE_HELD, "sh"][..] } else { &[] };
        let argv: Vec<&str> =
            frame.iter().copied().chain(argv.iter().map(String::as_str)).collect();
        let stdin = input.is_none_or(|bytes| !bytes.is_empty());
        let Started { id, input: mut held, output } =
            self.start_in(&daemon.container(), &argv, stdin, &doing).await?;
        let give = async {
            if let Some(bytes) = input.filter(|_| stdin) {
                // a program that wants none of it ends, and says why
                drop(held.write_all(bytes).await);
                drop(held.shutdown().await);
            }
        };
        // at the same time: the program may talk before it has read all
        let (passed, ()) = tokio::join!(pass_on(output, None, each), give);
        let flow = passed.map_err(|broken| match broken {
            Broken::Docker(e) => self.docker_error(&doing, &e),
            Broken::Silent => HostError::new(format!("Docker did not {doing}")),
        })?;
        drop(held); // not before: it is the same connection, and may be what keeps the program running
        if self.unless_lost(flow)?.is_break() {
            return Ok(None);
        }
        let end = self.docker()?.inspect_exec(&id).await;
        let end = end.map_err(|e| self.docker_error(&doing, &e))?;
        end.exit_code
            .map(Some)
            .ok_or_else(|| HostError::new(format!("Docker does not say how it ended to {doing}")))
    }

    /// Runs a program in a daemon's container; an exit code other than 0 is an error with what it said.
    pub(super) async fn exec(&self, daemon: &DaemonId, argv: &[String]) -> Result<(), HostError> {
        let what = argv.join(" ");
        let mut said = Vec::new();
        let mut keep = |part: Said<'_>| {
            match part {
                Said::Out(bytes) | Said::Err(bytes) => said.extend_from_slice(bytes),
            }
            ControlFlow::Continue(())
        };
        let ended = timeout(END, self.run_in(daemon, argv, Some(b""), &mut keep)).await;
        let late = || format!("`{what}` did not end within {} s", END.as_secs());
        if ended.map_err(|_| HostError::new(late()).hint(DOCKER_HANGS))?? == Some(0) {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&said);
        let last = said.trim().lines().last().unwrap_or("it said nothing");
        Err(HostError::new(format!("`{what}` failed: {last}")))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::process::{Child, Command, Stdio};

    use super::WHILE_HELD;

    fn held(argv: &[&str]) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", WHILE_HELD, "sh"]).args(argv);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
    }

    #[test]
    fn a_program_ends_with_whoever_holds_its_stdin() {
        let mut child = held(&["sh", "-c", "echo begun; exec sleep 600"]);
        let mut first = [0; 6];
        child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
        assert!(child.try_wait().unwrap().is_none());
        drop(child.stdin.take());
        assert_eq!(child.wait().unwrap().code(), Some(128 + 15));
    }

    #[test]
    fn a_program_that_ends_by_itself_is_not_waited_for() {
        let mut child = held(&["sh", "-c", "cat; echo \"$1\"; exit 7", "sh", "a b"]);
        let mut stdin = child.stdin.take().unwrap();
        let mut said = String::new();
        child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(said, "a b\n", "its own stdin is empty");
        assert_eq!(child.wait().unwrap().code(), Some(7));
        drop(stdin.write(b"x")); // it was held until now
    }
}
