//! What a node says, passed on as it comes.

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::{Stream, StreamExt};

use super::HostError;
use super::node::Node;
use crate::daemon::DaemonId;
use crate::event::Said;

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

    /// Passes on what comes, to its end.
    pub(super) async fn pass_on(
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
