//! Programs in containers.

use std::pin::Pin;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use futures_util::Stream;
use tokio::io::AsyncWrite;
use tokio::time::timeout;

use super::node::Node;
use super::{DOCKER_HANGS, HostError, docker_late};
use crate::daemon::DaemonId;
use crate::event::Said;

/// What Docker gets to start one.
const START: Duration = Duration::from_secs(30);
/// What a step's own program gets to end.
const END: Duration = Duration::from_secs(180);

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

    /// Runs a program in a daemon's container, its output passed on as it comes. Gives its exit code.
    pub async fn run_in(
        &self,
        daemon: &DaemonId,
        argv: &[String],
        each: &mut (dyn FnMut(Said<'_>) + Send),
    ) -> Result<i64, HostError> {
        let doing = format!("run `{}` in the container {}", argv.join(" "), daemon.container());
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        let Started { id, input, output } =
            self.start_in(&daemon.container(), &argv, false, &doing).await?;
        self.pass_on(output, &doing, each).await?;
        drop(input); // not before: it is the same connection
        let end = self.docker()?.inspect_exec(&id).await;
        let end = end.map_err(|e| self.docker_error(&doing, &e))?;
        end.exit_code
            .ok_or_else(|| HostError::new(format!("Docker does not say how it ended to {doing}")))
    }

    /// Runs a program in a daemon's container; an exit code other than 0 is an error with what it said.
    pub(super) async fn exec(&self, daemon: &DaemonId, argv: &[String]) -> Result<(), HostError> {
        let what = argv.join(" ");
        let mut said = Vec::new();
        let mut keep = |part: Said<'_>| match part {
            Said::Out(bytes) | Said::Err(bytes) => said.extend_from_slice(bytes),
        };
        let ended = timeout(END, self.run_in(daemon, argv, &mut keep)).await;
        let late = || format!("`{what}` did not end within {} s", END.as_secs());
        if ended.map_err(|_| HostError::new(late()).hint(DOCKER_HANGS))?? == 0 {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&said);
        let last = said.trim().lines().last().unwrap_or("it said nothing");
        Err(HostError::new(format!("`{what}` failed: {last}")))
    }
}
