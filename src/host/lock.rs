//! One cephdock at a time: a lock on the mon nodes that says who holds it and since when, and dies with its holder.
//!
//! On each node a shell holds `flock` on a file in /run, where a reboot forgets it, and reads from this process. It ends,
//! and the lock with it, when this process ends in whatever way (sshd closes its stdin), and when it has not heard from
//! this process for [`SILENCE_SECONDS`]: a machine that lost its power closes nothing.
//!
//! The file itself is never removed, by `reset` neither: whoever waits has opened it already, and would get the lock of a
//! file without a name while the next one to come makes a new file and locks that. It is one line, and nothing reads it
//! but to say who holds the lock.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::node::Node;
use super::{Fleet, HostError};
use crate::inventory::{Inventory, NodeName};
use crate::ssh::ExecIo;

const SILENCE_SECONDS: u64 = 60;
const HEARTBEAT: Duration = Duration::from_secs(15);
/// The script waits up to three seconds: one that was killed a moment ago may not be gone yet.
const DEADLINE: Duration = Duration::from_secs(30);

/// The lock's file on each mon node. It holds the last holder's name; only the kernel's lock on it counts.
const PATH: &str = "/run/cephdock.lock";

/// `$1` is who we are, `$2` the file, `$3` the seconds of silence. Answers `mine`, `held WHO`, or `none` where the node has no `flock`.
const SCRIPT: &str = r#"command -v flock >/dev/null || { echo none; exit; }
exec 9>>"$2"; n=0
until flock -n 9; do
  n=$((n + 1)); if [ $n -gt 15 ]; then echo "held $(cat "$2")"; exit; fi
  sleep 0.2
done
echo "$1, since $(date -u '+%Y-%m-%d %H:%M:%S UTC')" >"$2"
echo mine
while [ -n "$(timeout "$3" dd bs=1 count=1 2>/dev/null)" ]; do :; done"#;

/// What one node said.
enum Answer {
    Mine(Held),
    /// By whom, since when.
    Taken(String),
    /// It has no program to lock with.
    Unable,
}

/// The lock on one node, until it is dropped.
#[derive(Debug)]
struct Held {
    heart: JoinHandle<()>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.heart.abort(); // with it goes the stream, and with that the lock
    }
}

/// What a node needs to know to take the lock once more.
#[derive(Debug, Default)]
pub(super) struct Locked {
    /// Who we are, once the lock was taken.
    who: OnceLock<String>,
    /// The lock over a connection that was made again. It ends with the node.
    again: Mutex<Option<Held>>,
}

/// The lock on the mon nodes that were reached, until it is dropped.
#[derive(Debug)]
pub struct OperatorLock {
    _held: Vec<Held>,
}

/// Why the lock was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// Another one has it.
    #[error("another cephdock is at work on this cluster: {who} (seen on {node})")]
    Taken {
        /// Where that was seen.
        node: NodeName,
        /// Who, what and since when, in its own words.
        who: String,
    },
    /// The node did not say.
    #[error("{node}: the lock cannot be taken: {source}")]
    Failed {
        /// Where.
        node: NodeName,
        /// Why.
        source: HostError,
    },
}

impl Fleet<Node> {
    /// Takes the lock on every mon node that was reached: on the first alone, so that of two that come at once one gets
    /// all, then on the others at the same time. `who` names this process and what it is about to do.
    pub async fn lock(&self, want: &Inventory, who: &str) -> Result<OperatorLock, LockError> {
        let mut mons: Vec<(&NodeName, &Arc<Node>)> =
            want.mons().filter_map(|n| Some((&n.name, self.get(&n.name)?))).collect();
        mons.sort_by_key(|(name, _)| *name);
        let mut held = Vec::new();
        if let Some((first, others)) = mons.split_first() {
            held.extend(take(*first, who).await?);
            let rest = others.iter().map(|mon| take(*mon, who));
            for lock in futures_util::future::join_all(rest).await {
                held.extend(lock?);
            }
        }
        Ok(OperatorLock { _held: held })
    }
}

async fn take((name, node): (&NodeName, &Arc<Node>), who: &str) -> Result<Option<Held>, LockError> {
    match node.take_lock(who).await {
        Ok(Answer::Mine(held)) => {
            node.locked.who.get_or_init(|| who.to_owned());
            Ok(Some(held))
        }
        Ok(Answer::Unable) => Ok(None),
        Ok(Answer::Taken(who)) => Err(LockError::Taken { node: name.clone(), who }),
        Err(source) => Err(LockError::Failed { node: name.clone(), source }),
    }
}

impl Node {
    /// Takes the lock over a connection that was made again, where this process had it. The shell that held it may live
    /// until the node notices that the old connection is gone, and no longer than [`SILENCE_SECONDS`].
    pub(super) async fn lock_again(&self) -> Result<(), HostError> {
        let Some(who) = self.locked.who.get() else { return Ok(()) };
        let begun = Instant::now();
        loop {
            match self.take_lock(who).await? {
                Answer::Mine(held) => {
                    *self.locked.again.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
                    return Ok(());
                }
                Answer::Unable => return Ok(()),
                Answer::Taken(by) => {
                    let ours = by.starts_with(who.as_str());
                    if !ours || begun.elapsed() > Duration::from_secs(SILENCE_SECONDS + 10) {
                        return Err(HostError::new(format!(
                            "another cephdock has been at work since the connection was lost: {by}"
                        ))
                        .hint("wait until it is done and run the same command again"));
                    }
                }
            }
        }
    }

    async fn take_lock(&self, who: &str) -> Result<Answer, HostError> {
        let words = ["sh", "-c", SCRIPT, "cephdock-lock", who, PATH, &SILENCE_SECONDS.to_string()];
        let command = shlex::try_join(words)
            .map_err(|e| HostError::new(format!("a name cannot be told to a shell: {e}")))?;
        let command = if self.sudo { format!("sudo -n {command}") } else { command };
        let ExecIo { io, mut stderr, exit } = self.session()?.exec(&command).await?;
        let (stdout, mut stdin) = io.into_split();
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        let answered = timeout(DEADLINE, stdout.read_line(&mut line)).await;
        match (answered, line.trim().split_once(' ').unwrap_or((line.trim(), ""))) {
            (Ok(Ok(_)), ("mine", _)) => Ok(Answer::Mine(Held {
                heart: tokio::spawn(async move {
                    let _streams = (stdout, stderr, exit); // open as long as the lock is held
                    while stdin.write_all(b".").await.is_ok() {
                        tokio::time::sleep(HEARTBEAT).await;
                    }
                }),
            })),
            (Ok(Ok(_)), ("held", who)) => Ok(Answer::Taken(who.to_owned())),
            (Ok(Ok(_)), ("none", _)) => Ok(Answer::Unable),
            (Err(_), _) => Err(HostError::new(format!(
                "the node did not answer within {} s",
                DEADLINE.as_secs()
            ))),
            (Ok(_), _) => {
                let mut said = String::new();
                drop(timeout(DEADLINE, stderr.read_to_string(&mut said)).await);
                let complaint = said.lines().rev().map(str::trim).find(|l| !l.is_empty());
                let error = HostError::new(complaint.unwrap_or("it said nothing"));
                let lost = self.lost().is_some();
                Err(HostError { lost, ..error })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::path::Path;
    use std::process::{Child, Command, Stdio};

    use super::SCRIPT;

    struct Holder {
        child: Child,
        answer: String,
    }

    /// Runs the script here, with a second of silence, up to its first line.
    fn ask(who: &str, file: &Path) -> Holder {
        let mut child = Command::new("sh")
            .args(["-c", SCRIPT, "cephdock-lock", who])
            .arg(file)
            .arg("1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut answer = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut answer).unwrap();
        Holder { child, answer: answer.trim().to_owned() }
    }

    impl Drop for Holder {
        fn drop(&mut self) {
            drop(self.child.stdin.take());
            drop(self.child.wait());
        }
    }

    #[test]
    fn the_second_is_told_who_holds_it_and_gets_it_when_the_first_is_gone_or_silent() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lock");
        let mut first = ask("ops@laptop", &file);
        assert_eq!(first.answer, "mine");
        let beats = std::thread::spawn({
            let mut stdin = first.child.stdin.take().unwrap();
            move || {
                for _ in 0..12 {
                    std::thread::sleep(std::time::Duration::from_millis(400));
                    stdin.write_all(b".").unwrap();
                }
                stdin // open, and silent from now on
            }
        });
        let second = ask("ops@desk", &file);
        assert!(second.answer.starts_with("held ops@laptop, since 20"), "{}", second.answer);
        let stdin = beats.join().unwrap();
        let third = ask("ops@desk", &file);
        assert_eq!(third.answer, "mine", "the first one is silent");
        drop(third);
        assert_eq!(ask("ops@desk", &file).answer, "mine", "the third is gone");
        drop(stdin);
    }
}
