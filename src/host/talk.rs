//! What a node says, passed on as it comes.

use std::ops::ControlFlow;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::query_parameters::{ListContainersOptionsBuilder, LogsOptionsBuilder};
use futures_util::{Stream, StreamExt};
use tokio::time::timeout;

use super::HostError;
use super::node::Node;
use super::observe::ours;
use crate::daemon::DaemonId;
use crate::event::Said;

const START: Duration = Duration::from_secs(30);

/// Whoever is told what a node says. `Break`: there is nobody left who wants to know.
pub trait Listener: FnMut(Said<'_>) -> ControlFlow<()> + Send {}
impl<F: FnMut(Said<'_>) -> ControlFlow<()> + Send> Listener for F {}

impl Node {
    /// Passes on the last `lines` of a daemon's log, stdout and stderr, and with `follow` whatever comes until the daemon
    /// ends. `Break`: the listener had enough.
    ///
    /// # Errors
    /// There is no such daemon here, Docker gives no log, or the connection is lost.
    pub async fn follow(
        &self,
        daemon: &DaemonId,
        lines: usize,
        follow: bool,
        each: &mut impl Listener,
    ) -> Result<ControlFlow<()>, HostError> {
        let options = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .follow(follow)
            .tail(&lines.to_string())
            .build();
        let stream = self.docker()?.logs(&daemon.container(), Some(options));
        let silence = (!follow).then_some(START);
        match pass_on(stream, silence, each).await {
            Ok(flow) => self.unless_lost(flow),
            Err(Broken::Silent) => Err(HostError::new(format!(
                "Docker said no more of the log of {daemon} for {} s",
                START.as_secs()
            ))),
            Err(Broken::Docker(Error::DockerResponseServerError { status_code: 404, .. })) => {
                Err(self.no_such(daemon).await)
            }
            Err(Broken::Docker(e)) => {
                Err(self.docker_error(&format!("read the log of {daemon}"), &e))
            }
        }
    }

    /// What there is instead of `daemon`.
    async fn no_such(&self, daemon: &DaemonId) -> HostError {
        let error = HostError::new(format!("no daemon {daemon} was ever started here"));
        let all = ListContainersOptionsBuilder::default().all(true).build();
        let list = match self.docker() {
            Ok(docker) => timeout(START, docker.list_containers(Some(all))).await,
            Err(_) => return error,
        };
        let Ok(Ok(list)) = list else { return error };
        let here = list.iter().filter_map(|c| ours(c.labels.as_ref()));
        let mut here: Vec<String> = here.map(|o| o.daemon.container()).collect();
        here.sort();
        error.hint(if here.is_empty() {
            "there is none of the cluster's here; `cephdock status` says where they are".to_owned()
        } else {
            format!("there are {}; `cephdock status` says where the others are", here.join(", "))
        })
    }

    /// A stream that has ended, unless it was cut off.
    pub(super) fn unless_lost(&self, flow: ControlFlow<()>) -> Result<ControlFlow<()>, HostError> {
        self.lost_error().map_or(Ok(flow), Err)
    }
}

/// Why a stream came to no end.
pub(super) enum Broken {
    Docker(Error),
    Silent,
}

pub(super) async fn pass_on(
    mut stream: impl Stream<Item = Result<LogOutput, Error>> + Unpin,
    silence: Option<Duration>,
    each: &mut impl Listener,
) -> Result<ControlFlow<()>, Broken> {
    loop {
        let next = match silence {
            Some(longest) => timeout(longest, stream.next()).await.map_err(|_| Broken::Silent)?,
            None => stream.next().await,
        };
        let Some(item) = next else { return Ok(ControlFlow::Continue(())) };
        let flow = match item.map_err(Broken::Docker)? {
            LogOutput::StdErr { message } => each(Said::Err(&message)),
            LogOutput::StdOut { message } | LogOutput::Console { message } => {
                each(Said::Out(&message))
            }
            LogOutput::StdIn { .. } => ControlFlow::Continue(()),
        };
        if flow.is_break() {
            return Ok(flow);
        }
    }
}
