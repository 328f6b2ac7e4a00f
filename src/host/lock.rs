//! One cephdock at a time: a lock on the mon nodes that says who holds it and since when, and dies with its holder.
//!
//! On each node a shell holds `flock` on a file in /run, where a reboot forgets it, and reads from this process. It ends,
//! and the lock with it, when this process ends in whatever way (sshd closes its stdin), and when it has not heard from
//! this process for [`SILENCE_SECONDS`]: a machine that lost its power closes nothing.
//!
//! It may also end while this process goes on: the process was stopped or its machine slept for that long, somebody killed
//! the shell, the connection broke. [`super::Host::lock`] tells, no step is begun then, and the lock is taken again or the run ends.
//!
//! The file itself is never removed, by `reset` neither: whoever waits has opened it already, and would get the lock of a
//! file without a name while the next one to come makes a new file and locks that. It is one line, and nothing reads it
//! but to say who holds the lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
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
/// How often the lock is taken again on one node in a run. A shell that never lives long holds nothing.
const MOST_AGAIN: usize = 5;

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

/// How the operator's lock stands on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// It was not taken there: no mon node, or no program to lock with.
    None,
    /// This process has it.
    Held,
    /// This process had it, and another one may have it now.
    Ended,
    /// The same, and nobody can ask: the node is out of reach for the rest of the run.
    Gone,
}

/// The lock on one node, until it is dropped.
#[derive(Debug)]
struct Held {
    heart: JoinHandle<()>,
    /// When the node was last told that this process lives, see [`now`].
    beat: Arc<AtomicU64>,
}

/// Seconds since this machine was started. Time that it slept counts, as it does for the node.
fn now() -> u64 {
    u64::try_from(clock_gettime(ClockId::Boottime).tv_sec).unwrap_or_default()
}

impl Held {
    /// Holds the lock whose shell has these streams, and `rest` open with them.
    fn beating(
        mut stdout: impl AsyncRead + Unpin + Send + 'static,
        mut stdin: impl AsyncWrite + Unpin + Send + 'static,
        rest: impl Send + 'static,
    ) -> Self {
        let beat = Arc::new(AtomicU64::new(now()));
        let beats = beat.clone();
        let heart = tokio::spawn(async move {
            let _rest = rest;
            loop {
                let begun = now();
                if stdin.write_all(b".").await.is_err() {
                    return;
                }
                beats.store(begun, Ordering::Relaxed);
                tokio::select! {
                    // it says no more: this is its end
                    _ = stdout.read_u8() => return,
                    () = tokio::time::sleep(HEARTBEAT) => {}
                }
            }
        });
        Self { heart, beat }
    }

    /// Whether the shell may have ended. After a sleep this is known at once; that the streams have ended comes later.
    fn ended(&self) -> bool {
        let silent = now().saturating_sub(self.beat.load(Ordering::Relaxed));
        self.heart.is_finished() || silent >= SILENCE_SECONDS - HEARTBEAT.as_secs()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.heart.abort(); // with it goes the stream, and with that the lock
    }
}

/// What a node knows of its lock.
#[derive(Debug, Default)]
pub(super) struct Locked(Mutex<Standing>);

#[derive(Debug, Default)]
struct Standing {
    /// Who we are, once the lock was taken.
    who: Option<String>,
    held: Option<Held>,
    /// How often it was taken again.
    again: usize,
    /// The node cannot be asked for it any more.
    gone: bool,
}

impl Locked {
    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state(&self) -> Lock {
        let standing = self.standing();
        match &standing.held {
            _ if standing.who.is_none() => Lock::None,
            Some(held) if !held.ended() => Lock::Held,
            _ if standing.gone => Lock::Gone,
            _ => Lock::Ended,
        }
    }
}

/// The lock on the mon nodes that were reached, until it is dropped.
#[derive(Debug, Default)]
pub struct OperatorLock {
    nodes: Vec<Arc<Node>>,
}

impl Drop for OperatorLock {
    fn drop(&mut self) {
        for node in &self.nodes {
            *node.locked.standing() = Standing::default();
        }
    }
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
    ///
    /// # Errors
    /// Another one has it, or a node did not say. What was taken by then is let go of.
    pub async fn lock(&self, want: &Inventory, who: &str) -> Result<OperatorLock, LockError> {
        let mut mons: Vec<(&NodeName, &Arc<Node>)> =
            want.mons().filter_map(|n| Some((&n.name, self.get(&n.name)?))).collect();
        mons.sort_by_key(|(name, _)| *name);
        let mut lock = OperatorLock::default();
        if let Some((first, others)) = mons.split_first() {
            lock.nodes.extend(take(*first, who).await?);
            let rest = others.iter().map(|mon| take(*mon, who));
            let mut failed = None;
            for taken in futures_util::future::join_all(rest).await {
                match taken {
                    Ok(taken) => lock.nodes.extend(taken),
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(lock)
    }
}

async fn take(
    (name, node): (&NodeName, &Arc<Node>),
    who: &str,
) -> Result<Option<Arc<Node>>, LockError> {
    match node.take_lock(who).await {
        Ok(Answer::Mine(held)) => {
            let (who, held) = (Some(who.to_owned()), Some(held));
            *node.locked.standing() = Standing { who, held, ..Standing::default() };
            Ok(Some(node.clone()))
        }
        Ok(Answer::Unable) => Ok(None),
        Ok(Answer::Taken(who)) => Err(LockError::Taken { node: name.clone(), who }),
        Err(source) => Err(LockError::Failed { node: name.clone(), source }),
    }
}

impl Node {
    /// Takes the lock again, where this process had it. The shell that held it may live until the node notices that the
    /// old connection is gone, and no longer than [`SILENCE_SECONDS`].
    pub(super) async fn take_again(&self) -> Result<(), HostError> {
        let who = {
            let mut standing = self.locked.standing();
            drop(standing.held.take());
            standing.again += 1;
            if standing.again > MOST_AGAIN {
                return Err(HostError::new("the lock on it ends again and again")
                    .hint("see there what ends the shell that holds /run/cephdock.lock, and run the same command again"));
            }
            let Some(who) = standing.who.clone() else { return Ok(()) };
            who
        };
        let begun = Instant::now();
        let patient = || begun.elapsed() < Duration::from_secs(SILENCE_SECONDS + 10);
        loop {
            match self.take_lock(&who).await {
                Ok(Answer::Mine(held)) => {
                    let mut standing = self.locked.standing();
                    (standing.held, standing.gone) = (Some(held), false);
                    return Ok(());
                }
                Ok(Answer::Taken(by)) if by.starts_with(&who) && patient() => {}
                Ok(Answer::Taken(by)) => {
                    return Err(HostError::new(format!(
                        "the lock on it had ended, and another cephdock is at work on this cluster: {by}"
                    ))
                    .hint("wait until it is done and run the same command again"));
                }
                Ok(Answer::Unable) => {
                    return Err(HostError::new(
                        "the lock on it had ended, and its `flock` is gone",
                    )
                    .hint("mend that and run the same command again"));
                }
                Err(error) if self.lost().is_some() => {
                    self.locked.standing().gone = true;
                    return Err(HostError { lost: true, ..error });
                }
                // a further connection was lost, not the first one
                Err(error) if error.lost && patient() => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Err(error) => {
                    let what = format!(
                        "the lock on it had ended and cannot be taken again: {}",
                        error.what
                    );
                    return Err(HostError { what, lost: false, ..error });
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
        let (stdout, stdin) = io.into_split();
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        let answered = timeout(DEADLINE, stdout.read_line(&mut line)).await;
        match (answered, line.trim().split_once(' ').unwrap_or((line.trim(), ""))) {
            (Ok(Ok(_)), ("mine", _)) => {
                Ok(Answer::Mine(Held::beating(stdout, stdin, (stderr, exit))))
            }
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
                let error = HostError::new(
                    complaint.unwrap_or("the shell that was to hold it ended and said nothing"),
                );
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

    use super::{HEARTBEAT, Held, Ordering, SCRIPT, SILENCE_SECONDS, now};

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

    #[tokio::test]
    async fn a_shell_that_was_killed_is_noticed_before_the_next_heartbeat() {
        let folder = tempfile::tempdir().unwrap();
        let mut shell = tokio::process::Command::new("sh")
            .args(["-c", SCRIPT, "cephdock-lock", "ops@laptop"])
            .arg(folder.path().join("lock"))
            .arg("60")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = tokio::io::BufReader::new(shell.stdout.take().unwrap());
        let mut line = String::new();
        tokio::io::AsyncBufReadExt::read_line(&mut stdout, &mut line).await.unwrap();
        assert_eq!(line, "mine\n");
        let held = Held::beating(stdout, shell.stdin.take().unwrap(), ());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        assert!(!held.ended());
        shell.kill().await.unwrap();
        let noticed = async {
            while !held.ended() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(HEARTBEAT / 2, noticed).await.unwrap();
    }

    #[tokio::test]
    async fn a_lock_that_the_node_has_not_heard_of_for_long_counts_as_ended_at_once() {
        let (stdout, _theirs) = tokio::io::duplex(8);
        let (stdin, _theirs_too) = tokio::io::duplex(8);
        let held = Held::beating(stdout, stdin, ());
        assert!(!held.ended());
        // as when this process was stopped, or its machine slept
        held.beat.store(now().saturating_sub(SILENCE_SECONDS), Ordering::Relaxed);
        assert!(held.ended());
    }
}
