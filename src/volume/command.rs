//! An external command with a deadline, in a process group of its own.

use std::ffi::OsStr;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;
use tokio::time::timeout;

/// Why a command gave no output.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// It could not be started.
    #[error("{program} cannot be started: {why}")]
    Start {
        /// What.
        program: String,
        /// The system's reason.
        why: String,
    },
    /// It took too long, and was killed.
    #[error("{program} took longer than {} s", after.as_secs())]
    Deadline {
        /// What.
        program: String,
        /// How long it had.
        after: Duration,
    },
    /// It ended with an error.
    #[error("{program}: {said}")]
    Exit {
        /// What.
        program: String,
        /// Its exit code; -1 stands for a signal.
        code: i32,
        /// What it wrote to stderr, on one line.
        said: String,
    },
}

/// How long a killed command may take to be gone. One that hangs in the kernel is left behind.
const DYING: Duration = Duration::from_secs(1);

/// Runs `program` to its end, and gives what it wrote to stdout. After `deadline` it and all that it started are killed.
///
/// # Errors
/// It did not start, ended with another code than 0, or took too long.
pub async fn run<A: AsRef<OsStr>>(
    program: &str,
    args: impl IntoIterator<Item = A>,
    deadline: Duration,
) -> Result<String, Failed> {
    let name = program.rsplit('/').next().unwrap_or(program).to_owned();
    let child = Command::new(program)
        .args(args)
        .env("LC_ALL", "C")
        .env_remove("CEPH_ARGS")
        .env_remove("NOTIFY_SOCKET")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true) // whoever waited for it has gone
        .spawn()
        .map_err(|e| Failed::Start { program: name.clone(), why: e.to_string() })?;
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let mut ending = Box::pin(child.wait_with_output());
    let Ok(ended) = timeout(deadline, &mut ending).await else {
        if let Some(group) = group {
            kill_process_group(group, Signal::KILL).ok(); // it may have ended at this moment
        }
        drop(timeout(DYING, ending).await);
        return Err(Failed::Deadline { program: name, after: deadline });
    };
    let output = ended.map_err(|e| Failed::Start { program: name.clone(), why: e.to_string() })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let said = if lines.is_empty() { "it does not say why".into() } else { lines.join(" / ") };
    Err(Failed::Exit { program: name, code: output.status.code().unwrap_or(-1), said })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn output_and_reasons_are_passed_on() {
        assert_eq!(run("sh", ["-c", "echo yes"], LONG).await, Ok("yes\n".into()));
        let failed = run("sh", ["-c", "echo one >&2; echo two >&2; exit 30"], LONG).await;
        let expected = Failed::Exit { program: "sh".into(), code: 30, said: "one / two".into() };
        assert_eq!(failed, Err(expected));
        let nothing: [&str; 0] = [];
        let missing = run("/nowhere/rbd", nothing, LONG).await.unwrap_err().to_string();
        assert!(missing.contains("rbd cannot be started"), "{missing}");
    }

    #[tokio::test]
    async fn after_its_deadline_nothing_of_it_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let script = format!("sleep 1000 & echo $! >{}; wait", pid.display());
        let failed = run("sh", ["-c", &script], Duration::from_secs(1)).await;
        assert!(matches!(failed, Err(Failed::Deadline { .. })), "{failed:?}");
        let grandchild = std::fs::read_to_string(&pid).unwrap();
        let stat = format!("/proc/{}/stat", grandchild.trim());
        let gone = || std::fs::read_to_string(&stat).map_or(true, |s| s.contains(") Z "));
        let mut tries = 0;
        while !gone() {
            tries += 1;
            assert!(tries < 1000, "it still runs");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
