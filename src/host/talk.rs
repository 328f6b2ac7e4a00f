//! What a node says, passed on as it comes: a daemon's log, and a program in its container.

use std::time::Duration;

use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::{Stream, StreamExt};
use tokio::time::timeout;

use super::HostError;
use super::node::Node;
use crate::daemon::DaemonId;
use crate::event::Said;

const START: Duration = Duration::from_secs(30);

impl Node {
    /// Passes on the last `lines` of a daemon's log, and with `follow` whatever comes until the daemon ends.
    pub async fn follow(
        &self,
        daemon: &DaemonId,
        lines: usize,
        follow: bool,
        each: &mut (dyn FnMut(Said<'_>) + Send),
    ) -> Result<(), HostError> {
        let options = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .follow(follow)
            .tail(&lines.to_string())
            .build();
        let stream = self.docker()?.logs(&daemon.container(), Some(options));
        self.pass_on(stream, &format!("read the log of {daemon}"), each).await
    }

    /// Runs a program in a daemon's container, its output passed on as it comes. Gives its exit code.
    pub async fn run_in(
        &self,
        daemon: &DaemonId,
        argv: &[String],
        each: &mut (dyn FnMut(Said<'_>) + Send),
    ) -> Result<i64, HostError> {
        let docker = self.docker()?;
        let doing = format!("run `{}` in the container {}", argv.join(" "), daemon.container());
        let start = async {
            let options = CreateExecOptions {
                attach_stdout: Some(true),
                attach_stderr: Some(true),
                cmd: Some(argv.iter().map(String::as_str).collect()),
                ..CreateExecOptions::default()
            };
            let id = docker.create_exec(&daemon.container(), options).await?.id;
            Ok((docker.start_exec(&id, None::<StartExecOptions>).await?, id))
        };
        let (started, id) = timeout(START, start)
            .await
            .map_err(|_| HostError::new(format!("Docker did not {doing} within 30 s")))?
            .map_err(|e| self.docker_error(&doing, &e))?;
        if let StartExecResults::Attached { output, .. } = started {
            self.pass_on(output, &doing, each).await?;
        }
        let end = docker.inspect_exec(&id).await.map_err(|e| self.docker_error(&doing, &e))?;
        end.exit_code
            .ok_or_else(|| HostError::new(format!("Docker does not say how it ended to {doing}")))
    }

    async fn pass_on(
        &self,
        mut stream: impl Stream<Item = Result<LogOutput, bollard::errors::Error>> + Unpin,
        doing: &str,
        each: &mut (dyn FnMut(Said<'_>) + Send),
    ) -> Result<(), HostError> {
        while let Some(item) = stream.next().await {
            match item.map_err(|e| self.docker_error(doing, &e))? {
                LogOutput::StdErr { message } => each(Said::Err(&message)),
                LogOutput::StdOut { message } | LogOutput::Console { message } => {
                    each(Said::Out(&message));
                }
                LogOutput::StdIn { .. } => {}
            }
        }
        self.lost_error().map_or(Ok(()), Err)
    }
}
