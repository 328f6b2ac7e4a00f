//! Asking the mons, through one long-lived process in a mon's container.
//!
//! A `ceph` process takes one to two seconds of a small machine's CPU before it has asked anything. One process on
//! librados, which every image with the `ceph` tool has, answers as fast as the mons do; so waiting can be by asking.

use std::time::Duration;

use bollard::container::LogOutput;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::exec::Started;
use super::node::Node;
use super::{HostError, NO_MON};
use crate::daemon::DaemonId;
use crate::facts::{ClusterFacts, cluster};
use crate::plan::MonCommand;

const CLIENT: &str = include_str!("mon_client.py");
/// How long the client looks for a quorum before it says that there is none. Whoever waits asks again.
const CONNECT_SECONDS: u64 = 15;
/// How long one command may take; `osd pool create` and the like end when the mons have agreed.
const COMMAND_SECONDS: u64 = 60;

/// The process and its two ends.
pub(super) struct Mons {
    run: Started,
    /// What has come and is not a whole line yet.
    partial: Vec<u8>,
    /// What the process said on stderr.
    complaint: String,
}

impl std::fmt::Debug for Mons {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mons").finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Question<'a> {
    timeout: u64,
    commands: Vec<Command<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flush: Option<&'a Flush>,
}

/// OSDs that shall report on their PGs now, once they know the map of this epoch.
#[derive(Serialize)]
pub(super) struct Flush {
    /// Their ids.
    pub(super) osds: Vec<u32>,
    /// Epoch of the OSD map.
    pub(super) epoch: u64,
}

#[derive(Serialize)]
struct Command<'a> {
    json: &'a Value,
    input: Option<&'a str>,
}

#[derive(Deserialize)]
struct Reply {
    error: Option<String>,
    #[serde(default)]
    results: Vec<Answer>,
}

/// The mons' answer to one command.
#[derive(Deserialize)]
pub(super) struct Answer {
    code: i32,
    out: String,
    said: String,
}

impl Answer {
    /// An answer that is a number, bare or as JSON.
    pub(super) fn number(&self) -> Option<u64> {
        (self.code == 0).then(|| self.out.trim().parse().ok())?
    }
}

impl Node {
    /// What the mons say about the cluster: all of it, or what can be waited for.
    pub(super) async fn ask_cluster(&self, all: bool) -> Result<ClusterFacts, HostError> {
        let ask = |prefix: &str| MonCommand {
            json: json!({"prefix": prefix, "format": "json"}),
            about: String::new(),
            input: None,
        };
        let mut prefixes = vec!["status", "osd dump", "mon dump", "mgr dump"];
        if all {
            prefixes.extend([
                "auth ls",
                "mon metadata",
                "mgr metadata",
                "osd metadata",
                "osd tree",
            ]);
        }
        let questions: Vec<MonCommand> = prefixes.iter().copied().map(ask).collect();
        let answers = self.command(&questions).await?;
        let mut values = Vec::new();
        for (answer, question) in answers.iter().zip(&prefixes) {
            let value = if answer.code == 0 {
                serde_json::from_str(&answer.out)
                    .map_err(|e| HostError::new(format!("`ceph {question}` gave no JSON: {e}")))?
            } else if question.ends_with("metadata") {
                Value::Null // only versions are taken from it
            } else {
                return Err(HostError::new(format!("`ceph {question}` failed: {}", answer.said)));
            };
            values.push(value);
        }
        let [status, osd_dump, mon_dump, mgr_dump, rest @ ..] = values.as_slice() else {
            return Err(HostError::new("the mons answered less than was asked"));
        };
        let (auth, rest) = rest.split_first().unwrap_or((&Value::Null, &[]));
        let (tree, metadata) = rest.split_last().unwrap_or((&Value::Null, &[]));
        let mut facts = cluster::parse(status, osd_dump, auth, metadata).map_err(HostError::new)?;
        cluster::add_maps(&mut facts, mon_dump, mgr_dump);
        cluster::add_tree(&mut facts, tree);
        self.ask_drained(&mut facts).await?;
        Ok(facts)
    }

    /// Asks the mgr, through the mons, whether OSDs that are being taken out can be destroyed. Nobody else knows, and
    /// without a mgr the question would hang.
    async fn ask_drained(&self, facts: &mut ClusterFacts) -> Result<(), HostError> {
        let out = facts.osds.iter().filter(|(_, osd)| !osd.inside);
        let ids: Vec<String> = out.map(|(id, _)| id.to_string()).collect();
        if ids.is_empty() || facts.active_mgr.is_none() {
            return Ok(());
        }
        let question = MonCommand {
            json: json!({"prefix": "osd safe-to-destroy", "ids": ids, "format": "json"}),
            about: String::new(),
            input: None,
        };
        // no answer is no yes: a mgr that has just begun does not know yet
        for answer in self.command(&[question]).await? {
            let value = serde_json::from_str(&answer.out).unwrap_or(Value::Null);
            cluster::add_drained(facts, &value);
        }
        Ok(())
    }

    /// Sends commands that must end well.
    pub(super) async fn tell(&self, commands: &[MonCommand]) -> Result<(), HostError> {
        for (answer, command) in self.command(commands).await?.iter().zip(commands) {
            if answer.code != 0 {
                return Err(HostError::new(format!(
                    "`ceph {command}` failed: {} (error {})",
                    answer.said, answer.code
                )));
            }
        }
        Ok(())
    }

    /// Sends commands through the client, which is started if there is none. One that has failed is not used again.
    pub(super) async fn command(&self, commands: &[MonCommand]) -> Result<Vec<Answer>, HostError> {
        let commands = commands.iter().map(|c| Command {
            json: &c.json,
            input: c.input.as_ref().map(crate::secret::Secret::expose),
        });
        self.question(commands.collect(), None).await
    }

    /// Has OSDs report, all at once; the number of each one's report.
    pub(super) async fn flush(&self, flush: &Flush) -> Result<Vec<(u32, u64)>, HostError> {
        let answers = self.question(Vec::new(), Some(flush)).await?;
        let number = |(osd, answer): (&u32, &Answer)| {
            let silent = || HostError::new(format!("osd.{osd} is up, but {}", answer.said));
            Ok((*osd, answer.number().ok_or_else(silent)?))
        };
        flush.osds.iter().zip(&answers).map(number).collect()
    }

    async fn question(
        &self,
        commands: Vec<Command<'_>>,
        flush: Option<&Flush>,
    ) -> Result<Vec<Answer>, HostError> {
        let mut mons = self.mons.lock().await;
        let mut client = match mons.take() {
            Some(client) => client,
            None => self.start_client().await?,
        };
        let question = Question { timeout: COMMAND_SECONDS, commands, flush };
        let answers = client.ask(self, &question).await?;
        *mons = Some(client);
        Ok(answers)
    }

    async fn start_client(&self) -> Result<Mons, HostError> {
        let own = || DaemonId::mon(&self.name).container();
        let container = self.mon_container.map_or_else(own, str::to_owned);
        let seconds = CONNECT_SECONDS.to_string();
        let argv = ["python3", "-c", CLIENT, &seconds];
        let doing = "run a program in the mon's container";
        let run = self.start_in(&container, &argv, true, doing).await?;
        let mut client = Mons { run, partial: Vec::new(), complaint: String::new() };
        client.reply(self, Duration::from_secs(CONNECT_SECONDS + 20)).await?;
        Ok(client)
    }
}

impl Mons {
    async fn ask(
        &mut self,
        node: &Node,
        question: &Question<'_>,
    ) -> Result<Vec<Answer>, HostError> {
        let mut line = serde_json::to_vec(question).map_err(|e| HostError::new(e.to_string()))?;
        line.push(b'\n');
        let sent = async {
            self.run.input.write_all(&line).await?;
            self.run.input.flush().await
        };
        let sent = timeout(Duration::from_secs(30), sent).await;
        if !matches!(sent, Ok(Ok(()))) {
            return Err(self.ended(node));
        }
        let deadline =
            Duration::from_secs(COMMAND_SECONDS * question.commands.len().max(1) as u64 + 10);
        self.reply(node, deadline).await
    }

    async fn reply(&mut self, node: &Node, deadline: Duration) -> Result<Vec<Answer>, HostError> {
        let Ok(line) = timeout(deadline, self.line(node)).await else {
            let what = format!("no mon answered within {} s", deadline.as_secs());
            return Err(HostError::new(what).hint(NO_MON));
        };
        let line = line?;
        let reply: Reply = serde_json::from_slice(&line).map_err(|e| {
            HostError::new(format!("the client in the mon's container printed no JSON: {e}"))
        })?;
        match reply.error {
            Some(error) => Err(HostError::new(format!("no mon answers ({error})")).hint(NO_MON)),
            None => Ok(reply.results),
        }
    }

    async fn line(&mut self, node: &Node) -> Result<Vec<u8>, HostError> {
        loop {
            if let Some(end) = self.partial.iter().position(|b| *b == b'\n') {
                let rest = self.partial.split_off(end + 1);
                return Ok(std::mem::replace(&mut self.partial, rest));
            }
            match self.run.output.next().await {
                Some(Ok(LogOutput::StdErr { message })) => {
                    self.complaint.push_str(&String::from_utf8_lossy(&message));
                }
                Some(Ok(LogOutput::StdOut { message } | LogOutput::Console { message })) => {
                    self.partial.extend_from_slice(&message);
                }
                Some(Ok(LogOutput::StdIn { .. })) => {}
                Some(Err(e)) => return Err(node.docker_error("read from the mon's container", &e)),
                None => return Err(self.ended(node)),
            }
        }
    }

    fn ended(&self, node: &Node) -> HostError {
        if let Some(lost) = node.lost_error() {
            return lost;
        }
        let said = self.complaint.trim().lines().last().unwrap_or("it said nothing");
        HostError::new(format!("the client in the mon's container ended: {said}"))
    }
}
